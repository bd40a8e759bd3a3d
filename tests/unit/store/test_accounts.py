"""Accounts: what is kept of a password, what counts when, and what a restart brings back."""

from __future__ import annotations

import hashlib

from attrs import evolve
from twisted.internet.defer import fail
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.store.database_case import DatabaseCase, Later
from voipcluster.balance.messages import Account, Preference, PreferenceChange
from voipcluster.errors import UsageError
from voipcluster.sip.preferences import Place, Preferences
from voipcluster.store.accounts import Accounts, imported_account, new_account, shown


def md5_of(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class ShownTests(SynchronousTestCase):
    def test_no_digest_is_told(self) -> None:
        """Which there are, and not what they are."""
        account = imported_account("old", "example.com", "0" * 32, "")
        self.assertEqual(
            shown(evolve(account, disabled=True)),
            {"user": "old@example.com", "digests": ["MD5"], "disabled": True},
        )


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

    def test_who_may_not_register_any_more(self) -> None:
        """A removed or disabled account is told of when that is durable, however the node has heard of it; older news is none."""
        later, told = Later(), list[str]()
        accounts = Accounts(self.open(later), shared=True)
        accounts.unusable = told.append
        alice, bob = (evolve(new_account(name, "Example.COM", "pw"), version=5) for name in ("alice", "bob"))
        accounts.put(alice, bob)
        later.work()
        self.assertIsNotNone(accounts.get("bob", "example.com"))
        for account, expected in (
            (evolve(alice, removed=True, version=4), []),
            (evolve(bob, version=6), []),
            (evolve(bob, disabled=True, version=7), ["bob@example.com"]),
            (evolve(alice, removed=True, version=8), ["alice@example.com"]),
        ):
            put = accounts.put(account)
            self.assertEqual(told, [])
            while later.waiting:
                later.work()
            self.successResultOf(put)
            self.assertEqual(told, expected)
            told.clear()
        accounts.keep_only([])
        later.work()
        self.assertEqual(told, ["bob@example.com"])

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

    def wants(self, accounts: Accounts, **texts: str) -> None:
        items = tuple(Preference(name=name.replace("_", "."), text=text) for name, text in texts.items())
        change = PreferenceChange(username="bob", domain="example.com", items=items)
        self.successResultOf(accounts.put(accounts.account_with(change)))

    def test_preferences(self) -> None:
        """Each is changed by itself, an empty text ends it, and all of it outlives a restart and a new password."""
        accounts = Accounts(self.open())
        self.successResultOf(accounts.put(new_account("bob", "example.com", "pw")))
        self.assertEqual(accounts.preferences, {})
        self.wants(accounts, forward_busy="carol", forward_always="dave")
        self.wants(accounts, forward_busy="+4930", forward_always="")
        expected = {"bob@example.com": Preferences(busy=Place("sip:+4930@example.com;user=phone"))}
        self.assertEqual(accounts.preferences, expected)
        self.successResultOf(accounts.put(accounts.account_with(new_account("bob", "example.com", "new"))))
        for one in (accounts, Accounts(self.open())):
            self.assertEqual(one.preferences, expected)
            self.assertEqual(one.ha1("bob", "example.com", "MD5"), md5_of("bob:example.com:new"))
        self.wants(accounts, forward_busy="")
        self.assertEqual((accounts.preferences, Accounts(self.open()).preferences), ({}, {}))

    def test_a_new_password_of_one_who_is_disabled(self) -> None:
        """He stays disabled; who is removed and added again is not."""
        accounts = Accounts(self.open())
        bob = new_account("bob", "example.com", "pw")
        self.successResultOf(accounts.put(evolve(bob, disabled=True)))
        for change, known in (
            (new_account("bob", "example.com", "new"), None),
            (Account(username="bob", domain="example.com", removed=True), None),
            (bob, bob.ha1[0].ha1),
        ):
            self.successResultOf(accounts.put(accounts.account_with(change)))
            self.assertEqual(accounts.ha1("bob", "example.com", "MD5"), known)

    def test_one_that_is_to_be_new(self) -> None:
        """Somebody else may have added him since it was asked for: he keeps his password then; later he can be added again."""
        accounts = Accounts(self.open())
        bob = new_account("bob", "example.com", "pw")
        self.successResultOf(accounts.put(accounts.account_with(evolve(bob, new=True))))
        self.assertEqual(accounts.get("bob", "example.com"), bob)
        late = evolve(new_account("bob", "Example.com", "other"), new=True)
        told = str(self.assertRaises(UsageError, accounts.account_with, late))
        self.assertIn("user bob@example.com exists already", told)
        self.successResultOf(accounts.put(Account(username="bob", domain="example.com", removed=True)))
        self.assertFalse(accounts.account_with(late).new)

    def test_preferences_go_with_their_user(self) -> None:
        """Who is added again later starts without any."""
        accounts = Accounts(self.open())
        bob = new_account("bob", "example.com", "pw")
        self.successResultOf(accounts.put(bob))
        self.wants(accounts, forward_busy="carol")
        self.successResultOf(accounts.keep_only([]))
        self.successResultOf(accounts.put(bob))
        self.assertEqual((accounts.preferences, Accounts(self.open()).preferences), ({}, {}))

    def test_preferences_that_are_none(self) -> None:
        """Neither for nobody nor what no user can want; nothing has changed then."""
        accounts = Accounts(self.open())
        wish = Preference(name="forward.busy", text="carol")
        change = PreferenceChange(username="bob", domain="example.com", items=(wish,))
        self.assertIn(
            "no user bob@example.com", str(self.assertRaises(UsageError, accounts.account_with, change))
        )
        self.successResultOf(accounts.put(new_account("bob", "example.com", "pw")))
        for name, text in (("forward.busy", "a b"), ("forward.lazy", "carol"), ("forward.lazy", "")):
            self.assertRaises(
                UsageError,
                accounts.account_with,
                evolve(change, items=(wish, Preference(name=name, text=text))),
            )
        self.assertEqual(accounts.preferences, {})

    def test_preferences_of_a_newer_primary(self) -> None:
        """What this version does not know is kept, and nobody minds; what it cannot read is said."""
        accounts = Accounts(self.open())
        bob = new_account("bob", "example.com", "pw")
        items = (Preference(name="forward.busy", text="carol"), Preference(name="hologram", text="yes"))
        self.successResultOf(accounts.put(evolve(bob, preferences=items)))
        self.assertEqual(accounts.preferences["bob@example.com"].busy, Place("sip:carol@example.com"))
        again = Accounts(self.open()).get("bob", "example.com")
        assert again is not None
        self.assertEqual(set(again.preferences), set(items))
        broken = evolve(bob, preferences=(Preference(name="find-me", text="in a newer way"),))
        with capturedLogs() as logs:
            self.successResultOf(accounts.put(broken))
        self.assertIn("preferences of {user}@{domain} are left out", logs[0]["log_format"])
        self.assertEqual(accounts.preferences, {})

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

    def test_names(self) -> None:
        """A domain is the same in any case, a user name is not (RFC 3261 section 19.1.4)."""
        accounts = Accounts(self.open())
        self.successResultOf(accounts.put(new_account("Alice", "Example.com", "pw")))
        self.assertIsNotNone(accounts.get("Alice", "EXAMPLE.COM"))
        self.assertIsNone(accounts.get("alice", "example.com"))
        self.successResultOf(accounts.keep_only([("Alice", "EXAMPLE.com")]))
        self.assertEqual(len(accounts), 1)

    def test_a_disk_that_is_full(self) -> None:
        """A change that was not written does not count, neither here nor after a restart."""
        database = self.open()
        accounts = Accounts(database)
        self.successResultOf(accounts.put(new_account("alice", "example.com", "pw")))
        self.patch(database, "write", lambda *statements: fail(OSError("disk full")))
        gone = evolve(new_account("alice", "example.com", "pw"), removed=True)
        self.failureResultOf(accounts.put(gone, new_account("bob", "example.com", "pw")), OSError)
        for one in (accounts, Accounts(self.open())):
            self.assertEqual([account.username for account in one], ["alice"])

    def test_an_algorithm_that_is_not_kept(self) -> None:
        """There is no H(A1) for it, and none of a user who does not exist."""
        accounts = Accounts(self.open())
        self.successResultOf(accounts.put(new_account("alice", "example.com", "pw")))
        self.assertIsNone(accounts.ha1("alice", "example.com", "SHA-512-256"))
        self.assertIsNone(accounts.ha1("bob", "example.com", "MD5"))

    def test_an_account_of_an_older_cluster(self) -> None:
        """One with H(A1) for MD5 alone keeps it, and has none for SHA-256."""
        account = new_account("alice", "example.com", "pw")
        self.successResultOf(Accounts(self.open()).put(evolve(account, ha1=account.ha1[:1])))
        again = Accounts(self.open())
        self.assertEqual(again.ha1("alice", "example.com", "MD5"), account.ha1[0].ha1)
        self.assertIsNone(again.ha1("alice", "example.com", "SHA-256"))

    def test_imported(self) -> None:
        """What another server knows of a password; nothing that is no digest, and no name that is none."""
        accounts = Accounts(self.open())
        self.successResultOf(accounts.put(imported_account("alice", "Example.com", "0f" * 16, "")))
        self.assertEqual(accounts.ha1("alice", "example.com", "MD5"), "0f" * 16)
        self.assertIsNone(accounts.ha1("alice", "example.com", "SHA-256"))
        for bad in (
            ("a b", "example.com", "0f" * 16, ""),
            ("alice", "", "0f" * 16, ""),
            ("alice", "example.com", "", ""),
            ("alice", "example.com", "0F" * 16, ""),
            ("alice", "example.com", "0f" * 16, "0f"),
        ):
            self.assertRaises(UsageError, imported_account, *bad)
