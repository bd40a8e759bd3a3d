"""The response context, event by event: exactly these effects and no others (RFC 3261 sections 16.5 to 16.10)."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.messages import response
from voipcluster.address import Flow
from voipcluster.errors import Throttled, TransportError
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.sip.message import Response
from voipcluster.sip.proxy.context import ProxyContext
from voipcluster.sip.proxy.events import (
    Answer,
    BranchAnswered,
    BranchFailed,
    BranchTimedOut,
    BranchUnusable,
    CancelBranch,
    Cancelled,
    Effect,
    Ended,
    Event,
    ForwardResponse,
    Located,
    LocateTargets,
    StartBranch,
    Target,
)

A, B, C = (Target(f"sip:bob@192.0.2.{n}") for n in (1, 2, 3))
LOW = Target("sip:bob@192.0.2.9", q=500)
ERROR = TransportError("refused")


class ContextCase(SynchronousTestCase):
    invite = True

    def setUp(self) -> None:
        self.context = ProxyContext(self.invite)
        self.assertEqual(self.context.start(), [LocateTargets(())])

    def feed(self, event: Event) -> list[Effect]:
        return self.context.feed(event)

    def locate(self, *targets: Target) -> list[Effect]:
        return self.feed(Located(targets))

    def answer(self, branch: int, status: int, to_tag: str = "b1") -> tuple[Response, list[Effect]]:
        given = response(status, to_tag=to_tag)
        return given, self.feed(BranchAnswered(branch, given))

    def answers(self, *statuses: tuple[int, int]) -> list[Effect]:
        """Responses by (branch, status); the effects of the last one."""
        effects: list[Effect] = []
        for branch, status in statuses:
            effects = self.answer(branch, status)[1]
        return effects

    def cancelled(self, branch: int) -> list[Effect]:
        return [CancelBranch(branch), SetTimer(f"X:{branch}", 32.0)]

    def ended(self, branch: int) -> list[Effect]:
        return [CancelTimer(f"C:{branch}"), CancelTimer(f"X:{branch}")]


class ForkingTests(ContextCase):
    def test_parallel(self) -> None:
        """Targets of one q are tried together, each with a Timer C above 3 minutes (sections 16.6, 16.6 step 11)."""
        self.assertEqual(
            self.locate(A, B),
            [SetTimer("C:0", 185.0), StartBranch(0, A), SetTimer("C:1", 185.0), StartBranch(1, B)],
        )

    def test_serial(self) -> None:
        """Targets of lower q wait until all of the higher one have failed (section 16.6)."""
        self.assertEqual(self.locate(LOW, A), [SetTimer("C:0", 185.0), StartBranch(0, A)])
        _, effects = self.answer(0, 486)
        self.assertEqual(effects, [*self.ended(0), SetTimer("C:1", 185.0), StartBranch(1, LOW)])

    def test_breadth(self) -> None:
        """Those that are tried together share Max-Breadth; none that is tried later has to do with it (RFC 5393 5.3.3)."""
        self.context.breadth = 7
        self.locate(A, B, C, LOW)
        self.assertEqual(self.context.share, 2)
        self.answers((0, 486), (1, 486), (2, 486))
        self.assertEqual(self.context.share, 7)

    def test_little_breadth(self) -> None:
        """Where it does not suffice, the targets are tried one group after the other (RFC 5393 section 5.3.3)."""
        self.context.breadth = 2
        self.assertEqual(
            self.locate(A, B, C),
            [SetTimer("C:0", 185.0), StartBranch(0, A), SetTimer("C:1", 185.0), StartBranch(1, B)],
        )
        self.assertEqual(self.context.share, 1)
        self.assertEqual(self.answers((0, 486)), self.ended(0))
        self.assertEqual(self.answers((1, 486)), [*self.ended(1), SetTimer("C:2", 185.0), StartBranch(2, C)])
        self.assertEqual(self.context.share, 2)

    def test_target_used_once(self) -> None:
        """A target is used once in a context (section 16.5)."""
        self.assertEqual(len(self.locate(A, A)), 2)

    def test_no_target(self) -> None:
        """No target at all is 480 (section 16.5)."""
        self.assertEqual(self.locate(), [Answer(480), Ended(480)])

    def test_2xx_ends_it(self) -> None:
        """The first 2xx goes up at once and cancels the others (section 16.7 steps 5 and 10)."""
        self.locate(A, B)
        self.answer(1, 180)
        ok, effects = self.answer(0, 200)
        self.assertEqual(effects, [*self.ended(0), ForwardResponse(ok, 0), *self.cancelled(1), Ended(200)])
        self.assertTrue(self.context.ended)

    def test_late_2xx(self) -> None:
        """A 2xx behind the final response still goes up; nothing else does (section 16.7 step 5)."""
        self.locate(A, B)
        self.answers((0, 180), (1, 180), (0, 200))
        self.assertEqual(self.answers((1, 183)), [*self.cancelled(1)])
        ok, effects = self.answer(1, 200, "b2")
        self.assertEqual(effects, [*self.ended(1), ForwardResponse(ok, 1)])
        other, effects = self.answer(1, 200, "b3")
        self.assertIn(ForwardResponse(other, 1), effects)

    def test_late_failure(self) -> None:
        """A failure behind the final response is nobody's (section 16.7 step 5)."""
        self.locate(A, B)
        self.answers((0, 180), (1, 180), (0, 200))
        self.assertEqual(self.answers((1, 487)), self.ended(1))

    def test_provisional(self) -> None:
        """101 to 199 go up at once and restart Timer C; 100 never goes up (section 16.7 steps 2 and 5)."""
        self.locate(A)
        self.assertEqual(self.answers((0, 100)), [])
        ringing, effects = self.answer(0, 180)
        self.assertEqual(effects, [SetTimer("C:0", 185.0), ForwardResponse(ringing, 0)])

    def test_waits_for_all(self) -> None:
        """A failure waits until every branch has ended; the best one goes up then (section 16.7 steps 5 and 6)."""
        self.locate(A, B)
        busy, effects = self.answer(0, 486)
        self.assertEqual(effects, self.ended(0))
        _, effects = self.answer(1, 503)
        self.assertEqual(effects, [*self.ended(1), ForwardResponse(busy, 0), Ended(486)])

    def test_6xx(self) -> None:
        """A 6xx cancels the others and starts no new branch; it goes up when all have ended (section 16.7 step 5)."""
        self.locate(A, B, LOW)
        self.answers((1, 180))
        decline, effects = self.answer(0, 603)
        self.assertEqual(effects, [*self.ended(0), *self.cancelled(1)])
        _, effects = self.answer(1, 487)
        self.assertEqual(effects, [*self.ended(1), ForwardResponse(decline, 0), Ended(603)])

    def test_6xx_and_2xx(self) -> None:
        """A 2xx that crosses the CANCEL behind a 6xx goes up and wins (section 16.7 step 5)."""
        self.locate(A, B)
        self.answers((1, 180), (0, 603))
        ok, effects = self.answer(1, 200)
        self.assertEqual(effects, [*self.ended(1), ForwardResponse(ok, 1), Ended(200)])

    def test_503_is_500(self) -> None:
        """503 does not go up: it would keep the caller from this proxy (section 16.7 step 6)."""
        self.locate(A)
        self.assertEqual(self.answers((0, 503)), [*self.ended(0), Answer(500), Ended(500)])

    def test_430_is_480(self) -> None:
        """430 is for nodes; to the caller it is a phone that cannot be reached (RFC 5626 section 5.3.1)."""
        self.locate(A)
        self.assertEqual(self.answers((0, 430)), [*self.ended(0), Answer(480), Ended(480)])


