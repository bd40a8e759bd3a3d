"""One request on its way: what is held while it lasts and behind it."""

from __future__ import annotations

from tests.unit.services.sip.forwarding_case import BOB, ForwardingCase
from voipcluster.sip.message import Request
from voipcluster.sip.proxy.events import Target


class LifeTests(ForwardingCase):
    def test_end(self) -> None:
        """The end is told once with its status; every response is heard before; the body is the given one."""
        self.alice.send(self.node, "INVITE", "sip:x@y")
        invite = self.bob.request()
        self.bob.reply(invite, 180)
        self.bob.reply(invite, 200, body=b"sdp")
        self.bob.reply(invite, 200, body=b"sdp")
        self.assertEqual((self.ends, self.heard), ([200], [180, 200, 200]))
        self.assertEqual(self.alice.response(200).body, b"other")
        self.assertEqual(self.alice.took(), [180, 200, 200])

    def test_no_via_left(self) -> None:
        """A 2xx without a Via behind ours ends the request with 502, for who counts calls, too; a copy changes nothing."""
        other = self.world.phone("bob", "198.51.100.3")
        for method, targets in (
            ("INVITE", (Target(BOB),)), ("MESSAGE", (Target(BOB),)), ("INVITE", (Target(BOB), Target("sip:bob@198.51.100.3"))),
        ):  # fmt: skip
            self.targets, self.ends[:] = targets, []
            self.alice.send(self.node, method, "sip:x@y", call_id=f"{method}{len(targets)}")
            copy = self.bob.request()
            via = copy.values("via")[0]
            wire = (
                f"SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: <{self.alice.aor}>;tag=a\r\nTo: <sip:x@y>;tag=b\r\n"
                f"Call-ID: {copy.call_id}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n"
            ).encode()
            for _ in range(2):
                self.world.network.put("UDP", self.bob.address, self.node.address, wire)
                self.world.run()
            self.assertEqual((self.alice.took(), self.ends), ([502], [502]), (method, targets))
            for asked in other.inbox:
                assert isinstance(asked, Request)
                other.reply(asked, 487)

    def test_request_is_let_go(self) -> None:
        """Behind the final response neither copy nor request are held (memory of each call)."""
        self.alice.send(self.node, "INVITE", "sip:x@y")
        self.assertEqual(self.incoming.request.method, "INVITE")
        self.bob.reply(self.bob.request(), 486)
        self.assertEqual(self.incoming.request.lines, [])
        self.assertIsNone(self.forwarding._copy)

    def test_abandoned(self) -> None:
        """Who is abandoned cancels what is under way, hears nothing any more, and leaves the answer to others."""
        self.alice.send(self.node, "INVITE", "sip:x@y")
        self.bob.reply(self.bob.request(), 180)
        request = self.incoming.request
        self.forwarding.abandon()
        self.world.run()
        self.assertEqual(self.bob.took(), ["INVITE", "CANCEL"])
        self.assertIsNone(self.incoming.user)
        self.world.wait(200, step=0.5)
        self.assertEqual((self.alice.took(), self.ends), ([180], []))
        self.incoming.request = request
        self.incoming.answer(480)

    def test_provisional_of_a_non_invite(self) -> None:
        """It stays here; who asks again and again gets a 100 of ours in its place (RFC 4320 section 4.1)."""
        self.alice.send(self.node, "MESSAGE", "sip:x@y", branch="m")
        self.bob.reply(self.bob.request(), 182)
        self.bob.reply(self.bob.request(), 183)
        self.assertEqual((self.alice.took(), self.heard), ([], [182, 183]))
        for _ in range(3):
            self.alice.send(self.node, "MESSAGE", "sip:x@y", branch="m")
        self.assertEqual(self.alice.took(), [100])
        self.bob.reply(self.bob.request(), 200)
        self.assertEqual((self.alice.took(), self.ends), ([200], [200]))

    def test_silence_of_a_non_invite(self) -> None:
        """A request that nobody answers is forgotten without an answer (RFC 4320 section 4.2)."""
        self.world.network.lost.add(self.bob.address)
        self.alice.send(self.node, "MESSAGE", "sip:x@y")
        self.world.wait(32.2)
        self.assertEqual((self.alice.took(), self.ends), ([], [0]))
        self.assertEqual(self.node.transactions.servers, {})

    def test_aggregated_challenges(self) -> None:
        """The caller gets the challenges of both branches (section 16.7 step 7)."""
        other = self.world.phone("bob", "198.51.100.3")
        self.targets = (Target(BOB), Target("sip:bob@198.51.100.3"))
        self.alice.send(self.node, "INVITE", "sip:x@y")
        for phone, realm in ((self.bob, "a"), (other, "b")):
            phone.reply(phone.request(), 407, headers=[("Proxy-Authenticate", f'Digest realm="{realm}"')])
        self.assertEqual(
            self.alice.response(407).get_all("proxy-authenticate"), ['Digest realm="a"', 'Digest realm="b"']
        )
