"""The long lists of a node: who is registered and who has an account, in parts that keep no call waiting."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from voipcluster.sip.location import Binding
from voipcluster.sip.masking import without_password
from voipcluster.store.accounts import shown
from voipcluster.web.slices import NAMES, PAGE, ROWS, SHOWN
from voipcluster.web.view import Row

if TYPE_CHECKING:
    from voipcluster.services.node.parts import NodeParts

BINDING = ("aor", "contact", "node", "source", "transport", "user_agent", "expires")
USER = ("user", "digests", "disabled")


def registrations(
    node: NodeParts, aor: str | None, limit: int | None, after: int | None, flat: bool | None
) -> list[Row] | Row:
    """As L{voipcluster.web.view.INodeView.registrations}."""
    start, most = after or 0, min(limit or SHOWN, ROWS if flat else PAGE)
    rows = _binding_rows(node.registrar.registrations(aor, start, most), node.core.seconds())
    if flat:
        return _part(BINDING, rows, start + most, node.registrar.location.aors)
    return [dict(zip(BINDING, row, strict=True)) for row in sorted(rows)]


def _binding_rows(bindings: Iterable[Binding], now: float) -> list[tuple[Any, ...]]:
    rows = []
    for one in bindings:
        transport, _, source = one.source.partition(":")
        left, name = max(0, int(one.expires_at - now + 0.5)), transport.upper()
        rows.append((one.aor, without_password(one.contact), one.node, source, name, one.user_agent, left))
    return rows


def users(
    node: NodeParts,
    domain: str | None,
    limit: int | None,
    after: int | None,
    full: bool | None,
    flat: bool | None,
) -> list[str] | list[Row] | Row | None:
    """As L{voipcluster.services.commands.INodeControl.user_list}."""
    accounts, start = node.accounts, after or 0
    if start and start >= len(accounts) and not flat:
        return None
    most = min(limit or NAMES, ROWS if full or flat else NAMES)
    found = (one for one in accounts.page(start, most) if domain is None or one.domain == domain.lower())
    if flat:
        rows = [
            (f"{one.username}@{one.domain}", [of.algorithm for of in one.ha1], one.disabled) for one in found
        ]
        return _part(USER, rows, start + most, len(accounts))
    return [shown(one) for one in found] if full else [f"{one.username}@{one.domain}" for one in found]


def _part(names: tuple[str, ...], rows: list[tuple[Any, ...]], after: int, total: int) -> Row:
    """Without the names in each row, which would be half of all that is written and read."""
    return {"names": names, "rows": rows, "next": after if after < total else None}
