"""Attacks by single messages: smuggling, spoofing, injection, open relays, leaks (docs/security.md names them all)."""

from __future__ import annotations

import re
from typing import ClassVar

from tests.conformance.case import ConformanceTestCase, Dialog
from tests.conformance.marks import attack
from tests.conformance.peer import Peer
from tests.conformance.wire import Message

AT_ONCE = 1.0  # seconds: the longest that one message may take, the best of three times


class AuthenticatedCase(ConformanceTestCase):
    auth = True

    async def caller(self, user: str) -> Peer:
        """A user of ours who is not registered."""
        await self.add_users(user)
        return self.udp(user)

    async def called(self, caller: Peer, callee: Peer) -> tuple[Message, Message, Message]:
        """An INVITE of a user of ours until it rings: as sent, as it arrived, and the challenge."""
        invite = caller.invite(callee.user)
        challenge = await caller.exchange(invite)
        again = caller.authorized(invite, challenge)
        caller.send(again)
        return again, await callee.expect("INVITE"), challenge


class DigestTests(AuthenticatedCase):
    @attack("S1")
    async def test_callee_that_asks_for_a_digest(self) -> None:
        """A callee's challenge, whatever its realm, is never answered by the node; the caller's credentials do not reach it."""
        caller, callee = await self.caller("alice"), await self.phone("bob")
        invite, arrived, _ = await self.called(caller, callee)
        for name in ("authorization", "proxy-authorization"):
            self.assertNotIn(name, arrived)
        ok = callee.reply(arrived, 200, body=callee.sdp())
        ours = Dialog.of_caller(caller, invite, await caller.expect(200))
        ours.ack()
        await callee.expect("ACK")
        for realm in (self.domain, "elsewhere.example"):
            for status, name in ((401, "WWW-Authenticate"), (407, "Proxy-Authenticate")):
                caller.send(ours.request("INFO"))
                request = await callee.expect("INFO")
                callee.reply(request, status, (name, f'Digest realm="{realm}", nonce="x", algorithm=MD5'))
                self.assertEqual(
                    (await caller.expect(status))[name], f'Digest realm="{realm}", nonce="x", algorithm=MD5'
                )
        await callee.silence("INFO")
        caller.send(ours.request("BYE"))
        callee.reply(await callee.expect("BYE"), 200)
        await caller.expect(200, "BYE")
        self.assertEqual([m for m in callee.heard if "authorization" in m or "proxy-authorization" in m], [])
        self.assertTrue(ok.body)

    @attack("S23")
    async def test_broken_credentials(self) -> None:
        """Credentials that are none get a new challenge or 400 at once, never a crash and never service."""
        await self.add_users("alice")
        peer = self.udp("alice")
        broken = [
            "Digest", "Digest ", "Digest ,,,,", "Digest username", 'Digest username="', 'Digest username="alice',
            "Basic YTpi", "Digest realm=" + "x" * 5000, "Digest " + "a=b," * 500, 'Digest username="\\"',
            f'Digest username="alice",realm="{self.domain}",nonce="{"A" * 3000}",uri="sip:{self.domain}",response="0"',
            f'Digest username="alice",realm="{self.domain}",nonce="",uri="",response=""',
            f'Digest username="alice",realm="{self.domain}",nonce="x",uri="sip:{self.domain}",response="{"f" * 32}",'
            'qop=auth,nc=zzzzzzzz,cnonce="c"',
            f'Digest username="alice",realm="{self.domain}",nonce="x",uri="sip:{self.domain}",response="{"f" * 32}",'
            'algorithm=MD5-sess',
            "Digest \u00fc=\u00fc", 'Digest username*=UTF-8\'\'%00, realm="x"', "", ",", "=" * 100,
        ]  # fmt: skip

        async def refused(value: str) -> None:
            register = peer.request(
                "REGISTER", f"sip:{self.domain}", ("Authorization", value), to=f"<{peer.aor}>"
            )
            register.add("Contact", f"<{peer.uri}>")
            response = await peer.exchange(register)
            self.assertIn(response.status, (400, 401, 403), value)

        for value in broken:
            await self.at_once(lambda value=value: refused(value), AT_ONCE, value)

    @attack("S24")
    async def test_replay(self) -> None:
        """Credentials that were accepted once are not accepted again, nor for another method."""
        peer = await self.caller("alice")
        register = peer.request("REGISTER", f"sip:{self.domain}", to=f"<{peer.aor}>")
        register.add("Contact", f"<{peer.uri}>")
        again = peer.authorized(register, await peer.exchange(register))
        self.assertEqual((await peer.exchange(again)).status, 200)
        thief = self.udp("alice")
        for method in ("REGISTER", "MESSAGE"):
            stolen = thief.request(method, f"sip:{self.domain}", to=f"<{peer.aor}>")
            stolen.add("Authorization", again["authorization"])
            stolen.add("Proxy-Authorization", again["authorization"])
            self.assertIn((await thief.exchange(stolen)).status, (401, 407))


