"""C{twistd voipcluster}: the command line, and the only place that takes the global reactor."""

from __future__ import annotations

import atexit
import errno
import gc
import json
import os
import re
import shlex
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError, ReactorNotRunning
from twisted.internet.interfaces import IDelayedCall, IReactorCore, IReactorTime
from twisted.logger import ILogObserver, Logger
from twisted.python import usage
from twisted.python.components import Componentized
from twisted.python.failure import Failure

from voipcluster.address import is_ipv6, join_host_port
from voipcluster.config import Config, ConfigError, Setting, load_config, parse_set
from voipcluster.config.addresses import address_trouble
from voipcluster.config.document import defaults
from voipcluster.errors import UsageError
from voipcluster.net.kept import KeptSockets

# Addresses for documentation (RFC 5737, RFC 3849): a route to them is the default route, and nothing is sent.
_ANYWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
_NODE_FLAGS = (
    ("role", "role"),
    ("name", "name"),
    ("address", "address"),
    ("join", "join"),
    ("state-dir", "state_dir"),
)
_log = Logger()


class StartError(UsageError):
    """The node cannot start; the text is one line for its operator."""


class Options(usage.Options):
    """What may stand behind C{twistd voipcluster}; a mistake is one line on standard error and status 1."""

    synopsis = "[options]"
    longdesc = (
        "A node of a VoIP cluster: SIP proxy, registrar and RTP relay that share their workload. "
        "The first node is the primary; 'voipctl join-token' prints what each secondary joins with."
    )
    optParameters = [
        ["role", None, None, "primary (founds the cluster) or secondary (joins it), for the first start"],
        ["config", "c", None, "TOML file; the same on every node"],
        ["name", None, None, "name of this node [default: first label of the host name]"],
        ["address", None, None, "its IP address [default: that of the default route]"],
        ["join", None, None, "TOKEN@ADDRESS from voipctl join-token, for a secondary's first start"],
        ["state-dir", None, None, "keys, accounts and admin socket [default: voipcluster-state]"],
    ]
    compData = usage.Completions(
        optActions={"config": usage.CompleteFiles("*.toml"), "state-dir": usage.CompleteDirs()}
    )

    def __init__(self) -> None:
        super().__init__()
        self.settings: list[Setting] = []

    def opt_set(self, argument: str) -> None:
        """SECTION.KEY=VALUE: set one option over the file; the value is TOML, a bare word is text. May be repeated."""
        try:
            self.settings.append(parse_set(argument))
        except ConfigError as error:
            raise usage.UsageError(str(error)) from None

    def opt_show_defaults(self) -> None:
        """print every option of the configuration with its default, as TOML, and end"""
        sys.stdout.write(defaults())
        sys.stdout.flush()
        raise SystemExit(0)

    def parseArgs(self, *rest: str) -> None:
        if rest:
            raise usage.UsageError(f"unexpected argument {rest[0]!r}; see twistd voipcluster --help")

    def parseOptions(self, options: list[str] | None = None) -> None:
        # twistd itself would print the whole help in front of the error.
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            _exit(str(error))

    def all_settings(self) -> list[Setting]:
        """C{--set} in the order given, then the flags that have a name of their own."""
        named = [
            Setting(f"node.{key}", self[flag], f"--{flag}")
            for flag, key in _NODE_FLAGS
            if self[flag] is not None
        ]
        return [*self.settings, *named]

    def shared_words(self) -> list[str]:
        """What every node of the cluster is started with: the file, and the settings that are not of this node."""
        words = [] if self["config"] is None else ["--config", str(self["config"])]
        for setting in self.settings:
            if not setting.key.startswith("node."):
                words += ["--set", f"{setting.key}={setting.text}"]
        return words


