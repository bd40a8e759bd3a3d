"""
What a datagram in and out costs, and a timer: ours beside Twisted's own, on loopback, interleaved, minimum of several runs.

Run: C{python -m bench.transport}. CPU seconds of the serving process only; the generator keeps a window of datagrams
under way so that each wake-up finds some.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import Clock
from zope.interface import implementer

from bench.common import ROOT
from voipcluster.address import Flow, Hop
from voipcluster.net.sink import ISipSink, SinkErrors
from voipcluster.net.timers import TimerWheel
from voipcluster.net.udp import UdpPort, open_udp_socket
from voipcluster.services.transaction.transport import TransportService

reactor: Any = global_reactor
MESSAGE = b"INVITE sip:bob@example.com SIP/2.0\r\n" + b"X-Filler: " + b"x" * 650 + b"\r\n\r\n"
COUNT, RUNS = 40_000, 4


def generate(port: int, window: int) -> None:
    """Keep C{window} datagrams under way until all came back; a lost one ends the run early."""
    ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ours.connect(("127.0.0.1", port))
    ours.settimeout(2.0)
    for _ in range(COUNT // window):
        for _ in range(window):
            ours.send(MESSAGE)
        for _ in range(window):
            ours.recv(65535)


class TwistedEcho(DatagramProtocol):
    noisy = False
    count = 0

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.count += 1
        self.transport.write(datagram, addr)


@implementer(ISipSink)
class Echo:
    count = 0
    send: Any

    def bytes_received(self, data: bytes, flow: Flow) -> None:
        self.count += 1
        self.send(data, flow)

    def framing_failed(self, head: bytes, flow: Flow, status_hint: int, reason: str) -> None: ...
    def connection_lost(self, flow: Flow) -> None: ...
    def unreachable(self, hop: Hop) -> None: ...


def serve(kind: str, window: int) -> float:
    """Microseconds of CPU per datagram in and out."""
    stop: Any
    if kind == "twisted":
        protocol = TwistedEcho()
        listening = reactor.listenUDP(0, protocol, "127.0.0.1", 65535)
        counter: Any = protocol
        number, stop = listening.getHost().port, listening.stopListening
    elif kind == "port":
        counter = Echo()
        port = UdpPort(reactor, open_udp_socket("127.0.0.1", 0), counter, SinkErrors(reactor))
        counter.send = lambda data, flow: port.send(data, flow.remote)
        port.start()
        number, stop = port.local[1], port.close
    else:
        counter = Echo()
        service = TransportService(reactor, counter, [("127.0.0.1", 0)])
        counter.send = service.send
        service.startService()
        number, stop = service.local_addresses()[0][1], service.stopService
    generator = subprocess.Popen(
        [sys.executable, "-m", "bench.transport", "generate", str(number), str(window)], cwd=ROOT
    )
    begin = time.process_time()
    while generator.poll() is None:
        reactor.iterate(0.01)
    spent = time.process_time() - begin
    if generator.returncode:
        raise SystemExit("the generator failed")
    stop()
    reactor.iterate(0)
    return float(spent / max(counter.count, 1) * 1e6)


def timers() -> None:
    wheel, clock, count = TimerWheel(reactor), Clock(), 200_000
    others = [wheel.start(d, print) for d in (0.5, 5.0, 32.0)]

    begin = time.process_time()
    for _ in range(count):
        wheel.start(32.0, print).cancel()
    print(f"timer wheel, start and cancel    {(time.process_time() - begin) / count * 1e6:6.2f} us")
    begin = time.process_time()
    for _ in range(count):
        reactor.callLater(32.0, print).cancel()
    print(f"callLater, start and cancel      {(time.process_time() - begin) / count * 1e6:6.2f} us")
    wheel.stop()
    assert not any(timer.active for timer in others)
    wheel = TimerWheel(clock)
    begin = time.process_time()
    for _ in range(count):
        wheel.start(0.5, len, "")
    clock.advance(0.6)
    print(f"timer wheel, start and fire      {(time.process_time() - begin) / count * 1e6:6.2f} us")
    begin = time.process_time()
    for _ in range(count):
        reactor.callLater(0.0, len, "")
    reactor.iterate(0)
    print(f"callLater, start and fire        {(time.process_time() - begin) / count * 1e6:6.2f} us")


def main() -> None:
    for window in (64, 1):
        best: dict[str, float] = {}
        for _ in range(RUNS):
            for kind in ("twisted", "port", "service"):
                best[kind] = min(best.get(kind, 1e9), serve(kind, window))
        for kind, cost in best.items():
            print(f"{window:3} under way, {kind:8} {cost:6.2f} us per datagram in and out")
    timers()


if __name__ == "__main__":
    if sys.argv[1:2] == ["generate"]:
        generate(int(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
