"""C{python -m demo}: see F{script/demo}."""

from __future__ import annotations

import argparse
import math
import re
import secrets
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, FirstError, ensureDeferred
from twisted.internet.task import LoopingCall

from demo.cluster import Cluster
from demo.load import CALLS_A_PHONE, DOMAIN, Load
from demo.ports import taken
from demo.programs import ProgramFailed
from demo.table import Screen, calls
from voipcluster.errors import VoipclusterError
from voipcluster.phone import Phone
from voipcluster.phone.interrupt import stop_at_signals

NODES = {"a": 1, "b": 2, "c": 3}  # last number of the address
PHONES_AT = 100
PORTS = ((5060, "UDP"), (5060, "TCP"), (8787, "TCP"), (8080, "TCP"))
CALLS_A_NODE = 20  # limits.calls: small, so that a few dozen calls are a workload
THRESHOLD = (
    0.25  # cluster.threshold: low, so that a hands on most of what comes to it, and one sees where it goes
)
BURST_RATE = 6.0  # calls a second
STEADY_CALLS = (
    4,
    30,
)  # at once, behind the burst: from what a serves alone to what needs all three, and back
WAVE = 60.0  # seconds from one height of it to the next
HOLD = (9.0, 15.0)  # seconds that a call lasts
MAX_CALLS = 45  # at once: three quarters of what three nodes can hold
SOFTPHONE, TONE = "you", "tone"


