"""Sealed tokens of flows, calls and hand-overs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.properties import tokens
from tests.unit.strategies import damaged
from voipcluster.address import Flow
from voipcluster.balance.handover import Handover
from voipcluster.seal import Sealer
from voipcluster.sip.route import pack_flow

HOSTS = st.sampled_from(["192.0.2.1", "2001:db8::1", "127.0.0.1", "fe80::1"])
ADDRESSES = st.tuples(HOSTS, st.integers(0, 65535))
FLOWS = st.builds(
    Flow,
    st.sampled_from(["UDP", "TCP", "TLS", "WS", "WSS"]),
    ADDRESSES,
    ADDRESSES,
    st.integers(0, 2**32 - 1),
    name=st.just(""),
)
NAMES = st.text(max_size=8)
HANDOVERS = st.builds(
    Handover,
    FLOWS,
    NAMES,
    st.none() | st.text(min_size=1, max_size=20),
    st.lists(NAMES, max_size=4).map(tuple),
    st.integers(0, 255),
    st.booleans(),
)
PACKED = st.builds(pack_flow, FLOWS, st.integers(0, 2**32 - 1))
PARTIES = st.just(b"\xff") | PACKED.map(lambda flow: b"\x04\xc0\x00\x02\x01\x13\xc4hash" + flow)
CALLS = st.builds(lambda caller, callee: b"dialog!!" + caller + callee, PARTIES, PARTIES)


def sealed_octets(handover: Handover) -> bytes:
    return Sealer(tokens.KEY, b"handover").open(tokens.HANDOVERS.seal(handover, "call-1", 100.0))


class GeneratedTokenTests(SynchronousTestCase):
    @given(st.binary(max_size=60))
    def test_foreign_text(self, octets: bytes) -> None:
        """Nothing that a stranger writes opens; one octet changed, a token does not open either."""
        tokens.check_foreign(octets)
        tokens.check_text(octets)
        tokens.check_gruu(octets)

    @given(HANDOVERS)
    def test_handovers(self, handover: Handover) -> None:
        """A hand-over is told as it is."""
        token = tokens.HANDOVERS.seal(handover, "call-1", 100.0)
        self.assertEqual(tokens.HANDOVERS.open(token, "call-1", 101.0), handover)

    @given(HANDOVERS.map(sealed_octets) | damaged(HANDOVERS.map(sealed_octets)))
    def test_sealed_handovers_of_another_version(self, octets: bytes) -> None:
        """What a node of another version seals is understood or refused with 403."""
        tokens.check_handover(octets)

    @given(PACKED | damaged(PACKED))
    def test_flows(self, octets: bytes) -> None:
        """The same of flows; their token fits into our Route."""
        tokens.check_flow(octets)

    @given(CALLS | damaged(CALLS))
    def test_calls(self, octets: bytes) -> None:
        """The same of the tokens of calls."""
        tokens.check_call(octets)
