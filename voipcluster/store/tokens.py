"""Join tokens at the primary: only their hashes are kept, and they expire."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Any

from voipcluster.errors import PeerError, UsageError
from voipcluster.store.state import NodeState

TTL = 3600.0  # seconds
SECRET_SIZE = 16  # octets
MAX_TOKENS = 1000
REMEMBERED = 86400.0  # seconds after which an expired token is unknown


class JoinTokens:
    """All times are unix seconds."""

    def __init__(self, state: NodeState) -> None:
        """@raise UsageError: the file is damaged."""
        self._state = state
        self._tokens: dict[str, dict[str, Any]] = {}
        path = state.path("tokens.json")
        if path.exists():
            try:
                for digest, token in json.loads(state.read("tokens.json")).items():
                    self._tokens[digest] = {"expires": float(token["expires"]), "uses": int(token["uses"])}
            except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
                raise UsageError(f"{path}: damaged; remove it and make new join tokens") from None

    def create(self, now: float, ttl: float = TTL, uses: int = 1) -> bytes:
        """
        @param uses: how many nodes may join with it.
        @return: the secret of a new token; it is kept nowhere.
        """
        if not 1 <= uses <= 1000 or not 1 <= ttl <= 365 * 86400:
            raise UsageError("a join token is for 1 to 1000 nodes and lives 1 s to 365 days")
        self._forget(now)
        if len(self._tokens) >= MAX_TOKENS:
            raise UsageError(f"there are {MAX_TOKENS} join tokens already; wait until some expire")
        secret = secrets.token_bytes(SECRET_SIZE)
        self._tokens[hashlib.sha256(secret).hexdigest()] = {"expires": now + ttl, "uses": uses}
        self._save()
        return secret

    def check(self, secret: bytes, now: float) -> None:
        """@raise PeerError: the token is unknown, expired or used up; the text says which."""
        token = self._tokens.get(hashlib.sha256(secret).hexdigest())
        if token is None:
            raise PeerError("the join token is unknown", 403)
        if token["uses"] <= 0:
            raise PeerError("the join token has been used already", 403)
        if token["expires"] <= now:
            raise PeerError("the join token has expired", 403)

    def use(self, secret: bytes, now: float) -> None:
        """@raise PeerError: as L{check}."""
        self.check(secret, now)
        self._tokens[hashlib.sha256(secret).hexdigest()]["uses"] -= 1
        self._save()

    def _forget(self, now: float) -> None:
        self._tokens = {
            key: token for key, token in self._tokens.items() if now < token["expires"] + REMEMBERED
        }

    def _save(self) -> None:
        self._state.write("tokens.json", json.dumps(self._tokens).encode())
