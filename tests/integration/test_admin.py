"""The admin socket, the web page and the command lines as real sockets and processes."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

import voipcluster
from tests.unit.fake_node import CALL, STATUS, FakeNode
from voipcluster.errors import UsageError
from voipcluster.services.admin import AdminService
from voipcluster.web.gate import Gate
from voipcluster.web.site import WebService

ROOT = str(Path(voipcluster.__file__).parent.parent)


VOIPCTL = "from voipcluster.voipctl import main; raise SystemExit(main())"
TWISTD = "from twisted.scripts.twistd import run; run()"


def run(*argv: str, program: str = VOIPCTL) -> Deferred[tuple[bytes, bytes, int]]:
    """Run a command as its installed script would; its output, its errors and its status."""
    environment = {**os.environ, "PYTHONPATH": ROOT}

    def killed(failure: Any) -> None:
        out, err, number = failure.value  # this is what a process that a signal ended gives
        raise AssertionError(f"{argv} was ended by signal {number}: {err!r} {out!r}")

    ended = getProcessOutputAndValue(
        sys.executable, ["-X", "faulthandler", "-c", program, *argv], env=environment
    )
    return ended.addErrback(killed)


class AdminSocketTests(TestCase):
    timeout = 150

    def setUp(self) -> None:
        self.state = self.mktemp()
        Path(self.state).mkdir(mode=0o700)
        self.state = str(Path(self.state).absolute())
        self.node = FakeNode()

    def start(self, state: str | None = None) -> AdminService:
        service = AdminService(reactor, state or self.state, self.node)
        service.startService()
        self.addCleanup(service.stopService)
        return service

    @inlineCallbacks
    def test_voipctl(self) -> Any:
        """A real voipctl asks over the real socket."""
        self.start()
        out, err, status = yield run("--state-dir", self.state, "--json", "status")
        self.assertEqual((json.loads(out), err, status), (STATUS, b"", 0))
        out, err, status = yield run("--state-dir", self.state, "user", "rm", "a@b.c")
        self.assertEqual((out, err.count(b"\n"), status), (b"", 1, 1))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_only_for_its_user(self) -> None:
        """The socket has mode 0600, and is gone after stopping."""
        service = self.start()
        path = Path(self.state) / "admin.sock"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        stopped = service.stopService()
        stopped.addCallback(lambda _: self.assertFalse(path.exists()))
        return stopped

    @inlineCallbacks
    def test_long_path(self) -> Any:
        """A state directory whose path does not fit into a socket address works all the same (unix(7))."""
        state = Path(self.state, "d" * 120, "e" * 120)
        state.mkdir(parents=True)
        self.start(str(state))
        self.assertTrue(stat.S_ISSOCK((state / "admin.sock").stat().st_mode))
        out, err, status = yield run("--state-dir", str(state), "calls")
        self.assertEqual((err, status), (b"", 0))
        self.assertIn(CALL["call_id"].encode(), out)

    def test_stale_socket(self) -> None:
        """The socket of a node that was killed is replaced."""
        path = Path(self.state) / "admin.sock"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(os.path.relpath(path))
        self.assertTrue(path.exists())
        self.start()

    def test_live_socket(self) -> None:
        """A second node on one state directory is refused, and the first one keeps its socket."""
        self.start()
        second = AdminService(reactor, self.state, self.node)
        error = self.assertRaises(UsageError, second.startService)
        self.assertEqual(str(error), f"another node is running on the state directory {self.state}")
        self.assertTrue((Path(self.state) / "admin.sock").exists())

    def test_something_else_in_the_way(self) -> None:
        """A file that is no socket is not deleted."""
        path = Path(self.state) / "admin.sock"
        path.write_text("precious")
        error = self.assertRaises(UsageError, AdminService(reactor, self.state, self.node).startService)
        self.assertIn("not a socket", str(error))
        self.assertEqual(path.read_text(), "precious")

    @inlineCallbacks
    def test_no_node(self) -> Any:
        """Without a node, voipctl says so in one line."""
        out, err, status = yield run("--state-dir", self.state, "status")
        self.assertEqual((out, status), (b"", 1))
        self.assertIn(b"no node is running on the state directory", err)
        self.assertEqual(err.count(b"\n"), 1)


class WebTests(TestCase):
    timeout = 150

    @inlineCallbacks
    def test_voipctl_over_the_web(self) -> Any:
        """voipctl --url reads over the web page what it reads over the socket, and changes nothing."""
        service = WebService(reactor, "127.0.0.1", 0, FakeNode(), Gate())
        service.startService()
        self.addCleanup(service.stopService)
        url = f"http://127.0.0.1:{service.port}"
        out, err, status = yield run("--url", url, "--json", "calls", CALL["call_id"])
        self.assertEqual((json.loads(out), err, status), ([CALL], b"", 0))
        out, err, status = yield run("--url", url, "explain", CALL["call_id"])
        self.assertEqual((err, status), (b"", 0))
        self.assertIn(b"hand-over to b", out)
        out, err, status = yield run("--url", url, "explain", "unknown/x")
        self.assertEqual((out, err, status), (b"", b"voipctl: no node knows unknown/x\n", 1))
        out, err, status = yield run("--url", url, "metrics")
        self.assertEqual((out, err, status), (b"voipcluster_calls 10.0\n", b"", 0))
        out, err, status = yield run("--url", url, "drain")
        self.assertEqual((out, status), (b"", 1))
        self.assertIn(b"'drain' needs the admin socket", err)


class TwistdTests(TestCase):
    """Bad input: one clear line on standard error, status 1, and nothing started."""

    timeout = 120

    @inlineCallbacks
    def refuse(self, *arguments: str, text: str) -> Any:
        directory = self.mktemp()
        argv = [
            "--nodaemon",
            f"--pidfile={directory}.pid",
            "voipcluster",
            "--state-dir",
            directory,
            *arguments,
        ]
        out, err, status = yield run(*argv, program=TWISTD)
        self.assertEqual((err.count(b"\n"), status), (1, 1), (out, err))
        self.assertTrue(err.startswith(b"voipcluster: "), err)
        self.assertIn(text, err.decode("utf-8"))
        self.assertNotIn(b"Traceback", out)
        self.assertFalse(Path(f"{directory}.pid").exists())

    @inlineCallbacks
    def test_command_line(self) -> Any:
        """No role, an unknown flag, an unknown role."""
        yield self.refuse(text="--role is missing")
        yield self.refuse("--rolle", "primary", text="option --rolle not recognized")
        yield self.refuse("--role", "boss", text='--role: found "boss", allowed is one of primary, secondary')

    @inlineCallbacks
    def test_configuration(self) -> Any:
        """An unknown key, a wrong type, a file that is not there: file, line, key and what is allowed."""
        path = self.mktemp()
        Path(path).write_text("[cluster]\n\ntreshold = 0.5\n")
        yield self.refuse(
            "--role",
            "primary",
            "--config",
            path,
            text=f'{path}:3: unknown key "treshold" in [cluster]; did you mean',
        )
        Path(path).write_text('[limits]\ncalls = "many"\n')
        yield self.refuse(
            "--role", "primary", "--config", path, text=f'{path}:2: limits.calls: found "many", allowed is'
        )
        yield self.refuse(
            "--role", "primary", "--config", "none.toml", text="none.toml: cannot be read: No such file"
        )
        yield self.refuse("--role", "primary", "--set", "cluster.policy=best", text='unknown policy "best"')

    @inlineCallbacks
    def test_addresses(self) -> Any:
        """An address that is none, one of another machine, and one whose SIP port is taken."""
        yield self.refuse(
            "--role", "primary", "--address", "10.0.0", text='--address: found "10.0.0", allowed is an IPv4'
        )
        yield self.refuse(
            "--role", "primary", "--address", "192.0.2.9", text="192.0.2.9 is not an address of this machine"
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            yield self.refuse(
                "--role", "primary", "--address", "127.0.0.1", "--set", f"sip.port={port}", "--set", "media.ports=1024-1123",
                text=f"127.0.0.1:{port}: Address already in use",
            )  # fmt: skip

    @inlineCallbacks
    def test_later_failure(self) -> Any:
        """What fails only when the reactor runs, such as the web page's port, ends in the same way."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            web = taken.getsockname()[1]
            with socket.socket() as one, socket.socket() as two:
                one.bind(("127.95.1.1", 0))
                two.bind(("127.95.1.1", 0))
                sip, link = one.getsockname()[1], two.getsockname()[1]
            yield self.refuse(
                "--role", "primary", "--address", "127.95.1.1", "--set", f"web.port={web}", "--set", "web.host=127.0.0.1",
                "--set", f"sip.port={sip}", "--set", f"cluster.port={link}", "--set", "media.ports=1024-1123",
                text=f"127.0.0.1:{web}: Address already in use",
            )  # fmt: skip
