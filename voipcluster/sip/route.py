"""
Route URIs of ours and the tokens in them: what any node needs to serve a later request, carried by the messages.

C{<sip:10.0.0.1:5060;lr;call=TOKEN>} is a Record-Route value of a dialog (RFC 3261 section 16.6 step 4);
C{<sip:[2001:db8::1]:5060;lr;call=TOKEN;node=b>} is one, too: at an address of node b that the others do not know, or of the
node that has the party's flow, where b has no address of that IP version;
C{<sip:10.0.0.1:5060;lr;flow=TOKEN>} asks the node that owns a flow to send over it (RFC 5626 section 5.3);
C{<sip:10.0.0.1:5060;lr;ho=TOKEN>} hands a request over (see L{voipcluster.balance.handover}).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import struct
from functools import lru_cache
from typing import NamedTuple

from voipcluster.address import TCP, TLS, UDP, WS, WSS, Flow, is_ip, join_host_port
from voipcluster.errors import ParseError, PeerError
from voipcluster.remember import remember
from voipcluster.seal import Sealer
from voipcluster.sip.uri import SipUri, parse_uri, unescape
from voipcluster.sip.values import parse_name_addr

Address = tuple[str, int]

_TRANSPORTS = (UDP, TCP, TLS, WS, WSS)
_FLOW_HEAD = struct.Struct("!BIIHH")  # transport and families, epoch, connection, local port, remote port
_ASKED = {WSS: "ws"}  # RFC 7118 section 5.2.1: there is no transport=wss
_EMPTY = b"\xff"
NODE = "node"  # parameter of a value with a call token: the node that serves the call, where the address does not say it
_OURS = re.compile(
    r"<sip:(?:([0-9.]{7,15})|\[([0-9a-f:]+)\]):([1-9][0-9]{0,4});lr((?:;[a-z]+=[A-Za-z0-9_\-]+)*)>"
)
_KEPT = 8192  # values in a cache of what later messages of a call ask for again


def route_value(address: Address, transport: str, token: str, secure: bool = False) -> str:
    """
    A Route or Record-Route value that names one of our nodes; C{token}: C{name=text}, or an empty string.

    @param secure: a sips URI, which asks for TLS by itself (RFC 5630 section 3.1.4); C{transport} is one that has it.
    """
    asked = "" if transport == UDP else f";transport={_ASKED.get(transport) or transport.lower()}"
    behind = f";{token}" if token else ""
    if secure:
        return f"<sips:{join_host_port(*address)};lr{'' if transport == TLS else asked}{behind}>"
    return f"<sip:{join_host_port(*address)};lr{asked}{behind}>"


def route_uri(value: str) -> SipUri:
    """
    The URI of one Route value.

    @raise ParseError: neither name-addr nor a SIP URI.
    """
    ours = _OURS.fullmatch(value)
    if ours is None or int(ours[3]) > 65535 or (ours[2] is not None and not is_ip(ours[2])):
        return parse_uri(parse_name_addr(value).uri)
    # as route_value() writes it: no need for the whole grammar, on the path of every ACK and BYE
    host4, host6, port, params = ours.groups()
    pairs = [("lr", None), *(tuple(pair.split("=", 1)) for pair in params.split(";")[1:])]
    return SipUri("sip", host4 or host6, None, None, int(port), tuple(pairs))


@lru_cache(_KEPT)
def _packed(host: str) -> bytes:
    return ipaddress.ip_address(host).packed


@lru_cache(_KEPT)
def _unpacked(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))


def pack_flow(flow: Flow, epoch: int) -> bytes:
    """A flow and the boot epoch (0 to 2**32 - 1) of the node that owns it, in 21 octets for IPv4."""
    local, remote = _packed(flow.local[0]), _packed(flow.remote[0])
    head = (
        _TRANSPORTS.index(flow.transport)
        | (0x80 if len(local) == 16 else 0)
        | (0x40 if len(remote) == 16 else 0)
    )
    packed = _FLOW_HEAD.pack(
        head, epoch & 0xFFFFFFFF, flow.connection & 0xFFFFFFFF, flow.local[1], flow.remote[1]
    )
    return packed + local + remote


def unpack_flow(packed: bytes, start: int = 0) -> tuple[Flow, int, int]:
    """
    @return: the flow, the epoch of its owner, and where the next field starts.
    @raise PeerError: cut short.
    """
    try:
        head, epoch, connection, local_port, remote_port = _FLOW_HEAD.unpack_from(packed, start)
        position = start + _FLOW_HEAD.size
        hosts = []
        for long in (head & 0x80, head & 0x40):
            size = 16 if long else 4
            if position + size > len(packed):
                raise ValueError("cut short")
            hosts.append(_unpacked(packed[position : position + size]))
            position += size
        flow = Flow(_TRANSPORTS[head & 0x0F], (hosts[0], local_port), (hosts[1], remote_port), connection)
    except (struct.error, ValueError, IndexError):
        raise PeerError("broken flow in a token", 403) from None
    return flow, epoch, position


class FlowTokens:
    """Flow tokens as in RFC 5626 section 5.2: self-contained, signed, worthless to another cluster."""

    def __init__(self, cluster_key: bytes) -> None:
        self._sealer = Sealer(cluster_key, b"flow")

    def seal(self, flow: Flow, epoch: int) -> str:
        return self._sealer.seal(pack_flow(flow, epoch))

    def open(self, token: str) -> tuple[Flow, int]:
        """@raise PeerError: 403, altered or foreign (RFC 5626 section 5.3.1)."""
        flow, epoch, _ = unpack_flow(self._sealer.open(token))
        return flow, epoch


class Party(NamedTuple):
    """
    How one party of a dialog is reached.

    @ivar owner: SIP address of the node that owns the flow.
    @ivar contact: hash of host and port of its Contact; the flow serves while the Request-URI still names that.
    """

    owner: Address
    flow: Flow
    epoch: int
    contact: bytes


@remember(_KEPT)
def contact_hash(uri: str) -> bytes:
    """Four octets that tell one contact address of a dialog from another."""
    try:
        parsed = parse_uri(uri)
        key = f"{parsed.param('maddr') or parsed.host}:{parsed.port}"
    except ParseError:
        key = uri
    return hashlib.blake2s(key.encode("utf-8", "surrogateescape"), digest_size=4).digest()


@remember(_KEPT)
def place_hash(uri: str) -> bytes:
    """
    Sixteen octets for where a Contact or a proxy is and who is called there.

    So many that nobody finds a name of his own with the same ones: other than L{contact_hash}, they decide where requests may go.
    """
    try:
        parsed = parse_uri(uri)
        key = f"{unescape(parsed.user or '')}@{parsed.param('maddr') or parsed.host}:{parsed.port}"
    except ParseError:
        key = uri
    return hashlib.blake2s(key.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def place_of_route(value: str) -> bytes:
    """L{place_hash} of a Route or Record-Route value."""
    try:
        return place_hash(parse_name_addr(value).uri)
    except ParseError:
        return place_hash(value)


def dialog_hash(call_id: str, caller_tag: str) -> bytes:
    """Eight octets that bind a call token to its dialog and tell the caller's requests from the callee's."""
    text = f"{call_id}\n{caller_tag}".encode("utf-8", "surrogateescape")
    return hashlib.blake2s(text, digest_size=8).digest()


class CallToken(NamedTuple):
    """
    What a Record-Route value carries (design: calls live in the messages).

    @ivar dialog: L{dialog_hash} of Call-ID and the caller's tag.
    @ivar names: Call-ID and the caller's tag themselves; not in the token, but known for a while to the node that made it.
    @ivar caller: how the caller is reached, or L{None}: by its Contact; C{callee} likewise.
    @ivar place: eight octets of the L{place_hash} of that Contact of the caller when the INVITE came from there; one octet when
        its flow leads to a proxy; else empty. They stand behind all else, where a node that does not know of them does not look.
    """

    dialog: bytes
    caller: Party | None
    callee: Party | None
    names: tuple[str, str] | None = None
    place: bytes = b""


class CallTokens:
    """Seals and opens the tokens of Record-Route values."""

    def __init__(self, cluster_key: bytes) -> None:
        self._sealer = Sealer(cluster_key, b"call")
        # what we sealed and its ACK and BYE bring back, in two generations: taking the oldest one out of a dict each time is slow
        self._made: dict[str, CallToken] = {}
        self._made_before: dict[str, CallToken] = {}

    def seal(self, token: CallToken) -> str:
        parties = _pack_party(token.caller) + _pack_party(token.callee)
        text = self._sealer.seal(token.dialog + parties + token.place)
        if len(self._made) >= _KEPT:
            self._made_before, self._made = self._made, {}
        self._made[text] = token
        return text

    def open(self, text: str) -> CallToken:
        """@raise PeerError: 403, altered or foreign."""
        return self._made.get(text) or self._made_before.get(text) or self._open(text)

    def _open(self, text: str) -> CallToken:
        payload = self._sealer.open(text)
        caller, position = _unpack_party(payload, 8)
        callee, end = _unpack_party(payload, position)
        return CallToken(payload[:8], caller, callee, None, payload[end:])


@lru_cache(_KEPT)
def _pack_party(party: Party | None) -> bytes:
    if party is None:
        return _EMPTY
    host = _packed(party.owner[0])
    return (
        bytes([len(host)])
        + host
        + struct.pack("!H", party.owner[1])
        + party.contact
        + pack_flow(party.flow, party.epoch)
    )


def _unpack_party(payload: bytes, start: int) -> tuple[Party | None, int]:
    try:
        size = payload[start]
        if size == _EMPTY[0]:
            return None, start + 1
        position = start + 1 + size
        host = _unpacked(payload[start + 1 : position])
        (port,) = struct.unpack_from("!H", payload, position)
    except (struct.error, ValueError, IndexError):
        raise PeerError("broken call token", 403) from None
    contact = payload[position + 2 : position + 6]
    flow, epoch, end = unpack_flow(payload, position + 6)
    return Party((host, port), flow, epoch, contact), end
