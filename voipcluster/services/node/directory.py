"""Accounts and gateways of a node and the shared database, joined: who reads, who writes, and what is shown of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from voipcluster.balance.messages import Account, StoredGateway
from voipcluster.seal import Concealer
from voipcluster.services.directory.following import DirectoryFollower, IDirectoryUser
from voipcluster.services.directory.listening import ChangeListener
from voipcluster.services.directory.writing import NAME, DirectoryWriter, body_of
from voipcluster.services.gateway.merging import faults_of_changes
from voipcluster.services.records.forwarding import RecordForwarder
from voipcluster.store.accounts import account_key, key_of_text
from voipcluster.store.database import Statement
from voipcluster.store.directory import ACCOUNT, Known, SharedDirectory
from voipcluster.store.shared import SharedDatabase, SharedRecords
from voipcluster.store.tables import outbox
from voipcluster.store.triggers import CHANNEL
from voipcluster.web.view import Row

if TYPE_CHECKING:
    from voipcluster.services.node.parts import NodeParts

MOST_QUEUED = 1_000_000  # changes that may wait; what is given up is found again when everything is compared


@implementer(IDirectoryUser)
class NodeDirectory:
    """
    There is one where C{database.url} is set. The database has a thread and a connection of its own for this, so that a long
    queue of call records keeps no account waiting.

    @ivar follower: reads; C{forwarder}: writes, at the primary, which alone decides what the cluster's own changes are.
    """

    _log = Logger()

    def __init__(self, node: NodeParts, reactor: Any, open_shared: Callable[[Any], SharedDatabase]) -> None:
        self._node, self._reactor = node, reactor
        self._threads = ThreadPool(1, 1, "voipcluster-directory")
        self._database = database = open_shared(self._elsewhere)
        clock = IReactorTime(reactor)
        seal = Concealer(node.core.cluster_key, b"gateway password")
        directory = SharedDirectory(database, node.core.names.domains, seal, clock.seconds)
        listener = ChangeListener(IReactorFDSet(reactor), lambda: database.listen(CHANNEL))
        self.follower = DirectoryFollower(clock, directory, listener, self)
        self.forwarder: RecordForwarder | None = None
        if node.state.is_primary:
            writer = DirectoryWriter(self._value, directory.write)
            self.forwarder = RecordForwarder(
                clock, node.keeping.log, writer, MOST_QUEUED, "changes of accounts and gateways"
            )

    def _elsewhere(self, work: Callable[[], Any]) -> Deferred[Any]:
        return deferToThreadPool(self._reactor, self._threads, work)

    # -- life

    def parts(self) -> list[Any]:
        return [self.follower] if self.forwarder is None else [self.forwarder, self.follower]

    def start(self) -> None:
        self._threads.start()

    def hurry(self) -> None:
        """The node stops, and does not wait for a database that says nothing."""
        self._database.hurry()

    def close(self) -> None:
        """Waits for what the database is asked."""
        if self._threads.started:
            self._threads.stop()
        self._database.close()

    # -- from the database (IDirectoryUser)

    def known(self) -> Known:
        node = self._node
        return Known(node.accounts.versions.known.copy(), node.stored_gateways.versions.known.copy())

    def gateway_faults(self, gateways: Sequence[StoredGateway]) -> Mapping[str, str]:
        node = self._node
        found = faults_of_changes(node.config.gateways, node.stored_gateways, gateways)
        return {name: text.removeprefix(f"gateway {name} of the database: ") for name, text in found.items()}

    def adopt(self, kind: str, values: Sequence[Any]) -> Deferred[None]:
        return self._node.cluster.adopt(kind, values)

    def is_behind(self, keys: Sequence[tuple[str, Any]]) -> Deferred[None] | None:
        if self.forwarder is None:
            return None  # the primary sees it, too
        rows = [_queued(kind, "@".join(key) if isinstance(key, tuple) else key) for kind, key in keys]
        self._log.info("{count} accounts and gateways go into the shared database", count=len(rows))
        return self._node.queue(insert(outbox), rows).addCallback(lambda _: self.poke())

    def is_back(self) -> None:
        records = [one for one in self._node.keeping.forwarders if one.name == SharedRecords.name]
        for forwarder in (*records, *([] if self.forwarder is None else [self.forwarder])):
            forwarder.poke(at_once=True)

    # -- to the database

    def queued(self, kind: str, values: Sequence[Any]) -> list[Statement]:
        """What puts a change that was decided on here into the queue, in the transaction that stores it."""
        if self.forwarder is None or not values:
            return []
        return [(insert(outbox), [_queued(kind, _text(value)) for value in values])]

    def poke(self) -> None:
        """There is something in the queue."""
        if self.forwarder is not None:
            self.forwarder.poke()

    def _value(self, kind: str, key: str) -> Any | None:
        node = self._node
        if kind == ACCOUNT:
            username, domain = key_of_text(key)
            account = node.accounts.get(username, domain)
            version = node.accounts.versions.removed.get((username, domain))
            if account is not None or version is None:
                return account
            return Account(username=username, domain=domain, removed=True, version=version)
        gateway, version = node.stored_gateways.get(key), node.stored_gateways.versions.removed.get(key)
        if gateway is not None or version is None:
            return gateway
        return StoredGateway(name=key, removed=True, version=version)

    # -- shown

    def numbers(self) -> dict[str, float]:
        """For F{/metrics}, as L{numbers_of} names them."""
        return {
            "up": 0.0 if self.follower.trouble else 1.0,
            "changes_waiting": 0 if self.forwarder is None else self.forwarder.waiting,
            "faults": len(self.follower.faults),
        }

    def shown(self) -> Row:
        """For C{voipctl status}: why it is gone, how many changes wait for it, and what is wrong with its rows."""
        waiting = 0 if self.forwarder is None else self.forwarder.waiting
        return {"trouble": self.follower.trouble, "waiting": waiting, "faults": self.follower.told()}


def numbers_of(directory: NodeDirectory | None) -> dict[str, dict[str, float]]:
    """For F{/metrics}; without a shared database there are none."""
    found = {} if directory is None else directory.numbers()
    return {
        f"voipcluster_directory_{name}": {"shared": found[name]} if found else {}
        for name in ("up", "changes_waiting", "faults")
    }


def _queued(kind: str, key: str) -> dict[str, str]:
    return {"consumer": NAME, "body": body_of(kind, key)}


def _text(value: Account | StoredGateway) -> str:
    return value.name if isinstance(value, StoredGateway) else "@".join(account_key(value))
