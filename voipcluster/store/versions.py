"""
Which state of each value this node knows, so that an older one that comes late, by another way, changes nothing.

Values come by two ways once there is a shared database: from it, and from the primary over the link. The last writer wins: of
two states the one with the greater version counts, which is the time of the change in microseconds, but greater than the one
before by one at least. What was removed has a version too, for L{REMEMBERED} seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, TypeVar

from sqlalchemy import delete, select
from sqlalchemy.dialects.sqlite import insert
from twisted.python.failure import Failure

from voipcluster.balance.messages import Account, StoredGateway
from voipcluster.store.database import Database, Statement
from voipcluster.store.tables import removed_rows

REMEMBERED = 90 * 86_400.0  # s; a node that was away for longer may bring back what was removed meanwhile

Value = TypeVar("Value", Account, StoredGateway)
Key = TypeVar("Key", bound=Hashable)


class Versions(Generic[Key, Value]):
    """
    The versions of one kind of values.

    @param kind: C{account}, C{gateway}.
    @param key: what makes two values the same one; C{text}: that as one text.
    @param shared: whether values come by two ways; if not, whatever comes counts, since the primary decides alone.
    @ivar removed: the version of each that is gone.

    Several writes of one key may be under way at once; they are written in the order in which they were taken.
    """

    def __init__(
        self,
        kind: str,
        database: Database,
        wall_clock: Callable[[], float],
        key: Callable[[Value], Key],
        text: Callable[[Value], str],
        unwritten: Callable[[str], Key],
        shared: bool,
    ) -> None:
        self._kind, self._wall_clock, self._shared = kind, wall_clock, shared
        self._key: Callable[[Value], Key] = key
        self._text: Callable[[Value], str] = text
        self.known: dict[Key, int] = {}
        self.removed: dict[Key, int] = {}
        # for which removed_rows may have a row, once what is under way is written
        self._marked: set[Key] = set()
        self._written: dict[Key, int | None] = {}  # of what is under way: which version the disk has
        for row in database.rows(select(removed_rows).where(removed_rows.c.kind == kind)):
            key_of = unwritten(row.key)
            self.known[key_of] = self.removed[key_of] = row.version
            self._marked.add(key_of)

    def next(self, key: Key) -> int:
        """The version of a change that is made now."""
        return max(int(1e6 * self._wall_clock()), self.known.get(key, 0) + 1)

    def is_latest(self, value: Value) -> bool:
        """Whether nothing newer than that is known."""
        return self.known.get(self._key(value), 0) <= value.version

    def take(self, values: Iterable[Value]) -> list[Value]:
        """
        Those of the values that are newer than what is known; they are known from now on, and L{stored} or L{not_stored} is to
        be told of them.
        """
        taken: list[Value] = []
        for value in values:
            key = self._key(value)
            known = self.known.get(key)
            if self._shared and value.version and known is not None and value.version <= known:
                continue
            if value.version:
                self._written.setdefault(key, known)
                self.known[key] = value.version
            taken.append(value)
        return taken

    def stored(self, values: Iterable[Value]) -> None:
        """They are on the disk."""
        for value in values:
            key = self._key(value)
            self._is_on_disk(key, value.version)
            if value.removed and value.version:
                self.removed[key] = value.version
            else:
                self.removed.pop(key, None)

    def _is_on_disk(self, key: Key, version: int) -> None:
        if not version:
            return
        if key in self._written and self.known.get(key) != version:
            self._written[key] = version  # another one is under way behind it
        else:
            self.known[key] = version
            self._written.pop(key, None)

    def not_stored(self, failure: Failure, values: Iterable[Value]) -> Failure:
        """What was taken could not be written: it may come again. What is under way behind it counts as before."""
        for value in values:
            key = self._key(value)
            if key not in self._written or not value.version or self.known.get(key) != value.version:
                continue
            version = self._written.pop(key)
            if version is None:
                self.known.pop(key, None)
            else:
                self.known[key] = version
        return failure

    def statements(self, values: Iterable[Value]) -> list[Statement]:
        """What remembers which of the values are gone, and which are back."""
        now = self._wall_clock()
        rows: list[dict[str, Any]] = []
        back: list[str] = []
        for value in values:
            if value.removed and value.version:
                text = self._text(value)
                self._marked.add(self._key(value))
                rows.append(
                    {
                        "kind": self._kind,
                        "key": text,
                        "version": value.version,
                        "changed": 0,
                        "removed_at": now,
                    }
                )
            elif self._key(value) in self._marked:
                back.append(self._text(value))
        found: list[Statement] = []
        if rows:
            statement = insert(removed_rows)
            newer = {name: statement.excluded[name] for name in ("version", "removed_at")}
            found.append((statement.on_conflict_do_update(index_elements=["kind", "key"], set_=newer), rows))
            found.append((delete(removed_rows).where(removed_rows.c.removed_at < now - REMEMBERED), None))
        if back:
            of_kind = removed_rows.c.kind == self._kind
            found.append((delete(removed_rows).where(of_kind, removed_rows.c.key.in_(back)), None))
        return found
