"""The gateways as the operator sees and changes them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.balance.messages import StoredGateway, Way
from voipcluster.config import Config
from voipcluster.errors import PeerError, UsageError, VoipclusterError
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.routing import Route
from voipcluster.services.cluster.tallies import Tallies
from voipcluster.services.gateway.book import GatewayBook
from voipcluster.services.gateway.merging import DATABASE, merged
from voipcluster.services.node.gateway_view import GatewayView


class Part:
    """Attributes of a part of a node that the view looks at."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class Stored:
    """The gateways of the database, by name."""

    def __init__(self, rows: dict[str, StoredGateway]) -> None:
        self.get, self._rows = rows.get, rows

    def __iter__(self) -> Iterator[StoredGateway]:
        return iter(self._rows.values())


class Cluster:
    """Stores what is changed at once, as the primary does."""

    def __init__(self, test: GatewayViewTests) -> None:
        self.test = test

    def change(self, kind: str, row: StoredGateway) -> Deferred[None]:
        self.test.assertEqual(kind, "gateway")
        if row.removed:
            self.test.rows.pop(row.name, None)
        else:
            if row.new and row.name in self.test.rows:
                return fail(PeerError(f"gateway {row.name} exists already"))
            self.test.rows[row.name] = evolve(row, new=False)
        self.test.merge()
        return succeed(None)

    def change_all(self, kind: str, rows: Sequence[StoredGateway]) -> Deferred[None]:
        for row in rows:
            self.change(kind, row)
        return succeed(None)


class GatewayViewTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.rows: dict[str, StoredGateway] = {}
        self.of_file = [
            Gateway("carrier", servers=("192.0.2.1",), channels=2),
            Gateway("closed", servers=("192.0.2.3",), hours=("Mo 00:00-00:01",)),
            Gateway("hidden", auth_user="x", secret="/run/secret"),
        ]
        self.book = GatewayBook((), Tallies(), lambda: 1764590400.0)
        self.merge()
        self.others: dict[str, Any] = {}
        self.members: list[str] = []
        self.node: Any = Part(
            gateways=self.book,
            incoming=Part(refused={("carrier", "number"): 2, ("carrier", "full"): 1, ("", "stranger"): 9}),
            core=Part(
                node="a",
                addresses={"a": ("192.0.2.91", 5060), "b": ("192.0.2.92", 5060)},
                names=Part(
                    cluster={(f"192.0.2.9{n}", port) for n in (1, 2) for port in (5060, 5061)}
                    | {("gw.example.com", 5060)}
                ),
            ),
            stored_gateways=Stored(self.rows),
            config=Config(gateways=tuple(self.of_file)),
            cluster=Cluster(self),
        )
        self.view = GatewayView(
            self.node,
            lambda kind, params: succeed(self.others),
            lambda answers: [name for name in self.members if name not in answers],
        )

    def merge(self) -> None:
        found, faults = merged(self.of_file, self.rows.values())
        self.assertEqual(faults, [])
        self.book.replace(found.values())

    def listed(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in self.successResultOf(self.view.rows())}

    def test_a_node_that_is_silent(self) -> None:
        """Each row tells whose counts are missing in it."""
        self.members = ["b", "c"]
        self.others = {"c": {"gateways": []}}
        rows = self.successResultOf(self.view.rows())
        self.assertEqual([row["silent"] for row in rows], [["b"]] * 3)
        self.assertEqual(self.successResultOf(self.view.show("carrier"))["silent"], ["b"])

    def test_states(self) -> None:
        """Up, down with the reason, closed at this hour, disabled."""
        self.assertEqual([row["state"] for row in self.listed().values()], ["up", "closed", "incoming"])
        self.book.set_up("carrier", False, "no answer")
        self.view.switch("hidden", False)
        rows = self.listed()
        self.assertEqual([row["state"] for row in rows.values()], ["down", "closed", "disabled"])
        self.assertEqual((rows["carrier"]["reason"], rows["hidden"]["where"]), ("no answer", "file, changed"))

    def test_added_up(self) -> None:
        """Seizures, answers and refusals of all nodes, the latest cause, and who sees it how."""
        self.book.seized("carrier")
        self.book.released("carrier", "486")
        other = {"name": "carrier", "state": "down", "reason": "x", "registration": "", "seizures": 3, "answers": 3,
                 "refused": 4, "last_cause": "BYE", "last_at": 9e9}  # fmt: skip
        self.others = {"b": {"gateways": [other, {"name": "unknown"}, 7]}, "c": {}}
        row = self.listed()["carrier"]
        self.assertEqual((row["seizures"], row["answers"], row["asr"], row["refused"]), (4, 3, 0.75, 7))
        self.assertEqual((row["last_cause"], row["channels"], row["most"]), ("BYE", 0, 2))
        self.assertEqual([(one["node"], one["state"]) for one in row["nodes"]], [("a", "up"), ("b", "down")])

    def test_show(self) -> None:
        """With all options, and no password."""
        self.view.add("x", {"auth_user": "4930", "password": "sesame"})
        shown = self.successResultOf(self.view.show("x"))
        self.assertEqual((shown["options"]["auth_user"], shown["options"]["password"]), ("4930", "set"))
        self.assertNotIn("sesame", repr(shown))
        self.assertRaises(UsageError, self.view.show, "none")

    def test_add(self) -> None:
        """Options as texts, lists and keys of a permission; the result is stored as a file would have it."""
        options = {
            "servers": "192.0.2.7, sip.example.com", "channels": 3, "hours": "Mo,Tu 08:00-18:00; Sa 09:00-12:00",
            "incoming.numbers": "users,+49", "codecs": ["PCMA"], "kind": "pbx", "outgoing.numbers": 110,
            "auth_user": 4930, "not_alive": 503,
        }  # fmt: skip
        self.successResultOf(self.view.add("pbx", options))
        self.assertEqual(
            self.rows["pbx"],
            StoredGateway(
                name="pbx", kind="pbx", servers=("192.0.2.7", "sip.example.com"), channels=3, codecs=("PCMA",),
                hours=("Mo,Tu 08:00-18:00", "Sa 09:00-12:00"), incoming=Way(numbers=("users", "+49")),
                outgoing=Way(numbers=("110",)), auth_user="4930", not_alive=(503,),
            ),
        )  # fmt: skip
        self.assertEqual(self.book.where("pbx"), DATABASE)

    def import_all(
        self, *tables: tuple[str, dict[str, Any]], replace: bool = False, dry: bool = False
    ) -> Any:
        done = self.view.import_all(tables, replace, dry)
        return self.successResultOf(done) if isinstance(done, Deferred) else done

    def test_many(self) -> None:
        """New ones, those that are there already, and with C{replace} those that are there otherwise."""
        one, two = ("one", {"servers": ["192.0.2.21"]}), ("two", {"servers": ["192.0.2.22"]})
        self.assertEqual(self.import_all(one, two, dry=True), {"added": 2, "replaced": 0, "same": 0})
        self.assertEqual(self.rows, {})
        self.import_all(one)
        self.assertEqual(self.import_all(one, two), {"added": 1, "replaced": 0, "same": 1})
        moved = ("one", {"servers": ["192.0.2.23"]})
        self.assertRaises(UsageError, self.import_all, moved)
        self.assertEqual(self.import_all(moved, replace=True), {"added": 0, "replaced": 1, "same": 0})
        self.assertEqual(self.rows["one"].servers, ("192.0.2.23",))

    def test_many_and_one_is_wrong(self) -> None:
        """One line that names it, and nothing is stored."""
        good = ("good", {"servers": ["192.0.2.21"]})
        for wrong, text in (
            (("x", {"channel": 3}), "gateway x: unknown option 'channel'"),
            (("carrier", {"channels": 9}), "gateway carrier is in the configuration file"),
            (("x", {"servers": ["192.0.2.21"]}), "x"),
            (("x", {"servers": ["192.0.2.1"]}), "carrier"),
        ):
            error = str(self.assertRaises(VoipclusterError, self.import_all, good, wrong, replace=True))
            self.assertIn(text, error)
            self.assertNotIn("\n", error)
        self.assertEqual(self.rows, {})

    def test_wrong(self) -> None:
        """One line for each mistake, and nothing is stored."""
        for name, options, text in (
            ("carrier", {}, "exists already"),
            ("x", {"channel": 3}, "unknown option 'channel'"),
            ("x", {"channels": "many"}, 'channels: found "many"'),
            ("x", {"incoming.number": "users"}, "incoming.number: unknown key"),
            ("x", {"secret": "/etc/passwd"}, "secret: cannot be set here"),
            ("x y", {}, "name: found"),
        ):
            self.assertIn(text, str(self.assertRaises(UsageError, self.view.add, name, options)))
        for change in (self.view.set, self.view.switch):
            self.assertIn("no gateway none", str(self.assertRaises(UsageError, change, "none", {})))
        self.assertEqual(self.rows, {})

    def test_hardly_meant(self) -> None:
        """What is added without servers, or with a codec that nobody knows, is taken with a word; TLS needs a certificate."""
        answer = self.successResultOf(self.view.add("x", {"codecs": ["PCMZ"]}))
        codec, servers, known = answer["warnings"]
        self.assertEqual(
            known, "sources, username, certificates: there are none, so nobody is ever known as it"
        )
        self.assertIn("did you mean PCMA or PCMU?", codec)
        self.assertIn("no call goes to it", servers)
        self.assertEqual(self.listed()["x"]["state"], "incoming")
        answer = self.successResultOf(self.view.add("y", {"servers": ["192.0.2.8"]}))
        self.assertEqual(answer["warnings"], [])
        error = str(self.assertRaises(UsageError, self.view.add, "z", {"transport": "tls"}))
        self.assertIn("needs tls.certificate", error)

    def test_a_node_is_no_gateway(self) -> None:
        """A call to it would come back: one line that names the node, also of one of many, and of a change."""
        for server, name in (
            ("192.0.2.92", "b"), ("192.0.2.91:5061", "a"), ("GW.example.com", "a"),
        ):  # fmt: skip
            options = {"servers": ["192.0.2.8", server]}
            said = f"servers: {server} is node {name} of this cluster: a call that goes there would come back"
            for change, of in ((self.view.add, "x"), (self.view.set, "carrier")):
                self.assertEqual(str(self.assertRaises(UsageError, change, of, options)), said)
            error = self.assertRaises(UsageError, self.import_all, ("x", options))
            self.assertEqual(str(error), f"gateway x: {said}")
        self.assertEqual(self.rows, {})
        self.successResultOf(self.view.add("pbx", {"servers": ["192.0.2.92:5070"]}))

    def test_what_a_removal_leaves(self) -> None:
        """Of a gateway of the file only the changes go."""
        self.successResultOf(self.view.add("x", {}))
        self.assertEqual(self.successResultOf(self.view.remove("x")), {"left": False, "warnings": []})
        self.successResultOf(self.view.switch("carrier", False))
        self.assertEqual(self.successResultOf(self.view.remove("carrier")), {"left": True, "warnings": []})
        self.assertRaises(UsageError, self.view.remove, "carrier")

    def test_a_removal_that_routes_miss(self) -> None:
        """It is done, and each route that leads to nobody then is named; not those of a gateway that the file still has."""
        routes = [Route(prefix, gateway) for prefix, gateway in (("+49", "x"), ("+", "x"), ("+1", "carrier"))]
        self.node.config = evolve(self.node.config, routes=tuple(routes))
        self.successResultOf(self.view.add("x", {"servers": ["192.0.2.8"]}))
        self.successResultOf(self.view.switch("carrier", False))
        self.assertEqual(self.successResultOf(self.view.remove("carrier"))["warnings"], [])
        self.assertEqual(
            self.successResultOf(self.view.remove("x"))["warnings"],
            [f"route {prefix}: leads to x, so no call goes that way" for prefix in ("+49", "+")],
        )

    def test_set(self) -> None:
        """A gateway of the file is kept in the database once it is changed, and is that of the file again when removed."""
        self.successResultOf(self.view.set("carrier", {"channels": 9, "incoming.callers": "+49"}))
        changed = self.book.get("carrier")
        assert changed is not None
        self.assertEqual(
            (changed.channels, changed.servers, changed.incoming.callers), (9, ("192.0.2.1",), ("+49",))
        )
        self.assertEqual(changed.incoming.numbers, ("users",))
        self.successResultOf(self.view.remove("carrier"))
        self.assertEqual(self.book.get("carrier"), self.of_file[0])
        error = self.assertRaises(UsageError, self.view.remove, "carrier")
        self.assertIn("in the configuration file", str(error))

    def test_set_keeps_the_password(self) -> None:
        """What is not named stays as it is, the password included; one that is in a file is changed there."""
        self.successResultOf(self.view.add("x", {"auth_user": "4930", "password": "sesame"}))
        self.successResultOf(self.view.set("x", {"channels": 1}))
        self.assertEqual(self.book.password("x"), "sesame")
        for options in ({"channels": 1}, {"password": "open"}):
            self.assertRaises(UsageError, self.view.set, "hidden", options)

    def test_switch(self) -> None:
        """A gateway that is stored is stored anew; of one of the file only that is stored, so that the file still counts."""
        self.successResultOf(self.view.switch("carrier", False))
        self.assertEqual(self.rows["carrier"], StoredGateway(name="carrier", switch=True, enabled=False))
        self.of_file[0] = evolve(self.of_file[0], channels=77)
        self.merge()
        carrier = self.book.get("carrier")
        assert carrier is not None
        self.assertEqual((carrier.channels, carrier.enabled), (77, False))
        self.successResultOf(self.view.switch("carrier", True))
        self.assertEqual(self.listed()["carrier"]["state"], "up")
        self.successResultOf(self.view.add("x", {"channels": 3}))
        self.successResultOf(self.view.switch("x", False))
        self.assertEqual(self.rows["x"], StoredGateway(name="x", channels=3, enabled=False))