class AlternativeTests(ContextCase):
    """A phone with several flows is tried over one after the other (RFC 5626 section 7)."""

    two = A._replace(alternatives=(B,))
    three = A._replace(alternatives=(B, C))

    def test_one_at_a_time(self) -> None:
        """The other flows of a phone are no targets of their own."""
        self.assertEqual(self.locate(self.three), [SetTimer("C:0", 185.0), StartBranch(0, self.three)])

    def test_dead_flow(self) -> None:
        """After 430 or 408 the next one is tried, and what the dead one brought counts for nothing."""
        for status in (430, 408):
            self.setUp()
            self.locate(self.three)
            following = B._replace(alternatives=(C,))
            expected = [*self.ended(0), SetTimer("C:1", 185.0), StartBranch(1, following)]
            self.assertEqual(self.answer(0, status)[1], expected)
            self.assertEqual(
                self.answers((1, status)), [*self.ended(1), SetTimer("C:2", 185.0), StartBranch(2, C)]
            )
            busy, effects = self.answer(2, 486)
            self.assertEqual(effects, [*self.ended(2), ForwardResponse(busy, 2), Ended(486)])

    def test_all_are_dead(self) -> None:
        """To the caller that is a phone which cannot be reached."""
        self.locate(self.two)
        self.assertEqual(self.answers((0, 430), (1, 430))[-2:], [Answer(480), Ended(480)])

    def test_silence_and_failure(self) -> None:
        """Timer B and a transport that fails count as much (RFC 3261 sections 16.8 and 16.9)."""
        for event in (BranchTimedOut(0), BranchFailed(0, ERROR)):
            self.setUp()
            self.locate(self.two)
            self.assertEqual(self.feed(event)[-1], StartBranch(1, B))
            self.assertEqual(self.answers((1, 200))[-1], Ended(200))

    def test_a_connection_that_breaks_while_it_rings(self) -> None:
        """Its flow has failed."""
        self.locate(self.two)
        self.answer(0, 180)
        self.assertEqual(self.feed(BranchFailed(0, ERROR))[-1], StartBranch(1, B))

    def test_any_other_answer(self) -> None:
        """It is that of the phone: no other flow is tried."""
        for status in (302, 404, 486, 480, 500, 503, 603):
            self.setUp()
            self.locate(self.two)
            self.assertNotIn(StartBranch(1, B), self.answers((0, status)), status)

    def test_it_rang_for_too_long(self) -> None:
        """Timer C cancels it; the 408 to that is no dead flow."""
        self.locate(self.two)
        self.answer(0, 180)
        self.feed(TimerFired("C:0"))
        effects = self.answers((0, 408))
        self.assertNotIn(StartBranch(1, B), effects)
        self.assertEqual(effects[-1], Ended(408))

    def test_cancelled(self) -> None:
        """Nobody wants it any more; nor after a 6xx or the final response."""
        for last in (Cancelled(), None):
            self.setUp()
            self.locate(self.two, LOW._replace(q=1000))
            if last is not None:
                self.feed(last)
            else:
                self.answer(1, 603)
            self.assertNotIn(StartBranch(2, B), self.answers((0, 430)))

    def test_beside_others(self) -> None:
        """Those of lower q wait for all ways to the phone."""
        self.locate(self.two, LOW)
        self.assertEqual(self.answers((0, 430))[-1], StartBranch(1, B))
        self.assertEqual(self.answers((1, 486))[-1], StartBranch(2, LOW))


