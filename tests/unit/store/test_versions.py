"""Which state of a value counts."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred, fail

from tests.unit.store.database_case import DatabaseCase, Later
from voipcluster.balance.messages import Account
from voipcluster.store.accounts import Accounts, new_account
from voipcluster.store.database import Database, Statement
from voipcluster.store.versions import REMEMBERED

ALICE = evolve(new_account("alice", "example.com", "old"), version=5)
NEWER = evolve(new_account("alice", "example.com", "new"), version=6)
GONE = Account(username="alice", domain="example.com", removed=True, version=7)


class VersionsTests(DatabaseCase):
    now = 1000.0

    def accounts(self, shared: bool = True, database: Database | None = None) -> Accounts:
        return Accounts(database or self.open(), lambda: self.now, shared)

    def has(self, accounts: Accounts) -> Account | None:
        return accounts.get("alice", "example.com")

    def test_an_older_one_that_comes_late(self) -> None:
        """It changes nothing, neither in memory nor on the disk."""
        accounts = self.accounts()
        self.successResultOf(accounts.put(NEWER))
        self.successResultOf(accounts.put(ALICE))
        for one in (accounts, self.accounts()):
            self.assertEqual(self.has(one), NEWER)

    def test_two_that_are_being_written(self) -> None:
        """The newer one counts, although the older one is written behind it."""
        later = Later()
        accounts = self.accounts(database=self.open(later))
        accounts.put(NEWER)
        accounts.put(ALICE)
        while later.waiting:
            later.work()
        self.assertEqual(self.has(accounts), NEWER)

    def test_what_was_removed(self) -> None:
        """It stays removed for what is older, also behind a restart; a newer one brings it back."""
        accounts = self.accounts()
        self.successResultOf(accounts.put(ALICE))
        self.successResultOf(accounts.put(GONE))
        for one in (accounts, self.accounts()):
            self.successResultOf(one.put(NEWER))
            self.assertIsNone(self.has(one))
            self.assertEqual(list(one.with_removed()), [GONE])
        back = evolve(NEWER, version=8)
        self.successResultOf(accounts.put(back))
        for one in (accounts, self.accounts()):
            self.assertEqual(list(one.with_removed()), [back])

    def test_a_removal_is_forgotten_at_last(self) -> None:
        accounts = self.accounts()
        self.successResultOf(accounts.put(GONE))
        self.now += REMEMBERED + 1
        self.successResultOf(accounts.put(evolve(GONE, username="bob")))
        self.assertEqual([one.username for one in self.accounts().with_removed()], ["bob"])

    def test_the_next_version(self) -> None:
        """The time in microseconds, but greater than the one before, whatever the clock says."""
        accounts = self.accounts()
        self.assertEqual(accounts.stamped(ALICE).version, 1_000_000_000)
        self.successResultOf(accounts.put(accounts.stamped(ALICE)))
        self.assertEqual(accounts.stamped(ALICE).version, 1_000_000_001)
        self.now = 10.0
        self.assertEqual(accounts.stamped(ALICE).version, 1_000_000_001)

    def test_a_disk_that_refuses(self) -> None:
        """What could not be written may come again."""
        database = self.open()
        accounts = self.accounts(database=database)
        write = database.write
        self.patch(database, "write", lambda *statements: fail(OSError("full")))
        self.failureResultOf(accounts.put(NEWER), OSError)
        self.patch(database, "write", write)
        self.successResultOf(accounts.put(NEWER))
        self.assertEqual(self.has(accounts), NEWER)

    def failing(self, *which: int) -> Accounts:
        """Whose writes are done by L{work} only, and of which those of these numbers, from 0 on, fail."""
        database, begun = self.open(), iter(range(99))
        write = database.write
        self.under_way: list[Deferred[None]] = []

        def ordered(*statements: Statement) -> Deferred[None]:
            number = next(begun)
            done: Deferred[None] = Deferred()
            self.under_way.append(done)
            return done.addCallback(
                lambda _: fail(OSError("full")) if number in which else write(*statements)
            )

        self.patch(database, "write", ordered)
        return self.accounts(database=database)

    def work(self) -> None:
        while self.under_way:
            self.under_way.pop(0).callback(None)

    def test_the_first_of_two_is_not_written(self) -> None:
        """What is written behind it counts, and nothing that is older comes afterwards."""
        accounts = self.failing(0)
        first, second = accounts.put(ALICE), accounts.put(evolve(NEWER, version=9))
        self.work()
        self.failureResultOf(first, OSError)
        self.successResultOf(second)
        accounts.put(evolve(ALICE, version=8))
        self.work()
        for one in (accounts, self.accounts()):
            self.assertEqual(self.has(one), evolve(NEWER, version=9))

    def test_neither_of_two_is_written(self) -> None:
        """Both may come again, in their order."""
        accounts = self.failing(1, 2)
        accounts.put(ALICE)
        self.work()
        failed = [accounts.put(NEWER), accounts.put(evolve(NEWER, version=9))]
        self.work()
        for one in failed:
            self.failureResultOf(one, OSError)
        accounts.put(NEWER)
        self.work()
        for one in (accounts, self.accounts()):
            self.assertEqual(self.has(one), NEWER)

    def test_the_second_of_two_is_not_written(self) -> None:
        accounts = self.failing(1)
        accounts.put(NEWER)
        failed = accounts.put(evolve(NEWER, version=9))
        self.work()
        self.failureResultOf(failed, OSError)
        accounts.put(ALICE)  # older than the one that is there
        self.work()
        self.assertEqual(self.has(accounts), NEWER)
        accounts.put(evolve(ALICE, version=8))
        self.work()
        self.assertEqual(self.has(accounts), evolve(ALICE, version=8))

    def test_removed_and_back_at_once(self) -> None:
        """A removal that is still being written is forgotten with what brings its account back, on the disk too."""
        accounts = self.failing()
        back = evolve(NEWER, version=8)
        accounts.put(GONE)
        accounts.put(back)
        self.work()
        for one in (accounts, self.accounts()):
            self.assertEqual(list(one.with_removed()), [back])

    def test_without_a_shared_database(self) -> None:
        """The primary decides alone: what it says counts, also when its state directory is an older one."""
        accounts = self.accounts(shared=False)
        self.successResultOf(accounts.put(NEWER))
        self.successResultOf(accounts.put(ALICE))
        self.assertEqual(self.has(accounts), ALICE)

    def test_a_node_that_tells_no_versions(self) -> None:
        """It is of an earlier release, and what it says counts."""
        accounts = self.accounts()
        self.successResultOf(accounts.put(NEWER))
        self.successResultOf(accounts.put(evolve(ALICE, version=0)))
        self.assertEqual(self.has(accounts), evolve(ALICE, version=0))
