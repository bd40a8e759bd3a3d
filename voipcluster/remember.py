"""Remembering what was worked out for a text that comes again and again, with a bound in octets, not only in number."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Final, TypeVar

LONGEST: Final = 256  # octets or characters; longer ones are rare, unless somebody wants to fill our memory

Text = TypeVar("Text", str, bytes)
Result = TypeVar("Result")


def remember(most: int) -> Callable[[Callable[[Text], Result]], Callable[[Text], Result]]:
    """
    Keep the results of a function of one text, the latest C{most} of them; those of long texts are worked out each time.

    An exception is not remembered.
    """

    def remembering(work_out: Callable[[Text], Result]) -> Callable[[Text], Result]:
        known = lru_cache(most)(work_out)

        @wraps(work_out)
        def look_up(text: Text) -> Result:
            return known(text) if len(text) <= LONGEST else work_out(text)

        return look_up

    return remembering
