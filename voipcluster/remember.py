"""Remembering what was worked out for a text that comes again and again, with a bound in octets, not only in number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

LONGEST: Final = 256  # octets or characters; longer ones are rare, unless somebody wants to fill our memory

Text = TypeVar("Text", str, bytes)
Result = TypeVar("Result")


class _Known(dict[Text, Result], Generic[Text, Result]):
    """
    The results of a function by its argument, in two generations: when the young one is full, it takes the place of the old one.

    A text that is known is found by the dict itself, without a call of anything written in Python: so it is with most of
    what each message asks for. What is asked for again while it is old is young again, so what comes often stays.
    """

    __slots__ = ("_most", "_old", "_work_out")

    _work_out: Callable[[Text], Result]

    def __init__(self, work_out: Callable[[Text], Result], most: int) -> None:
        self._work_out = work_out
        self._most = most
        self._old: dict[Text, Result] = {}

    def __missing__(self, text: Text) -> Result:
        if len(text) > LONGEST:
            return self._work_out(text)
        old = self._old
        result = old[text] if text in old else self._work_out(text)
        if len(self) >= self._most:
            self._old = dict(self)
            self.clear()
        self[text] = result
        return result


def remember(most: int) -> Callable[[Callable[[Text], Result]], Callable[[Text], Result]]:
    """
    Keep the results of a function of one text, the latest C{most} of them; those of long texts are worked out each time.

    An exception is not remembered.
    """

    def remembering(work_out: Callable[[Text], Result]) -> Callable[[Text], Result]:
        return _Known(work_out, max(1, most // 2)).__getitem__

    return remembering
