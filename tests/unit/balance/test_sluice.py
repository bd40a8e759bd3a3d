"""How much strangers may send while the socket's buffer is long (S24 and S28 of the attacks that docs/security.md lists)."""

from __future__ import annotations

import math

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.sluice import LEAST, LONG, Sluice

ROOM = 8 << 20
LOOK = 0.05  # s


class SluiceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sluice = Sluice()

    def look(
        self, waiting: int, *, room: int = ROOM, lost: bool = False, served: float = 3000.0, kept_out: int = 1
    ) -> float:
        self.sluice.feed(waiting, room, lost, served, kept_out)
        return self.sluice.rate

    def admitted(self, seconds: float, of_dialogs: bool = False, each: float = 0.0001) -> int:
        """How many of so many datagrams a second are read, from 1000 s on."""
        count = int(seconds / each)
        return sum(self.sluice.admits(1000.0 + number * each, of_dialogs) for number in range(count))

    def test_short(self) -> None:
        """A short buffer, an empty one and one that nothing is told of keep nobody out."""
        for waiting, room in ((0, ROOM), (LONG - 1, ROOM), (0, 0)):
            self.assertEqual(self.look(waiting, room=room), math.inf)
        self.assertEqual(self.admitted(0.1), 1000)

    def test_long(self) -> None:
        """A long one leaves half of what was served to strangers, then half of that, and a little in any case."""
        self.assertEqual([self.look(LONG) for _ in range(3)], [1500.0, 750.0, 375.0])
        for _ in range(20):
            self.look(LONG)
        self.assertEqual(self.sluice.rate, LEAST)

    def test_small_buffer(self) -> None:
        """Where the system allows but a small buffer, half of it is long."""
        self.assertEqual(self.look(99_999, room=200_000), math.inf)
        self.assertEqual(self.look(100_000, room=200_000), 1500.0)

    def test_lost(self) -> None:
        """What was lost counts while the buffer is not short: else it was thrown away on purpose."""
        self.assertEqual(self.look(LONG // 4, lost=True), math.inf)
        self.assertEqual(self.look(LONG // 2, lost=True), 1500.0)

    def test_between(self) -> None:
        """Neither long nor short: the rate stays."""
        self.assertEqual([self.look(LONG), self.look(LONG // 2)], [1500.0, 1500.0])

    def test_rate(self) -> None:
        """Of 10,000 datagrams a second as many are read as the rate says, and as many that claim to be of a dialog."""
        self.look(LONG)
        for of_dialogs in (False, True):
            self.assertLess(abs(self.admitted(2.0, of_dialogs) - 3000), 60)

    def recovery(self, kept_out: int) -> float:
        """Seconds until all are read again, from the lowest rate."""
        for _ in range(10):
            self.look(LONG)
        for looks in range(1000):
            if self.sluice.is_open:
                return looks * LOOK
            self.look(0, kept_out=kept_out)
        raise AssertionError("it stays closed")

    def test_less(self) -> None:
        """With a short buffer the rate rises while there is something to keep out, until all are read within ten seconds."""
        self.assertLess(self.recovery(10), 10.0)
        self.assertEqual(self.admitted(0.1), 1000)

    def test_over(self) -> None:
        """When nothing comes that would have to be kept out, it is over within a second."""
        self.assertLess(self.recovery(0), 1.0)

    def test_steady_flood(self) -> None:
        """
        At seven times what can be served, the rate stays near what can, and the buffer far from full.

        A model of the node: 2,500 a second are served, 18,000 come, 1,300 octets each in the buffer.
        """
        waiting, served, rates = 0.0, 2500.0, []
        for _ in range(2000):
            admitted = min(18_000.0, self.sluice.rate)
            waiting = min(float(ROOM), max(0.0, waiting + (admitted - served) * LOOK * 1300))
            rates.append(self.look(int(waiting), lost=waiting >= ROOM, served=served))
        late = rates[200:]
        self.assertLess(max(late), 3 * served)
        self.assertGreater(sum(min(rate, served) for rate in late) / len(late), 0.5 * served)
