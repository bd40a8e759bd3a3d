"""
How long commands and pages take while the tables are full, and whether calls wait for them.

Run: C{python -m bench.tables [--registrations 100000] [--calls 2000] [--seconds 20]}.

Two real nodes. Node a finds its registrations and accounts in its database when it starts and tells them to node b, which
joins; the calls are held by a load generator. Each C{voipctl} command is a process of its own, and its start is in the figure.
The time from INVITE to 200 is measured at node a all the time, of one call after the other, before the questions and beside
them. Each node has a processor of its own; voipctl and the pages are asked from that of node b.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from bench import questions
from bench.common import ROOT, compiled, enter_namespace, python_build, running, start, wait_until
from bench.memory import calls_up, short_calls
from bench.proxies import OPEN
from bench.questions import PASSWORD
from voipcluster.address import UDP, Flow
from voipcluster.sip.route import FlowTokens
from voipcluster.voipctl.client import SocketClient

GOAL = 1.0  # s for a command or a page
WAIT = 20.0  # ms that the slowest call of a hundred may take longer beside them
TIMES = 3  # each is asked
A, B = "127.0.0.1", "127.0.0.2"
PROBE, PHONE = ("127.0.0.1", 5090), ("127.0.0.1", 5091)  # who calls, and who answers
CONTACT = f"sip:probe@{PHONE[0]}:{PHONE[1]}"
PACE = 0.05  # s between the calls that are measured

INVITE = """\
{method} {uri} SIP/2.0\r
Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{branch}\r
{route}Max-Forwards: 70\r
From: <sip:caller@example.com>;tag=f{number}\r
To: <sip:probe@example.com>{tag}\r
Call-ID: probe-{number}@bench\r
CSeq: {cseq} {method}\r
Contact: <sip:caller@{host}:{port}>\r
Content-Length: 0\r
\r
"""
REGISTER = """\
REGISTER sip:example.com SIP/2.0\r
Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bKregister\r
Max-Forwards: 70\r
From: <sip:probe@example.com>;tag=1\r
To: <sip:probe@example.com>\r
Call-ID: register@bench\r
CSeq: 1 REGISTER\r
Contact: <sip:probe@{host}:{port}>\r
Expires: 3600\r
Content-Length: 0\r
\r
"""


class Probe(threading.Thread):
    """
    Calls through node a, one after the other, and answers them.

    @ivar waits: seconds from INVITE to 200 of each; C{failed}: how many were not answered within 2 s.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.waits: list[float] = []
        self.failed = 0
        self.ends = False
        self._caller, self._phone = (self._socket(at) for at in (PROBE, PHONE))
        self._phone.sendto(REGISTER.format(host=PHONE[0], port=PHONE[1]).encode(), (A, 5060))
        if not self._phone.recv(65535).startswith(b"SIP/2.0 200"):
            raise SystemExit("the phone of the bench cannot register")

    def _socket(self, at: tuple[str, int]) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(at)
        made.settimeout(5.0)
        return made

    def run(self) -> None:
        number = 0
        while not self.ends:
            number += 1
            begun = time.perf_counter()
            taken = self._call(number)
            if taken is None:
                self.failed += 1
            else:
                self.waits.append(taken)
            time.sleep(max(0.0, begun + PACE - time.perf_counter()))

    def _call(self, number: int) -> float | None:
        begun = time.perf_counter()
        self._send("INVITE", number, 1)
        answer = self._answer(number, begun + 2.0, b" INVITE")
        taken = time.perf_counter() - begun
        if answer is None:
            return None
        lines = answer.decode().split("\r\n")
        tag = next(line.partition(";tag=")[2] for line in lines if line.lower().startswith("to:"))
        routes = [
            line.partition(":")[2].strip() for line in lines if line.lower().startswith("record-route:")
        ]
        rest = {
            "uri": CONTACT,
            "tag": f";tag={tag}",
            "route": "".join(f"Route: {route}\r\n" for route in reversed(routes)),
        }
        self._send("ACK", number, 1, **rest)
        self._send("BYE", number, 2, **rest)
        self._answer(number, time.perf_counter() + 2.0, b" BYE")
        return taken

    def _send(
        self,
        method: str,
        number: int,
        cseq: int,
        uri: str = "sip:probe@example.com",
        tag: str = "",
        route: str = "",
    ) -> None:
        text = INVITE.format(
            method=method, uri=uri, host=PROBE[0], port=PROBE[1], branch=f"{number}{method}", number=number, cseq=cseq,
            tag=tag, route=route,
        )  # fmt: skip
        self._caller.sendto(text.encode(), (A, 5060))

    def _answer(self, number: int, until: float, method: bytes) -> bytes | None:
        """The final answer to a request of the caller; what the phone gets meanwhile is answered with 200."""
        call = f"probe-{number}@".encode()
        while (left := until - time.perf_counter()) > 0:
            ready, _, _ = select.select([self._caller, self._phone], [], [], left)
            if self._phone in ready:
                self._pick_up(*self._phone.recvfrom(65535))
            if self._caller in ready:
                got = self._caller.recv(65535)
                if got.startswith(b"SIP/2.0 2") and call in got and method in got:
                    return got
        return None

    def _pick_up(self, got: bytes, sender: tuple[str, int]) -> None:
        if got.startswith((b"ACK", b"SIP")):
            return
        kept = ("via", "from", "to", "call-id", "cseq", "record-route")
        lines = [line for line in got.decode().split("\r\n") if line.partition(":")[0].lower() in kept]
        lines = [
            f"{line};tag=p" if line.lower().startswith("to:") and "tag=" not in line else line
            for line in lines
        ]
        lines += [f"Contact: <{CONTACT}>", "Content-Length: 0", "", ""]
        self._phone.sendto("\r\n".join(["SIP/2.0 200 OK", *lines]).encode(), sender)

    def take(self) -> list[float]:
        """What was measured since the last time."""
        taken, self.waits = self.waits, []
        return taken


