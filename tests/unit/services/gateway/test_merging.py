"""The gateways of the file and those of the database are one list."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance import codec
from voipcluster.balance.messages import StoredGateway
from voipcluster.config.gateways import gateway_of
from voipcluster.errors import PeerError
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.permission import Permission
from voipcluster.services.gateway import merging
from voipcluster.services.gateway.merging import (
    check_change,
    declared,
    faults_of_changes,
    merged,
    stored,
)

FULL = Gateway(
    name="carrier-a",
    kind="pstn",
    servers=("192.0.2.1:5060", "sip.carrier.example"),
    transport="tcp",
    sources=("192.0.2.0/24",),
    certificates=("gw.example",),
    username="gw@example.com",
    behind=("10.1.0.0/16",),
    registrar="sip:carrier.example",
    auth_user="4930",
    password="sesame",
    aor="sip:4930@carrier.example",
    contact_user="reception",
    realm="carrier",
    probe=2.0,
    not_alive=(404,),
    channels=30,
    hours=("Mo-Fr 08:00-18:00",),
    codecs=("PCMA",),
    incoming=Permission(("+",), ("users", "!+49900")),
    outgoing=Permission(("users",), ("+49",)),
    trusted=True,
    enabled=False,
)


class MergingTests(SynchronousTestCase):
    def test_there_and_back(self) -> None:
        """Nothing of a gateway is lost on the way over the link and through the database, but the name of a file."""
        message = codec.decode("gateway", codec.encode(stored(FULL)))
        self.assertEqual(declared(message), FULL)
        self.assertNotIn("sesame", repr(message))

    def test_defaults(self) -> None:
        """One that says nothing but its name is the same gateway, whichever way it came."""
        self.assertEqual(declared(StoredGateway(name="a")), Gateway("a"))
        self.assertEqual(declared(codec.decode("gateway", {"name": "a"})), Gateway("a"))

    def test_which_wins(self) -> None:
        """What is stored wins over the file; a switch changes nothing but whether it is enabled, and alone it is nothing."""
        of_file = [Gateway("a", channels=1), Gateway("b", channels=1), Gateway("c")]
        rows = [
            StoredGateway(name="a", channels=9),
            StoredGateway(name="b", channels=9, enabled=False, switch=True),
            StoredGateway(name="d"),
            StoredGateway(name="e", switch=True),
        ]
        found, faults = merged(of_file, rows)
        self.assertEqual(faults, [])
        self.assertEqual(
            [(o.gateway.name, o.gateway.channels, o.gateway.enabled, o.where) for o in found.values()],
            [
                ("a", 9, True, "file, changed"),
                ("b", 1, False, "file, changed"),
                ("c", 0, True, "file"),
                ("d", 0, True, "database"),
            ],
        )

    def test_what_is_left_out(self) -> None:
        """One that is wrong, or known by the address of another, is left out, and the others stay."""
        of_file = [Gateway("a", servers=("192.0.2.1",))]
        rows = [
            StoredGateway(name="b", sources=("192.0.2.1",)),
            StoredGateway(name="c", hours=("always",)),
            StoredGateway(name="d"),
        ]
        found, faults = merged(of_file, rows)
        self.assertEqual(list(found), ["a", "d"])
        self.assertEqual(len(faults), 2)
        self.assertIn("gateway b of the database: sources: 192.0.2.1/32 is that of gateway a, too", faults[0])
        self.assertIn('gateway c of the database: hours: found ["always"]', faults[1])

    def test_many_changes_at_once(self) -> None:
        """Two may change places; of two that want the same one, the first has it; each row is looked at once."""
        rows = [StoredGateway(name=f"g{n}", servers=(f"192.0.2.{n}",)) for n in range(100)]
        swapped = [evolve(rows[1], servers=rows[2].servers), evolve(rows[2], servers=rows[1].servers)]
        looked: list[object] = []
        self.patch(merging, "gateway_of", lambda table: (looked.append(table), gateway_of(table))[1])
        check_change((), rows, *swapped)
        check_change((), (), *rows)
        self.assertEqual(len(looked), 200)
        self.assertEqual(list(faults_of_changes((), rows, swapped[:1])), ["g1"])
        two = [StoredGateway(name=name, servers=("198.51.100.1",)) for name in "ab"]
        found = faults_of_changes((), rows, two)
        self.assertEqual(list(found), ["b"])
        self.assertIn("198.51.100.1/32 is that of gateway a, too", found["b"])

    def test_a_change_that_is_refused(self) -> None:
        """The primary refuses what could not be used; a fault that was there before is no reason."""
        of_file = [Gateway("a", servers=("192.0.2.1",))]
        rows = [StoredGateway(name="z", hours=("always",)), StoredGateway(name="b", servers=("192.0.2.2",))]
        for good in (
            StoredGateway(name="c"),
            StoredGateway(name="a", servers=("192.0.2.3",)),
            StoredGateway(name="b", removed=True),
            StoredGateway(name="a", switch=True, enabled=False),
        ):
            check_change(of_file, rows, good)
        error = self.assertRaises(
            PeerError, check_change, of_file, rows, StoredGateway(name="a", servers=("192.0.2.2",))
        )
        self.assertIn("192.0.2.2/32 is that of gateway", str(error))
        self.assertRaises(PeerError, check_change, of_file, rows, StoredGateway(name="c", servers=("x:0",)))
