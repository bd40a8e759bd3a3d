"""The cluster service: nodes in memory that report, replicate, ask and lose one another."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.conformance.marks import Recorded, attack
from tests.unit.services.cluster_nodes import Cluster, User
from voipcluster.balance import codec
from voipcluster.balance.messages import Account, Accounts, Binding, Bindings, Drain, Ha1
from voipcluster.errors import PeerError, UsageError
from voipcluster.net import certificates
from voipcluster.services.cluster.admission import load_identity
from voipcluster.services.cluster.agreement import Agreement
from voipcluster.services.cluster.mesh import IMeshUser
from voipcluster.services.cluster.received import IClusterUser


def binding(node: str, name: str, expires: int = 60, **rest: Any) -> Binding:
    return Binding(
        node=node, epoch=1, seq=1, aor=f"{name}@example.com", contact=f"sip:{name}@192.0.2.1", expires=expires,
        call_id="c", cseq=1, **rest,
    )  # fmt: skip


def account(name: str, **rest: Any) -> Account:
    return Account(username=name, domain="example.com", ha1=(Ha1(algorithm="MD5", ha1="0" * 32),), **rest)


class ClusterCase(Recorded, SynchronousTestCase):
    def setUp(self) -> None:
        self.cluster = Cluster(Path(self.mktemp()))
        self.network = self.cluster.network
        self.addCleanup(self._stop)

    def _stop(self) -> None:
        self.cluster.stop()
        self.assertEqual(self.network.getDelayedCalls(), [])

    def three(self) -> None:
        self.cluster.join("b", "127.0.0.2")
        self.cluster.join("c", "127.0.0.3")
        self.network.pass_time(1.5)

    def user(self, name: str) -> User:
        return self.cluster[name].user


class Mesh(ClusterCase):
    def test_interfaces(self) -> None:
        """The service is what the mesh wants, and the fake user what the service wants."""
        verifyObject(IClusterUser, self.user("a"))
        verifyObject(IMeshUser, self.cluster.service("a"))

    def test_everybody_is_linked_with_everybody(self) -> None:
        """After two nodes have joined, each has a link to each other one and knows all members in order."""
        self.three()
        for name in "abc":
            service = self.cluster.service(name)
            self.assertEqual([one.name for one in service.members()], ["a", "b", "c"])
            self.assertEqual(
                [other for other in "abc" if service.is_up(other)], [x for x in "abc" if x != name]
            )
            self.assertEqual([one.name for one in self.user(name).members], ["a", "b", "c"])

    def test_secondaries_need_no_primary(self) -> None:
        """With the primary gone, secondaries restart from what they have stored and find each other."""
        self.three()
        self.cluster["a"].stop()
        self.cluster["b"].crash()
        self.cluster["c"].crash()
        self.network.pass_time(1)
        self.cluster["b"].start()
        self.cluster["c"].start()
        self.network.pass_time(2)
        self.assertTrue(self.cluster.service("b").is_up("c"))
        self.assertTrue(self.cluster.service("c").is_up("b"))

    def test_members_learn_of_a_joiner_from_each_other(self) -> None:
        """A member that was away when a node joined learns of it from any other one, without the primary."""
        self.cluster.join("b", "127.0.0.2")
        self.cluster.join("c", "127.0.0.3")
        self.network.pass_time(1)
        self.cluster["b"].stop()
        self.cluster.join("d", "127.0.0.4")
        self.network.pass_time(1)
        self.cluster["a"].stop()
        self.cluster["b"].reopen()
        self.cluster["b"].start()
        self.network.pass_time(8)
        self.assertEqual([one.name for one in self.cluster.service("b").members()], ["a", "b", "c", "d"])
        self.assertTrue(self.cluster.service("b").is_up("d"))
        self.assertTrue(self.cluster.service("d").is_up("b"))

    def test_a_killed_node_is_noticed_and_heard_again_at_once(self) -> None:
        """The others see the link go; the restarted node, with a new epoch, reports within one exchange."""
        self.three()
        self.cluster["b"].crash()
        self.network.settle()
        self.assertEqual(self.user("a").changes[-1], ("b", False))
        self.network.pass_time(20)
        heard = len(self.user("a").reports)
        self.cluster["b"].start(period=30.0)
        self.network.pass_time(0.1)
        reports = [report for report in self.user("a").reports[heard:] if report.node == "b"]
        self.assertEqual(reports[0].epoch, self.cluster["b"].state.epoch)
        self.assertEqual(self.user("a").changes[-1], ("b", True))

    def test_a_frozen_node_is_given_up_and_comes_back(self) -> None:
        """As SIGSTOP: no answer within 5 s ends the link; when it runs again the mesh is whole again."""
        self.three()
        self.network.frozen.add("127.0.0.2")
        self.network.pass_time(7)
        self.assertFalse(self.cluster.service("a").is_up("b"))
        self.assertTrue(self.cluster.service("a").is_up("c"))
        self.network.frozen.clear()
        self.network.pass_time(15)
        for name, other in (("a", "b"), ("b", "a"), ("c", "b"), ("b", "c")):
            self.assertTrue(self.cluster.service(name).is_up(other), (name, other))

    def test_an_old_life_is_not_heard(self) -> None:
        """Messages of an earlier epoch are dropped, counted and said in the log."""
        self.three()
        mesh = self.cluster.service("b").mesh
        mesh._state.epoch -= 10
        heard = len([one for one in self.user("a").reports if one.node == "b"])
        with capturedLogs() as events:
            self.network.pass_time(5)
        self.assertEqual(len([one for one in self.user("a").reports if one.node == "b"]), heard)
        self.assertTrue([event for event in events if "dropped" in str(event.get("log_format"))])
        mesh._state.epoch += 10

    def test_a_removed_node_is_shut_out(self) -> None:
        """Its certificate still is of our CA, but nobody links with it any more."""
        self.three()
        admission = self.cluster.service("a").mesh.admission
        assert admission is not None, "a is the primary"
        admission.remove("b")
        self.network.pass_time(3)
        for name in "ac":
            self.assertEqual([one.name for one in self.cluster.service(name).members()], ["a", "c"])
            self.assertFalse(self.cluster.service(name).mesh._gates.is_connected("b"))

    def test_a_stopped_node_is_forgotten(self) -> None:
        """Its name leaves every list, and it finds no way back; one that runs, the primary and strangers are not forgotten."""
        self.three()
        a, c = self.cluster.service("a"), self.cluster.service("c")
        for service, name, text in (
            (a, "b", "node b is running; stop it first: voipctl stop b"),
            (a, "a", "node a is the primary"),
            (a, "x", "there is no node x"),
            (c, "b", "only the primary, node a"),
        ):
            self.assertIn(text, str(self.assertRaises(UsageError, service.forget, name)))
        self.cluster["b"].stop()
        self.network.pass_time(1)
        a.forget("b")
        self.network.pass_time(1)
        for service in (a, c):
            self.assertEqual([one.name for one in service.members()], ["a", "c"])
        self.cluster["b"].reopen()
        self.cluster["b"].start()
        self.network.pass_time(8)
        for service in (a, c):
            self.assertFalse(service.mesh.is_running("b"))
        self.assertFalse(self.cluster.service("b").is_up("a"))

    def test_a_node_that_leaves_says_so(self) -> None:
        """The others hear it before the link goes, warn of nothing, and hear no report of it after that."""
        self.three()
        b = self.cluster.service("b")
        with capturedLogs() as events:
            left: list[None] = []
            b.leave().addCallback(left.append)
            self.network.pass_time(3)
            self.assertEqual(left, [None])
            reports = len(self.user("a").reports)
            b.report_now()
            self.network.pass_time(0.5)
            self.assertEqual([one for one in self.user("a").reports[reports:] if one.node == "b"], [])
            self.cluster["b"].stop()
            self.network.pass_time(1)
        for name in "ac":
            self.assertEqual(self.user(name).left, ["b"])
        lost = [event for event in events if "is lost" in str(event.get("log_format"))]
        self.assertEqual(lost, [])
        self.assertEqual(self.user("a").changes[-1], ("b", False))
        self.cluster["c"].stop()
        self.network.pass_time(1)
        self.assertEqual(self.user("a").left, ["b"], "c said nothing")

    def test_other_settings_are_said(self) -> None:
        """Two nodes with other settings both warn, once, and again when they differ in something else."""
        self.three()
        a, b = self.cluster.service("a"), self.cluster.service("b")
        a._agreement = Agreement({"cluster.threshold": "0.75"})
        for value, said in (("0.5", ["a", "b"]), ("0.5", []), ("0.6", ["a", "b"])):
            with capturedLogs() as events:
                b._agreement = Agreement({"cluster.threshold": value})
                for service, name in ((a, "b"), (b, "a")):
                    service.mesh.links[name].reset("for the test")
                self.network.pass_time(3)
            warned = {
                event["name"]: event["different"]
                for event in events
                if "other settings" in str(event.get("log_format"))
            }
            self.assertEqual(sorted(warned), said)
            if said:
                self.assertEqual(warned["b"], f"cluster.threshold {value} (here 0.75)")
                self.assertEqual(warned["a"], f"cluster.threshold 0.75 (here {value})")

    def test_a_node_with_other_domains_is_not_let_in(self) -> None:
        """It is told what differs, and its token is good for the next attempt."""
        admission = self.cluster.service("a").mesh.admission
        assert admission is not None, "a is the primary"
        admission._agreement = Agreement({"cluster.domain": '["voice.test"]'})
        token = admission.create_token("127.0.0.1", 8787, 60, 1)
        request = {
            "secret": base64.b64encode(base64.urlsafe_b64decode(token.partition("@")[0])[32:]).decode(),
            "name": "b", "role": "secondary", "address": "127.0.0.2", "port": 8787,
            "request": certificates.create_request("b", certificates.new_key()).decode(),
        }  # fmt: skip
        other = {**request, "settings": {"cluster.domain": '["example.com"]'}}
        error = str(self.assertRaises(PeerError, admission.answer, other))
        self.assertIn('cluster.domain ["example.com"] (here ["voice.test"])', error)
        self.assertEqual([one.name for one in self.cluster.service("a").members()], ["a"])
        admission.answer({**request, "settings": {"cluster.domain": '["voice.test"]'}})
        self.assertEqual([one.name for one in self.cluster.service("a").members()], ["a", "b"])

    def test_a_node_that_lost_its_directory_joins_anew(self) -> None:
        """The name is given again when its node does not run, and the old certificate counts no more."""
        self.three()
        old = self.cluster["b"]
        self.assertIn("taken", str(self.assertRaises(PeerError, self.rejoin)))
        old.stop()
        self.network.pass_time(1)
        self.rejoin()
        self.network.pass_time(6)
        self.assertTrue(self.cluster.service("c").is_up("b"))
        roster = self.cluster.service("c").roster
        self.assertEqual([one.name for one in roster.members], ["a", "b", "c"])
        old.state.close()

    def rejoin(self) -> None:
        nodes, self.cluster.base = dict(self.cluster.nodes), self.cluster.base / "again"
        try:
            self.cluster.join("b", "127.0.0.2")
        except PeerError:
            self.cluster.nodes["b"].state.close()
            self.cluster.nodes, self.cluster.base = nodes, self.cluster.base.parent
            raise

    def test_a_node_that_moves_is_found(self) -> None:
        """A secondary that restarts at another address is called there by all."""
        self.three()
        self.cluster["b"].crash()
        self.cluster["b"].address = "127.0.0.22"
        self.cluster["b"].start()
        self.network.pass_time(8)
        self.assertTrue(self.cluster.service("a").is_up("b"))
        self.assertTrue(self.cluster.service("c").is_up("b"))
        addresses = {one.name: one.address for one in self.cluster.service("c").members()}
        self.assertEqual(addresses["b"], "127.0.0.22")

    def test_a_taken_port_is_one_line(self) -> None:
        """A second listener on the link's address and port is refused with both named."""
        self.cluster.join("b", "127.0.0.1", start=False)
        error = str(self.assertRaises(UsageError, self.cluster["b"].start))
        self.assertIn("127.0.0.1:8787", error)
        self.cluster["b"].stop()

    def test_only_the_primary_makes_tokens(self) -> None:
        """A secondary says who does."""
        self.three()
        self.assertRegex(self.cluster.service("a").create_token(), r"\A[A-Za-z0-9_-]{64}@127\.0\.0\.1\Z")
        self.assertIn("node a", str(self.assertRaises(UsageError, self.cluster.service("b").create_token)))


