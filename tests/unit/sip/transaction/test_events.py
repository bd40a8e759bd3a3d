"""The durations of the timers, and events and effects of the machines."""

from __future__ import annotations

import inspect

from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.transaction.machine_case import MachineCase
from voipcluster.sip.transaction import events
from voipcluster.sip.transaction.events import (
    STANDARD,
    Durations,
    Finished,
    PassAck,
    SendRequest,
    SendResponse,
)


class DurationsTests(SynchronousTestCase):
    def test_the_rfc_s(self) -> None:
        """T1, T2, T4 and Timer D are those of RFC 3261 table 4, and Timer C is above three minutes (section 16.6 step 11)."""
        self.assertEqual((STANDARD.t1, STANDARD.t2, STANDARD.t4), (0.5, 4.0, 5.0))
        self.assertGreaterEqual(STANDARD.d, 32.0)
        self.assertGreater(STANDARD.c, 180.0)

    def test_nobody_changes_them(self) -> None:
        """All transactions of a node share one object; another value is another object, with the others as they were."""
        with self.assertRaises(FrozenInstanceError):
            STANDARD.t1 = 0.1
        self.assertEqual((Durations(t1=0.1).t1, Durations(t1=0.1).t4), (0.1, 5.0))


class KindsTests(MachineCase):
    def test_kinds_count(self) -> None:
        """Tuples of two kinds are equal, so machines and their tests look at the kinds: an ACK that is passed is no end."""
        self.assertTrue(PassAck() == Finished() and SendRequest(b"x") == SendResponse(b"x"))
        for one, other in ((PassAck(), Finished()), (SendRequest(b"x"), SendResponse(b"x"))):
            with self.assertRaises(AssertionError):
                self.assertEqual([one], [other])
            self.assertEqual([one], [type(one)(*one)])

    def test_each_says_what_it_is(self) -> None:
        """Each kind is an event or an effect, and its documentation says which."""
        kinds = [
            kind
            for _, kind in inspect.getmembers(events, inspect.isclass)
            if issubclass(kind, tuple) and kind.__module__ == events.__name__
        ]
        self.assertGreater(len(kinds), 10)
        for kind in kinds:
            self.assertRegex(kind.__doc__ or "", r"^(Event|Effect): ", kind.__name__)
