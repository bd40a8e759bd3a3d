"""
Messages of nfnetlink to nf_tables and back, as octets (C{linux/netfilter/nfnetlink.h}, C{nf_tables.h}).

Only what the relay's table needs: tables, and the elements of maps. Numbers in attributes are in network order, the headers
and marks in that of the host. What the kernel says is read with its lengths checked, although it is the kernel.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from voipcluster.errors import ParseError

NFT = 10  # NFNL_SUBSYS_NFTABLES
INET = 1  # NFPROTO_INET
NEW_TABLE, GET_TABLE, DEL_TABLE = 0, 1, 2
NEW_ELEMENT, GET_ELEMENT, DEL_ELEMENT = 12, 13, 14
GET_GENERATION = 16
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
NLMSG_ERROR, NLMSG_DONE = 2, 3
REQUEST, ACK, ECHO, DUMP, CREATE = 0x1, 0x4, 0x8, 0x300, 0x400
INTERRUPTED = 0x10  # NLM_F_DUMP_INTR
OWNER, PERSIST = 0x2, 0x4  # NFT_TABLE_F_*
LONGEST_COMMENT = 254  # octets with the NUL; its length is one octet

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_NESTED, _TYPE = 0x8000, 0x3FFF


class Message(NamedTuple):
    """C{kind} is one of the constants above, or C{NLMSG_*} with C{is_control}; C{body} follows the nfnetlink header."""

    kind: int
    flags: int
    sequence: int
    body: bytes
    is_control: bool = False


class MapElement(NamedTuple):
    """
    One element of a map. C{packets} and C{octets} are -1 without a counter, C{expires} is in seconds or L{None}.
    """

    key: bytes
    value: bytes
    packets: int = -1
    octets: int = -1
    comment: str = ""
    expires: float | None = None


# writing


def attribute(kind: int, payload: bytes) -> bytes:
    return _ATTRIBUTE.pack(4 + len(payload), kind) + payload + b"\0" * (-len(payload) % 4)


def nested(kind: int, payload: bytes) -> bytes:
    return attribute(kind | _NESTED, payload)


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode("ascii") + b"\0")


def comment(value: str) -> bytes:
    """User data as nft itself writes it for C{comment "..."}: type 0, length, text with its NUL."""
    octets = value.encode("ascii") + b"\0"
    assert len(octets) <= LONGEST_COMMENT, "comments are made short"
    return bytes([0, len(octets)]) + octets


def message(kind: int, flags: int, sequence: int, body: bytes = b"", family: int = INET) -> bytes:
    """One request; the family is in the nfnetlink header."""
    return (
        _HEADER.pack(20 + len(body), NFT << 8 | kind, REQUEST | flags, sequence, 0)
        + struct.pack(">BBH", family, 0, 0)
        + body
    )


def batch(messages: Iterable[bytes], generation: int | None = None) -> bytes:
    """
    A transaction: all of it or nothing.

    @param generation: it is refused (C{ERESTART}) when anything in nf_tables has changed since this one.
    """
    begin = b"" if generation is None else attribute(1, struct.pack(">I", generation))
    subsystem = struct.pack(">BBH", 0, 0, NFT)
    return (
        _HEADER.pack(20 + len(begin), _BATCH_BEGIN, REQUEST, 0, 0)
        + subsystem
        + begin
        + b"".join(messages)
        + _HEADER.pack(20, _BATCH_END, REQUEST, 0, 0)
        + subsystem
    )


def table(name: str, flags: int | None = None, note: str = "") -> bytes:
    """Body of a message about a table."""
    body = text(1, name)
    if flags is not None:
        body += attribute(2, struct.pack(">I", flags))
    return body + (attribute(6, comment(note)) if note else b"")


def element(
    key: bytes,
    value: bytes = b"",
    *,
    timeout: float = 0.0,
    note: str = "",
    counted: tuple[int, int] | None = None,
) -> bytes:
    """
    One element for L{elements}.

    @param value: empty where only the key counts: to delete it.
    @param timeout: seconds, 0 for none.
    @param counted: packets and octets that the counter begins with.
    """
    parts = nested(1, attribute(1, key))
    if value:
        parts += nested(2, attribute(1, value))
    if timeout:
        parts += attribute(4, struct.pack(">Q", round(timeout * 1000)))
    if note:
        parts += attribute(6, comment(note))
    if counted is not None:
        packets, octets = counted
        numbers = attribute(1, struct.pack(">Q", octets)) + attribute(2, struct.pack(">Q", packets))
        parts += nested(7, text(1, "counter") + nested(2, numbers))
    return nested(1, parts)


def elements(table_name: str, map_name: str, *members: bytes) -> bytes:
    """Body of a message about elements of one map."""
    named = text(1, table_name) + text(2, map_name)
    return named + (nested(3, b"".join(members)) if members else b"")


# reading


def messages(octets: bytes) -> Iterator[Message]:
    """
    What one read from the socket holds.

    @raise ParseError: a length that does not fit.
    """
    at, end = 0, len(octets)
    while at < end:
        if end - at < _HEADER.size:
            raise ParseError("netlink message is cut in its header")
        size, kind, flags, sequence, _ = _HEADER.unpack_from(octets, at)
        if not _HEADER.size <= size <= end - at:
            raise ParseError(f"netlink message of {size} octets in {end - at}")
        is_control = kind >> 8 == 0
        skipped = _HEADER.size if is_control else _HEADER.size + 4
        yield Message(
            kind if is_control else kind & 0xFF, flags, sequence, octets[at + skipped : at + size], is_control
        )
        at += (size + 3) & ~3


def attributes(octets: bytes) -> dict[int, bytes]:
    """
    The attributes of one level, without their flags; of several of one type the last.

    @raise ParseError: a length that does not fit.
    """
    return dict(each_attribute(octets))


def each_attribute(octets: bytes) -> Iterator[tuple[int, bytes]]:
    at, end = 0, len(octets)
    while end - at >= 4:
        size, kind = _ATTRIBUTE.unpack_from(octets, at)
        if not 4 <= size <= end - at:
            raise ParseError(f"netlink attribute of {size} octets in {end - at}")
        yield kind & _TYPE, octets[at + 4 : at + size]
        at += (size + 3) & ~3


def error_of(said: Message) -> int:
    """The C{errno} of an acknowledgement, 0 when all is well."""
    if len(said.body) < 4:
        raise ParseError("netlink acknowledgement is cut")
    number: int = struct.unpack_from("=i", said.body)[0]
    return -number


def number(octets: bytes) -> int:
    """An attribute in network order."""
    return int.from_bytes(octets, "big")


def read_text(octets: bytes) -> str:
    return octets.split(b"\0", 1)[0].decode("ascii", "replace")


def read_comment(user_data: bytes) -> str:
    """The comment in user data, empty when there is none."""
    at = 0
    while len(user_data) - at >= 2:
        kind, size = user_data[at], user_data[at + 1]
        if kind == 0:
            return read_text(user_data[at + 2 : at + 2 + size])
        at += 2 + size
    return ""


def read_elements(body: bytes) -> Iterator[MapElement]:
    """
    The elements in a message about them.

    @raise ParseError: a length that does not fit.
    """
    for kind, member in each_attribute(attributes(body).get(3, b"")):
        if kind == 1:
            yield _read_element(member)


def _read_element(member: bytes) -> MapElement:
    parts = attributes(member)
    packets = octets = -1
    if 7 in parts:
        expression = attributes(parts[7])
        if expression.get(1, b"").startswith(b"counter\0"):
            counter = attributes(expression.get(2, b""))
            octets, packets = number(counter.get(1, b"")), number(counter.get(2, b""))
    return MapElement(
        attributes(parts.get(1, b"")).get(1, b""),
        attributes(parts.get(2, b"")).get(1, b""),
        packets,
        octets,
        read_comment(parts.get(6, b"")),
        number(parts[5]) / 1000 if 5 in parts else None,
    )
