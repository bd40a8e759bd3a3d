"""
What a dialled text means: the number plan of a place, and the one form in which numbers are compared (E.164, RFC 3966 section 5).

A number is text: C{+} and its digits when the whole world knows it, else the digits that mean something at this place only.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from attrs import frozen

MOST_DIGITS: Final = 15  # of an E.164 number (ITU-T E.164 section 6.1)
_LONGEST_LOCAL: Final = 32  # characters; nobody dials more, and what is longer is no number
_SEPARATORS: Final = str.maketrans("", "", "-.()")  # RFC 3966 section 3: visual-separator
_GLOBAL: Final = re.compile(rf"\+[1-9][0-9]{{0,{MOST_DIGITS - 1}}}", re.ASCII)
_LOCAL: Final = re.compile(r"[0-9*#]+", re.ASCII)


class Number(NamedTuple):
    """
    @ivar text: C{+4930...} or local digits, without separators; C{emergency}: whether it calls for help.
    """

    text: str
    emergency: bool = False

    @property
    def is_global(self) -> bool:
        """Whether it is an E.164 number."""
        return self.text.startswith("+")


@frozen
class NumberPlan:
    """
    How numbers are dialled here.

    @ivar country: country code in digits, or empty: national numbers stay as they are dialled.
    @ivar national: what stands in front of a number of this country, C{international}: of another one; empty: nothing does.
    @ivar area: area code without its prefix, which a shorter number of this place goes without; or empty.
    @ivar extensions: digits that inner numbers have at most: what is longer and has no prefix is a number of this C{area}.
    @ivar emergency: numbers that call for help, as they are dialled.
    """

    country: str = ""
    national: str = "0"
    international: str = "00"
    area: str = ""
    extensions: int = 0
    emergency: tuple[str, ...] = ()

    def read(self, dialled: str, context: str = "") -> Number | None:
        """
        @param dialled: the digits, with separators perhaps, escapes decoded.
        @param context: of a local number, such as C{+49} (RFC 3966 section 5.1.5); empty: this place.
        @return: L{None} when it is no number, or one of some other place that cannot be written out.
        """
        digits = dialled.translate(_SEPARATORS) if len(dialled) <= 2 * _LONGEST_LOCAL else ""
        if digits.startswith("+"):
            return Number(digits) if _GLOBAL.fullmatch(digits) else None
        if len(digits) > _LONGEST_LOCAL or _LOCAL.fullmatch(digits) is None:
            return None
        if context:
            return self._of_context(digits, context.translate(_SEPARATORS))
        if digits in self.emergency:
            return Number(digits, True)
        if not digits.isdigit():
            return Number(digits)  # a code such as *21#
        return self._written_out(digits)

    def _of_context(self, digits: str, context: str) -> Number | None:
        """A number of a country or area: the context is what stands in front of it, prefixes of this place mean nothing."""
        if digits in self.emergency and self.country and context == f"+{self.country}":
            return Number(digits, True)
        whole = context + digits
        return Number(whole) if _GLOBAL.fullmatch(whole) else None

    def _written_out(self, digits: str) -> Number | None:
        if self.international and digits.startswith(self.international):
            whole = "+" + digits[len(self.international) :]
        elif self.country and self.national and digits.startswith(self.national):
            whole = f"+{self.country}{digits[len(self.national) :]}"
        elif self.country and self.area and len(digits) > self.extensions:
            whole = f"+{self.country}{self.area}{digits}"
        else:
            return Number(digits)
        return Number(whole) if _GLOBAL.fullmatch(whole) else None

    def trouble_with_prefix(self, prefix: str) -> str:
        """
        Why a prefix of numbers can match none, in words for its author; empty when it can.

        What is dialled with a prefix of the plan is written out before anything is compared with it.
        """
        if prefix in ("", "+"):
            return ""
        if _GLOBAL.fullmatch(prefix):
            return ""
        if _LOCAL.fullmatch(prefix) is None:
            return 'allowed are "+" and digits, digits with * and #, or "" for every number'
        # an emergency number is one as it stands, whatever it begins with
        if not prefix.isdigit() or any(number.startswith(prefix) for number in self.emergency):
            return ""
        for begin, means in (
            (self.international, "+"),
            (self.national if self.country else "", f"+{self.country}"),
        ):
            if begin and prefix.startswith(begin):
                return f'numbers dialled with {begin} are read as {means}..., so write "{means}{prefix[len(begin) :]}"'
        return ""
