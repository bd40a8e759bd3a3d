"""Who may call whom: lists of patterns, of which the closest one decides."""

from __future__ import annotations

import re
from typing import NamedTuple

from attrs import field, frozen

_NUMBER = re.compile(r"\+?[0-9*#]{1,32}", re.ASCII)
_SEPARATORS = str.maketrans("", "", "-.()")  # RFC 3966 section 5.1.1, "visual-separator"
_PREFIX = re.compile(r"=?\+?[0-9*#]{1,32}|\+", re.ASCII)
_AOR = re.compile(r"(?:\*|[^\s@:<>\"*]{1,128})@[A-Za-z0-9\[][A-Za-z0-9.:\-\]]{0,254}")
EVERYTHING, USERS = "*", "users"
_EXACT = 1000  # closer than any prefix


class Party(NamedTuple):
    """
    Who calls, or is called.

    @ivar number: digits, with C{+} in front for an E.164 number; empty when it is none.
    @ivar aor: C{user@domain}, or empty; C{ours}: it is an address of record of our domains.
    """

    number: str = ""
    aor: str = ""
    ours: bool = False

    def __str__(self) -> str:
        return self.number or self.aor or "anonymous"


def number_of(user: str) -> str:
    """The number that the user part of a URI is, without visual separators and parameters; empty when it is none."""
    number = user.partition(";")[0].translate(_SEPARATORS)
    return number if _NUMBER.fullmatch(number) else ""


@frozen
class Pattern:
    """
    One pattern of a list.

    @ivar text: C{*}; C{users}; a prefix of a number, C{+49}, or C{+} for all E.164 numbers; a whole number, C{=110};
        C{alice@example.com}; C{*@example.com}. C{!} in front of one forbids what it matches.
    """

    text: str
    forbids: bool = field(init=False)
    _bare: str = field(init=False, repr=False)

    @forbids.default
    def _begins_with_no(self) -> bool:
        return self.text.startswith("!")

    @_bare.default
    def _without_no(self) -> str:
        return self.text.removeprefix("!")

    def closeness(self, party: Party) -> int:
        """How closely it describes somebody; -1 when it does not."""
        bare = self._bare
        if bare == EVERYTHING:
            return 0
        if bare == USERS:
            return 1 if party.ours else -1
        if "@" in bare:
            user, _, domain = bare.rpartition("@")
            name, _, of = party.aor.rpartition("@")
            if not party.aor or domain.lower() != of.lower():
                return -1
            return 2 if user == "*" else _EXACT if user == name else -1
        if bare.startswith("="):
            return _EXACT if party.number == bare[1:] else -1
        return 2 + len(bare) if party.number.startswith(bare) else -1


def check_pattern(text: str) -> str:
    """
    @return: the text.
    @raise ValueError: it is no pattern.
    """
    bare = text.removeprefix("!")
    if bare in (EVERYTHING, USERS) or _AOR.fullmatch(bare) or _PREFIX.fullmatch(bare):
        return text
    raise ValueError(text)


def _patterns(texts: tuple[str, ...]) -> tuple[Pattern, ...]:
    return tuple(map(Pattern, texts))


@frozen
class Permission:
    """
    What a gateway lets through in one direction.

    @ivar callers: patterns of who may call, C{numbers}: of who may be called. The closest pattern decides; where none matches
        the call is forbidden, so an empty list forbids everything.
    """

    callers: tuple[str, ...] = (EVERYTHING,)
    numbers: tuple[str, ...] = (EVERYTHING,)
    _callers: tuple[Pattern, ...] = field(init=False, repr=False, eq=False)
    _numbers: tuple[Pattern, ...] = field(init=False, repr=False, eq=False)

    @_callers.default
    def _read_callers(self) -> tuple[Pattern, ...]:
        return _patterns(self.callers)

    @_numbers.default
    def _read_numbers(self) -> tuple[Pattern, ...]:
        return _patterns(self.numbers)

    def takes_caller(self, party: Party) -> bool:
        return _allows(self._callers, party)

    def takes_number(self, party: Party) -> bool:
        return _allows(self._numbers, party)


def _allows(patterns: tuple[Pattern, ...], party: Party) -> bool:
    """The closest pattern decides; of two that are as close the one that forbids."""
    closest, allowed = -1, False
    for pattern in patterns:
        closeness = pattern.closeness(party)
        if closeness > closest or (closeness == closest >= 0 and pattern.forbids):
            closest, allowed = closeness, not pattern.forbids
    return allowed