class SilenceTests(ContextCase):
    def test_timed_out(self) -> None:
        """Timer B of the only branch: 408 (section 16.7 step 6)."""
        self.locate(A)
        self.assertEqual(self.feed(BranchTimedOut(0)), [*self.ended(0), Answer(408), Ended(408)])

    def test_timed_out_beside_an_answer(self) -> None:
        """A branch that answered says more than one that did not."""
        self.locate(A, B)
        busy, _ = self.answer(0, 486)
        self.assertEqual(self.feed(BranchTimedOut(1)), [*self.ended(1), ForwardResponse(busy, 0), Ended(486)])

    def test_unreachable(self) -> None:
        """A branch that cannot be sent counts as 503: the next target, and 500 at the end (section 16.9)."""
        self.locate(A, LOW)
        self.assertEqual(
            self.feed(BranchFailed(0, ERROR)), [*self.ended(0), SetTimer("C:1", 185.0), StartBranch(1, LOW)]
        )
        self.assertEqual(self.feed(BranchFailed(1, ERROR)), [*self.ended(1), Answer(500), Ended(500)])

    def test_held_back(self) -> None:
        """Where a server has asked for fewer requests, the answer is 503, as that one's would be (RFC 7339 section 5.10)."""
        self.locate(A, LOW)
        self.feed(BranchFailed(0, Throttled("not now")))
        self.assertEqual(self.feed(BranchFailed(1, ERROR)), [*self.ended(1), Answer(503), Ended(503)])

    def test_unreachable_phone(self) -> None:
        """A registered phone whose flow is dead is not there: 480."""
        self.locate(Target("sip:bob@192.0.2.1", flow=Flow("UDP", ("192.0.2.5", 5060), ("192.0.2.1", 5060))))
        self.assertEqual(self.feed(BranchFailed(0, ERROR)), [*self.ended(0), Answer(480), Ended(480)])

    def test_timer_c(self) -> None:
        """Timer C cancels a branch that rang, and that counts as 408 when nothing comes of it (section 16.8)."""
        self.locate(A)
        self.answers((0, 180))
        self.assertEqual(self.feed(TimerFired("C:0")), self.cancelled(0))
        self.assertEqual(self.feed(TimerFired("C:0")), [])
        self.assertEqual(self.feed(TimerFired("X:0")), [*self.ended(0), Answer(408), Ended(408)])

    def test_timer_c_without_provisional(self) -> None:
        """Without a provisional response Timer C counts as 408 at once (section 16.8)."""
        self.locate(A)
        self.assertEqual(self.feed(TimerFired("C:0")), [*self.ended(0), Answer(408), Ended(408)])

    def test_answer_to_timer_c(self) -> None:
        """The 487 behind Timer C is a final response like any other (section 16.8)."""
        self.locate(A)
        self.answers((0, 180))
        self.feed(TimerFired("C:0"))
        terminated, effects = self.answer(0, 487)
        self.assertEqual(effects, [*self.ended(0), ForwardResponse(terminated, 0), Ended(487)])


class CancelTests(ContextCase):
    def test_behind_a_provisional(self) -> None:
        """A branch that gave a provisional response gets its CANCEL at once (section 16.10)."""
        self.locate(A)
        self.answers((0, 100))
        self.assertEqual(self.feed(Cancelled()), self.cancelled(0))
        self.assertEqual(self.answers((0, 487)), [*self.ended(0), Answer(487), Ended(487)])

    def test_before_a_provisional(self) -> None:
        """CANCEL waits for a provisional response of the branch (section 9.1)."""
        self.locate(A)
        self.assertEqual(self.feed(Cancelled()), [])
        self.assertEqual(self.answers((0, 100)), self.cancelled(0))

    def test_no_new_branch(self) -> None:
        """A cancelled request starts no branch any more, and a second CANCEL changes nothing (section 16.10)."""
        self.locate(A, LOW)
        self.answers((0, 180))
        self.feed(Cancelled())
        self.assertEqual(self.feed(Cancelled()), [])
        self.assertEqual(self.answers((0, 486)), [*self.ended(0), Answer(487), Ended(487)])

    def test_2xx_crosses(self) -> None:
        """A 200 that crosses the CANCEL goes up: the caller hangs up then (section 9.1)."""
        self.locate(A)
        self.answers((0, 180))
        self.feed(Cancelled())
        ok, effects = self.answer(0, 200)
        self.assertEqual(effects, [*self.ended(0), ForwardResponse(ok, 0), Ended(200)])

    def test_ignored(self) -> None:
        """A phone that ignores CANCEL is waited for 64*T1 (section 9.1)."""
        self.locate(A)
        self.answers((0, 180))
        self.feed(Cancelled())
        self.assertEqual(self.feed(TimerFired("X:0")), [*self.ended(0), Answer(487), Ended(487)])

    def test_while_located(self) -> None:
        """Cancelled before there are targets: 487, and nothing is started."""
        self.assertEqual(self.feed(Cancelled()), [Answer(487), Ended(487)])
        self.assertEqual(self.locate(A), [])

    def test_behind_the_end(self) -> None:
        """A CANCEL behind the final response has no effect (section 9.2)."""
        self.locate(A)
        self.answers((0, 486))
        self.assertEqual(self.feed(Cancelled()), [])