class Demo:
    """
    @param network: the first three numbers of the loopback addresses to use.
    @param seconds: how long it runs from the first call on; L{None}: until it is interrupted.
    @ivar status: the exit status.
    """

    def __init__(
        self, clock: Any, folder: Path, network: str, calls: int, seconds: float | None, screen: Screen
    ) -> None:
        self._clock, self._screen = clock, screen
        self._addresses = {name: f"{network}.{last}" for name, last in NODES.items()}
        self._phones_at = f"{network}.{PHONES_AT}"
        self._calls, self._seconds = calls, seconds
        settings = (
            f"limits.calls={CALLS_A_NODE}",
            f"cluster.threshold={THRESHOLD}",
            f'cluster.domain=["{DOMAIN}"]',
            "media.relay=userspace",  # a demonstration leaves the rules of the machine's firewall alone
        )
        options = [word for setting in settings for word in ("--set", setting)]
        self.cluster = Cluster(clock, folder, options)
        self._load: Load | None = None
        self._tone: Phone | None = None
        self._began = 0.0
        self._looking = LoopingCall(self._look)
        self.status = 1

    async def run(self) -> None:
        """Return when the time is up; never without C{seconds}."""
        in_the_way = [
            text
            for host in self._addresses.values()
            for port, kind in PORTS
            if (text := taken(host, port, kind))
        ]
        if in_the_way:
            raise ProgramFailed("\n".join(in_the_way))
        passwords = await self._set_up()
        self._screen.say("Phones register at the primary, which is all that they know, and call each other.")
        self._screen.say()
        self._began = self._clock.seconds()
        looking: Deferred[Any] = self._looking.start(1.0)
        calling: Deferred[Any] = ensureDeferred(self._call(passwords[SOFTPHONE]))
        # the table never ends by itself; when it fails there is nothing left to show
        await DeferredList(
            [looking, calling], fireOnOneCallback=True, fireOnOneErrback=True, consumeErrors=True
        )

    async def _set_up(self) -> dict[str, str]:
        (first, *others) = self._addresses.items()
        self._screen.say(
            "Starting three nodes (twistd -n voipcluster), the secondaries with a join token ..."
        )
        await self.cluster.found(*first)
        for name, address in others:
            await self.cluster.join(name, address)
        await self.cluster.all_see_all()
        names = [
            f"phone{number}" for number in range(1, 2 * max(self._calls, *STEADY_CALLS) // CALLS_A_PHONE + 4)
        ]
        passwords = {name: secrets.token_urlsafe(12) for name in [*names, SOFTPHONE, TONE]}
        self._screen.say(f"Adding {len(passwords)} users, each with a random password ...")
        for name, password in passwords.items():
            await self.cluster.add_user(f"{name}@{DOMAIN}", password)
        self._load = Load(self._clock, self.cluster.primary.hop(), self._phones_at, names, passwords)
        self._tone = Phone(
            self._clock,
            TONE,
            DOMAIN,
            passwords[TONE],
            self.cluster.primary.hop(),
            self._phones_at,
            capacity=10,
            rtcp=True,
        )
        await self._load.register()
        await self._tone.register()
        self._screen.say(f"Web page: http://{self.cluster.primary.address}:8080/")
        return passwords

    async def _call(self, password: str) -> None:
        await self._burst()
        self._explain_the_softphone(password)
        await self._steady()
        await self._finish()

    async def _burst(self) -> None:
        assert self._load is not None
        for number in range(self._calls):
            self._load.begin(HOLD[0] + (number % 7))
            await self._pause(1 / BURST_RATE)
        while self._load.in_progress:
            await self._pause(0.5)

    async def _steady(self) -> None:
        assert self._load is not None
        low, high = HOLD
        began = self._clock.seconds()
        while self._seconds is None or self._clock.seconds() - self._began < self._seconds:
            if len(self._load.in_progress) < wave(self._clock.seconds() - began):
                self._load.begin(low + secrets.randbelow(int(high - low)))
            await self._pause(1 / BURST_RATE)

    async def _finish(self) -> None:
        assert self._load is not None
        for conversation in self._load.in_progress:
            self._load.finish(conversation)
        while self._load.in_progress:
            await self._pause(0.2)
        self.sum_up()

    def sum_up(self) -> None:
        """Say how it went, and let the exit status say it."""
        self._screen.say()
        if self._load is None or not self._load.conversations:
            self._screen.say("stopped before the first call")
            return
        # a call that is cut short by the end of the demo is neither good nor bad
        finished = [each for each in self._load.conversations if each.over]
        failed = [each for each in finished if each.failure or not each.heard]
        cut = len(self._load.in_progress)
        self._screen.say(
            f"{calls(len(finished))}, both ends heard each other in {len(finished) - len(failed)}"
            + (f"; {cut} more cut short by the end" if cut else "")
        )
        addresses = {address: name for name, address in self._addresses.items()}
        hosts = Counter(each.serving for each in finished if each.serving)
        served = sorted((addresses.get(host, host), count) for host, count in hosts.items())
        if served:
            self._screen.say("served by " + ", ".join(f"{name}: {count}" for name, count in served))
        for conversation in failed[:10]:
            why = conversation.failure or (
                f"heard at the caller {conversation.heard_back}, at the callee {conversation.heard_there}"
            )
            self._screen.say(f"  {conversation.caller.aor} to {conversation.callee.aor}: {why}")
        self.status = 1 if failed else 0

    async def stop(self) -> None:
        """End everything that was started."""
        if self._looking.running:
            self._looking.stop()
        phones = [phone.stop() for phone in [*(self._load.phones if self._load else []), self._tone] if phone]
        await DeferredList(phones)
        await self.cluster.stop()

    async def _look(self) -> None:
        assert self._load is not None
        self._load.listen()
        status = None
        for node in self.cluster.nodes:
            if node.running and status is None:
                try:
                    status = await node.ask("status")
                except VoipclusterError:
                    continue  # just killed, perhaps by who watches; another one can tell
        if status is None:
            raise ProgramFailed("no node is left")
        pids = {node.name: node.pid for node in self.cluster.nodes}
        seconds = self._clock.seconds() - self._began
        self._screen.show(seconds, status, self._load.served_by(), pids, self._load.totals())

    def _explain_the_softphone(self, password: str) -> None:
        if self._seconds is not None:
            return
        self._screen.say()
        primary = self.cluster.primary
        text = f"""\
A load goes on that rises and falls, and the nodes share what is too much for one. To take part with a softphone on this machine:
  account sip:{SOFTPHONE}@{DOMAIN}, password {password}, outbound proxy {primary.address}:5060 (UDP or TCP)
  and call sip:{TONE}@{DOMAIN}: it answers, with a tone of 1000 Hz. Audio is G.711 (PCMU).
Look closer in another terminal:
  {Path(sys.executable).with_name("voipctl")} --state-dir {primary.state_dir} status | calls | registrations | explain CALL-ID
Or kill -9 a secondary (pid in the table) and watch the others go on. Ctrl-C ends it all.
"""
        for line in text.splitlines():
            self._screen.say(line)
        self._screen.say()

    def _pause(self, seconds: float) -> Deferred[None]:
        waiting: Deferred[None] = Deferred()
        self._clock.callLater(seconds, waiting.callback, None)
        return waiting


def wave(seconds: float) -> int:
    """How many calls there are to be, so long behind the burst: few at first, and again after each L{WAVE}."""
    low, high = STEADY_CALLS
    return round(low + (high - low) * (1.0 - math.cos(2 * math.pi * seconds / WAVE)) / 2)


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="script/demo",
        description="Three nodes on loopback, phones that call each other, a live table and a web page.",
    )
    parser.add_argument(
        "--calls",
        type=int,
        default=36,
        metavar="N",
        help=f"calls of the first burst, 1 to {MAX_CALLS} (%(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="N",
        help="end by itself that long after the first call, not before the burst is over;"
        " status 0 when all calls had audio both ways (default: until Ctrl-C)",
    )
    parser.add_argument(
        "--network",
        default="127.0.0",
        metavar="A.B.C",
        help="first three numbers of the loopback addresses (%(default)s)",
    )
    parser.add_argument(
        "--dir",
        type=Path,
        metavar="DIR",
        help="state and logs there, and keep them (default: a temporary one)",
    )
    arguments = parser.parse_args(given)
    if not 1 <= arguments.calls <= MAX_CALLS:
        parser.error(f"--calls is 1 to {MAX_CALLS}")
    if arguments.seconds is not None and not 0 < arguments.seconds < math.inf:
        parser.error("--seconds is above 0")
    if not re.fullmatch(r"127\.[0-9]{1,3}\.[0-9]{1,3}", arguments.network):
        parser.error("--network is the beginning of a loopback address, such as 127.0.9")
    return arguments