def makeService(options: Options) -> Service:
    """
    Make the node that the command line and the configuration describe.

    @raise SystemExit: they are wrong; the text is C{voipcluster: } and one line.
    """
    # Imported here, because twistd installs the reactor of --reactor first, and because --help needs no node. Nor does a
    # mistake in the configuration: what the node is made of takes a second to import.
    from twisted.internet import reactor  # noqa: PLC0415 - behind the reactor

    from voipcluster.services.policies import policy_names  # noqa: PLC0415 - behind the reactor

    try:
        read = partial(configuration, options, policy_names(), Path.cwd())
        config = read(unread=False)
    except UsageError as error:
        _exit(str(error))

    with _without_collector():
        from voipcluster.services.log import THRESHOLD  # noqa: PLC0415 - behind the reactor
        from voipcluster.services.node.hangup import HangupService  # noqa: PLC0415 - behind the reactor
        from voipcluster.services.node.service import NodeService  # noqa: PLC0415 - behind the reactor
        from voipcluster.services.node.surroundings import MACHINE  # noqa: PLC0415 - behind the reactor

    try:
        node = NodeService(
            reactor,
            config,
            founded=partial(_print_join_line, options.shared_words()),
            surroundings=evolve(MACHINE, kept=KeptSockets.of_process(os.environ)),
            reread=read,
        )
    except UsageError as error:
        _exit(str(error))
    _show_start_errors_in_one_line()
    THRESHOLD.set(config.log.level)
    atexit.register(_leaving)
    return TopService(reactor, node, beside=[HangupService(reactor, node.reloading)], log=_own_log(options))


def _own_log(options: Options) -> ILogObserver | None:
    """The log on standard output; L{None} where twistd was told of another place."""
    given: Mapping[str, Any] = getattr(options, "parent", None) or {}
    elsewhere = given.get("logger") or given.get("syslog") or given.get("logfile") not in (None, "", "-")
    if elsewhere or not given.get("nodaemon"):
        return None
    from voipcluster.services.log import standard_log  # noqa: PLC0415 - not before the reactor of --reactor

    return standard_log(sys.stdout, os.environ)


def configuration(options: Options, policies: Collection[str], folder: Path, unread: bool = True) -> Config:
    """
    What the file, as it is now, and the command line say; complete.

    @param policies: names of those that plugins offer.
    @param folder: which paths are relative to; twistd may change the directory of the process.
    @param unread: see L{load_config}: at the start all files must be readable, later the user may be another one.
    @raise UsageError: the first mistake.
    """
    path = options["config"]
    if path is not None and folder != Path.cwd():
        path = str(folder / path)
    config = load_config(path, options.all_settings(), policies, folder, files=True, unread=unread)
    return complete(config, folder)


def complete(config: Config, folder: Path | None = None) -> Config:
    """
    Fill in what depends on the machine: address, name and the absolute paths of files and state directory.

    @param folder: which they are relative to; the present directory when not given.
    @raise UsageError: no role given nor known from an earlier start, no default route, or the address is not one of this machine.
    """
    node, folder = config.node, folder or Path.cwd()
    state_dir = str(folder / node.state_dir)
    role = node.role or stored("role", state_dir)
    if not role:
        raise UsageError("--role is missing: primary founds a cluster, secondary joins one")
    if node.join and role == "primary":
        raise UsageError("--join is for --role secondary; a primary founds the cluster")
    address = node.address or default_address()
    check_local(address)
    for also in node.also:
        check_local(also, "node.also")
    option, trouble = address_trouble(evolve(node, address=address))
    if option:
        raise UsageError(f"{option}: {trouble}")
    name = node.name or stored("name", state_dir) or default_name(socket.gethostname(), address)
    files: dict[str, Any] = {
        key: str(folder / path)  # twistd may change the directory before they are read anew
        for key in ("certificate", "key", "ca")
        if (path := getattr(config.tls, key))
    }
    return evolve(
        config,
        node=evolve(node, role=role, address=address, name=name, state_dir=state_dir),
        tls=evolve(config.tls, **files),
    )


