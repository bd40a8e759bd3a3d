"""
Attacks by numbers: floods, guessing, slow and deaf connections (docs/security.md names them all).

What needs minutes is in bench/flood.py; here each is as long as it takes to be sure of what it would come to.
"""

from __future__ import annotations

import json
import random
import socket
import statistics
import time
from pathlib import Path
from threading import Event
from typing import Any, ClassVar

from twisted.internet.threads import deferToThread
from twisted.web.client import Agent, readBody

from tests.conformance.case import ConformanceTestCase, Dialog
from tests.conformance.marks import attack
from tests.conformance.peer import Peer
from voipcluster.phone import Phone

FAST = ("--set", "sip.t1=0.05")
SLACK = 6_000  # kB


class FloodCase(ConformanceTestCase):
    patience = (0.5, 1.5, 3.0)  # what is sent costs processor time, too
    auth = True

    def socket(self, host: str) -> socket.socket:
        """A UDP socket of an attacker, which needs no more than the answers' number and size."""
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.setblocking(False)
        opened.bind((host, 5060))

        async def close() -> None:
            opened.close()

        self.at_end(close)
        return opened

    def message(self, number: int, method: str, uri: str, sender: str, host: str) -> bytes:
        request = self.scribe(host).request(method, uri, ("Event", "presence"))
        request.set("From", f"<{sender}>;tag={number}")
        return request.to_bytes()

    def scribe(self, host: str) -> Peer:
        """Writes messages of an address without having it."""
        peer = Peer(self, "eve", "UDP", host)
        peer.port = 5060
        return peer

    async def flood(
        self, sockets: list[socket.socket], data: list[bytes], at_once: int = 50
    ) -> tuple[int, int]:
        """
        Send all of it in turn, some at once; gives how many answers came, and their octets.

        The node is let come up with it now and then: on a busy machine it would else have seconds' worth in its buffer.
        """
        answers = octets = 0
        for start in range(0, len(data), at_once):
            for number, one in enumerate(data[start : start + at_once], start):
                try:
                    sockets[number % len(sockets)].send(one)
                except BlockingIOError:
                    continue
            await self.tick(0.005)
            counted = self.drain(sockets)
            answers, octets = answers + counted[0], octets + counted[1]
            if start % 500 == 0:
                await self.node_answers()
        await self.node_answers()
        counted = self.drain(sockets)
        return answers + counted[0], octets + counted[1]

    def drain(self, sockets: list[socket.socket]) -> tuple[int, int]:
        answers = octets = 0
        for one in sockets:
            while True:
                try:
                    octets += len(one.recv(65535))
                except (BlockingIOError, ConnectionRefusedError):
                    break
                answers += 1
        return answers, octets

    def attackers(self, count: int) -> list[socket.socket]:
        sockets = [self.socket(self.address(1 + number)) for number in range(count)]
        for one in sockets:
            one.connect((self.node.address, 5060))
        return sockets

    @property
    def rss(self) -> int:
        """kB."""
        status = Path(f"/proc/{self.node.program.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    async def caller(self, user: str) -> Peer:
        await self.add_users(user)
        return self.udp(user)

    async def authorized_call(self, caller: Peer, callee: Peer) -> Dialog:
        """A call of a user of ours, up."""
        invite = caller.invite(callee.user)
        again = caller.authorized(invite, await caller.exchange(invite))
        caller.send(again)
        callee.reply(await callee.expect("INVITE"), 200, body=callee.sdp())
        dialog = Dialog.of_caller(caller, again, await caller.expect(200, "INVITE"))
        dialog.ack()
        await callee.expect("ACK")
        return dialog


class OneSourceTests(FloodCase):
    options: ClassVar = ("--set", "limits.requests_per_address=100", "--set", "limits.ban=3600")

    @attack("S2", "S29")
    async def test_invites(self) -> None:
        """While one address floods with INVITEs, ten calls of another succeed, and a call that was up before ends at once."""
        alice, bob = await self.caller("alice"), await self.phone("bob")
        before = await self.authorized_call(alice, bob)
        attacker = self.attackers(1)
        host = self.address(1)
        data = [
            self.message(n, "INVITE", f"sip:nobody@{self.domain}", f"sip:x@{self.domain}", host)
            for n in range(3000)
        ]
        flooding = self.flood_in_background(attacker, data)
        watch = self.stopwatch()
        alice.send(before.request("BYE"))
        bob.reply(await bob.expect("BYE"), 200)
        await alice.expect(200, "BYE")
        self.assertLess(watch.seconds, 2.0)
        for _ in range(10):
            call = await self.authorized_call(alice, bob)
            alice.send(call.request("BYE"))
            bob.reply(await bob.expect("BYE"), 200)
            await alice.expect(200, "BYE")
        answers, _ = await flooding
        self.assertLess(answers, 1500)
        numbers = await self.node.numbers()
        self.assertGreater(numbers['voipcluster_refused_total{limit="banned"}'], 1000)
        self.assertEqual(numbers["voipcluster_bans"], 1)
        self.assertEqual(self.node.log.read_text().count(f"'{host}' is banned"), 1)
        [row] = await self.node.voipctl_json("bans")
        self.assertEqual((row["who"], row["reason"]), (host, "too many requests"))
        await self.node.voipctl("unban", host)
        answers, _ = await self.flood(attacker, data[-1:])
        self.assertEqual(answers, 1)

    def flood_in_background(self, sockets: list[socket.socket], data: list[bytes]) -> Any:
        from twisted.internet.defer import ensureDeferred  # noqa: PLC0415 - used here alone

        return ensureDeferred(self.flood(sockets, data))


class GuessingTests(FloodCase):
    options: ClassVar = ("--set", "limits.guess_ban=3600", "--set", "limits.wrong_passwords_per_address=40")

    async def guess(self, peer: Peer, password: str) -> list[int]:
        """The answers to a REGISTER, and to the same with a digest of that password; 0 for none."""
        register = peer.request("REGISTER", f"sip:{self.domain}", to=f"<{peer.aor}>")
        register.add("Contact", f"<{peer.uri}>")
        peer.send(register)
        await self.node_answers()
        challenge = next((m for m in peer.inbox if m.call_id == register.call_id), None)
        if challenge is None:
            return [0]
        again = peer.authorized(register, challenge, password)
        return [challenge.status, (await peer.exchange(again)).status]

    @attack("S5")
    async def test_guessing_and_scanning(self) -> None:
        """Known and unknown users look alike; after ten guesses 403, after forty nothing; the neighbours keep service."""
        await self.add_users("alice", "bob", "carol")
        nat = self.address(77)
        phone = self.udp("bob", host=nat, port=6000)
        await phone.register()
        restarted = self.udp("carol", host=nat, port=6001)
        await restarted.register()
        for user in ("alice", "nobody"):
            attacker = self.udp(user, host=nat, port=7000 + len(user))
            answers = [await self.guess(attacker, f"guess {number}") for number in range(12)]
            self.assertEqual(answers, [[401, 401]] * 10 + [[401, 403]] * 2, user)
        scanner = self.udp("u0", host=nat, port=7100)
        answers = []
        for number in range(24):
            scanner.user = f"u{number}"
            answers.append(await self.guess(scanner, "1234"))
        self.assertEqual(answers, [[401, 401]] * 20 + [[0]] * 4)
        await phone.register()
        again = self.udp("carol", host=nat, port=6002)
        await again.register()
        alice = self.udp("alice", host=self.address(78))
        await alice.register()

    @attack("S25")
    async def test_time_of_an_answer(self) -> None:
        """A wrong password takes as long for a user who does not exist: the difference is below the noise."""
        await self.add_users("alice")
        took: dict[str, list[float]] = {"alice": [], "nobody": []}
        for source in range(20):
            for user, times in took.items():
                peer = self.udp(user, host=self.address(10 + source), port=7000 + len(user))
                for _ in range(8):
                    register = peer.request("REGISTER", f"sip:{self.domain}", to=f"<{peer.aor}>")
                    again = peer.authorized(register, await peer.exchange(register), "wrong").to_bytes()
                    begin = time.perf_counter()
                    peer.send(again)
                    await peer.expect(401)
                    times.append(time.perf_counter() - begin)
        known, unknown = (statistics.quantiles(times, n=4) for times in took.values())
        self.assertLess(abs(known[1] - unknown[1]), max(known[2] - known[0], 0.002), (known, unknown))


class ManyTests(FloodCase):
    options: ClassVar = (
        *FAST,
        "--set",
        "overload.enabled=false",
    )  # what a flood costs, not what it is refused for

    @attack("S3", "S24")
    async def test_many_sources(self) -> None:
        """Challenges for many sources leave neither transactions nor memory behind, and answer no more than one datagram each."""
        sockets = self.attackers(80)
        base = await self.counts()
        data = [
            self.message(
                n, method, f"sip:bob@{self.domain}", f"sip:x{n}@{self.domain}", self.address(1 + n % 80)
            )
            for n in range(4000)
            for method in [("INVITE", "SUBSCRIBE", "MESSAGE", "PUBLISH")[n % 4]]
        ]
        await self.flood(sockets, data[:800])
        before = self.rss
        answers, octets = await self.flood(sockets, data[800:])
        self.assertEqual(await self.counts(), base)
        self.assertLessEqual(answers, 3200)
        self.assertGreater(answers, 2500)
        self.assertLess(octets, 3 * sum(map(len, data[800:])))
        self.assertLess(self.rss, before + SLACK)

    @attack("S4")
    async def test_all_methods(self) -> None:
        """Seven methods, half of them relayed to a phone that answers nothing: all is back at the base line after 64*T1."""
        callee = await self.phone("bob")
        sockets = self.attackers(40)
        idle = (
            'voipcluster_transactions{side="server"}',
            'voipcluster_transactions{side="client"}',
            "voipcluster_timers",
        )
        base = await self.counts() | dict.fromkeys(idle, 0.0)
        methods = ("INVITE", "REGISTER", "SUBSCRIBE", "NOTIFY", "PUBLISH", "MESSAGE", "OPTIONS")

        def data(count: int) -> list[bytes]:
            return [
                self.message(
                    n, methods[n % 7], f"sip:bob@{self.domain}",
                    "sip:eve@elsewhere.example" if n % 2 else f"sip:x@{self.domain}", self.address(1 + n % 40),
                )
                for n in range(count)
            ]  # fmt: skip

        await self.flood(sockets, data(2000))
        await self.returns_to(base, 20.0)
        callee.heard.clear()
        callee.inbox.clear()
        before = self.rss
        await self.flood(sockets, data(2000))
        self.assertGreater(len(callee.heard), 500)
        await self.returns_to(base, 20.0)
        self.assertLess(self.rss, before + SLACK)

    @attack("S28")
    async def test_malformed(self) -> None:
        """20,000 broken packets are counted, and make less than 20 kB of log (so a million less than 1 MB)."""
        sockets, rng = self.attackers(40), random.Random(4475)
        good = self.message(
            1, "INVITE", f"sip:bob@{self.domain}", "sip:eve@elsewhere.example", self.address(1)
        )
        broken = [
            b"\xff" * 400,
            good[:60],
            good.replace(b"SIP/2.0", b"SIP/9.0"),
            good.replace(b": ", b" "),
            b"A" * 1200,
        ]
        for _ in range(35):
            data = bytearray(good)
            for _ in range(8):
                data[rng.randrange(len(data))] = rng.randrange(256)
            broken.append(bytes(data))
        size = self.node.log.stat().st_size
        await self.flood(sockets, [broken[n // 40 % 40] for n in range(20_000)])
        self.assertLess(self.node.log.stat().st_size - size, 20_000)
        numbers = await self.node.numbers()
        self.assertGreater(numbers['voipcluster_messages_dropped_total{reason="malformed"}'], 3000)

    @attack("S17")
    async def test_large_datagrams(self) -> None:
        """Datagrams of 60 kB, whole ones, are dropped or answered, and others are served meanwhile."""
        [attacker] = self.attackers(1)
        good = self.message(1, "OPTIONS", f"sip:{self.domain}", "sip:eve@elsewhere.example", self.address(1))
        large = good.replace(b"\r\nContent-Length", b"\r\nX: y" * 8000 + b"\r\nContent-Length")
        self.assertGreater(len(large), 48_000)
        for _ in range(5):
            watch = self.stopwatch()
            await self.flood([attacker], [large] * 40, 10)
            self.assertLess(watch.seconds, 5.0)


class FullTests(FloodCase):
    """A node that can hold little, so that what minutes of a flood come to is there in a second."""

    options: ClassVar = ("--set", "limits.transactions=200", "--set", "limits.calls=60")

    @attack("S4")
    async def test_silent_phone(self) -> None:
        """
        Strangers of many addresses fill the node with requests to a phone that answers nothing: users still call each other.

        Each of these requests is held for 64*T1, so all of them are there while the calls are placed.
        """
        alice, bob, silent = await self.caller("alice"), await self.phone("bob"), await self.phone("silent")
        before = await self.authorized_call(alice, bob)
        sockets = self.attackers(40)
        methods = ("INVITE", "MESSAGE", "SUBSCRIBE", "NOTIFY", "OPTIONS", "INVITE")
        await self.flood(
            sockets,
            [
                self.message(
                    n, methods[n // 40 % 6], f"sip:{silent.user}@{self.domain}",
                    "sip:eve@elsewhere.example", self.address(1 + n % 40),
                )
                for n in range(600)
            ],
        )  # fmt: skip

        async def noticed() -> bool:
            numbers = await self.node.numbers()
            return numbers['voipcluster_workload_component{resource="transactions"}'] >= 0.69

        await self.until(noticed, "the workload is what the flood made it")
        for _ in range(5):
            call = await self.authorized_call(alice, bob)
            alice.send(call.request("BYE"))
            bob.reply(await bob.expect("BYE"), 200)
            await alice.expect(200, "BYE")
        alice.send(before.request("BYE"))
        bob.reply(await bob.expect("BYE"), 200)
        await alice.expect(200, "BYE")
        numbers = await self.node.numbers()
        self.assertGreater(numbers['voipcluster_refused_total{limit="strangers"}'], 200)
        self.assertEqual(numbers['voipcluster_placements_total{decision="refuse"}'], 0)


class FullBufferTests(FloodCase):
    @attack("S24", "S28")
    async def test_full_buffer(self) -> None:
        """
        More comes than can be read, of many addresses that are below their own limits: phones call all the same.

        What strangers send is thrown away unread until the socket's buffer is short again.
        """
        phones = {}
        for number, user in enumerate(("alice", "bob")):
            await self.add_users(user)
            phones[user] = Phone(
                self.reactor,
                user,
                self.domain,
                self.node.users[user],
                self.node.hop("UDP"),
                self.address(200 + number),
            )
            self.at_end(phones[user].stop)
            await phones[user].register()
        numbers = [range(n, 1 << 30, 40) for n in range(40)]
        sockets, over = self.attackers(40), Event()
        data = [
            self.message(n, "REGISTER", f"sip:{self.domain}", f"sip:x@{self.domain}", self.address(1 + n))
            for n in range(40)
        ]

        def flood() -> None:
            """As much as the system takes, each source in turn: a REGISTER that is new, or what is no SIP."""
            end = time.monotonic() + 20.0
            for count in range(1 << 30):
                if over.is_set() or time.monotonic() > end:
                    return
                for one, message, mine in zip(sockets, data, numbers, strict=True):
                    new = message.replace(b"z9hG4bK", b"z9hG4bK%d-" % mine[count])
                    try:
                        one.send(new if count % 4 else new[:60])
                    except (BlockingIOError, ConnectionRefusedError):
                        continue

        flooding = deferToThread(flood)
        try:

            async def noticed() -> bool:
                return (await self.node.numbers())['voipcluster_refused_total{limit="backlog"}'] > 1000

            await self.until(noticed, "the flood is thrown away", 15.0)
            for _ in range(3):
                call = await phones["alice"].call(f"bob@{self.domain}")
                phones["alice"].hang_up(call)
                await self.until(lambda call=call: call.over, "the call is over", 30.0)
        finally:
            over.set()
            await flooding
        await self.until(lambda: "all is read again" in self.node.log.read_text(), "it is over", 30.0)
        self.assertGreater(
            (await self.node.numbers())['voipcluster_messages_dropped_total{reason="malformed"}'], 0
        )


class ConnectionTests(FloodCase):
    auth = False
    options: ClassVar = (
        "--set",
        "limits.connections_per_address=40",
        "--set",
        "limits.requests_per_address=0",
    )

    @attack("S10")
    async def test_line_ends(self) -> None:
        """A megabyte of line ends on one connection gets few pongs, and others wait for nothing."""
        stranger = await self.tcp("eve")
        connection = stranger.connection
        assert connection is not None
        for _ in range(16):
            connection.write(b"\r\n" * (32 << 10))
            await self.node_answers()
        self.assertLessEqual(connection.pongs, (1 << 20) // 4)
        self.assertLess(connection.pongs, 1000)
        self.assertFalse(connection.is_closed)

    @attack("S11")
    async def test_slow_connections(self) -> None:
        """120 connections that never finish a message are all closed in time; a new client is served at once."""
        slow = [await self.tcp("eve", host=self.address(120 + number % 3)) for number in range(120)]
        for number, one in enumerate(slow):
            one.send(b"OPTIONS sip:x SIP/2.0\r\nVia: "[: 1 + number % 25])
        good = await self.tcp("alice", host=self.address(120))
        request = good.request("OPTIONS", f"sip:{self.node_uri_host}")
        watch = self.stopwatch()
        self.assertEqual((await good.exchange(request)).status, 200)
        self.assertLess(watch.seconds, 2.0)
        watch = self.stopwatch()
        await self.until(lambda: all(one.connection.is_closed for one in slow), "all are closed", 30.0)
        self.assertLess(watch.seconds, 12.0)
        assert good.connection is not None
        self.assertFalse(good.connection.is_closed)

    @attack("S12")
    async def test_reader_that_does_not_read(self) -> None:
        """A phone that registers and reads nothing more: what waits for it is bounded, then its flow is closed."""
        deaf, sender = await self.tcp("bob"), self.udp("eve")
        await deaf.register()
        assert deaf.connection is not None
        deaf.connection.transport.pauseProducing()
        before = self.rss
        body = b"x" * 8000
        sent = 0
        while (await self.node.numbers())["voipcluster_registrations"]:
            for _ in range(50):
                sender.send(sender.request("MESSAGE", "bob", body=body))
                sent += 1
            await self.node_answers()
            self.assertLess(sent, 10_000)
        self.assertLess(self.rss, before + 64_000)
        self.assertIn((await sender.exchange(sender.request("MESSAGE", "bob", body=b"x"))).status, (404, 480))


class PageTests(ConformanceTestCase):
    options: ClassVar = ("--set", "web.port=8080")

    @attack("S22")
    async def test_script_in_a_header(self) -> None:
        """What a phone says of itself is text: no page is HTML made of it, and no inline script would run."""
        script = "<script>alert(1)</script>"
        phone = self.udp("bob")
        await phone.register(("User-Agent", script), contact=f'"{script}" <{phone.uri};x=%3Cscript%3E>')
        agent = Agent(self.reactor)
        for path in ("", "api/registrations", "api/calls", "api/status"):
            response = await agent.request(b"GET", f"http://{self.node.address}:8080/{path}".encode())
            text = (await readBody(response)).decode()
            kind = response.headers.getRawHeaders("content-type")[0]
            policy = response.headers.getRawHeaders("content-security-policy")[0]
            self.assertIn("script-src 'self'", policy)
            self.assertNotIn("unsafe", policy)
            self.assertEqual(response.headers.getRawHeaders("x-content-type-options"), ["nosniff"])
            if kind.startswith("text/html"):
                self.assertNotIn(script, text)
            else:
                self.assertTrue(kind.startswith("application/json"), kind)
                json.loads(text)
        page = Path(__file__).parents[2] / "voipcluster" / "web" / "static" / "dashboard.js"
        self.assertNotRegex(
            await deferToThread(page.read_text), "innerHTML|outerHTML|document.write|insertAdjacent"
        )
