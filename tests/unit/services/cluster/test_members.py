"""The cluster service: what nodes in memory report, copy, ask and order."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.logger import capturedLogs
from zope.interface.verify import verifyObject

from tests.unit.services.cluster.cluster_case import ClusterCase, account, binding
from voipcluster.balance.messages import Ha1, Preference, PreferenceChange
from voipcluster.errors import PeerError, UsageError
from voipcluster.services.cluster.agreement import Agreement
from voipcluster.services.cluster.mesh import IMeshUser
from voipcluster.services.cluster.received import IClusterUser


class Interfaces(ClusterCase):
    def test_interfaces(self) -> None:
        """The service is what the mesh wants, and the fake user what the service wants."""
        verifyObject(IClusterUser, self.user("a"))
        verifyObject(IMeshUser, self.cluster.service("a"))

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

    def test_another_period(self) -> None:
        """A shorter one counts at once, for the others take who is silent for three of them for lost."""
        self.three()
        b = self.cluster.service("b")
        b.use(30.0, b._agreement)
        self.network.pass_time(3)
        for period, least in ((1.0, 9), (0.5, 19)):
            b.use(period, b._agreement)
            before = len(self.heard("a", "b"))
            self.network.pass_time(10)
            self.assertGreaterEqual(len(self.heard("a", "b")) - before, least)

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

    def test_preferences_and_passwords_are_changed_apart(self) -> None:
        """A new password leaves the preferences alone, and they it, wherever the two are changed, also at once."""
        self.three()
        wanted = (Preference(name="forward.busy", text="carol"),)
        new = evolve(account("bob"), ha1=(Ha1(algorithm="MD5", ha1="1" * 32),))
        for changes in (
            [("b", account("bob"))],
            [("c", PreferenceChange(username="bob", domain="example.com", items=wanted)), ("b", new)],
        ):
            changed = [self.cluster.service(where).change_account(change) for where, change in changes]
            self.network.pass_time(0.2, step=0.01)
            for one in changed:
                self.successResultOf(one)
        for name in "abc":
            self.assertEqual(self.user(name).accounts, {"bob": evolve(new, preferences=wanted)})

    def test_preferences_of_nobody(self) -> None:
        """What the primary cannot do is said at the node that was asked."""
        self.three()
        change = PreferenceChange(username="ghost", domain="example.com")
        for where in "ab":
            changed = self.cluster.service(where).change_account(change)
            self.network.pass_time(0.1, step=0.01)
            failure = self.failureResultOf(changed, PeerError, UsageError)
            self.assertIn("there is no user ghost", str(failure.value))
        self.assertEqual(self.user("a").accounts, {})

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


class Orders(ClusterCase):
    def test_drain_any_node_from_any_node(self) -> None:
        """The order reaches its target and no other; a node drains itself the same way."""
        self.three()
        ordered = [
            self.cluster.service("b").drain("c", True),
            self.cluster.service("b").drain("b", True),
            self.cluster.service("c").drain("a", False, stop=True),
        ]
        self.network.settle()
        for one in ordered:
            self.successResultOf(one)
        self.assertEqual(
            [(one.node, one.target, one.on) for one in self.user("c").drains], [("b", "c", True)]
        )
        self.assertEqual([(one.node, one.stop) for one in self.user("b").drains], [("b", False)])
        self.assertEqual([(one.on, one.stop) for one in self.user("a").drains], [(False, True)])

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
