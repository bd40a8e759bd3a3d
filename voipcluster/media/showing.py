"""What the relay says of ICE and RTCP to the reader of a description, who may not speak them as its writer does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from attrs import frozen

from voipcluster.media.sdp import Ice, MediaLine, Transport


class Terms(NamedTuple):
    """
    For one line: whether we offer or answer ICE, what becomes of C{a=rtcp-mux} (L{None}: nothing) and for how many
    components there is a candidate.
    """

    ice: bool
    mux: bool | None
    components: int


@frozen
class Reader:
    """
    The side that a description goes to.

    @ivar known: its lines as it last described them, empty before.
    @ivar offer: the lines of its offer, when this is the answer.
    @ivar browser: it came over WebSocket (RFC 7118): it refuses what has no ICE or no C{a=rtcp-mux} (RFC 8829).
    """

    known: Sequence[MediaLine] = ()
    offer: Sequence[MediaLine] | None = None
    browser: bool = False

    def terms(self, n: int, line: MediaLine, *, ice: bool = True) -> Terms:
        """
        @param n: position of the line.
        @param ice: false when the relay speaks no ICE at all.
        """
        if self.offer is not None:
            return self._answer(n, line, self.offer, ice)
        known = self.known[n] if n < len(self.known) and self.known[n].relayed else None
        if known is None:
            speaks, needs_mux = self.browser or line.ice is not Ice.NONE, self.browser
        else:
            speaks, needs_mux = self.browser or known.ice is not Ice.NONE, known.mux_only
        mux = True if needs_mux and not line.rtcp_mux and line.transport is Transport.RTP else None
        return Terms(ice and speaks, mux, _components(line, alone=bool(mux) or line.mux_only))

    def _answer(self, n: int, line: MediaLine, offer: Sequence[MediaLine], ice: bool) -> Terms:
        offered = offer[n] if n < len(offer) else None
        if offered is None:
            return Terms(ice=False, mux=None, components=1)
        mux = None
        if offered.mux_only and not line.rtcp_mux and line.transport is Transport.RTP:
            mux = True
        elif line.rtcp_mux and not offered.rtcp_mux:
            mux = False
        muxed = line.rtcp_mux if mux is None else mux
        return Terms(ice and offered.ice is not Ice.NONE, mux, _components(line, alone=muxed))

    def bridged(self, n: int, line: MediaLine) -> bool | None:
        """
        Of an answer: whether the reader uses one port for RTP and RTCP and the writer two (C{True}), or the other way
        round (C{False}); L{None} when they do the same.
        """
        if self.offer is None or n >= len(self.offer) or line.transport is not Transport.RTP:
            return None
        mux = self.terms(n, line).mux
        reader = line.rtcp_mux if mux is None else mux
        return None if reader is line.rtcp_mux else reader


def _components(line: MediaLine, *, alone: bool) -> int:
    return 1 if alone or line.transport is not Transport.RTP else 2
