"""
What is read of the shared database, and what is written there; its triggers are in the integration tests, with a real server.

An embedded database takes its place here, with the few functions of PostgreSQL that are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve
from sqlalchemy import create_engine, delete, event, insert, select, update
from sqlalchemy.pool import StaticPool
from twisted.internet.defer import Deferred, execute
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.messages import Account, Preference, StoredGateway
from voipcluster.seal import Concealer
from voipcluster.store.accounts import account_key, new_account
from voipcluster.store.directory import Known, Reading, SharedDirectory
from voipcluster.store.tables import address, dispatcher, metadata, removed_rows, subscriber, usr_preferences
from voipcluster.store.versions import REMEMBERED

ALICE = evolve(new_account("alice", "example.com", "pw"), version=10)
WANTS = evolve(ALICE, preferences=(Preference(name="forward.busy", text="carol"),), version=11)
TRUNK = StoredGateway(
    name="trunk",
    servers=("192.0.2.1",),
    sources=("192.0.2.0/28",),
    password="sesame",
    auth_user="us",
    version=10,
)
NOTHING = Known({}, {})


class Shared:
    """Takes the place of a L{SharedDatabase <voipcluster.store.shared.SharedDatabase>}."""

    def __init__(self) -> None:
        self.engine = create_engine("sqlite://", poolclass=StaticPool)
        self.transaction = 100
        event.listen(self.engine, "connect", self._add_functions)
        metadata.create_all(self.engine)

    def _add_functions(self, connection: Any, record: object) -> None:
        connection.create_function("txid_current", 0, lambda: self.transaction)
        connection.create_function("txid_current_snapshot", 0, lambda: self.transaction)
        connection.create_function("txid_snapshot_xmin", 1, lambda snapshot: snapshot)
        connection.create_function("greatest", 2, max)
        connection.create_function("set_config", 3, lambda name, value, local: value)

    def transact(self, work: Callable[[Any], Any], snapshot: bool = False) -> Deferred[Any]:
        def run() -> Any:
            with self.engine.begin() as connection:
                return work(connection)

        return execute(run)

    def run(self, statement: Any, *rows: dict[str, Any]) -> list[Any]:
        with self.engine.begin() as connection:
            found = connection.execute(statement, list(rows)) if rows else connection.execute(statement)
            return list(found.all()) if found.returns_rows else []


class DirectoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.shared = Shared()
        self.addCleanup(self.shared.engine.dispose)
        self.directory = SharedDirectory(
            self.shared, ("example.com",), Concealer(b"k" * 32, b"x"), lambda: 1000.0
        )

    def write(self, *values: Account | StoredGateway) -> None:
        self.successResultOf(self.directory.write(values))

    def read(self, floor: int | None = None, known: Known = NOTHING) -> Reading:
        found: Reading = self.successResultOf(self.directory.read(floor, known))
        return found

    def test_what_is_written_is_read(self) -> None:
        self.write(WANTS, TRUNK)
        reading = self.read()
        self.assertEqual((reading.accounts, reading.gateways), ([WANTS], [TRUNK]))
        self.assertEqual((reading.whole, reading.floor, reading.faults, reading.behind), (True, 100, {}, []))

    def test_no_password_in_clear(self) -> None:
        """Nobody but the cluster can read what a gateway wants of us."""
        self.write(TRUNK)
        ((row,),) = self.shared.run(select(dispatcher.c.attrs))
        self.assertNotIn("sesame", row)
        other = SharedDirectory(self.shared, ("example.com",), Concealer(b"o" * 32, b"x"))
        reading = self.successResultOf(other.read(None, NOTHING))
        self.assertIn("another cluster", reading.faults["gateway", "trunk"])

    def test_an_older_write_changes_nothing(self) -> None:
        """The database has something newer, or knows that it is gone."""
        self.write(WANTS)
        self.write(ALICE)
        self.assertEqual(self.read().accounts, [WANTS])
        self.write(evolve(WANTS, removed=True, version=12))
        self.assertEqual(self.shared.run(select(subscriber)), [])
        self.assertEqual(self.shared.run(select(usr_preferences)), [])
        self.write(WANTS)
        (gone,) = self.read().accounts
        self.assertEqual(
            (gone.removed, gone.version, account_key(gone)), (True, 12, ("alice", "example.com"))
        )

    def meanwhile(self, first: str, statement: Any, row: Mapping[str, Any]) -> None:
        """Have somebody else write a row just before the first statement that begins like that."""

        left = [row]

        def write(connection: Any, cursor: Any, text: str, *rest: Any) -> None:
            if left and text.startswith(first):
                connection.execute(statement, dict(left.pop()))

        event.listen(self.shared.engine, "before_cursor_execute", write)

    def test_a_newer_row_that_comes_meanwhile(self) -> None:
        """A row that was not there yet could not be locked, and is newer all the same."""
        self.write(ALICE)
        (alice,) = self.shared.run(select(subscriber))
        self.write(TRUNK)
        (trunk,) = self.shared.run(select(dispatcher))
        self.shared.run(delete(subscriber))
        self.shared.run(delete(dispatcher))
        self.meanwhile("INSERT INTO subscriber", insert(subscriber), {**alice._mapping, "version": 50})
        self.write(evolve(ALICE, version=20))
        self.meanwhile("INSERT INTO dispatcher", insert(dispatcher), {**trunk._mapping, "version": 50})
        self.write(evolve(TRUNK, version=20))
        found = self.read()
        self.assertEqual([one.version for one in (*found.accounts, *found.gateways)], [50, 50])

    def test_a_newer_removal_of_what_was_not_there(self) -> None:
        """What somebody has removed since it was looked for is not brought back by an older state, nor is what belongs to it."""
        gone = {"version": 50, "removed_at": 1000.0, "changed": 100}
        for kind, key, value, table in (
            ("account", "alice@example.com", evolve(WANTS, version=20), "subscriber"),
            ("gateway", "trunk", evolve(TRUNK, version=20), "dispatcher"),
        ):
            self.meanwhile(f"INSERT INTO {table}", insert(removed_rows), {**gone, "kind": kind, "key": key})
            self.write(value)
        found = self.read()
        self.assertEqual(
            [(one.removed, one.version) for one in (*found.accounts, *found.gateways)], [(True, 50)] * 2
        )
        for left in (subscriber, dispatcher, usr_preferences, address):
            self.assertEqual(self.shared.run(select(left)), [])
        self.write(evolve(WANTS, version=60), evolve(TRUNK, version=60))
        self.assertEqual([one.version for one in (*self.read().accounts, *self.read().gateways)][:1], [60])

    def test_what_belongs_to_a_newer_row_that_comes_meanwhile(self) -> None:
        """Preferences and addresses are those of the row that stays, and not of the one that was too old."""
        dave, erin = (Preference(name="forward.busy", text=name) for name in ("dave", "erin"))
        newer = [
            evolve(WANTS, preferences=(dave,), version=50),
            evolve(TRUNK, sources=("192.0.2.64/28",), version=50),
        ]
        self.write(*newer)
        (alice,), (trunk,) = self.shared.run(select(subscriber)), self.shared.run(select(dispatcher))
        for table in (subscriber, dispatcher):
            self.shared.run(delete(table))
        self.meanwhile("INSERT INTO subscriber", insert(subscriber), alice._mapping)
        self.write(evolve(WANTS, preferences=(erin,), version=20))
        self.meanwhile("INSERT INTO dispatcher", insert(dispatcher), trunk._mapping)
        self.write(evolve(TRUNK, version=20))
        found = self.read()
        self.assertEqual([*found.accounts, *found.gateways], newer)

    def test_a_newer_row_that_comes_while_it_is_removed(self) -> None:
        self.write(ALICE)
        (alice,) = self.shared.run(select(subscriber))
        self.shared.run(delete(subscriber))
        self.meanwhile("DELETE FROM subscriber", insert(subscriber), {**alice._mapping, "version": 50})
        self.write(Account(username="alice", domain="example.com", removed=True, version=20))
        self.assertEqual([row.version for row in self.shared.run(select(subscriber))], [50])

    def test_a_newer_removal_that_comes_meanwhile(self) -> None:
        gone = {
            "kind": "account",
            "key": "alice@example.com",
            "version": 50,
            "changed": 1,
            "removed_at": 1000.0,
        }
        self.meanwhile("INSERT INTO removed_rows", insert(removed_rows), gone)
        self.write(Account(username="alice", domain="example.com", removed=True, version=20))
        self.assertEqual([row.version for row in self.shared.run(select(removed_rows))], [50])

    def test_a_removal_is_forgotten_at_last(self) -> None:
        """By the next that is written, whoever removed it."""
        self.write(evolve(ALICE, removed=True))
        later = SharedDirectory(
            self.shared, ("example.com",), Concealer(b"k" * 32, b"x"), lambda: 1001.0 + REMEMBERED
        )
        self.write(evolve(TRUNK, removed=True))
        self.assertEqual(len(self.shared.run(select(removed_rows))), 2)
        self.successResultOf(later.write([evolve(WANTS, username="bob", removed=True)]))
        self.assertEqual(self.shared.run(select(removed_rows.c.key)), [("bob@example.com",)])

    def test_a_gateway_is_removed(self) -> None:
        """With its addresses."""
        self.write(TRUNK)
        self.write(StoredGateway(name="trunk", removed=True, version=11))
        for table in (dispatcher, address):
            self.assertEqual(self.shared.run(select(table)), [])
        self.assertTrue(self.read().gateways[0].removed)
        self.write(evolve(TRUNK, version=12))
        self.assertEqual(self.shared.run(select(dispatcher.c.version)), [(12,)])

    def test_only_what_has_changed(self) -> None:
        """From the oldest transaction on that was under way at the last reading."""
        self.write(ALICE, TRUNK)
        self.shared.run(update(subscriber).values(changed=99))
        self.shared.run(update(dispatcher).values(changed=100))
        reading = self.read(100)
        self.assertEqual((reading.accounts, reading.gateways, reading.whole), ([], [TRUNK], False))

    def test_a_server_made_anew(self) -> None:
        """Its transactions are counted from the beginning, so everything is read."""
        self.write(ALICE)
        self.shared.transaction = 7
        reading = self.read(100)
        self.assertEqual((reading.accounts, reading.whole, reading.floor), ([ALICE], True, 7))

    def test_what_is_known_is_not_told(self) -> None:
        """And what the database has older, or not at all, is."""
        self.write(ALICE, TRUNK)
        known = Known({("alice", "example.com"): 10, ("bob", "example.com"): 3}, {"trunk": 11, "gone": 4})
        reading = self.read(None, known)
        self.assertEqual((reading.accounts, reading.gateways), ([], []))
        self.assertEqual(
            sorted(reading.behind, key=str),
            [("account", ("bob", "example.com")), ("gateway", "gone"), ("gateway", "trunk")],
        )
        self.assertEqual(self.read(0, known).behind, [("gateway", "trunk")])

    def test_wrong_rows(self) -> None:
        """Each says what is wrong with it, and the others are read."""
        self.write(ALICE, TRUNK)
        user = {
            "domain": "example.com", "ha1_sha256": "", "disabled": False, "created": 0.0, "last_modified": 0.0,
            "version": 5, "changed": 100,
        }  # fmt: skip
        self.shared.run(
            insert(subscriber),
            {**user, "username": "without", "ha1": ""},
            {**user, "username": "short", "ha1": "abc"},
            {**user, "username": "a b", "ha1": "a" * 32},
            {**user, "username": "far", "domain": "far.example", "ha1": "a" * 32},
            {**user, "username": "future", "ha1": "a" * 32, "version": 1 << 60},
            {**user, "username": "wish", "ha1": "a" * 32},
        )
        self.shared.run(
            insert(usr_preferences),
            {
                "username": "wish",
                "domain": "example.com",
                "attribute": "find-me",
                "value": "me me",
                "last_modified": 0.0,
            },
        )
        gateway = {
            "setid": 1, "flags": 0, "priority": 0, "description": "", "password": "", "last_modified": 0.0,
            "version": 5, "changed": 100, "destination": "sip:192.0.2.2", "attrs": "",
        }  # fmt: skip
        self.shared.run(
            insert(dispatcher),
            {**gateway, "name": "uri", "destination": "192.0.2.2"},
            {**gateway, "name": "mixed", "destination": "sip:192.0.2.2 sips:192.0.2.3"},
            {**gateway, "name": "json", "attrs": "{"},
            {**gateway, "name": "list", "attrs": "weight"},
            {**gateway, "name": "kind", "attrs": '{"probe": "often"}'},
            {**gateway, "name": "mask"},
            {**gateway, "name": "port"},
            {**gateway, "name": "fine", "attrs": "duid=fine;maxload=3", "flags": 32, "password": "by-sql"},
        )
        self.shared.run(
            insert(address),
            {"grp": 1, "ip_addr": "192.0.2.300", "mask": 32, "port": 0, "tag": "mask"},
            {"grp": 1, "ip_addr": "192.0.2.3", "mask": 32, "port": 5060, "tag": "port"},
            {"grp": 1, "ip_addr": "2001:db8::7", "mask": None, "port": 0, "tag": "fine"},
            {"grp": 1, "ip_addr": "192.0.2.3", "mask": 32, "port": 0, "tag": "stray"},
        )
        reading = self.read()
        self.assertEqual(reading.accounts, [ALICE])
        fine = StoredGateway(
            name="fine", servers=("192.0.2.2",), sources=("2001:db8::7/128",), channels=3, probe=0.0,
            password="by-sql", version=5,
        )  # fmt: skip
        self.assertEqual(sorted(reading.gateways, key=lambda one: one.name), [fine, TRUNK])
        self.assertEqual(reading.strays, ["stray"])
        told = {key if isinstance(key, str) else key[0]: text for (_, key), text in reading.faults.items()}
        self.assertEqual(
            {name: text.split()[0] for name, text in told.items()},
            {
                "without": "has", "short": "its", "a b": "not", "far": "far.example", "future": "version",
                "wish": "find-me:", "uri": "destination", "mixed": "destination:", "json": "attrs", "list": "attribute",
                "kind": "gateway.probe:", "mask": "address", "port": "address",
            },
        )  # fmt: skip
        for text in told.values():
            self.assertNotIn("\n", text)

    def test_a_switch_of_the_file(self) -> None:
        """A gateway of the file that is switched off has no options of its own."""
        switch = StoredGateway(name="of-file", switch=True, enabled=False, version=10)
        self.write(switch)
        self.assertEqual(self.read().gateways, [switch])

    def test_removals_are_kept_apart(self) -> None:
        """A user and a gateway may have the same name."""
        self.write(
            evolve(ALICE, removed=True), StoredGateway(name="alice@example.com", removed=True, version=10)
        )
        self.assertEqual(len(self.shared.run(select(removed_rows))), 2)
