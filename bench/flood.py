"""
Attacks that need minutes, against a real node: what they cost it, and whether others are served meanwhile.

Run: C{python -m bench.flood [SCENARIO ...] [--seconds 60] [--rate 2000]}; each scenario has a node of its own, and prints its
figures and whether they are as they should be (see F{docs/security.md}).

Throughout each scenario phones register and call over UDP from addresses of their own; C{setup} is the time from their INVITE
to the 200, digest included, C{bye} that from BYE to its 200; C{quiet} is the same before the attack, since other programs on the
machine make both longer.
"""

from __future__ import annotations

import argparse
import json
import re
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.threads import deferToThread

from bench import attackers
from bench.common import cpu_seconds, enter_namespace, python_build
from bench.memory import metrics, resident_kb
from demo.cluster import Cluster, Node
from voipcluster.phone import Phone
from voipcluster.sip import digest

T1_64 = 32.0  # seconds, 64*T1
CALLS = 10
GROWN = (
    1.15  # times the memory before that a process may have for good: buffers, caches, the heap's own holes
)


class Scene:
    """One node, its phones, an attack, and what is noted."""

    def __init__(self, reactor: Any, folder: Path, arguments: argparse.Namespace) -> None:
        self.reactor, self.folder, self.arguments = reactor, folder, arguments
        self.cluster = Cluster(reactor, folder)
        self.passwords: dict[str, str] = {}
        self.phones: list[Phone] = []
        self.setups: list[float] = []
        self.byes: list[float] = []
        self.failed: list[str] = []
        self.node: Node

    async def begin(self) -> None:
        self.node = await self.cluster.found("a", "127.0.0.1")
        for user in ("alice", "bob", "carol"):
            self.passwords[user] = secrets.token_hex(8)
            await self.node.ask("user-add", name=user, domain="example.com", password=self.passwords[user])
        self.bob = await self.phone("bob", "127.30.0.2", capacity=CALLS)
        # a phone that answers nothing, so that each request to it takes the 64*T1 that it may
        self.carol = await deferToThread(silent_phone, "carol", self.passwords["carol"], "127.30.0.3")
        self.alice = await self.phone("alice", "127.30.0.1", capacity=CALLS)
        for _ in range(CALLS):
            await self.call()
        self.quiet = max(self.byes)
        self.quiet_ms = [round(1000 * f(self.setups)) for f in (statistics.median, max)]

    async def phone(self, user: str, host: str, transport: str = "UDP", **options: Any) -> Phone:
        made = Phone(
            self.reactor,
            user,
            "example.com",
            self.passwords[user],
            self.node.hop(transport),
            host,
            transport,
            **options,
        )
        self.phones.append(made)
        await made.register()
        return made

    async def call(self) -> None:
        """Alice calls Bob and hangs up."""
        begin = self.reactor.seconds()
        try:
            call = await self.alice.call("bob@example.com")
            self.setups.append(self.reactor.seconds() - begin)
            await self.sleep(0.2)
            begin = self.reactor.seconds()
            self.alice.hang_up(call)
            while not call.over:
                await self.sleep(0.005)
            self.byes.append(self.reactor.seconds() - begin)
        except Exception as error:
            self.failed.append(str(error))

    def sleep(self, seconds: float) -> Deferred[None]:
        return task.deferLater(self.reactor, seconds, lambda: None)

    async def attack(self, kind: str, calls: int = CALLS, **options: Any) -> dict[str, Any]:
        """Attack, and let Alice place calls in that time; gives the figures of attacker and node."""
        log = self.folder / "attacker.log"
        self.setups, self.byes, self.failed = [], [], []
        cpu, begin = cpu_seconds(self.node.pid), time.monotonic()
        process = attackers.launch(kind, log, **options)
        try:
            for _ in range(calls):
                await self.call()
                await self.sleep(0.5)
            more = 0
            while process.poll() is None:
                await self.sleep(1.0)
                more += 1
                if more % 15 == 0:
                    await self.call()
        finally:
            if process.poll() is None:
                process.kill()
        seconds = time.monotonic() - begin
        lines = log.read_text().splitlines()
        if process.returncode or not lines:
            raise SystemExit(f"the attacker failed: {log.read_text()[-2000:]}")
        figures: dict[str, Any] = json.loads(lines[-1])
        figures["node CPU %"] = round(100 * (cpu_seconds(self.node.pid) - cpu) / seconds)
        return figures

    async def attack_over(self) -> int:
        """RSS in kB 64*T1 after an attack."""
        await self.sleep(T1_64)
        return self.rss

    def show(self, name: str, figures: dict[str, Any], **expected: bool) -> bool:
        """Print it all; each call has to have succeeded, besides what else is expected."""
        if "sent" in figures:
            figures["sent/s"] = round(figures["sent"] / max(figures["seconds"], 0.1))
        figures["calls"] = f"{len(self.setups)} of {len(self.setups) + len(self.failed)}"
        if self.setups:
            figures["setup ms (median, max)"] = [
                round(1000 * f(self.setups)) for f in (statistics.median, max)
            ]
            figures["setup ms (median, max), quiet"] = self.quiet_ms
            figures["bye ms (max, max quiet)"] = [
                round(1000 * max(self.byes, default=0)),
                round(1000 * self.quiet),
            ]
        good = not self.failed and all(expected.values())
        print(f"{name}: {'as it should be' if good else 'NOT as it should be'}")
        for key, value in figures.items():
            print(f"  {key}: {value}")
        for reason in [*self.failed[:3], *(what for what, met in expected.items() if not met)]:
            print(f"  failed: {reason}")
        sys.stdout.flush()
        return good

    @property
    def rss(self) -> int:
        return resident_kb(self.node.pid)

    async def numbers(self) -> dict[str, float]:
        found: dict[str, float] = await deferToThread(metrics)
        return found

    async def count_losses(self, figures: dict[str, Any]) -> None:
        """What became of the datagrams that were not answered."""
        text = await self.node.ask("metrics")
        for name in ("malformed", "not read", "backlog"):
            found = re.search(rf'^voipcluster_\w+_total{{\w+="{name}"}} (\S+)$', text, re.MULTILINE)
            figures[name] = float(found[1]) if found else None

    async def end(self) -> None:
        self.carol.close()
        for phone in self.phones:
            await phone.stop()
        await self.cluster.stop()


