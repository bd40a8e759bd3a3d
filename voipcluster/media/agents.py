"""The ICE agents of one call, one for each side that speaks ICE, and when they get new credentials."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field

from voipcluster.media.ice import Agent, Credentials
from voipcluster.media.offer_answer import Exchange, Side
from voipcluster.media.sdp import MediaLine


@define
class Agents:
    """
    @ivar new: makes credentials that nobody can guess: 24 bits of fragment and 128 of password or more (RFC 8445 section 5.3).
    """

    new: Callable[[], Credentials]
    by_side: dict[Side, Agent] = field(factory=dict)
    _renewed: dict[Exchange, Side] = field(factory=dict)

    def facing(self, side: Side) -> Agent:
        agent = self.by_side.get(side)
        if agent is None:
            agent = self.by_side[side] = Agent(self.new())
        return agent

    def offered(
        self, exchange: Exchange, side: Side, before: Sequence[MediaLine], now: Sequence[MediaLine]
    ) -> None:
        """Event: a side offers; other fragments than before restart ICE (RFC 8839 section 4.4.1.1.1)."""
        agent = self.by_side.get(side)
        if agent is None or exchange in self._renewed:
            return
        if any(a.ufrag and b.ufrag and a.ufrag != b.ufrag for a, b in zip(before, now, strict=False)):
            agent.renew(self.new())
            self._renewed[exchange] = side

    def settled(self, exchange: Exchange) -> None:
        """Event: that offer is answered."""
        self._renewed.pop(exchange, None)

    def rolled_back(self, exchange: Exchange) -> None:
        """Event: it came to nothing, the former session stays."""
        side = self._renewed.pop(exchange, None)
        if side is not None:
            self.by_side[side].roll_back()
