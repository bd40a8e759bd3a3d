"""What the primary decides on besides accounts, and counts: kept alike at all nodes."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred, succeed

from tests.unit.services.cluster.cluster_case import ClusterCase
from voipcluster.balance.messages import StoredGateway, StoredGateways, Tally
from voipcluster.errors import PeerError
from voipcluster.services.cluster.decided import Decided


class Kept:
    """The gateways of one node."""

    def __init__(self) -> None:
        self.rows: dict[str, StoredGateway] = {}
        self.refuses = ""

    def decided(self) -> Decided:
        return Decided(
            "gateway",
            StoredGateways,
            lambda row: row.name,
            self.full,
            self.store,
            self.listed,
            self.check,
            adopt=self.adopt,
            merged=lambda row: evolve(row, version=1) if row.name == "x" and not row.channels else row,
        )

    def full(self) -> list[StoredGateway]:
        return list(self.rows.values())

    def store(self, rows: tuple[StoredGateway, ...]) -> Deferred[None]:
        for row in rows:
            if row.removed:
                self.rows.pop(row.name, None)
            else:
                self.rows[row.name] = row
        return succeed(None)

    def adopt(self, rows: tuple[StoredGateway, ...]) -> Deferred[tuple[StoredGateway, ...]]:
        newer = tuple(
            row for row in rows if row.name not in self.rows or row.version > self.rows[row.name].version
        )
        return self.store(newer).addCallback(lambda _: newer)

    def listed(self, names: frozenset[str]) -> None:
        self.rows = {name: row for name, row in self.rows.items() if name in names}

    def check(self, *rows: StoredGateway) -> None:
        if self.refuses in [row.name for row in rows]:
            raise PeerError("not this one")


class DecidedTests(ClusterCase):
    def setUp(self) -> None:
        super().setUp()
        self.kept: dict[str, Kept] = {}

    def restart(self, name: str) -> None:
        """With gateways, as a node of this version has them."""
        node = self.cluster[name]
        if node.service is not None:
            node.crash()
        kept = self.kept[name] = Kept()
        node.user.also_decided = [kept.decided()]
        node.start()

    def three_with_gateways(self) -> None:
        self.three()
        for name in "abc":
            self.restart(name)
        self.network.pass_time(3)

    def test_changed_at_any_node(self) -> None:
        """A change that a secondary asks for is stored by the primary and comes to all; a removal, too."""
        self.three_with_gateways()
        row = StoredGateway(name="x", channels=3)
        changed = self.cluster.service("b").change("gateway", row)
        self.network.pass_time(0.5)
        self.successResultOf(changed)
        self.assertEqual([self.kept[name].rows for name in "abc"], [{"x": row}] * 3)
        self.cluster.service("a").change("gateway", StoredGateway(name="x", removed=True))
        self.network.pass_time(0.5)
        self.assertEqual([self.kept[name].rows for name in "abc"], [{}] * 3)

    def test_of_the_shared_database(self) -> None:
        """What a node has from there it keeps; what the primary has from there it tells the others, too."""
        self.three_with_gateways()
        one, other = StoredGateway(name="x", version=1), StoredGateway(name="y", version=1)
        self.successResultOf(self.cluster.service("b").adopt("gateway", [one]))
        self.network.pass_time(0.5)
        self.assertEqual([set(self.kept[name].rows) for name in "abc"], [set(), {"x"}, set()])
        self.successResultOf(self.cluster.service("a").adopt("gateway", [one, other]))
        self.network.pass_time(0.5)
        self.assertEqual([set(self.kept[name].rows) for name in "abc"], [{"x", "y"}] * 3)

    def test_older_in_the_shared_database(self) -> None:
        """What the primary has newer it does not tell the others as it was: they would take it from him."""
        self.three_with_gateways()
        newer, older = StoredGateway(name="y", version=2), StoredGateway(name="y", version=1)
        self.cluster.service("a").change("gateway", newer)
        self.network.pass_time(0.5)
        self.successResultOf(self.cluster.service("a").adopt("gateway", [older]))
        self.network.pass_time(0.5)
        self.assertEqual([self.kept[name].rows["y"].version for name in "abc"], [2, 2, 2])

    def test_many_at_once(self) -> None:
        """The others hear of them as the primary has stored them."""
        self.three_with_gateways()
        changed = self.cluster.service("a").change_all("gateway", [StoredGateway(name="x")])
        self.network.pass_time(0.5)
        self.successResultOf(changed)
        self.assertEqual([self.kept[name].rows["x"].version for name in "abc"], [1, 1, 1])

    def test_refused_by_the_primary(self) -> None:
        """What the primary refuses is stored nowhere, and who asked hears why."""
        self.three_with_gateways()
        self.kept["a"].refuses = "x"
        changed = self.cluster.service("c").change("gateway", StoredGateway(name="x"))
        self.network.pass_time(0.5)
        self.assertIn("not this one", self.failureResultOf(changed, PeerError).getErrorMessage())
        self.assertEqual([self.kept[name].rows for name in "abc"], [{}] * 3)
        self.assertRaises(PeerError, self.cluster.service("a").change, "gateway", StoredGateway(name="x"))

    def test_all_when_a_node_comes(self) -> None:
        """A node that was away gets all, and forgets what is none any more."""
        self.three_with_gateways()
        self.kept["a"].rows = {str(number): StoredGateway(name=str(number)) for number in range(100)}
        self.restart("c")
        self.kept["c"].rows = {"ghost": StoredGateway(name="ghost")}
        self.network.pass_time(3)
        self.assertEqual(self.kept["c"].rows, self.kept["a"].rows)

    def test_without_the_primary(self) -> None:
        """Nothing is changed while the primary is away, and the error says so."""
        self.three_with_gateways()
        self.cluster["a"].stop()
        self.network.pass_time(1)
        failed = self.failureResultOf(self.cluster.service("b").change("gateway", StoredGateway(name="x")))
        self.assertIn(
            "gateways are changed at the primary, and node a is not reachable", failed.getErrorMessage()
        )

    def test_a_member_of_an_older_version(self) -> None:
        """It is told nothing that it does not know, and its link stays up."""
        self.three()
        self.restart("a")
        self.network.pass_time(3)
        self.kept["a"].rows["x"] = StoredGateway(name="x")
        ups = len(self.user("b").changes)
        self.cluster.service("a").publish("gateway", StoredGateway(name="x"))
        self.network.pass_time(3)
        self.assertEqual(len(self.user("b").changes), ups)
        self.assertTrue(self.cluster.service("a").is_up("b"))

    def test_counts(self) -> None:
        """What a node counts comes to all others within some 20 ms, and all of it to one that comes later."""
        self.three()
        self.user("a").counts = {"gateway:x": 1}
        self.cluster.service("a").publish_tally(Tally(key="gateway:x", count=1))
        self.network.pass_time(0.1)
        for name in "bc":
            self.assertEqual(self.user(name).counts_of, {("a", "gateway:x"): 1})
        self.cluster["c"].crash()
        self.cluster["c"].start()
        self.network.pass_time(3)
        self.assertEqual(self.user("c").counts_of, {("a", "gateway:x"): 1})
        self.assertIn("a", self.user("c").copies_begun)