def node(folder: Path, name: str, cpu: int, *more: str) -> subprocess.Popen[str]:
    twistd, state = Path(sys.prefix, "bin", "twistd"), folder / name
    argv = [
        sys.executable,
        twistd,
        "-n",
        "--pidfile=",
        "voipcluster",
        "--name",
        name,
        "--state-dir",
        state,
        *more,
    ]
    settings = [
        *(one for one in OPEN if not one.startswith("web.")),
        "web.port=8080",
        "media.ports=30000-59999",
    ]
    for setting in (
        *settings,
        "media.timeout=3600",
        "media.relay=userspace",
        "cluster.policy=sequence",
        'cluster.sequence=["a"]',
    ):
        argv += ["--set", setting]
    return start(argv, folder / f"{name}.log", cpu)


@contextmanager
def cluster(folder: Path, registrations: int) -> Iterator[SocketClient]:
    """Nodes a and b, both with so many registrations."""
    first = ("--role", "primary", "--address", A)
    with running(node(folder, "a", 0, *first)):
        asked(folder, "a")
    fill(folder / "a", registrations)
    with running(node(folder, "a", 0, *first)):
        client = asked(folder, "a", 120.0)
        token = client.ask("join-token", ttl=600, uses=1)
        with running(node(folder, "b", 1, "--role", "secondary", "--address", B, "--join", token)):
            other = asked(folder, "b", 120.0)

            def told() -> bool:
                users = other.ask("user-list", limit=1, after=registrations - 1)
                return users is not None and bool(other.ask("status")["registrations"] >= registrations)

            wait_until(told, "registrations and accounts at b", folder / "b.log", 180.0)
            yield client


def asked(folder: Path, name: str, seconds: float = 30.0) -> SocketClient:
    """A client of a node that answers."""
    wait_until((folder / name / "admin.sock").exists, f"node {name}", folder / f"{name}.log", seconds)
    return SocketClient(str(folder / name))


def fill(state: Path, count: int) -> None:
    """Accounts and registrations as the node itself keeps them, in the database that it has made."""
    tokens, now = FlowTokens((state / "cluster.key").read_bytes()), time.time()
    bindings, accounts = [], []
    for number in range(count):
        user, place = f"user{number}", (f"192.0.2.{number % 250 + 1}", 1024 + number % 60000)
        contact = f"sip:{user}@{place[0]}:{place[1]}"
        bindings.append(
            {
                "aor": f"{user}@example.com", "ruid": contact, "username": user, "domain": "example.com", "contact": contact,
                "received": f"UDP:{place[0]}:{place[1]}", "path": "", "expires": now + 3600, "q": 1.0,
                "callid": f"{number:x}@phone", "cseq": 1, "last_modified": now, "user_agent": "Softphone 1.2.3 (Linux x86_64)",
                "params": "", "instance": "",
                "reg_id": 0, "flow": tokens.seal(Flow(UDP, (A, 5060), place), 1), "node": "a",
            }
        )  # fmt: skip
        accounts.append(
            {"username": user, "domain": "example.com", "ha1": "0" * 32, "ha1_sha256": "", "disabled": 0, "created": now,
             "last_modified": now}
        )  # fmt: skip
    with closing(sqlite3.connect(state / "voipcluster.db")) as database, database:
        for table, rows in (("location", bindings), ("subscriber", accounts)):
            names = ", ".join(rows[0])
            values = ", ".join(f":{name}" for name in rows[0])
            database.executemany(f"INSERT INTO {table} ({names}) VALUES ({values})", rows)


