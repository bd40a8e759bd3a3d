"""How a node comes to be a member, and who does not."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.services.cluster.cluster_case import ClusterCase
from voipcluster.errors import PeerError, UsageError
from voipcluster.net import certificates, roster
from voipcluster.net.certificates import NODE_DAYS, certified, check_issued
from voipcluster.net.join import parse_token
from voipcluster.net.roster import Roster
from voipcluster.services.cluster.admission import Admission, found, load_identity, load_roster, open_member
from voipcluster.services.cluster.agreement import Agreement
from voipcluster.store.state import NodeState, open_state

NOW = 1.7e9
DAY = 86400.0


class PrimaryCase(SynchronousTestCase):
    """
    The state of a primary C{a}, and its admission.

    @ivar running: names of nodes that run; C{published}: the rosters that it told.
    """

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.state = self.opened(self.directory)
        found(self.state, "a", "192.0.2.1", 8787, NOW)
        self.identity = load_identity(self.state)
        self.now, self.running, self.published = NOW, set[str](), list[Roster]()
        self.admission = self.made()

    def opened(self, directory: Path) -> NodeState:
        state = open_state(directory)
        self.addCleanup(state.close)
        return state

    def made(self, agreement: Agreement = Agreement({})) -> Admission:  # noqa: B008 - frozen
        return Admission(
            self.state,
            self.identity,
            lambda changed, signed: self.published.append(changed),
            lambda name: name in self.running,
            lambda: self.now,
            agreement,
        )

    def secret(self, uses: int = 1, ttl: float = 60.0) -> str:
        token = parse_token(self.admission.create_token("192.0.2.1", 8787, ttl, uses))
        return base64.b64encode(token.secret).decode()

    def request(self, name: str = "b", **fields: Any) -> dict[str, Any]:
        self.key = certificates.new_key()
        address = f"192.0.2.{ord(name[:1]) % 32}"  # b: 2, c: 3 ...
        return {
            "secret": "", "name": name, "role": "secondary", "address": address, "port": 8787,
            "request": certificates.create_request(name, self.key).decode(), **fields,
        }  # fmt: skip

    def refusal(self, request: dict[str, Any]) -> str:
        before = self.state.roster
        error = self.assertRaises(PeerError, self.admission.answer, request)
        self.assertEqual((self.state.roster, self.published), (before, []), "nobody was let in")
        text = str(error)
        self.assertEqual(len(text.splitlines()), 1)
        self.assertLess(len(text), 300)
        return text

    def join(self, name: str = "b", **fields: Any) -> dict[str, Any]:
        answer = self.admission.answer(self.request(name, secret=self.secret(), **fields))
        self.published.clear()
        return answer


class AnswerTests(PrimaryCase):
    def test_let_in(self) -> None:
        """The answer has all that the node needs: a certificate for its key, the cluster's key and the signed members."""
        answer = self.admission.answer(self.request(secret=self.secret()))
        certificate = certificates.x509.load_pem_x509_certificate(answer["certificate"].encode())
        check_issued(certificate, self.identity.ca, NOW)
        named = certified(certificate, self.state.cluster)
        key = certificates.key_digest(self.key.public_key())
        self.assertEqual((named.name, named.role, named.key), ("b", "secondary", key))
        self.assertEqual(base64.b64decode(answer["cluster_key"]), self.state.read("cluster.key"))
        members = roster.verify(answer["roster"], self.identity.ca)
        self.assertEqual(
            [(one.name, one.role, one.address) for one in members.members],
            [("a", "primary", "192.0.2.1"), ("b", "secondary", "192.0.2.2")],
        )
        self.assertEqual(self.published, [members])
        self.assertEqual(load_roster(self.state, self.identity), members)

    def test_a_token_is_used_up(self) -> None:
        """It is good for so many nodes, for so long; another one's text is none."""
        secret = self.secret(uses=2)
        for name in "bc":
            self.admission.answer(self.request(name, secret=secret))
        self.published.clear()
        self.assertEqual(
            self.refusal(self.request("d", secret=secret)), "the join token has been used already"
        )
        late = self.secret(ttl=60.0)
        self.now += 60.0
        self.assertEqual(self.refusal(self.request("d", secret=late)), "the join token has expired")
        for wrong in ("", "AAAA", "no base64!", "\ud800", late[:-4]):
            self.assertEqual(self.refusal(self.request("d", secret=wrong)), "the join token is unknown")

    def test_a_refusal_uses_nothing_up(self) -> None:
        """Whatever is wrong with a request is told, and its token is good for the next attempt."""
        secret = self.secret()
        for field, value, text in (
            ("role", "primary", "only a secondary joins"),
            ("role", None, "missing or wrong"),
            ("port", 0, "missing or wrong"),
            ("port", 65536, "missing or wrong"),
            ("port", True, "missing or wrong"),
            ("port", "8787", "missing or wrong"),
            ("name", ["b"], "missing or wrong"),
            ("name", "b/../c", "name"),
            ("name", "b" * 1000, "1 to 63 letters"),
            ("name", "a", "is taken"),
            ("address", "node.example.com", "is not an IP address"),
            ("request", "no request", "not a certificate signing request"),
            ("request", "\ud800", "not a certificate signing request"),
        ):
            self.assertIn(text, self.refusal({**self.request(secret=secret), field: value}), (field, value))
        self.admission.answer(self.request(secret=secret))

    def test_a_request_for_the_key_of_somebody_else(self) -> None:
        """A signing request proves that the key is the node's own (RFC 2986): one that was changed does not."""
        other = certificates.create_request("b", certificates.new_key()).decode().split("\n")
        own = self.request(secret=self.secret())
        lines = own["request"].split("\n")
        own["request"] = "\n".join([*lines[:-3], other[-3], *lines[-2:]])
        self.assertIn("not a certificate signing request", self.refusal(own))

    def test_a_name_that_is_taken(self) -> None:
        """A member's name is given again only while that member does not run; then its old certificate counts no more."""
        self.join("b")
        old = self.admission.roster.get("b")
        self.running.add("b")
        self.assertIn(
            "taken by a node that is running", self.refusal(self.request("b", secret=self.secret()))
        )
        self.running.clear()
        self.join("b", address="192.0.2.9")
        new = self.admission.roster.get("b")
        assert old is not None and new is not None
        self.assertNotEqual(old.key, new.key)
        self.assertEqual((len(self.admission.roster.members), new.address), (2, "192.0.2.9"))

    def test_an_address_that_is_taken(self) -> None:
        """Another member's address is refused with whose it is; a member that comes again to its own is let in."""
        self.join("b")
        for address, owner in (("192.0.2.1", "a"), ("192.0.2.2", "b")):
            refusal = self.refusal(self.request("c", secret=self.secret(), address=address))
            self.assertIn(f"{address}:8787 is the address of node {owner}", refusal)
        self.join("b")
        self.join("c", port=8788)
        self.admission.remove("b")
        self.join("d")

    def test_other_settings(self) -> None:
        """It is told what differs, and its token is good for the next attempt."""
        self.admission = self.made(Agreement({"cluster.domain": '["voice.test"]'}))
        request = self.request(secret=self.secret(), settings={"cluster.domain": '["example.com"]'})
        self.assertIn('cluster.domain ["example.com"] (here ["voice.test"])', self.refusal(request))
        self.admission.answer({**request, "settings": {"cluster.domain": '["voice.test"]'}})
        self.assertEqual([one.name for one in self.admission.roster.members], ["a", "b"])

    def test_no_version_in_common(self) -> None:
        """A node that would not understand the others is told so before it is a member, and its token is good for another one."""
        request = self.request(secret=self.secret(), release="9.0", protocol=[7, 8])
        refusal = self.refusal(request)
        self.assertIn("voipcluster 9.0 speaks versions 7 to 8 of the cluster link", refusal)
        self.assertIn("upgrade over a release that speaks both", refusal)
        self.assertIn("protocol: ", self.refusal({**request, "protocol": "7"}))
        self.admission.answer({**request, "protocol": [1, 8]})
        self.assertEqual([one.name for one in self.admission.roster.members], ["a", "b"])


