"""What members tell: heard in its form and from whom it may come, refused else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.conformance.marks import attack
from tests.unit.services.cluster.cluster_case import ClusterCase, account, binding
from tests.unit.services.cluster_nodes import User
from voipcluster.balance import codec
from voipcluster.balance.messages import Account, Accounts, Bindings, Drain, Preference, PreferenceChange
from voipcluster.balance.report import Report
from voipcluster.errors import PeerError, UsageError
from voipcluster.net.certificates import Certified
from voipcluster.services.cluster.received import Received, accounts_decided, binding_key

PRIMARY, SECONDARY = Certified("a", "primary", "0" * 64), Certified("b", "secondary", "1" * 64)


def report(node: str, epoch: int, seq: int, **rest: Any) -> dict[str, Any]:
    return codec.encode(Report(node=node, epoch=epoch, seq=seq, **rest))


class ReceivedTests(SynchronousTestCase):
    """One message after the other, without a link."""

    def setUp(self) -> None:
        self.user = User("c")
        self.changed: list[Account | PreferenceChange] = []
        self.received = self.made(None)

    def made(self, change: Callable[[str, Any], Deferred[None]] | None) -> Received:
        return Received("c", self.user, {"account": accounts_decided(self.user)}, change)

    def tell(self, kind: str, body: dict[str, Any], peer: Certified = SECONDARY) -> Any:
        return self.received.kinds[kind](peer, body)

    def accounts(self, *names: str, complete: bool = False) -> dict[str, Any]:
        return codec.encode(
            Accounts(node="a", epoch=1, seq=1, items=tuple(map(account, names)), complete=complete)
        )

    def test_greetings_that_come_late(self) -> None:
        """Each pair of nodes greets twice: the older report of the two is no news, nor is one from before a restart."""
        self.tell("report", report("b", 2, 7))
        for epoch, seq in ((2, 6), (2, 7), (1, 99)):
            self.received.take_greeting("b", report("b", epoch, seq))
        self.assertEqual([one.version for one in self.user.reports], [(2, 7)])
        self.received.take_greeting("b", report("b", 2, 8))
        self.received.take_greeting("b", report("b", 3, 1))
        self.received.take_greeting("a", report("a", 1, 1))
        self.assertEqual([one.version for one in self.user.reports], [(2, 7), (2, 8), (3, 1), (1, 1)])

    def test_greeting_for_somebody_else(self) -> None:
        """A greeting with the report of a third node, or without a proper one, is refused, and nothing of it is heard."""
        for body in (report("a", 1, 1), {}, None, 7, {"node": "b"}):
            self.assertRaises(PeerError, self.received.take_greeting, "b", body)
        self.assertEqual(self.user.reports, [])

    def test_all_accounts_in_parts(self) -> None:
        """What the parts do not name is gone with the last one, and not before it."""
        self.user.accounts = {"ghost": account("ghost")}
        self.successResultOf(self.tell("accounts", self.accounts("u1", "u2"), PRIMARY))
        self.assertEqual(sorted(self.user.accounts), ["ghost", "u1", "u2"])
        self.successResultOf(self.tell("accounts", self.accounts("u3", complete=True), PRIMARY))
        self.assertEqual(sorted(self.user.accounts), ["u1", "u2", "u3"])
        self.successResultOf(self.tell("accounts", self.accounts(complete=True), PRIMARY))
        self.assertEqual(self.user.accounts, {}, "an empty copy is one, too")

    def test_a_copy_that_begins_anew(self) -> None:
        """What a copy named before the link was lost does not count for the next one."""
        self.successResultOf(self.tell("accounts", self.accounts("u1"), PRIMARY))
        self.received.begin_copy("a")
        self.assertEqual(self.user.copies_begun, ["a"])
        self.successResultOf(self.tell("accounts", self.accounts("u2", complete=True), PRIMARY))
        self.assertEqual(sorted(self.user.accounts), ["u2"])

    def test_a_store_that_fails(self) -> None:
        """The primary hears that an account was not kept, and the others are not thrown away for it."""
        self.user.accounts = {"ghost": account("ghost")}
        self.patch(self.user, "store_accounts", lambda accounts: fail(OSError("disk full")))
        self.received = self.made(None)
        self.failureResultOf(self.tell("accounts", self.accounts("u1", complete=True), PRIMARY), OSError)
        self.failureResultOf(self.tell("account-changes", self.accounts("u1"), PRIMARY), OSError)
        self.assertEqual(sorted(self.user.accounts), ["ghost"])

    def test_a_change_that_is_asked_for(self) -> None:
        """The primary decides about it; a secondary says that it does not."""
        body = codec.encode(account("alice"))
        error = self.assertRaises(PeerError, self.tell, "account", body)
        self.assertEqual((error.status_hint, self.changed), (403, []))

        def change(kind: str, changed: Any) -> Deferred[None]:
            self.assertEqual(kind, "account")
            self.changed.append(changed)
            return succeed(None)

        self.received = self.made(change)
        self.successResultOf(self.tell("account", body))
        wish = PreferenceChange(username="alice", domain="example.com", items=(Preference(name="find-me"),))
        self.successResultOf(self.tell("preference-change", codec.encode(wish)))
        self.assertEqual(self.changed, [account("alice"), wish])

    def test_a_change_that_is_none(self) -> None:
        """Why it was refused is told to the node that asked; it is no bug of ours."""
        self.received = self.made(lambda kind, changed: fail(UsageError("no such preference")))
        failed = self.tell("preference-change", codec.encode(PreferenceChange(username="a", domain="b")))
        self.assertIn("no such preference", str(self.failureResultOf(failed, PeerError).value))

    def test_questions(self) -> None:
        """A question has a kind and params; the answer is the node's."""
        self.assertEqual(self.tell("ask", {"kind": "calls", "params": {"x": 1}}), {"node": "c", "x": 1})
        for body in ({}, {"kind": "calls"}, {"kind": 7, "params": {}}, {"kind": "calls", "params": [1]}):
            self.assertRaises(PeerError, self.tell, "ask", body)

    def test_one_change_at_a_time(self) -> None:
        """Changes are told one by one in their order; parts of a copy as they are."""
        items = (binding("b", "u1"), binding("b", "u1", expires=0))
        body = codec.encode(Bindings(node="b", epoch=1, seq=1, items=items, complete=True))
        self.tell("binding-changes", body)
        self.assertEqual(self.user.others, {})
        self.user.others["b", "ghost@example.com"] = binding("b", "ghost")
        self.tell(
            "bindings", codec.encode(Bindings(node="b", epoch=1, seq=1, items=items[:1], complete=True))
        )
        self.assertEqual(list(self.user.others), [("b", "u1@example.com")])

    def test_what_is_the_same_binding(self) -> None:
        """The Contact says (RFC 3261 section 10.2.1), or instance and reg-id where both are there (RFC 5626 section 6)."""
        one = binding("b", "u1")
        self.assertEqual(binding_key(one), binding_key(evolve(one, cseq=9)))
        self.assertNotEqual(binding_key(one), binding_key(evolve(one, contact="sip:2@h")))
        phone = evolve(one, instance="<urn:uuid:1>", reg_id=1)
        self.assertEqual(binding_key(phone), binding_key(evolve(phone, contact="sip:2@h")))
        self.assertNotEqual(binding_key(phone), binding_key(evolve(phone, reg_id=2)))
        self.assertEqual(binding_key(evolve(phone, reg_id=0)), binding_key(one))


