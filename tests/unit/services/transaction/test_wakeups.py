"""The datagrams of a wake-up in overload."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.test_batch import _STARTS, FLOW, message
from voipcluster.address import Flow
from voipcluster.services.transaction.wakeups import Batch, WakeUps

STARTS = [start for start in _STARTS if start[:4] != b"INVI"]


class WakeUpTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.room = 100.0
        self.left_out: list[bytes] = []
        self.subject = WakeUps(lambda: self.room, self.leaves_out)

    def leaves_out(self, data: bytes, flow: Flow) -> bool:
        if b"sos" in data:
            return False
        self.left_out.append(data)
        return True

    def batch(self, *starts: bytes) -> Batch:
        return [
            (message(start, b"Call-ID: %d" % number, number), FLOW) for number, start in enumerate(starts)
        ]

    def kinds(self, batch: Batch) -> list[bytes]:
        return [data.partition(b"\r\n")[0].partition(b" sip:")[0] for data, _ in self.subject.arrange(batch)]

    def test_calls_in_progress_first(self) -> None:
        """New calls come behind what those that are served wait for, and a CANCEL behind its INVITE."""
        mixed = self.batch(
            b"CANCEL sip:a", b"INVITE sip:a", b"BYE sip:a", b"SIP/2.0 200 OK", b"ACK sip:c", b"INVITE sip:b", b"SIP/2.0 180 R",
            b"BYE sip:d",
        )  # fmt: skip
        calls = [b"ACK", b"BYE", b"BYE", b"INVITE", b"INVITE", b"CANCEL"]
        self.assertEqual(self.kinds(mixed), [b"SIP/2.0 180 R", b"SIP/2.0 200 OK", *calls])

    def test_as_many_as_there_is_room_for(self) -> None:
        """Those that came first; what may not be thrown away stays, wherever it stood."""
        self.room = 2.7
        calls = self.batch(*[b"INVITE sip:%d" % number for number in range(5)], b"INVITE urn:service:sos")
        arranged = self.subject.arrange([*self.batch(b"ACK sip:a"), *calls])
        self.assertEqual(arranged[1:], [calls[0], calls[1], calls[5]])
        self.assertEqual(self.left_out, [data for data, _ in calls[2:5]])

    def test_room_for_all(self) -> None:
        """Then nobody is asked whether one may go; in debt there is room for none."""
        calls = self.batch(b"INVITE sip:a", b"INVITE sip:b")
        for room, left in ((2.0, 2), (float("inf"), 2), (0.0, 0), (-7.0, 0)):
            self.room = room
            self.assertEqual(len(self.subject.arrange(calls)), left, room)

    @given(st.lists(st.sampled_from(STARTS), max_size=20))
    def test_nothing_else_is_left_out(self, starts: list[bytes]) -> None:
        """And what is of one kind keeps its order."""
        self.room = 0.0
        batch = self.batch(*starts)
        arranged = self.subject.arrange(batch)
        self.assertCountEqual(arranged, batch)
        for start in set(starts):
            same = [one for one in batch if one[0].startswith(start + b"\r\n")]
            self.assertEqual([one for one in arranged if one in same], same)
