"""The user agent: which of its parts an event or an order goes to."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.phone.world import ALICE, BOB_URI, MEDIA_A, MEDIA_B, PROXY, Pair, Party, line
from voipcluster.machine import TimerFired
from voipcluster.phone.agent import UserAgent
from voipcluster.phone.call import CallState
from voipcluster.phone.events import Ended, Incoming, Ringing, Up
from voipcluster.sip.transaction.events import Durations


class OneAgentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.pair = Pair()
        self.party = self.pair.alice

    def test_a_timer_of_nobody(self) -> None:
        """One that fires late, for a call that is gone or by a name of another version, gives nothing."""
        for name in ("", "refresh of another", "answer x", "cancel x"):
            self.assertEqual(self.party.agent.feed(TimerFired(name)), [])

    def test_the_refresh_timer_registers_again(self) -> None:
        """By its name and nothing else; the contact is that of the line."""
        self.party.obey(self.party.agent.feed(TimerFired("refresh")))
        request, hop = self.party.take()
        self.assertEqual((request.method, request.get("expires")), ("REGISTER", "600"))
        self.assertEqual(request.get("contact"), f"<sip:alice@{ALICE[0]}:{ALICE[1]}>")
        self.assertEqual(hop.host, "192.0.2.20")

    def test_what_is_asked_for(self) -> None:
        """The time that a registration is asked for is the agent's, or that of the one order; 0 takes it back."""
        party = Party(self.pair.clock, UserAgent(line("alice", ALICE), expires=120))
        for order, expires in ((None, "120"), (30, "30"), (0, "0")):
            party.obey(party.agent.register(order))
            self.assertEqual(party.take()[0].get("expires"), expires)

    def test_other_durations(self) -> None:
        """A short T1 repeats a request sooner (RFC 3261 section 17.1.2.2)."""
        party = Party(self.pair.clock, UserAgent(line("alice", ALICE), durations=Durations(t1=0.01)))
        party.obey(party.agent.register())
        self.pair.clock.advance(0.011)
        self.assertEqual([(m.method, h) for m, h in party.sent], [("REGISTER", PROXY)] * 2)


class CallTests(SynchronousTestCase):
    """Hanging up, in each state that a call can be in (RFC 3261 sections 9.1, 13.3 and 15)."""

    def setUp(self) -> None:
        self.pair = Pair()
        self.alice, self.bob = self.pair.alice, self.pair.bob

    def tearDown(self) -> None:
        self.pair.advance(40)
        self.assertEqual(self.pair.clock.getDelayedCalls(), [])
        for party in (self.alice, self.bob):
            self.assertEqual(party.agent.calls, {})
            self.assertEqual(sum(isinstance(event, Ended) for event in party.told), 1)

    def dial(self) -> None:
        self.call, effects = self.alice.agent.call(BOB_URI, MEDIA_A)
        self.assertIs(self.alice.agent.calls[self.call.call_id], self.call)
        self.alice.obey(effects)

    def ring(self) -> None:
        self.dial()
        self.pair.settle()
        (incoming,) = [event for event in self.bob.told if isinstance(event, Incoming)]
        self.theirs = self.bob.agent.calls[incoming.call_id]
        self.assertTrue(any(isinstance(event, Ringing) for event in self.alice.told))

    def answer(self) -> None:
        self.ring()
        self.bob.obey(self.bob.agent.accept(self.theirs, MEDIA_B))
        self.pair.settle()
        for party in (self.alice, self.bob):
            self.assertTrue(any(isinstance(event, Up) for event in party.told))

    def ended(self, party: Party) -> int:
        (status,) = [event.status for event in party.told if isinstance(event, Ended)]
        return status

    def hang_up(self, party: Party) -> list[str]:
        """The methods and statuses that it sends at once."""
        call = self.call if party is self.alice else self.theirs
        party.obey(party.agent.hang_up(call))
        said = [getattr(message, "method", None) or str(message.status) for message, _ in party.sent]
        self.pair.settle()
        return said

    def test_before_anything_came_back(self) -> None:
        """A CANCEL waits for the first provisional answer, and goes then."""
        self.dial()
        held = self.alice.take_all()
        self.assertEqual(self.hang_up(self.alice), [])
        self.assertEqual(self.call.state, CallState.CALLING)
        self.bob.receive(held[0])
        self.pair.settle()
        self.assertEqual(self.ended(self.alice), 487)

    def test_while_it_rings_by_the_caller(self) -> None:
        """CANCEL; both sides end."""
        self.ring()
        self.assertEqual(self.hang_up(self.alice), ["CANCEL"])
        self.assertEqual(self.ended(self.alice), 487)

    def test_while_it_rings_by_the_callee(self) -> None:
        """603: it is not wanted anywhere."""
        self.ring()
        self.assertEqual(self.hang_up(self.bob), ["603"])
        self.assertEqual(self.ended(self.alice), 603)

    def test_refused(self) -> None:
        """486 unless another status is given; it can be refused once."""
        self.ring()
        self.bob.obey(self.bob.agent.reject(self.theirs))
        self.pair.settle()
        self.assertEqual(self.ended(self.alice), 486)
        self.assertEqual(self.bob.agent.reject(self.theirs), [])

    def test_when_it_is_up(self) -> None:
        """BYE, from either side, and a second time is nothing."""
        self.answer()
        self.assertEqual(self.hang_up(self.bob), ["BYE"])
        self.assertTrue(self.call.over and self.theirs.over)
        self.assertEqual(self.hang_up(self.alice), [])
        self.assertEqual(self.hang_up(self.bob), [])
        self.assertEqual(self.bob.agent.accept(self.theirs, MEDIA_B), [])