class Reports(ClusterCase):
    def heard(self, by: str, of: str) -> list[Any]:
        return [report for report in self.user(by).reports if report.node == of]

    def test_everybody_reports_each_period(self) -> None:
        """In 10 periods of 1 s each hears some 10 reports of each other one, with rising sequence numbers."""
        self.three()
        before = len(self.heard("a", "b"))
        self.network.pass_time(10)
        reports = self.heard("a", "b")
        self.assertIn(len(reports) - before, (9, 10, 11))
        self.assertEqual([one.seq for one in reports[before:]], sorted({one.seq for one in reports[before:]}))
        self.assertEqual({one.epoch for one in reports}, {self.cluster["b"].state.epoch})

    def test_a_spontaneous_report_arrives_at_once(self) -> None:
        """report_now() is heard by everybody without waiting for the period (claim 8)."""
        self.three()
        self.user("b").calls = 17
        self.cluster.service("b").report_now()
        self.network.pass_time(0.02, step=0.02)
        self.assertEqual(self.heard("a", "b")[-1].calls, 17)
        self.assertEqual(self.heard("c", "b")[-1].calls, 17)

    def test_a_link_that_comes_back_brings_a_report(self) -> None:
        """Who was given up is known again with the link, not only after a period; and no report comes twice."""
        self.three()
        for name in "abc":
            self.cluster.service(name)._period = 30.0
        self.network.pass_time(2)
        before = len(self.heard("a", "b"))
        self.cluster.service("a").mesh.links["b"].reset("for the test")
        self.network.pass_time(1)
        self.assertEqual(len(self.heard("a", "b")), before + 1)
        versions = [one.version for one in self.heard("a", "b")]
        self.assertEqual(versions, sorted(set(versions)))

    def test_at_most_fifty_per_second(self) -> None:
        """A thousand changes in a second are at most some 50 reports, and the last value is never lost."""
        self.three()
        before = len(self.heard("a", "b"))
        for calls in range(1000):
            self.user("b").calls = calls
            self.cluster.service("b").report_now()
            self.network.advance(0.001)
        self.network.pass_time(0.1, step=0.01)
        reports = self.heard("a", "b")[before:]
        self.assertLessEqual(len(reports), 55)
        self.assertGreater(len(reports), 30)
        self.assertEqual(reports[-1].calls, 999)

    def test_a_report_of_another_node_is_refused(self) -> None:
        """A node cannot report for another one."""
        self.three()
        report = evolve(self.user("a").report(99), epoch=2**40)
        called = self.cluster.service("b").mesh.call("c", "report", codec.encode(report))
        self.network.settle()
        self.assertIn("speaks for", str(self.failureResultOf(called, PeerError).value))
        self.assertNotIn(report, self.user("c").reports)


