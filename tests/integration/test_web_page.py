"""The web page in a real browser."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from tests.certificates import Authority
from tests.conformance.digest import credentials
from tests.integration.claims import ClaimTestCase
from tests.integration.run_page import Page

TO_B = ("--set", "cluster.policy=sequence", "--set", 'cluster.sequence=["b", "a"]')
CLOSED = ("--set", 'web.read="login"', "--set", "web.tls=true")


PASSWORD, OTHER = "correct horse", "another horse"
ATTACK = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
DESKTOP, PHONE = (1280, 960, 1.0), (390, 844, 1.5)
REGISTER = (
    "REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{cseq}\r\nMax-Forwards: 70\r\n"
    "From: <sip:mallory@example.com>;tag=1\r\nTo: <sip:mallory@example.com>\r\nCall-ID: attack\r\nCSeq: {cseq} REGISTER\r\n"
    "Contact: <sip:mallory@{host}>\r\nUser-Agent: {attack}\r\n{more}Expires: 600\r\nContent-Length: 0\r\n\r\n"
)


class OperatorTests(ClaimTestCase):
    """An operator at his desk and with a phone in his hand, a stranger, and a phone that sends script."""

    timeout = 400  # pictures take longer

    def setUp(self) -> None:
        super().setUp()
        folder = os.environ.get("SCREENSHOTS")
        self.pictures = Path(folder).absolute() if folder else None

    async def test_a_day(self) -> None:
        """
        The page shows all that is there, and text of strangers as text; who does not know the password reads, who knows it
        drains a node and is told what came of it; another site does nothing in his name.
        """
        pair = Authority(self.folder).issue("node", ["example.com"])
        tls = ("--set", f"tls.certificate={pair.certificate}", "--set", f"tls.key={pair.key}")
        await self.start_cluster(*TO_B, *tls, "--set", "limits.calls=12", nodes="abc", each={"c": CLOSED})
        await self.all_there_is()
        page = self.page = Page(self.reactor)
        self.at_end(page.close)
        await page.open(self.at("a"), DESKTOP[:2])
        await self.it_shows_all()
        await self.some_time_passes()
        await self.it_shows_script_as_text()
        await self.why_a_call_is_there()
        await self.it_fits()
        await self.he_logs_in()
        await self.he_drains()
        await self.what_fails_is_said()
        await self.another_site_does_nothing()
        await self.his_session_ends()
        await self.a_node_is_lost()
        await self.a_page_that_is_closed()
        self.assertEqual(page.errors, [])

    def at(self, name: str) -> str:
        return f"http://{self.node(name).address}:8080/"

    async def all_there_is(self) -> None:
        """Calls at each node, a gateway that is down, and a registration whose user agent is script."""
        await self.start_callee()
        await self.offer([f"caller{n}" for n in range(9)])
        await self.calls_up(9)
        await self.primary.ask(
            "gateway-add",
            name="carrier",
            options={"kind": "pstn", "servers": [self.address(160)], "channels": 30},
        )
        await self.add_users("mallory")
        await deferToThread(self.registers_with_script, self.address(150))
        await self.reachable("mallory")

    def registers_with_script(self, host: str) -> None:
        """Blocks."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(30)
            client.bind((host, 5060))
            more = ""
            for cseq in (1, 2):
                request = REGISTER.format(host=host, attack=ATTACK, cseq=cseq, more=more)
                client.sendto(request.encode(), (self.primary.address, 5060))
                answer = client.recv(65535).decode()
                if challenge := re.search(r"(?m)^WWW-Authenticate: (.*)\r$", answer):
                    given = credentials(
                        challenge[1], "REGISTER", "sip:example.com", "mallory", self.passwords["mallory"]
                    )
                    more = f"Authorization: {given}\r\n"
        self.assertTrue(answer.startswith("SIP/2.0 200"), answer)

    async def some_time_passes(self) -> None:
        """For the pictures alone: load that rises and falls, and a call of phones that report how it sounds."""
        if self.pictures is None:
            return
        await self.add_users("alice", "bob")
        alice, bob = await self.baresip("alice", hz=440), await self.baresip("bob", answer=True, hz=600)
        await self.primary.voipctl("trace", "on", "--user", "bob")
        await alice.dial("bob@example.com")
        await self.until_text("#calls", "alice")
        for wave in range(4):
            more = await self.offer([f"guest{wave}{n}" for n in range(4 + wave)], last=110 + wave)
            await self.tick(8.0)
            more.hang_up()
            await self.tick(4.0)
        self.assertTrue(bob)

    # -- looking

    async def text(self, element: str) -> str:
        """What is to be seen of an element; of a hidden one nothing."""
        return str(
            await self.page.run(
                f"(one => one && one.getClientRects().length ? one.innerText : '')(document.querySelector({json.dumps(element)}))"
            )
        )

    async def until_text(self, element: str, words: str) -> None:
        seen: list[str] = []

        async def there() -> bool:
            seen[:] = [await self.text(element)]
            return words in seen[0]

        try:
            await self.until(there, f"{words!r} in {element}")
        except self.failureException as error:
            raise self.failureException(f"{error}; it has {seen[0][:500]!r}") from None

    async def click(self, element: str) -> None:
        """As soon as it is to be seen."""
        found = f"document.querySelector({json.dumps(element)})"
        seen = f"(one => one && one.getClientRects().length && (one.click(), true))({found})"
        await self.until(lambda: self.page.run(seen), f"{element} can be clicked on")

    async def picture(self, name: str) -> None:
        if self.pictures is not None:
            await self.page.screenshot(self.pictures / f"web-{name}.png")

    async def it_shows_all(self) -> None:
        await self.until_text("#live", "live")
        await self.until_text("#nodes", "secondary")
        await self.until_text("#gateways", "carrier")
        self.assertEqual(await self.text("#total-nodes"), "3 of 3")
        await self.until_text("#total-audio", "9")
        self.assertEqual(await self.page.run("document.querySelectorAll('#calls tbody tr').length"), 9)
        await self.until(
            lambda: self.page.run("plot.times.length > 2 && plot.chart.uplot.series.length"),
            "the plot has lines",
        )
        labels = await self.page.run("plot.chart.uplot.series.slice(1).map((one) => one.label)")
        self.assertEqual(labels, ["a", "b", "c", "threshold", "hard limit"])
        before = await self.page.run("plot.last")
        await self.until(
            lambda: self.page.run(f"plot.last > {before} + 1"), "it goes on without being loaded again"
        )
        # two at once, as after an order: what both were told is there once
        await self.page.run("Promise.all([turn(), turn(), turn()]).then(() => 0)")
        self.assertTrue(
            await self.page.run("plot.times.every((time, at) => !at || time > plot.times[at - 1])")
        )
        self.assertTrue(
            await self.page.run("[...plot.nodes.values()].every((one) => one.length === plot.times.length)")
        )
        self.assertEqual(await self.page.run("document.querySelectorAll('#nodes button').length"), 0)

    async def it_shows_script_as_text(self) -> None:
        await self.click("#registrations-box summary")
        await self.until_text("#registrations", ATTACK)
        await self.page.run("byId('find-aor').value = 'mallory@example.com'; byId('find').requestSubmit()")
        await self.until(
            lambda: self.page.run("document.querySelectorAll('#registrations tbody tr').length === 1"),
            "found",
        )
        self.assertIn(ATTACK, await self.text("#registrations"))
        self.assertEqual(await self.page.run("document.querySelectorAll('main script, main img').length"), 0)
        self.assertEqual(await self.page.run("document.title"), "voipcluster")

    async def why_a_call_is_there(self) -> None:
        """
        Of each hop of a placed request the page of any node says who the candidates were, with what workload, how old the report
        was, and why each was taken or not. The address with the Call-ID can be passed on.
        """
        at_b = [call["call_id"] for call in await self.calls() if call["node"] == "b"]
        hops = await self.explain(at_b[0])
        self.assertEqual(
            [(hop["node"], hop["outcome"]) for hop in hops], [("a", "hand-over"), ("b", "serve")]
        )
        for name in "ba":
            await self.page.go(f"{self.at(name)}#call={quote(at_b[0], safe='')}")
            await self.until_text("#call-hops", "2. b: serve")
            first, second = " ".join((await self.text("#call-hops")).split()).split("2. b: serve")
            self.assertIn("1. a: hand-over to b", first)
            self.assertIn("policy sequence", first)
            # candidate, state, workload, wait, room, age of the report, reason
            self.assertRegex(first, r"\bb open 0\.\d\d \d+ ms \S+ [\d.]+ s first below the threshold")
            self.assertRegex(second, r"\ba \w+ 0\.\d\d \d+ ms \S+ [\d.]+ s \w+")
            await self.page.run("byId('call').close()")
        await self.page.run("location.hash = '#call=no%20such%20call', 0")  # typed into the page that is open
        await self.until_text("#call-media", "not remembered")
        await self.until_text("#live", "live")
        await self.page.run("byId('call').close()")
        await self.page.run("location.hash = '#call=%', 0")
        await self.until_text("#said", "names no call")
        await self.page.run("say(''), 0")

    async def fits(self, what: str) -> None:
        wide = await self.page.run(
            "[...document.querySelectorAll('body, main, main > *, dialog[open], dialog[open] > *')]"
            ".filter((one) => one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.id || one.tagName)"
        )
        scrolled = await self.page.run("document.documentElement.scrollWidth - innerWidth")
        self.assertEqual((wide, scrolled <= 0), ([], True), what)

    async def it_fits(self) -> None:
        """Nothing is wider than a phone: not the page, nor a call in it."""
        await self.until_text("#live", "live")
        await self.picture("desktop")
        for size, name in ((PHONE, "phone"), (DESKTOP, "desktop")):
            await self.page.resize(*size, phone=name == "phone")
            await self.page.go(self.at("a"))  # as on a screen of that resolution
            await self.until_text("#calls", "caller")
            await self.page.run(
                "[...document.querySelectorAll('#calls button')].reduce("
                "(first, one) => (one.textContent.startsWith('alice') ? one : first)).click()"
            )
            await self.until_text("#call-media", "caller")
            await self.until_text("#call-hops", "serve")
            await self.fits(f"a call, {name}")
            await self.picture(f"call-{name}")
            if self.pictures is not None:
                await self.until_text("#call-ladder", "INVITE")
                await self.page.run("byId('call-ladder').previousElementSibling.scrollIntoView(), 0")
                await self.picture(f"ladder-{name}")
            await self.page.run("byId('call').close()")
            await self.fits(f"the page, {name}")
            if name == "phone":
                await self.picture("phone")

    # -- changing

    async def he_logs_in(self) -> None:
        """Not before there is a password, not with a wrong one."""
        await self.click("#log-in")
        await self.until_text("#login-error", "voipctl web-password")
        await self.page.run("byId('login').close()")
        said = await self.node("b").voipctl("web-password", "--password-stdin", stdin=f"{PASSWORD}\n")
        self.assertIn("at the web page of every node", said)
        files = [node.state_dir / "web.password" for node in self.cluster.nodes]
        await self.until(lambda: all(one.exists() for one in files), "each node keeps a copy")
        kept = [one.stat().st_mode & 0o777 for one in files]
        self.assertEqual(kept, [0o600] * 3)
        await self.click("#log-in")
        await self.types("wrong horse")
        await self.until_text("#login-error", "that is not the password")
        self.assertEqual(await self.page.run("document.querySelectorAll('#nodes button').length"), 0)
        await self.types(PASSWORD)
        await self.until(
            lambda: self.page.run("!byId('login').open && !byId('log-out').hidden"), "he is logged in"
        )
        await self.until(
            lambda: self.page.run("document.querySelectorAll('#nodes button').length === 3"),
            "there are buttons",
        )
        self.assertEqual(await self.page.run("document.cookie"), "")

    async def types(self, password: str) -> None:
        await self.page.run(
            f"byId('password').value = {json.dumps(password)}; byId('login-form').requestSubmit()"
        )

    async def state_of(self, name: str) -> str:
        status: dict[str, Any] = await self.primary.ask("status")
        return next(str(node["state"]) for node in status["nodes"] if node["name"] == name)

    async def he_drains(self) -> None:
        """He is asked first, and what he does not confirm is not done."""
        await self.page.resize(*PHONE, phone=True)
        await self.click("#nodes button[data-node=b]")
        await self.until_text("#drain-title", "Drain b?")
        self.assertIn("Its calls go on", await self.text("#drain-text"))
        await self.fits("the question")
        await self.picture("drain-phone")
        await self.click("#drain .cancel")
        self.assertNotEqual(await self.state_of("b"), "drain")
        await self.click("#nodes button[data-node=b]")
        await self.click("#drain-do")
        await self.until_text("#said", "b takes no new requests; calls go on")
        self.assertEqual(await self.page.run("byId('drain').open"), False)
        await self.until_text("#nodes", "undrain")
        self.assertEqual(await self.state_of("b"), "drain")
        self.assertGreaterEqual(len(await self.calls()), 9)
        await self.page.resize(*DESKTOP)
        await self.click("#nodes button[data-node=b]")
        await self.until_text("#drain-title", "Let b take requests again?")
        await self.click("#drain-do")
        await self.until_text("#said", "b takes requests again")
        self.assertNotEqual(await self.state_of("b"), "drain")

    async def ordered(self, node: str, on: bool = True) -> str:
        """What a page says that shows an old state."""
        script = f"order('/api/drain', {{node: {json.dumps(node)}, on: {json.dumps(on)}}}).then((a) => a.done, (e) => e.message)"
        return str(await self.page.run(script))

    async def what_fails_is_said(self) -> None:
        """A node that is not there, one that is as he wants it already, one that was lost."""
        self.assertEqual(await self.ordered("x"), "there is no node x; there are a, b, c")
        self.assertEqual(await self.ordered("b", False), "b is not draining")
        self.assertEqual(await self.ordered("b"), "b takes no new requests; calls go on")
        self.assertEqual(await self.ordered("b"), "b is draining already")
        self.assertEqual(await self.ordered("b", False), "b takes requests again")

    async def another_site_does_nothing(self) -> None:
        """A page of another origin, with whatever the browser sends along; and a script of ours without the token."""
        self.assertIn("lacks the token", await self.page.run(
            "fetch('/api/drain', {method: 'POST', headers: {'Content-Type': 'application/json'},"
            " body: JSON.stringify({node: 'b', on: true})}).then((answer) => answer.text())"
        ))  # fmt: skip
        before = await self.metric(self.node("a"), "web_refused_total", reason="cross-site")
        root: Any = Resource()
        root.putChild(b"", Data(b"<title>other</title>", "text/html"))
        site: Any = Site(root)
        site.noisy = False
        port: Any = await TCP4ServerEndpoint(self.reactor, 8090, 50, self.address(170)).listen(site)
        self.at_end(port.stopListening)
        await self.page.go(f"http://{self.address(170)}:8090/")
        await self.until(lambda: self.page.run("document.title === 'other'"), "the other page is there")
        for path, body in (("drain", "{node: 'b', on: true}"), ("login", f"{{password: '{PASSWORD}'}}")):
            # the answer is kept from the page, but the request is sent
            await self.page.run(
                f"fetch('{self.at('a')}api/{path}', {{method: 'POST', mode: 'no-cors', credentials: 'include',"
                f" body: JSON.stringify({body})}}).catch(() => 0).then(() => 0)"
            )
        self.assertEqual(
            await self.metric(self.node("a"), "web_refused_total", reason="cross-site") - before, 2
        )
        self.assertNotIn("drain", [await self.state_of(name) for name in "abc"])
        await self.page.go(self.at("a"))
        await self.until(
            lambda: self.page.run("document.querySelectorAll('#nodes button').length === 3"),
            "he is still logged in",
        )

    async def his_session_ends(self) -> None:
        """By another password; the page says so and offers to log in again."""
        await self.node("c").voipctl("web-password", "--password-stdin", stdin=f"{OTHER}\n")
        await self.click("#nodes button[data-node=b]")
        await self.click("#drain-do")
        await self.until_text("#drain-error", "log in again")
        await self.page.run("byId('drain').close()")
        await self.until(lambda: self.page.run("!byId('log-in').hidden"), "he can log in again")
        await self.until(
            lambda: self.page.run("document.querySelectorAll('#nodes button').length === 0"),
            "without buttons",
        )
        self.assertNotEqual(await self.state_of("b"), "drain")

    async def a_node_is_lost(self) -> None:
        """One that is to stop with its last call says so; when it is gone with its calls, who is missing is named."""
        self.assertEqual([await self.text(one) for one in ("#calls-missing", "#gateways-missing")], ["", ""])
        await self.primary.voipctl("stop", "b")
        await self.until_text("#nodes", "drain, will stop")
        await self.kill(self.node("b"))
        await self.until_text("#calls-missing", "calls are missing: node b does not answer")
        await self.until_text("#gateways-missing", "what others count is missing: node b does not answer")
        await self.until_text("#nodes", "unknown")

    async def a_page_that_is_closed(self) -> None:
        """Node c, which has TLS, shows nothing without log-in, and all with it; its log-out ends the session."""
        await self.page.go(self.at("c").replace("http:", "https:"))
        await self.until_text("#shut", "shows nothing without log-in")
        self.assertEqual(
            await self.page.run("getComputedStyle(document.querySelector('main')).display"), "none"
        )
        self.assertEqual(await self.page.run("fetch('/api/calls').then((answer) => answer.status)"), 401)
        await self.click("#shut-log-in")
        await self.until(lambda: self.page.run("byId('login').open"), "the password is asked for")
        await self.types(OTHER)
        await self.until_text("#nodes", "secondary")
        await self.until_text("#live", "live")
        (cookie,) = (one for one in await self.page.cookies() if one["name"] == "__Host-voipcluster")
        self.assertEqual((cookie["secure"], cookie["httpOnly"], cookie["sameSite"]), (True, True, "Strict"))
        await self.click("#log-out")
        await self.until_text("#shut", "shows nothing without log-in")
        self.assertEqual(await self.page.run("fetch('/api/calls').then((answer) => answer.status)"), 401)