def challenged(one: socket.socket, user: str, password: str, host: str, number: int) -> bytes:
    """A REGISTER with the digest for the challenge that it got without one."""
    plain = attackers.request(number, "REGISTER", "sip:example.com", f"sip:{user}@example.com", host)
    plain = plain.replace(b"To: <sip:example.com>", f"To: <sip:{user}@example.com>".encode())
    one.sendto(plain, attackers.TARGET)
    challenge = one.recv(65535).decode().partition("WWW-Authenticate: ")[2].partition("\r\n")[0]
    answer = digest.answer(challenge, "REGISTER", "sip:example.com", user, password=password, cnonce="c")
    again = plain.replace(b"branch=z9hG4bK", b"branch=z9hG4bKa").replace(b"CSeq: 1", b"CSeq: 2")
    return again.replace(b"User-Agent", f"Authorization: {answer}\r\nUser-Agent".encode())


def silent_phone(user: str, password: str, host: str) -> socket.socket:
    """Register a socket that nobody reads."""
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.settimeout(5.0)
    one.bind((host, 5060))
    one.sendto(challenged(one, user, password, host, 7), attackers.TARGET)
    answer = one.recv(65535)
    if not answer.startswith(b"SIP/2.0 200"):
        raise SystemExit(f"{user} cannot register: {answer.decode()}")
    return one


