"""The ring behind the plot."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.web.history import History


class HistoryTests(SynchronousTestCase):
    def test_nodes_come_and_go(self) -> None:
        """All lists have the length of the times; a node that was not known at a time has None there."""
        history = History(100.0)
        history.sample(101.0, {"a": 0.123456})
        history.sample(102.0, {"a": 0.5, "b": None})
        history.sample(103.0, {"b": 1.0})
        self.assertEqual(
            history.read(),
            {
                "started": 100.0,
                "time": [101.0, 102.0, 103.0],
                "nodes": {"a": [0.1235, 0.5, None], "b": [None, None, 1.0]},
            },
        )

    def test_ring(self) -> None:
        """The oldest sample goes for the newest."""
        history = History(0.0, kept=3)
        for at in range(10):
            history.sample(float(at), {"a": 0.0})
        self.assertEqual(history.read()["time"], [7.0, 8.0, 9.0])

    def test_since(self) -> None:
        """Only what is newer is sent again; a time that was sent before finds nothing."""
        history = History(0.0)
        for at in (1.00049, 2.0004, 3.0):
            history.sample(at, {"a": at})
        self.assertEqual(history.read(2.0)["nodes"], {"a": [3.0]})
        self.assertEqual(history.read(history.read()["time"][-1]), {"started": 0.0, "time": [], "nodes": {}})
