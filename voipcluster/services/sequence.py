"""Names in C{cluster.sequence} that are no nodes of the cluster: said when it matters, since nodes may join later."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.logger import Logger


class SequenceCheck:
    """
    Tells the operator, in one line, of names that no member has; again only when they are others.

    A file is written before the nodes have joined, and is the same on all, so a name without a node is no reason not to start.

    @param sequence: C{cluster.sequence}; the check is idle with an empty one.
    @ivar missing: those that no member has now.
    """

    _log = Logger()

    def __init__(self, sequence: tuple[str, ...]) -> None:
        self._sequence = sequence
        self.missing: tuple[str, ...] = ()

    def members_changed(self, names: Iterable[str]) -> None:
        """These are the members now."""
        known = frozenset(names)
        missing = tuple(name for name in self._sequence if name not in known)
        if missing == self.missing:
            return
        self.missing = missing
        if missing:
            self._log.warn(
                "cluster.sequence: no node of the cluster is called {missing}; its nodes are {known}",
                missing=", ".join(missing),
                known=", ".join(sorted(known)),
            )
