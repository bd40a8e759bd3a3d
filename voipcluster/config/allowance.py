"""C{[allowance]}: what each user may have of gateways."""

from __future__ import annotations

import re

from attrs import frozen

from voipcluster.config.kinds import Whole, Word, Words
from voipcluster.config.option import option
from voipcluster.gateway.allowance import Allowance

_PREFIX = re.compile(r"\+?[0-9]{1,20}|\+", re.ASCII)


@frozen
class AllowanceOptions:
    """What each user may have of gateways, counted over all nodes (C{docs/gateways.md}); alike on every node."""

    calls_at_once: int = option(0, Whole(0, 1_000_000), "calls of one user; 0 = any number", live=True)
    calls_per_minute: int = option(0, Whole(0, 1_000_000), "that he begins; 0 = any number", live=True)
    minutes_per_day: int = option(0, Whole(0, 1_000_000), "of his answered calls; 0 = any number", live=True)
    destinations: tuple[str, ...] = option(
        (),
        Words(Word(_PREFIX, "a prefix of numbers such as +49"), 'prefixes such as "+49"'),
        "prefixes of the numbers that he may call; [] = all",
        live=True,
    )

    @property
    def of_user(self) -> Allowance:
        return Allowance(self.calls_at_once, self.calls_per_minute, self.minutes_per_day, self.destinations)