class HandOverTests(ContextCase):
    """Targets that are nodes of ours: a sign of life within 1 s, else the next one is asked."""

    b = Target("sip:bob@example.com", ("<sip:192.0.2.2;lr;ho=x>",), answer_within=1.0, node="b")
    c = Target("sip:bob@example.com", ("<sip:192.0.2.3;lr;ho=y>",), answer_within=1.0, node="c")

    def setUp(self) -> None:
        self.context = ProxyContext(True, relocate=True)
        self.context.start()
        self.assertEqual(
            self.locate(self.b), [SetTimer("answer:0", 1.0), SetTimer("C:0", 185.0), StartBranch(0, self.b)]
        )

    def ended(self, branch: int) -> list[Effect]:
        return [*super().ended(branch), CancelTimer(f"answer:{branch}")]

    def test_sign_of_life(self) -> None:
        """Any response is one; the timer goes and nobody else is asked."""
        self.assertEqual(self.answers((0, 100)), [CancelTimer("answer:0")])
        self.assertEqual(self.feed(TimerFired("answer:0")), [])

    def test_silence(self) -> None:
        """Without one the next node is asked for; when it rings there the first is cancelled, its 180 and 487 do not count."""
        self.next_is_asked()
        self.assertEqual(self.answers((0, 100)), [CancelTimer("answer:0")])
        ringing, effects = self.answer(1, 180)
        self.assertEqual(
            effects,
            [
                CancelTimer("answer:1"),
                *self.cancelled(0),
                SetTimer("C:1", 185.0),
                ForwardResponse(ringing, 1),
            ],
        )
        self.assertEqual(self.answers((0, 180)), self.cancelled(0))  # the transaction layer sends one
        self.assertEqual(self.answers((0, 487)), super().ended(0))
        busy, effects = self.answer(1, 486)
        self.assertEqual(effects[-2:], [ForwardResponse(busy, 1), Ended(486)])

    def next_is_asked(self) -> None:
        self.assertEqual(self.feed(TimerFired("answer:0")), [LocateTargets((self.b,))])
        self.assertIn(StartBranch(1, self.c), self.locate(self.c))

    def test_silence_until_it_rings_elsewhere(self) -> None:
        """A node that has said nothing until then is cancelled as soon as it does (section 9.1)."""
        self.next_is_asked()
        self.answers((1, 180))
        self.assertEqual(self.answers((0, 100)), [CancelTimer("answer:0"), *self.cancelled(0)])

    def test_slow_node_rings_first(self) -> None:
        """Its copy came to the phone before that of the next node, which is the one that is cancelled."""
        self.next_is_asked()
        self.answers((1, 100))
        ringing, effects = self.answer(0, 180)
        self.assertEqual(
            effects,
            [
                CancelTimer("answer:0"),
                *self.cancelled(1),
                SetTimer("C:0", 185.0),
                ForwardResponse(ringing, 0),
            ],
        )
        self.assertEqual(self.answers((1, 482)), super().ended(1))
        busy, effects = self.answer(0, 486)
        self.assertEqual(effects, [*super().ended(0), ForwardResponse(busy, 0), Ended(486)])

    def test_merged(self) -> None:
        """The phone has the request over the first node already (482, section 8.2.2.2): that is the one to wait for."""
        self.next_is_asked()
        self.assertEqual(self.answers((1, 482)), [CancelTimer("answer:1"), *super().ended(1)])
        self.assertEqual(self.answers((0, 100)), [CancelTimer("answer:0")])
        ringing, effects = self.answer(0, 180)
        self.assertEqual(effects, [SetTimer("C:0", 185.0), ForwardResponse(ringing, 0)])
        ok, effects = self.answer(0, 200)
        self.assertEqual(effects[-2:], [ForwardResponse(ok, 0), Ended(200)])

    def test_merged_and_refused(self) -> None:
        """What the phone answers over the first node is the answer, not the 482."""
        self.next_is_asked()
        self.answers((1, 482))
        busy, effects = self.answer(0, 486)
        self.assertEqual(effects[-2:], [ForwardResponse(busy, 0), Ended(486)])

    def test_merged_behind_a_late_answer(self) -> None:
        """The phone was busy over the first node, which said so late, and merges the copy of the next one: it is busy."""
        self.next_is_asked()
        busy, effects = self.answer(0, 486)
        self.assertEqual(effects, [CancelTimer("answer:0"), *super().ended(0)])
        self.assertEqual(self.answers((1, 482))[-2:], [ForwardResponse(busy, 0), Ended(486)])

    def test_late_answer(self) -> None:
        """It stands back behind what the next node brings; 503, 482 and 487 say nothing of the phone."""
        self.next_is_asked()
        self.answers((0, 486))
        missing, effects = self.answer(1, 404)
        self.assertEqual(effects[-2:], [ForwardResponse(missing, 1), Ended(404)])
        for status in (482, 487, 503):
            self.setUp()
            self.next_is_asked()
            self.answers((0, status))
            self.assertEqual(self.answers((1, 482))[-2:], [Answer(500), Ended(500)])

    def test_late_6xx(self) -> None:
        """A 6xx says no for all whom the request may reach, whoever is asked by then (section 16.7 step 5)."""
        self.next_is_asked()
        self.answers((1, 180))
        declined, effects = self.answer(0, 603)
        self.assertEqual(effects, [CancelTimer("answer:0"), *super().ended(0), *self.cancelled(1)])
        self.assertEqual(self.answers((1, 487))[-2:], [ForwardResponse(declined, 0), Ended(603)])

    def test_late_6xx_and_nobody_else(self) -> None:
        """So it does before another one is found, and behind one that has merged a copy."""
        self.feed(TimerFired("answer:0"))
        declined, effects = self.answer(0, 603)
        self.assertEqual(effects[-2:], [ForwardResponse(declined, 0), Ended(603)])
        self.assertEqual(self.locate(self.c), [])
        self.setUp()
        self.next_is_asked()
        third = self.c._replace(uri="sip:bob@192.0.2.7", node="d")
        self.feed(TimerFired("answer:1"))
        self.locate(third)
        self.assertEqual(self.answers((2, 482))[-1], super().ended(2)[-1])  # it waits for the first ones
        declined, effects = self.answer(1, 603)
        self.assertIn(CancelBranch(0), effects + self.answers((0, 100)))
        self.assertEqual(self.answers((0, 487))[-2:], [ForwardResponse(declined, 1), Ended(603)])

    def test_merged_and_lost(self) -> None:
        """Without an answer of the first node it is a failure of ours: the caller has sent his request once."""
        for event in (BranchTimedOut(0), BranchFailed(0, ERROR)):
            self.setUp()
            self.next_is_asked()
            self.answers((1, 482))
            self.assertEqual(self.feed(event)[-2:], [Answer(500), Ended(500)])

    def test_merged_everywhere(self) -> None:
        """A loop is one, over whomever it goes."""
        self.next_is_asked()
        self.answers((1, 482))
        self.assertEqual(self.answers((0, 482))[-1], Ended(482))

    def test_merged_behind_a_node_that_ended(self) -> None:
        """A node that ended while the phone rang: nobody can end that, and the caller is told that it is our fault."""
        self.answers((0, 180))
        self.assertEqual(self.feed(BranchFailed(0, ERROR))[-1], LocateTargets((self.b,)))
        self.locate(self.c)
        self.assertEqual(self.answers((1, 482))[-2:], [Answer(500), Ended(500)])

    def test_merged_and_cancelled(self) -> None:
        """A caller that gives up meanwhile has all of it cancelled."""
        self.next_is_asked()
        self.answers((0, 100), (1, 100))
        effects = self.feed(Cancelled())
        self.assertEqual(effects, [*self.cancelled(0), *self.cancelled(1)])
        self.assertEqual(self.answers((0, 180)), self.cancelled(0))
        self.assertEqual(self.answers((0, 487)), super().ended(0))
        self.assertEqual(self.answers((1, 487))[-2:], [Answer(487), Ended(487)])

    def test_asked_before(self) -> None:
        """The same where another node of ours was asked before this one serves it."""
        for before, end in ((True, [Answer(500), Ended(500)]), (False, [Ended(482)])):
            self.context = ProxyContext(True, asked_before=before)
            self.locate(A)
            self.assertEqual(self.answers((0, 482))[-len(end) :], end)

    def here(self) -> None:
        """The next one is this node itself, in a context of its own."""
        before, self.context = self.context, ProxyContext(True, asked_before=True)
        self.assertEqual(self.context.take_over(before), [0])
        self.assertFalse(self.context.starts(A), "it is not the only branch")

    def test_served_here(self) -> None:
        """A node that is late stands by as before: it counts where it rings first, or where it was the first at the phone."""
        for before in (((0, 180), (1, 482)), ((1, 482), (0, 180)), ((0, 100), (1, 482))):
            self.setUp()
            self.feed(TimerFired("answer:0"))
            self.here()
            self.assertIn(StartBranch(1, A), self.locate(A))
            self.answers(*before)
            busy, effects = self.answer(0, 486)
            self.assertEqual(effects[-2:], [ForwardResponse(busy, 0), Ended(486)], before)

    def test_served_here_and_rings(self) -> None:
        """A node that is late is cancelled when the phone rings by this one's copy."""
        self.feed(TimerFired("answer:0"))
        self.here()
        self.locate(A)
        self.answers((0, 100))
        _, effects = self.answer(1, 180)
        self.assertEqual(effects[: len(self.cancelled(0))], self.cancelled(0))
        self.answers((0, 487))
        busy, effects = self.answer(1, 486)
        self.assertEqual(effects[-2:], [ForwardResponse(busy, 1), Ended(486)])

    def test_served_here_behind_a_late_answer(self) -> None:
        """What the late node has brought before counts where this one's copy is merged; one that refused is no branch."""
        self.next_is_asked()
        busy, _ = self.answer(0, 486)
        self.answers((1, 503))
        self.here()
        self.locate(A)
        self.assertEqual(self.answers((1, 482))[-2:], [ForwardResponse(busy, 0), Ended(486)])

    def test_served_here_and_nobody_there(self) -> None:
        """That the phone cannot be reached is what it is, beside a node of which nothing is known."""
        self.feed(TimerFired("answer:0"))
        self.here()
        self.locate(A._replace(flow=Flow("UDP", ("192.0.2.8", 5060), ("192.0.2.1", 5060))))
        self.assertEqual(self.feed(BranchFailed(1, ERROR))[-2:], [Answer(480), Ended(480)])

    def test_silence_then_2xx(self) -> None:
        """A 2xx of the slow node counts all the same: the phone has answered."""
        self.feed(TimerFired("answer:0"))
        self.locate(self.c)
        self.answers((1, 100))
        ok, effects = self.answer(0, 200)
        self.assertIn(ForwardResponse(ok, 0), effects)
        self.assertEqual(effects[-3:], [*self.cancelled(1), Ended(200)])

    def test_503(self) -> None:
        """A 503 of a node asks for the next one; when there is none the caller hears 500 or what the service answers."""
        _, effects = self.answer(0, 503)
        self.assertEqual(effects[-1], LocateTargets((self.b,)))
        self.assertEqual(self.locate(), [Answer(500), Ended(500)])

    def test_unreachable(self) -> None:
        """So does a node that cannot be sent to."""
        self.assertEqual(self.feed(BranchFailed(0, ERROR)), [*self.ended(0), LocateTargets((self.b,))])

    def test_other_failures_are_answers(self) -> None:
        """Any other failure is the answer to the request: nobody else is asked."""
        busy, effects = self.answer(0, 486)
        self.assertEqual(effects[-2:], [ForwardResponse(busy, 0), Ended(486)])

    def test_cancelled(self) -> None:
        """A caller that gave up makes nobody else be asked."""
        self.feed(Cancelled())
        self.assertEqual(self.feed(TimerFired("answer:0")), [])
        self.assertEqual(self.feed(BranchTimedOut(0))[-2:], [Answer(487), Ended(487)])


