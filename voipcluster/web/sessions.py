"""
Who has logged in at the web page: sealed tokens, which every node of the cluster opens and none has to store.

A token holds when it ends, a number of its own, and a mark of the password that was valid when it was made. So it ends by time,
by another password, and by log-out: its number is remembered until the token would have ended anyway.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection

from attrs import frozen

from voipcluster.errors import PeerError
from voipcluster.seal import Sealer

NUMBER = 16  # octets of a session's number
_PAYLOAD = struct.Struct(f">Q8s{NUMBER}s")
LONGEST = 604_800.0  # seconds that web.session may be
MOST_ENDED = 10_000  # numbers of sessions that are remembered after log-out


@frozen
class Session:
    """
    @ivar token: what the browser keeps; a secret.
    @ivar number: in hex; no secret.
    @ivar until: unix seconds.
    """

    token: str
    number: str
    until: int


class Sessions:
    """
    Opens, checks and ends sessions; C{now} is unix seconds, C{password} what L{voipcluster.web.passwords.hashed} made.

    @param cluster_key: as of L{Sealer}.
    @ivar lifetime: seconds.
    """

    def __init__(self, cluster_key: bytes, lifetime: float) -> None:
        self._sealer = Sealer(cluster_key, b"web session")
        self._forms = Sealer(cluster_key, b"web form")
        self.lifetime = lifetime
        self._ended: dict[str, int] = {}  # number: when it would have ended anyway

    def open(self, now: float, password: str, number: bytes) -> Session:
        """@param number: L{NUMBER} octets that nobody can guess."""
        until = int(now + self.lifetime)
        token = self._sealer.seal(_PAYLOAD.pack(until, _mark(password), number))
        return Session(token, number.hex(), until)

    def check(self, token: str, now: float, password: str) -> Session | None:
        """The session of a token, while it is one."""
        try:
            until, mark, number = _PAYLOAD.unpack(self._sealer.open(token))
        except (PeerError, struct.error):
            return None
        if not password or mark != _mark(password) or now >= until or number.hex() in self._ended:
            return None
        return Session(token, number.hex(), until)

    def end(self, number: str, until: float, now: float) -> None:
        """
        A session has logged out, here or at another node.

        @param until: when it would have ended by itself. That may be later than of one that begins now, since L{lifetime} can
            change; it is no later than of the longest.
        """
        self._ended = {one: end for one, end in self._ended.items() if end > now}
        if len(self._ended) < MOST_ENDED:
            self._ended[number] = int(min(until, now + LONGEST)) + 1

    @property
    def ended(self) -> Collection[str]:
        """The numbers of those that have logged out and would still be good."""
        return self._ended.keys()

    def form_token(self, session: Session) -> str:
        """What a page of ours has to send with each change: another site cannot read it, and so cannot send it."""
        return self._forms.seal(b"", bytes.fromhex(session.number))

    def is_form_token(self, session: Session, token: str) -> bool:
        try:
            self._forms.open(token, bytes.fromhex(session.number))
        except PeerError:
            return False
        return True


def _mark(password: str) -> bytes:
    return hashlib.blake2s(password.encode(), digest_size=8).digest()
