"""The settings that all nodes must have alike."""

from __future__ import annotations

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config import Config, NumbersOptions, load_config, parse_set
from voipcluster.errors import PeerError
from voipcluster.gateway.routing import Route
from voipcluster.services.cluster.agreement import MOST, SHOWN, VITAL, Agreement, agreement_of


def config(*settings: str) -> Config:
    return load_config(None, [parse_set(setting) for setting in settings])


class AgreementTests(SynchronousTestCase):
    def of(self, *settings: str) -> Agreement:
        return agreement_of(config(*settings))

    def test_alike(self) -> None:
        """The same domains in another order and case are the same; what is of each node may differ."""
        ours = self.of('cluster.domain=["a.example", "b.example"]')
        theirs = self.of(
            'cluster.domain=["B.example", "a.example"]', "cluster.port=9000", "limits.calls=7", "node.name=x"
        )
        ours.check(theirs.own)
        self.assertEqual(ours.differences(theirs.own), "")

    def test_vital(self) -> None:
        """A node with other domains, ports or rules for passwords is not let in, and is told what differs."""
        ours = self.of('cluster.domain=["voice.test"]')
        for setting, name in (
            ("cluster.threshold=0.75", "cluster.domain"),
            ("sip.port=5070", "sip.port"),
            ("auth.required=false", "auth.required"),
        ):
            error = str(self.assertRaises(PeerError, ours.check, self.of(setting).own))
            self.assertIn(name, error)
        self.assertIn('cluster.domain ["example.com"] (here ["voice.test"])', error)
        self.assertLessEqual(set(VITAL), set(ours.own))

    def test_others_are_said(self) -> None:
        """Another threshold or policy keeps nobody out; both sides can say it."""
        ours, theirs = self.of(), self.of("cluster.threshold=0.5", "cluster.policy=sequence")
        ours.check(theirs.own)
        self.assertEqual(
            ours.differences(theirs.own),
            'cluster.threshold 0.5 (here 0.75), cluster.policy "sequence" (here "planned")',
        )

    def test_sources_are_trusted_alike(self) -> None:
        """Within a call it is the node that serves it whose strictness counts: a difference is said, and keeps nobody out."""
        ours, theirs = self.of(), self.of("auth.trust_source=false")
        ours.check(theirs.own)
        self.assertEqual(ours.differences(theirs.own), "auth.trust_source false (here true)")

    def test_numbers(self) -> None:
        """Another number plan or other routes are said, and keep nobody out; where the rate table is kept is each node's own."""
        ours = agreement_of(Config(numbers=NumbersOptions(country="49"), routes=(Route("", "a"),)))
        theirs = agreement_of(
            Config(numbers=NumbersOptions(country="49", rates="/x"), routes=(Route("", "b"),))
        )
        ours.check(theirs.own)
        self.assertTrue(ours.differences(theirs.own).startswith("routes [{"), ours.differences(theirs.own))

    def test_other_versions(self) -> None:
        """Who tells nothing, less or more than we know is not refused for it."""
        ours = self.of()
        for theirs in (None, {}, {"cluster.colour": '"red"'}):
            ours.check(theirs)
            self.assertEqual(ours.differences(theirs), "")

    def test_options_of_other_versions(self) -> None:
        """An option of a route that only a later version has makes no difference while nobody uses it."""

        @frozen
        class LaterRoute(Route):
            colour: str = "red"

        ours = agreement_of(Config(routes=(Route("", "a"),)))
        theirs = agreement_of(Config(routes=(LaterRoute("", "a"),)))
        self.assertEqual(ours.differences(theirs.own), "")
        theirs = agreement_of(Config(routes=(LaterRoute("", "a", colour="blue"),)))
        self.assertIn("blue", ours.differences(theirs.own))

    def test_hostile(self) -> None:
        """What is no dict of short printable texts is refused."""
        ours = self.of()
        for theirs in (
            [], "x", {"cluster.policy": 7}, {"cluster.policy": "x" * 1000}, {"cluster.policy": "\x1b[2J"},
            {str(number): "" for number in range(MOST + 1)},
        ):  # fmt: skip
            self.assertRaises(PeerError, ours.check, theirs)
            self.assertRaises(PeerError, ours.differences, theirs)

    def test_long_values(self) -> None:
        """A hundred domains fit into a message, and one more is noticed."""
        domains = [f"d{number}.example" for number in range(100)]
        ours, theirs = (Agreement(agreement_of(config(f"cluster.domain={list(d)}".replace("'", '"'))).own)
                        for d in (domains, [*domains, "z.example"]))  # fmt: skip
        self.assertLessEqual(len(ours.own["cluster.domain"]), SHOWN)
        self.assertRaises(PeerError, ours.check, theirs.own)
