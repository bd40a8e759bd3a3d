"""The order in which the datagrams of one wake-up are taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.address import UDP, Flow
from voipcluster.net.batch import arrange

FLOW = Flow(UDP, ("192.0.2.1", 5060), ("192.0.2.2", 5060))
OTHER = FLOW._replace(remote=("192.0.2.3", 5060))
_STARTS = [
    b"INVITE sip:a@b SIP/2.0",
    b"ACK sip:a@b SIP/2.0",
    b"BYE sip:a@b SIP/2.0",
    b"CANCEL sip:a@b SIP/2.0",
    b"MESSAGE sip:a SIP/2.0",
    b"SIP/2.0 100 Trying",
    b"SIP/2.0 180 Ringing",
    b"SIP/2.0 200 OK",
    b"SIP/2.0 486 Busy Here",
    b"SIP",
    b"x",
    b"",
]
_CALLS = [b"Call-ID: 1", b"Call-ID: 2", b"Call-ID: 3", b"i: 4", b"CALL-ID: 5"]


def message(start: bytes, call: bytes = b"Call-ID: 1", number: int = 0) -> bytes:
    return b"%b\r\nX: %d\r\n%b\r\n\r\n" % (start, number, call)


class ArrangeTests(SynchronousTestCase):
    def test_kinds_together(self) -> None:
        """Messages of one kind stand behind each other, in the order in which a call needs them."""
        mixed = [
            (message(_STARTS[start], b"Call-ID: %d" % number), FLOW)
            for number, start in enumerate([2, 0, 7, 5, 1, 0, 7, 6, 2])
        ]
        self.assertEqual(
            [data.partition(b"\r")[0] for data, _ in arrange(mixed)],
            [_STARTS[start] for start in (0, 0, 5, 6, 7, 7, 1, 2, 2)],
        )

    def test_a_call_keeps_its_order(self) -> None:
        """An ACK stays in front of the next INVITE of its call, which would be refused otherwise (RFC 3261 section 14.2)."""
        batch = [
            (message(_STARTS[1]), FLOW),
            (message(_STARTS[0]), FLOW),
            (message(_STARTS[0], _CALLS[1]), OTHER),
        ]
        self.assertEqual(arrange(batch), [batch[2], batch[0], batch[1]])

    @given(
        st.lists(
            st.tuples(st.sampled_from(_STARTS), st.sampled_from(_CALLS), st.sampled_from([FLOW, OTHER])),
            max_size=30,
        )
    )
    def test_any_batch(self, made: list[tuple[bytes, bytes, Flow]]) -> None:
        """Nothing is lost or doubled; of one call, or of one source where no call is named as usual, nothing is overtaken."""
        batch = [(message(start, call, number), flow) for number, (start, call, flow) in enumerate(made)]
        arranged = arrange(batch)
        self.assertEqual(sorted(arranged), sorted(batch))
        for call in _CALLS[:3]:
            self.assertEqual(
                [entry for entry in arranged if call in entry[0]],
                [entry for entry in batch if call in entry[0]],
            )
        for flow in (FLOW, OTHER):
            self.assertEqual(
                [entry for entry in arranged if entry[1] == flow and b"\r\nCall-ID: " not in entry[0]],
                [entry for entry in batch if entry[1] == flow and b"\r\nCall-ID: " not in entry[0]],
            )