class UnusableTests(ContextCase):
    """A branch whose 1xx can neither go up nor be changed."""

    def test_alone(self) -> None:
        """It is cancelled at any time (section 16.10), its 487 is our doing, and the caller hears the status of our own."""
        self.locate(A)
        self.answers((0, 183))
        self.assertEqual(self.feed(BranchUnusable(0, 502)), self.cancelled(0))
        self.assertEqual(self.feed(BranchUnusable(0, 502)), [])  # a copy of that 1xx
        self.assertEqual(self.answers((0, 487)), [*self.ended(0), Answer(502), Ended(502)])

    def test_no_487_comes(self) -> None:
        """Nor is the caller kept waiting by a phone that answers no CANCEL (section 9.1)."""
        self.locate(A)
        self.answers((0, 183))
        self.feed(BranchUnusable(0, 502))
        self.assertEqual(self.feed(TimerFired("X:0")), [*self.ended(0), Answer(502), Ended(502)])

    def test_what_others_bring(self) -> None:
        """Any response of another branch says more, and the next target is tried (section 16.7 step 6)."""
        self.locate(A, B, LOW)
        self.answers((0, 183))
        self.feed(BranchUnusable(0, 502))
        self.answers((0, 487))
        self.assertIn(StartBranch(2, LOW), self.answers((1, 486)))
        self.assertEqual(self.answers((2, 404))[-1], Ended(486))

    def test_2xx_crosses(self) -> None:
        """A 2xx goes up all the same (section 16.7 step 5), and a caller who gave up hears that."""
        self.locate(A)
        self.answers((0, 183))
        self.feed(BranchUnusable(0, 502))
        ok, effects = self.answer(0, 200)
        self.assertEqual(effects[-2:], [ForwardResponse(ok, 0), Ended(200)])
        self.setUp()
        self.locate(A)
        self.answers((0, 183))
        self.feed(BranchUnusable(0, 502))
        self.feed(Cancelled())
        self.assertEqual(self.answers((0, 487))[-2:], [Answer(487), Ended(487)])

    def test_diverted(self) -> None:
        """It is what came of a phone, for who decides where the call goes next."""
        self.context = ProxyContext(True, diverts=True)
        self.locate(A)
        self.answers((0, 183))
        self.feed(BranchUnusable(0, 502))
        self.assertEqual(self.answers((0, 487))[-1], LocateTargets((A,), 502))


