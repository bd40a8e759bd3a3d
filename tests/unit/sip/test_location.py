"""The location table (RFC 3261 section 10)."""

from __future__ import annotations

import gc
import tracemalloc

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.address import Flow
from voipcluster.sip.location import Binding, Location, same_contact

AOR = "alice@example.com"


def tcp(connection: int) -> Flow:
    return Flow("TCP", ("192.0.2.1", 5060), ("192.0.2.7", 40000 + connection), connection)


def binding(contact: str = "sip:alice@192.0.2.7", **how: object) -> Binding:
    values: dict[str, object] = {
        "aor": AOR, "contact": contact, "expires_at": 100.0, "registered_at": 0.0, "call_id": "c", "cseq": 1, "node": "a",
    }  # fmt: skip
    return Binding(**{**values, **how})


class LookupTests(SynchronousTestCase):
    def test_best_first(self) -> None:
        """By q, of one q the most recent first (sections 10.2.1.2 and 16.5); what ran out is not there."""
        table = Location()
        for contact, q, at in (("sip:old@h", 0.5, 1.0), ("sip:low@h", 0.1, 9.0), ("sip:new@h", 0.5, 2.0)):
            table.put(binding(contact, q=q, registered_at=at))
        table.put(binding("sip:gone@h", q=1.0, expires_at=50.0))
        self.assertEqual(
            [b.contact for b in table.lookup(AOR, 50.0)], ["sip:new@h", "sip:old@h", "sip:low@h"]
        )
        self.assertEqual(table.lookup("bob@example.com", 0.0), [])

    def test_equivalent_contacts_are_one_binding(self) -> None:
        """Compared as URIs, not as text (section 10.3 step 7, 19.1.4)."""
        table = Location()
        old = binding("sip:%61lice@HOST:5060")
        self.assertIsNone(table.put(old))
        self.assertIs(table.put(binding("sip:alice@host:5060;x=1", cseq=2)), old)
        self.assertEqual(len(table), 1)
        table.put(binding("sip:alice@host"))
        self.assertEqual(len(table), 2)

    def test_instance_and_reg_id_are_the_key(self) -> None:
        """The contact URI may change then; each reg-id is a binding of its own (RFC 5626 section 6)."""
        table = Location()
        for contact, reg_id in (("sip:a@h:1", 1), ("sip:a@h:2", 2), ("sip:a@h:3", 1)):
            table.put(binding(contact, instance="<urn:uuid:1>", reg_id=reg_id))
        self.assertEqual([b.contact for b in table.bindings(AOR, 0.0)], ["sip:a@h:3", "sip:a@h:2"])
        table.put(binding("sip:a@h:3"))
        table.put(binding("sip:a@h:3", instance="<urn:uuid:1>"))  # an instance alone is no key
        self.assertEqual(len(table), 3)

    def test_other_schemes_are_compared_as_text(self) -> None:
        """A contact may be any URI."""
        self.assertTrue(same_contact("mailto:a@h", "mailto:a@h"))
        self.assertFalse(same_contact("mailto:a@h", "mailto:A@h"))

    def test_newer_state(self) -> None:
        """CSeq decides within a Call-ID, else the time; all nodes decide alike."""
        base = binding(registered_at=5.0, cseq=5)
        self.assertTrue(evolve(base, cseq=6, registered_at=1.0).replaces(base))
        self.assertFalse(evolve(base, cseq=4, registered_at=9.0).replaces(base))
        self.assertTrue(evolve(base, call_id="d", cseq=1, registered_at=6.0).replaces(base))
        self.assertFalse(evolve(base, call_id="d", cseq=9, registered_at=4.0).replaces(base))
        tie = evolve(base, call_id="d", node="b")
        self.assertTrue(tie.replaces(base))
        self.assertFalse(base.replaces(tie))


class WholeTests(SynchronousTestCase):
    def test_who_is_there_all_the_time(self) -> None:
        """
        Read in parts by addresses of record, each binding that stays comes once, whoever leaves, comes back or comes anew
        meanwhile; one that has run out does not come.
        """
        table = Location()
        users = [f"u{number}@example.com" for number in range(6)]
        for user in users:
            table.put(binding(aor=user, expires_at=100.0))
        table.put(binding("sip:b@h", aor=users[5], expires_at=5.0))
        aors = table.aors()
        found = [one.aor for one in table.of_aors(aors[:3], 10.0)]
        table.remove(binding(aor=users[0]))
        table.remove(binding(aor=users[1]))
        table.put(binding(aor=users[0], expires_at=100.0))  # behind all others now
        table.remove(binding(aor=users[4]))
        table.put(binding(aor="new@example.com", expires_at=100.0))
        found += [one.aor for one in table.of_aors(aors[3:], 10.0)]
        self.assertEqual(found, [*users[:4], users[5]])


