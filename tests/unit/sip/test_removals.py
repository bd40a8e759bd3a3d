"""What was unregistered is remembered for as long as an old copy of it may live."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip.location import Binding
from voipcluster.sip.removals import MARGIN, Removal, Removals

AOR = "alice@example.com"
END = Removal(AOR, "sip:1@h", "", 0, "c", 5, 1000.0)
BINDING = Binding(AOR, "sip:1@h", 4000.0, 900.0, "c", 5)


class RemovalTests(SynchronousTestCase):
    def test_ends(self) -> None:
        """CSeq decides within one Call-ID, else the time, with a margin for news that overtake each other."""
        for change, ended in (
            ({}, True), ({"cseq": 6}, False),
            ({"registered_at": 1000.0 + MARGIN}, True), ({"registered_at": 1001.0 + MARGIN}, False),
            ({"call_id": "d", "registered_at": 999.0 - MARGIN}, True),
            ({"call_id": "d", "registered_at": 1000.0 - MARGIN}, False), ({"call_id": "d", "registered_at": 1001.0}, False),
        ):  # fmt: skip
            self.assertEqual(END.ends(evolve(BINDING, **change)), ended, change)

    def test_covers(self) -> None:
        """An old copy is one from before the end; a phone that starts anew may count from 1."""
        for change, covered in (
            ({}, True), ({"cseq": 6}, False), ({"registered_at": 1000.0}, False), ({"cseq": 1, "registered_at": 1001.0}, False),
            ({"call_id": "d", "cseq": 99}, True), ({"call_id": "d", "registered_at": 1000.0}, False),
        ):  # fmt: skip
            self.assertEqual(END.covers(evolve(BINDING, **change)), covered, change)


class RemovalsTests(SynchronousTestCase):
    def test_longer_and_shorter(self) -> None:
        """Copies may live longer from now on; those that were told so before do, whatever is said later."""
        found = Removals(10.0)
        found.note(END, 1000.0)
        found.live_for(100.0)
        found.live_for(5.0)
        found.note(evolve(END, contact="sip:2@h", at=1050.0), 1050.0)
        self.assertEqual(len(found), 2)

    def test_the_key(self) -> None:
        """The contact, or with a reg-id the instance and that (RFC 5626 section 6)."""
        found = Removals(3600.0)
        found.note(END, 1000.0)
        found.note(evolve(END, contact="sip:x@h", instance="<i>", reg_id=2), 1000.0)
        self.assertTrue(found.covers(BINDING))
        self.assertFalse(found.covers(evolve(BINDING, contact="sip:2@h")))
        self.assertFalse(found.covers(evolve(BINDING, aor="bob@example.com")))
        self.assertTrue(found.covers(evolve(BINDING, contact="sip:y@h", instance="<i>", reg_id=2)))
        self.assertFalse(found.covers(evolve(BINDING, instance="<i>", reg_id=1)))

    def test_the_latest_counts(self) -> None:
        """Old news of an end does not make it older."""
        found = Removals(3600.0)
        found.note(END, 1000.0)
        found.note(evolve(END, at=500.0), 1000.0)
        self.assertEqual([removal.at for removal in found], [1000.0])
        self.assertEqual(found.of(AOR, "sip:1@h"), END)
        self.assertIsNone(found.of(AOR, "sip:2@h"))

    def test_bounded(self) -> None:
        """By time and by number."""
        found = Removals(3600.0, size=3)
        for number in range(5):
            found.note(evolve(END, contact=f"sip:{number}@h", at=1000.0 + number), 1000.0 + number)
        self.assertEqual([removal.contact for removal in found], ["sip:2@h", "sip:3@h", "sip:4@h"])
        found.note(evolve(END, contact="sip:9@h", at=4603.5), 4603.5)
        self.assertEqual([removal.contact for removal in found], ["sip:4@h", "sip:9@h"])
