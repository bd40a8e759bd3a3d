"""The library in the wheel is the one that the registry has, and says whose it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.web.site import STATIC

CHECKOUT = Path(__file__).parent.parent.parent.parent
BROWSER = CHECKOUT / "tests" / "browser"
OURS = STATIC / "uplot"
FILES = {
    "uPlot.iife.min.js": "dist/uPlot.iife.min.js",
    "uPlot.min.css": "dist/uPlot.min.css",
    "LICENSE": "LICENSE",
}


class UplotTests(SynchronousTestCase):
    def test_files(self) -> None:
        """Each file is, octet by octet, that of the package that npm has checked against package-lock.json."""
        self.assertEqual({path.name for path in OURS.iterdir()}, {*FILES, "README.md"})
        for ours, theirs in FILES.items():
            self.assertEqual(
                (OURS / ours).read_bytes(), (BROWSER / "node_modules/uplot" / theirs).read_bytes(), ours
            )

    def test_version(self) -> None:
        """It is pinned, locked by a digest, and named in the file beside it and in architecture.md."""
        wanted = json.loads((BROWSER / "package.json").read_text("utf-8"))["dependencies"]["uplot"]
        locked = json.loads((BROWSER / "package-lock.json").read_text("utf-8"))["packages"][
            "node_modules/uplot"
        ]
        self.assertRegex(wanted, r"^\d+\.\d+\.\d+$")
        self.assertEqual(locked["version"], wanted)
        self.assertTrue(locked["integrity"].startswith("sha512-"))
        for text in ((OURS / "README.md"), CHECKOUT / "docs" / "architecture.md"):
            self.assertIn(f"uPlot {wanted}", text.read_text("utf-8"))
        self.assertIn("Leon Sorokin", (OURS / "LICENSE").read_text("utf-8"))
        self.assertTrue(re.search(r'"static/uplot/\*"', (CHECKOUT / "setup.py").read_text("utf-8")))
