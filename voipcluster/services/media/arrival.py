"""What a call's media is told beside the message: where it came from, where it goes, and what to do about ICE."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from functools import partial
from typing import Self

from attrs import frozen

from voipcluster.address import Hop
from voipcluster.media.ice import Credentials

_BROWSERS = {"WS", "WSS"}


@frozen
class Arrival:
    """
    @ivar source: host that the message came from.
    @ivar target_family: 4 or 6 for the hop that it goes to, when known.
    @ivar browser: that hop is a WebSocket.
    """

    source: str
    target_family: int | None = None
    browser: bool = False

    @classmethod
    def of(cls, source: Hop, target: Hop | None) -> Self:
        if target is None:
            return cls(source.host)
        return cls(source.host, 6 if ":" in target.host else 4, target.transport in _BROWSERS)


@frozen
class IcePolicy:
    """
    @ivar mode: C{"relay"}: the relay is the peer of both sides; C{"pass"}: lines with ICE are not relayed, the sides find
        their way; C{"remove"}: nobody hears of ICE.
    @ivar credentials: makes new ones.
    """

    mode: str
    credentials: Callable[[], Credentials]

    @classmethod
    def of(cls, mode: str, octets: Callable[[int], bytes]) -> Self:
        """C{octets}: so many that nobody can guess."""
        return cls(mode, partial(_new_credentials, octets))


def _new_credentials(octets: Callable[[int], bytes]) -> Credentials:
    """Of 48 and 144 bits, in ice-chars (RFC 8445 section 5.3)."""
    return Credentials(b64encode(octets(6)).decode("ascii"), b64encode(octets(18)).decode("ascii"))
