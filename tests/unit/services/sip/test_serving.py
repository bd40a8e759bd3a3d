"""Serving a call here: the relay, and forks."""

from __future__ import annotations

from tests.unit.services.sip_world import Node, Phone, WorldCase
from voipcluster.errors import PeerError
from voipcluster.media.offer_answer import Side
from voipcluster.media.shares import Holder, ShareTaken
from voipcluster.sip.session_timer import SessionTimer

BOB = "sip:bob@example.com"


class ForkTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a")
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.desk, self.mobile = (self.world.phone("bob", f"198.51.100.{n}") for n in (2, 3))
        self.mobile.tag = "tag-mobile"

    def register(self, q: str = "1.0") -> None:
        self.desk.register(self.node)
        self.mobile.send(
            self.node, "REGISTER", "sip:example.com", call_id="m",
            headers=["Expires: 60", f"Contact: <{self.mobile.uri}>;q={q}"], contact="sip:bob@198.51.100.99",
        )  # fmt: skip
        for binding in self.node.registrar.lookup("bob@example.com"):
            if "99" in binding.contact:
                self.node.registrar.location.remove(binding)
        self.desk.took()
        self.mobile.took()

    def test_serial(self) -> None:
        """The phone of lower q rings when the first one is busy (RFC 3261 section 16.6)."""
        self.register(q="0.5")
        self.alice.send(self.node, "INVITE", BOB)
        self.assertEqual(self.mobile.took(), [])
        self.desk.reply(self.desk.request(), 486)
        self.mobile.reply(self.mobile.request(), 603)
        self.assertEqual(self.alice.took(), [100, 603])

    def test_next_target_when_unreachable(self) -> None:
        """ICMP from the first phone: the next one rings at once (section 16.9)."""
        self.register(q="0.5")
        self.world.network.closed.add(self.desk.address)
        self.alice.send(self.node, "INVITE", BOB)
        self.world.wait(0.1)
        self.mobile.reply(self.mobile.request(), 486)
        self.assertEqual(self.alice.took(), [100, 486])

    def test_tags_are_kept(self) -> None:
        """The To tags of the branches' responses are not changed (section 16.7 step 9)."""
        self.register()
        self.alice.send(self.node, "INVITE", BOB, branch="x")
        for phone in (self.desk, self.mobile):
            phone.reply(phone.request(), 180)
        tags = {m.to_tag for m in self.alice.inbox if m.get("cseq") == "1 INVITE" and m.to_tag}
        self.assertEqual(tags, {"tag-bob", "tag-mobile"})
        self.alice.send(self.node, "CANCEL", BOB, branch="x")
        for phone in (self.desk, self.mobile):
            self.assertEqual(phone.took(), ["INVITE", "CANCEL"])

    def test_two_phones_answer(self) -> None:
        """The BYE for one of them ends its dialog, not the call with the other one (section 13.2.2.4)."""
        self.register()
        self.alice.send(self.node, "INVITE", BOB, branch="two")
        invites = [(phone, phone.request()) for phone in (self.desk, self.mobile)]
        for phone, invite in invites:
            phone.reply(invite, 200)
        routes = self.alice.response(200).values("record-route")
        for cseq, (phone, _) in enumerate(reversed(invites), 2):
            self.assertEqual(len(self.node.calls), 1)
            self.alice.send(self.node, "BYE", phone.uri, cseq=cseq, to_tag=phone.tag, routes=routes)
            phone.reply(phone.request("BYE"), 200)
        self.assertEqual(len(self.node.calls), 0)

    def test_one_copy_each(self) -> None:
        """Each branch has its own branch parameter and one Max-Forwards less (section 16.6 steps 3 and 8)."""
        self.register()
        self.alice.send(self.node, "INVITE", BOB)
        copies = [phone.request() for phone in (self.desk, self.mobile)]
        self.assertEqual(len({copy.top_via.branch for copy in copies}), 2)
        self.assertEqual([copy.get("max-forwards") for copy in copies], ["69", "69"])
        for phone in (self.desk, self.mobile):
            phone.reply(phone.request(), 486)


class SessionTimerTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a")
        self.node.serving.session_timer = SessionTimer(600, 300)
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.bob = self.world.phone("bob", "198.51.100.2")
        self.bob.register(self.node)
        self.bob.took()

    def test_refused(self) -> None:
        """Too small an interval is 422, before the callee hears of it, and no call is left (RFC 4028 section 8.1)."""
        self.alice.send(self.node, "INVITE", BOB, headers=["Session-Expires: 299", "Supported: timer"])
        self.assertEqual(self.alice.response(422).get("min-se"), "300")
        self.assertEqual((len(self.node.calls), self.bob.took()), (0, []))


class MediaOwnerTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a", relay="userspace")
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.bob = self.world.phone("bob", "198.51.100.2")
        self.bob.register(self.node)
        self.bob.took()

    def test_share_taken(self) -> None:
        """Who holds as many media ports as he may is told 503, the operator why, and the call keeps nothing (attack M8)."""
        asked = []

        def message_passes(call: object, **what: object) -> bytes:
            asked.append(what["holders"])
            raise ShareTaken("address 198.51.100.1 holds 4 pairs of media ports, and no more are granted")

        self.node.media.message_passes = message_passes
        self.alice.send(self.node, "INVITE", BOB, body="offer")
        self.assertEqual(asked, [(Holder("address", "198.51.100.1"),)])
        self.assertEqual(self.alice.response(503).status, 503)
        self.assertEqual((self.node.limiting.refused["media ports"], len(self.node.calls)), (1, 0))

    def test_source_of_a_server_that_was_looked_up(self) -> None:
        """What a server elsewhere answers came from where it was found, so that its own address is vouched for."""
        server = self.world.phone("carol", "203.0.113.5")
        seen = []

        def message_passes(call: object, **what: object) -> object:
            seen.append((what["status"], getattr(what["source"], "host", "")))
            return what["body"]

        self.node.media.message_passes = message_passes
        self.alice.send(self.node, "INVITE", "sip:carol@203.0.113.5:5060", body="offer")
        server.reply(server.request(), 200, body=b"answer")
        self.calls_left = 1
        self.assertEqual(seen, [(None, "198.51.100.1"), (200, "203.0.113.5")])


class MediaTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("a", relay="userspace")
        self.seen: list[tuple[Side, str, int | None]] = []
        self.refuse = False

        def message_passes(call: object, **what: object) -> object:
            body = what["body"]
            assert isinstance(body, bytes)
            self.seen.append((what["sender"], what["method"], what["status"]))
            if self.refuse and what["status"] is None:
                raise PeerError("no ports", 503)
            return b"relayed " + body if body else body

        self.node.media.message_passes = message_passes
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.bob = self.world.phone("bob", "198.51.100.2")
        self.bob.register(self.node)
        self.bob.took()

    def test_bodies(self) -> None:
        """Offer, early answer, answer and what is in the ACK are shown to the relay, and go on as it gives them back."""
        self.alice.send(self.node, "INVITE", BOB, body="offer")
        invite = self.bob.request()
        self.assertEqual((invite.body, invite.get("content-length")), (b"relayed offer", "13"))
        self.bob.reply(invite, 100)
        self.bob.reply(invite, 183, body=b"early")
        self.assertEqual(self.alice.response(183).body, b"relayed early")
        self.bob.reply(invite, 200, body=b"answer")
        ok = self.alice.response(200)
        self.assertEqual(ok.body, b"relayed answer")
        routes = ok.values("record-route")
        self.bob.took()
        self.alice.send(self.node, "ACK", self.bob.uri, to_tag=self.bob.tag, routes=routes, body="late")
        self.assertEqual(self.bob.request().body, b"relayed late")
        self.assertEqual(
            self.seen,
            [
                (Side.CALLER, "INVITE", None),
                (Side.CALLEE, "INVITE", 183),
                (Side.CALLEE, "INVITE", 200),
                (Side.CALLER, "ACK", None),
            ],
        )
        (call,) = self.node.calls
        self.assertTrue(call.relayed)
        self.node.calls.end(call.key, "end of the test")

    def two_phones(self, node: Node) -> list[Phone]:
        """Bob's, one of each IP version, and nothing else where he was before."""
        self.bob.register(self.node, expires=0)
        self.bob.took()
        phones = [self.world.phone("bob", host) for host in ("198.51.100.4", "2001:db8::b")]
        for phone in phones:
            phone.register(node)
            phone.took()
        return phones

    def test_forks_of_two_versions(self) -> None:
        """Each branch is offered an address in the IP version of its phone, and so is a server that is called by its address."""
        node = self.world.node("b", relay="userspace", more=[("2001:db8::2", 5060)])
        phones = self.two_phones(node)
        offered = []

        def message_passes(call: object, **what: object) -> object:
            if what["status"] is None:
                offered.append((what["target"], what["record"]))
            return f"offer for {what.get('target')}".encode()

        node.media.message_passes = message_passes
        self.alice.send(node, "INVITE", BOB, body="offer")
        for phone in phones:
            invite = phone.request("INVITE")
            self.assertIn(phone.address[0], invite.body.decode())
            phone.reply(invite, 486)
        self.assertEqual([record for _, record in offered], [True, False, False])

    def test_no_port_for_one_fork(self) -> None:
        """Where no media port of one version is left, the branches of the other one go on."""
        node = self.world.node("b", relay="userspace", more=[("2001:db8::2", 5060)])
        phones = self.two_phones(node)

        def message_passes(call: object, **what: object) -> object:
            if not what.get("record", True) and ":" in what["target"].host:
                raise PeerError("no ports", 503)
            return b"relayed"

        node.media.message_passes = message_passes
        self.alice.send(node, "INVITE", BOB, body="offer")
        invite = phones[0].request("INVITE")
        self.assertEqual([phone.took() for phone in phones], [["INVITE"], []])
        phones[0].reply(invite, 486)
        self.assertEqual(self.alice.took()[-1], 486)

    def test_no_relay(self) -> None:
        """An offer that cannot be relayed is refused as the relay says, and the call is over."""
        self.refuse = True
        self.alice.send(self.node, "INVITE", BOB, body="offer")
        self.assertEqual(self.alice.took(), [100, 503])
        self.assertEqual((self.bob.took(), len(self.node.calls)), ([], 0))
