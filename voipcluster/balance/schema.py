"""
Dicts of primitives, checked field by field: the grammar of all messages of the cluster link.

A peer may be of another version or be hostile: fields that we do not know are ignored, missing optional ones take their default,
and everything else must have exactly the type, the range and the length that are written down here. Nothing received is
ever converted by C{int()} or C{str()}: a value of the wrong type is an error, not something to repair.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Any, Final

from attrs import frozen

from voipcluster.errors import PeerError

REQUIRED: Final = object()
_LISTS = (list, tuple)


@frozen
class Field:
    """
    One field of a message.

    @ivar name: its key, which is the attribute's name too.
    @ivar type: C{int}, C{float} (an int is taken), C{str}, C{bool}, an L{Enum} of strings, or the L{Schema} of a
        nested dict.
    @ivar low: the least number, or the least length of a string.
    @ivar high: the greatest number, or the greatest length of a string in characters.
    @ivar default: what a message without the field means; without a default the field must be there.
    @ivar many: L{None}, or the greatest length of a list of such values.
    """

    name: str
    type: Any
    low: float = 0
    high: float = 0
    default: Any = REQUIRED
    many: int | None = None

    def check(self, value: object, where: str) -> Any:
        """
        @return: the value as our code uses it (lists become tuples, floats are floats, nested dicts become objects).
        @raise PeerError: naming the field by its path, for instance C{membership.nodes[2].port}.
        """
        path = f"{where}.{self.name}"
        if self.many is None:
            return self._one(value, path)
        if type(value) not in _LISTS:
            raise PeerError(f"{path}: a list is wanted, not {type(value).__name__}")
        assert isinstance(value, list | tuple)
        if len(value) > self.many:
            raise PeerError(f"{path}: at most {self.many} values, not {len(value)}")
        return tuple([self._one(item, f"{path}[{index}]") for index, item in enumerate(value)])

    def _one(self, value: object, path: str) -> Any:
        kind = type(value)
        if isinstance(self.type, Schema):
            return self.type.decode(value, path)
        if self.type is float and (kind is float or kind is int):
            return self._number(value, path)
        if isinstance(self.type, type) and issubclass(self.type, Enum):
            return self._member(value, path)
        if kind is not self.type:
            raise PeerError(f"{path}: {self.type.__name__} is wanted, not {kind.__name__}")
        if kind is int:
            self._range(value, path)
        elif kind is str:
            self._length(value, path)
        return value

    def _member(self, value: object, path: str) -> Enum:
        if type(value) is not str:
            raise PeerError(f"{path}: str is wanted, not {type(value).__name__}")
        try:
            member: Enum = self.type(value[:64])
        except ValueError:
            names = ", ".join(str(one.value) for one in self.type)
            raise PeerError(f"{path}: one of {names} is wanted") from None
        return member

    def _number(self, value: Any, path: str) -> float:
        if type(value) is float and not math.isfinite(value):
            raise PeerError(f"{path}: a finite number is wanted")
        self._range(value, path)
        return float(value)  # of an int within the range, so it neither overflows nor takes long

    def _length(self, value: Any, path: str) -> None:
        if not self.low <= len(value) <= self.high:
            raise PeerError(f"{path}: {self.low:.0f} to {self.high:.0f} characters, not {len(value)}")

    def _range(self, value: Any, path: str) -> None:
        if not self.low <= value <= self.high:  # the value is not printed: it may have a million digits
            raise PeerError(f"{path}: out of range {self.low:g} to {self.high:g}")


@frozen
class Schema:
    """
    The fields of one kind of message, and the class that holds them.

    @ivar make: called with the fields as keyword arguments; the object it gives has them as attributes.
    """

    kind: str
    make: Any
    fields: tuple[Field, ...]

    def decode(self, value: object, where: str) -> Any:
        if type(value) is not dict:
            raise PeerError(f"{where}: a dict is wanted, not {type(value).__name__}")
        assert isinstance(value, dict)
        found: dict[str, Any] = {}
        for item in self.fields:
            given = value.get(item.name, REQUIRED)
            if given is not REQUIRED:
                found[item.name] = item.check(given, where)
            elif item.default is REQUIRED:
                raise PeerError(f"{where}.{item.name}: missing")
            else:
                found[item.name] = item.default
        return self.make(**found)

    def encode(self, value: Any) -> dict[str, Any]:
        """The dict of an object, checked like a received one: what we would refuse we do not send either."""
        found: dict[str, Any] = {}
        for item in self.fields:
            given = getattr(value, item.name)
            nested = item.type if isinstance(item.type, Schema) else None
            if item.many is not None:
                given = [nested.encode(one) if nested else one for one in given]
            elif nested:
                given = nested.encode(given)
            elif isinstance(given, Enum):
                given = given.value
            item.check(given, self.kind)
            found[item.name] = given
        return found
