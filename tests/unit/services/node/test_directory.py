"""Accounts and gateways of a node joined to the shared database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, execute, fail, succeed
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.task import Clock
from twisted.python.threadpool import ThreadPool
from zope.interface import implementer

from tests.unit.services.node.test_gateway_view import Part
from tests.unit.store.database_case import DatabaseCase
from voipcluster.balance.messages import Account, StoredGateway
from voipcluster.services.node import directory as module
from voipcluster.services.node.directory import NodeDirectory
from voipcluster.store.acc import CallLog
from voipcluster.store.accounts import Accounts, new_account
from voipcluster.store.directory import Known, Reading
from voipcluster.store.gateways import Gateways
from voipcluster.store.shared import NotReachable

ALICE = evolve(new_account("alice", "example.com", "pw"), version=7)
GONE = Account(username="bob", domain="example.com", removed=True, version=9)
TRUNK = StoredGateway(name="trunk", servers=("192.0.2.1",), version=5)


@implementer(IReactorFDSet)
class Reactor(Clock):
    """Only its time passes here."""

    def addReader(self, reader: Any) -> None: ...
    def removeReader(self, reader: Any) -> None: ...
    def addWriter(self, writer: Any) -> None: ...
    def removeWriter(self, writer: Any) -> None: ...
    def removeAll(self) -> list[Any]:
        return []

    def getReaders(self) -> list[Any]:
        return []

    def getWriters(self) -> list[Any]:
        return []


class Shared:
    """A database that is gone, or takes what is written."""

    def __init__(self) -> None:
        self.written: list[Any] = []
        self.gone = False
        self.closed = self.hurried = False

    def transact(self, work: Any, snapshot: bool = False) -> Deferred[Any]:
        if self.gone:
            return fail(NotReachable("gone"))
        self.written += work.args[0]
        return succeed(None)

    def listen(self, channel: str) -> Deferred[Any]:
        return fail(NotReachable("gone"))

    def hurry(self) -> None:
        self.hurried = True

    def close(self) -> None:
        self.closed = True


class Forwarder:
    """Of call records."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.poked = 0

    def poke(self, at_once: bool = False) -> None:
        self.poked += at_once


