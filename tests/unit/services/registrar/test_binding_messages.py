"""Bindings on the cluster link."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.services.registrar.binding_messages import from_message, removal_message, to_message
from voipcluster.sip.location import Binding
from voipcluster.sip.removals import Removal

BINDING = Binding(
    aor="alice@example.com",
    contact="sip:alice@192.0.2.7",
    expires_at=1600.0,
    registered_at=1000.0,
    call_id="c",
    cseq=7,
    q=0.5,
    params=';+sip.instance="<urn:uuid:1>";reg-id=2',
    path=("<sip:edge;lr>",),
    user_agent="phone",
    node="a",
    flow_token="token",
    source="udp:192.0.2.7:5060",
    instance="<urn:uuid:1>",
    reg_id=2,
)


class BindingMessageTests(SynchronousTestCase):
    def test_other_clock(self) -> None:
        """Another node, whose clock shows another time, has the same binding with its times on that clock."""
        message = to_message(BINDING, 3, 9, 1200.0)
        self.assertEqual((message.epoch, message.seq, message.expires, message.age), (3, 9, 400, 200.0))
        there = from_message(message, 51200.0, 51200.0 - message.age)
        self.assertEqual(there, evolve(BINDING, expires_at=51600.0, registered_at=51000.0))

    def test_nearly_over(self) -> None:
        """Expiry 0 means removed, so what has less than a second left has one; nothing is younger than now."""
        message = to_message(BINDING, 3, 9, 1599.9)
        self.assertEqual(message.expires, 1)
        self.assertEqual(to_message(BINDING, 3, 9, 999.0).age, 0.0)

    def test_without_instance(self) -> None:
        """Only parameters that the link carries come back."""
        plain = evolve(BINDING, instance="", reg_id=0, params=";audio")
        self.assertEqual(from_message(to_message(plain, 1, 1, 1000.0), 1000.0, 1000.0).params, "")

    def test_removal(self) -> None:
        """A removal says what it ends, how old it is, and expires 0."""
        removal = Removal("alice@example.com", "sip:alice@192.0.2.7", "<urn:uuid:1>", 2, "c", 8, 1100.0)
        message = removal_message(removal, "b", 3, 10, 1130.0)
        self.assertEqual((message.node, message.epoch, message.seq), ("b", 3, 10))
        self.assertEqual((message.expires, message.age, message.cseq), (0, 30.0, 8))
        self.assertEqual((message.instance, message.reg_id), ("<urn:uuid:1>", 2))
