"""Requests and answers of nf_tables."""

from __future__ import annotations

import errno

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.nft.fakes import FakeNftables, FakeTable
from voipcluster.net.nft import wire
from voipcluster.net.nft.socket import NftError, NftSocket, Table


class NftSocketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.nftables = FakeNftables()
        self.nftables.tables["t"] = FakeTable(wire.PERSIST, "note", maps={"m": {}, "other": {}})
        self.wire = self.nftables.connect()
        self.nft = NftSocket(self.wire)

    def add(self, *keys: bytes) -> None:
        body = wire.elements("t", "m", *(wire.element(key, b"v", counted=(1, 28)) for key in keys))
        self.nft.transact([(wire.NEW_ELEMENT, wire.CREATE, body)])

    def test_tables(self) -> None:
        """What is told of a table."""
        self.assertEqual(self.nft.tables(), [Table("t", wire.PERSIST, 2, "note")])

    def test_generation(self) -> None:
        """It rises with each change, and a batch that names an old one is refused."""
        before = self.nft.generation()
        self.add(b"k")
        self.assertGreater(self.nft.generation(), before)
        with self.assertRaises(NftError) as caught:
            self.nft.transact([(wire.DEL_TABLE, 0, wire.table("t"))], before)
        self.assertEqual(caught.exception.errno, errno.ERESTART)
        self.assertIn("t", self.nftables.tables)

    def test_all_or_nothing(self) -> None:
        """One refused request undoes the batch."""
        good = (wire.NEW_ELEMENT, wire.CREATE, wire.elements("t", "m", wire.element(b"k", b"v")))
        bad = (wire.DEL_ELEMENT, 0, wire.elements("t", "m", wire.element(b"none")))
        with self.assertRaises(NftError) as caught:
            self.nft.transact([good, bad])
        self.assertEqual(caught.exception.errno, errno.ENOENT)
        self.assertEqual(self.nft.elements("t", "m"), [])

    def test_echo(self) -> None:
        """What is deleted is told with its last count."""
        self.add(b"k")
        gone = wire.elements("t", "m", wire.element(b"k"))
        (said,) = self.nft.transact([(wire.DEL_ELEMENT, wire.ECHO, gone)])
        self.assertEqual([one.packets for one in wire.read_elements(said.body)], [1])

    def test_pieces(self) -> None:
        """A map can be read a piece at a time; the last one says so."""
        self.add(b"a", b"b")
        self.nft.ask_for_elements("t", "m")
        pieces = [self.nft.next_elements() for _ in range(3)]
        self.assertEqual([len(elements) for elements, _ in pieces], [1, 1, 0])
        self.assertEqual([at_end for _, at_end in pieces], [False, False, True])

    def test_what_is_left_over(self) -> None:
        """After an error in the middle the next request has its own answer."""
        self.add(b"a", b"b")
        self.nft.ask_for_elements("t", "m")
        self.nft.next_elements()
        self.assertEqual([table.name for table in self.nft.tables()], ["t"])

    def test_no_such_map(self) -> None:
        """It is an error, and so is a listing that breaks off."""
        self.nft.ask_for_elements("t", "none")
        with self.assertRaises(NftError) as caught:
            self.nft.next_elements()
        self.assertEqual(caught.exception.errno, errno.ENOENT)
        with self.assertRaises(NftError):
            self.nft.next_elements()

    def test_close(self) -> None:
        """The socket is given back."""
        self.nft.close()
        self.assertEqual(self.nftables.sockets, [])