class OverTheLink(ClusterCase):
    def test_unknown_fields_and_missing_ones(self) -> None:
        """A newer report has more fields, an older one fewer: both are heard."""
        self.three()
        body = codec.encode(evolve(self.user("b").report(5000), epoch=self.cluster["b"].state.epoch))
        newer = {**body, "v": 7, "moon": "full", "workload": {**body["workload"], "gpu": 0.5}}
        older = {key: body[key] for key in ("v", "node", "epoch", "seq", "state", "workload", "value")} | {
            "seq": 5001
        }
        for message in (newer, older):
            called = self.cluster.service("b").mesh.call("a", "report", message)
            self.network.settle()
            self.successResultOf(called)
        self.assertEqual([one.seq for one in self.user("a").reports[-2:]], [5000, 5001])

    def test_bad_messages_are_refused_field_by_field(self) -> None:
        """Of each kind: a wrong type or no dict at all is refused, and the link stays."""
        self.three()
        mesh = self.cluster.service("b").mesh
        for kind in (
            "report",
            "bindings",
            "binding-changes",
            "account",
            "drain",
            "ask",
            "roster",
            "renew",
            "hello",
        ):
            for body in (
                {},
                {"node": 7},
                {"items": 7, "node": "b", "epoch": 1, "seq": 1},
                {"kind": 1, "params": []},
            ):
                called = mesh.call("a", kind, body)
                self.network.settle()
                self.failureResultOf(called, PeerError)
        self.assertTrue(self.cluster.service("b").is_up("a"))

    def test_a_report_of_another_node_is_refused(self) -> None:
        """A node cannot report for another one."""
        self.three()
        report = evolve(self.user("a").report(99), epoch=2**40)
        called = self.cluster.service("b").mesh.call("c", "report", codec.encode(report))
        self.network.settle()
        self.assertIn("speaks for", str(self.failureResultOf(called, PeerError).value))
        self.assertNotIn(report, self.user("c").reports)

    def test_nobody_speaks_for_another_node(self) -> None:
        """A member may assert the bindings that it holds, and no others."""
        self.three()
        sender = {"node": "b", "epoch": 1, "seq": 1}
        forged = (
            Bindings(**sender, items=(binding("a", "alice"),)),
            Bindings(**sender | {"node": "a"}, items=(), complete=True),
        )
        for message in forged:
            for kind in ("bindings", "binding-changes"):
                called = self.cluster.service("b").mesh.call("c", kind, codec.encode(message))
                self.network.settle()
                self.failureResultOf(called, PeerError)
        self.assertEqual(self.user("c").others, {})

    @attack("P5")
    def test_only_the_primary_decides(self) -> None:
        """P5: accounts from a secondary are refused, and a secondary takes no orders for changes."""
        self.three()
        forged = Accounts(node="b", epoch=1, seq=1, items=(account("eve"),), complete=True)
        mesh = self.cluster.service("b").mesh
        for node in "ac":
            for kind in ("accounts", "account-changes"):
                called = mesh.call(node, kind, codec.encode(forged))
                self.network.settle()
                self.failureResultOf(called, PeerError)
        called = mesh.call("c", "account", codec.encode(account("eve")))
        self.network.settle()
        self.failureResultOf(called, PeerError)
        self.assertEqual([sorted(self.user(name).accounts) for name in "abc"], [[], [], []])

    def test_an_order_for_another_node_is_refused(self) -> None:
        """A node obeys orders that name it."""
        self.three()
        order = Drain(node="b", epoch=1, seq=1, target="a")
        called = self.cluster.service("b").mesh.call("c", "drain", codec.encode(order))
        self.network.settle()
        self.failureResultOf(called, PeerError)
        self.assertEqual(self.user("c").drains, [])
