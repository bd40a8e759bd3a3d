"""Registrations in the database."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import fail
from zope.interface import classImplements
from zope.interface.verify import verifyObject

from tests.unit.store.database_case import DatabaseCase
from voipcluster.services.registrar.writebehind import ILocationStore
from voipcluster.sip.location import Binding
from voipcluster.store.location import Locations

ALICE = Binding(
    aor="alice@example.com", contact="sip:alice@192.0.2.1:5060;x='\"", expires_at=1000.0, registered_at=400.0, call_id="c1",
    cseq=7, q=0.5, params=";+sip.ice", path=("<sip:p1;lr>", "<sip:p2;lr>"), user_agent="phone/1", node="a",
    flow_token="token", source="udp:192.0.2.1:5060",
)  # fmt: skip


class TheLocations(DatabaseCase):
    def locations(self, now: float = 500.0) -> Locations:
        self.database = self.open()
        return Locations(self.database, lambda: now)

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

    def test_two_contacts_of_one_user(self) -> None:
        """Each has its row; the instance and reg-id are the key of a phone that has them, whatever its Contact is (RFC 5626)."""
        locations = self.locations()
        phone = evolve(ALICE, contact="sip:1@h", instance="<urn:uuid:1>", reg_id=1)
        moved = evolve(phone, contact="sip:2@h", cseq=8)
        self.successResultOf(locations.save([ALICE, phone]))
        self.successResultOf(locations.save([moved]))
        self.assertEqual(set(self.successResultOf(locations.load())), {ALICE, moved})

    def test_a_disk_that_is_full(self) -> None:
        """A failed write is the caller's to try again; a clean-up that fails keeps nobody from loading."""
        locations = self.locations()
        self.successResultOf(locations.save([ALICE]))
        self.patch(self.database, "write", lambda *statements: fail(OSError("disk full")))
        self.failureResultOf(locations.save([ALICE]), OSError)
        self.failureResultOf(locations.remove([(ALICE.aor, ALICE.key)]), OSError)
        self.assertEqual(self.successResultOf(locations.load()), [ALICE])
