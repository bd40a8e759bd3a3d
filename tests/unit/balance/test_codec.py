"""The wire format of the cluster link (docs/architecture.md, cluster link)."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.codec import SCHEMAS, VERSION, decode, encode, kind_of
from voipcluster.balance.explain import Considered, Explained, Explanation
from voipcluster.balance.messages import (
    Account,
    Accounts,
    Binding,
    Bindings,
    Call,
    Calls,
    Drain,
    Ha1,
    Member,
    Membership,
    PagePassword,
    PagePasswords,
    Preference,
    PreferenceChange,
    StoredGateway,
    StoredGateways,
    Tallies,
    Tally,
    Way,
)
from voipcluster.balance.report import Report
from voipcluster.balance.schema import REQUIRED
from voipcluster.balance.state import NodeState
from voipcluster.balance.workload import Workload
from voipcluster.errors import PeerError, UsageError

REPORT = Report(
    node="a",
    epoch=1700000000,
    seq=7,
    state=NodeState.SHED,
    workload=Workload(cpu=0.5, calls=0.8),
    delay=0.004,
    arrival_rate=120.5,
    capacity=900.0,
    calls=16,
    calls_limit=20,
    registrations=5,
    time=1.7e9,
    period=1.0,
)
BINDING = Binding(
    node="a",
    epoch=1,
    seq=2,
    aor="bob@example.com",
    contact="sip:bob@192.0.2.1:5060",
    path=("<sip:a;lr>",),
    expires=3600,
    q=0.5,
    call_id="x@y",
    cseq=4,
    received="udp:192.0.2.1:5060",
    flow="token",
    instance="<urn:uuid:1>",
    reg_id=1,
)
PREFERENCES = (Preference(name="forward.busy", text="sip:carol@example.com"), Preference(name="find-me"))
ACCOUNT = Account(
    username="bob",
    domain="example.com",
    ha1=(Ha1(algorithm="MD5", ha1="0" * 32),),
    preferences=PREFERENCES,
)
GATEWAY = StoredGateway(
    name="carrier-a",
    servers=("192.0.2.1:5060",),
    hours=("Mo-Fr 08:00-18:00",),
    incoming=Way(callers=("+49",), numbers=("users", "!+49900")),
    channels=30,
)
CALL = Call(
    call_id="x", caller="sip:a@x", callee="sip:b@x", node="b", ingress="a", visited=("a",), relayed=True
)
EXPLANATION = Explanation(
    call_id="x",
    node="a",
    time=12.5,
    hops=0,
    own=0.8,
    leading="calls",
    gate=0.75,
    hard_limit=0.95,
    policy="planned",
    outcome="hand-over",
    chosen="b",
    reason="first below the threshold",
    candidates=(
        Considered("b", "open", 0.1, 0.5, "first below the threshold"),
        Considered("c", "unknown", 0.0, -1.0, "silent"),
    ),
)
PAGE_PASSWORD = PagePassword(kept="$scrypt$x")
MESSAGES = (
    REPORT,
    Membership(node="a", epoch=1, seq=1, nodes=(Member(name="a", role="primary", address="127.0.0.1"),)),
    BINDING,
    Bindings(node="a", epoch=1, seq=3, items=(BINDING, BINDING), complete=True),
    ACCOUNT,
    PreferenceChange(username="bob", domain="example.com", items=PREFERENCES),
    Accounts(node="a", epoch=1, seq=3, items=(ACCOUNT,)),
    Drain(node="a", epoch=1, seq=3, target="b", stop=True),
    CALL,
    Calls(node="b", epoch=1, seq=3, items=(CALL,)),
    GATEWAY,
    StoredGateways(node="a", epoch=1, seq=3, items=(GATEWAY,)),
    PAGE_PASSWORD,
    PagePasswords(node="a", epoch=1, seq=3, items=(PAGE_PASSWORD,), complete=True),
    Tallies(node="a", epoch=1, seq=3, items=(Tally(key="gateway:x", count=2),), complete=True),
    EXPLANATION,
    Explained(node="a", epoch=1, seq=3, call_id="x", items=(EXPLANATION,)),
)


def primitives(value: object) -> set[type]:
    """The types in a message."""
    if type(value) is dict:
        return {dict}.union(*(primitives(one) for pair in value.items() for one in pair))
    if type(value) in (list, tuple):
        return {type(value)}.union(*(primitives(one) for one in value))
    return {type(value)}


class RoundTripTests(SynchronousTestCase):
    def test_all_kinds(self) -> None:
        """Each message comes back as it was, and nothing but primitives travels."""
        self.assertEqual({kind_of(message) for message in MESSAGES}, set(SCHEMAS))
        for message in MESSAGES:
            wire = encode(message)
            self.assertEqual(wire["v"], VERSION)
            self.assertLessEqual(primitives(wire), {dict, list, str, int, float, bool})
            self.assertEqual(decode(kind_of(message), wire), message)

    def test_secrets_are_not_shown(self) -> None:
        """The repr of an account, as a log would show it, holds no hash."""
        self.assertNotIn("000", repr(ACCOUNT))

    def test_own_mistake(self) -> None:
        """What we would refuse we do not send: the text names the field."""
        error = self.assertRaises(UsageError, encode, evolve(REPORT, seq=-1))
        self.assertIn("report.seq", str(error))


class OtherVersionTests(SynchronousTestCase):
    def test_unknown_fields(self) -> None:
        """A later version's fields are ignored, at every depth."""
        wire = encode(REPORT)
        wire.update(v=2, gpu=0.5)
        wire["workload"]["gpu"] = 0.5
        self.assertEqual(decode("report", wire), REPORT)

    def test_missing_optional(self) -> None:
        """A report of the fewest fields is one; what it lacks has its default."""
        wire = {"node": "a", "epoch": 1, "seq": 2, "state": "open", "workload": {}, "value": 0.5}
        self.assertEqual(decode("report", wire), Report(node="a", epoch=1, seq=2, value=0.5))

    def test_state_of_a_later_version(self) -> None:
        """A state that we do not know is UNKNOWN."""
        self.assertEqual(decode("report", {**encode(REPORT), "state": "dozing"}).state, NodeState.UNKNOWN)