class DivertingTests(ContextCase):
    """A user with preferences: what comes of his phones decides where the call goes next."""

    phone, next = Target("sip:bob@192.0.2.1", ring=9.0), Target("sip:carol@192.0.2.2")

    def setUp(self) -> None:
        self.context = ProxyContext(True, diverts=True)
        self.context.start()
        self.assertEqual(
            self.locate(self.phone),
            [SetTimer("C:0", 185.0), SetTimer("ring:0", 9.0), StartBranch(0, self.phone)],
        )

    def ended(self, branch: int) -> list[Effect]:
        return [*super().ended(branch), *([] if branch else [CancelTimer("ring:0")])]

    def test_busy(self) -> None:
        """Its answer is not passed on, and is what more targets are asked for with."""
        self.assertEqual(self.answers((0, 486)), [*self.ended(0), LocateTargets((), 486)])
        self.assertEqual(self.locate(self.next), [SetTimer("C:1", 185.0), StartBranch(1, self.next)])

    def test_nobody_else(self) -> None:
        """Without any more targets the best response of all goes up."""
        self.answers((0, 486))
        self.locate(self.next)
        _, effects = self.answer(1, 404)
        self.assertEqual(effects[-1], LocateTargets((), 404))
        busy = self.locate()
        self.assertEqual([type(effect) for effect in busy], [ForwardResponse, Ended])
        self.assertEqual(busy[-1], Ended(486))

    def test_rings_for_too_long(self) -> None:
        """CANCEL goes out, its 487 is waited for, and counts as silence (RFC 5359 section 2.9)."""
        self.answers((0, 180))
        self.assertEqual(self.feed(TimerFired("ring:0")), self.cancelled(0))
        self.assertEqual(self.answers((0, 487)), [*self.ended(0), LocateTargets((self.phone,), 408)])
        self.assertEqual(self.locate(), [Answer(408), Ended(408)])

    def test_answers_after_all(self) -> None:
        """Who takes the call while his CANCEL is under way has it."""
        self.answers((0, 180))
        self.feed(TimerFired("ring:0"))
        ok, effects = self.answer(0, 200)
        self.assertEqual(effects, [*self.ended(0), ForwardResponse(ok, 0), Ended(200)])

    def test_says_nothing(self) -> None:
        """A phone that says nothing is not waited for; should it ring yet, it is cancelled then (section 9.1)."""
        self.assertEqual(self.feed(TimerFired("ring:0")), [LocateTargets((self.phone,), 408)])
        self.locate(self.next)
        self.assertEqual(self.answers((0, 180)), self.cancelled(0))
        self.assertEqual(self.answers((0, 487)), self.ended(0))
        _, effects = self.answer(1, 486)
        self.assertEqual(effects[-1], LocateTargets((self.phone,), 486))

    def test_no_487_comes(self) -> None:
        """64*T1 behind the CANCEL the next target is tried all the same."""
        self.answers((0, 180))
        self.feed(TimerFired("ring:0"))
        self.assertEqual(self.feed(TimerFired("X:0")), [*self.ended(0), LocateTargets((self.phone,), 408)])

    def test_not_reached(self) -> None:
        """A phone that cannot be sent to, or never said anything, was not reached."""
        self.assertEqual(self.feed(BranchFailed(0, ERROR)), [*self.ended(0), LocateTargets((self.phone,), 0)])

    def test_timer_b(self) -> None:
        """So is one that answered nothing until Timer B."""
        self.assertEqual(self.feed(BranchTimedOut(0)), [*self.ended(0), LocateTargets((self.phone,), 0)])

    def test_last_ones_count(self) -> None:
        """What came of those before is not asked about again."""
        self.answers((0, 486))
        self.locate(self.next)
        self.assertEqual(self.feed(BranchFailed(1, ERROR)), [*self.ended(1), LocateTargets((self.next,), 0)])

    def test_declined(self) -> None:
        """A 6xx ends it: no new branch (section 16.7 step 5)."""
        declined, effects = self.answer(0, 603)
        self.assertEqual(effects, [*self.ended(0), ForwardResponse(declined, 0), Ended(603)])

    def test_caller_gives_up(self) -> None:
        """A caller who hangs up, also while the next target is looked for, is heard."""
        self.answers((0, 180))
        self.assertEqual(self.feed(Cancelled()), self.cancelled(0))
        self.assertEqual(self.answers((0, 487)), [*self.ended(0), Answer(487), Ended(487)])
        self.assertEqual(self.feed(TimerFired("ring:0")), [])

    def test_all_phones_are_cancelled(self) -> None:
        """Phones that ring together each have the timer; what decides is the best that came of them."""
        self.context = ProxyContext(True, diverts=True)
        other = Target("sip:bob@192.0.2.3", ring=9.0)
        self.locate(self.phone, other)
        self.answers((0, 180), (1, 486))
        self.feed(TimerFired("ring:0"))
        self.assertEqual(self.answers((0, 487))[-1], LocateTargets((self.phone,), 486))