class MemberTests(PrimaryCase):
    def test_renewed(self) -> None:
        """A member gets a new certificate for the key that it has, valid from now."""
        self.join("b")
        self.now += 200 * DAY
        pem = self.admission.renew("b", "secondary", certificates.create_request("b", self.key))
        certificate = certificates.x509.load_pem_x509_certificate(pem.encode())
        check_issued(certificate, self.identity.ca, self.now + (NODE_DAYS - 1) * DAY)
        self.assertEqual(certified(certificate, self.state.cluster).name, "b")

    def test_not_renewed(self) -> None:
        """Not for another key, another role, a stranger, or what is no request."""
        self.join("b")
        own = certificates.create_request("b", self.key)
        for name, role, request in (
            ("b", "secondary", certificates.create_request("b", certificates.new_key())),
            ("b", "primary", own),
            ("x", "secondary", own),
            ("a", "primary", own),
            ("b", "secondary", b"no request"),
        ):
            self.assertRaises(PeerError, self.admission.renew, name, role, request)

    def test_moved(self) -> None:
        """A new address is signed and told; the same one, and that of a stranger, change nothing."""
        self.join("b")
        self.admission.move("b", "192.0.2.2", 8787)
        self.admission.move("x", "192.0.2.7", 8787)
        self.assertEqual(self.published, [])
        self.admission.move("b", "192.0.2.7", 9000)
        [told] = self.published
        member = told.get("b")
        assert member is not None
        self.assertEqual((member.address, member.port), ("192.0.2.7", 9000))
        self.assertEqual(load_roster(self.state, self.identity), told)

    def test_removed(self) -> None:
        """A member leaves the list; the primary cannot, and a stranger is none."""
        self.join("b")
        self.admission.remove("b")
        self.assertEqual([[one.name for one in told.members] for told in self.published], [["a"]])
        self.assertIn("there is no node b", str(self.assertRaises(UsageError, self.admission.remove, "b")))
        self.assertIn("node a is the primary", str(self.assertRaises(UsageError, self.admission.remove, "a")))

    def test_each_roster_is_a_newer_one(self) -> None:
        """Generations rise, so that nobody goes back to an older list (attack: replay of a roster)."""
        for name in "bc":
            self.join(name)
        self.admission.move("b", "192.0.2.7", 8787)
        self.admission.remove("c")
        self.assertEqual([told.generation for told in self.published], [4, 5])


