"""The other messages of the cluster link, as values."""

from __future__ import annotations

import attrs
from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance import messages
from voipcluster.balance.codec import SCHEMAS
from voipcluster.balance.messages import Account, Binding, Bindings, Call, Drain, Ha1, Member, Membership
from voipcluster.balance.schema import REQUIRED, Schema
from voipcluster.balance.state import NodeState

BINDING = Binding(node="a", epoch=1, seq=2, aor="bob@x", contact="sip:bob@h", expires=60, call_id="c", cseq=1)
KINDS = [kind for kind in vars(messages).values() if isinstance(kind, type) and attrs.has(kind)]


class MessageTests(SynchronousTestCase):
    def test_defaults_are_those_of_the_wire(self) -> None:
        """A field that a peer leaves out means what the class says, for every message and each nested one."""
        seen: set[type] = set()
        for schema in SCHEMAS.values():
            self._compare(schema, seen)
        self.assertLessEqual(set(KINDS), seen, "a message that no schema carries")

    def _compare(self, schema: Schema, seen: set[type]) -> None:
        seen.add(schema.make)
        fields = {field.name: field for field in attrs.fields(schema.make)} if attrs.has(schema.make) else {}
        for item in schema.fields:
            own = fields[item.name].default
            if isinstance(item.type, Schema):
                self._compare(item.type, seen)
            # our own code may have to name what a peer leaves out, and the other way round
            if (
                own is not attrs.NOTHING
                and item.default is not REQUIRED
                and not isinstance(own, attrs.Factory)
            ):
                self.assertEqual(own, item.default, f"{schema.kind}.{item.name}")

    def test_ordered_messages_name_their_sender(self) -> None:
        """Node, epoch and sequence are needed wherever a receiver drops what is old."""
        for kind in KINDS:
            names = {field.name for field in attrs.fields(kind)}
            if "seq" in names:
                self.assertLessEqual({"node", "epoch"}, names, kind)
                self.assertRaises(TypeError, kind, node="a", epoch=1)

    def test_nothing_is_taken_by_position(self) -> None:
        """A field that is added later moves no other one."""
        self.assertRaises(TypeError, Member, "a", "primary", "192.0.2.1")
        self.assertRaises(TypeError, Drain, "a", 1, 2, "b")

    def test_secrets_are_in_no_log_line(self) -> None:
        """The repr of an account has the user and not the hash."""
        account = Account(username="bob", domain="x", ha1=(Ha1(algorithm="MD5", ha1="5ec4e7"),))
        self.assertIn("bob", repr(account))
        self.assertNotIn("5ec4e7", repr(account))

    def test_values(self) -> None:
        """Equal by their fields and not to be changed, since they are handed to many."""
        self.assertEqual(BINDING, attrs.evolve(BINDING))
        self.assertNotEqual(BINDING, attrs.evolve(BINDING, expires=0))
        self.assertEqual(len({BINDING, attrs.evolve(BINDING), attrs.evolve(BINDING, q=0.5)}), 2)
        with self.assertRaises(FrozenInstanceError):
            BINDING.expires = 0

    def test_what_is_assumed_of_a_member(self) -> None:
        """The link's own port, and a state that makes it no target until it reports."""
        member = Member(name="a", role="primary", address="192.0.2.1")
        self.assertEqual((member.port, NodeState(member.state)), (8787, NodeState.UNKNOWN))
        self.assertEqual(Membership(node="a", epoch=1, seq=1).nodes, ())

    def test_what_is_assumed_of_bindings_drains_and_calls(self) -> None:
        """Nothing is gone, stopped or relayed unless it is said."""
        self.assertFalse(Bindings(node="a", epoch=1, seq=1).complete)
        drain = Drain(node="a", epoch=1, seq=1, target="b")
        self.assertEqual((drain.on, drain.stop), (True, False))
        call = Call(call_id="c", caller="sip:a", callee="sip:b", node="a")
        self.assertEqual((call.relayed, call.visited, call.answered), (False, (), 0.0))
        self.assertEqual((BINDING.q, BINDING.reg_id, BINDING.path), (1.0, 0, ()))
