"""Nobody holds more than his share of the relay's ports (attack M8)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.media.ports import NoPorts
from voipcluster.media.shares import Holder, Shares, ShareTaken

ALICE, BOB = Holder("user", "alice@example.com"), Holder("user", "bob@example.com")
OFFICE = Holder("address", "198.51.100.7")


class SharesTests(SynchronousTestCase):
    def test_of_one_user(self) -> None:
        """One has had his share, another one has not, and what is given back is free again."""
        shares = Shares({"user": 2})
        for _ in range(2):
            shares.take((ALICE,))
        error = self.assertRaises(ShareTaken, shares.take, (ALICE,))
        self.assertEqual(
            str(error), "user alice@example.com holds 2 pairs of media ports, and no more are granted"
        )
        self.assertEqual((isinstance(error, NoPorts), error.status_hint), (True, 503))
        shares.take((BOB,))
        shares.give_back((ALICE,))
        shares.take((ALICE,))

    def test_of_one_address(self) -> None:
        """Users behind one address share what the address may have; who is refused for one of both counts for none."""
        shares = Shares({"user": 2, "address": 3})
        shares.take((ALICE, OFFICE))
        shares.take((ALICE, OFFICE))
        shares.take((BOB, OFFICE))
        self.assertRaises(ShareTaken, shares.take, (BOB, OFFICE))
        self.assertEqual(shares.held[BOB], 1)

    def test_of_an_earlier_process(self) -> None:
        """What is adopted counts, though it be too much."""
        shares = Shares({"user": 2})
        shares.adopt((ALICE, OFFICE), 3)
        self.assertRaises(ShareTaken, shares.take, (ALICE,))
        for _ in range(3):
            shares.give_back((ALICE, OFFICE))
        self.assertEqual(shares.held, {})

    def test_nothing_stays(self) -> None:
        """Who holds nothing any more is forgotten; a kind without a limit is counted, and never refused."""
        shares = Shares({"address": 1})
        for _ in range(5):
            shares.take((ALICE,))
        for _ in range(5):
            shares.give_back((ALICE,))
        self.assertEqual(shares.held, {})
