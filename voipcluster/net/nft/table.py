"""
The relay's own nftables table: made, taken over from an earlier process, changed, and read.

It belongs to this process alone where the kernel can do so (C{owner}), and outlives it (C{persist}, Linux 6.9), so that media
flows on while the process restarts. The table's comment says which marks are its own: several nodes may share a machine.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence

from voipcluster.errors import UsageError
from voipcluster.media.offload import Crossing
from voipcluster.net.nft import wire
from voipcluster.net.nft.elements import Relayed, joined, keys, mark_in, members, octets_of
from voipcluster.net.nft.load import load
from voipcluster.net.nft.ruleset import MAPS, VERSION, commands
from voipcluster.net.nft.socket import NftError, NftSocket, Table, open_netlink

PREFIX = "voipcluster_"
LIFETIME = 1800.0  # seconds for which the kernel relays on by itself
_SLOTS = 256  # nodes on one machine
_COMMENT = re.compile(r"voipcluster (\d+) marks 0x([0-9a-f]{8})")
_OURS = wire.OWNER | wire.PERSIST
_TRIES = 16  # when others change nf_tables at the same time


class KernelUnavailable(UsageError):
    """The kernel cannot relay here; one line says why."""


class Marked(Exception):
    """Somebody else changed nf_tables between looking and writing: look again."""


def table_name(host: str, first_port: int) -> str:
    """The name of a relay's table: two relays cannot share the same ports."""
    return PREFIX + re.sub(r"[^0-9a-z]", "_", host.lower()) + f"_{first_port}"


