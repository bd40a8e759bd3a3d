"""Long lists read in parts, and what is said where they are cut."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.voipctl import lists
from voipcluster.web.slices import PAGE, USERS


class Node:
    """A node with so many registrations, calls at each of two nodes, and users; the longest call first."""

    def __init__(self, registrations: int = 0, calls: int = 0, users: int = 0, in_parts: bool = True) -> None:
        self.registrations, self.calls, self.in_parts = registrations, calls, in_parts
        self.users = [f"u{number}" for number in range(users)]
        self.largest = 0

    def ask(self, command: str, **arguments: Any) -> Any:
        if command == "status":
            nodes = [{"name": name, "calls": self.calls} for name in "ab"]
            return {"registrations": self.registrations, "nodes": nodes}
        after, limit = arguments["after"], arguments["limit"]
        if command == "user-list":
            assert arguments["full"]
            part: list[Any] = [{"user": name} for name in self.users[after : after + limit]]
            return part if part or not after else None
        count = self.registrations if command == "registrations" else self.calls
        numbers = range(after, min(after + limit, count))
        if command == "registrations":
            part = [{"aor": f"u{count - number:06}", "contact": "c"} for number in numbers]
        else:
            part = [
                {"node": name, "call_id": f"{name}{number}", "duration": count - number}
                for name in "ab"
                for number in numbers
            ]
        self.largest = max(self.largest, len(part))
        return part


class ListTests(SynchronousTestCase):
    def test_all_in_parts(self) -> None:
        """Everything comes, each once and in order, and no answer is longer than one may be."""
        node = Node(registrations=2 * PAGE + 3, calls=PAGE + 1, users=USERS + 1)
        rows, total = lists.registrations(node, 0)
        self.assertEqual((len(rows), total, len({row["aor"] for row in rows})), (2 * PAGE + 3,) * 3)
        self.assertEqual(rows, sorted(rows, key=lambda row: row["aor"]))
        rows, total = lists.calls(node, 0)
        self.assertEqual((len(rows), total), (2 * PAGE + 2, 2 * PAGE + 2))
        self.assertEqual([row["duration"] for row in rows[:3]], [PAGE + 1, PAGE + 1, PAGE])
        self.assertLessEqual(node.largest, PAGE)
        self.assertEqual([row["user"] for row in lists.users(node, None)], sorted(node.users))

    def test_cut(self) -> None:
        """No more is asked for than is shown, and the total is said."""
        node = Node(registrations=100_000, calls=2000)
        rows, total = lists.registrations(node, lists.MOST)
        self.assertEqual((len(rows), total), (lists.MOST, 100_000))
        self.assertEqual(
            lists.rest(len(rows), total, "registrations"),
            "... 1,000 of 100,000 registrations; --limit 0 shows all",
        )
        rows, total = lists.calls(node, 10)
        self.assertEqual((len(rows), total), (10, 4000))
        self.assertEqual(lists.rest(10, 10, "calls"), "")

    def test_nothing(self) -> None:
        """Nobody is registered, nobody calls, nobody has an account."""
        node = Node()
        self.assertEqual((lists.registrations(node, 5), lists.calls(node, 5)), (([], 0), ([], 0)))
        self.assertEqual(lists.users(node, None), [])

    def test_the_page_has_one_part(self) -> None:
        """Over HTTP there is no second part: it is asked for once."""
        rows, total = lists.registrations(Node(registrations=3000, in_parts=False), 0)
        self.assertEqual((len(rows), total), (PAGE, PAGE))

    def test_a_node_that_knows_no_parts(self) -> None:
        """One of an earlier release tells all of its calls each time: they are shown once, and there is an end."""
        node = Node(calls=PAGE // 2 + 3)
        ask, old = node.ask, [{"node": "old", "call_id": f"{number}", "duration": 1} for number in range(3)]

        def both(command: str, **arguments: Any) -> Any:
            found = ask(command, **arguments)
            return found if command == "status" else [*found, *old]

        node.ask = both
        rows, _ = lists.calls(node, 0)
        self.assertEqual(len(rows), PAGE + 6 + 3)

    def test_an_answer_that_is_none(self) -> None:
        """What is no list is said in one line."""
        node = Node()
        node.ask = lambda command, **arguments: {"nodes": []}
        self.assertRaises(UsageError, lists.registrations, node, 5)