class StateTests(PrimaryCase):
    def damaged(self, name: str, content: bytes, load: Any) -> str:
        kept = self.state.read(name)
        self.state.write(name, content)
        text = str(self.assertRaises(UsageError, load))
        self.state.write(name, kept)
        self.assertEqual(len(text.splitlines()), 1)
        self.assertIn(str(self.state.path(name)), text)
        return text

    def test_damaged_keys(self) -> None:
        """Key material that is damaged or missing is one line that names the file."""
        for name in ("ca.pem", "node.pem", "node.key", "cluster.key"):
            self.damaged(name, b"rubbish", lambda: load_identity(self.state))
        self.damaged("ca.key", b"rubbish", self.made)
        self.damaged("cluster.key", bytes(31), lambda: load_identity(self.state))
        self.state.path("node.key").unlink()
        self.assertIn("node.key", str(self.assertRaises(UsageError, load_identity, self.state)))

    def test_forged_members(self) -> None:
        """A list of members that the CA has not signed, or in which the node itself is missing, is not used."""
        signed = dict(self.state.roster)
        self.state.roster = {**signed, "roster": signed["roster"].replace("192.0.2.1", "192.0.2.66")}
        text = str(self.assertRaises(UsageError, load_roster, self.state, self.identity))
        self.assertIn("cluster.json", text)
        ca_key = certificates.key_from_pem(self.state.read("ca.key"))
        self.state.roster = roster.sign(Roster(self.state.cluster, 2, ()), ca_key)
        text = str(self.assertRaises(UsageError, load_roster, self.state, self.identity))
        self.assertIn("node a is not a member of its own cluster", text)