class Versions(ClusterCase):
    """A node of another version is a peer, not an error."""

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

    def test_an_unknown_message_is_refused_and_the_link_stays(self) -> None:
        """What only a newer version knows is answered with an error; nothing else happens."""
        self.three()
        called = self.cluster.service("b").mesh.call("a", "teleport", {})
        self.network.settle()
        self.assertIn("not known", str(self.failureResultOf(called, PeerError).value))
        self.assertTrue(self.cluster.service("b").is_up("a"))

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


class Registrations(ClusterCase):
    def test_a_binding_is_known_everywhere(self) -> None:
        """A change reaches all others within the gathering time; a removal too."""
        self.three()
        self.cluster.service("b").publish_binding(binding("b", "alice"))
        self.network.pass_time(0.05, step=0.01)
        for name in "ac":
            self.assertEqual(self.user(name).others["b", "alice@example.com"].expires, 60)
        self.cluster.service("b").publish_binding(binding("b", "alice", expires=0))
        self.network.pass_time(0.05, step=0.01)
        self.assertEqual(self.user("a").others, {})

    def test_a_node_that_comes_late_gets_all(self) -> None:
        """Hundreds of bindings come in bounded parts, and what the receiver had too much is gone."""
        self.three()
        self.user("b").own = {str(n): binding("b", f"u{n}") for n in range(300)}
        self.user("c").others["b", "ghost@example.com"] = binding("b", "ghost")
        self.cluster["c"].stop()
        self.network.pass_time(1)
        self.cluster["c"].reopen()
        self.cluster["c"].start()
        self.network.pass_time(3)
        self.assertEqual({aor for _, aor in self.user("c").others}, {f"u{n}@example.com" for n in range(300)})

    def test_changes_during_a_copy_come_after_it(self) -> None:
        """What is removed while the copy is under way is not there afterwards."""
        self.cluster.join("b", "127.0.0.2")
        self.network.pass_time(1)
        self.user("a").own = {str(n): binding("a", f"u{n}") for n in range(200)}
        self.cluster.service("b").mesh.links["a"]
        self.cluster.service("a").mesh.links["b"].reset("for the test")
        self.network.settle(until=lambda: self.cluster.service("a").is_up("b"))
        self.network.pass_time(0.5, step=0.5)
        self.cluster.service("a").publish_binding(binding("a", "u0", expires=0))
        self.network.pass_time(3)
        self.assertNotIn(("a", "u0@example.com"), self.user("b").others)
        self.assertEqual(len(self.user("b").others), 199)

    def test_a_link_made_anew_begins_the_copy_anew(self) -> None:
        """What came of a copy over the link before is void, also when the receiver did not see that one go."""
        self.cluster.join("b", "127.0.0.2")
        self.network.pass_time(1)
        before = self.user("b").copies_begun.count("a")
        self.cluster.service("a").mesh.links["b"].reset("for the test")
        self.network.pass_time(3)
        self.assertEqual(self.user("b").copies_begun.count("a"), before + 1)

    def test_long_bindings_go_in_halves(self) -> None:
        """A part that the link does not carry is split; all of it arrives."""
        self.cluster.join("b", "127.0.0.2", start=False)
        path = tuple(f"<sip:{'p' * 1000}{n}>" for n in range(16))
        self.user("a").own = {str(n): binding("a", f"u{n}", path=path) for n in range(60)}
        self.cluster["b"].start()
        self.network.pass_time(2)
        self.assertEqual(len(self.user("b").others), 60)

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


