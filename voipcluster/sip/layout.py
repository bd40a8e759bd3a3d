"""
Which headers a message has, in their order, learned once: a user agent writes all its messages of one kind alike.

Finding the key of each line is a large part of what parsing costs; a line that begins as the one in the same place of an earlier
message has the same key. What follows from the order alone (where a header is, whether one is doubled) is kept with it. An
order that comes often gets a pattern, which says of a whole message whether it has it.
This is on the path of every message; its figures are in C{bench/proxy.py}.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from typing import Final

# into each response (RFC 3261 section 8.2.6.2)
COPIED: Final = frozenset({"via", "from", "to", "call-id", "cseq"})
_NEEDED = ("call-id", "from", "to")
_ONCE = (*_NEEDED, "cseq", "max-forwards", "content-length")

_ALIKE = 8  # layouts with as many lines that are remembered for one kind of message
_MOST_LINES = (
    40  # and C{_MOST_OCTETS} of names: longer messages are no user agent's, and would fill our memory
)
_MOST_OCTETS = 1024
_KINDS = 256  # kinds that are remembered, and layouts of messages of our own
# messages of a layout before it gets a pattern: making one costs some hundred times what it saves a message, and whoever
# sends each message in an order of its own is not to have us make many
OFTEN: Final = 64


class Layout:
    """
    The keys of the headers of a message (long names in lower case), one a line.

    @ivar begins: what each line begins with, name and colon as received; C{met}: how many messages had it so far.
    @ivar fits: says of the octets up to the blank line whether each line begins like that, and whether no CR stands alone in
        them; L{None} until C{met} is L{OFTEN}.
    @ivar at: the first line of each header; C{indexes}: gives each line of one, in their order.
    @ivar content_length: C{via} and others: the same by name for what every message is asked for; -1: it has none.
    @ivar vias: how many Via lines there are; C{second_via}: the second of them, or -1.
    @ivar only_route: the line of Route when there is just one, else -1.
    @ivar flaw: what is wrong with any request of that layout (RFC 3261 section 16.3), or an empty string.
    @ivar copied: the lines that go into a response (8.2.6.2); C{copied_to_100}: into a 100 (8.2.6.1).
    """

    __slots__ = (
        "at",
        "begins",
        "call_id",
        "content_length",
        "copied",
        "copied_to_100",
        "copy_to_100",
        "cseq",
        "fits",
        "flaw",
        "indexes",
        "keys",
        "met",
        "of_from",
        "of_to",
        "only_route",
        "second_via",
        "via",
        "vias",
    )  # fmt: skip

    def __init__(self, keys: tuple[str, ...], begins: tuple[bytes, ...] = ()) -> None:
        self.keys = keys
        self.begins = begins
        self.met = 0
        self.fits: Callable[[bytes], object] | None = None
        self.indexes: Callable[[str], tuple[int, ...]] = _Where(keys).__getitem__
        self.at = at = dict(zip(reversed(keys), range(len(keys) - 1, -1, -1), strict=True))
        self.content_length = at.get("content-length", -1)
        self.cseq = at.get("cseq", -1)
        self.call_id = at.get("call-id", -1)
        self.of_from = at.get("from", -1)
        self.of_to = at.get("to", -1)
        self.via = at.get("via", -1)
        self.vias = keys.count("via")
        self.second_via = keys.index("via", self.via + 1) if self.vias > 1 else -1
        self.only_route = at.get("route", -1) if keys.count("route") == 1 else -1
        self.flaw = _flaw(keys, at)
        self.copied = tuple(index for index, key in enumerate(keys) if key in COPIED)
        self.copied_to_100 = tuple(
            index for index, key in enumerate(keys) if key in COPIED or key == "timestamp"
        )
        # of one index an itemgetter gives no tuple: a request without From, To, Call-ID or CSeq gets no 100
        chosen = self.copied_to_100 if len(self.copied_to_100) > 1 else (0, 0)
        self.copy_to_100: Callable[[list[bytes]], tuple[bytes, ...]] = itemgetter(*chosen)

    def is_met(self) -> None:
        """One message more has this layout."""
        self.met += 1
        if self.met == OFTEN:
            lines = b"".join(rb"\r\n%b[^\r]*+" % re.escape(begin) for begin in self.begins)
            self.fits = re.compile(rb"[^\r]*+" + lines).fullmatch


class _Where(dict[str, tuple[int, ...]]):
    """The lines of each header that was asked for; what is known is found without a call of anything written in Python."""

    __slots__ = ("_keys",)

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._keys = keys

    def __missing__(self, key: str) -> tuple[int, ...]:
        where = self[key] = tuple([index for index, k in enumerate(self._keys) if k == key])
        return where


def _flaw(keys: tuple[str, ...], at: dict[str, int]) -> str:
    if len(at) != len(keys):
        for key in _ONCE:
            if keys.count(key) > 1:
                return f"more than one {key}"
    return "" if all(key in at for key in _NEEDED) else "From, To or Call-ID is missing"


# Layouts by how many lines there are and the first octets of the start line: by method, and one for responses.
learned: dict[tuple[int, bytes], list[Layout]] = {}


def learn(start: bytes, lines: list[bytes], keys: list[str]) -> Layout:
    """The layout of a message whose keys were found line by line, which the next one of that kind is compared with."""
    layout = Layout(tuple(keys), tuple([line[: line.find(b":") + 1] for line in lines]))
    if len(lines) > _MOST_LINES or sum(map(len, layout.begins)) > _MOST_OCTETS:
        return layout
    kind = len(lines), start[:4]
    if len(learned) >= _KINDS and kind not in learned:
        learned.clear()
    alike = learned.setdefault(kind, [])
    for known in alike:
        if known.begins == layout.begins:
            return known  # of a message with a folded line, which is compared with none
    alike.insert(0, layout)
    del alike[_ALIKE:]
    return layout


@lru_cache(_KINDS)
def layout_of(keys: tuple[str, ...]) -> Layout:
    """The layout of a message of our own."""
    return Layout(keys)