class ExpiryTests(SynchronousTestCase):
    def test_what_ran_out_is_removed(self) -> None:
        """In time, and only that."""
        table = Location()
        table.put(binding("sip:a@h", expires_at=10.0))
        table.put(binding("sip:b@h", expires_at=20.0))
        table.put(binding("sip:c@h", aor="bob@example.com", expires_at=15.0))
        self.assertEqual(table.next_due, 10.0)
        self.assertEqual(table.expire(9.9), [])
        self.assertEqual([b.contact for b in table.expire(10.0)], ["sip:a@h"])
        self.assertEqual(table.next_due, 15.0)
        self.assertEqual([b.contact for b in table.expire(99.0)], ["sip:c@h", "sip:b@h"])
        self.assertEqual((table.next_due, len(table), table.aors()), (None, 0, []))

    def test_a_refresh_puts_it_off(self) -> None:
        """The old time passes without effect."""
        table = Location()
        table.put(binding(expires_at=10.0))
        table.put(binding(expires_at=70.0, cseq=2))
        self.assertEqual(table.expire(10.0), [])
        self.assertEqual(table.next_due, 70.0)
        self.assertEqual(len(table.expire(70.0)), 1)

    def test_refreshes_do_not_pile_up(self) -> None:
        """A phone that refreshes for ever, long and short in turn, costs one entry."""
        table = Location()
        for number in range(2000):
            table.put(binding(expires_at=number + (3600.0 if number % 2 else 60.0), cseq=number))
            table.expire(float(number))
        self.assertLess(len(table._due), 100)
        self.assertEqual(len(table), 1)


class ConnectionTests(SynchronousTestCase):
    def test_bindings_of_a_connection(self) -> None:
        """All that came over it, of whatever user, and no other (RFC 5626 section 4.2.2)."""
        table = Location()
        for contact, aor, number in (
            ("sip:a@h", AOR, 1),
            ("sip:b@h", AOR, 2),
            ("sip:c@h", "bob@example.com", 1),
        ):
            table.put(binding(contact, aor=aor, flow=tcp(number)))
        table.put(binding("sip:d@h", flow=Flow("UDP", ("192.0.2.1", 5060), ("192.0.2.7", 5060))))
        self.assertEqual({b.contact for b in table.of_connection(1)}, {"sip:a@h", "sip:c@h"})
        table.put(binding("sip:a@h", cseq=2, flow=tcp(3)))  # the phone came back
        self.assertEqual([b.contact for b in table.of_connection(1)], ["sip:c@h"])
        for gone in list(table):
            table.remove(gone)
        self.assertEqual(table._connections, {})
        self.assertEqual(table.of_connection(0), [])

    def test_counts_by_node(self) -> None:
        """A binding belongs to the node that owns the flow, and moves with it."""
        table = Location()
        table.put(binding())
        table.put(binding("sip:b@h", node="b"))
        table.put(binding(node="b", cseq=2))
        self.assertEqual((table.count_of("a"), table.count_of("b"), len(table)), (0, 2, 2))
        self.assertEqual(len(table.of_node("b")), 2)
        self.assertIsNone(table.remove(binding("sip:unknown@h")))


class ModelTests(SynchronousTestCase):
    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["put", "remove", "expire"]),
                st.integers(0, 3),
                st.integers(0, 3),
                st.integers(1, 20),
            ),
            max_size=40,
        )
    )
    def test_same_as_a_dictionary(self, steps: list[tuple[str, int, int, int]]) -> None:
        """Whatever is done, the table holds what a plain dictionary would, and its indexes agree."""
        table, model, now = Location(), {}, 0.0
        for what, user, phone, seconds in steps:
            item = binding(
                f"sip:{phone}@h",
                aor=f"{user}@d",
                expires_at=now + seconds,
                flow=tcp(phone),
                node=f"n{phone % 2}",
            )
            if what == "put":
                table.put(item)
                model[user, phone] = item
            elif what == "remove":
                table.remove(item)
                model.pop((user, phone), None)
            else:
                now += seconds
                gone = table.expire(now)
                self.assertEqual(
                    {id(b) for b in gone}, {id(b) for b in model.values() if b.expires_at <= now}
                )
                model = {key: b for key, b in model.items() if b.expires_at > now}
            self.assertEqual(len(table), len(model))
            self.assertEqual({id(b) for b in table}, {id(b) for b in model.values()})
            self.assertEqual(table.count_of("n1"), sum(b.node == "n1" for b in model.values()))
            if model:
                due = table.next_due
                assert due is not None
                self.assertLessEqual(due, min(b.expires_at for b in model.values()))
            for number in range(4):
                wanted = {id(b) for (_, phone_), b in model.items() if phone_ == number and number}
                self.assertEqual({id(b) for b in table.of_connection(number)}, wanted)


class MemoryTests(SynchronousTestCase):
    def test_a_registration_costs_less_than_2_kb(self) -> None:
        """Text of usual length, indexes included; the text is new each time, as it is when it is parsed."""
        count = 2000
        table = Location()
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for n in range(1, count + 1):
            table.put(
                Binding(
                    aor=f"user{n:05}@example.com",
                    contact=f"sip:user{n:05}-0x55d3a0b1c2d3@10.20.30.40:5060;transport=tcp",
                    expires_at=3600.0 + n,
                    registered_at=0.0 + n,
                    call_id=f"a1b2c3d4-e5f6-7890-{n:012}@10.20.30.40",
                    cseq=1000 + n,
                    params=f';+sip.instance="<urn:uuid:f81d4fae-7dec-11d0-a765-{n:012}>";reg-id=1',
                    user_agent=f"Model-{n} 1.2.3.4",
                    node="a",
                    flow_token=f"{n:070}",
                    flow=Flow("TCP", ("192.0.2.1", 5060), (f"10.20.{n >> 8}.{n & 255}", 40000 + n), n),
                    source=f"tcp:10.20.{n >> 8}.{n & 255}:40000",
                    instance=f"<urn:uuid:f81d4fae-7dec-11d0-a765-{n:012}>",
                    reg_id=1,
                )
            )
        cost = (tracemalloc.get_traced_memory()[0] - before) / count
        tracemalloc.stop()
        self.assertLess(cost, 2000)
        self.assertGreater(cost, 300)  # else nothing was measured
