"""One option where it is declared: default, what it may hold, what it is for, and whether a running node takes a new value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import field

from voipcluster.config.kinds import Kind

T = TypeVar("T")


def option(default: T, kind: Kind[T], doc: str, *, live: bool = False) -> T:
    """
    One attribute of a section.

    @param doc: one or two lines for C{etc/voipcluster.toml}; the unit comes first.
    @param live: whether C{voipctl reload} lets a running node use a new value; else it takes effect at the next start.
    """
    made: Any = field(default=default, metadata={"kind": kind, "doc": doc, "live": live})
    return made  # type: ignore[no-any-return]  # attrs turns it into an attribute of type T


def kind_of(metadata: Mapping[Any, Any]) -> Kind[object]:
    kind: Kind[object] = metadata["kind"]
    return kind


def is_live(metadata: Mapping[Any, Any]) -> bool:
    live: bool = metadata["live"]
    return live