async def invite(scene: Scene) -> bool:
    """S2, S29, M8: INVITEs from one address, half of them in the name of strangers to a phone that only rings."""
    a = scene.arguments
    before = scene.rss
    figures = await scene.attack("udp", rate=a.rate, seconds=a.seconds)
    figures["RSS kB (before, after)"] = [before, scene.rss]
    ratio = figures["answered_octets"] / figures["octets"]
    figures["octets out/in"] = round(ratio, 2)
    return scene.show(
        "invite",
        figures,
        **{"BYE within 500 ms": max(scene.byes, default=9) < 0.5 + scene.quiet, "ratio": ratio < 3},
    )


async def mixed(scene: Scene) -> bool:
    """
    S4: seven methods from 100 addresses, each below the rate that bans it; memory returns within 64*T1.

    The base line is twofold: what the process has before any flood, and after a shorter one of the same kind.
    """
    a = scene.arguments
    started = scene.rss
    flood = {"methods": ",".join(attackers.METHODS), "rate": a.rate, "sources": 100}
    await scene.attack("udp", 2, seconds=T1_64, **flood)
    warmed = await scene.attack_over()
    figures = await scene.attack("udp", seconds=a.seconds, **flood)
    peak = scene.rss
    after = await scene.attack_over()
    figures["RSS kB (before any, after one of 32 s, at the end, 64*T1 later)"] = [
        started,
        warmed,
        peak,
        after,
    ]
    # a request that nobody answers ends after 64*T1, and the last response to it after as long again
    await scene.sleep(T1_64 + 5)
    numbers = await scene.numbers()
    figures["transactions left"] = numbers["voipcluster_transactions"]
    return scene.show(
        "mixed",
        figures,
        **{
            "memory returns": after < GROWN * started and after < warmed + started * (GROWN - 1) / 2,
            "none left": figures["transactions left"] < 5,
        },
    )


async def many(scene: Scene) -> bool:
    """S3: 20,000 addresses, five INVITEs each."""
    before = scene.rss
    figures = await scene.attack("many")
    figures["RSS kB (before, at the end)"] = [before, scene.rss]
    numbers = await scene.numbers()
    figures["sources remembered"] = numbers["voipcluster_sources"]
    return scene.show("many", figures, **{"memory is bounded": scene.rss < GROWN * before})


async def nonces(scene: Scene) -> bool:
    """S24: challenges, none of which is kept."""
    a = scene.arguments
    common = {"methods": "REGISTER", "sender": "ours", "rate": 0, "sources": 500}
    before = scene.rss
    figures = await scene.attack("udp", count=a.count, **common)
    after = await scene.attack_over()
    figures["RSS kB (before, 64*T1 after)"] = [before, after]
    await scene.count_losses(figures)
    return scene.show("nonces", figures, **{"memory is flat": after < GROWN * before})


async def malformed(scene: Scene) -> bool:
    """S28: broken packets; the log grows by less than 1 MB."""
    before, log = scene.rss, scene.node.log
    size = log.stat().st_size
    figures = await scene.attack("malformed", count=scene.arguments.count)
    grown = log.stat().st_size - size
    after = await scene.attack_over()
    figures["log octets"] = grown
    figures["RSS kB (before, 64*T1 after)"] = [before, after]
    await scene.count_losses(figures)
    no_traceback = "Traceback" not in log.read_text(errors="replace")
    return scene.show(
        "malformed", figures, **{"log below 1 MB": grown < 1_000_000, "no traceback": no_traceback,
                                 "memory is flat": after < GROWN * before},
    )  # fmt: skip


async def slow(scene: Scene) -> bool:
    """S11: connections that send an octet a second; a phone on TCP registers meanwhile."""
    a = scene.arguments
    served: list[bool] = []

    async def newcomer() -> None:
        await scene.sleep(8.0)
        begin = scene.reactor.seconds()
        await scene.phone("alice", "127.30.0.9", "TCP")
        served.append(scene.reactor.seconds() - begin < 2.0)

    waiting = ensureDeferred(newcomer())
    figures = await scene.attack("slow", seconds=min(a.seconds, 60.0))
    await waiting
    figures["a new phone is served"] = served
    await scene.sleep(11.0)
    left = (await scene.numbers())["voipcluster_connections"]
    figures["connections 11 s later"] = left
    return scene.show(
        "slow", figures,
        **{"a new phone is served": served == [True], "closed in time": figures["longest"] < 12, "gone": left <= 2},
    )  # fmt: skip


