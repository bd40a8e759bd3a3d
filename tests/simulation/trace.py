"""All that happens in a simulation, in one number: two runs that did the same have the same digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable


class Trace:
    """
    @param seconds: the simulated time.
    @ivar lines: the trace as text, while C{kept}: to find where two runs part.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds, self._hash = seconds, hashlib.sha256()
        self.kept = False
        self.lines: list[str] = []

    def note(self, *what: object) -> None:
        """Something happened; octets count by what they are, all else by its C{repr}."""
        text = repr((round(self._seconds(), 9), *what))
        self._hash.update(text.encode())
        if self.kept:
            self.lines.append(text)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
