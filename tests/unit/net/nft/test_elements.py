"""Crossings as elements of maps, and back."""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.media.offload import Crossing
from voipcluster.media.target import Address
from voipcluster.net.nft import wire
from voipcluster.net.nft.elements import Relayed, joined, keys, mark_in, mark_of, members, octets_of

BASE = 0x52030000
FOUR = Crossing(
    Address("198.51.100.7", 4000), Address("192.0.2.1", 30000), Address("192.0.2.1", 30002), Address("203.0.113.9", 5000)
)  # fmt: skip
SIX = Crossing(
    Address("2001:db8::7", 4000), Address("2001:db8::1", 30004), Address("2001:db8::1", 30006), Address("2001:db8::9", 5000)
)  # fmt: skip


def maps_of(*crossings: Crossing) -> dict[str, list[wire.MapElement]]:
    found: dict[str, list[wire.MapElement]] = {}
    for crossing in crossings:
        for name, member in members(BASE, crossing, timeout=60.0, label="call", counted=(10, 1720)).items():
            found.setdefault(name, []).extend(wire.read_elements(wire.elements("t", name, member)))
    return found


class ElementTests(SynchronousTestCase):
    def test_mark(self) -> None:
        """The relay's port is the stream's number: no two lines of a node share one."""
        self.assertEqual(mark_of(BASE, FOUR), 0x52037530)
        self.assertEqual(mark_in(struct.pack("=I", 0x52037530)), 0x52037530)

    def test_fields(self) -> None:
        """Addresses in network order, fields filled up to four octets, marks as the host has them."""
        maps = maps_of(FOUR)
        mark = struct.pack("=I", 0x52037530)
        self.assertEqual(
            {name: (one.key, one.value) for name, (one,) in maps.items()},
            {
                "stream4": (bytes.fromhex("c63364070fa00000" "c000020175300000"), mark),
                "daddr4": (mark, bytes.fromhex("cb007109")),
                "dport": (mark, bytes.fromhex("1388")),
                "saddr4": (mark, bytes.fromhex("c0000201")),
                "sport": (mark, bytes.fromhex("7532")),
            },
        )  # fmt: skip
        self.assertEqual(maps["stream4"][0].comment, "call")

    def test_counter_begins_with_headers(self) -> None:
        """nft counts IP and UDP headers, the relay does not."""
        self.assertEqual(
            (maps_of(FOUR)["stream4"][0].octets, maps_of(SIX)["stream6"][0].octets), (2000, 2200)
        )
        self.assertEqual((octets_of(4, 10, 2000), octets_of(6, 10, 2200)), (1720, 1720))

    def test_keys(self) -> None:
        """What deletes an element names it as it was added."""
        for crossing in (FOUR, SIX):
            added = {name: one.key for name, (one,) in maps_of(crossing).items()}
            deleted = {
                name: next(iter(wire.read_elements(wire.elements("t", name, member)))).key
                for name, member in keys(BASE, crossing).items()
            }
            self.assertEqual(deleted, added)

    def test_joined(self) -> None:
        """A dump gives back what was added."""
        whole, strays = joined(maps_of(FOUR, SIX))
        self.assertEqual(whole, [Relayed(FOUR, "call", 10, 1720, 0.0), Relayed(SIX, "call", 10, 1720, 0.0)])
        self.assertEqual(strays, [])

    def test_strays(self) -> None:
        """What is not whole is named, so that it can be deleted."""
        maps = maps_of(FOUR, SIX)
        del maps["daddr4"]
        maps["stream6"][0] = maps["stream6"][0]._replace(key=b"short")
        whole, strays = joined(maps)
        self.assertEqual(whole, [])
        four, six = struct.pack("=I", mark_of(BASE, FOUR)), struct.pack("=I", mark_of(BASE, SIX))
        self.assertEqual(
            sorted(strays),
            sorted(
                [("stream4", bytes.fromhex("c63364070fa00000c000020175300000")), ("stream6", b"short")]
                + [(name, mark) for name in ("dport", "sport") for mark in (four, six)]
                + [("saddr4", four), ("saddr6", six), ("daddr6", six)]
            ),
        )
