"""What the primary decides on and every node keeps a copy of: accounts, gateways and the like."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred


@frozen
class Decided:
    """
    One kind of values.

    On the link C{kind} asks the primary for a change, C{kinds} is a part of all, C{kind-changes} are those that changed.

    @ivar kind: of a single value's message, C{account}; that of many is called the same in the plural.
    @ivar batch: makes the message of many, with C{node}, C{epoch}, C{seq}, C{items} and C{complete}.
    @ivar key: what makes two values the same one.
    @ivar full: all values; asked at the primary.
    @ivar check: at the primary, before changes are stored, all of them at once. @raise PeerError: why they cannot be.
    @ivar parts: the messages that ask the primary to change a part of a value; C{merged}: the value with what a change says.
    @ivar store: keep values, or remove those that are C{removed}.
    @ivar listed: there are values of these keys and no others.
    @ivar adopt: keep values that come from the shared database, for those that are there; gives those that are kept, since
        none is newer.
    @ivar old: every version of a node knows it; others are told only to who says that it knows them.
    """

    kind: str
    batch: Any
    key: Callable[[Any], Hashable]
    full: Callable[[], Iterable[Any]]
    store: Callable[[tuple[Any, ...]], Deferred[None]]
    listed: Callable[[frozenset[Any]], Deferred[None] | None]
    check: Callable[..., object] = lambda *values: None
    parts: tuple[str, ...] = ()
    merged: Callable[[Any], Any] = lambda value: value
    old: bool = False
    adopt: Callable[[tuple[Any, ...]], Deferred[tuple[Any, ...]]] | None = None

    @property
    def all_kind(self) -> str:
        """The message that is a part of all values."""
        return f"{self.kind}s"

    @property
    def changes_kind(self) -> str:
        """The message of those that have changed."""
        return f"{self.kind}-changes"
