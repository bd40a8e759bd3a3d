"""Each arrow of RFC 3261 figure 8."""

from __future__ import annotations

from itertools import product

from tests.unit.sip.transaction.machine_case import MachineCase
from voipcluster.machine import SetTimer, TimerFired
from voipcluster.sip.transaction.events import (
    Finished,
    RequestReceived,
    Respond,
    SendResponse,
    SendTrying,
)
from voipcluster.sip.transaction.non_invite_server import NonInviteServer, State

COPY = RequestReceived()
TRYING, OK = Respond(100, b"100"), Respond(200, b"200")


class NonInviteServerTests(MachineCase):
    def setUp(self) -> None:
        self.machine = NonInviteServer(reliable=False)

    def test_copy_in_trying(self) -> None:
        """A copy before any response is discarded (section 17.2.2), until Timer E of the client is at T2 (RFC 4320 4.1)."""
        for _ in range(2):
            self.assertEqual(self.machine.feed(COPY), [])
        for _ in range(2):  # until our user has sent it
            self.assertEqual(self.machine.feed(COPY), [SendTrying()])
        self.machine.feed(TRYING)
        self.assertEqual(self.machine.feed(COPY), [SendResponse(b"100")])

    def test_provisional(self) -> None:
        """A 1xx is sent, each copy gets the last one (section 17.2.2)."""
        self.assertEqual(self.machine.feed(Respond(182, b"182")), [SendResponse(b"182")])
        self.assertEqual(self.machine.feed(COPY), [SendResponse(b"182")])
        self.assertEqual(self.machine.feed(Respond(183, b"183")), [SendResponse(b"183")])
        self.assertEqual(self.machine.feed(COPY), [SendResponse(b"183")])
        self.assertIs(self.machine.state, State.PROCEEDING)

    def test_final(self) -> None:
        """A final response from Trying or Proceeding starts Timer J, 64*T1 over UDP, 0 over TCP (section 17.2.2)."""
        self.assertEqual(self.machine.feed(OK), [SendResponse(b"200"), SetTimer("J", 32.0)])
        self.assertIs(self.machine.state, State.COMPLETED)
        self.assertEqual(NonInviteServer(reliable=True).feed(OK)[-1], SetTimer("J", 0.0))
        machine = NonInviteServer(reliable=False)
        machine.feed(Respond(100, b"100"))
        self.assertEqual(machine.feed(OK)[-1], SetTimer("J", 32.0))

    def test_completed(self) -> None:
        """A copy gets the final response again; no other final response is sent (section 17.2.2)."""
        self.machine.feed(OK)
        self.assertEqual(self.machine.feed(COPY), [SendResponse(b"200")])
        self.assertEqual(self.machine.feed(Respond(486, b"486")), [])

    def test_timer_j(self) -> None:
        """Timer J ends the transaction, after which copies are nobody's (section 17.2.2)."""
        self.machine.feed(OK)
        self.assertEqual(self.machine.feed(TimerFired("J")), [Finished()])
        self.assertIs(self.machine.state, State.TERMINATED)
        self.assertEqual(self.machine.feed(COPY), [])

    def test_short_way(self) -> None:
        """C{sends} is the frequent arrows and nothing else: the same state behind it, and the effects that it names."""
        self.assertSendsIsFeed(
            lambda: NonInviteServer(reliable=False),
            product(((), (TRYING,), (OK,)), (TRYING, OK)),
            lambda respond: [SetTimer("J", 32.0)] if respond is OK else [],
        )