class NftTable:
    """
    @param name: see L{table_name}.
    @param prefix: upper octet of the marks that this program uses.
    @param size: the most elements of one map.
    @param connect: gives a netlink socket to nf_tables.
    @param fill: puts the rules into a table that is empty, see L{load}.
    @ivar found: what an earlier process left there, which the kernel relays still.
    @ivar owned: whether nobody else can change the table.
    @ivar base: the marks of this table, with the lower 16 bits 0.
    """

    def __init__(
        self,
        name: str,
        prefix: int,
        size: int,
        connect: Callable[[], socket.socket] = open_netlink,
        fill: Callable[[str], None] = load,
    ) -> None:
        self.name, self._prefix, self._size = name, prefix, size
        self.connect, self._fill = connect, fill
        self.found: list[Relayed] = []
        self.owned, self.base = False, 0
        self._socket: NftSocket | None = None

    # making

    def open(self) -> None:
        """
        Make the table, or take it over with all that it relays.

        @raise KernelUnavailable: not possible here, or another process has the table.
        """
        self.found = []
        try:
            for _ in range(_TRIES):
                self.close()
                self._socket = NftSocket(self.connect())
                try:
                    self._open(self._socket)
                except Marked:
                    continue
                return
            raise KernelUnavailable("other programs keep changing nftables")
        except OSError as error:
            self.close()
            raise KernelUnavailable(_reason(error)) from error
        except BaseException:
            self.close()
            raise

    def _open(self, nft: NftSocket) -> None:
        generation = nft.generation()
        tables = nft.tables()
        present = next((table for table in tables if table.name == self.name), None)
        if present is not None:
            known = _COMMENT.fullmatch(present.comment)
            self._claim(nft, present)
            if known is not None and present.used and int(known[1]) == VERSION:
                self.base = int(known[2], 16)
                if self.base >> 24 == self._prefix:
                    self.owned = bool(present.flags & wire.PERSIST)
                    self._read_found(nft)
                    return
            if present.used:
                self._read_found(nft)
            nft.transact([(wire.DEL_TABLE, 0, wire.table(self.name))])
            raise Marked
        self._remove_orphans(nft, tables, generation)
        self._make(nft, tables, nft.generation())
        if self.found:
            self.apply([(one.crossing, one.label) for one in self.found])

    def _claim(self, nft: NftSocket, present: Table) -> None:
        """Become the owner of a table whose owner has gone."""
        if present.flags & wire.PERSIST:
            try:
                nft.transact([(wire.NEW_TABLE, 0, wire.table(self.name, _OURS))])
            except NftError as error:
                if error.errno in {errno.EPERM, errno.EEXIST, errno.EBUSY}:
                    text = f"another process has the nftables table {self.name}"
                    raise KernelUnavailable(text) from error
                raise

    def _make(self, nft: NftSocket, tables: Sequence[Table], generation: int) -> None:
        slots = {int(known[2], 16) for t in tables if (known := _COMMENT.fullmatch(t.comment)) is not None}
        wanted = (self._prefix << 24 | slot << 16 for slot in range(_SLOTS))
        self.base = next((base for base in wanted if base not in slots), 0)
        if not self.base:
            raise KernelUnavailable(f"all marks 0x{self._prefix:02x}...... are taken by other nodes")
        note = f"voipcluster {VERSION} marks {self.base:#010x}"
        creating = NftSocket(
            self.connect()
        )  # the owner must be gone, for libnftables has a socket of its own
        try:
            self.owned = True
            try:
                _create(creating, self.name, _OURS, note, generation)
            except NftError as error:
                if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL}:
                    raise
                self.owned = False
                _create(creating, self.name, 0, note, generation)
        except NftError as error:
            if error.errno in {errno.ERESTART, errno.EEXIST}:
                raise Marked from error
            raise
        finally:
            creating.close()
        try:
            self._fill(commands(self.name, self.base, self._size))
            if self.owned:
                nft.transact([(wire.NEW_TABLE, 0, wire.table(self.name, _OURS))])
        except OSError as error:
            if error.errno == errno.ENOENT:
                raise Marked from error  # swept away by another node, which took it for an orphan
            nft.transact([(wire.DEL_TABLE, 0, wire.table(self.name))])
            raise

    def _read_found(self, nft: NftSocket) -> None:
        self.found, strays = joined({name: nft.elements(self.name, name) for name in MAPS})
        self._delete(nft, strays)

    def _delete(self, nft: NftSocket, strays: Iterable[tuple[str, bytes]]) -> None:
        requests = [
            (wire.DEL_ELEMENT, 0, wire.elements(self.name, name, wire.element(key))) for name, key in strays
        ]
        if requests:
            nft.transact(requests)

    def _remove_orphans(self, nft: NftSocket, tables: Iterable[Table], generation: int) -> None:
        """Tables of nodes that were killed and relay nothing any more: they cost each packet a look-up."""
        empty = [
            table.name
            for table in tables
            if table.name.startswith(PREFIX)
            and table.flags & _OURS == wire.PERSIST  # without an owner
            and table.used
            and not any(nft.elements(table.name, name) for name in ("stream4", "stream6"))
        ]
        if empty:
            requests = [(wire.DEL_TABLE, 0, wire.table(name)) for name in empty]
            try:
                nft.transact(requests, generation)
            except NftError as error:
                raise Marked from error

    def close(self) -> None:
        """Let go of the table; it relays on, for L{LIFETIME}."""
        nft, self._socket = self._socket, None
        if nft is not None:
            nft.close()

    def remove(self) -> None:
        """Delete the table with all that it relays, and let go of it. A table that is not open is fine."""
        if self._socket is None:
            return
        try:
            self._nft.transact([(wire.DEL_TABLE, 0, wire.table(self.name))])
        except NftError as error:
            if error.errno != errno.ENOENT:
                raise
        finally:
            self.close()

    def sweep(self) -> None:
        """
        Delete what an earlier process left, where nothing is to be relayed by the kernel any more: it would go on with
        calls that nobody knows. Not being able to is fine: who cannot see nftables cannot have left something there.
        """
        try:
            nft = self._socket = NftSocket(self.connect())
            present = next((table for table in nft.tables() if table.name == self.name), None)
            if present is not None:
                self._claim(nft, present)
                self.remove()
        except (OSError, KernelUnavailable):
            pass
        finally:
            self.close()

    @property
    def _nft(self) -> NftSocket:
        assert self._socket is not None, "the table is open"
        return self._socket

    # changing

    def apply(
        self,
        add: Sequence[tuple[Crossing, str]],
        remove: Sequence[Crossing] = (),
        counted: Mapping[Crossing, tuple[int, int]] | None = None,
    ) -> dict[Crossing, tuple[int, int]]:
        """
        Begin to relay, and cease to, in one transaction.

        @param add: with the label of its call each; one that is also in C{remove} begins anew.
        @param counted: packets and octets of RTP that counters in C{add} begin with.
        @return: the last packets and octets of RTP of each that was removed.
        @raise NftError: nothing was changed; C{ENOENT} when the table or what is to be removed is not there.
        """
        requests = []
        for name, gone in _by_map(keys(self.base, crossing) for crossing in remove):
            flags = wire.ECHO if name.startswith("stream") else 0
            requests.append((wire.DEL_ELEMENT, flags, wire.elements(self.name, name, *gone)))
        made = (
            members(self.base, crossing, timeout=LIFETIME, label=label, counted=(counted or {}).get(crossing))
            for crossing, label in add
        )
        for name, added in _by_map(made):
            requests.append((wire.NEW_ELEMENT, wire.CREATE, wire.elements(self.name, name, *added)))
        said = self._nft.transact(requests)
        ended = {
            mark_in(one.value): one
            for message in said
            if message.kind == wire.DEL_ELEMENT
            for one in wire.read_elements(message.body)
        }
        last = {}
        for crossing in remove:
            one = ended.get(self.base | crossing.entry.port)
            if one is not None:
                last[crossing] = max(0, one.packets), octets_of(crossing.family, one.packets, one.octets)
        return last

    def clear(self, crossing: Crossing) -> None:
        """
        Delete what is there of one direction, map by map: for where L{apply} found that some of it is gone.

        @raise NftError: for another reason than that it is not there.
        """
        for name, gone in _by_map([keys(self.base, crossing)]):
            try:
                self._nft.transact([(wire.DEL_ELEMENT, 0, wire.elements(self.name, name, *gone))])
            except NftError as error:
                if error.errno != errno.ENOENT:
                    raise

    def relayed(self) -> list[Relayed]:
        """
        All that the kernel relays for this table now, with counters; reads it at once, some 20 us a direction.

        @raise NftError: the table is gone.
        """
        return joined({name: self._nft.elements(self.name, name) for name in MAPS})[0]


def _by_map(several: Iterable[Mapping[str, bytes]]) -> Iterable[tuple[str, list[bytes]]]:
    together: dict[str, list[bytes]] = {}
    for one in several:
        for name, member in one.items():
            together.setdefault(name, []).append(member)
    return together.items()


def _create(nft: NftSocket, name: str, flags: int, note: str, generation: int) -> None:
    nft.transact([(wire.NEW_TABLE, wire.CREATE, wire.table(name, flags, note))], generation)


def _reason(error: OSError) -> str:
    if error.errno == errno.EPERM:
        return "no right to change nftables (CAP_NET_ADMIN)"
    if error.errno in {errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.ENOENT, errno.EINVAL}:
        return f"this kernel has no nftables ({error.strerror})"
    return f"nftables refused: {error.strerror}"
