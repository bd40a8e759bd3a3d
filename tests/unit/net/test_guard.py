"""The caps in front of banana."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.spread import banana
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import PeerError
from voipcluster.net.guard import BananaGuard, Bucket


def _banana(value: object) -> bytes:
    return banana.encode(value)


VALUES = st.recursive(
    st.one_of(
        st.binary(max_size=40),
        st.integers(-(2**62), 2**62),
        st.floats(allow_nan=False),
    ),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


class WholeExpressions(SynchronousTestCase):
    def test_each_expression_comes_out_once_and_whole(self) -> None:
        """However the stream is cut, the expressions are those that banana encoded."""

        @settings(max_examples=150, deadline=None)
        @given(st.lists(VALUES, max_size=4), st.integers(1, 9))
        def check(values: list[object], step: int) -> None:
            encoded = [_banana(value) for value in values]
            stream, guard = b"".join(encoded), BananaGuard(max_depth=50)
            found: list[bytes] = []
            for start in range(0, len(stream), step):
                found += guard.feed(stream[start : start + step], 0.0)
            self.assertEqual(found, encoded)
            self.assertFalse(guard.partial)

        check()

    def test_an_open_list_is_held_until_it_is_complete(self) -> None:
        """Nothing reaches banana of a list that never ends."""
        guard = BananaGuard()
        self.assertEqual(guard.feed(b"\x02\x80\x01\x81", 0.0), [])
        self.assertTrue(guard.partial)
        self.assertEqual(guard.feed(b"\x01\x81", 0.0), [b"\x02\x80\x01\x81\x01\x81"])


class Caps(SynchronousTestCase):
    def refused(self, data: bytes, guard: BananaGuard | None = None) -> None:
        self.assertRaises(PeerError, (guard or BananaGuard()).feed, data, 0.0)

    def test_a_long_string_is_refused_when_it_is_announced(self) -> None:
        """The first octets of a string of 640 KiB are enough; its body is not waited for."""
        self.refused(_banana(b"x" * 640 * 1024)[:8])

    def test_the_sum_of_strings_is_capped(self) -> None:
        """Strings that are short one by one do not add up to more than a message."""
        guard = BananaGuard()
        part = _banana(b"x" * 100_000)
        guard.feed(b"\x20\x80" + part, 0.0)
        for _ in range(4):
            guard.feed(part, 0.0)
        self.refused(part, guard)

    def test_many_small_integers_are_refused(self) -> None:
        """64 KiB of integers of two octets, which cost banana seconds, are refused by their count."""
        self.refused(b"\x40\x80" + b"\x01\x81" * 32768)

    def test_a_long_list_is_refused_when_it_is_announced(self) -> None:
        """A list of 1000 elements is refused before its elements come."""
        self.refused(_banana([1] * 1000)[:3])

    def test_deep_nesting_is_refused(self) -> None:
        """20 000 open lists never reach banana."""
        self.refused(b"\x01\x80" * 20_000)

    def test_long_prefix_and_unknown_type_are_refused(self) -> None:
        """A number of more than 63 bits, and a type octet that banana does not know."""
        self.refused(b"\x01" * 12)
        self.refused(b"\x01\x99")

    def test_too_many_messages_per_second_are_refused(self) -> None:
        """The rate is a token bucket: a burst passes, then the rate."""
        guard = BananaGuard(messages=Bucket(10.0, 20.0))
        guard.feed(b"\x01\x81" * 20, 1.0)
        guard.feed(b"\x01\x81" * 5, 1.6)
        self.assertRaises(PeerError, guard.feed, b"\x01\x81" * 5, 1.6)

    def test_too_many_octets_per_second_are_refused(self) -> None:
        """Octets count before anything is parsed."""
        guard = BananaGuard(octets=Bucket(100.0, 100.0))
        guard.feed(_banana(b"x" * 90), 0.0)
        self.assertRaises(PeerError, guard.feed, _banana(b"x" * 90), 0.1)
