"""Between what the relay calls a crossing and the elements of the maps of its table; no sockets."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton

from attrs import frozen

from voipcluster.media.offload import Crossing
from voipcluster.media.target import Address
from voipcluster.net.nft.ruleset import MAPS
from voipcluster.net.nft.wire import MapElement, element

HEADERS = {4: 28, 6: 48}  # octets of IP and UDP headers, which nft counts and the relay does not


@frozen
class Relayed:
    """
    One direction that the kernel relays.

    @ivar label: see L{voipcluster.media.offload.label_of}.
    @ivar packets: as of the reading; C{octets} are those of RTP, without IP and UDP headers.
    @ivar expires: seconds until the kernel gives it up by itself, if nobody refreshes it.
    """

    crossing: Crossing
    label: str
    packets: int
    octets: int
    expires: float


def mark_of(base: int, crossing: Crossing) -> int:
    """
    The number of a stream: that of the port which its packets come to.

    A port number is one line's alone at one node, whatever its address or IP version.
    """
    return base | crossing.entry.port


def octets_of(family: int, packets: int, octets: int) -> int:
    """Octets of RTP in what a counter says."""
    return max(0, octets - packets * HEADERS[family])


def members(
    base: int, crossing: Crossing, *, timeout: float, label: str, counted: tuple[int, int] | None = None
) -> dict[str, bytes]:
    """
    The element of each map, by name, for L{voipcluster.net.nft.wire.elements}.

    @param timeout: seconds after which the stream ends by itself.
    @param counted: packets and octets of RTP that the counter begins with.
    """
    packets, octets = counted or (0, 0)
    family, mark = crossing.family, struct.pack("=I", mark_of(base, crossing))
    return {
        f"stream{family}": element(
            stream_key(crossing),
            mark,
            timeout=timeout,
            note=label,
            counted=(packets, octets + packets * HEADERS[family]),
        ),
        f"daddr{family}": element(mark, _host(crossing.target)),
        "dport": element(mark, _port(crossing.target)),
        f"saddr{family}": element(mark, _host(crossing.exit)),
        "sport": element(mark, _port(crossing.exit)),
    }


def keys(base: int, crossing: Crossing) -> dict[str, bytes]:
    """The same elements without what they map to, to delete them."""
    family, mark = crossing.family, struct.pack("=I", mark_of(base, crossing))
    by_mark = element(mark)
    return {
        f"stream{family}": element(stream_key(crossing)),
        f"daddr{family}": by_mark,
        "dport": by_mark,
        f"saddr{family}": by_mark,
        "sport": by_mark,
    }


def stream_key(crossing: Crossing) -> bytes:
    """Source and entry, each field filled up to four octets."""
    ends = (crossing.source, crossing.entry)
    return b"".join(part for end in ends for part in (_host(end), _port(end), b"\0\0"))


def mark_in(octets: bytes) -> int:
    """@param octets: the key or value that is a mark."""
    return int.from_bytes(octets, "little" if struct.pack("=H", 1) == b"\1\0" else "big")


def joined(maps: Mapping[str, Iterable[MapElement]]) -> tuple[list[Relayed], list[tuple[str, bytes]]]:
    """
    What a dump of all maps says.

    @return: what is whole, and map and key of each element that belongs to nothing.
    """
    by_mark = {
        name: {mark_in(e.key): e for e in maps.get(name, ())}
        for name in MAPS
        if not name.startswith("stream")
    }
    whole: list[Relayed] = []
    strays: list[tuple[str, bytes]] = []
    used: set[tuple[str, int]] = set()
    for family in (4, 6):
        for stream in maps.get(f"stream{family}", ()):
            mark = mark_in(stream.value)
            names = (f"daddr{family}", "dport", f"saddr{family}", "sport")
            found = [by_mark[name].get(mark) for name in names]
            ends = _ends(family, stream.key)
            if ends is None or None in found:
                strays.append((f"stream{family}", stream.key))
                continue
            used.update((name, mark) for name in names)
            to_host, to_port, from_host, from_port = (e.value for e in found if e is not None)
            crossing = Crossing(*ends, _address(from_host, from_port), _address(to_host, to_port))
            octets = octets_of(family, stream.packets, stream.octets)
            whole.append(
                Relayed(crossing, stream.comment, max(0, stream.packets), octets, stream.expires or 0.0)
            )
    strays += [
        (name, e.key)
        for name, found in by_mark.items()
        for mark, e in found.items()
        if (name, mark) not in used
    ]
    return whole, strays


def _host(address: Address) -> bytes:
    return inet_pton(AF_INET6 if address.family == 6 else AF_INET, address.host)


def _port(address: Address) -> bytes:
    return address.port.to_bytes(2, "big")


def _address(host: bytes, port: bytes) -> Address:
    return Address(inet_ntop(AF_INET6 if len(host) == 16 else AF_INET, host), int.from_bytes(port[:2], "big"))


def _ends(family: int, key: bytes) -> tuple[Address, Address] | None:
    size = 4 if family == 4 else 16
    if len(key) != 2 * (size + 4):
        return None
    halves = key[: size + 4], key[size + 4 :]
    source, entry = (_address(half[:size], half[size:]) for half in halves)
    return source, entry
