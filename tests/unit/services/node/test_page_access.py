"""The password of the web pages at one node: on its disk, in its copies, and what its page is made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.world import World
from voipcluster.balance import codec
from voipcluster.balance.messages import PagePassword
from voipcluster.config import Config, NodeOptions, TlsOptions, WebOptions
from voipcluster.config.options import ClusterOptions
from voipcluster.errors import PeerError, UsageError
from voipcluster.services.node.page_access import FILE, KIND, PageAccess, gate_options, logged_out, told
from voipcluster.store.state import open_state
from voipcluster.web.gate import Gate
from voipcluster.web.passwords import SALT, hashed, matches

ONE, TWO = (PagePassword(kept=hashed(f"password {n}", bytes(SALT), 10)) for n in "12")


class PageAccessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.state = open_state(Path(self.mktemp()))
        self.addCleanup(self.state.close)
        self.waiting: list[tuple[Any, Deferred[Any]]] = []
        self.access = self.open()

    def open(self) -> PageAccess:
        return PageAccess(self.state, maybeDeferred)

    def later(self, work: Any) -> Deferred[Any]:
        self.waiting.append((work, Deferred()))
        return self.waiting[-1][1]

    def test_kept(self) -> None:
        """It is on the disk, for our own user only, before it counts; the next process reads it."""
        self.assertEqual((self.access.kept, list(self.access.full())), ("", []))
        self.successResultOf(self.access.store((ONE,)))
        self.assertEqual(self.access.kept, ONE.kept)
        path = self.state.path(FILE)
        self.assertEqual((path.stat().st_mode & 0o777, path.read_text()), (0o600, f"{ONE.kept}\n"))
        self.assertNotIn("password 1", path.read_text())
        self.assertEqual(list(self.open().full()), [ONE])

    def test_removed(self) -> None:
        """By name only: a primary that names none in a full copy knows of none, and takes none away."""
        self.successResultOf(self.access.store((ONE,)))
        for names in (frozenset(["web"]), frozenset[str]()):
            self.successResultOf(self.access.listed(names))
            self.assertEqual((self.access.kept, self.access.is_missed), (ONE.kept, not names))
        self.successResultOf(self.access.store((PagePassword(removed=True),)))
        self.assertEqual((self.access.kept, self.open().kept), ("", ""))
        self.successResultOf(self.access.store(()))

    def test_known(self) -> None:
        """That there is to be none is kept, and told, as a password is; without a file nothing is."""
        gone = PagePassword(removed=True)
        self.assertEqual((list(self.open().full()), told(self.access)), ([], {}))
        self.successResultOf(self.access.store((gone,)))
        self.assertEqual(list(self.open().full()), [gone])
        self.assertEqual(codec.decode(KIND, told(self.access)), gone)
        self.successResultOf(self.access.store((ONE,)))
        self.assertEqual(codec.decode(KIND, told(self.open())), ONE)
        self.state.write(FILE, b"damaged")
        self.assertEqual(list(self.open().full()), [])

    def test_order(self) -> None:
        """A later one is not overtaken on its way to the disk."""
        access = PageAccess(self.state, self.later)
        done = [access.store((one,)) for one in (ONE, TWO)]
        self.assertEqual((len(self.waiting), access.kept), (1, ""))
        for n in range(2):
            work, waiting = self.waiting[n]
            waiting.callback(work())
        self.assertEqual(access.kept, TWO.kept)
        for one in done:
            self.successResultOf(one)
        self.assertEqual(self.open().kept, TWO.kept)

    def test_damaged(self) -> None:
        """A file that holds no hash lets nobody in, and the log says what to do."""
        for content in (b"secret", b"\xff\xff", b"$scrypt$ln=15,r=8,p=1$x$y\n"):
            self.state.write(FILE, content)
            self.assertEqual(self.open().kept, "")
        self.state.write(FILE, b"")
        self.assertEqual(self.open().kept, "")

    def test_none(self) -> None:
        """What is not a hash of ours is not taken from anybody."""
        check = self.access.decided().check
        for wrong in (
            PagePassword(kept="plain text"),
            PagePassword(),
            PagePassword(kept=ONE.kept, removed=True),
            PagePassword(name="x", kept=ONE.kept),
        ):
            self.assertRaises(PeerError, check, wrong)
            self.assertRaises(PeerError, self.access.store, (wrong,))
        check(ONE)
        check(PagePassword(removed=True))

    def test_new(self) -> None:
        made = self.successResultOf(self.access.new("correct horse", bytes))
        self.assertTrue(matches("correct horse", made.kept))
        self.assertNotIn("horse", repr(made))
        self.assertEqual(self.successResultOf(self.access.new(None, bytes)), PagePassword(removed=True))
        self.failureResultOf(self.access.new("short", bytes), UsageError)


class ClusterTests(SynchronousTestCase):
    """Whole nodes in virtual time; a is the primary."""

    def setUp(self) -> None:
        self.world = World("abc", seed=5)
        self.world.run(1.0)

    def node(self, name: str) -> Any:
        return self.world.nodes[name].service

    def asked(self, what: Any) -> Any:
        answers: list[Any] = []
        what.addBoth(answers.append)
        self.world.until(lambda: answers, "an answer", 5.0)
        return answers[0]

    def password(self, at: str, password: str | None) -> None:
        """Set it at one node, and wait until all that run have it."""
        self.assertIsNone(self.asked(self.node(at).view.page_password(password)))
        kept = self.node("a").page_access.kept
        self.assertEqual(bool(kept), password is not None)
        running = [node.service for node in self.world.nodes.values() if node.alive]
        self.world.until(
            lambda: all(node.page_access.kept == kept for node in running), "it is everywhere", 5.0
        )

    def test_everywhere(self) -> None:
        """One that is set at a secondary lets one log in at all; a session holds at all, and a log-out too."""
        self.password("b", "correct horse")
        gates = [self.node(name).gate for name in "abc"]
        session = self.asked(gates[2].log_in("correct horse", "192.0.2.1"))
        for gate in gates:
            self.assertEqual(gate.sessions.check(session.token, gate._wall(), gate._password()), session)
        gates[2].log_out(session)
        self.world.until(lambda: all(gate.sessions.ended for gate in gates), "the others have heard", 5.0)
        self.password("c", None)
        self.assertFalse(any(gate.has_password for gate in gates))

    def test_away_meanwhile(self) -> None:
        """A node that was not there has the password when it is back, and no longer the one that was removed."""
        for password in ("correct horse", "another horse", None):
            self.world.nodes["c"].crash()
            self.world.run(3.0)
            self.password("b", password)
            self.world.nodes["c"].start()
            kept = self.node("a").page_access.kept
            self.world.until(
                lambda kept=kept: self.node("c").running and self.node("c").page_access.kept == kept,
                "it is at c, too",
                10.0,
            )

    def test_primary_lost_it(self) -> None:
        """Its state directory comes back without the file: it takes the copy of another node, and takes none away."""
        self.password("b", "correct horse")
        kept = self.node("b").page_access.kept
        self.world.nodes["a"].crash()
        self.world.run(3.0)
        self.node("a").state.lose(FILE)
        self.world.nodes["a"].start()
        self.world.until(self.world.linked, "all nodes are linked", 20.0)
        self.world.run(3.0)
        self.assertEqual([self.node(name).page_access.kept for name in "abc"], [kept] * 3)

    def test_primary_is_away(self) -> None:
        """A secondary says why it cannot be set now; nothing has changed."""
        self.password("b", "correct horse")
        before = self.node("b").page_access.kept
        self.world.nodes["a"].crash()
        self.world.run(5.0)
        failure = self.asked(self.node("b").view.page_password("another horse"))
        self.assertIn("node a is not reachable", failure.getErrorMessage())
        self.assertEqual(self.node("b").page_access.kept, before)
        failure = self.asked(self.node("b").view.page_password("short"))
        self.assertIn("8 to 256", failure.getErrorMessage())


class GateTests(SynchronousTestCase):
    def options(self, address: str, **web: Any) -> Any:
        tls = TlsOptions(certificate="x.pem") if web.get("tls") else TlsOptions()
        cluster = ClusterOptions(domain=("example.com",))
        return gate_options(
            Config(cluster=cluster, node=NodeOptions(address=address), web=WebOptions(**web), tls=tls)
        )

    def test_options(self) -> None:
        """Where it listens decides by which names it may be asked for; the rest is as written."""
        loopback = self.options("127.0.0.2", read="login", session=60.0)
        self.assertEqual((loopback.read, loopback.session, loopback.secure), ("login", 60.0, False))
        self.assertFalse(loopback.hosts.allows("example.com"))
        self.assertFalse(self.options("10.0.0.1").hosts.allows("a.example.com"))  # on 127.0.0.1 then
        outside = self.options("10.0.0.1", host="10.0.0.1", hosts=("page.test",))
        for name in ("a.example.com", "page.test", "node-a"):
            self.assertTrue(outside.hosts.allows(name), name)
        self.assertFalse(outside.hosts.allows("evil.test"))
        secure = self.options("10.0.0.1", host="10.0.0.1", tls=True)
        self.assertTrue(secure.secure and secure.hosts.allows("any.test"))

    def test_logged_out(self) -> None:
        """What another node tells of log-outs is a number and a time, or refused."""
        gate = Gate(wall=lambda: 1000.0)
        logged_out(gate, {"number": "ab", "until": 2000})
        self.assertEqual(list(gate.sessions.ended), ["ab"])
        for wrong in ({}, {"number": 1, "until": 1}, {"number": "a" * 65, "until": 1}, {"number": "a", "until": "x"},
                      {"number": "a", "until": float("nan")}, {"number": "a", "until": None}):  # fmt: skip
            self.assertRaises(PeerError, logged_out, gate, wrong)
        self.assertEqual(list(gate.sessions.ended), ["ab"])