def main(given: list[str]) -> int:
    arguments = _arguments(given)
    try:
        folder = arguments.dir or Path(tempfile.mkdtemp(prefix="voipcluster-demo-"))
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"demo: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    demo = Demo(
        reactor, folder.absolute(), arguments.network, arguments.calls, arguments.seconds, Screen(sys.stdout)
    )
    clock: Any = reactor
    interrupted, stopping = True, False  # unless it ends by itself

    running: Deferred[None] | None = None

    def begin() -> None:
        nonlocal running
        running = ensureDeferred(demo.run())
        running.addCallbacks(done, failed)

    def done(_: None) -> None:
        nonlocal interrupted
        interrupted = False
        if not stopping:
            clock.stop()

    def failed(failure: Any) -> None:
        nonlocal interrupted
        if stopping:
            return  # what breaks because everything is being ended
        interrupted = False
        if failure.check(FirstError):
            failure = failure.value.subFailure
        if failure.check(ProgramFailed, VoipclusterError):
            print(f"demo: {failure.getErrorMessage()}", file=sys.stderr, flush=True)
        else:
            failure.printTraceback(file=sys.stderr)
        clock.stop()

    def end() -> Deferred[None]:
        nonlocal stopping
        if interrupted:
            demo.sum_up()
            if arguments.seconds is not None:
                demo.status = 1  # who asked for so many seconds did not get them
        stopping = True
        if running is not None:
            running.cancel()
        return ensureDeferred(demo.stop())

    clock.addSystemEventTrigger("before", "shutdown", end)
    clock.callWhenRunning(stop_at_signals, clock)
    clock.callWhenRunning(begin)
    try:
        clock.run()
    finally:
        if arguments.dir is None:
            shutil.rmtree(folder, ignore_errors=True)
    return demo.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
