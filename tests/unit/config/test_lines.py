"""In which line a key stands, in every shape that TOML 1.0 allows."""

from __future__ import annotations

import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config.lines import key_lines, line_of

SHAPES = '''# a comment with [brackets] and x = 1

top = 1
[cluster]   # the table
domain = [
  "a.example", # ] a bracket in a comment
  'b.example',
]
threshold = 0.5
note = """
threshold = 0.1
[limits]
"""
raw = \'\'\'
key = "
\'\'\'
"quoted key" = { a = 1, b = [1, 2] }
[ limits . inner ]
calls = 1
[media]
deep.er.key = 2
[[list]]
one = 1
[[list]]
two = 2'''


class KeyLinesTests(SynchronousTestCase):
    def test_every_shape(self) -> None:
        """Each key has its own line, whatever strings, comments and lists over lines stand before it (TOML 1.0)."""
        tomllib.loads(SHAPES)
        lines = key_lines(SHAPES)
        expected = {
            ("top",): 3,
            ("cluster",): 4,
            ("cluster", "domain"): 5,
            ("cluster", "threshold"): 9,
            ("cluster", "note"): 10,
            ("cluster", "raw"): 14,
            ("cluster", "quoted key"): 17,
            ("limits", "inner"): 18,
            ("limits", "inner", "calls"): 19,
            ("media",): 20,
            ("media", "deep", "er", "key"): 21,
            ("list",): 22,
            ("list", "one"): 23,
            ("list", "two"): 25,
        }
        self.assertEqual({key: lines.get(key) for key in expected}, expected)

    def test_tables_of_an_array(self) -> None:
        """Each table of an array has lines of its own, and so has what is within the last one that was begun."""
        lines = key_lines("[[g]]\na = 1\n[g.in]\nb = 1\n[[g]]\na = 2\n[g.in]\nb.c = 2\n[[g.in.x]]\nd = 1\n")
        expected = {
            ("g",): 1, ("g", "#0"): 1, ("g", "#0", "a"): 2, ("g", "#0", "in"): 3, ("g", "#0", "in", "b"): 4,
            ("g", "#1"): 5, ("g", "#1", "a"): 6, ("g", "#1", "in", "b", "c"): 8, ("g", "#1", "in", "x", "#0", "d"): 10,
        }  # fmt: skip
        self.assertEqual({path: lines.get(path) for path in expected}, expected)
        self.assertEqual(line_of(lines, ("g", "#1", "z")), 5)

    def test_key_of_an_inline_table(self) -> None:
        """A key within an inline table is found at the key that holds it."""
        lines = key_lines("\n\nlimits = { calls = 1 }\n")
        self.assertEqual(line_of(lines, ("limits", "calls")), 3)

    def test_table_that_only_an_inner_one_opens(self) -> None:
        """It stands where its first inner one does, and a mistake in its name is not found in line 1 (of bench/fuzz)."""
        lines = key_lines("\n\n[limitz.inner]\n\n[limitz]\n[[a.b]]\n")
        self.assertEqual([line_of(lines, path) for path in (("limitz",), ("a",), ("a", "b"))], [3, 6, 6])

    def test_unknown_key(self) -> None:
        """What is not there is looked for at the start of the file."""
        self.assertEqual(line_of({}, ("a", "b")), 1)

    @settings(max_examples=200, deadline=None)
    @given(st.text(alphabet="ab.=[]{}\"'#\n, 1", max_size=40))
    def test_all_that_the_reader_takes(self, text: str) -> None:
        """Whatever the standard reader takes, each of its top-level keys is found."""
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            return
        lines = key_lines(text)
        for key in document:
            self.assertIn(key, {path[0] for path in lines}, text)
