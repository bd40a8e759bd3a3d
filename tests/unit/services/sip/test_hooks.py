"""What an application's hook decides about a call, and that it fails closed."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.unit.services.sip_world import WorldCase
from voipcluster.errors import ParseError
from voipcluster.json_log import line_of
from voipcluster.services.sip.hooks import CallOffer, ICallHook, Refuse, Retarget, Verdict

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

    def test_refuses_in_its_own_words(self) -> None:
        """The reason is the phrase of the answer; without one it is the usual phrase of the status."""
        for reason, phrase in (("Not before nine", "Not before nine"), ("", "Decline")):
            self.hook.verdict = Refuse(603, reason)
            self.alice.send(self.node, "INVITE", BOB, branch=f"r{self.world.branches}")
            answer = self.alice.response(603)
            self.assertEqual(answer.reason, phrase)
            self.alice.took()

    def test_asked_once(self) -> None:
        """A copy of the INVITE and a request within the call are not offered again."""
        for _ in range(2):
            self.alice.send(self.node, "INVITE", BOB, branch="same")
        self.bob.reply(self.bob.request(), 486)
        self.assertEqual(len(self.hook.offers), 1)

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
        """A user that does not exist is answered like any other."""
        self.hook.verdict = Retarget("sip:nobody@example.com")
        self.assertEnds(100, 404)

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

    def test_the_log_names_the_call(self) -> None:
        """A log of objects has the Call-ID in a field of its own, also of what is a fault of ours."""
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.hook.verdict = ValueError("bad")
        self.alice.send(self.node, "INVITE", BOB, branch="w-log")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        [line] = [json.loads(line_of(event) or "") for event in events if "log_failure" in event]
        self.assertEqual(line["call"], self.hook.offers[-1].call_id)
        self.assertIn(line["call"], line["text"])
        self.assertIn("ValueError: bad", line["traceback"])

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


class VerdictTests(SynchronousTestCase):
    def test_refusal(self) -> None:
        """A success is no refusal: it would tell the caller that there is a call."""
        self.assertEqual(Refuse(603).status, 603)
        for status in (100, 200, 302, 700):
            self.assertRaises(ValueError, Refuse, status)

    def test_other_uris(self) -> None:
        """The fault is the hook's, and shows where it is made."""
        self.assertEqual(Retarget("sips:bob@example.com").uri, "sips:bob@example.com")
        for uri in ("nonsense", "not a uri", "tel:+15551234", ""):
            self.assertRaises(ValueError, Retarget, uri)
        self.assertRaises(ParseError, Retarget, "sip:")
