"""
A log of JSON objects, one a line, for whatever collects logs: C{twistd --logger voipcluster.json_log.lines -n voipcluster ...}

Each has C{time} (UTC), C{level}, C{system} and C{text}; what a line names besides is there under its own name, for instance
C{call} (a Call-ID) and C{node}; an error with a traceback has C{traceback}. In the journal the line has its priority, too.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TextIO

from twisted.logger import FileLogObserver, ILogObserver, LogEvent, eventAsText, formatEvent

from voipcluster.services.log import is_journal, limited, priority

_PLAIN = (str, int, float, bool)
_LONGEST = 2048  # characters of one value
_LONGEST_LINE = 48000  # octets: the journal breaks one of more than LineMax=48K (journald.conf(5))
_RESERVED = frozenset({"time", "level", "system", "text", "traceback", "format", "message", "isError"})


def lines(out: TextIO | None = None, environment: Mapping[str, str] | None = None) -> ILogObserver:
    """An observer that writes to standard output, or to C{out}."""
    out = sys.stdout if out is None else out
    in_journal = is_journal(out, os.environ if environment is None else environment)
    return limited(FileLogObserver(out, _journal_line_of if in_journal else line_of))


def _journal_line_of(event: LogEvent) -> str | None:
    line = line_of(event)
    return line and priority(event) + line


def line_of(event: LogEvent) -> str | None:
    """One event as one line; L{None} for one that says nothing."""
    text = formatEvent(event)
    failure = event.get("log_failure")
    if failure is not None:
        text = text or failure.getErrorMessage()
    elif not text:
        return None
    level = event.get("log_level")
    shown: dict[str, object] = {
        "time": datetime.fromtimestamp(event.get("log_time", 0.0), UTC).isoformat(timespec="milliseconds"),
        "level": "info" if level is None else level.name,
        "system": str(event.get("log_namespace", "")),
        "text": text,
    }
    if failure is not None:
        shown["traceback"] = eventAsText(event, includeTimestamp=False, includeSystem=False)
    for name, value in event.items():
        if not name.startswith("log_") and name not in _RESERVED and isinstance(value, _PLAIN):
            shown[name] = value[:_LONGEST] if isinstance(value, str) else value
    return _written(shown) + "\n"


def _written(shown: Mapping[str, object]) -> str:
    """As JSON of at most L{_LONGEST_LINE}: texts lose their end for that, a traceback its beginning, which says less."""
    line, longest = json.dumps(shown, separators=(",", ":")), _LONGEST_LINE
    while len(line) > _LONGEST_LINE and longest:
        longest //= 2
        cut = {
            name: value
            if not isinstance(value, str)
            else value[-longest:]
            if name == "traceback"
            else value[:longest]
            for name, value in shown.items()
        }
        line = json.dumps(cut, separators=(",", ":"))
    return line