class RelayTests(AuthenticatedCase):
    @attack("S6")
    async def test_requests_of_strangers(self) -> None:
        """What starts something is relayed in our name only with a digest, and between strangers not at all."""
        foreign = self.udp_at("victim")
        stranger = self.udp("eve")
        for method in ("MESSAGE", "SUBSCRIBE", "REFER", "PUBLISH", "OPTIONS", "INVITE"):
            for sender, uri, statuses in (
                (f"sip:eve@{self.domain}", f"sip:x@{foreign.where}", (407,)),
                (f"sip:eve@{self.domain}", f"sip:bob@{self.domain}", (407,)),
                ("sip:eve@elsewhere.example", f"sip:x@{foreign.where}", (403,)),
            ):
                request = stranger.request(method, uri)
                request.set("From", f"<{sender}>;tag=1")
                self.assertIn((await stranger.exchange(request)).status, statuses, (method, sender, uri))
        await foreign.silence()

    def udp_at(self, user: str) -> Peer:
        """Somebody who does not belong to the node."""
        return self.udp(user)

    @attack("S7")
    async def test_open_relay(self) -> None:
        """Neither a Route nor maddr of a stranger leads to a victim, whoever is named in the Request-URI."""
        victim, stranger, callee = self.udp_at("victim"), self.udp("eve"), await self.phone("bob")
        node = self.node_uri_host
        for uri, routes in (
            (f"sip:victim@{victim.where}", [f"<sip:{node};lr>"]),
            (f"sip:victim@{victim.where}", [f"<sip:{node};lr>", f"<sip:{victim.where};lr>"]),
            (f"sip:bob@{self.domain}", [f"<sip:{victim.where};lr>"]),
            (f"sip:{node};maddr={victim.host}", []),
            (f"sip:victim@{node};maddr={victim.host}", []),
            (f"sip:victim@{victim.where}", [f"<sip:{node};lr;call=AAAAAAAAAAAAAAAAAAAAAAAA>"]),
            (f"sip:victim@{victim.where}", [f"<sip:{node};lr;flow=AAAAAAAAAAAAAAAAAAAAAAAA>"]),
            (f"sip:victim@{victim.where}", [f"<sip:{node};lr;ho=AAAAAAAAAAAAAAAAAAAAAAAA>"]),
        ):
            for tag in ("", ";tag=x"):
                request = stranger.request(
                    "INVITE", uri, *(("Route", route) for route in routes), to=f"<{uri}>{tag}"
                )
                request.set("From", "<sip:eve@elsewhere.example>;tag=1")
                self.assertGreaterEqual((await stranger.exchange(request)).status, 400, (uri, routes, tag))
        await callee.silence("INVITE")
        # whoever is in our domain is looked up here, wherever maddr points
        request = stranger.invite(f"sip:bob@{self.domain};maddr={victim.host}")
        stranger.send(request.set("From", "<sip:eve@elsewhere.example>;tag=1"))
        callee.reply(await callee.expect("INVITE"), 486)
        await stranger.expect(486)
        await victim.silence()

    @attack("S7")
    async def test_open_relay_with_a_flow_token(self) -> None:
        """Who has seen the Path of a phone can send to that phone, and through us to nobody else."""
        victim, stranger, registrar = self.udp_at("victim"), self.udp("eve"), self.udp_at("registrar")
        phone = await self.caller("frank")
        register = phone.request("REGISTER", f"sip:{registrar.where}", ("Supported", "path, outbound"))
        register.add("Contact", f'<{phone.uri}>;+sip.instance="<urn:uuid:7>";reg-id=1')
        phone.send(phone.authorized(register, await phone.exchange(register)))
        arrived = await registrar.expect("REGISTER")
        registrar.reply(arrived, 200)
        await phone.expect(200)
        path, uri = arrived["path"], f"sip:+1900@{victim.where}"
        for token in (path, path.replace(";ob", "")):
            for behind in (f"<sip:{victim.where};lr>", f"<sip:{victim.where}>"):
                request = stranger.invite(uri, ("Route", token), ("Route", behind))
                stranger.send(request.set("From", "<sip:eve@elsewhere.example>;tag=1"))
                got = await phone.expect("INVITE")
                self.assertEqual((got.uri, got.lines("route")), (uri, [behind]))
                phone.reply(got, 404)
                await stranger.expect(404)
        await victim.silence()

    @attack("S7")
    async def test_open_relay_with_a_call_token(self) -> None:
        """Who is in a call with one of us can send to that one, and through us to nobody else; nor can the callee."""
        victim, stranger, callee = self.udp_at("victim"), self.udp("eve"), await self.phone("bob")
        invite = stranger.invite("bob").set("From", "<sip:eve@elsewhere.example>;tag=1")
        stranger.send(invite)
        arrived = await callee.expect("INVITE")
        answer = callee.reply(arrived, 200, body=callee.sdp())
        theirs = Dialog.of_caller(stranger, invite, await stranger.expect(200))
        ours = Dialog.of_callee(callee, arrived, answer)
        theirs.ack()
        await callee.expect("ACK")
        beyond = f"<sip:victim@{victim.where};lr>"
        theirs.routes, ours.routes = [*theirs.routes, beyond], [*ours.routes, beyond]
        theirs.target = f"sip:+1900@{callee.where}"
        for method in ("INVITE", "MESSAGE", "REFER"):
            request = theirs.request(method)
            stranger.send(request)
            callee.reply(await callee.expect(method), 404)
            response = await stranger.final(request)
            if method == "INVITE":
                stranger.ack(request, response)
            self.assertEqual((await callee.exchange(ours.request(method))).status, 481)
        ours.routes.pop()
        ours.target = f"{stranger.uri};maddr={victim.host}"
        self.assertEqual((await callee.exchange(ours.request("INVITE"))).status, 481)
        await self.node_answers()
        # the ACK for a 481 that was sent without state is one of the dialog for us, and starts nothing
        self.assertEqual({m.method for m in victim.heard} - {"ACK"}, set())
        ours.target = stranger.uri
        bye = ours.request("BYE")
        callee.send(bye)
        stranger.reply(await stranger.expect("BYE"), 200)
        await callee.expect(200, "BYE")


