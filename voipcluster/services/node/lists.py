"""The long lists of a node: who is registered and who has an account, in parts that keep no call waiting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
PART = 500  # users in a part: 2 ms of the reactor's time


def registrations(node: NodeParts, aor: str | None, limit: int | None, after: int | None) -> list[Row]:
    """As L{voipcluster.web.view.INodeView.registrations}."""
    found = list(node.registrar.registrations(aor, after or 0, min(limit or SHOWN, PAGE)))
    rows = sorted(zip(*_columns(found, node.core.seconds()), strict=True))
    return [dict(zip(BINDING, row, strict=True)) for row in rows]


def registration_parts(node: NodeParts, most: int) -> Iterator[Row]:
    """As L{voipcluster.services.commands.INodeControl.registration_parts}."""
    location, told = node.registrar.location, 0
    aors = location.aors()
    for start in range(0, len(aors), PART):
        now = node.core.seconds()
        found = list(location.of_aors(aors[start : start + PART], now))
        yield {"names": BINDING, "columns": _columns(found, now)}
        told += len(found)
        if 0 < most <= told:
            return


def _columns(bindings: Sequence[Binding], now: float) -> list[list[Any]]:
    """Of bindings that have not run out, in the order of L{BINDING}."""
    sources = [one.source.partition(":") for one in bindings]
    begin = now - 0.5
    return [
        [one.aor for one in bindings],
        [without_password(one.contact) for one in bindings],
        [one.node for one in bindings],
        [place for _, _, place in sources],
        [transport.upper() for transport, _, _ in sources],
        [one.user_agent for one in bindings],
        [int(one.expires_at - begin) for one in bindings],
    ]


def users(
    node: NodeParts, domain: str | None, limit: int | None, after: int | None, full: bool | None
) -> list[str] | list[Row] | None:
    """As L{voipcluster.services.commands.INodeControl.user_list}."""
    accounts, start = node.accounts, after or 0
    if start and start >= len(accounts):
        return None
    most = min(limit or NAMES, ROWS if full else NAMES)
    found = (one for one in accounts.page(start, most) if domain is None or one.domain == domain.lower())
    return [shown(one) for one in found] if full else [f"{one.username}@{one.domain}" for one in found]


def user_parts(node: NodeParts, domain: str | None) -> Iterator[Row]:
    """As L{voipcluster.services.commands.INodeControl.user_parts}."""
    wanted = None if domain is None else domain.lower()
    keys = node.accounts.keys()
    for start in range(0, len(keys), PART):
        some = (key for key in keys[start : start + PART] if wanted is None or key[1] == wanted)
        found = [one for one in (node.accounts.get(*key) for key in some) if one is not None]
        yield {
            "names": USER,
            "columns": [
                [f"{one.username}@{one.domain}" for one in found],
                [[of.algorithm for of in one.ha1] for one in found],
                [one.disabled for one in found],
            ],
        }
