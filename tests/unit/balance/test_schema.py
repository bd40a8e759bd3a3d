"""Fields of the messages of the cluster link, each checked by itself."""

from __future__ import annotations

from enum import Enum

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.schema import Field, Schema
from voipcluster.errors import PeerError


@frozen
class Point:
    x: int
    y: float = 0.5


@frozen
class Line:
    points: tuple[Point, ...]
    name: str = ""


POINT = Schema("point", Point, (Field("x", int, -5, 5), Field("y", float, 0, 1, 0.5)))
LINE = Schema("line", Line, (Field("points", POINT, many=2), Field("name", str, 0, 3, "")))


class SchemaTests(SynchronousTestCase):
    def test_enum_without_fallback(self) -> None:
        """A word that a closed list does not have is refused with the list."""

        class Colour(Enum):
            RED = "red"

        schema = Schema("paint", dict, (Field("colour", Colour),))
        self.assertEqual(schema.decode({"colour": "red"}, "paint"), {"colour": Colour.RED})
        error = self.assertRaises(PeerError, schema.decode, {"colour": "blue"}, "paint")
        self.assertEqual(str(error), "paint.colour: one of red is wanted")

    def refused(self, schema: Schema, value: object) -> str:
        error = self.assertRaises(PeerError, schema.decode, value, schema.kind)
        return str(error)

    def test_numbers(self) -> None:
        """The ends of a range belong to it; an int is a float where one is wanted, but a bool is no number."""
        self.assertEqual(POINT.decode({"x": -5, "y": 1}, "point"), Point(-5, 1.0))
        self.assertIs(type(POINT.decode({"x": 5, "y": 1}, "point").y), float)
        self.assertEqual(self.refused(POINT, {"x": 6}), "point.x: out of range -5 to 5")
        self.assertEqual(self.refused(POINT, {"x": True}), "point.x: int is wanted, not bool")
        self.assertEqual(self.refused(POINT, {"x": 1.0}), "point.x: int is wanted, not float")
        self.assertEqual(self.refused(POINT, {"x": 1, "y": False}), "point.y: float is wanted, not bool")
        for value in (float("nan"), float("inf"), -float("inf")):
            self.assertEqual(self.refused(POINT, {"x": 1, "y": value}), "point.y: a finite number is wanted")

    def test_a_huge_number_is_neither_converted_nor_printed(self) -> None:
        """C{float()} of it overflows, and its text would have a million digits."""
        huge = 1 << 3_000_000
        self.assertEqual(self.refused(POINT, {"x": 1, "y": huge}), "point.y: out of range 0 to 1")
        self.assertEqual(self.refused(POINT, {"x": huge}), "point.x: out of range -5 to 5")

    def test_missing_and_unknown_fields(self) -> None:
        """What has a default may be missing; what a later version added is passed over."""
        self.assertEqual(POINT.decode({"x": 1, "z": object()}, "point"), Point(1, 0.5))
        self.assertEqual(self.refused(POINT, {}), "point.x: missing")
        self.assertEqual(self.refused(POINT, [1]), "point: a dict is wanted, not list")

    def test_lists(self) -> None:
        """A list or tuple becomes a tuple; the fault in one of its values is found by its index."""
        found = LINE.decode({"points": ({"x": 1}, {"x": 2})}, "line")
        self.assertEqual(found, Line((Point(1), Point(2))))
        self.assertEqual(
            self.refused(LINE, {"points": [{"x": 1}, {"x": 9}]}), "line.points[1].x: out of range -5 to 5"
        )
        self.assertEqual(
            self.refused(LINE, {"points": [{"x": 1}] * 3}), "line.points: at most 2 values, not 3"
        )
        self.assertEqual(self.refused(LINE, {"points": "ab"}), "line.points: a list is wanted, not str")

    def test_text(self) -> None:
        """Its length counts characters; octets are no text."""
        self.assertEqual(
            LINE.decode({"points": [], "name": "\u00e4\u00f6\u00fc"}, "line").name, "\u00e4\u00f6\u00fc"
        )
        self.assertEqual(
            self.refused(LINE, {"points": [], "name": "abcd"}), "line.name: 0 to 3 characters, not 4"
        )
        self.assertEqual(
            self.refused(LINE, {"points": [], "name": b"abc"}), "line.name: str is wanted, not bytes"
        )

    def test_encoding(self) -> None:
        """An object becomes dicts and lists, and what would be refused is not sent."""
        self.assertEqual(
            LINE.encode(Line((Point(1, 0.25),), "a")), {"points": [{"x": 1, "y": 0.25}], "name": "a"}
        )
        error = self.assertRaises(PeerError, LINE.encode, Line((Point(7),)))
        self.assertIn("x: out of range", str(error))
        self.assertRaises(PeerError, LINE.encode, Line((Point(1),) * 3))
