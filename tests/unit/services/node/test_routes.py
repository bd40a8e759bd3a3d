"""Routes as an operator sees them."""

from __future__ import annotations

from tests.unit.services.gateway.trunk_world import TrunkCase, gateway
from voipcluster.errors import UsageError
from voipcluster.gateway.permission import Permission
from voipcluster.gateway.rewriting import Rewriting
from voipcluster.gateway.routing import Route
from voipcluster.services.node.routes import number_rows, route_rows


class RoutesTests(TrunkCase):
    gateways = (gateway("a", channels=1), gateway("b", outgoing=Permission(callers=("alice@example.com",))))
    routes = (Route("", "b"), Route("+49", "a", rewriting=Rewriting(3, "0")), Route("+49", "b", 2))

    def rows(self, number: str, caller: str | None = None) -> list[tuple[object, ...]]:
        rows = number_rows(self.routing, self.node.core.names, number, caller)
        return [(row["gateway"], row["called"], row["sent"], row["state"], row["reason"]) for row in rows]

    def test_all(self) -> None:
        """The longest prefix first, in the order in which they are tried."""
        self.assertEqual(
            [(row["prefix"], row["gateway"], row["prepend"]) for row in route_rows(self.routing)],
            [("+49", "a", "0"), ("+49", "b", ""), ("", "b", "")],
        )

    def test_number(self) -> None:
        """Who is asked, what he is sent, and why another one is passed over: as for a call of that user."""
        a = ("a", "+49893456", "0893456", "asked", "")
        forbidden = "forbidden: may not pass calls to it of this caller"
        for number in ("089 3456", "tel:+49-89-3456", "sip:0893456@example.com"):
            self.assertEqual(
                self.rows(number), [a, ("b", "+49893456", "+49893456", "passed over", forbidden)], number
            )
        self.book.seized("a")
        for caller in ("alice@example.com", "sip:alice@example.com"):
            self.assertEqual(
                [row[3:] for row in self.rows("089 3456", caller)],
                [("passed over", "full: 1 of 1 channels in use"), ("asked", "")],
            )

    def test_none(self) -> None:
        """What is no number is told so; a number without a route has no row."""
        for text in ("alice", "tel:x", "sip:alice@example.com", "", "sip:"):
            self.assertRaises(UsageError, self.rows, text)
