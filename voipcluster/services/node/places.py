"""Where users send their calls, and nobody is: hardly meant, and worth a word when it is said."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from voipcluster.balance.messages import Account
from voipcluster.errors import PeerError
from voipcluster.sip.preferences import NAMES, Place, read

if TYPE_CHECKING:
    from voipcluster.services.node.parts import NodeParts


def strange_places(node: NodeParts, account: Account, names: Collection[str]) -> list[str]:
    """
    A line for each preference that leads to a user of ours whom nobody knows.

    He may be added later, or an application takes such calls; so it is no error.

    @param account: with the preferences; C{names}: those that are looked at.
    """
    if not node.config.auth.required:
        return []  # users need no account then
    texts = {one.name: one.text for one in account.preferences}
    values = read(account.username, account.domain, texts)
    found = []
    for name in names:
        value = getattr(values, NAMES[name][0]) if name in texts else None
        for place in value if isinstance(value, tuple) else (value,):
            aor = _missing(node, place.uri) if isinstance(place, Place) and place.uri else ""
            if aor:
                found.append(f"{name}: there is no user {aor}")
    return found


def _missing(node: NodeParts, uri: str) -> str:
    """The user of ours that a URI means, when there is none of that name; a number is another thing."""
    if ";user=phone" in uri:
        return ""
    try:
        _, _, local, aor = node.core.names.meaning(uri)
    except PeerError:
        return ""
    return aor if local and aor and not node.is_ours(aor) else ""