class RefusalTests(SynchronousTestCase):
    def refused(self, kind: str, wire: object, field: str) -> None:
        error = self.assertRaises(PeerError, decode, kind, wire)
        self.assertIn(field, str(error))
        self.assertLess(len(str(error)), 300)

    def test_wrong_values(self) -> None:
        """Each wrong type, range, length or number is refused by the name of its field."""
        cases: list[tuple[str, Any]] = [
            ("node", ""),
            ("node", "a" * 65),
            ("node", b"a"),
            ("node", 1),
            ("node", None),
            ("epoch", True),
            ("epoch", 1.0),
            ("epoch", "1"),
            ("epoch", -1),
            ("epoch", 1 << 100_000),
            ("seq", None),
            ("state", 1),
            ("value", float("nan")),
            ("value", float("inf")),
            ("value", -0.1),
            ("value", True),
            ("value", "0.5"),
            ("value", 1 << 100_000),
            ("calls", 2**31),
            ("spontaneous", 1),
            ("workload", None),
            ("workload", []),
            ("v", "1"),
            ("v", 0),
        ]
        for name, value in cases:
            self.refused("report", {**encode(REPORT), name: value}, f"report.{name}")

    def test_required(self) -> None:
        """Every field without a default must be there."""
        for message in MESSAGES:
            kind = kind_of(message)
            for field in SCHEMAS[kind].fields:
                if field.default is REQUIRED:
                    wire = encode(message)
                    del wire[field.name]
                    self.refused(kind, wire, f"{kind}.{field.name}: missing")

    def test_path_of_a_nested_field(self) -> None:
        """The name leads to the value: list index and field."""
        wire = encode(MESSAGES[1])
        wire["nodes"].append({"name": "b", "role": "secondary", "address": "127.0.0.2", "port": 0})
        self.refused("membership", wire, "membership.nodes[1].port")
        self.refused("binding", {**encode(BINDING), "path": ["a", 1]}, "binding.path[1]")

    def test_long_list(self) -> None:
        """A list longer than allowed is refused before its values are looked at."""
        self.refused("binding", {**encode(BINDING), "path": [None] * 17}, "binding.path")
        self.refused("binding", {**encode(BINDING), "path": "abc"}, "binding.path")

    def test_not_a_dict(self) -> None:
        """Anything else than a dict, and any other kind, is an error of the peer and not ours."""
        for value in (None, [], "report", 5, b""):
            self.refused("report", value, "report")
        self.refused("gossip", {}, "kind")

    def test_subclass(self) -> None:
        """A subclass of a primitive may do anything when it is compared: it is refused."""

        class Odd(int):
            pass

        self.refused("report", {**encode(REPORT), "seq": Odd(5)}, "report.seq")
