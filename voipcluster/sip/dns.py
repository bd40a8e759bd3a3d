"""What SIP asks the DNS and what it answers (RFC 3263), as values; and how an answer is read (RFC 1034 section 3.6.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

A, AAAA, SRV, NAPTR, CNAME = "A", "AAAA", "SRV", "NAPTR", "CNAME"

MAX_RECORDS = 64  # of one answer that are used; a set that is larger is an attack or a mistake
MAX_ALIASES = 8  # CNAMEs from a name to its records
_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}", re.ASCII)


class Question(NamedTuple):
    """C{name}: as L{host_name} gives it; C{kind}: C{A}, C{AAAA}, C{SRV} or C{NAPTR}."""

    name: str
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} of {self.name}"


class Naptr(NamedTuple):
    """One NAPTR record (RFC 3403 section 4.1); RFC 3263 has no use for its regular expression, RFC 6116 has."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str
    regexp: str = ""


class Srv(NamedTuple):
    """One SRV record (RFC 2782); C{target} is empty for C{"."}: the service is decidedly not there."""

    priority: int
    weight: int
    port: int
    target: str


Record = Naptr | Srv | str
"""A string is the address of an A or AAAA record, or the target of a CNAME."""


class Owned(NamedTuple):
    """One record of an answer section: whose it is, and for how many seconds it may be kept."""

    owner: str
    kind: str
    ttl: int
    record: Record


class Followed(NamedTuple):
    """
    What an answer section says about a question.

    @ivar records: those asked for, at most L{MAX_RECORDS}; C{ttl}: seconds, the shortest on the way to them.
    @ivar onward: where to ask next, since the CNAMEs lead out of this answer; an empty string when they do not.
    @ivar looped: whether they lead in a circle, or on and on.
    """

    records: tuple[Record, ...] = ()
    ttl: int = 0
    onward: str = ""
    looped: bool = False


def host_name(host: str) -> str | None:
    """
    A host of a URI or Via as a DNS name: in lower case, without the dot at its end.

    @return: L{None} for what no DNS server need be asked for: labels that are empty or too long, or a last label of digits
        alone, which would be an address (RFC 1123 section 2.1).
    """
    name = host.lower().removesuffix(".")
    if _NAME.fullmatch(name) is None or name.rpartition(".")[2].isdigit():
        return None
    return name


def follow(question: Question, section: Iterable[Owned]) -> Followed:
    """Find the records asked for, behind CNAMEs too; what else is in an answer was not asked for and is ignored."""
    sets: dict[str, list[Owned]] = {}
    aliases: dict[str, Owned] = {}
    for owned in section:
        if owned.kind == question.kind:
            sets.setdefault(owned.owner, []).append(owned)
        elif owned.kind == CNAME:
            aliases.setdefault(owned.owner, owned)
    name, seen, ttl = question.name, {question.name}, 1 << 31
    while name not in sets:
        alias = aliases.get(name)
        if alias is None:
            return Followed(ttl=ttl, onward="" if name == question.name else name)
        name, ttl = str(alias.record), min(ttl, alias.ttl)
        if name in seen or len(seen) > MAX_ALIASES:
            return Followed(ttl=ttl, looped=True)
        seen.add(name)
    found = sets[name][:MAX_RECORDS]
    return Followed(tuple(owned.record for owned in found), min([ttl, *(owned.ttl for owned in found)]))
