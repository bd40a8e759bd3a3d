"""Relayed calls as tables: what is in them, what comes back of them, and what is none."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.unit.services.media.media_case import ALICE, BOB, CALL, A, B, MediaTestCase, audio
from voipcluster.services.media.call import RelayedCall
from voipcluster.services.media.saved import (
    CONVERTER,
    Latches,
    SavedMedia,
    Traffic,
    latches_of,
    ports_in_order,
    saved,
    traffic_of,
)

WRONG = (KeyError, TypeError, ValueError, AttributeError, IndexError)


def table_of(value: object) -> Any:
    """As it comes out of the journal."""
    return json.loads(json.dumps(CONVERTER.unstructure(value)))


class SavedTests(MediaTestCase):
    def relayed(self) -> RelayedCall:
        relayed = self.media.relayed(CALL)
        assert relayed is not None
        return relayed

    def test_there_and_back(self) -> None:
        """Each of the three tables is the same after JSON."""
        self.establish()
        call = self.relayed()
        self.assertEqual(CONVERTER.structure(table_of(saved(call)), SavedMedia), saved(call))
        self.assertEqual(CONVERTER.structure(table_of(latches_of(call)), Latches), latches_of(call))
        traffic: Traffic = CONVERTER.structure(table_of(traffic_of(call)), Traffic)
        self.assertEqual(traffic, traffic_of(call))

    def test_numbers(self) -> None:
        """One of each side; the ports come in the order in which they are counted: the caller's first, RTP before RTCP."""
        for_alice, for_bob = self.establish()
        call = self.relayed()
        self.assertEqual(saved(call).numbers, {for_alice.port, for_bob.port})
        ports = [port.address().port for port in ports_in_order(call.lines)]
        self.assertEqual(ports, [for_alice.port, for_alice.port + 1, for_bob.port, for_bob.port + 1])

    def test_at_rest(self) -> None:
        """An offer that nobody has answered is in no table."""
        self.establish()
        before = saved(self.relayed()).in_force, table_of(saved(self.relayed()))["lines"]
        self.passes(A, "INVITE", audio(ALICE, 4444, "a=sendonly"), cseq=2)
        pending = saved(self.relayed())
        self.assertEqual((pending.in_force, table_of(pending)["lines"]), before)
        self.assertEqual(table_of(pending)["negotiation"], {"_exchanges": {}})
        self.passes(B, "INVITE", audio(BOB, 5000), 200, 2)
        settled = table_of(saved(self.relayed()))
        self.assertEqual(settled["in_force"]["caller"]["media"][0]["port"], 4444)
        self.assertEqual(list(settled["negotiation"]["_exchanges"]), ["caller 2"])

    def test_other_versions(self) -> None:
        """What a later version adds is passed over."""
        self.establish()
        table = table_of(saved(self.relayed()))
        self.assertEqual(CONVERTER.structure({**table, "later": 1}, SavedMedia), saved(self.relayed()))

    def test_tuples_of_other_versions(self) -> None:
        """What a later version adds at the end of a tuple is passed over, and what an earlier one lacks is as by default."""

        class Pair(NamedTuple):
            left: int
            right: int = 7

        self.assertEqual(CONVERTER.structure([1, 2, "later"], Pair), Pair(1, 2))
        self.assertEqual(CONVERTER.structure([1], Pair), Pair(1))
        self.assertRaises(WRONG, CONVERTER.structure, [], Pair)

    def test_tables_that_are_none(self) -> None:
        """Tables of any other shape raise, whatever they are."""
        self.establish()
        table = table_of(saved(self.relayed()))
        line = table["lines"]["0"]
        for wrong in (
            {}, [], None, {**table, "lines": {"x": {}}}, {**table, "in_force": {"nobody": {}}}, {**table, "started": "now"},
            {**table, "lines": {"0": {**line, "legs": {"caller": [1]}}}},
        ):  # fmt: skip
            self.assertRaises(WRONG, CONVERTER.structure, wrong, SavedMedia)
        for latches in (
            [], {"x": {}}, {"0": {"plain": {"caller 7": {}}}}, {"0": {"plain": {"caller 0": {"state": "no state"}}}},
        ):  # fmt: skip
            self.assertRaises(WRONG, CONVERTER.structure, latches, Latches)
