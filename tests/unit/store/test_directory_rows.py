"""Rows of the shared database as accounts and gateways, and back; and what is wrong with rows that others have written."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.messages import Preference, StoredGateway
from voipcluster.errors import UsageError
from voipcluster.gateway.dispatcher import DISABLED, NOT_PROBED
from voipcluster.seal import Concealer
from voipcluster.store.accounts import new_account
from voipcluster.store.directory_rows import (
    MOST,
    account_of,
    address_rows,
    dispatcher_row,
    gateway_of,
    preference_rows,
    subscriber_row,
    texts_of,
)

OURS = ("example.com",)
ALICE = evolve(
    new_account("alice", "example.com", "pw"),
    preferences=(Preference(name="forward.busy", text="carol"),),
    version=7,
)
TRUNK = StoredGateway(
    name="trunk", servers=("192.0.2.1", "192.0.2.2:5080"), sources=("192.0.2.0/28", "2001:db8::/64"),
    password="sesame", auth_user="us", channels=30, version=7,
)  # fmt: skip


class RowsCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.seal = Concealer(b"k" * 32, b"gateways")

    def refused(self, call: Any, *arguments: Any) -> str:
        return str(self.assertRaises(UsageError, call, *arguments))


class AccountTests(RowsCase):
    def row(self, **other: Any) -> SimpleNamespace:
        return SimpleNamespace(**{**subscriber_row(ALICE, 1000.0), **other})

    def test_there_and_back(self) -> None:
        rows = [SimpleNamespace(**row) for row in preference_rows(ALICE, 1000.0)]
        texts = texts_of(rows)[("alice", "example.com")]
        self.assertEqual(account_of(self.row(), texts, OURS), ALICE)
        self.assertEqual(account_of(self.row(disabled=1), texts, OURS), evolve(ALICE, disabled=True))

    def test_one_digest_is_enough(self) -> None:
        """A program that knows MD5 only, or SHA-256 only, has written it."""
        for column in ("ha1", "ha1_sha256"):
            found = account_of(self.row(**{column: ""}), (), OURS)
            self.assertEqual(len(found.ha1), 1)

    def test_what_is_wrong(self) -> None:
        for other, why in (
            ({"ha1": "", "ha1_sha256": ""}, "has neither ha1 nor ha1_sha256"),
            ({"domain": "elsewhere.test"}, "elsewhere.test is not a domain of this cluster"),
            ({"ha1": "xyz"}, "its HA1 is not a digest in hex"),
            ({"version": 0}, "version 0 is none"),
            ({"version": MOST + 1}, f"version {MOST + 1} is none"),
        ):
            self.assertIn(why, self.refused(account_of, self.row(**other), (), OURS))
        self.assertIn("forward", self.refused(account_of, self.row(), [("forward.busy", "a b")], OURS))

    def test_a_new_one_has_a_version(self) -> None:
        self.assertEqual(subscriber_row(evolve(ALICE, version=0), 1000.0)["version"], 1)


class GatewayTests(RowsCase):
    def row(self, gateway: StoredGateway = TRUNK, **other: Any) -> SimpleNamespace:
        return SimpleNamespace(**{**dispatcher_row(gateway, 1000.0, self.seal), **other})

    def read(self, row: Any, *addresses: Any) -> StoredGateway:
        return gateway_of(row, addresses, self.seal)

    def test_there_and_back(self) -> None:
        """With its password, which nobody else can read in the row."""
        addresses = [SimpleNamespace(**row) for row in address_rows(TRUNK)]
        row = self.row()
        self.assertEqual(self.read(row, *addresses), TRUNK)
        self.assertNotIn("sesame", str(vars(row)))
        off = evolve(TRUNK, enabled=False)
        self.assertEqual(self.read(self.row(off), *addresses), off)

    def test_password_in_the_clear(self) -> None:
        """The column counts for whoever writes one there; a sealed one of another cluster, or of another gateway, does not."""
        self.assertEqual(self.read(self.row(password="open")).password, "open")
        other = Concealer(b"x" * 32, b"gateways")
        for row in (SimpleNamespace(**dispatcher_row(TRUNK, 1000.0, other)), self.row(name="tunk")):
            self.assertIn("sealed by another cluster", self.refused(gateway_of, row, (), self.seal))

    def test_as_others_write_it(self) -> None:
        """NAME=VALUE;... as attributes, and a switch for a gateway of the file."""
        row = self.row(
            attrs="maxload=5;weight=50", destination="sip:192.0.2.9;transport=tcp", flags=NOT_PROBED
        )
        found = self.read(row)
        self.assertEqual((found.servers, found.transport), (("192.0.2.9",), "tcp"))
        self.assertEqual((found.channels, found.probe, found.enabled), (5, 0.0, True))
        switch = StoredGateway(name="trunk", switch=True, enabled=False, version=8)
        found = self.read(self.row(switch))
        self.assertTrue(found.switch)
        self.assertFalse(found.enabled)
        self.assertTrue(self.row(switch).flags & DISABLED)

    def test_what_is_wrong(self) -> None:
        for other, why in (
            ({"attrs": "{"}, "attrs is neither JSON"),
            ({"attrs": "{" * 100_000}, "attrs is neither JSON"),
            ({"attrs": '{"channels": "many"}'}, "channels"),
            ({"attrs": "maxload=many"}, "maxload=many: not a number"),
            ({"attrs": "maxload"}, "is not NAME=VALUE"),
            ({"destination": "h323:192.0.2.1"}, "destination 'h323:192.0.2.1' is no SIP URI"),
            ({"destination": "sip:a.example sips:b.example"}, "not all the same transport"),
            ({"version": -1}, "version -1 is none"),
        ):
            self.assertIn(why, self.refused(gateway_of, self.row(**other), (), self.seal), other)

    def test_addresses(self) -> None:
        """One that has no mask is one host; one that is none is named, with what was there."""

        def address(ip: str, mask: int | None, port: int = 0) -> SimpleNamespace:
            return SimpleNamespace(ip_addr=ip, mask=mask, port=port)

        found = self.read(self.row(), address("192.0.2.7 ", None), address("2001:db8::1", 64))
        self.assertEqual(found.sources, ("192.0.2.7/32", "2001:db8::/64"))
        for wrong, why in (
            (address("192.0.2.300", None), "address 192.0.2.300 is none"),
            (address("192.0.2.1", 33), "address 192.0.2.1/33 is none"),
            (address("192.0.2.1", 32, 5060), "has a port"),
        ):
            self.assertIn(why, self.refused(gateway_of, self.row(), [wrong], self.seal))
