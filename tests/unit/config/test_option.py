"""How an option is declared."""

from __future__ import annotations

from attrs import fields, frozen
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config.kinds import Whole
from voipcluster.config.option import is_live, kind_of, option


@frozen
class Section:
    fixed: int = option(1, Whole(0, 9), "something")
    moving: int = option(2, Whole(0, 9), "something else", live=True)


class OptionTests(SynchronousTestCase):
    def test_declaration(self) -> None:
        """The default is the attribute's; kind, words and whether a running node takes a new value stand beside it."""
        self.assertEqual(Section(), Section(1, 2))
        fixed, moving = fields(Section)
        self.assertEqual((is_live(fixed.metadata), is_live(moving.metadata)), (False, True))
        self.assertEqual(kind_of(fixed.metadata), Whole(0, 9))
        self.assertEqual(moving.metadata["doc"], "something else")
