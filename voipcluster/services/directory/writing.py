"""What the cluster has decided on goes to the shared database: the queue on the disk names it, the copy says how it is now."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from voipcluster.services.records.forwarding import IConsumer

NAME = "directory"


def body_of(kind: str, key: str) -> str:
    """As it stands in the queue."""
    return json.dumps([kind, key], separators=(",", ":"))


@implementer(IConsumer)
class DirectoryWriter:
    """
    @param value: gives the value of kind and key as it is now, also one that was removed; L{None}: nobody remembers it.
    @param write: into the database.
    """

    name = NAME

    def __init__(
        self,
        value: Callable[[str, str], Any | None],
        write: Callable[[Sequence[Any]], Deferred[None]],
    ) -> None:
        self._value, self._write = value, write

    def take(self, rows: Sequence[Any]) -> Deferred[None]:
        named = dict.fromkeys(row.body for row in rows)
        found = [self._value(*json.loads(body)) for body in named]
        values = [value for value in found if value is not None]
        return self._write(values) if values else succeed(None)

    def close(self) -> None:
        """The connection is that of the database."""