class NonInviteTests(ContextCase):
    invite = False

    def test_final(self) -> None:
        """There is no Timer C, and one 2xx ends it (section 16.6 step 11)."""
        self.assertEqual(self.locate(A, B), [StartBranch(0, A), StartBranch(1, B)])
        ok, effects = self.answer(0, 200)
        self.assertEqual(effects, [ForwardResponse(ok, 0), Ended(200)])
        self.assertEqual(self.answers((1, 200)), [])

    def test_provisional(self) -> None:
        """No 1xx goes up: who asks gets none but a 100, of our own (RFC 4320 section 4.1)."""
        self.locate(A, B)
        self.assertEqual(self.answers((0, 182), (0, 100), (1, 183)), [])
        ok, effects = self.answer(0, 200)
        self.assertEqual(effects, [ForwardResponse(ok, 0), Ended(200)])

    def test_silence(self) -> None:
        """Silence is not answered: the client has timed out by then itself (RFC 4320 section 4.2)."""
        self.locate(A)
        self.assertEqual(self.feed(BranchTimedOut(0)), [Ended(0)])

    def test_not_cancelled(self) -> None:
        """Only INVITE is cancelled: a 6xx sends no CANCEL (section 9.1)."""
        self.locate(A, B)
        self.assertEqual(self.answers((1, 100), (0, 603)), [])


