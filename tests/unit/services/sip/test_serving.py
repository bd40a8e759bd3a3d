"""Serving a call here: the hook, the relay, and forks."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.unit.services.sip_world import WorldCase
from voipcluster.errors import PeerError
from voipcluster.media.offer_answer import Side
from voipcluster.services.sip.hooks import CallOffer, ICallHook, Refuse, Retarget, Verdict
from voipcluster.sip.session_timer import SessionTimer

BOB = "sip:bob@example.com"


@implementer(ICallHook)
class Hook:
    """Gives C{verdict}, or raises it."""

    def __init__(self) -> None:
        self.offers: list[CallOffer] = []
        self.verdict: Verdict | Deferred[Verdict] | Exception = None

    def call_offered(self, offer: CallOffer) -> Verdict | Deferred[Verdict]:
        self.offers.append(offer)
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


class HookTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.hook = Hook()
        verifyObject(ICallHook, self.hook)
        self.node = self.world.node("a", hook=self.hook)
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.bob = self.world.phone("bob", "198.51.100.2")
        self.bob.register(self.node)
        self.bob.took()

    def assertEnds(self, *statuses: int) -> None:
        self.alice.send(self.node, "INVITE", BOB, branch=f"h{self.world.branches}")
        self.assertEqual(self.alice.took(), list(statuses))
        self.assertEqual((len(self.node.calls), self.bob.took()), (0, []))

    def test_passes(self) -> None:
        """L{None} lets the call pass; the hook sees caller, callee, source and headers."""
        self.alice.send(self.node, "INVITE", BOB, headers=["X-Mine: 1"])
        (offer,) = self.hook.offers
        self.assertEqual((offer.caller, offer.callee), ("sip:alice@example.com", BOB))
        self.assertEqual(offer.source, "udp:198.51.100.1:5060")
        self.assertIn(("x-mine", "1"), offer.headers)
        self.bob.reply(self.bob.request(), 486)

    def test_refuses(self) -> None:
        """A refusal is the answer, nothing is sent on, and the call is over."""
        self.hook.verdict = Refuse(603)
        self.assertEnds(100, 603)
        self.assertEqual(self.node.calls.ended, {"refused 603": 1})

    def test_retargets(self) -> None:
        """The call goes to another URI (RFC 3261 section 16.5)."""
        carol = self.world.phone("carol", "198.51.100.3")
        carol.register(self.node)
        self.hook.verdict = Retarget("sip:carol@example.com")
        self.alice.send(self.node, "INVITE", BOB)
        self.assertEqual(carol.request().uri, carol.uri)
        carol.reply(carol.request(), 486)
        self.assertEqual(self.bob.took(), [])

    def test_retargets_to_nobody(self) -> None:
        """A URI that does not exist, or is none, is answered like any other."""
        self.hook.verdict = Retarget("sip:nobody@example.com")
        self.assertEnds(100, 404)
        self.hook.verdict = Retarget("nonsense")
        self.assertEnds(100, 400)

    def test_fails_closed(self) -> None:
        """An exception, a failure or another answer is 500: a hook that refuses calls must not fail open."""
        failing: Deferred[Verdict] = Deferred()
        failing.errback(ValueError("late"))
        for verdict in (ValueError("now"), failing, "yes"):
            self.hook.verdict = verdict
            self.assertEnds(100, 500)
        self.assertEqual(len(self.flushLoggedErrors(ValueError, TypeError)), 3)

    def test_waits(self) -> None:
        """A Deferred holds the caller at 100 until it fires."""
        self.hook.verdict = waiting = Deferred()
        self.alice.send(self.node, "INVITE", BOB)
        self.assertEqual((self.alice.took(), self.bob.took()), ([100], []))
        waiting.callback(None)
        self.world.run()
        self.bob.reply(self.bob.request(), 486)
        self.assertEqual(self.alice.took(), [486])

    def test_cancelled_while_waiting(self) -> None:
        """A caller who gives up meanwhile gets 487 at once, and nobody's phone rings, whatever the hook says then."""
        for verdict in (None, Refuse(403), ValueError("late")):
            self.hook.verdict = waiting = Deferred()
            branch = f"w{self.world.branches}"
            self.alice.send(self.node, "INVITE", BOB, branch=branch)
            self.alice.send(self.node, "CANCEL", BOB, branch=branch)
            self.assertEqual(self.alice.took(), [100, 200, 487])
            self.assertEqual(len(self.node.calls), 0)
            waiting.callback(verdict) if not isinstance(verdict, Exception) else waiting.errback(verdict)
            self.world.run()
            self.assertEqual(self.alice.took() + self.bob.took(), [])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


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
        self.node.serving._session_timer = SessionTimer(600, 300)
        self.alice = self.world.phone("alice", "198.51.100.1")
        self.bob = self.world.phone("bob", "198.51.100.2")
        self.bob.register(self.node)
        self.bob.took()

    def expires(self) -> list[float]:
        return [call.expires - self.world.clock.seconds() for call in self.node.calls]

    def test_refused(self) -> None:
        """Too small an interval is 422, before the callee hears of it, and no call is left (RFC 4028 section 8.1)."""
        self.alice.send(self.node, "INVITE", BOB, headers=["Session-Expires: 299", "Supported: timer"])
        self.assertEqual(self.alice.response(422).get("min-se"), "300")
        self.assertEqual((len(self.node.calls), self.bob.took()), (0, []))

    def test_agreed(self) -> None:
        """The call lasts as long as its session; each refresh makes it longer, one without an interval endless (8.2)."""
        self.alice.send(self.node, "INVITE", BOB, headers=["Session-Expires: 1800", "Supported: timer"])
        invite = self.bob.request()
        self.assertEqual(invite.get("session-expires"), "600")
        self.bob.reply(invite, 200)
        ok = self.alice.response(200)
        self.assertEqual(ok.get("session-expires"), "600;refresher=uac")
        self.assertEqual(self.expires(), [600.0])
        routes = ok.values("record-route")
        self.world.clock.advance(300.0)
        for cseq, (asked, lasts) in enumerate((("400", [400.0]), ("", [600.0])), 2):
            headers = [f"Session-Expires: {asked}"] if asked else []
            self.alice.send(
                self.node, "UPDATE", self.bob.uri, cseq=cseq, to_tag=self.bob.tag, routes=routes,
                headers=[*headers, "Supported: timer"],
            )  # fmt: skip
            self.bob.reply(self.bob.request("UPDATE"), 200)
            self.assertEqual(self.expires(), lasts)
        self.node.serving._session_timer = SessionTimer()
        self.alice.send(self.node, "UPDATE", self.bob.uri, cseq=9, to_tag=self.bob.tag, routes=routes)
        self.bob.reply(self.bob.request("UPDATE"), 200)
        self.assertEqual([call.expires for call in self.node.calls], [0.0])
        self.alice.send(self.node, "BYE", self.bob.uri, cseq=10, to_tag=self.bob.tag, routes=routes)
        self.bob.reply(self.bob.request("BYE"), 200)


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

    def test_no_relay(self) -> None:
        """An offer that cannot be relayed is refused as the relay says, and the call is over."""
        self.refuse = True
        self.alice.send(self.node, "INVITE", BOB, body="offer")
        self.assertEqual(self.alice.took(), [100, 503])
        self.assertEqual((self.bob.took(), len(self.node.calls)), ([], 0))
