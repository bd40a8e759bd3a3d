"""
Instructions of one call at a node, by the message: a figure that does not move with what else the machine does.

    python -m bench.instructions                 # under valgrind (callgrind), which this starts itself; about a minute
    python -m bench.instructions --frames        # calls of Python functions instead, each by its name; no valgrind

The node is a whole one on a virtual clock (F{tests/simulation}), configured as for C{bench.proxy}; its socket is a list,
database and journal are files. Counted is what the node does from the datagrams of a wake-up to those that leave at its end, and
what timers and the thread of the database do; neither the kernel nor the peers. One call is INVITE, 180, 200, ACK, BYE, 200, and
L{AT_ONCE} calls are in each wake-up.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from twisted.internet.defer import Deferred

from bench.common import HERE, ROOT, python_build
from tests.simulation.node_reactor import EPOCH, NodeReactor
from tests.simulation.world import World
from voipcluster.net.waiting import SO_TIMESTAMPNS
from voipcluster.store.calls import NAME, CallStore
from voipcluster.store.database import Database

AT_ONCE = 32  # calls of one wake-up
WARM, ROUNDS = 20, 30
PAUSE = 0.005  # s between two wake-ups: a thousand calls a second
NODE, CALLER, CALLEE = ("10.0.0.1", 5060), ("127.0.0.1", 5080), ("127.0.0.1", 5070)
OPEN: dict[str, dict[str, Any]] = {
    "limits": {
        "calls": 1_000_000,
        "transactions": 10_000_000,
        "requests_per_address": 0,
        "requests_per_user": 0,
        "unanswered_calls_per_user": 0,
        "unanswered_calls_per_address": 0,
    },
    "cluster": {"threshold": 1.0, "hard_limit": 1.0},
    "overload": {"enabled": False},
}
PHASES = ("INVITE", "180", "200", "ACK", "BYE", "200 to BYE", "timers", "database")

Datagram = tuple[bytes, tuple[str, int]]


class Wire:
    """The node's datagram socket: what comes and what has left, in memory."""

    def __init__(self, seconds: Callable[[], float], local: tuple[str, int]) -> None:
        self._seconds, self._local = seconds, local
        self.came: deque[Datagram] = deque()
        self.left: list[Datagram] = []

    def getsockname(self) -> tuple[str, int]:
        return self._local

    def fileno(self) -> int:
        return id(self) & 0xFFFF

    def recvfrom(self, size: int) -> Datagram:
        if self.came:
            return self.came.popleft()
        raise BlockingIOError

    def recvmsg(self, size: int, ancillary: int, flags: int = 0) -> Any:
        data, source = self.recvfrom(size)
        now = self._seconds()
        stamp = struct.pack("@qq", int(now), int(now % 1 * 1e9))
        return data, [(socket.SOL_SOCKET, SO_TIMESTAMPNS, stamp)], 0, source

    def sendto(self, data: bytes, remote: tuple[str, int]) -> int:
        self.left.append((data, remote))
        return len(data)

    def getsockopt(self, level: int, option: int, size: int = 0) -> int | bytes:
        return bytes(size) if size else int((level, option) == (socket.SOL_SOCKET, SO_TIMESTAMPNS))

    def setsockopt(self, level: int, option: int, value: object) -> None:
        """It has no options."""

    def close(self) -> None:
        """Nothing is held."""


