"""
The log on standard output: as text, or as journald wants it, and no more of it than the level says.

Where standard output is the journal (C{JOURNAL_STREAM}, systemd.exec(5)), each line begins with its priority (sd-daemon(3)), so
that C{journalctl -p warning} finds what it should; time and name of the program are the journal's own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TextIO

from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogEvent,
    LogLevel,
    PredicateResult,
    eventAsText,
    textFileLogObserver,
)
from zope.interface import implementer

_PRIORITIES = {  # syslog(3)
    LogLevel.debug: 7,
    LogLevel.info: 6,
    LogLevel.warn: 4,
    LogLevel.error: 3,
    LogLevel.critical: 2,
}
# Characters of a line: the journal breaks one of more than LineMax=48K octets (journald.conf(5)), four of which may be
# one character, and what is behind the break has no priority.
_LONGEST = 12000


@implementer(ILogFilterPredicate)
class Threshold:
    """
    Lets pass what matters enough; what says nothing of its level does.

    @ivar level: the least that is written.
    """

    def __init__(self) -> None:
        self.level: Any = LogLevel.info

    def set(self, name: str) -> None:
        """@param name: C{debug}, C{info}, C{warn} or C{error}."""
        self.level = LogLevel.levelWithName(name)

    def __call__(self, event: LogEvent) -> Any:
        level = event.get("log_level")
        return PredicateResult.no if level is not None and level < self.level else PredicateResult.maybe


THRESHOLD = Threshold()  # one for the process, as its log is


def limited(observer: ILogObserver) -> ILogObserver:
    """An observer that is told only what the level lets pass."""
    limited: ILogObserver = FilteringLogObserver(observer, [THRESHOLD])
    return limited


def standard_log(out: TextIO, environment: Mapping[str, str]) -> ILogObserver:
    """What writes to standard output, whoever reads that."""
    if is_journal(out, environment):
        return limited(FileLogObserver(out, journal_lines))
    return limited(textFileLogObserver(out))


def is_journal(out: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether a stream is the one that systemd has connected to the journal, and not a file that it was redirected to."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(out.fileno())
    except (OSError, ValueError):
        return False
    return (device, inode) == (str(status.st_dev), str(status.st_ino))


def error_line(text: str, out: TextIO | None, environment: Mapping[str, str]) -> str:
    """A line that is written to a stream past the log, as the journal wants an error where that reads it."""
    if out is None or not is_journal(out, environment):
        return text
    return priority({"log_level": LogLevel.error}) + text


def priority(event: LogEvent) -> str:
    """What each line of an event begins with for the journal, which takes it off (sd-daemon(3))."""
    return f"<{_PRIORITIES.get(event.get('log_level'), 6)}>"


def journal_lines(event: LogEvent) -> str | None:
    """One event; each of its lines has the priority, for the journal takes every line for itself."""
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    if not text:
        return None
    prefix = priority(event)
    return "".join(
        f"{prefix}{line[start : start + _LONGEST]}\n"
        for line in text.splitlines()
        for start in range(0, len(line), _LONGEST)
    )