class NodeDirectoryTests(DatabaseCase):
    def setUp(self) -> None:
        super().setUp()
        self.database = self.open()
        self.accounts = Accounts(self.database, lambda: 1000.0, shared=True)
        self.gateways = Gateways(self.database, lambda: 1000.0, shared=True)
        self.adopted: list[tuple[str, Sequence[Any]]] = []
        self.reactor, self.shared = Reactor(), Shared()
        self.forwarders: list[Forwarder] = [Forwarder("database"), Forwarder("webhook")]

    def directory(self, primary: bool = True) -> NodeDirectory:
        node: Any = Part(
            core=Part(cluster_key=b"k" * 32, names=Part(domains=("example.com",))),
            state=Part(is_primary=primary),
            keeping=Part(log=CallLog(self.database), forwarders=self.forwarders),
            accounts=self.accounts,
            stored_gateways=self.gateways,
            config=Part(gateways=()),
            cluster=Part(adopt=self.adopt),
            queue=lambda statement, rows: self.database.write((statement, rows)),
        )
        made = NodeDirectory(node, self.reactor, lambda run: self.shared)
        for part in made.parts():
            self.addCleanup(part.stopService)
        return made

    def adopt(self, kind: str, values: Sequence[Any]) -> Deferred[None]:
        self.adopted.append((kind, values))
        return succeed(None)

    def read_gateways(self, *rows: StoredGateway) -> tuple[set[StoredGateway], list[str]]:
        """What is adopted when the database has these, and the names of those that are not."""
        self.adopted.clear()
        follower = self.directory().follower
        faults: dict[tuple[str, Any], str] = {}
        for _ in follower._adopt_gateways(Reading(1, True, gateways=list(rows)), faults):
            pass
        return {one for _, values in self.adopted for one in values}, sorted(name for _, name in faults)

    def test_two_gateways_that_change_places(self) -> None:
        """Each is at the address that the other one had, and neither is mistaken for the other."""
        first, second = (
            StoredGateway(name=name, servers=(f"192.0.2.{n}",)) for n, name in enumerate("ab", 1)
        )
        self.successResultOf(self.gateways.put(first, second))
        swapped = [evolve(first, servers=second.servers), evolve(second, servers=first.servers)]
        self.assertEqual(self.read_gateways(*swapped), (set(swapped), []))
        self.assertEqual(self.read_gateways(swapped[0]), (set(), ["a"]))

    def test_one_that_cannot_give_way(self) -> None:
        """What is wrong stays as it was, and who would have had its place does, too; another one does not mind."""
        first, second = (
            StoredGateway(name=name, servers=(f"192.0.2.{n}",)) for n, name in enumerate("ab", 1)
        )
        self.successResultOf(self.gateways.put(first, second))
        wrong, follows = evolve(first, servers=("192.0.2.9:x",)), evolve(second, servers=first.servers)
        free = StoredGateway(name="c", servers=("192.0.2.3",))
        for rows in ((wrong, follows, free), (free, follows, wrong)):
            self.assertEqual(self.read_gateways(*rows), ({free}, ["a", "b"]))

    def test_two_new_ones_at_one_place(self) -> None:
        first, second = (StoredGateway(name=name, servers=("192.0.2.1",)) for name in "ab")
        self.assertEqual(self.read_gateways(first, second), ({first}, ["b"]))

    def test_a_change_of_ours(self) -> None:
        """It is in the queue with the account itself, and goes as it is when it is its turn; so does what is gone."""
        directory = self.directory()
        assert directory.forwarder is not None
        directory.forwarder.startService()
        self.successResultOf(self.accounts.put(ALICE, GONE, also=directory.queued("account", (ALICE, GONE))))
        self.successResultOf(self.gateways.put(TRUNK, also=directory.queued("gateway", (TRUNK,))))
        newer = evolve(ALICE, version=8)
        self.successResultOf(self.accounts.put(newer, also=directory.queued("account", (newer,))))
        directory.poke()
        self.assertEqual(self.shared.written, [newer, GONE, TRUNK])

    def test_the_queue_outlives_the_process(self) -> None:
        """What was decided while the database was gone goes there after a restart."""
        self.shared.gone = True
        directory = self.directory()
        assert directory.forwarder is not None
        directory.forwarder.startService()
        self.successResultOf(self.accounts.put(ALICE, also=directory.queued("account", (ALICE,))))
        directory.poke()
        self.assertEqual(directory.shown()["waiting"], 1)
        self.successResultOf(directory.forwarder.stopService())
        self.shared.gone = False
        again = self.directory()
        assert again.forwarder is not None
        again.forwarder.startService()
        self.assertEqual(self.shared.written, [ALICE])

    def test_it_is_back(self) -> None:
        """What waits does not wait for its next try, and neither do call records."""
        self.shared.gone = True
        directory = self.directory()
        assert directory.forwarder is not None
        directory.forwarder.startService()
        self.successResultOf(self.accounts.put(ALICE, also=directory.queued("account", (ALICE,))))
        directory.poke()
        self.shared.gone = False
        directory.is_back()
        self.assertEqual(self.shared.written, [ALICE])
        self.assertEqual([one.poked for one in self.forwarders], [1, 0])

    def test_a_secondary_decides_nothing(self) -> None:
        """It reads, and writes nothing."""
        directory = self.directory(primary=False)
        self.assertEqual(directory.queued("account", (ALICE,)), [])
        self.assertIsNone(directory.is_behind([("account", ("alice", "example.com"))]))
        self.assertEqual(directory.parts(), [directory.follower])

    def test_what_the_database_has_not(self) -> None:
        """The primary writes it: so the accounts of a cluster come into an empty database."""
        directory = self.directory()
        assert directory.forwarder is not None
        directory.forwarder.startService()
        self.successResultOf(self.accounts.put(ALICE))
        found = directory.is_behind([("account", ("alice", "example.com")), ("gateway", "unknown")])
        assert found is not None
        self.successResultOf(found)
        self.assertEqual(self.shared.written, [ALICE])

    def test_what_is_known(self) -> None:
        """As it is now, and not as it will be."""
        self.successResultOf(self.accounts.put(ALICE, GONE))
        self.successResultOf(self.gateways.put(TRUNK))
        directory = self.directory()
        known = directory.known()
        self.successResultOf(self.gateways.put(evolve(TRUNK, version=6)))
        users = {("alice", "example.com"): 7, ("bob", "example.com"): 9}
        self.assertEqual(known, Known(users, {"trunk": 5}))

    def test_gone_from_the_beginning(self) -> None:
        """The status says so, and nothing else is in the way."""
        directory = self.directory()
        self.patch(module, "deferToThreadPool", lambda reactor, threads, work: execute(work))
        self.patch(ThreadPool, "start", lambda threads: None)
        directory.start()
        directory.follower.startService()
        self.reactor.advance(0)
        self.assertEqual(directory.shown(), {"trouble": "gone", "waiting": 0, "faults": []})
        self.assertEqual(set(directory.numbers().values()), {0})
        directory.hurry()
        directory.close()
        self.assertTrue(self.shared.closed and self.shared.hurried)