class SmugglingTests(ConformanceTestCase):
    @attack("S8")
    async def test_header_name_with_a_space(self) -> None:
        """A name with a blank behind it is the same header for whoever filters and whoever forwards (7.3.1)."""
        stranger, callee = self.udp("eve"), await self.phone("bob")
        for name in ("P-Asserted-Identity ", "P-Asserted-Identity\t", "p-asserted-IDENTITY   "):
            stranger.send(stranger.invite("bob", (name, "<sip:boss@example.com>")))
            arrived = await callee.expect("INVITE")
            self.assertNotIn(b"boss", arrived.raw)
            callee.reply(arrived, 486)
            await stranger.expect(486)

    @attack("S9")
    async def test_content_length(self) -> None:
        """What the stream framer cannot believe closes the connection; the request behind it is never carried out."""
        callee = await self.phone("bob")
        for value in (
            "-1",
            "abc",
            "99999999999999999999",
            "5, 6",
            "0x10",
            "+5",
            "1e3",
            "4294967296",
            "\u0665",
            "",
        ):
            stranger = await self.tcp("eve")
            first = stranger.request("OPTIONS", self.node_uri(), ("Content-Length", value))
            second = stranger.request("MESSAGE", "bob", body=b"smuggled")
            stranger.send(first.to_bytes() + second.to_bytes())
            connection = stranger.connection
            assert connection is not None
            await self.until(
                lambda connection=connection: connection.is_closed, f"{value!r} closes the connection"
            )
            self.assertIn([m.status for m in stranger.heard], ([400], [413], []), value)
        for extra in (("Content-Length", "0"), ("l", "99"), ("content-length ", "7")):
            stranger = await self.tcp("eve")
            first = stranger.request("MESSAGE", "bob", ("Content-Length", "0"), extra)
            stranger.send(first.to_bytes() + stranger.request("MESSAGE", "bob", body=b"smuggled").to_bytes())
            connection = stranger.connection
            assert connection is not None
            await self.until(
                lambda connection=connection: connection.is_closed, f"{extra!r} closes the connection"
            )
        await callee.silence("MESSAGE")

    def node_uri(self) -> str:
        return f"sip:{self.node_uri_host}"

    @attack("S9")
    async def test_content_length_of_a_datagram(self) -> None:
        """A datagram that is shorter than it says, or says nonsense, gets 400; octets behind the body go nowhere (18.3)."""
        stranger, callee = self.udp("eve"), await self.phone("bob")
        for value in ("9999", "-1", "abc", "99999999999999999999"):
            request = stranger.request("MESSAGE", "bob", ("Content-Length", value), body=b"hello")
            self.assertEqual((await stranger.exchange(request)).status, 400, value)
        hidden = stranger.request("MESSAGE", "bob", body=b"smuggled").to_bytes()
        stranger.send(stranger.request("MESSAGE", "bob", body=b"hello").to_bytes() + hidden)
        self.assertEqual((await callee.expect("MESSAGE")).body, b"hello")
        await callee.silence("MESSAGE")

    @attack("S14")
    async def test_via_and_record_route(self) -> None:
        """received is the truth; a Via or Record-Route that names the node leads nobody into a circle or to a victim."""
        stranger, callee, victim = self.udp("eve"), await self.phone("bob"), self.udp("victim")
        forged = stranger.invite("bob", via=f";received={victim.host};rport=9")
        stranger.send(forged)
        arrived = await callee.expect("INVITE")
        self.assertEqual(
            (arrived.via("received", 1), arrived.via("rport", 1)), (stranger.host, str(stranger.port))
        )
        callee.reply(arrived, 486)
        await stranger.expect(486)
        named = stranger.invite("bob")
        named.set("Via", f"SIP/2.0/UDP {self.node_uri_host};branch=z9hG4bKnode;rport")
        stranger.send(named)
        arrived = await callee.expect("INVITE")
        callee.reply(arrived, 486)
        await stranger.expect(486)
        recorded = stranger.invite("bob", ("Record-Route", f"<sip:{self.node_uri_host};lr;call=forged>"))
        stranger.send(recorded)
        arrived = await callee.expect("INVITE")
        callee.reply(
            arrived, 200, *(("Record-Route", r) for r in arrived.lines("record-route")), body=callee.sdp()
        )
        ours = Dialog.of_caller(stranger, recorded, await stranger.expect(200))
        self.assertEqual(
            (await stranger.exchange(ours.request("BYE"))).status, 403
        )  # it comes first in the route set
        theirs = Dialog.of_callee(callee, arrived, callee.reply(arrived, 200, body=callee.sdp()))
        self.assertGreaterEqual((await callee.exchange(theirs.request("BYE"))).status, 400)
        numbers = await self.node.numbers()
        self.assertEqual(numbers["voipcluster_calls"], 0)  # the callee has hung up, whoever hears of it
        await victim.silence()


