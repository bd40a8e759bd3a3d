"""C{[log]}: how much of what happens is written down."""

from __future__ import annotations

from attrs import frozen

from voipcluster.config.kinds import Choice
from voipcluster.config.option import option

LEVELS = ("debug", "info", "warn", "error")


@frozen
class LogOptions:
    """The log on standard output, for journald or as JSON (C{docs/monitoring.md})."""

    level: str = option(
        "info", Choice(LEVELS), "debug | info | warn | error: what is less is not written", live=True
    )
