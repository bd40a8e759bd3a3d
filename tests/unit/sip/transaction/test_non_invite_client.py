"""Each arrow of RFC 3261 figure 6."""

from __future__ import annotations

from itertools import product

from tests.unit.sip.messages import response
from tests.unit.sip.transaction.machine_case import MachineCase
from voipcluster.errors import TransportError
from voipcluster.machine import CancelTimer, SetTimer, TimerFired
from voipcluster.sip.transaction.events import (
    Finished,
    PassFailure,
    PassResponse,
    PassTimeout,
    ResponseReceived,
    SendFailed,
    SendRequest,
)
from voipcluster.sip.transaction.non_invite_client import NonInviteClient, State

BYE = b"BYE ..."
TRYING, OK = response(100, cseq="7 BYE"), response(200, cseq="7 BYE")
BUSY = response(486, cseq="7 BYE")
ERROR = TransportError("gone")


class NonInviteClientTests(MachineCase):
    def setUp(self) -> None:
        self.machine = NonInviteClient(BYE, reliable=False)
        self.machine.start()

    def delays(self, count: int) -> list[float]:
        effects = [e for _ in range(count) for e in self.machine.feed(TimerFired("E"))]
        self.assertEqual([e for e in effects if isinstance(e, SendRequest)], [SendRequest(BYE)] * count)
        return [e.delay for e in effects if isinstance(e, SetTimer) and e.name == "E"]

    def test_start(self) -> None:
        """The request is sent; Timer E runs T1 over UDP, and Timer F 64*T1 at once over TCP (section 17.1.2.2)."""
        send = SendRequest(BYE)
        self.assertEqual(NonInviteClient(BYE, reliable=False).start(), [send, SetTimer("E", 0.5)])
        self.assertEqual(NonInviteClient(BYE, reliable=True).start(), [send, SetTimer("F", 32.0)])

    def test_timer_f_starts_with_the_first_timer_e(self) -> None:
        """Over UDP Timer F is started once, T1 after the start, for the rest of 64*T1 (section 17.1.2.2)."""
        for before in ((), (ResponseReceived(TRYING),)):
            self.setUp()
            self.play(*before)
            started = [e for _ in range(4) for e in self.machine.feed(TimerFired("E"))]
            self.assertEqual([e for e in started if e == SetTimer("F", 31.5)], [SetTimer("F", 31.5)])

    def test_short_start(self) -> None:
        """Over UDP C{start} changes nothing: who carries out its two effects himself need not call it (section 17.1)."""
        long, short = NonInviteClient(BYE, reliable=False), NonInviteClient(BYE, reliable=False)
        self.assertEqual(long.start(), [SendRequest(BYE), SetTimer("E", 0.5)])
        self.assertEqual(long, short)

    def test_short_way(self) -> None:
        """C{passes} is the frequent arrow and nothing else: the same state behind it, and the effects that it names."""
        self.assertPassesIsFeed(
            lambda: NonInviteClient(BYE, reliable=False),
            (
                ([*map(ResponseReceived, before)], heard)
                for before, heard in product(((), (TRYING,), (OK,)), (TRYING, OK, BUSY))
            ),
            lambda heard: [PassResponse(heard), SetTimer("K", 5.0)],
        )

    def test_timer_e_in_trying(self) -> None:
        """Timer E doubles up to T2 (section 17.1.2.2)."""
        self.assertEqual(self.delays(5), [1.0, 2.0, 4.0, 4.0, 4.0])

    def test_timer_e_in_proceeding(self) -> None:
        """In Proceeding the request is still sent again, every T2 (section 17.1.2.2)."""
        self.assertEqual(self.play(ResponseReceived(TRYING)), [PassResponse(TRYING)])
        self.assertIs(self.machine.state, State.PROCEEDING)
        self.assertEqual(self.delays(2), [4.0, 4.0])

    def test_timer_f(self) -> None:
        """Timer F ends the transaction in Trying and in Proceeding (section 17.1.2.2)."""
        for before in ((), (ResponseReceived(TRYING),)):
            self.setUp()
            effects = self.play(*before, TimerFired("F"))
            self.assertEqual((effects[0], effects[-1]), (PassTimeout(), Finished()))
            self.assertIs(self.machine.state, State.TERMINATED)

    def test_transport_error(self) -> None:
        """A transport error ends the transaction in Trying and in Proceeding (section 17.1.4)."""
        for before in ((), (ResponseReceived(TRYING),)):
            self.setUp()
            effects = self.play(*before, SendFailed(ERROR))
            self.assertEqual((effects[0], effects[-1]), (PassFailure(ERROR), Finished()))

    def test_final(self) -> None:
        """A final response goes up and starts Timer K, T4 over UDP, 0 over TCP (section 17.1.2.2)."""
        effects = self.play(ResponseReceived(OK))
        self.assertEqual(effects, [CancelTimer("E"), CancelTimer("F"), PassResponse(OK), SetTimer("K", 5.0)])
        self.assertIs(self.machine.state, State.COMPLETED)
        self.assertEqual(self.machine.wire, b"")
        machine = NonInviteClient(BYE, reliable=True)
        machine.start()
        self.assertEqual(machine.feed(ResponseReceived(OK))[-1], SetTimer("K", 0.0))

    def test_final_in_proceeding(self) -> None:
        """The same from Proceeding (figure 6)."""
        self.assertIn(PassResponse(OK), self.play(ResponseReceived(TRYING), ResponseReceived(OK)))

    def test_completed(self) -> None:
        """Completed absorbs copies of the response and is ended by Timer K (section 17.1.2.2)."""
        self.play(ResponseReceived(OK))
        for event in (ResponseReceived(OK), TimerFired("E"), TimerFired("F"), SendFailed(ERROR)):
            self.assertEqual(self.play(event), [])
        self.assertEqual(self.play(TimerFired("K"))[-1], Finished())
