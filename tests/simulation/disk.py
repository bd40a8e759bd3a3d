"""What outlives a simulated node: its state directory and its database, in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool
from twisted.internet.defer import Deferred, DeferredLock, maybeDeferred

from tests.simulation.node_reactor import EPOCH
from voipcluster.errors import UsageError
from voipcluster.net import certificates, roster
from voipcluster.net.roster import Member, Roster
from voipcluster.store.calls import CallStore, Change, Key, Loaded
from voipcluster.store.database import Database
from voipcluster.store.minutes import MinutesFile
from voipcluster.store.state import PRIMARY, SECONDARY, NodeState

LINK_PORT = 8787


class MemoryState(NodeState):
    """A state directory without one."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, -1)
        self._files: dict[str, bytes] = {}

    def read(self, name: str) -> bytes:
        if name not in self._files:
            raise UsageError(f"{self.path(name)}: not there")
        return self._files[name]

    def write(self, name: str, content: bytes) -> None:
        self._files[name] = content

    def lose(self, name: str) -> None:
        """As by hand, or by a copy that is put back and does not have it."""
        del self._files[name]


class MemoryDatabase(Database):
    """The real tables and statements, without a file and a thread."""

    def __init__(self) -> None:
        self.path, self._run, self._order = Path("memory"), _at_once, DeferredLock()
        self._engine = create_engine("sqlite://", poolclass=StaticPool)
        self._open()


def _at_once(work: Callable[[], Any]) -> Deferred[Any]:
    return maybeDeferred(work)


class MemoryCalls(CallStore):
    """The journal of calls without a file: each table as the JSON that it would be there."""

    def __init__(self) -> None:
        super().__init__(Path("memory"))
        self._texts: dict[Key, str] = {}
        self._written = 0.0
        self.seconds: Callable[[], float] = lambda: EPOCH

    def load(self) -> Loaded:
        calls = {key: json.loads(text) for key, text in self._texts.items()}
        self._texts.clear()
        return Loaded(calls, self._written)

    def write(self, changes: Sequence[Change]) -> None:
        for key, table in changes:
            if table is None:
                self._texts.pop(key, None)
            else:
                former = json.loads(self._texts.get(key, "{}"))
                self._texts[key] = json.dumps(former | table)
        self.touch()

    def touch(self) -> None:
        self._written = self.seconds()


class MemoryMinutes(MinutesFile):
    """What was counted today, without a file."""

    def __init__(self) -> None:
        super().__init__(Path("memory"))
        self._kept: dict[str, int] = {}

    def read(self, day: str) -> dict[str, int]:
        return {key: count for key, count in self._kept.items() if key.endswith(day)}

    def write(self, day: str, counts: Mapping[str, int]) -> None:
        self._kept.update(counts)


class Disk:
    """@ivar state: C{database}: what the node finds when it starts."""

    def __init__(self, state: MemoryState) -> None:
        self.state = state
        self.certificate = x509.load_pem_x509_certificate(state.read("node.pem"))
        self.database = MemoryDatabase()
        self.calls = MemoryCalls()
        self.minutes = MemoryMinutes()
        self.run = _at_once

    def start(self) -> None:
        """As the thread of L{voipcluster.services.node.store.NodeStore}: there is none."""

    def close(self) -> None:
        pass


def found_cluster(seed: object, members: Sequence[tuple[str, str]]) -> list[Disk]:
    """
    The disks of nodes that have founded and joined a cluster.

    @param members: name and IP address of each, the primary first.
    """
    cluster = "simulated"
    ca, ca_key = certificates.create_ca(cluster, EPOCH)
    keys = [certificates.new_key() for _ in members]
    roles = [PRIMARY] + [SECONDARY] * (len(members) - 1)
    entries = tuple(
        Member(name, role, address, LINK_PORT, certificates.key_digest(key.public_key()))
        for (name, address), role, key in zip(members, roles, keys, strict=True)
    )
    signed = roster.sign(Roster(cluster, 1, entries), ca_key)
    disks = []
    for member, key in zip(entries, keys, strict=True):
        who = (cluster, member.name, member.role)
        certificate = certificates.issue(ca, ca_key, key.public_key(), who, EPOCH)
        files = {
            "ca.pem": certificates.certificate_to_pem(ca),
            "node.pem": certificates.certificate_to_pem(certificate),
            "node.key": certificates.key_to_pem(key),
            "cluster.key": hashlib.sha256(f"{seed}".encode()).digest(),
        }
        if member.role == PRIMARY:
            files["ca.key"] = certificates.key_to_pem(ca_key)
        state = MemoryState(Path("/simulated") / member.name)
        state.enter(cluster, member.name, member.role, signed, files)
        disks.append(Disk(state))
    return disks
