"""Accounts and registrations in the embedded database."""

from __future__ import annotations

import hashlib
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import classImplements
from zope.interface.verify import verifyObject

from voipcluster.errors import UsageError
from voipcluster.services.sip.writebehind import ILocationStore
from voipcluster.sip.location import Binding
from voipcluster.store.accounts import Accounts, new_account
from voipcluster.store.database import Database
from voipcluster.store.location import Locations


class Later:
    """Work of another thread that is done when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, work: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.waiting.append((work, done))
        return done

    def work(self) -> None:
        work, done = self.waiting.pop(0)
        execute(work).chainDeferred(done)


class DatabaseCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def open(self, run: Any = execute) -> Database:
        database = Database(self.path, run)
        self.addCleanup(database.close)
        return database


class File(DatabaseCase):
    def test_it_is_private(self) -> None:
        """It holds what digest needs of passwords, so nobody else reads it."""
        self.successResultOf(Accounts(self.open()).put(new_account("alice", "example.com", "pw")))
        for path in self.path.parent.glob(self.path.name + "*"):
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)

    def test_damage_is_one_line(self) -> None:
        """What is no database, and a database of a newer version, give one line that names the file."""
        self.path.write_bytes(b"rubbish" * 1000)
        error = str(self.assertRaises(UsageError, self.open))
        self.assertIn(str(self.path), error)
        self.assertNotIn("\n", error)
        self.path.unlink()
        self.open().close()
        with sqlite3.connect(self.path) as connection:
            connection.execute("update version set table_version = 99 where table_name = 'subscriber'")
        connection.close()
        error = str(self.assertRaises(UsageError, self.open))
        self.assertIn("99", error)
        self.assertIn(str(self.path), error)

    def test_a_damaged_page_is_found(self) -> None:
        """Damage inside the file is found when it is opened, not when it is used."""
        accounts = Accounts(self.open())
        self.successResultOf(accounts.put(*(new_account(f"u{n}", "example.com", "pw") for n in range(500))))
        with sqlite3.connect(self.path) as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
        connection.close()
        octets = bytearray(self.path.read_bytes())
        for page in range(2, len(octets) // 4096 - 1):
            octets[page * 4096 : page * 4096 + 64] = b"\xff" * 64
        self.path.write_bytes(octets)
        self.assertIn(str(self.path), str(self.assertRaises(UsageError, self.open)))

    def test_writes_keep_their_order(self) -> None:
        """One write is under way at a time, also when there are more threads."""
        later = Later()
        accounts = Accounts(self.open(later))
        first = accounts.put(new_account("alice", "example.com", "one"))
        second = accounts.put(evolve(new_account("alice", "example.com", "one"), removed=True))
        self.assertEqual(len(later.waiting), 1)
        later.work()
        self.successResultOf(first)
        self.assertNoResult(second)
        later.work()
        self.successResultOf(second)
        self.assertEqual(len(Accounts(self.open())), 0)


class TheAccounts(DatabaseCase):
    def test_ha1_and_no_password(self) -> None:
        """H(A1) is H(user:realm:password) for MD5 and SHA-256 (RFC 7616 section 3.4.2); the password is nowhere."""
        account = new_account("alice", "Example.COM", "s3cret-word")
        accounts = Accounts(self.open())
        self.successResultOf(accounts.put(account))
        a1 = b"alice:example.com:s3cret-word"
        self.assertEqual(accounts.ha1("alice", "example.com", "MD5"), hashlib.md5(a1).hexdigest())
        self.assertEqual(accounts.ha1("alice", "EXAMPLE.com", "SHA-256"), hashlib.sha256(a1).hexdigest())
        for path in self.path.parent.glob(self.path.name + "*"):
            self.assertNotIn(b"s3cret-word", path.read_bytes())
        self.assertNotIn("s3cret-word", repr(account))
        self.assertNotIn(hashlib.md5(a1).hexdigest(), repr(account))

    def test_a_change_counts_when_it_is_durable(self) -> None:
        """Nobody logs in with an account that a crash would take away."""
        later = Later()
        accounts = Accounts(self.open(later))
        put = accounts.put(new_account("alice", "example.com", "pw"))
        self.assertIsNone(accounts.get("alice", "example.com"))
        later.work()
        self.successResultOf(put)
        self.assertIsNotNone(accounts.get("alice", "example.com"))

    def test_accounts_survive_a_restart(self) -> None:
        """Added, changed, disabled and removed accounts are the same ones later."""
        accounts = Accounts(self.open())
        alice, bob, carol = (new_account(name, "example.com", "pw") for name in ("alice", "bob", "carol"))
        self.successResultOf(accounts.put(alice, bob, carol))
        self.successResultOf(
            accounts.put(new_account("alice", "example.com", "new"), evolve(carol, removed=True))
        )
        self.successResultOf(accounts.put(evolve(bob, disabled=True)))
        again = Accounts(self.open())
        self.assertEqual(set(again), set(accounts))
        self.assertEqual({account.username for account in again}, {"alice", "bob"})
        self.assertEqual(again.get("alice", "example.com"), new_account("alice", "example.com", "new"))
        self.assertIsNone(again.ha1("bob", "example.com", "MD5"))

    def test_keep_only(self) -> None:
        """After a full copy, what the primary did not name is gone."""
        accounts = Accounts(self.open())
        self.successResultOf(accounts.put(*(new_account(name, "example.com", "pw") for name in "abc")))
        self.successResultOf(accounts.keep_only({("b", "example.com")}))
        self.assertEqual([account.username for account in Accounts(self.open())], ["b"])

    def test_bad_names_and_passwords(self) -> None:
        """What cannot stand in a SIP address is refused, without the password in the text."""
        for username, domain, password in (("", "example.com", "pw"), ("a b", "example.com", "pw"), ("a", "", "pw"),
                                           ("a", "ex ample", "pw"), ("a", "example.com", ""), ("a:b", "e.com", "hidden"),
                                           ("x'; drop table subscriber; --", "e.com", "hidden")):  # fmt: skip
            error = self.assertRaises(UsageError, new_account, username, domain, password)
            self.assertNotIn("hidden", str(error))


ALICE = Binding(
    aor="alice@example.com", contact="sip:alice@192.0.2.1:5060;x='\"", expires_at=1000.0, registered_at=400.0, call_id="c1",
    cseq=7, q=0.5, params=";+sip.ice", path=("<sip:p1;lr>", "<sip:p2;lr>"), user_agent="phone/1", node="a",
    flow_token="token", source="udp:192.0.2.1:5060",
)  # fmt: skip


class TheLocations(DatabaseCase):
    def locations(self, now: float = 500.0) -> Locations:
        return Locations(self.open(), lambda: now)

    def test_it_is_what_the_registrar_wants(self) -> None:
        """The registrar writes to it behind its back."""
        classImplements(Locations, ILocationStore)
        verifyObject(ILocationStore, self.locations())

    def test_bindings_survive_a_restart(self) -> None:
        """Each field comes back, but the flow, which does not outlive the process."""
        other = evolve(ALICE, aor="bob@example.com", instance="<urn:uuid:1>", reg_id=2, path=())
        self.successResultOf(self.locations().save([ALICE, other]))
        self.assertEqual(set(self.successResultOf(self.locations().load())), {ALICE, other})

    def test_save_replaces_and_remove_removes(self) -> None:
        """Rows are those of one address of record and key; unknown keys are passed over."""
        locations = self.locations()
        self.successResultOf(locations.save([ALICE]))
        newer = evolve(ALICE, cseq=8, expires_at=2000.0)
        self.successResultOf(locations.save([newer]))
        self.assertEqual(self.successResultOf(locations.load()), [newer])
        self.successResultOf(locations.remove([("nobody@example.com", "x"), (ALICE.aor, ALICE.key)]))
        self.assertEqual(self.successResultOf(locations.load()), [])

    def test_nothing_to_do(self) -> None:
        """Empty batches are fine."""
        self.successResultOf(self.locations().save([]))
        self.successResultOf(self.locations().remove([]))

    def test_expired_ones_are_gone(self) -> None:
        """What ran out while the node was down is neither loaded nor kept."""
        self.successResultOf(self.locations().save([ALICE]))
        self.assertEqual(self.successResultOf(self.locations(now=1000.0).load()), [])
        self.assertEqual(self.successResultOf(self.locations(now=500.0).load()), [])