def run(words: Sequence[str], state: Path, status: int = 0) -> float:
    """
    @return: seconds that it took, start and all.
    @raise SystemExit: it ends with another status.
    """
    voipctl = [sys.executable, "-m", "voipcluster.voipctl", "--state-dir", str(state)]
    # as it is installed: with its modules compiled
    environment = {name: of for name, of in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begun = time.perf_counter()
    done = subprocess.run(
        ["taskset", "-c", "1", *voipctl, *words],
        input=f"{PASSWORD}\n", capture_output=True, text=True, env={**environment, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    taken = time.perf_counter() - begun
    if done.returncode != status:
        raise SystemExit(f"voipctl {' '.join(words)}: {done.returncode}: {done.stderr.strip()}")
    return taken


class Browser:
    """What of a browser is needed to read a page, and to log in."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def ask(self, path: str, body: Mapping[str, object] | None = None) -> float:
        """@return: seconds that it took."""
        octets = None if body is None else json.dumps(body).encode()
        headers = {**self.headers, **({} if body is None else {"Content-Type": "application/json"})}
        request = urllib.request.Request(f"http://{A}:8080/{path}", octets, headers)
        begun = time.perf_counter()
        with urllib.request.urlopen(request, timeout=30) as answer:
            said, cookie = answer.read(), answer.headers.get("Set-Cookie", "")
        taken = time.perf_counter() - begun
        if cookie:
            self.headers = {
                "Cookie": cookie.partition(";")[0],
                "X-Form-Token": json.loads(said)["token"] or "",
            }
        return taken


def show(what: str, taken: float) -> bool:
    print(f"{what:76} {taken:6.2f} s (goal: below {GOAL:g})", flush=True)
    return taken < GOAL


def p99(waits: Sequence[float]) -> float:
    """Milliseconds."""
    return 1000 * statistics.quantiles(waits, n=100, method="inclusive")[98]


def ask_commands(call_id: str, state: Path) -> bool:
    """Each command with the slowest of its times. @return: whether all were quick enough."""
    files = {"config": state.parent / "voipcluster.toml", "subscribers": state.parent / "subscribers.csv"}
    files["config"].write_text('[cluster]\ndomain = ["example.com"]\n')
    files["subscribers"].write_text("username,domain,password\nimported,example.com,secret\n")
    good = True
    for name, way, lines in questions.commands(range(1, TIMES + 1), call_id=call_id, **files):
        if name == "forget":
            wait_until(lambda: not listening(B), "node b stopped", state.parent / "b.log", 30.0)
        slowest = max(run(words, state, way.status) for words in lines)
        good &= show(f"voipctl {name} {' '.join(way.words)}", slowest)
    return good


def listening(address: str) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex((address, 5060)) == 0


def ask_pages(call_id: str) -> bool:
    """The same of the pages."""
    times: dict[str, float] = {}
    for _ in range(TIMES):
        browser = Browser()
        for path in questions.pages(quote(call_id, safe="")):
            times[path] = max(times.get(path, 0.0), browser.ask(path))
        for path, bodies in questions.POSTS.items():
            for body in bodies:
                times[path] = max(times.get(path, 0.0), browser.ask(path, body))
    slow = [path for path, taken in times.items() if not show(f"/{path}", taken)]
    return not slow


def measure(client: SocketClient, state: Path, calls: int, seconds: float) -> bool:
    probe = Probe()
    probe.start()
    time.sleep(2.0)  # what the first calls find cold
    probe.take()
    time.sleep(seconds)
    alone = probe.take()
    call_id = client.ask("calls", limit=1, after=calls - 1)[0][
        "call_id"
    ]  # placements of old ones are forgotten
    run(["web-password", "--password-stdin"], state)
    good = ask_pages(call_id)
    pages = probe.take()
    good &= ask_commands(call_id, state)
    commands = probe.take()
    probe.ends = True
    probe.join()
    for name, waits in (("alone", alone), ("beside pages", pages), ("beside commands", commands)):
        print(
            f"INVITE to 200 {name}, {len(waits)} calls: median {1000 * statistics.median(waits):.1f} ms, "
            f"p99 {p99(waits):.1f} ms, longest {1000 * max(waits):.1f} ms (goal: p99 at most {WAIT:g} ms more than alone)",
            flush=True,
        )
    print(f"calls that failed: {probe.failed}")
    return good and not probe.failed and p99([*pages, *commands]) <= p99(alone) + WAIT


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().split("\n\n")[0])
    parser.add_argument("--registrations", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=2_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="without questions [%(default)g]")
    given = parser.parse_args()
    if shutil.which("gcc") is None:
        raise SystemExit("gcc is not installed: apt-get install gcc")
    enter_namespace()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"{python_build()}; {given.registrations} registrations, {given.calls} calls", flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-tables-")))
        load = compiled("callload", folder)
        client = stack.enter_context(cluster(folder, given.registrations))
        short_calls(load, 10, folder)  # registers who is called
        stack.enter_context(calls_up(load, given.calls, folder, 0.008))
        return int(not measure(client, folder / "a", given.calls, given.seconds))


if __name__ == "__main__":
    sys.exit(main())
