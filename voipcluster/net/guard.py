"""
What stands in front of banana: caps on the bytes, tokens, depth and rate of received messages.

Banana itself bounds each list and string but not their sum or depth, and its time is quadratic in the number of tokens of one
read. So nothing reaches it but whole expressions, one at a time, of which the number of tokens is known to be small.
"""

from __future__ import annotations

from attrs import define, field

from voipcluster.errors import PeerError

_LIST, _STRING, _FLOAT = 0x80, 0x82, 0x84
_PLAIN = frozenset(
    {0x81, 0x83, 0x85, 0x86, 0x87}
)  # int, negative, long, negative long, word of the vocabulary
_PREFIX = 9  # octets of base 128: numbers below 2**63


@define
class Bucket:
    """Token bucket: at most C{burst} at once and C{rate} per second in the long run."""

    rate: float
    burst: float
    _level: float = field(init=False)
    _at: float = field(init=False, default=0.0)

    def __attrs_post_init__(self) -> None:
        self._level = self.burst

    def take(self, amount: float, now: float) -> bool:
        self._level = (
            min(self.burst, self._level + (now - self._at) * self.rate) if now > self._at else self._level
        )
        self._at = now
        if amount > self._level:
            return False
        self._level -= amount
        return True


@define
class BananaGuard:
    """
    Cuts a stream of banana into whole expressions and refuses what is too much.

    @ivar max_bytes: octets of one expression; never more than this and one read are held.
    @ivar max_tokens: lists, strings and numbers in one expression.
    """

    max_bytes: int = 512 * 1024
    max_tokens: int = 64
    max_depth: int = 6
    messages: Bucket = field(factory=lambda: Bucket(500.0, 2000.0))  # per second
    octets: Bucket = field(factory=lambda: Bucket(16e6, 64e6))  # per second
    _held: bytearray = field(init=False, factory=bytearray)
    _at: int = field(init=False, default=0)  # octets of _held that are scanned
    _tokens: int = field(init=False, default=0)
    _open: list[int] = field(init=False, factory=list)  # elements that each open list still waits for

    @property
    def partial(self) -> bool:
        """Whether a part of an expression waits for its rest."""
        return bool(self._held)

    def feed(self, chunk: bytes, now: float) -> list[bytes]:
        """
        @param now: monotonic seconds.
        @return: the expressions that this chunk completes, each as its own bytes.
        @raise PeerError: a cap is breached, or this is not banana; the connection is to be closed.
        """
        if not self.octets.take(len(chunk), now):
            raise PeerError("sends too many octets per second")
        self._held += chunk
        whole: list[bytes] = []
        while self._scan_token():
            if not self._open:
                if not self.messages.take(1, now):
                    raise PeerError("sends too many messages per second")
                whole.append(bytes(self._held[: self._at]))
                del self._held[: self._at]
                self._at = self._tokens = 0
        if len(self._held) > self.max_bytes:
            raise PeerError(f"a message is longer than {self.max_bytes} octets")
        return whole

    def _scan_token(self) -> bool:
        """Go past one token; L{False} when it is not complete yet."""
        held, begin = self._held, self._at
        number, at, size = 0, begin, len(held)
        while at < size and held[at] < _LIST:
            number |= held[at] << (7 * (at - begin))
            at += 1
            if at - begin > _PREFIX:
                raise PeerError("a number in a message is too long")
        if at >= size:
            return False
        kind, end = held[at], at + 1
        if kind == _STRING:
            end += number
        elif kind == _FLOAT:
            end += 8
        elif kind != _LIST and kind not in _PLAIN:
            raise PeerError("what it sends is not banana")
        if end > self.max_bytes:
            raise PeerError(f"a message is longer than {self.max_bytes} octets")
        if end > size:
            return False
        self._tokens += 1
        if self._tokens > self.max_tokens or (kind == _LIST and number > self.max_tokens):
            raise PeerError(f"a message has more than {self.max_tokens} elements")
        self._at = end
        if kind == _LIST and number:
            self._open.append(number)
            if len(self._open) > self.max_depth:
                raise PeerError(f"a message is nested deeper than {self.max_depth}")
            return True
        while self._open:
            self._open[-1] -= 1
            if self._open[-1]:
                break
            self._open.pop()
        return True
