"""The command line of twistd voipcluster, and how a failed start ends."""

from __future__ import annotations

import errno
import gc
import io
import json
import os
import socket
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

from twisted.application.service import Application, IServiceMaker, Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.logger import ILogObserver
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

from voipcluster import tap
from voipcluster.config import Config, ConfigError, NodeOptions, TlsOptions, load_config
from voipcluster.config.changes import changes
from voipcluster.config.document import defaults
from voipcluster.errors import UsageError
from voipcluster.json_log import lines
from voipcluster.tap import (
    Options,
    StartError,
    TopService,
    complete,
    default_address,
    default_name,
    stored,
)


class OptionsTests(SynchronousTestCase):
    def parse(self, *arguments: str) -> Options:
        options = Options()
        options.parseOptions(list(arguments))
        return options

    def refusal(self, *arguments: str) -> str:
        return str(self.assertRaises(SystemExit, self.parse, *arguments).code)

    def test_show_defaults(self) -> None:
        """Every option as TOML, and the process ends well; no role or file is asked for."""
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        leaving = self.assertRaises(SystemExit, Options().parseOptions, ["--show-defaults"])
        self.assertEqual((leaving.code, out.getvalue()), (0, defaults()))

    def test_plugin(self) -> None:
        """twistd finds the service maker."""
        makers = {maker.tapname: maker for maker in getPlugins(IServiceMaker)}
        self.assertIs(makers["voipcluster"].options, Options)

    def test_flags(self) -> None:
        """Each flag of the contract sets its option, and wins over --set."""
        options = self.parse(
            "--role", "secondary", "--set", "node.name=x", "--set", 'cluster.domain=["a.example"]', "--name", "b",
            "--address", "127.0.0.2", "--join", "AAAABBBB@127.0.0.1", "--state-dir", "b", "--set", "limits.calls=20",
        )  # fmt: skip
        config = load_config(options["config"], options.all_settings())
        self.assertEqual(
            config.node,
            NodeOptions(
                name="b", role="secondary", address="127.0.0.2", join="AAAABBBB@127.0.0.1", state_dir="b"
            ),
        )
        self.assertEqual((config.cluster.domain, config.limits.calls), (("a.example",), 20))

    def test_join_line(self) -> None:
        """The line for the next node has what is the same at all nodes, fit for a shell, and nothing of this one."""
        options = self.parse(
            "--config", "my cluster.toml", "--role", "primary", "--name", "a", "--set", 'cluster.domain=["a.example"]',
            "--set", "node.state_dir=a",
        )  # fmt: skip
        said = io.StringIO()
        self.patch(sys, "__stdout__", said)
        tap._print_join_line(options.shared_words(), "TOKEN@10.0.0.1")
        self.assertEqual(
            said.getvalue(),
            "another node joins with: twistd -n voipcluster --role secondary --join TOKEN@10.0.0.1"
            " --config 'my cluster.toml' --set 'cluster.domain=[\"a.example\"]'\n",
        )

    def test_no_join_line_in_the_journal(self) -> None:
        """It holds a secret, and the journal keeps it for others to read."""
        path = Path(self.mktemp())
        with path.open("w", encoding="utf-8") as said:
            status = os.fstat(said.fileno())
            self.patch(sys, "__stdout__", said)
            self.patch(os, "environ", {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
            tap._print_join_line([], "TOKEN@10.0.0.1")
        self.assertEqual(path.read_text(), "")

    def test_mistakes_in_the_journal(self) -> None:
        """Where systemd reads standard error a refusal is an error there (sd-daemon(3)), before and behind the start."""
        with open(self.mktemp(), "w+") as journal:
            status = os.fstat(journal.fileno())
            self.patch(sys, "__stderr__", journal)
            for environment, begin in (
                ({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}, "<3>voipcluster: "),
                ({"JOURNAL_STREAM": "1:1"}, "voipcluster: "),
                ({}, "voipcluster: "),
            ):
                self.patch(os, "environ", environment)
                leaving = self.assertRaises(SystemExit, Options().parseOptions, ["--set", "x"])
                self.assertTrue(str(leaving).startswith(f"{begin}--set"), str(leaving))
                journal.seek(0)
                journal.truncate()
                tap._print_error("cannot\nstart")
                journal.seek(0)
                self.assertEqual(journal.read(), f"{begin}cannot start\n")

    def test_mistakes(self) -> None:
        """A mistake is one line and no help text."""
        for arguments, text in (
            (["--bogus"], "voipcluster: option --bogus not recognized"),
            (["--role"], "voipcluster: option --role requires argument"),
            (
                ["--set", "calls"],
                'voipcluster: --set "calls": allowed is SECTION.KEY=VALUE, such as limits.calls=20',
            ),
            (
                ["extra\nline"],
                "voipcluster: unexpected argument 'extra\\nline'; see twistd voipcluster --help",
            ),
        ):
            self.assertEqual(self.refusal(*arguments), text)

    def test_flag_is_named(self) -> None:
        """A wrong value names the flag that it was given with."""
        options = self.parse("--role", "boss")
        error = self.assertRaises(ConfigError, load_config, None, options.all_settings())
        self.assertEqual(str(error), '--role: found "boss", allowed is one of primary, secondary')


class ImportTests(SynchronousTestCase):
    def test_what_the_service_manager_passed_is_left_alone(self) -> None:
        """Parts of Twisted take it out of the environment when they are imported; it is for L{KeptSockets}."""
        code = (
            "import os; os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='x'); "
            "import voipcluster.tap; print(os.environ.get('LISTEN_FDS'))"
        )
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        self.assertEqual((shown.stdout, shown.stderr), ("1\n", ""))

    def test_a_mistake_is_told_before_the_node_is_imported(self) -> None:
        """Who corrects a configuration does not wait each time for what the node is made of."""
        code = (
            "import sys; from voipcluster import tap; options = tap.Options(); options.parseOptions(['--role', 'boss'])\n"
            "try: tap.makeService(options)\n"
            "except SystemExit as error: print(error, 'voipcluster.services.node.parts' in sys.modules)"
        )
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        mistake = 'voipcluster: --role: found "boss", allowed is one of primary, secondary'
        self.assertEqual((shown.stdout, shown.stderr), (f"{mistake} False\n", ""))

    def test_the_collector_waits_for_imports_only(self) -> None:
        """It is on again behind them, unless it was off before."""
        for on in (True, False):
            (gc.enable if on else gc.disable)()
            self.addCleanup(gc.enable)
            with tap._without_collector():
                self.assertFalse(gc.isenabled())
            self.assertEqual(gc.isenabled(), on)


class CompleteTests(SynchronousTestCase):
    def node(self, **given: Any) -> NodeOptions:
        given = {"role": "primary", "address": "127.0.0.1", "state_dir": self.mktemp()} | given
        return complete(Config(node=NodeOptions(**given))).node

    def test_role_is_asked_for(self) -> None:
        """Without a role the node does not guess one."""
        self.assertIn("--role is missing", str(self.assertRaises(UsageError, self.node, role="")))

    def test_primary_does_not_join(self) -> None:
        """A primary founds, so that --join with it is a mistake."""
        self.assertRaises(UsageError, self.node, join="AAAABBBB@10.0.0.1")

    def test_address_is_of_this_machine(self) -> None:
        """An address that no interface has is named (192.0.2.0/24 is for documentation, RFC 5737)."""
        text = str(self.assertRaises(UsageError, self.node, address="192.0.2.77"))
        self.assertEqual(text, "--address: 192.0.2.77 is not an address of this machine")

    def test_state_directory_is_absolute(self) -> None:
        """The state directory stays where it was meant, although twistd may change directories."""
        self.assertEqual(self.node(state_dir="here").state_dir, str(Path("here").absolute()))

    def test_more_addresses(self) -> None:
        """Those of C{node.also} are this machine's, and of another IP version than the address, whoever found that."""
        self.assertEqual(self.node(also=("::1",)).also, ("::1",))
        said = str(self.assertRaises(UsageError, self.node, also=("2001:db8::1",)))
        self.assertTrue(said.startswith("node.also: 2001:db8::1 "), said)
        said = str(self.assertRaises(UsageError, self.node, also=("127.0.0.2",)))
        self.assertTrue(
            said.startswith("node.also: 127.0.0.2 is a second IPv4 address beside 127.0.0.1"), said
        )
        said = str(self.assertRaises(UsageError, self.node, advertised="2001:db8::1"))
        self.assertTrue(said.startswith("node.advertised: 2001:db8::1 is not of"), said)

    def test_tls_files_are_absolute(self) -> None:
        """So do the files of TLS, which are read again when they change; what is not given stays so."""
        node = NodeOptions(role="primary", address="127.0.0.1", state_dir=self.mktemp())
        tls = complete(Config(node=node, tls=TlsOptions(certificate="c.pem", ca="/etc/ca.pem"))).tls
        self.assertEqual(
            (tls.certificate, tls.key, tls.ca), (str(Path("c.pem").absolute()), "", "/etc/ca.pem")
        )

    def test_files_after_a_change_of_directory(self) -> None:
        """
        C{twistd --rundir} goes elsewhere once all was read: the same files are read anew at a reload, those with secrets among
        them, and nothing seems to have changed.
        """
        folder, elsewhere = Path(self.mktemp()).absolute(), Path(self.mktemp()).absolute()
        for made in (folder / "state", elsewhere):
            made.mkdir(parents=True)
        (folder / "state" / "cluster.json").write_text(json.dumps({"name": "old", "role": "primary"}))
        (folder / "rates.csv").write_text("prefix,gateway,price\n+49,carrier,0.01\n")
        for name in ("carrier.secret", "db.secret"):
            (folder / name).touch(0o600)
            (folder / name).write_text("s3cret\n")
        (folder / "v.toml").write_text(
            '[node]\naddress = "127.0.0.1"\nstate_dir = "state"\n[numbers]\ncountry = "49"\nrates = "rates.csv"\n'
            '[records]\nwebhook_secret_file = "hook.secret"\n[hep]\nauth_key_file = "hep.secret"\n'
            '[[gateway]]\nname = "carrier"\nservers = ["192.0.2.7"]\nauth_user = "u"\nsecret = "carrier.secret"\n'
        )
        options = Options()
        options.parseOptions(["--config", "v.toml", "--set", "database.password_file=db.secret"])
        self.addCleanup(os.chdir, os.getcwd())
        read = []
        for directory in (folder, elsewhere):
            os.chdir(directory)
            read.append(tap.configuration(options, (), folder))
        first, again = read
        self.assertEqual(first.gateways[0].secret, str(folder / "carrier.secret"))
        self.assertEqual(first.database.password_file, str(folder / "db.secret"))
        self.assertEqual(first.records.webhook_secret_file, str(folder / "hook.secret"))
        self.assertEqual(first.hep.auth_key_file, str(folder / "hep.secret"))
        self.assertEqual((again.node.name, again.rates), ("old", first.rates))
        found = changes(first, again)
        self.assertEqual((found.live, found.later), ((), ()))

    def test_files_of_the_configuration(self) -> None:
        """A file that cannot be used is told with its place before there is a node, so that no cluster is founded."""
        path = Path(self.mktemp())
        path.write_text('[node]\nrole = "primary"\naddress = "127.0.0.1"\n[tls]\ncertificate = "/nope"\n')
        options = Options()
        options.parseOptions(["--config", str(path)])
        error = self.assertRaises(UsageError, tap.configuration, options, (), Path.cwd())
        self.assertEqual(str(error), f"{path}:5: tls.certificate: /nope: No such file or directory")

    def test_names(self) -> None:
        """The name is the given one, else that of the state directory, else the host's first label."""
        self.assertEqual(self.node(name="x").name, "x")
        directory = Path(self.mktemp())
        directory.mkdir()
        (directory / "cluster.json").write_text(json.dumps({"name": "old", "role": "secondary"}))
        self.assertEqual(self.node(state_dir=str(directory)).name, "old")
        again = complete(Config(node=NodeOptions(address="127.0.0.1", state_dir=str(directory)))).node
        self.assertEqual((again.role, again.name), ("secondary", "old"))
        self.patch(socket, "gethostname", lambda: "pbx-1.example.com")
        self.assertEqual(self.node().name, "pbx-1")

    def test_name_of_the_host(self) -> None:
        """Every host name becomes a node's name; nodes on loopback addresses of one machine have different ones."""
        for host, address, name in (
            ("pbx.example.com", "10.0.0.1", "pbx"),
            ("pbx", "127.0.0.1", "pbx"),
            ("pbx", "127.0.0.3", "pbx-3"),
            ("pbx", "::1", "pbx"),
            ("_ü b_", "10.0.0.1", "b"),
            ("", "10.0.0.1", "node"),
            ("x" * 70, "127.0.0.2", "x" * 50 + "-2"),
        ):
            self.assertEqual(default_name(host, address), name)
            NodeOptions(name=name)

    def test_damaged_state(self) -> None:
        """A state directory without a readable name has none; the node itself tells what is wrong with it."""
        directory = Path(self.mktemp())
        self.assertEqual(stored("name", str(directory)), "")
        directory.mkdir()
        for content in (b"", b"[]", b"{}", b'{"name": 1}', b"\xff"):
            (directory / "cluster.json").write_bytes(content)
            self.assertEqual(stored("name", str(directory)), "")

    def test_default_address(self) -> None:
        """The address of the default route is one of this machine's; without a route it must be given."""

        class NoRoute:
            def __init__(self, *given: object) -> None:
                raise OSError(errno.ENETUNREACH, "unreachable")

        self.patch(tap.socket, "socket", NoRoute)
        self.assertIn("--address", str(self.assertRaises(UsageError, default_address)))


class StubNode(Service):
    """A node whose two starts do what the test says."""

    def __init__(self, privileged: Any = None, start: Any = None) -> None:
        self._privileged, self._start, self.stopped = privileged, start, 0

    def privilegedStartService(self) -> Any:
        return self._privileged() if self._privileged else None

    def startService(self) -> Any:
        return self._start() if self._start else None

    def stopService(self) -> Any:
        self.stopped += 1
        return succeed(None)


def raising(error: Exception) -> Any:
    def fail() -> None:
        raise error

    return fail


class TopServiceTests(SynchronousTestCase):
    def start(self, node: StubNode) -> list[str]:
        ended: list[str] = []
        top = TopService(Clock(), node, lambda reactor, text: ended.append(text))
        top.privilegedStartService()
        top.startService()
        return ended

    def test_own_log(self) -> None:
        """twistd's application gets our log for standard output; where twistd was told of another place, it makes that."""
        options = Options()
        for given, ours in (
            ({"nodaemon": True}, True), ({"nodaemon": True, "logfile": "-"}, True), ({"nodaemon": False}, False),
            ({"nodaemon": True, "logfile": "x.log"}, False), ({"nodaemon": True, "syslog": True}, False),
            ({"nodaemon": True, "logger": lines}, False),
        ):  # fmt: skip
            options.parent = given
            log = tap._own_log(options)
            self.assertEqual(log is not None, ours, given)
            application = Application("x")
            TopService(Clock(), Service(), log=log).setServiceParent(application)
            self.assertIs(application.getComponent(ILogObserver, None), log)

    def test_what_to_do_next_is_said(self) -> None:
        """A note on an error stands behind it in the same line: that the node has joined, and needs no token any more."""
        in_use = OSError(errno.EADDRINUSE, "Address already in use")
        for error, text in (
            (UsageError("no"), "no (start it again)"),
            (
                CannotListenError("127.0.0.1", 5060, in_use),
                "cannot listen on 127.0.0.1:5060: Address already in use (start it again)",
            ),
            (OSError(errno.ENOSPC, "No space left"), "cannot start: No space left (start it again)"),
        ):
            error.add_note("start it again")
            refused = self.assertRaises(StartError, self.start, StubNode(privileged=raising(error)))
            self.assertEqual(str(refused), text)

    def test_errors_become_one_line(self) -> None:
        """Whatever keeps the node from starting is told in one line that names the place."""
        in_use = OSError(errno.EADDRINUSE, "Address already in use")
        for error, text in (
            (UsageError("no"), "no"),
            (
                CannotListenError("127.0.0.1", 5060, in_use),
                "cannot listen on 127.0.0.1:5060: Address already in use",
            ),
            (CannotListenError("::1", 5060, in_use), "cannot listen on [::1]:5060: Address already in use"),
            (
                CannotListenError(None, "/x/admin.sock", in_use),
                "cannot listen on /x/admin.sock: Address already in use",
            ),
            (PermissionError(errno.EACCES, "Permission denied", "/x"), "cannot start: /x: Permission denied"),
        ):
            for node in (StubNode(privileged=raising(error)), StubNode(start=raising(error))):
                self.assertEqual(str(self.assertRaises(StartError, self.start, node)), text)

    def test_bug(self) -> None:
        """A bug is logged with its trace, and told in one line."""
        error = self.assertRaises(StartError, self.start, StubNode(start=raising(KeyError("x"))))
        self.assertEqual(str(error), "cannot start: KeyError: 'x'")
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_later_failure(self) -> None:
        """A start that fails later ends the process with its line."""
        waiting: Deferred[None] = Deferred()
        ended = self.start(StubNode(start=lambda: waiting))
        self.assertEqual(ended, [])
        waiting.errback(UsageError("the primary refuses"))
        self.assertEqual(ended, ["the primary refuses"])

    def test_stop(self) -> None:
        """Stopping waits for the node."""
        node = StubNode()
        clock = Clock()
        top = TopService(clock, node, lambda reactor, text: None)
        top.startService()
        self.successResultOf(top.stopService())
        self.assertEqual(node.stopped, 1)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_signals_until_the_end(self) -> None:
        """A node takes its time to leave; what takes signals for it is there until it has left."""
        node, beside, left = StubNode(), Service(), Deferred[None]()
        top = TopService(Clock(), node, lambda reactor, text: None, [beside])
        top.startService()
        node.stopService = lambda: left
        stopped = top.stopService()
        self.assertTrue(beside.running)
        left.callback(None)
        self.successResultOf(stopped)
        self.assertFalse(beside.running)

    def test_idle_collector(self) -> None:
        """Garbage in cycles is collected when the process had little to do for a while, and only then."""

        class Cycle:
            pass

        clock, used = Clock(), 0.0
        collector = tap._IdleCollector(clock, lambda: used)
        collector.start()
        cycle = Cycle()
        cycle.itself = cycle
        gone = weakref.ref(cycle)
        gc.disable()
        try:
            del cycle
            used = collector.PERIOD
            clock.advance(collector.PERIOD)
            self.assertIsNotNone(gone())
            clock.advance(collector.PERIOD)
            self.assertIsNone(gone())
        finally:
            gc.enable()
        collector.stop()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_other_exceptions_keep_their_trace(self) -> None:
        """Only errors of starting lose their trace on the way out."""
        seen: list[object] = []
        self.patch(sys, "excepthook", lambda *given: seen.append(given[1]))
        tap._show_start_errors_in_one_line()
        other = KeyError("x")
        sys.excepthook(KeyError, other, None)
        self.assertEqual(seen, [other])