class Peers:
    """Caller and callee of all calls; what they send is what F{bench/callload.c} sends."""

    def __init__(self) -> None:
        self.serial = 0

    def register(self) -> bytes:
        return (
            b"REGISTER sip:example.com SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK1r\r\nMax-Forwards: 70\r\n"
            b"From: <sip:bob@example.com>;tag=r1\r\nTo: <sip:bob@example.com>\r\nCall-ID: r1@127.0.0.1\r\nCSeq: 1 REGISTER\r\n"
            b"Contact: <sip:bob@127.0.0.1:5070>\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"
        )

    def _request(self, method: bytes, uri: bytes, serial: int, kind: bytes) -> bytes:
        return (
            b"%b %b SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5080;branch=z9hG4bK4711.%d.%b\r\nMax-Forwards: 70\r\n"
            b"From: <sip:caller@127.0.0.1:5080>;tag=4711a%d\r\nCall-ID: %d-%d-4711@127.0.0.1\r\n"
        ) % (method, uri, serial, kind, serial, serial % AT_ONCE, serial)

    def invite(self) -> bytes:
        self.serial += 1
        return (
            self._request(b"INVITE", b"sip:bob@example.com", self.serial, b"i")
            + b"To: <sip:bob@example.com>\r\nCSeq: 1 INVITE\r\nContact: <sip:caller@127.0.0.1:5080>\r\n"
            + self._body(b"caller", 16000)
        )

    @staticmethod
    def _body(who: bytes, port: int) -> bytes:
        body = (
            b"v=0\r\no=%b 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            b"m=audio %d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        ) % (who, port)
        return b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    def answer(self, request: bytes, status: bytes, *, tag: bool, body: bool) -> bytes:
        lines = request.partition(b"\r\n\r\n")[0].split(b"\r\n")
        taken = [b"SIP/2.0 " + status]
        for name in (b"Via", b"Record-Route", b"From", b"To", b"Call-ID", b"CSeq"):
            taken += [line for line in lines if line.startswith(name + b": ")]
        if tag:
            call_id = _value(request, b"Call-ID").partition(b"@")[0]
            taken = [line + b";tag=b" + call_id if line.startswith(b"To: ") else line for line in taken]
            taken.append(b"Contact: <sip:bob@127.0.0.1:5070>")
        end = self._body(b"bob", 26000) if body else b"Content-Length: 0\r\n\r\n"
        return b"\r\n".join([*taken, end])

    def in_dialog(self, answer: bytes, method: bytes, number: int) -> bytes:
        serial = int(_value(answer, b"Call-ID").split(b"-")[1])
        routes = [line[14:] for line in answer.split(b"\r\n") if line.startswith(b"Record-Route: ")]
        uri = _value(answer, b"Contact").strip(b"<>")
        kind = b"a" if method == b"ACK" else b"b"
        return (
            self._request(method, uri, serial, kind)
            + b"".join(b"Route: %b\r\n" % route for route in reversed(routes))
            + b"To: %b\r\nCSeq: %d %b\r\nContent-Length: 0\r\n\r\n" % (_value(answer, b"To"), number, method)
        )


def _value(message: bytes, name: bytes) -> bytes:
    found = re.search(rb"\r\n%b: (.*?)\r\n" % name, message)
    assert found is not None, message
    return found[1]


