"""The part of nf_tables that the relay's table needs, in memory, behind sockets that speak its octets."""

from __future__ import annotations

import copy
import errno
import struct
from collections import deque
from typing import Any

from attrs import define, field

from voipcluster.net.nft import wire

CONTROL = struct.Struct("=IHHII")
BEGIN, END = 0x10, 0x11


@define
class FakeTable:
    flags: int = 0
    comment: str = ""
    owner: object = None
    maps: dict[str, dict[bytes, wire.MapElement]] = field(factory=dict)


@define(eq=False, slots=False)
class FakeNftables:
    """
    @ivar persist: whether tables can outlive their owner, as since Linux 6.9.
    @ivar denied: the C{errno} of every request, 0 for none.
    @ivar interfere: called before each batch: what others do in the meantime.
    @ivar hidden: keys of elements that no listing shows, as when others were deleted while it was made.
    """

    tables: dict[str, FakeTable] = field(factory=dict)
    generation: int = 1
    persist: bool = True
    denied: int = 0
    sockets: list[FakeNetlink] = field(factory=list)
    interfere: Any = lambda: None
    hidden: set[bytes] = field(factory=set)

    def connect(self) -> Any:
        opened = FakeNetlink(self)
        self.sockets.append(opened)
        return opened

    def fill(self, commands: str) -> None:
        for line in commands.splitlines():
            words = line.split()
            if words[:2] == ["add", "map"]:
                self.tables[words[3]].maps[words[4]] = {}
        self.generation += 1

    def packet(self, table: str, name: str, packets: int, octets: int = 0) -> None:
        """All elements of a map count so many more."""
        elements = self.tables[table].maps[name]
        for key, one in elements.items():
            elements[key] = one._replace(packets=one.packets + packets, octets=one.octets + octets)


class FakeNetlink:
    """A socket: what it is sent is answered at once, one read a message, as dumps are."""

    def __init__(self, nftables: FakeNftables) -> None:
        self._nftables = nftables
        self._queue: deque[bytes] = deque()

    def fileno(self) -> int:
        return 7

    def close(self) -> None:
        if self not in self._nftables.sockets:
            return
        self._nftables.sockets.remove(self)
        for table in self._nftables.tables.values():
            if table.owner is self:
                table.owner = None
                table.flags &= ~wire.OWNER

    def recv(self, size: int) -> bytes:
        if not self._queue:
            raise BlockingIOError
        return self._queue.popleft()

    def send(self, octets: bytes) -> None:
        requests = list(wire.messages(octets))
        if self._nftables.denied:
            self._acknowledge(requests[0].sequence, self._nftables.denied)
        elif requests[0].is_control:
            self._batch(requests)
        else:
            self._answer(requests[0])

    def _acknowledge(self, sequence: int, error: int) -> None:
        self._queue.append(
            CONTROL.pack(36, wire.NLMSG_ERROR, 0, sequence, 0) + struct.pack("=i", -error) + bytes(16)
        )

    def _answer(self, request: wire.Message) -> None:
        asked = wire.attributes(request.body)
        if request.kind == wire.GET_GENERATION:
            body = wire.attribute(1, struct.pack(">I", self._nftables.generation))
            self._queue.append(wire.message(15, 0, request.sequence, body))
            return
        if request.kind == wire.GET_TABLE:
            for name, table in self._nftables.tables.items():
                body = wire.table(name, table.flags, table.comment)
                body += wire.attribute(3, struct.pack(">I", len(table.maps)))
                self._queue.append(wire.message(wire.NEW_TABLE, 2, request.sequence, body))
        else:
            table_name, name = wire.read_text(asked[1]), wire.read_text(asked[2])
            if name not in getattr(self._nftables.tables.get(table_name), "maps", {}):
                self._acknowledge(request.sequence, errno.ENOENT)
                return
            for one in self._nftables.tables[table_name].maps[name].values():
                if one.key in self._nftables.hidden:
                    continue
                body = wire.elements(table_name, name, _shown(one))
                self._queue.append(wire.message(wire.NEW_ELEMENT, 2, request.sequence, body))
        self._queue.append(CONTROL.pack(20, wire.NLMSG_DONE, 2, request.sequence, 0) + bytes(4))

    def _batch(self, requests: list[wire.Message]) -> None:
        nftables = self._nftables
        nftables.interfere()
        before = copy.copy(nftables.tables), {n: copy.deepcopy(t.maps) for n, t in nftables.tables.items()}
        wanted = wire.attributes(requests[0].body[4:]).get(1)
        if wanted is not None and wire.number(wanted) != nftables.generation:
            self._acknowledge(0, errno.ERESTART)
            return
        said: list[bytes] = []
        for request in requests[1:-1]:
            error = self._change(request, said)
            if error:
                nftables.tables = before[0]
                for name, maps in before[1].items():
                    nftables.tables[name].maps = maps
                self._acknowledge(request.sequence, error)
                return
            if request.flags & wire.ACK:
                said.append(CONTROL.pack(36, wire.NLMSG_ERROR, 0, request.sequence, 0) + bytes(20))
        nftables.generation += 1
        self._queue.extend(said)

    def _change(self, request: wire.Message, said: list[bytes]) -> int:
        tables, parts = self._nftables.tables, wire.attributes(request.body)
        name = wire.read_text(parts[1])
        table = tables.get(name)
        if table is not None and table.owner not in {None, self}:
            return errno.EPERM
        if request.kind == wire.NEW_TABLE:
            flags = wire.number(parts[2])
            if flags & wire.PERSIST and not self._nftables.persist:
                return errno.EOPNOTSUPP
            if table is None:
                if not request.flags & wire.CREATE:
                    return errno.ENOENT
                table = tables[name] = FakeTable(flags, wire.read_comment(parts.get(6, b"")))
            if flags & wire.OWNER:
                table.flags, table.owner = flags, self
            return 0
        if table is None:
            return errno.ENOENT
        if request.kind == wire.DEL_TABLE:
            del tables[name]
            return 0
        return _change_elements(table, request, parts, said)


def _change_elements(
    table: FakeTable, request: wire.Message, parts: dict[int, bytes], said: list[bytes]
) -> int:
    map_name = wire.read_text(parts[2])
    present = table.maps.get(map_name)
    if present is None:
        return errno.ENOENT
    for one in wire.read_elements(request.body):
        if request.kind == wire.NEW_ELEMENT:
            if one.key in present and present[one.key].value != one.value:
                return errno.EEXIST
            counts = map_name == "sport" or map_name.startswith("stream")  # so the ruleset says
            present.setdefault(
                one.key, one._replace(packets=0, octets=0) if counts and one.packets < 0 else one
            )
        elif one.key not in present:
            return errno.ENOENT
        else:
            gone = present.pop(one.key)
            if request.flags & wire.ECHO:
                body = wire.elements(wire.read_text(parts[1]), map_name, _shown(gone))
                said.append(wire.message(wire.DEL_ELEMENT, 0, 0, body))
    return 0


def _shown(one: wire.MapElement) -> bytes:
    counted = None if one.packets < 0 else (one.packets, one.octets)
    return wire.element(one.key, one.value, note=one.comment, counted=counted)
