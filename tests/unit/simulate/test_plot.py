"""Outcomes as a picture."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.simulate import plot
from voipcluster.simulate.outcome import simulate
from voipcluster.simulate.scenario import Scenario


class PlotTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def test_files(self) -> None:
        """SVG with the names of the policies, and PNG; the same runs give the same SVG."""
        outcomes = [
            simulate(Scenario(nodes=2, duration=0.2, warm_up=0.2, policy=policy))
            for policy in ("planned", "literal")
        ]
        for name in ("a.svg", "b.svg", "c.png"):
            plot.check(str(self.folder / name))
            plot.draw(outcomes, str(self.folder / name))
        svg = (self.folder / "a.svg").read_text()
        self.assertIn("literal at 0.9", svg)
        self.assertTrue((self.folder / "c.png").read_bytes().startswith(b"\x89PNG"))

    def test_wrong_names(self) -> None:
        """A name that says no kind, and a folder that is not there, are told before anything is simulated."""
        self.assertIn(".svg", str(self.assertRaises(UsageError, plot.check, "plot")))
        missing = str(self.folder / "none" / "x.svg")
        self.assertIn("there is no folder", str(self.assertRaises(UsageError, plot.check, missing)))

    def test_not_installed(self) -> None:
        """Without matplotlib one line says what to install."""
        kept = sys.modules.get("matplotlib.figure")
        sys.modules["matplotlib.figure"] = None
        if kept is None:
            self.addCleanup(sys.modules.pop, "matplotlib.figure")
        else:
            self.addCleanup(sys.modules.__setitem__, "matplotlib.figure", kept)
        error = self.assertRaises(UsageError, plot.check, str(self.folder / "x.svg"))
        self.assertIn(f"{sys.executable} -m pip install 'voipcluster[plot]'", str(error))