class InjectionTests(ConformanceTestCase):
    @attack("S15")
    async def test_responses_of_strangers(self) -> None:
        """A response that belongs to no branch of ours is dropped; branches of ours cannot be guessed."""
        caller, callee, stranger = self.udp("alice"), await self.phone("bob"), self.udp("eve")
        invite = caller.invite("bob")
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        await caller.expect(100)
        vias = arrived.lines("via")
        for status in (200, 401, 302, 503):
            forged = Message(f"SIP/2.0 {status} Forged", [])
            for branch in ("z9hG4bKguess", arrived.branch[:-1] + ("x" if arrived.branch[-1] != "x" else "y")):
                forged.headers = [
                    ("Via", vias[0].replace(arrived.branch, branch)),
                    *(("Via", via) for via in vias[1:]),
                    ("From", arrived["from"]), ("To", arrived["to"] + ";tag=eve"), ("Call-ID", arrived.call_id),
                    ("CSeq", arrived["cseq"]), ("Contact", f"<{stranger.uri}>"),
                ]  # fmt: skip
                stranger.send(forged)
        await self.node_answers()
        self.assertEqual([m.status for m in caller.heard], [100])
        callee.reply(arrived, 486)
        await caller.expect(486)
        branches = set()
        for _ in range(200):
            caller.send(caller.request("MESSAGE", "bob", body=b"x"))
            message = await callee.expect("MESSAGE")
            callee.reply(message, 200)
            branches.add(message.branch.partition("-")[0])
        self.assertEqual(len(branches), 200)
        common = [
            all(b[i : i + 1] == next(iter(branches))[i : i + 1] for b in branches) for i in range(7, 24)
        ]
        self.assertFalse(any(common), f"a place of the branch never changes: {next(iter(branches))}")

    @attack("S16")
    async def test_ack_cancel_and_bye_of_strangers(self) -> None:
        """ACK without INVITE, CANCEL from elsewhere and BYE without a Route of ours change nothing."""
        caller, callee, stranger = self.udp("alice"), await self.phone("bob"), self.udp("eve")
        stranger.send(stranger.request("ACK", "bob", to="<sip:bob@example.com>;tag=x"))
        self.assertEqual((await stranger.exchange(stranger.request("CANCEL", "bob"))).status, 481)
        invite = caller.invite("bob")
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        stranger.cancel(invite)
        await stranger.expect(481, "CANCEL")
        await callee.silence("CANCEL")
        answer = callee.reply(arrived, 200, body=callee.sdp())
        ours = Dialog.of_caller(caller, invite, await caller.expect(200))
        ours.ack()
        await callee.expect("ACK")
        forged = stranger.request("BYE", callee.uri, to=answer["to"])
        forged.set("From", arrived["from"]).set("Call-ID", arrived.call_id)
        self.assertIn((await stranger.exchange(forged)).status, (403, 481))
        await callee.silence("BYE")
        caller.send(ours.request("BYE"))
        callee.reply(await callee.expect("BYE"), 200)
        await caller.expect(200, "BYE")
        self.assertEqual([m.method for m in callee.heard if m.method == "ACK"], ["ACK"])

    @attack("S20")
    async def test_a_circle_of_routes(self) -> None:
        """70 Routes that all name the node send one request out at most."""
        stranger, callee = self.udp("eve"), await self.phone("bob")
        routes = [("Route", f"<sip:{self.node_uri_host};lr>")] * 70
        stranger.send(stranger.request("MESSAGE", "bob", *routes, body=b"x"))
        await self.node_answers()
        self.assertLessEqual(len({m.raw for m in callee.heard if m.method == "MESSAGE"}), 1)
        numbers = await self.node.numbers()
        self.assertLessEqual(numbers['voipcluster_transactions{side="client"}'], 1)

    @attack("S21")
    async def test_text_that_others_would_carry_out(self) -> None:
        """SQL, shell, LDAP and line breaks in names are text; the log holds no control character that a peer sent."""
        names = [
            "x'; DROP TABLE subscriber; --", "$(touch%20/tmp/owned)", "`id`", "*)(uid=*))(|(uid=*",
            "%00", "%0d%0aINJECTED", "..%2f..%2fetc%2fpasswd", "\u202eevil", "{reason}", "%s%n",
        ]  # fmt: skip
        stranger = self.udp("eve")
        for name in names:
            escaped = name.replace(" ", "%20").replace('"', "%22").replace("`", "%60").replace("|", "%7c")
            escaped = (
                escaped.replace("{", "%7b").replace("}", "%7d").encode("ascii", "xmlcharrefreplace").decode()
            )
            uri = f"sip:{escaped}@{self.domain}"
            register = stranger.request("REGISTER", f"sip:{self.domain}", to=f"<{uri}>")
            register.add("Contact", f"<{stranger.uri}>").add("User-Agent", name)
            stranger.send(register)
            stranger.send(f"{name} sip:x SIP/2.0\r\n\x1b[31m{name}\r\n\r\n".encode())
            stranger.send(stranger.request("MESSAGE", uri, ("Subject", name), body=name.encode()))
        await self.node_answers()
        log = self.node.log.read_bytes()
        self.assertEqual(re.findall(rb"[\x00-\x09\x0b-\x1f\x7f]", log), [])
        self.assertNotIn(b"\nINJECTED", log)
        stranger.user = "carol"
        await stranger.register()  # the store still works

    @attack("S13")
    async def test_header_bombs(self) -> None:
        """Long lists, many lines, deep folding: answered or dropped in 0.2 s, and twice as much takes about twice as long."""
        stranger = await self.tcp("eve")
        bombs = {
            "lines": lambda n: "X: y\r\n" * (n // 6),
            "folds": lambda n: "Subject: a" + "\r\n b" * (n // 4) + "\r\n",
            "commas": lambda n: "Contact: " + ",".join(["<sip:a@b>"] * (n // 10)) + "\r\n",
            "vias": lambda n: "Via: " + ",".join(["SIP/2.0/UDP h;branch=z9hG4bKx"] * (n // 31)) + "\r\n",
            "routes": lambda n: "Route: " + ",".join(["<sip:h;lr>"] * (n // 11)) + "\r\n",
            "quotes": lambda n: 'Subject: "' + '\\"' * (n // 2) + '"\r\n',
            "params": lambda n: "Accept-Contact: *" + ";a=b" * (n // 4) + "\r\n",
            "uri": lambda n: "Alert-Info: <sip:" + "a" * n + ">\r\n",
            "token": lambda n: "a" * n + ": b\r\n",
            "equals": lambda n: "Via: SIP/2.0/UDP h" + ";" * n + "\r\n",
        }
        for name, bomb in bombs.items():
            best = [9.0, 9.0]
            for _ in range(9):
                for at, size in enumerate((14_000, 28_000)):
                    request = stranger.request("OPTIONS", f"sip:{self.node_uri_host}").to_bytes()
                    data = request.replace(
                        b"\r\nContent-Length", b"\r\n" + bomb(size).encode()[:-2] + b"\r\nContent-Length"
                    )
                    watch = self.stopwatch()
                    stranger.send(data)
                    await self.node_answers()
                    best[at] = min(best[at], watch.seconds)
                    if stranger.connection is None or stranger.connection.is_closed:
                        stranger = await self.tcp("eve")
                if best[1] < AT_ONCE and best[1] < 3 * best[0] + 0.1:
                    break
            else:
                self.fail(f"{name}: the double of it takes {best[1]} s, and it {best[0]} s")


class AmplificationTests(AuthenticatedCase):
    options: ClassVar = ("--set", "sip.t1=0.05")

    @attack("S18")
    async def test_one_datagram_for_one(self) -> None:
        """A small INVITE without ACK gets one datagram in 64*T1, at most three times as long; so do other small requests."""
        stranger = self.udp("eve")
        await self.add_users("alice")
        for sender in (f"sip:alice@{self.domain}", "sip:e@x.y"):
            for method in ("INVITE", "REGISTER", "OPTIONS", "MESSAGE", "BYE", "FOO"):
                for uri in (f"sip:nobody@{self.domain}", f"sip:{self.domain}", f"sip:alice@{self.domain}"):
                    data = (
                        f"{method} {uri} SIP/2.0\r\nv:SIP/2.0/UDP {stranger.host};branch=z9hG4bK{method}{len(stranger.heard)}\r\n"
                        f"f:<{sender}>;tag=1\r\nt:<{uri}>\r\ni:{len(stranger.heard)}\r\nCSeq:1 {method}\r\n\r\n"
                    ).encode()
                    before = len(stranger.heard)
                    stranger.send(data)
                    await self.until(
                        lambda before=before: len(stranger.heard) > before, f"an answer to {data!r}"
                    )
                    size = len(stranger.heard[-1].raw)
                    self.assertLessEqual(size, 3 * len(data), stranger.heard[-1].raw)
        count = len(stranger.heard)
        await self.hold(64 * 0.05 + 0.5, lambda: len(stranger.heard) == count, "nothing is repeated")