class OpenTests(SynchronousTestCase):
    """What C{open_member} says of a directory; joining itself has its tests with L{voipcluster.net.join}."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())

    def open(
        self, role: str, name: str = "a", token: str | None = None, directory: Path | None = None
    ) -> NodeState:
        state = open_member(directory or self.directory, role, name, "192.0.2.1", 8787, token)
        self.addCleanup(state.close)
        return state

    def refusal(self, *arguments: Any, **more: Any) -> str:
        text = str(self.assertRaises(UsageError, self.open, *arguments, **more))
        self.assertEqual(len(text.splitlines()), 1)
        return text

    def test_founded(self) -> None:
        """A primary founds its cluster once; the next start finds it, in a later epoch, also without role and name."""
        first = self.open("primary")
        cluster, epoch = first.cluster, first.epoch
        first.close()
        again = self.open("", "")
        self.assertEqual((again.cluster, again.name, again.role), (cluster, "a", "primary"))
        self.assertGreater(again.epoch, epoch)
        self.assertEqual(load_roster(again, load_identity(again)).get("a") is not None, True)

    def test_keys_are_private(self) -> None:
        """Nobody else on the machine reads them."""
        self.open("primary")
        for name in ("ca.key", "node.key", "cluster.key"):
            self.assertEqual((self.directory / name).stat().st_mode & 0o077, 0, name)

    def test_a_new_directory(self) -> None:
        """It needs a role, a secondary a token, and a primary none."""
        self.assertIn("--role (node.role) is needed", self.refusal(""))
        self.assertIn("needs --join TOKEN@ADDRESS", self.refusal("secondary"))
        self.assertIn("a primary founds its own cluster", self.refusal("primary", token="x@192.0.2.1"))
        self.assertIn("name", self.refusal("primary", "no name"))

    def test_a_refusal_unlocks(self) -> None:
        """After any of them the directory can be opened again."""
        self.refusal("secondary")
        state = self.open("primary")
        state.close()
        (self.directory / "node.key").write_bytes(b"rubbish")
        self.assertIn("node.key", self.refusal("primary"))
        open_state(self.directory).close()

    def test_as_something_else(self) -> None:
        """A directory is that of one node in one role."""
        self.open("primary").close()
        self.assertIn("cannot start as secondary", self.refusal("secondary"))
        self.assertIn("cannot start as z", self.refusal("primary", "z"))

    def test_a_token_of_another_cluster(self) -> None:
        """A member that is told to join another cluster does not start; a token of its own is left alone."""
        state = self.open("primary")
        other = self.open("primary", directory=self.directory.with_name("other"))
        tokens = {}
        for one in (state, other):
            admission = Admission(one, load_identity(one), lambda changed, signed: None, lambda name: False)
            tokens[one.cluster] = admission.create_token("192.0.2.1", 8787, 60, 1)
        own, foreign = tokens[state.cluster], tokens[other.cluster]
        state.close()
        self.assertIn("belongs to another cluster", self.refusal("", token=foreign))
        self.assertEqual(self.open("", token=own).name, "a")
        uses = json.loads((self.directory / "tokens.json").read_text()).values()
        self.assertEqual([token["uses"] for token in uses], [1])


class JoiningTests(ClusterCase):
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

    def test_only_the_primary_makes_tokens(self) -> None:
        """A secondary says who does."""
        self.three()
        self.assertRegex(self.cluster.service("a").create_token(), r"\A[A-Za-z0-9_-]{64}@127\.0\.0\.1\Z")
        self.assertIn("node a", str(self.assertRaises(UsageError, self.cluster.service("b").create_token)))