class TheAccounts(ClusterCase):
    def test_changes_reach_all(self) -> None:
        """An account that is added at the primary or at a secondary is at the primary first, then everywhere."""
        self.three()
        for name, where in (("alice", "a"), ("bob", "b")):
            changed = self.cluster.service(where).change_account(account(name))
            self.network.pass_time(0.1, step=0.01)
            self.successResultOf(changed)
        for name in "abc":
            self.assertEqual(sorted(self.user(name).accounts), ["alice", "bob"])
        changed = self.cluster.service("c").change_account(account("alice", removed=True))
        self.network.pass_time(0.1, step=0.01)
        self.successResultOf(changed)
        for name in "abc":
            self.assertEqual(sorted(self.user(name).accounts), ["bob"])

    def test_without_the_primary_nothing_changes(self) -> None:
        """A secondary says that the primary is not reachable."""
        self.three()
        self.cluster["a"].stop()
        self.network.pass_time(1)
        failed = self.failureResultOf(self.cluster.service("b").change_account(account("bob")), PeerError)
        self.assertIn("node a is not reachable", str(failed.value))
        self.assertEqual(self.user("b").accounts, {})

    def test_a_full_copy_when_a_node_comes(self) -> None:
        """A node that was away gets all accounts, and loses those that were removed meanwhile."""
        self.three()
        self.cluster["b"].stop()
        self.user("b").accounts = {"ghost": account("ghost")}
        self.user("a").accounts = {f"u{n}": account(f"u{n}") for n in range(150)}
        self.cluster["b"].reopen()
        self.cluster["b"].start()
        self.network.pass_time(3)
        self.assertEqual(self.user("b").accounts, self.user("a").accounts)

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

    @attack("P5")
    def test_certificates_and_roster_are_the_primarys(self) -> None:
        """P5: a secondary neither renews certificates nor passes on a roster that the CA has not signed."""
        self.three()
        mesh = self.cluster.service("b").mesh
        forged = {**self.cluster["b"].state.roster}
        forged["roster"] = forged["roster"].replace('"generation": 3', '"generation": 99')
        for node, kind, body in (
            ("c", "renew", {"request": "x"}),
            ("c", "roster", forged),
            ("a", "roster", forged),
        ):
            called = mesh.call(node, kind, body)
            self.network.settle()
            self.failureResultOf(called, PeerError)
        self.assertEqual(self.cluster.service("c").roster.generation, 3)


