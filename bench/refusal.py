"""What one refusal takes beside one call that is served: both measured in this run, on this machine."""

from __future__ import annotations

import re
import select
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.common import HERE, compiled, cpu_seconds, running, start
from bench.proxies import CPU, PROXY, voipcluster
from tests.unit.net.fakes import FakeReactor
from voipcluster.address import Flow
from voipcluster.balance.overload import OverloadSettings
from voipcluster.balance.thinning import MANY, REFUSALS
from voipcluster.net.sink import SinkErrors
from voipcluster.net.timers import TimerWheel
from voipcluster.net.udp import BATCH, UdpPort, open_udp_socket
from voipcluster.services.transaction.limiting import Limiting
from voipcluster.services.transaction.overload import OverloadService
from voipcluster.services.transaction.transactions import TransactionService
from voipcluster.sip.limits import LimitSettings

GOAL = 0.02
ROUNDS, AT_ONCE = 300, 50  # INVITEs of one wake-up
SERVED = 8  # seconds


class _Wire:
    """Sends over the port as L{voipcluster.services.transaction.transport.TransportService} does."""

    port: UdpPort

    def send(self, data: bytes, flow: Flow, failed: object = None) -> None:
        assert self.port.outbox is not None, "only from within a wake-up"
        self.port.outbox.append((data, flow.remote, None))


class _Nobody:
    """No request gets as far as that."""

    def request_received(self, incoming: object) -> None:
        raise AssertionError("a request that was to be refused")


def refused() -> float:
    """CPU seconds of a refusal: INVITE read, looked at and answered, its ACK read and known, by the code that a node runs."""
    invite = (HERE / "sipp" / "uac_overload.xml").read_text().partition("CDATA[\n")[2].partition("]]>")[0]
    invite = invite.replace("[local_ip]", "127.0.0.1").replace("\n", "\r\n")
    reactor, now = FakeReactor(), time.monotonic
    limiting = Limiting(now, LimitSettings(requests_per_address=0.0))
    transactions = TransactionService(TimerWheel(reactor), bytes(32), limiting=limiting)
    wire = _Wire()
    transactions.connect(wire, _Nobody())  # of a transport only send() is used
    overload = OverloadService(OverloadSettings(), now, time.time, transactions, wire, limiting, "mark")
    overload.sampled(0.1, 0.1, 0.3)
    overload.server._others.rate = 1e-9
    overload.server._others.admits(min(overload.server.refused), 0.0)
    overload.server._others._level = -1e9
    least = []
    with open_udp_socket("127.0.0.1", 0) as caller:
        port = UdpPort(reactor, open_udp_socket("127.0.0.1", 0), transactions, SinkErrors(reactor))
        wire.port = port
        port.start()
        here = str(caller.getsockname()[1])
        text, number = re.sub(r"\[\w+\]", "12345", invite.replace("[local_port]", here)), 0
        for _ in range(ROUNDS):
            for _ in range(AT_ONCE):
                number += 1
                branch = f"branch=z9hG4bK-{number:08}-"
                caller.sendto(text.replace("branch=", branch).encode(), port.local)
            port._batch = BATCH  # a busy machine makes it shorter
            begun = time.process_time()
            port.doRead()
            least.append(time.process_time() - begun)
            acks = []
            while select.select([caller], [], [], 0)[0]:
                answer = caller.recv(65535)
                assert answer.startswith(b"SIP/2.0 503"), answer
                acks.append(
                    answer.replace(b"SIP/2.0 503 Service Unavailable", b"ACK sip:bob@example.com SIP/2.0")
                )
            assert len(acks) == AT_ONCE, len(acks)
            for ack in acks:
                caller.sendto(ack.replace(b"INVITE", b"ACK"), port.local)
            port._batch = BATCH  # a busy machine makes it shorter
            begun = time.process_time()
            port.doRead()
            least[-1] += time.process_time() - begun
        port.close()
    assert overload.refused == number
    least.sort()
    return least[len(least) // 10] / AT_ONCE


def served() -> float:
    """CPU seconds of a call that a saturated node serves."""
    folder = Path(tempfile.mkdtemp(prefix="voipcluster-refusal-"))
    try:
        program = compiled("callload", folder)
        with voipcluster(folder) as node:
            argv = [program, "-p", PROXY, "-w", 64, "-s", SERVED + 2, "-r"]
            output = folder / "callload.out"
            with running(start(argv, output, 1 - CPU)):
                slices, before = [], (0, 0.0)
                for _ in range(SERVED):
                    time.sleep(1.0)
                    lines = [line.split() for line in output.read_text().splitlines() if line[:1].isdigit()]
                    now = (int(lines[-1][1]) if lines else 0, cpu_seconds(node.pid))
                    if now[0] > before[0] > 0:
                        slices.append((now[1] - before[1]) / (now[0] - before[0]))
                    before = now
        if not slices:
            raise SystemExit("no call was served")
        return median(slices)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def refusal() -> bool:
    """Prints what both take."""
    call, one = served(), refused()
    share = one / call
    print(f"a call takes {call * 1e6:.0f} us, a refusal {one * 1e6:.1f} us: {share:.3f} of it (goal {GOAL})")
    print(
        f"{MANY:g} are refused beside each that is served, {MANY * share:.3f} of a call, "
        f"or {REFUSALS:g}, {REFUSALS * share:.3f}, where others are thrown away"
    )
    return share <= GOAL