class Bench:
    """
    @ivar phase: a context in which what happens counts, by its name.
    """

    def __init__(self, folder: Path, records: bool, phase: Callable[[str], Any]) -> None:
        self.phase, self._peers = phase, Peers()
        self._wires: list[Wire] = []
        self._waiting: deque[tuple[Callable[[], Any], Deferred[Any]]] = deque()
        NodeReactor.open_udp = self._open
        options = {**OPEN, **({} if records else {"records": {"days": 0}})}
        try:
            self._world = World("a", options=options)
        except AttributeError:
            self._world = World("a", options=OPEN)  # of a time that had no records
        (node,) = self._world.nodes.values()
        self.node = node.service
        disk = node._disk
        disk.run = self._run
        (self.wire,) = self._wires
        (self._port,) = [reader for reader in node.reactor.getReaders() if hasattr(reader, "doRead")]
        store = Database(folder / "state.db", self._run)
        journal = CallStore(folder / NAME)
        journal.load()
        self.node.journal._store, self.node.journal._run = journal, self._run
        if hasattr(self.node, "keeping") and self.node.keeping.book is not None:
            self.node.keeping.log._database = store
            self.node.keeping.book._run = self._run
        self._deliver([(self._peers.register(), CALLEE)])
        assert b" 200 " in self._left()[0], "bob is registered"

    def _open(self, host: str, port: int) -> Wire:
        self._wires.append(Wire(lambda: EPOCH + self._world.now, (host, port)))
        return self._wires[-1]

    def _run(self, work: Callable[[], Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self._waiting.append((work, done))
        return done

    def _work(self) -> None:
        """What the thread of the database has to do, and what its end brings to do."""
        while self._waiting:
            work, done = self._waiting.popleft()
            with self.phase("database"):
                result = work()
            with self.phase("timers"):
                done.callback(result)

    def _deliver(self, datagrams: list[Datagram]) -> None:
        self.wire.came.extend(datagrams)
        while self.wire.came:
            self._port.doRead()

    def _left(self) -> list[bytes]:
        left = [data for data, _ in self.wire.left]
        self.wire.left.clear()
        return left

    def _step(self, name: str, source: tuple[str, int], sent: list[bytes], first: bytes) -> list[bytes]:
        """The node gets these; what it sends that begins so, one for each."""
        datagrams = [(data, source) for data in sent]
        with self.phase(name):
            self._deliver(datagrams)
        left = [data for data in self._left() if data.startswith(first)]
        assert len(left) == len(sent), name
        with self.phase("timers"):
            self._world.run(PAUSE)
        self._work()
        return left

    def round(self) -> None:
        """Calls from their INVITE to their end."""
        peers, step = self._peers, self._step
        asked = step("INVITE", CALLER, [peers.invite() for _ in range(AT_ONCE)], b"INVITE ")
        step(
            "180",
            CALLEE,
            [peers.answer(one, b"180 Ringing", tag=True, body=False) for one in asked],
            b"SIP/2.0 180",
        )
        answers = [peers.answer(one, b"200 OK", tag=True, body=True) for one in asked]
        answers = step("200", CALLEE, answers, b"SIP/2.0 200")
        step("ACK", CALLER, [peers.in_dialog(one, b"ACK", 1) for one in answers], b"ACK ")
        ends = step("BYE", CALLER, [peers.in_dialog(one, b"BYE", 2) for one in answers], b"BYE ")
        step(
            "200 to BYE",
            CALLEE,
            [peers.answer(one, b"200 OK", tag=False, body=False) for one in ends],
            b"SIP/2.0 200",
        )

    def rest(self) -> None:
        """Until what was gathered is written."""
        for _ in range(4):
            with self.phase("timers"):
                self._world.run(0.1)
            self._work()

    def warm(self) -> None:
        for _ in range(WARM):
            self.round()
        self.rest()
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 5_000, 1_000)  # as voipcluster/tap.py has it


class Counting:
    """By callgrind, when this runs under it."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library, self.on = library, False

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        if not self.on:
            yield
            return
        self._library.toggle()
        yield
        self._library.toggle()
        self._library.told(name.encode())


class Frames:
    """Calls of Python functions."""

    def __init__(self) -> None:
        self.on = False
        self.found: dict[str, Counter[str]] = defaultdict(Counter)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        if not self.on:
            yield
            return
        found = self.found[name]

        def called(frame: FrameType, event: str, _: object) -> None:
            if event == "call":
                code = frame.f_code
                found[f"{Path(code.co_filename).name}:{code.co_qualname}"] += 1

        sys.setprofile(called)
        yield
        sys.setprofile(None)


def frames(bench_records: bool, by_name: bool) -> None:
    counting = Frames()
    with tempfile.TemporaryDirectory(prefix="bench-frames-") as folder:
        bench = Bench(Path(folder), bench_records, counting.phase)
        bench.warm()
        counting.on = True
        for _ in range(ROUNDS):
            bench.round()
        bench.rest()
    calls, total = AT_ONCE * ROUNDS, 0.0
    for phase in PHASES:
        found = counting.found[phase]
        count = sum(found.values()) / calls
        total += count
        print(f"{phase:12} {count:8.1f}")
        if by_name:
            for name, number in found.most_common():
                if number >= 0.04 * calls:
                    print(f"      {number / calls:8.2f}  {name}")
    print(f"{'a call':12} {total:8.1f} calls of Python functions")


def counted(library: str, records: bool) -> None:
    """Inside valgrind."""
    asked = ctypes.CDLL(library)
    assert asked.counts(), "this runs under valgrind"
    counting = Counting(asked)
    with tempfile.TemporaryDirectory(prefix="bench-instructions-") as folder:
        bench = Bench(Path(folder), records, counting.phase)
        bench.warm()
        asked.begin()
        counting.on = True
        for _ in range(ROUNDS):
            bench.round()
        bench.rest()


def instructions(records: bool, keep: Path | None) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-instructions-") as folder:
        place = Path(folder) if keep is None else keep
        library = place / "counted.so"
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, HERE / "counted.c"], check=True)
        argv = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no", "-q"]
        argv += [
            f"--callgrind-out-file={place}/out",
            sys.executable,
            "-m",
            "bench.instructions",
            f"--inside={library}",
        ]
        environment = {
            **os.environ,
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT)),
        }
        subprocess.run([*argv, *([] if records else ["--no-records"])], check=True, cwd=ROOT, env=environment)
        found: dict[str, int] = defaultdict(int)
        for file in place.glob("out*"):
            name, total = "", 0
            with file.open() as lines:
                for line in lines:
                    if line.startswith("desc: Trigger: Client Request: "):
                        name = line[31:].strip()
                    elif line.startswith(("totals: ", "summary: ")):
                        total = int(line.split()[1])
            found[name] += total
    calls = AT_ONCE * ROUNDS
    print(f"{python_build()}; instructions of a call, {calls} calls")
    for phase in PHASES:
        print(f"{phase:12} {found[phase] / calls:10,.0f}")
    print(f"{'a call':12} {sum(found[phase] for phase in PHASES) / calls:10,.0f}")


def main() -> None:
    random.seed(1)
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--frames", action="store_true", help="count calls of Python functions, without valgrind"
    )
    parser.add_argument("--names", action="store_true", help="with --frames: each function by its name")
    parser.add_argument("--no-records", action="store_true", help="records.days = 0")
    parser.add_argument("--keep", type=Path, help="a folder that keeps what callgrind wrote")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    given = parser.parse_args()
    records = not given.no_records
    if given.inside:
        counted(given.inside, records)
    elif given.frames:
        frames(records, given.names)
    else:
        instructions(records, given.keep)


if __name__ == "__main__":
    main()
