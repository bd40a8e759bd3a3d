"""
The relays that C{bench/relay.py} compares: how each is started, and how its calls are set up.

Caller and callee are on one host with the relay, or each in a network namespace of its own, joined to that of the relay by veth.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from attrs import frozen

HERE = Path(__file__).resolve().parent
CALLER, CALLEE = 10000, 14000  # first ports of the parties
NG = ("127.0.0.1", 2223)
LOAD, KERNEL, USERSPACE, RTPENGINE = NAMES = (
    "load alone", "voipcluster, kernel", "voipcluster, user space", "rtpengine, user space",
)  # fmt: skip
SDP = (
    "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\n"
    "m=audio {1} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)


@frozen
class Leg:
    """
    Where one party sends from, and where to.

    @ivar party: 0 the caller's, 1 the callee's.
    """

    party: int
    local: int
    host: str
    port: int

    def line(self, places: Places) -> str:
        """As F{rtpload.c} reads it."""
        return f"{places.parties[self.party]} {self.local} {self.host} {self.port}\n"


@frozen
class Places:
    """
    @ivar relay: address of the relay; C{parties} those of caller and callee.
    @ivar inside: what runs a command on the host of a party.
    """

    relay: str = "127.0.0.1"
    parties: tuple[str, str] = ("127.0.0.1", "127.0.0.1")
    inside: tuple[tuple[str, ...], ...] = ((), ())

    @property
    def apart(self) -> bool:
        return self.inside != ((), ())

    def direct(self, calls: int) -> list[Leg]:
        """Without a relay."""
        ports = [(CALLER + 2 * n, CALLEE + 2 * n) for n in range(calls)]
        legs = [Leg(0, a, self.parties[1], b) for a, b in ports]
        return legs + [Leg(1, b, self.parties[0], a) for a, b in ports]


def hosts(stack: ExitStack) -> Places:
    """Make caller and callee hosts of their own, with the relay as their router."""
    inside, parties = [], []
    for network, name in ((2, "caller"), (3, "callee")):
        keeper = stack.enter_context(
            running(["unshare", "--net", "sh", "-c", "echo && exec sleep infinity"], stdout=subprocess.PIPE)
        )
        assert keeper.stdout is not None
        keeper.stdout.readline()
        within = ("nsenter", f"--net=/proc/{keeper.pid}/ns/net")
        here, there = f"192.0.{network}.1", f"192.0.{network}.10"
        for command in (
            ["ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", keeper.pid],
            ["ip", "address", "add", f"{here}/24", "dev", name],
            ["ip", "link", "set", name, "up"],
            [*within, "ip", "address", "add", f"{there}/24", "dev", "eth0"],
            [*within, "ip", "link", "set", "eth0", "up"],
            [*within, "ip", "route", "add", "default", "via", here],
        ):
            subprocess.run([str(word) for word in command], check=True)
        inside.append(within)
        parties.append(there)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    return Places("192.0.2.1", (parties[0], parties[1]), tuple(inside))


# the peer


def bencode(value: Any) -> bytes:
    match value:
        case str():
            return b"%d:%s" % (len(value.encode()), value.encode())
        case dict():
            return b"d" + b"".join(bencode(k) + bencode(v) for k, v in sorted(value.items())) + b"e"
        case list():
            return b"l" + b"".join(map(bencode, value)) + b"e"
    raise TypeError(value)


def port_in(answer: bytes) -> int:
    """The audio port in the SDP of an ng answer."""
    if b"6:result2:ok" not in answer:
        raise RuntimeError(f"rtpengine says {answer!r}")
    return int(answer.partition(b"m=audio ")[2].split()[0])


def rtpengine_legs(calls: int, places: Places) -> list[Leg]:
    legs = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        control.settimeout(5)
        control.connect(NG)
        for n in range(calls):
            ours = []
            common: dict[str, Any] = {
                "call-id": f"c{n}",
                "from-tag": f"a{n}",
                "ICE": "remove",
                "replace": ["origin"],
            }
            for party, (command, port, more) in enumerate(
                (("offer", CALLER, {}), ("answer", CALLEE, {"to-tag": f"b{n}"}))
            ):
                sdp = SDP.format(places.parties[party], port + 2 * n)
                request = {**common, **more, "command": command, "sdp": sdp}
                control.send(b"%d_%s " % (n, command.encode()) + bencode(request))
                ours.append(port_in(control.recv(65535)))
            for_callee, for_caller = ours
            legs.append(Leg(0, CALLER + 2 * n, places.relay, for_caller))
            legs.append(Leg(1, CALLEE + 2 * n, places.relay, for_callee))
    return legs


# processes


@contextmanager
def running(argv: list[Any], **options: Any) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen([str(a) for a in argv], text=True, **options)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def cpu_us(pid: int) -> float:
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1000


def pinned(cpu: int) -> Any:
    return lambda: os.sched_setaffinity(0, {cpu})


def wait_for_udp(port: int, child: subprocess.Popen[str]) -> None:
    while child.poll() is None:
        if f":{port:04X} " in Path("/proc/net/udp").read_text():
            return
        os.sched_yield()
    raise RuntimeError(f"{child.args!r} ended with status {child.returncode}")


def start_ours(
    stack: ExitStack, calls: int, path: str, places: Places, python: str = sys.executable
) -> tuple[int, list[Leg], dict[str, Any]]:
    """Its process, where the parties send to, and what it told of itself."""
    packages = [str(HERE.parent), sysconfig.get_path("purelib")]
    child = stack.enter_context(
        running(
            [
                python,
                HERE / "relay_server.py",
                calls,
                CALLER,
                CALLEE,
                path,
                places.relay,
                *places.parties,
            ],
            stdout=subprocess.PIPE,
            preexec_fn=pinned(0),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(packages), "PYTHONDONTWRITEBYTECODE": "1"},
        )
    )
    stdout: IO[str] | None = child.stdout
    assert stdout is not None
    line = stdout.readline()
    if not line:
        raise RuntimeError("the relay did not start")
    told = json.loads(line)
    legs = [Leg(party, local, places.relay, port) for party, local, port in told["legs"]]
    return child.pid, legs, told


def start_rtpengine(
    stack: ExitStack, calls: int, folder: str, places: Places
) -> tuple[int, list[Leg], float]:
    """Its process, where the parties send to, and kB a call."""
    settings = Path(folder, "rtpengine.conf")
    settings.write_text(
        f"[rtpengine]\ntable = -1\ninterface = {places.relay}\nlisten-ng = {NG[0]}:{NG[1]}\nport-min = 20000\n"
        "port-max = 39999\nlog-level = 3\nlog-stderr = true\nforeground = true\nnum-threads = 1\ntimeout = 600\n"
    )
    child = stack.enter_context(
        running(["rtpengine", "--config-file", settings], stderr=subprocess.DEVNULL, preexec_fn=pinned(0))
    )
    wait_for_udp(NG[1], child)
    before = resident_kb(child.pid)
    legs = rtpengine_legs(calls, places)
    return child.pid, legs, (resident_kb(child.pid) - before) / calls


def resident_kb(pid: int) -> int:
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])
