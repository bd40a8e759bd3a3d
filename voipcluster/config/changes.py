"""What is different between the configuration of a running node and the file as it is now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from attrs import evolve, frozen

from voipcluster.config.options import Config, options

IGNORED = ("node.join",)  # is for the first start only
# What switches a part of the node on or off, which takes a start; and the options that are of that part, by their beginning.
_SWITCHES = {
    "tls.": "tls.certificate",
    "records.webhook": "records.webhook",
    "records.days": "records.days",
}


@frozen
class Changes:
    """
    @ivar live: names of what a running node takes, such as C{cluster.threshold} or C{gateway carrier-a}.
    @ivar later: names of what takes effect at the next start.
    @ivar config: the old one with what is live changed.
    """

    live: tuple[str, ...]
    later: tuple[str, ...]
    config: Config


def changes(old: Config, new: Config) -> Changes:
    """What a node that runs with C{old} has to do for C{new}; both are complete, so that what flags say is in both."""
    live: list[str] = []
    later: list[str] = []
    config = evolve(old, gateways=new.gateways, routes=new.routes, rates=new.rates, cautions=new.cautions)
    for option in options():
        before, now = (getattr(getattr(one, option.section), option.key) for one in (old, new))
        if before == now or option.name in IGNORED:
            continue
        if option.live and not _is_switched(old, new, option.name):
            live.append(option.name)
            section: Any = getattr(config, option.section)
            config = evolve(config, **{option.section: evolve(section, **{option.key: now})})
        else:
            later.append(option.name)
    live += (f"gateway {name}" for name in _named(old.gateways, new.gateways))
    if old.routes != new.routes:
        live.append("routes")
    if old.rates != new.rates:
        live.append("rates")
    return Changes(tuple(live), tuple(later), config)


def _is_switched(old: Config, new: Config, name: str) -> bool:
    """Whether a part that is not there would be needed for it, or one that is there would have to go."""
    for begin, switch in _SWITCHES.items():
        if name.startswith(begin):
            section, _, key = switch.partition(".")
            before, now = (getattr(getattr(one, section), key) for one in (old, new))
            return bool(before) != bool(now)
    return False


def _named(old: Iterable[Any], new: Iterable[Any]) -> list[str]:
    """The names of those that have come, gone or changed, in their order."""
    before = {one.name: one for one in old}
    now = {one.name: one for one in new}
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]
