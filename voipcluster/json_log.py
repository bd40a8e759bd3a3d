"""
A log of JSON objects, one a line, for whatever collects logs: C{twistd --logger voipcluster.json_log.lines -n voipcluster ...}

Each has C{time} (UTC), C{level}, C{system} and C{text}; what a line names besides is there under its own name, for instance
C{call} (a Call-ID) and C{node}; an error with a traceback has C{traceback}.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TextIO

from twisted.logger import FileLogObserver, ILogObserver, LogEvent, eventAsText, formatEvent

from voipcluster.services.log import limited

_PLAIN = (str, int, float, bool)
_LONGEST = 2048  # characters of one value
_RESERVED = frozenset({"time", "level", "system", "text", "traceback", "format", "message", "isError"})


def lines(out: TextIO | None = None) -> ILogObserver:
    """An observer that writes to standard output, or to C{out}."""
    return limited(FileLogObserver(sys.stdout if out is None else out, line_of))


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
    return json.dumps(shown, separators=(",", ":")) + "\n"