class ShortWayTests(SynchronousTestCase):
    """C{starts} and C{passes} are the frequent arrows and nothing else."""

    def same(self, short: ProxyContext, long: ProxyContext, invite: bool, event: Event) -> None:
        """Feed one event to both, the short way where there is one, and compare effects."""
        effects = long.feed(event)
        if not (
            isinstance(event, BranchAnswered) and event.branch == 0 and short.passes(event.response.status)
        ):
            self.assertEqual(short.feed(event), effects)
            return
        forward = ForwardResponse(event.response, 0)
        if event.response.status < 200:
            self.assertEqual(effects, [SetTimer("C:0", 185.0), forward] if invite else [])
        else:
            stops = [CancelTimer("C:0"), CancelTimer("X:0")] if invite else []
            self.assertEqual(effects, [*stops, forward, Ended(event.response.status)])

    def test_all_sequences(self) -> None:
        """Whatever comes in which order, both ways give the same."""
        answered = [BranchAnswered(0, response(status)) for status in (100, 180, 200, 486, 603)]
        events: list[Event] = [
            *answered,
            Cancelled(),
            TimerFired("C:0"),
            TimerFired("X:0"),
            BranchTimedOut(0),
        ]
        for invite, sequence in product((True, False), product(events, repeat=4)):
            short, long = ProxyContext(invite), ProxyContext(invite)
            long.feed(Located((A,)))
            self.assertTrue(short.starts(A))
            for event in sequence:
                self.same(short, long, invite, event)
            self.assertEqual(short.ended, long.ended)

    def test_forks_take_the_long_way(self) -> None:
        """Two branches, a target of a node of ours, or a second group are not for the short way."""
        forked = ProxyContext(True)
        forked.feed(Located((A, B)))
        self.assertFalse(forked.passes(180))
        self.assertFalse(forked.starts(C))
        self.assertFalse(ProxyContext(True).starts(A._replace(answer_within=1.0)))
        self.assertFalse(ProxyContext(True).passes(200))


class WantedTests(ContextCase):
    def test_wanted(self) -> None:
        """A branch goes to one more server as long as it has no end and nobody gave it up (RFC 3263 section 4.3)."""
        for events, wanted in (
            ([], True),
            ([BranchAnswered(0, response(180))], True),
            ([Cancelled()], False),
            ([BranchAnswered(0, response(180)), Cancelled()], False),
            ([BranchAnswered(1, response(200))], False),
            ([BranchAnswered(1, response(603))], False),
            ([BranchAnswered(0, response(486))], False),
        ):
            context = ProxyContext(True)
            context.feed(Located([A, B]))
            for event in events:
                context.feed(event)
            self.assertIs(context.is_wanted(0), wanted, events)

    def test_given_up(self) -> None:
        """A node that gave no sign is not asked at another address."""
        context = ProxyContext(True)
        context.feed(Located([A._replace(answer_within=1.0), B]))
        context.feed(TimerFired("answer:0"))
        self.assertFalse(context.is_wanted(0))


class SettlingTests(ContextCase):
    """Targets of which some answers end the search: gateways to one number."""

    def setUp(self) -> None:
        super().setUp()
        self.context.settles = lambda target, response: response.status < 500
        self.one, self.two = A._replace(gateway="a", q=2), B._replace(gateway="b", q=1)
        self.locate(self.one, self.two)

    def test_next(self) -> None:
        """What does not settle it leads to the next target; what the last one says goes up."""
        self.assertEqual(self.answers((0, 503))[-1], StartBranch(1, self.two))
        given, effects = self.answer(1, 486)
        self.assertEqual(effects[-2:], [ForwardResponse(given, 1), Ended(486)])

    def test_next_behind_a_late_one(self) -> None:
        """One that rings when the next one is asked already may fail yet: those behind both are asked then."""
        self.setUp()
        self.context = ProxyContext(True)
        self.context.settles = lambda target, response: response.status < 500
        three = C._replace(gateway="c", q=0)
        self.locate(*(t._replace(answer_within=4.0) for t in (self.one, self.two)), three)
        self.feed(TimerFired("answer:0"))
        self.assertIn(ForwardResponse(*(ringing := self.answer(0, 180))[:1], 0), ringing[1])
        self.assertEqual(self.answers((0, 503))[-1], StartBranch(2, three))

    def test_settled(self) -> None:
        """What settles it goes up at once, and the next target is not asked."""
        given, effects = self.answer(0, 404)
        self.assertEqual(effects, [*self.ended(0), ForwardResponse(given, 0), Ended(404)])

    def test_before(self) -> None:
        """A better class of an earlier target is not told instead (section 16.7 step 6 is for forks)."""
        self.answer(0, 500)
        given, effects = self.answer(1, 486)
        self.assertEqual(effects[-2:], [ForwardResponse(given, 1), Ended(486)])