class Orders(ClusterCase):
    def test_drain_any_node_from_any_node(self) -> None:
        """The order reaches its target and no other; a node drains itself the same way."""
        self.three()
        ordered = [
            self.cluster.service("b").drain("c", True),
            self.cluster.service("b").drain("b", True),
            self.cluster.service("c").drain("a", False, stop=True, deadline=60.0),
        ]
        self.network.settle()
        for one in ordered:
            self.successResultOf(one)
        self.assertEqual(
            [(one.node, one.target, one.on) for one in self.user("c").drains], [("b", "c", True)]
        )
        self.assertEqual([(one.node, one.stop) for one in self.user("b").drains], [("b", False)])
        self.assertEqual(
            [(one.on, one.stop, one.deadline) for one in self.user("a").drains], [(False, True, 60.0)]
        )

    def test_an_order_for_another_node_is_refused(self) -> None:
        """A node obeys orders that name it."""
        self.three()
        order = Drain(node="b", epoch=1, seq=1, target="a")
        called = self.cluster.service("b").mesh.call("c", "drain", codec.encode(order))
        self.network.settle()
        self.failureResultOf(called, PeerError)
        self.assertEqual(self.user("c").drains, [])

    def test_questions(self) -> None:
        """Any node asks any other, itself included; refusals and unknown nodes are told."""
        self.three()
        service = self.cluster.service("b")
        asked = [service.ask(node, "calls", {"call_id": "x"}) for node in "abc"]
        refused, nowhere = service.ask("a", "weather", {}), service.ask("nobody", "calls", {})
        self.network.settle()
        self.assertEqual(
            [self.successResultOf(one) for one in asked], [{"node": n, "call_id": "x"} for n in "abc"]
        )
        self.assertIn("weather", str(self.failureResultOf(refused, PeerError).value))
        self.assertIn("nobody", str(self.failureResultOf(nowhere, PeerError).value))

    def test_the_dead_do_not_answer(self) -> None:
        """A question to a node that is down fails at once."""
        self.three()
        self.cluster["c"].stop()
        self.network.pass_time(1)
        self.failureResultOf(self.cluster.service("b").ask("c", "calls", {}), PeerError)


class Renewal(ClusterCase):
    def test_certificates_are_renewed_over_the_link(self) -> None:
        """With a third of the year left, primary and secondary get new certificates for the same key and go on."""
        self.three()
        later = 250 * 86400.0
        meshes = [self.cluster.service(name).mesh for name in "ab"]
        before = [mesh._tls.identity for mesh in meshes]
        for mesh in meshes:
            mesh._wall_clock = lambda: time.time() + later
            if mesh.admission is not None:
                mesh.admission._wall_clock = mesh._wall_clock
        self.network.pass_time(61, step=1)
        for mesh, old in zip(meshes, before, strict=True):
            new = mesh._tls.identity
            self.assertGreater(new.certificate.not_valid_after_utc, old.certificate.not_valid_after_utc)
            self.assertEqual(new.key, old.key)
            kept = load_identity(self.cluster[mesh.node].state)
            self.assertEqual(kept.certificate, new.certificate)
