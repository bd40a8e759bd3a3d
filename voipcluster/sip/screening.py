"""Who gets through, and where to: rules by the other party's address (RFC 5359 sections 2.13 and 2.14)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from attrs import frozen

from voipcluster.sip.uri import SipUri, parse_uri, unescape

MOST_RULES = 64
ANONYMOUS = "anonymous"  # the user part of one who does not say who he is (RFC 3323 section 4.1.1.3)

_NUMBER = re.compile(r"\+?[0-9().\-]+")
_SEPARATORS = str.maketrans("", "", "().-")
_PATTERN = re.compile(r"[A-Za-z0-9!$&*+\-./=?_~%@\[\]:]{1,128}")


@frozen
class Rule:
    """
    @ivar action: what is done; C{pattern}: with whom: C{user@host}, or a user part or number alone; one C{*} stands for anything.
    """

    action: str
    pattern: str

    def fits(self, party: str) -> bool:
        """@param party: C{user@host}, the host in lower case."""
        if "@" not in self.pattern and self.pattern != "*":
            party = party.partition("@")[0]
        begin, star, end = self.pattern.partition("*")
        if not star:
            return party == begin
        return len(party) >= len(begin) + len(end) and party.startswith(begin) and party.endswith(end)


def read_rules(text: str, actions: Sequence[str]) -> tuple[Rule, ...]:
    """
    Rules as C{action:pattern}, separated by commas.

    @raise ValueError: what is not one of them.
    """
    rules = []
    for part in text.split(","):
        action, colon, pattern = part.strip().partition(":")
        if not colon or action not in actions:
            raise ValueError(f"rules such as '{actions[1]}:*@example.com'; an action is {', '.join(actions)}")
        user, at, host = pattern.rpartition("@")
        pattern = user + at + (host.lower() if at else host)
        if not _PATTERN.fullmatch(pattern) or pattern.count("*") > 1:
            raise ValueError(f"{pattern[:40]!r} is no address, user part or number with one * at most")
        rules.append(Rule(action, pattern))
    if len(rules) > MOST_RULES:
        raise ValueError(f"at most {MOST_RULES} rules")
    return tuple(rules)


def verdict(rules: Sequence[Rule], *parties: str) -> str:
    """
    The action of the first rule that fits one of the names of the other party, else an empty string.

    @param parties: each as L{party_of} gives it.
    """
    for rule in rules:
        if any(rule.fits(party) for party in parties):
            return rule.action
    return ""


def party_of(uri: SipUri) -> str:
    """An address as rules compare it: without parameters and port, a number without what only people read."""
    user = unescape(uri.user or "").partition(";")[0]
    if _NUMBER.fullmatch(user):
        user = user.translate(_SEPARATORS)
    return f"{user}@{uri.host}"


def no_number(uri: str) -> str:
    """Where no number means anything."""
    return ""


def parties_of(uri: str, number_of: Callable[[str], str] = no_number) -> tuple[str, ...]:
    """
    Whom a URI means: as it is written, and as the number that it is. What may not be dialled in one form may not in another.

    @param number_of: gives the number that a URI is, in the one form that numbers have, or an empty text.
    """
    party, number = party_of(parse_uri(uri)), number_of(uri)
    return (f"{number}@{party.rpartition('@')[2]}", party) if number else (party,)