def default_address() -> str:
    """
    The address that packets to the rest of the world leave from; nothing is sent to find it.

    @raise UsageError: there is no default route.
    """
    for family, anywhere in _ANYWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((anywhere, 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    raise UsageError("this machine has no default route; give its address with --address")


def check_local(address: str, option: str = "--address") -> None:
    """
    @raise UsageError: C{address} is not one of this machine's.
    """
    family = socket.AF_INET6 if is_ipv6(address) else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(f"{option}: {address} is not an address of this machine") from None
        raise UsageError(f"{option}: {address} cannot be used: {error.strerror or error}") from None


def stored(key: str, state_dir: str) -> str:
    """C{name} or C{role} of a node since it became a member; empty before. The node itself finds out about damage."""
    try:
        text = json.loads((Path(state_dir) / "cluster.json").read_bytes())[key]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return text if isinstance(text, str) else ""


def default_name(host_name: str, address: str) -> str:
    """
    The first label of the host name; nodes that share a machine over loopback addresses get the last part of
    theirs behind it, so that the names differ.
    """
    label = re.sub(r"[^A-Za-z0-9_-]", "-", host_name.partition(".")[0]).strip("-_")[:50] or "node"
    last = address.rpartition(".")[2]
    return f"{label}-{last}" if address.startswith("127.") and address != "127.0.0.1" else label


class TopService(Service):
    """
    Starts the node, and ends the process with one line and status 1 when that fails, at once or later.

    @param node: its C{startService} may raise or return a Deferred that fails.
    @param die: called with the line when the node fails after the reactor has started.
    @param beside: services that start behind the node, and stop when it has: a SIGHUP must not end a node that is leaving.
    @param log: in place of the log that twistd would make; L{None}: twistd's.
    """

    def __init__(
        self,
        reactor: IReactorCore,
        node: Service,
        die: Callable[[IReactorCore, str], None] | None = None,
        beside: Sequence[Service] = (),
        log: ILogObserver | None = None,
    ) -> None:
        self._reactor, self._node, self._die = reactor, node, die or _stop_with_status
        self._beside, self._observer = beside, log
        self._collector = _IdleCollector(IReactorTime(reactor))

    def setServiceParent(self, parent: Any) -> None:
        """twistd makes an application of it, and asks that for its log before it starts anything."""
        if self._observer is not None and isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        super().privilegedStartService()
        try:
            self._node.privilegedStartService()
        except Exception as error:
            raise _start_error(error) from None

    def startService(self) -> None:
        super().startService()
        _tune_collector()
        try:
            starting = self._node.startService()
        except Exception as error:
            raise _start_error(error) from None
        self._collector.start()
        for service in self._beside:
            service.startService()
        if isinstance(starting, Deferred):
            starting.addErrback(self._failed)

    def stopService(self) -> Deferred[object]:
        super().stopService()
        self._collector.stop()
        return maybeDeferred(self._node.stopService).addBoth(self._stopped)

    def _stopped(self, done: object) -> object:
        for service in self._beside:
            service.stopService()
        return done

    def _failed(self, failure: Failure) -> None:
        assert failure.value is not None, "a failure has an exception"
        self._die(self._reactor, str(_start_error(failure.value)))


@contextmanager
def _without_collector() -> Iterator[None]:
    """What is imported stays: to look through it for garbage each time that there is more of it is a tenth of the import."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _tune_collector() -> None:
    """
    Let the garbage collector look at what is made per call, not at everything that lives for 32 s each time.

    What a call leaves behind is freed by its reference counts; with tens of thousands of live transactions the default
    thresholds cost a third of the CPU time of a call (bench/proxy.py). So what survived its first look is looked at again only
    after 50 million new objects, or when L{_IdleCollector} finds the time. What was made before the start stays for good.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 5_000, 1_000)


class _IdleCollector:
    """Collects all garbage in cycles now and then, while the process has little to do: it stops the node for a moment."""

    PERIOD = 300.0  # s between two looks
    IDLE = 0.1  # share of CPU time below which the process has little to do

    def __init__(self, clock: IReactorTime, cpu: Callable[[], float] = time.process_time) -> None:
        self._clock, self._cpu = clock, cpu
        self._used = 0.0
        self._next: IDelayedCall | None = None

    def start(self) -> None:
        self._used = self._cpu()
        self._next = self._clock.callLater(self.PERIOD, self._look)

    def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self) -> None:
        if self._cpu() - self._used < self.IDLE * self.PERIOD:
            gc.collect()
        self.start()


