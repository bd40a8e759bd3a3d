"""Whose messages somebody wants to see."""

from __future__ import annotations

import re
from typing import Protocol

from attrs import field, frozen

from voipcluster.address import Flow, is_ip, join_host_port, split_host_port
from voipcluster.errors import UsageError
from voipcluster.sip.overheard import head_of

_WHO = (
    b"from",
    b"f",
    b"to",
    b"t",
    b"p-asserted-identity",
    b"p-preferred-identity",
    b"remote-party-id",
    b"contact",
    b"m",
)
_VIA = (b"via", b"v")


class Wanted(Protocol):
    """
    @ivar text: how it is shown to people.
    @ivar everywhere: whether every node sees by itself that a call is wanted; else one tells the others.
    """

    @property
    def text(self) -> str: ...

    @property
    def everywhere(self) -> bool: ...

    def takes(self, data: bytes, call_id: str, flow: Flow) -> bool:
        """Whether a message is one of those."""


@frozen
class Everything:
    """All that passes."""

    text = "all calls"
    everywhere = True

    def takes(self, data: bytes, call_id: str, flow: Flow) -> bool:
        return True


@frozen
class OneCall:
    """What has this Call-ID."""

    call_id: str
    everywhere = True

    @property
    def text(self) -> str:
        return f"call {self.call_id}"

    def takes(self, data: bytes, call_id: str, flow: Flow) -> bool:
        return call_id == self.call_id


@frozen
class OfUser:
    """
    What names a user, or a number, as caller, as callee or in the Request-URI.

    @ivar user: C{NAME} or C{NAME@DOMAIN}.
    """

    user: str
    everywhere = True
    _name: bytes = field(init=False)
    _pattern: re.Pattern[bytes] = field(init=False)

    @_name.default
    def _encoded(self) -> bytes:
        return self.user.partition("@")[0].encode()

    @_pattern.default
    def _compiled(self) -> re.Pattern[bytes]:
        name, at, domain = self.user.encode().partition(b"@")
        behind = rb"@(?i:%b)(?![A-Za-z0-9.-])" % re.escape(domain) if at else rb"(?=[@;>?:\s,]|\Z)"
        return re.compile(rb"\b(?:sips?|tel):%b%b" % (re.escape(name), behind))

    @property
    def text(self) -> str:
        return f"user {self.user}"

    def takes(self, data: bytes, call_id: str, flow: Flow) -> bool:
        if self._name not in data:
            return False
        first, _, headers = head_of(data).partition(b"\n")
        return self._pattern.search(first) is not None or _is_in(self._pattern, headers, _WHO)


@frozen
class OfAddress:
    """
    What comes from an address, goes there, or went over it before, by its Via.

    @ivar host: IP literal; C{port} is L{None} for all of them.
    """

    host: str
    port: int | None = None
    everywhere = False
    _pattern: re.Pattern[bytes] = field(init=False)

    @_pattern.default
    def _compiled(self) -> re.Pattern[bytes]:
        host = re.escape(self.host.encode())
        port = rb"\]?:%d(?!\d)" % self.port if self.port else rb"(?![0-9.:A-Fa-f])|%b\]?:\d" % host
        return re.compile(rb"(?<![0-9.:A-Fa-f])(?:%b%b)" % (host, port))

    @property
    def text(self) -> str:
        return f"address {join_host_port(self.host, self.port)}"

    def takes(self, data: bytes, call_id: str, flow: Flow) -> bool:
        host, port = flow.remote
        if host == self.host and self.port in (None, port):
            return True
        return self.host.encode() in data and _is_in(self._pattern, head_of(data), _VIA)


def _is_in(pattern: re.Pattern[bytes], headers: bytes, names: tuple[bytes, ...]) -> bool:
    for line in headers.split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon and name.rstrip(b" \t").lower() in names and pattern.search(value) is not None:
            return True
    return False


def wanted_of(user: str | None, address: str | None, call_id: str | None, all_calls: bool) -> Wanted:
    """
    What somebody asked for.

    @raise UsageError: nothing, more than one thing, or no address.
    """
    given = [one for one in (user, address, call_id) if one is not None]
    if len(given) + all_calls != 1:
        raise UsageError("one of user, address, call-id and all says whose messages are wanted")
    if user is not None:
        return OfUser(user.removeprefix("sip:"))
    if call_id is not None:
        return OneCall(call_id)
    if address is not None:
        try:
            host, port = split_host_port(address, 0)
        except ValueError as error:
            raise UsageError(f"address: {error}") from None
        if not is_ip(host):
            raise UsageError(f"address: {address!r} is no IP address")
        return OfAddress(host, port or None)
    return Everything()
