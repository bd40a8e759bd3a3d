"""When the relay's ICE agents get new credentials."""

from __future__ import annotations

from itertools import count

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.media.test_sdp import WEBRTC, media
from voipcluster.media.agents import Agents
from voipcluster.media.ice import Credentials
from voipcluster.media.offer_answer import Exchange, Side

A, B = Side.CALLER, Side.CALLEE
BEFORE = media(WEBRTC)
AFTER = (evolve(BEFORE[0], ufrag="another"),)


class AgentsTests(SynchronousTestCase):
    def setUp(self) -> None:
        numbers = count()
        self.agents = Agents(lambda: Credentials(f"frag{next(numbers)}", "p" * 22))

    def ufrag(self, side: Side) -> str:
        return self.agents.facing(side).current.ufrag

    def test_each_side_its_own(self) -> None:
        """Two sides know nothing of each other's passwords; a side keeps its agent."""
        self.assertEqual([self.ufrag(A), self.ufrag(B), self.ufrag(A)], ["frag0", "frag1", "frag0"])

    def test_same_fragments(self) -> None:
        """An offer with the same fragments, or one without ICE, restarts nothing."""
        self.ufrag(A)
        self.agents.offered(Exchange(A, 2), A, BEFORE, BEFORE)
        self.agents.offered(Exchange(A, 3), A, BEFORE, (evolve(BEFORE[0], ufrag=""),))
        self.agents.offered(Exchange(B, 1), B, BEFORE, AFTER)
        self.assertEqual(self.ufrag(A), "frag0")

    def test_restart_once(self) -> None:
        """Other fragments restart; a copy of that offer does not again (RFC 8839 section 4.4.1.1.1)."""
        self.ufrag(A)
        for _ in range(2):
            self.agents.offered(Exchange(A, 2), A, BEFORE, AFTER)
        self.assertEqual(self.ufrag(A), "frag1")
        self.agents.settled(Exchange(A, 2))
        self.agents.rolled_back(Exchange(A, 2))
        self.assertEqual(self.ufrag(A), "frag1")

    def test_refused_restart(self) -> None:
        """An offer that is refused leaves the former session, hence the former credentials."""
        self.ufrag(A)
        self.agents.offered(Exchange(A, 2), A, BEFORE, AFTER)
        self.agents.rolled_back(Exchange(A, 2))
        self.assertEqual(self.ufrag(A), "frag0")