def _start_error(error: BaseException) -> StartError:
    """What an operator can read in place of an exception; only errors of ours are logged with their trace."""
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    match error:
        case StartError():
            return error
        case UsageError():
            return StartError(f"{error}{notes}")
        case CannotListenError():
            # A UNIX socket has a path for a port.
            place = error.port
            where = join_host_port(error.interface or "*", place) if isinstance(place, int) else str(place)
            reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
            return StartError(f"cannot listen on {where}: {reason}{notes}")
        case OSError():
            file = f"{error.filename}: " if error.filename else ""
            return StartError(f"cannot start: {file}{error.strerror or error}{notes}")
        case _:
            _log.failure("the node did not start", Failure(error))
            return StartError(f"cannot start: {type(error).__name__}: {error}")


def _line(text: str) -> str:
    """C{text} on one line, without control characters, for standard error."""
    from voipcluster.services.log import error_line  # noqa: PLC0415 - not before the reactor of --reactor

    line = "voipcluster: " + "".join(c if c.isprintable() else " " for c in text).strip()
    return error_line(line, sys.__stderr__, os.environ)


def _exit(text: str) -> NoReturn:
    """End the process before anything was started: Python prints the text on standard error and gives status 1."""
    raise SystemExit(_line(text))


def _print_error(text: str) -> None:
    # twistd has replaced sys.stderr by its log; the operator looks at the real one.
    if sys.__stderr__ is not None:
        print(_line(text), file=sys.__stderr__, flush=True)


def _print_join_line(shared: list[str], token: str) -> None:
    """
    @param shared: the words of the command line that are the same at all nodes.

    For the operator's eyes: the log, which twistd has put in the place of sys.stdout, is kept and read by others. So is the
    journal of systemd, where nobody looks at that moment; there voipctl join-token tells it.
    """
    from voipcluster.services.log import is_journal  # noqa: PLC0415 - not before the reactor of --reactor

    if sys.__stdout__ is None or is_journal(sys.__stdout__, os.environ):
        return
    words = ["twistd", "-n", "voipcluster", "--role", "secondary", "--join", token, *shared]
    print(f"another node joins with: {shlex.join(words)}", file=sys.__stdout__, flush=True)


def _show_start_errors_in_one_line() -> None:
    """
    Let a L{StartError} end the process like any exception, but without its trace.

    It is not a SystemExit because twistd removes its pid file and tells the parent of a daemon for an Exception only.
    """
    previous = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, StartError):
            _print_error(str(error))
        else:
            previous(kind, error, trace)

    sys.excepthook = show


class _Leaving:
    """
    Gives the process a status after the reactor has returned, which twistd has no way for.

    It is registered before anything else of the node, and so runs at exit after everything else.
    """

    status = 0

    def __call__(self) -> None:
        if self.status:
            sys.stdout.flush()
            os._exit(self.status)


_leaving = _Leaving()


def _stop_with_status(reactor: IReactorCore, text: str) -> None:
    """Stop the running (or just starting) reactor, after all services have stopped, and leave with status 1."""
    _log.error("the node did not start: {text}", text=text)
    _print_error(text)
    _leaving.status = 1

    def stop() -> None:
        with suppress(ReactorNotRunning):
            reactor.stop()

    reactor.callWhenRunning(stop)
