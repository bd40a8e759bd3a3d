"""Log lines that a flood cannot multiply."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.logger import Logger

LINES = 5
PERIOD = 10.0  # seconds


class Notices:
    """
    Logs what strangers can provoke: of each kind at most L{LINES} lines in L{PERIOD} seconds, the rest is counted.

    What was left out is said with the next line of that kind; C{/metrics} counts all of it in any case.

    @param seconds: the clock.
    """

    def __init__(self, seconds: Callable[[], float], log: Logger) -> None:
        self._seconds, self._log = seconds, log
        self._kinds: dict[str, tuple[float, int]] = {}  # begin of the period, lines asked for in it

    def warn(self, kind: str, text: str, **values: object) -> None:
        """
        @param text: a format of L{twisted.logger}; C{values} that come from a peer are shown as C{repr} or checked before.
        """
        self._note(self._log.warn, kind, text, values)

    def info(self, kind: str, text: str, **values: object) -> None:
        """The same of what is nobody's fault, or that of a peer alone."""
        self._note(self._log.info, kind, text, values)

    def _note(self, write: Callable[..., None], kind: str, text: str, values: Mapping[str, object]) -> None:
        now = self._seconds()
        begun, asked = self._kinds.get(kind, (now, 0))
        left_out = 0
        if now - begun >= PERIOD:
            left_out = max(0, asked - LINES)
            begun, asked = now, 0
        self._kinds[kind] = begun, asked + 1
        if asked < LINES:
            more = f" ({left_out} more such lines were left out)" if left_out else ""
            write(text + more, **values)
