"""How a number is written for one gateway: what it wants to see of the number that is called, and of the one that calls."""

from __future__ import annotations

from attrs import frozen


@frozen
class Rewriting:
    """
    @ivar strip: how many characters go off the front, C{+} counts as one; C{prepend}: what comes in front of the rest.
    """

    strip: int = 0
    prepend: str = ""

    def rewrite(self, number: str) -> str:
        """Nothing is left but C{prepend} of a number that is shorter than what is stripped."""
        return self.prepend + number[self.strip :]


@frozen
class CallerId:
    """
    Which number of the caller a gateway is told.

    @ivar shown: the number that stands for callers who have none, or none that may be shown; empty: they have no number then.
    @ivar allowed: prefixes of numbers that may be shown; none: each may.
    """

    shown: str = ""
    allowed: tuple[str, ...] = ()

    def number(self, of_caller: str) -> str:
        """
        @param of_caller: the number that the caller is known to have, or empty.
        @return: the number to tell, or empty: none.
        """
        if of_caller and (not self.allowed or of_caller.startswith(self.allowed)):
            return of_caller
        return self.shown
