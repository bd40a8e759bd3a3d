"""Which versions of the cluster link two nodes have in common, and what greetings may say of it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.protocol import MOST, Spoken, spoken
from voipcluster.errors import PeerError


class ProtocolTests(SynchronousTestCase):
    def test_in_common(self) -> None:
        """One version that both speak is enough, in whichever direction; none is a line that names both."""
        now, next_one, after = Spoken("1.0", 1, 1), Spoken("1.1", 1, 2), Spoken("1.2", 2, 3)
        for one, other in ((now, now), (now, next_one), (next_one, after)):
            one.check(other)
            other.check(one)
        for one, other in ((now, after), (after, now)):
            error = str(self.assertRaises(PeerError, one.check, other))
            self.assertIn("voipcluster 1.2 speaks versions 2 to 3 of the cluster link", error)
            self.assertIn("voipcluster 1.0 speaks version 1 of the cluster link", error)
            self.assertNotIn("\n", error)

    def test_there_and_back(self) -> None:
        """A greeting says it, and what else is in it does not matter."""
        self.assertEqual(spoken({**Spoken("1.2", 2, 3).told(), "later": 7}), Spoken("1.2", 2, 3))

    def test_silence(self) -> None:
        """A node that does not tell is one of the first version."""
        self.assertEqual(spoken({}), Spoken("", 1, 1))

    def test_nonsense(self) -> None:
        """What cannot be is refused, also numbers of any size and texts for a terminal."""
        for protocol in (
            "1",
            [1],
            [2, 1],
            [0, 1],
            [1, MOST + 1],
            [True, True],
            [1.0, 2],
            {"1": 1},
            None,
            [1, 2, 3],
        ):
            self.assertRaises(PeerError, spoken, {"protocol": protocol})
        for version in (7, None, "x" * 33, "\x1b[2J", "\u202e1.0"):
            self.assertRaises(PeerError, spoken, {"version": version})
