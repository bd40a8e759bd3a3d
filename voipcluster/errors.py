"""Whose fault it is: errors that a peer caused, errors of the one who runs or embeds us."""

from __future__ import annotations


class VoipclusterError(Exception):
    """Everything that this package raises on purpose."""


class PeerError(VoipclusterError):
    """
    A peer sent what it must not send.

    @ivar status_hint: the SIP status (400 to 699) that answers a request with this fault.
    """

    def __init__(self, message: str, status_hint: int = 400) -> None:
        super().__init__(message)
        self.status_hint = status_hint


class ParseError(PeerError):
    """
    Received bytes do not follow their grammar.

    @ivar offset: where in the parsed text, counted in octets from 0, or C{None} when unknown.
    """

    def __init__(self, message: str, status_hint: int = 400, offset: int | None = None) -> None:
        super().__init__(message, status_hint)
        self.offset = offset


class TransportError(PeerError):
    """Bytes could not be sent: refused, unreachable, closed (RFC 3261 section 18.4)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 503)


class Unusable(PeerError):
    """A response may go on neither as it is nor changed: its branch comes to nothing."""


class UsageError(VoipclusterError):
    """The caller, the command line or the configuration is wrong; the text is one line for its author."""


class Throttled(TransportError):
    """A server has asked for fewer requests (RFC 7339), and this one is held back: it is as if it had answered 503."""