async def crlf(scene: Scene) -> bool:
    """S10: line ends as fast as they go."""
    figures = await scene.attack("crlf", seconds=min(scene.arguments.seconds, 20.0))
    ratio = figures["answered_octets"] / max(1, figures["octets"])
    return scene.show("crlf", figures, **{"at most a CRLF for two": ratio <= 0.5})


async def fragments(scene: Scene) -> bool:
    """S17: fragments without an end, and datagrams of 60 kB."""
    return scene.show(
        "fragments", await scene.attack("fragments", seconds=min(scene.arguments.seconds, 20.0))
    )


async def timing(scene: Scene) -> bool:
    """S25: how long a wrong password takes, for a user who exists and one who does not."""

    def measure() -> dict[str, list[float]]:
        sources = attackers.Sources(100, 22)
        took: dict[str, list[float]] = {"alice": [], "nobody": []}
        for number in range(2000):
            # ten guesses a user and source are looked at, then it is another source's turn
            user = ("alice", "nobody")[number % 2]
            one = sources.sockets[number // 20]
            one.settimeout(2.0)
            host = attackers.address(number // 20, 22)
            again = challenged(one, user, "wrong", host, 3 * number)
            begin = time.perf_counter()
            one.sendto(again, attackers.TARGET)
            data = one.recv(65535)
            if number >= 20 and data.startswith(b"SIP/2.0 401"):
                took[user].append(1e6 * (time.perf_counter() - begin))
        return took

    took = await deferToThread(measure)
    known, unknown = took["alice"], took["nobody"]
    difference = abs(statistics.median(known) - statistics.median(unknown))
    noise = statistics.quantiles(known, n=4)
    scene.setups, scene.byes, scene.failed = [], [], []
    figures = {
        "samples": [len(known), len(unknown)],
        "median us (known, unknown)": [round(statistics.median(known), 1), round(statistics.median(unknown), 1)],
        "quartiles of the known us": [round(q, 1) for q in noise],
    }  # fmt: skip
    return scene.show("timing", figures, **{"difference below the noise": difference < noise[2] - noise[0]})


SCENARIOS: dict[str, Callable[[Scene], Coroutine[Any, Any, bool]]] = {
    scenario.__name__: scenario
    for scenario in (invite, mixed, many, nonces, malformed, slow, crlf, fragments, timing)
}


async def run(reactor: Any, arguments: argparse.Namespace) -> None:
    failed = []
    for name in arguments.scenario or SCENARIOS:
        folder = Path(tempfile.mkdtemp(prefix="bench-flood-"))
        scene = Scene(reactor, folder, arguments)
        try:
            await scene.begin()
            if not await SCENARIOS[name](scene):
                failed.append(name)
        finally:
            await scene.end()
            shutil.rmtree(folder, ignore_errors=True)
    if failed:
        raise SystemExit(f"not as it should be: {', '.join(failed)}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "scenario", nargs="*", choices=[[], *SCENARIOS], help="all of them unless some are named"
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="of each attack that has a length")
    parser.add_argument("--rate", type=int, default=2000, help="requests a second of invite and mixed")
    parser.add_argument("--count", type=int, default=1_000_000, help="packets of malformed and nonces")
    arguments = parser.parse_args()
    enter_namespace()
    print(python_build(), flush=True)
    subprocess.run(["ip", "link", "set", "lo", "mtu", "65536"], check=False)
    task.react(lambda reactor: ensureDeferred(run(reactor, arguments)))


if __name__ == "__main__":
    main()
