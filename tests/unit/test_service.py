"""Tests of the embedding surface: its names are what applications rely on (docs/embedding.md)."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.interface import InterfaceClass

from voipcluster import service
from voipcluster.errors import UsageError
from voipcluster.service import ConfigError, IBalancingPolicy, InSequence, LeastLoaded, Planned, TwoChoices

DOCS = Path(__file__).parent.parent.parent / "docs"


class SurfaceTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Each name that it promises is there, and says what it is for."""
        for name in service.__all__:
            thing = getattr(service, name)
            if name not in {"Verdict", "Rand"}:  # types that others are made of
                self.assertTrue(isinstance(thing, InterfaceClass) or (thing.__doc__ or "").strip(), name)

    def test_documented_names(self) -> None:
        """What the documentation imports from it is promised."""
        text = "".join(path.read_text() for path in DOCS.glob("*.md"))
        lists = re.findall(r"^from voipcluster\.service import (?:\(([^)]*)\)|(.*))$", text, re.MULTILINE)
        names = {name.strip() for pair in lists for name in "".join(pair).split(",") if name.strip()}
        self.assertIn("NodeService", names)
        self.assertEqual(names - set(service.__all__), set())

    def test_policies(self) -> None:
        """Those that come along are policies, and an error in the configuration is one of usage."""
        for policy in (Planned, InSequence, LeastLoaded, TwoChoices):
            self.assertTrue(IBalancingPolicy.implementedBy(policy), policy)
        self.assertTrue(issubclass(ConfigError, UsageError))
