"""Floods and guessing at a whole node: who is refused how, and who keeps service (attacks S2, S5, S18, S24, S29, M8)."""

from __future__ import annotations

from ipaddress import ip_network

from tests.unit.services.sip_world import Phone, WorldCase
from voipcluster.sip.limits import LimitSettings

BOB = "sip:bob@example.com"
STRANGER = "sip:eve@elsewhere.example"
LIMITS = LimitSettings(
    requests_per_address=8.0,
    requests_per_user=8.0,
    ban=60.0,
    wrong_passwords_per_user=3,
    wrong_passwords_per_address=10,
    guess_ban=600.0,
)


class LimitingCase(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a", auth=True, limits=LIMITS)
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.bob = self.world.phone("bob", "198.51.100.2")
        self.attacker = self.world.phone("eve", "198.51.100.66")

    def flood(self, phone: Phone, count: int = 60, method: str = "OPTIONS") -> list[int | str]:
        for number in range(count):
            phone.send(self.node, method, "sip:no@example.com", from_uri=STRANGER, call_id=f"flood-{number}")
        return phone.took()

    def register(self, phone: Phone, password: str = "secret", call_id: str = "reg") -> list[int | str]:
        uri = "sip:example.com"
        phone.send(self.node, "REGISTER", uri, call_id=call_id, headers=["Expires: 600"])
        if not phone.inbox:
            return []
        answer = phone.credentials(phone.response(401), "REGISTER", uri, password)
        phone.send(self.node, "REGISTER", uri, call_id=call_id, cseq=2, headers=["Expires: 600", answer])
        return phone.took()

    def guess(self, phone: Phone, count: int) -> list[int | str]:
        return [status for n in range(count) for status in self.register(phone, "wrong", f"guess-{n}")]

    def authenticated(self, phone: Phone, method: str, uri: str, call_id: str, **more: object) -> None:
        """Send a request, and again with the answer to its challenge."""
        phone.send(self.node, method, uri, call_id=call_id)
        answer = phone.credentials(phone.response(407), method, uri)
        phone.send(self.node, method, uri, call_id=call_id, cseq=2, headers=[answer], **more)


class FloodTests(LimitingCase):
    def test_flood(self) -> None:
        """S2: the flood is answered 5 s long and dropped then; another address is served all the time."""
        self.assertEqual(self.register(self.bob), [401, 200])
        self.assertEqual(len(self.flood(self.attacker)), 40)
        self.assertEqual(self.flood(self.attacker), [])
        self.assertEqual(self.node.limiting.refused, {"banned": 80})
        self.assertEqual(self.register(self.alice), [401, 200])
        self.world.wait(61)
        self.assertEqual(len(self.flood(self.attacker, 1)), 1)

    def test_dropped_unread(self) -> None:
        """What a banned source sends is not even parsed, unless it may be a response or of a dialog."""
        self.flood(self.attacker)
        flow = self.attacker.address
        for data in (b"garbage", b"INVITE sip:x SIP/2.0\r\n\r\n"):
            self.world.network.put("UDP", flow, self.node.address, data)
        self.world.run()
        self.assertEqual(self.node.transactions.malformed, 0)
        self.world.network.put("UDP", flow, self.node.address, b"SIP/2.0 200 OK\r\n\r\n")
        self.world.run()
        self.assertEqual(self.node.transactions.malformed + self.node.transactions.stray_responses, 1)

    def test_malformed_counts(self) -> None:
        """Broken requests are answered no longer than others."""
        for number in range(60):
            self.attacker.send(self.node, "OPTIONS", BOB, headers=["no header"], call_id=f"{number}")
        self.assertEqual(self.attacker.took(), [400] * 40)

    def test_connection_of_a_banned_source(self) -> None:
        """Over TCP it is disconnected, and its next connection is not accepted."""
        attacker = self.world.phone("eve", "198.51.100.66", "TCP", 40000)
        self.flood(attacker, 41)
        self.assertEqual(self.node.transport.connections, {})
        attacker.send(self.node, "OPTIONS", BOB)  # over one that was open when the ban began
        self.assertEqual(self.node.transport.connections, {})
        self.assertTrue(self.node.limiting.refuses_from("198.51.100.66"))
        self.assertFalse(self.node.limiting.refuses_from("198.51.100.1"))

    def test_a_call_of_a_banned_address_ends(self) -> None:
        """S29: what belongs to a call in progress is served in spite of the ban, and its caller is answered."""
        self.assertEqual(self.register(self.bob), [401, 200])
        self.attacker.send(self.node, "INVITE", BOB, from_uri=STRANGER, call_id="true")
        invite = self.bob.request("INVITE")
        self.bob.reply(invite, 200)
        ok = self.attacker.response(200)
        routes = ok.get_all("record-route")
        self.flood(self.attacker)
        self.bob.took()
        for method, cseq in (("ACK", 1), ("BYE", 2)):
            self.attacker.send(
                self.node, method, self.bob.uri, from_uri=STRANGER, call_id="true", cseq=cseq,
                to_tag=self.bob.tag, routes=routes,
            )  # fmt: skip
        self.bob.reply(self.bob.request("BYE"), 200)
        self.assertEqual(self.bob.took(), ["ACK", "BYE"])
        self.assertEqual(self.attacker.took(), [200])
        # a token of another dialog opens nothing
        self.attacker.send(
            self.node, "BYE", self.bob.uri, from_uri=STRANGER, call_id="other", to_tag="x", routes=routes
        )
        self.assertEqual((self.attacker.took(), self.bob.took()), ([], []))

    def test_cancel_of_a_banned_address(self) -> None:
        """S29: a call that rings can be given up; a CANCEL of no call is dropped."""
        self.assertEqual(self.register(self.bob), [401, 200])
        self.attacker.send(self.node, "INVITE", BOB, from_uri=STRANGER, branch="ring", call_id="ring")
        invite = self.bob.request("INVITE")
        self.bob.reply(invite, 180)
        self.flood(self.attacker)
        self.attacker.send(self.node, "CANCEL", BOB, from_uri=STRANGER, branch="ring", call_id="ring")
        self.bob.reply(self.bob.request("CANCEL"), 200)
        self.bob.reply(invite, 487)
        self.assertEqual(self.attacker.took(), [200, 487])
        self.attacker.send(self.node, "CANCEL", BOB, from_uri=STRANGER, branch="none", call_id="none")
        self.assertEqual(self.attacker.took(), [])

    def test_nodes_are_trusted(self) -> None:
        """What another node hands over was counted there."""
        self.world.node("b", limits=LIMITS)
        self.assertTrue(self.node.limiting.is_trusted("192.0.2.2"))
        self.assertFalse(self.node.limiting.is_trusted("192.0.2.3"))

    def test_challenges_cost_no_state(self) -> None:
        """S3, S24: whatever is asked without credentials leaves no transaction, timer or nonce behind."""
        methods = ("INVITE", "REGISTER", "SUBSCRIBE", "MESSAGE", "PUBLISH", "OPTIONS", "REFER")
        for number, method in enumerate(methods * 5):
            self.alice.send(
                self.node, method, BOB if method != "REGISTER" else "sip:example.com", call_id=f"c{number}"
            )
        self.assertEqual(set(self.alice.took()), {401, 407})
        self.assertEqual((self.world.leftovers(), self.node.access._authenticator.nonces_kept), ([], 0))


class NatTests(LimitingCase):
    """S5: the others behind a banned address."""

    def test_registered_phone(self) -> None:
        """A phone that is known by its port is served: it registers, calls and is called."""
        phone = self.world.phone("alice", "198.51.100.66", port=40000)
        self.assertEqual(self.register(phone), [401, 200])
        self.assertEqual(self.register(self.bob), [401, 200])
        self.flood(self.attacker)
        self.assertEqual(self.register(phone, call_id="again"), [401, 200])
        self.authenticated(phone, "INVITE", BOB, "call-9")
        self.bob.reply(self.bob.request("INVITE"), 486)
        self.assertEqual(phone.took(), [407, 100, 486])

    def test_restarted_phone(self) -> None:
        """One that comes back from another port is known by its user; somebody new has to wait."""
        self.assertEqual(self.register(self.world.phone("alice", "198.51.100.66", port=40000)), [401, 200])
        self.flood(self.attacker)
        self.assertEqual(self.register(self.world.phone("alice", "198.51.100.66", port=40001)), [401, 200])
        self.assertEqual(self.register(self.world.phone("bob", "198.51.100.66", port=40002)), [])

    def test_user_who_floods(self) -> None:
        """A user whom we know is told with 503 when to come again (21.5.4); a neighbour is not concerned."""
        phone = self.world.phone("alice", "198.51.100.66", port=40000)
        neighbour = self.world.phone("bob", "198.51.100.66", port=40001)
        self.assertEqual([self.register(phone), self.register(neighbour)], [[401, 200]] * 2)
        for number in range(60):
            phone.send(self.node, "MESSAGE", BOB, call_id=f"m{number}")
        self.assertEqual(phone.response().status, 503)
        self.assertEqual(phone.response().get("retry-after"), "61")
        self.assertEqual(phone.took().count(503), 20)
        self.assertEqual(self.register(neighbour, call_id="again"), [401, 200])


class PasswordTests(LimitingCase):
    def test_guessing(self) -> None:
        """After three wrong passwords no digest of that user is looked at: 403, whether the user exists or not."""
        for user, port in (("alice", 1000), ("nobody", 2000)):
            phone = self.world.phone(user, "198.51.100.66", port=port)
            self.assertEqual(self.guess(phone, 5), [401, 401] * 3 + [401, 403] * 2)
            self.assertEqual(self.register(phone), [401, 403])
        self.assertEqual(self.node.limiting.refused, {"password": 6})
        self.assertEqual(self.node.access.outcomes["banned"], 6)
        self.assertEqual(self.register(self.alice), [401, 200])  # from her own address

    def test_scanning(self) -> None:
        """Ten wrong passwords for any users, and the address is not answered any more."""
        answers = [
            status
            for number in range(12)
            for status in self.register(
                self.world.phone(f"u{number}", "198.51.100.66", port=1000 + number), "x"
            )
        ]
        self.assertEqual(answers, [401, 401] * 10)


class ForgedTests(LimitingCase):
    """Who is not where a datagram comes from can lock nobody out."""

    def forge(self, made_up: bool, count: int = 15) -> None:
        """REGISTER requests of alice with wrong digests, from her address, with a nonce that went to another or is made up."""
        uri = "sip:example.com"
        forger = self.world.phone("alice", "198.51.100.66", port=4000)
        forger.send(self.node, "REGISTER", uri, call_id="own")
        answer = forger.credentials(forger.response(401), "REGISTER", uri, "wrong")
        if made_up:
            nonce = answer.partition('nonce="')[2].partition('"')[0]
            answer = answer.replace(f'nonce="{nonce}"', 'nonce="x"')
        victim = self.world.phone("alice", "198.51.100.1", port=4000)
        for number in range(count):
            victim.send(self.node, "REGISTER", uri, call_id=f"forged-{number}", headers=[answer])
        self.assertEqual(victim.took(), [401] * count)

    def test_forged_guesses(self) -> None:
        """alice, known over TCP, connects from a new port and is served, and so is one who was not there before."""
        known = self.world.phone("alice", "198.51.100.1", "TCP", 40000)
        self.assertEqual(self.register(known), [401, 200])
        for made_up in (True, False):
            self.forge(made_up)
        self.assertEqual(list(self.node.limiting.bans()), [])
        again = self.world.phone("alice", "198.51.100.1", "TCP", 40001)
        self.assertEqual(self.register(again, call_id="again"), [401, 200])
        other = self.world.phone("bob", "198.51.100.1", "TCP", 40002)
        self.assertEqual(self.register(other), [401, 200])
        self.assertEqual(self.node.access.outcomes["guessed"], 0)

    def test_guesses_of_a_neighbour(self) -> None:
        """Somebody behind the NAT of alice guesses: her phone is served from a new port all the same."""
        self.assertEqual(self.register(self.world.phone("alice", "198.51.100.66", port=40000)), [401, 200])
        guesser = self.world.phone("alice", "198.51.100.66", port=50000)
        self.assertEqual(self.guess(guesser, 4), [401, 401] * 4)
        self.assertEqual(self.register(self.world.phone("alice", "198.51.100.66", port=40001)), [401, 200])

    def test_trusted_sources_share_nonces(self) -> None:
        """A request that comes again through another proxy of a trusted network is not stale."""
        self.patch(self.node.limiting, "_networks", (ip_network("198.51.100.0/28"),))
        uri = "sip:example.com"
        self.alice.send(self.node, "REGISTER", uri, call_id="r", headers=["Expires: 600"])
        answer = self.alice.credentials(self.alice.response(401), "REGISTER", uri)
        other = self.world.phone("alice", "198.51.100.3")
        other.send(self.node, "REGISTER", uri, call_id="r", cseq=2, headers=["Expires: 600", answer])
        self.assertEqual(other.took(), [200])


class AmplificationTests(LimitingCase):
    """S18: to who did not prove to be there go at most three octets for each one that came."""

    def octets(self, *sent: bytes) -> tuple[int, int]:
        """Datagrams and octets that the node sends within 35 s, and its ratio is checked."""
        self.world.network.log.clear()
        for data in sent:
            self.world.network.put("UDP", self.attacker.address, self.node.address, data)
        self.world.run()
        self.world.wait(35)
        out = [data for _, to, data in self.world.network.log if to == self.attacker.address]
        total, given = sum(map(len, out)), sum(map(len, sent))
        self.assertLessEqual(total, 3 * given, f"{given} octets in, {total} out: {sent!r} {out!r}")
        return len(out), total

    def smallest(self, method: str, uri: str, sender: str, version: str = "SIP/2.0") -> bytes:
        """The smallest request that is answered."""
        return (
            f"{method} {uri} {version}\r\nv:SIP/2.0/UDP a;branch=z9hG4bK{method}\r\nf:<{sender}>;tag=1\r\n"
            f"t:<{uri}>\r\ni:1\r\nCSeq:1 {method}\r\n\r\n"
        ).encode()

    def test_smallest_requests(self) -> None:
        """One short datagram for each, never repeated: challenges, refusals, OPTIONS, broken and unknown ones."""
        ours, foreign = "sip:u@example.com", "sip:e@x.y"
        for method in (
            "INVITE",
            "OPTIONS",
            "REGISTER",
            "MESSAGE",
            "SUBSCRIBE",
            "BYE",
            "CANCEL",
            "PRACK",
            "FOO",
        ):
            for uri in (
                "sip:example.com",
                "sip:192.0.2.1",
                "sip:nobody@example.com",
                "sip:bob@example.com",
                "sip:x.y",
                "tel:1",
            ):
                for sender in (ours, foreign):
                    with self.subTest(method=method, uri=uri, sender=sender):
                        count, _ = self.octets(self.smallest(method, uri, sender))
                        self.assertEqual(count, 1)
        self.octets(self.smallest("OPTIONS", "sip:example.com", ours, "SIP/7.0"))
        self.octets(b"INVITE sip:bob@example.com SIP/2.0\r\n\r\n")

    def test_clients_that_can_choose(self) -> None:
        """Two challenges are offered only to who names itself, which makes its request longer."""
        data = self.smallest("INVITE", BOB, "sip:u@example.com").replace(
            b"\r\n\r\n", b"\r\nUser-Agent:a\r\n\r\n"
        )
        self.assertEqual(self.octets(data)[0], 1)

    def test_invite_to_a_phone_that_refuses(self) -> None:
        """A final response that was not ours is repeated to a stranger as far as that goes, to a user until Timer H (17.2.1)."""
        self.assertEqual(self.register(self.bob), [401, 200])
        self.assertEqual(self.register(self.alice), [401, 200])
        copies = []
        for phone in (self.attacker, self.alice):
            if phone is self.alice:
                self.authenticated(phone, "INVITE", BOB, "call-2")
            else:
                phone.send(self.node, "INVITE", BOB, from_uri=STRANGER, call_id="call-1")
            self.bob.reply(self.bob.request("INVITE"), 486)
            self.world.wait(35)
            copies.append(phone.took().count(486))
        self.assertEqual(copies, [1, 11])


class CallTests(LimitingCase):
    def test_unanswered_calls(self) -> None:
        """M8: strangers of one address may let two calls ring, a user three; the next one gets 503, and ports come back."""
        self.assertEqual(self.register(self.bob), [401, 200])
        for number in range(3):
            self.attacker.send(self.node, "INVITE", BOB, from_uri=STRANGER, call_id=f"ring-{number}")
        self.assertEqual(self.attacker.took(), [100, 100, 503])
        self.assertEqual(self.register(self.alice), [401, 200])
        for number in range(4):
            self.authenticated(self.alice, "INVITE", BOB, f"mine-{number}")
        self.assertEqual([s for s in self.alice.took() if s != 407], [100, 100, 100, 503])
        self.assertEqual(self.node.limiting.refused, {"unanswered calls": 2})
        for invite in [m for m in self.bob.inbox if getattr(m, "method", "") == "INVITE"]:
            self.bob.reply(invite, 486)
        self.attacker.send(self.node, "INVITE", BOB, from_uri=STRANGER, call_id="later")
        self.assertIn(100, self.attacker.took())
        self.bob.reply(self.bob.request("INVITE"), 486)


class MemoryTests(LimitingCase):
    def test_sweep(self) -> None:
        """All that is remembered of sources is forgotten in time."""
        self.register(self.bob)
        self.flood(self.attacker)
        self.assertTrue(self.node.limiting.remembered)
        self.world.wait(100)
        self.world.clock.advance(4000)
        self.node.limiting.tick()
        self.assertEqual((self.node.limiting.remembered, list(self.node.limiting.bans())), (0, []))
