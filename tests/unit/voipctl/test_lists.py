"""Long lists read in parts, and what is said where they are cut."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.voipctl import lists
from voipcluster.voipctl.lists import Listing, as_json, json_list, json_rows, listing_of, part_of
from voipcluster.web.slices import PAGE, ROWS, SHOWN


class Node:
    """
    A node with so many registrations, calls at each of two nodes, and users; the longest call first.

    @ivar gone: of how many users the first registrations have just run out.
    @ivar old: it is of a release that tells no list in parts. C{web}: it is the page, with one part.
    """

    def __init__(
        self,
        registrations: int = 0,
        calls: int = 0,
        users: int = 0,
        gone: int = 0,
        old: bool = False,
        web: bool = False,
    ) -> None:
        self.registrations, self.calls, self.gone, self.old, self.web = registrations, calls, gone, old, web
        self.users = [f"u{number}" for number in range(users)]
        self.sizes: list[int] = []

    def ask(self, command: str, **arguments: Any) -> Any:
        assert command == "status"
        nodes = [{"name": name, "calls": self.calls} for name in "ab"]
        return {"registrations": self.registrations, "nodes": nodes}

    def parts(
        self, command: str, size: int, wanted: int = 0, overlap: int = 0, **arguments: Any
    ) -> Iterator[Any]:
        arguments.pop("silent", None)
        if self.web:
            yield self.part(command, 0, SHOWN, **arguments)
            return
        for after in range(0, 1 << 31, size - overlap):
            part = self.part(command, after, size, **arguments)
            self.sizes.append(len(part or ()))
            yield part if part or command != "user-list" else None

    def stream(self, command: str, parts: Any, **arguments: Any) -> Iterator[Any]:
        if self.old:
            raise UsageError("unknown argument 'parts'")
        if self.web:
            yield self.part(command, 0, SHOWN, **arguments)
            return
        total = len(self.users) if command == "user-list" else self.registrations
        for after in range(0, total, ROWS):
            part = self.part(command, after, ROWS, **arguments)
            self.sizes.append(len(part))
            found = listing_of(part)
            yield {"names": found.names, "columns": found.columns}

    def part(self, command: str, after: int, size: int, full: bool = True, domain: None = None) -> list[Any]:
        if command == "user-list":
            assert full
            return [{"user": name} for name in self.users[after : after + size]]
        count = self.registrations if command == "registrations" else self.calls
        numbers = range(after, min(after + size, count))
        if command == "registrations":
            return [
                {"aor": f"u{count - number:06}", "contact": "c"} for number in numbers if number >= self.gone
            ]
        return [
            {"node": name, "call_id": f"{name}{number}", "duration": count - number}
            for name in "ab"
            for number in numbers
        ]


def aors(part: Listing) -> Iterable[str]:
    return part.column("aor")


class ListTests(SynchronousTestCase):
    def test_all_in_parts(self) -> None:
        """Everything comes, each once and in order, and no answer is longer than one may be."""
        for old in (False, True):
            node = Node(registrations=2 * ROWS + 3, calls=PAGE + 1, users=ROWS + 1, old=old)
            found, total = lists.registrations(node, 0, aors)
            self.assertEqual((len(found), total, len(set(found))), (2 * ROWS + 3,) * 3)
            self.assertEqual(found, sorted(found))
            self.assertEqual(lists.users(node, None, lambda part: part.column("user")), sorted(node.users))
            self.assertLessEqual(max(node.sizes), PAGE if old else ROWS)
            node.sizes.clear()
            rows, total, silent = lists.calls(node, 0)
            self.assertEqual((len(rows), total, silent), (2 * PAGE + 2, 2 * PAGE + 2, []))
            self.assertEqual([row["duration"] for row in rows[:3]], [PAGE + 1, PAGE + 1, PAGE])
            self.assertLessEqual(max(node.sizes), PAGE)

    def test_calls_that_end_meanwhile(self) -> None:
        """Those behind them are not passed over, and none is there twice."""
        size = PAGE // 2
        running = [{"node": "a", "call_id": f"{n}", "duration": 9000 - n} for n in range(3 * size)]
        stays = [row["call_id"] for row in running[size // 20 :]]

        def parts(command: str, size: int, wanted: int, overlap: int, **arguments: Any) -> Iterator[Any]:
            for after in range(0, 1 << 31, size - overlap):
                yield {"calls": running[after : after + size], "silent": []}
                if not after:
                    del running[: size // 20]

        node = Node()
        node.parts = parts
        rows, _, _ = lists.calls(node, 0)
        told = [row["call_id"] for row in rows]
        self.assertEqual((len(told), set(stays) - set(told)), (len(set(told)), set()))

    def test_a_part_without_rows(self) -> None:
        """Where all registrations of a part have run out, those behind it are not forgotten."""
        found, _ = lists.registrations(Node(registrations=2 * ROWS + 3, gone=ROWS + 5), 0, aors)
        self.assertEqual(len(found), ROWS - 2)

    def test_two_alike(self) -> None:
        """Two flows of one phone to one node (RFC 5626) are two rows, also where they are of one contact."""
        node = Node()
        part = {"names": ["aor", "contact", "source"], "columns": [["a", "a"], ["c", "c"], ["1", "2"]]}
        node.stream = lambda *given, **arguments: iter([part])
        found, total = lists.registrations(node, 0, lambda part: part.column("source"))
        self.assertEqual((found, total), (["1", "2"], 2))

    def test_cut(self) -> None:
        """No more is asked for than is shown, and the total is said."""
        node = Node(registrations=100_000, calls=2000)
        found, total = lists.registrations(node, lists.MOST, aors)
        self.assertEqual((len(found), total, sum(node.sizes)), (lists.MOST, 100_000, lists.MOST))
        self.assertEqual(
            lists.rest(len(found), total, "registrations"),
            "... 1,000 of 100,000 registrations; --limit 0 shows all",
        )
        rows, total, _ = lists.calls(node, 10)
        self.assertEqual((len(rows), total), (10, 4000))
        self.assertEqual(lists.rest(10, 10, "calls"), "")

    def test_nothing(self) -> None:
        """Nobody is registered, nobody calls, nobody has an account."""
        for node in (Node(), Node(old=True), Node(web=True)):
            found, total = lists.registrations(node, 5, aors)
            self.assertEqual((found, total, lists.calls(node, 5)), ([], 0, ([], 0, [])))
            self.assertEqual(lists.users(node, None, aors), [])

    def test_the_page_has_one_part(self) -> None:
        """Over HTTP there is no second part: it is asked for once, and the total is told where the list is cut."""
        found, total = lists.registrations(Node(registrations=3000, web=True), 0, aors)
        self.assertEqual((len(found), total), (SHOWN, SHOWN))
        found, total = lists.registrations(Node(registrations=3000, web=True), SHOWN, aors)
        self.assertEqual((len(found), total), (SHOWN, 3000))

    def test_a_node_that_knows_no_parts(self) -> None:
        """One of an earlier release tells all of its calls each time: they are shown once, and there is an end."""
        node = Node(calls=PAGE // 2 + 3)
        parts, old = (
            node.parts,
            [{"node": "old", "call_id": f"{number}", "duration": 1} for number in range(3)],
        )
        node.parts = lambda *given, **arguments: ([*part, *old] for part in parts(*given, **arguments))
        rows, _, _ = lists.calls(node, 0)
        self.assertEqual(len(rows), PAGE + 6 + 3)

    def test_silent_nodes(self) -> None:
        """A node that did not answer, to any of the questions, is told once; a node of an earlier release tells none."""
        node = Node(calls=PAGE + 1)
        parts, answers = node.parts, iter((["c"], [], ["b"]))

        def framed(*given: Any, silent: bool = False, **arguments: Any) -> Iterator[Any]:
            assert silent
            for part in parts(*given, **arguments):
                yield {"calls": part, "silent": next(answers, ["b"])}

        node.parts = framed
        rows, _, silent = lists.calls(node, 0)
        self.assertEqual((len(rows), silent), (2 * PAGE + 2, ["b", "c"]))

        def old(*given: Any, **arguments: Any) -> Iterator[Any]:
            if "silent" in arguments:
                raise UsageError("unknown argument 'silent'")
            yield from parts(*given, **arguments)

        node.parts = old
        rows, _, silent = lists.calls(node, 0)
        self.assertEqual((len(rows), silent), (2 * PAGE + 2, []))

    def test_an_answer_that_is_none(self) -> None:
        """What is no list is said in one line, and what the node says is not taken for something else."""
        node = Node()
        for answer in (
            {"nodes": []},
            7,
            {"names": None, "columns": None},
            {"names": ["aor"], "columns": [7]},
        ):
            node.stream = lambda *given, answer=answer, **arguments: iter([answer])
            self.assertRaises(UsageError, lists.registrations, node, 5, aors)
        node.parts = lambda *given, **arguments: iter([{"nodes": []}])
        self.assertRaises(UsageError, lists.calls, node, 5)

        def refused(*given: Any, **arguments: Any) -> Iterator[Any]:
            raise UsageError("too many admin connections")

        node.stream = refused
        self.assertIn("too many", str(self.assertRaises(UsageError, lists.registrations, node, 5, aors)))


class ListingTests(SynchronousTestCase):
    def test_columns(self) -> None:
        """Columns are found by name, and one that is not told is empty."""
        found = Listing(["b", "a"], [[1, 2, 1], [9, 8, 7]])
        self.assertEqual((found.column("a"), found.column("c")), ([9, 8, 7], [None] * 3))

    def test_part(self) -> None:
        """What is no part of a list is refused."""
        part = part_of({"names": ["a", "b"], "columns": [[1, 3], [2, 4]]})
        self.assertEqual((len(part), part.column("b"), part.column("c")), (2, [2, 4], [None, None]))
        self.assertEqual(len(part_of({"names": ["a"], "columns": [[]]})), 0)
        for wrong in (
            7, {}, {"names": ["a", "b"], "columns": [[1, 2], [1]]}, {"names": ["a", "b"], "columns": [[1, 2]]},
            {"names": ["a"], "columns": [7]}, {"names": ["a", "b"], "columns": None}, {"names": None, "columns": []},
        ):  # fmt: skip
            self.assertRaises((TypeError, KeyError, ValueError), part_of, wrong)

    def test_of_rows_with_names(self) -> None:
        """Rows need not have the same ones."""
        found = listing_of([{"a": 1}, {"b": 2, "a": 3}])
        self.assertEqual((found.names, found.columns), (["a", "b"], [[1, 3], [None, 2]]))

    def test_json(self) -> None:
        """A row a line, as any program reads it; what is equal to something else stays what it is."""
        rows = [
            {"a": '\u00e4\n"', "100 %s": 1.5, "c": [True, "x"], "d": 1, "e": True, "f": 7},
            {"a": None, "100 %s": -7, "c": {}, "d": True, "e": False, "f": 8},
            {"a": "None", "100 %s": 1.0, "c": ["x"], "d": 1.0, "e": True, "f": 10**20},
        ]
        for text in (as_json(rows), json_list(list(json_rows(listing_of(rows))))):
            self.assertEqual(repr(json.loads(text)), repr(rows))
            self.assertEqual(len(text.splitlines()), len(rows) + 2)
        self.assertEqual((as_json([]), list(json_rows(Listing())), json_list([])), ("[]", [], "[]"))

    def test_limit(self) -> None:
        """No number below 0."""
        parser = argparse.ArgumentParser(exit_on_error=False)
        lists.add_limit(parser)
        self.assertEqual(parser.parse_args([]).limit, lists.MOST)
        self.assertRaises(argparse.ArgumentError, parser.parse_args, ["--limit", "-1"])
