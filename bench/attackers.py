"""Who sends what F{bench/flood.py} measures: processes with blocking sockets, from many addresses of 127/8."""

from __future__ import annotations

import json
import random
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.common import start

TARGET = ("127.0.0.1", 5060)
METHODS = ("INVITE", "REGISTER", "SUBSCRIBE", "NOTIFY", "PUBLISH", "MESSAGE", "OPTIONS")
_RCVBUF = 1 << 20


def launch(kind: str, log: Path, **options: float | str) -> subprocess.Popen[str]:
    """Start an attacker in a process of its own; the last line of its log is JSON with what it did."""
    program = "import sys; from bench import attackers; attackers.main(*sys.argv[1:])"
    return start([sys.executable, "-c", program, kind, json.dumps(options)], log, 1)


def main(kind: str, options: str) -> None:
    figures = globals()[f"attack_{kind}"](**json.loads(options))
    print(json.dumps(figures), flush=True)


def address(number: int, network: int = 20) -> str:
    """One of the addresses of attackers."""
    return f"127.{network}.{number // 250}.{1 + number % 250}"


class Sources:
    """UDP sockets of so many addresses, which count what comes back."""

    def __init__(self, count: int, network: int = 20) -> None:
        self.sockets = [self._open(address(number, network)) for number in range(count)]
        self.sent = self.octets = self.answers = self.answered_octets = 0

    @staticmethod
    def _open(host: str) -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RCVBUF)
        opened.setblocking(False)
        opened.bind((host, 5060))
        return opened

    def send(self, number: int, data: bytes) -> None:
        taken = self.sockets[number % len(self.sockets)]
        try:
            taken.sendto(data, TARGET)
        except OSError:
            return  # a full buffer: the network would have dropped it
        self.sent += 1
        self.octets += len(data)
        self.receive(taken)

    def receive(self, taken: socket.socket) -> None:
        while True:
            try:
                data = taken.recv(65535)
            except OSError:
                return
            self.answers += 1
            self.answered_octets += len(data)

    def figures(self, seconds: float) -> dict[str, float]:
        for taken in self.sockets:
            self.receive(taken)
        return {
            "sent": self.sent, "octets": self.octets, "answers": self.answers, "answered_octets": self.answered_octets,
            "seconds": round(seconds, 1),
        }  # fmt: skip


def request(number: int, method: str, uri: str, sender: str, host: str) -> bytes:
    contact = f"Contact: <sip:x@{host}:5060>\r\n" if method in ("INVITE", "SUBSCRIBE", "REGISTER") else ""
    event = "Event: presence\r\n" if method in ("SUBSCRIBE", "NOTIFY", "PUBLISH") else ""
    return (
        f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{number:x}\r\nMax-Forwards: 70\r\n"
        f"From: <{sender}>;tag={number:x}\r\nTo: <{uri}>\r\nCall-ID: {number:x}@{host}\r\nCSeq: 1 {method}\r\n"
        f"{contact}{event}User-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def paced(rate: float, seconds: float, count: float = 0) -> Iterator[int]:
    """Numbers from 0 at so many a second, or as fast as one can with a rate of 0; until the time or the count is over."""
    begin, number = time.monotonic(), 0
    while (not seconds or time.monotonic() - begin < seconds) and (not count or number < count):
        if rate:
            due = begin + number / rate
            ahead = due - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
        yield number
        number += 1


def attack_udp(
    methods: str = "INVITE", uri: str = "sip:carol@example.com", sender: str = "mixed", rate: float = 2000,
    seconds: float = 0, count: int = 0, sources: int = 1,
) -> dict[str, float]:  # fmt: skip
    """
    Requests from so many addresses in turn.

    @param methods: separated by commas; C{sender}: C{ours} is challenged, C{foreign} may call our users, C{mixed} is both.
    """
    sockets, chosen = Sources(int(sources)), methods.split(",")
    begin = time.monotonic()
    for number in paced(rate, seconds, count):
        method = chosen[number // len(sockets.sockets) % len(chosen)]
        host = address(number % len(sockets.sockets))
        foreign = sender == "foreign" or (sender == "mixed" and number // len(chosen) % 2)
        target = "sip:example.com" if method == "REGISTER" else uri
        who = "sip:eve@elsewhere.example" if foreign else f"sip:u{number % 97}@example.com"
        sockets.send(number, request(number, method, target, who, host))
    return sockets.figures(time.monotonic() - begin)


def attack_malformed(count: int = 1_000_000, rate: float = 0, sources: int = 500) -> dict[str, float]:
    """Broken packets of many kinds; few enough a source that none is banned, for a ban would make it easy."""
    sockets, rng, begin = Sources(int(sources)), random.Random(4475), time.monotonic()
    good = request(1, "INVITE", "sip:nobody@example.com", "sip:eve@elsewhere.example", "127.20.0.1")
    broken = [
        b"\x00" * 40,
        b"\xff" * 400,
        good[:60],
        good.replace(b"SIP/2.0", b"SIP/9.0"),
        good.replace(b": ", b" "),
    ]
    broken += [good.replace(b"CSeq: 1", b"CSeq: x"), b"A" * 1200, good.replace(b"INVITE", b"IN\rVITE")]
    for _ in range(56):
        data = bytearray(good)
        for _ in range(8):
            data[rng.randrange(len(data))] = rng.randrange(256)
        broken.append(bytes(data))
    for number in paced(rate, 0, count):
        sockets.send(number, broken[number // len(sockets.sockets) % len(broken)])
    return sockets.figures(time.monotonic() - begin)


def attack_many(sources: int = 20_000, each: int = 5) -> dict[str, float]:
    """So many addresses, each of which sends a few INVITEs."""
    begin, totals = time.monotonic(), dict.fromkeys(("sent", "octets", "answers", "answered_octets"), 0.0)
    for first in range(0, int(sources), 500):
        group = Sources(0)
        group.sockets = [
            Sources._open(address(number, 21)) for number in range(first, min(first + 500, int(sources)))
        ]
        for number in range(each * len(group.sockets)):
            host = address(first + number % len(group.sockets), 21)
            unique = first * each + number
            group.send(number, request(unique, "INVITE", "sip:bob@example.com", "sip:u@example.com", host))
            time.sleep(0.0003)
        for name, value in group.figures(0).items():
            if name in totals:
                totals[name] += value
        for taken in group.sockets:
            taken.close()
    return {**totals, "seconds": round(time.monotonic() - begin, 1)}


def attack_slow(connections: int = 2000, seconds: float = 40, sources: int = 20) -> dict[str, float]:
    """So many connections that send one octet of a request a second each; opened again when they are closed."""
    begin, slow = time.monotonic(), dict[int, tuple[socket.socket, float, int]]()
    data = request(1, "OPTIONS", "sip:example.com", "sip:eve@elsewhere.example", "127.20.0.1")
    opened = closed = refused = most = 0
    longest = 0.0
    while time.monotonic() - begin < seconds:
        second = time.monotonic()
        for number in range(int(connections)):
            try:
                if number not in slow:
                    one = socket.socket()
                    one.settimeout(1.0)
                    one.bind((address(number % int(sources)), 0))
                    one.connect(TARGET)
                    one.setblocking(False)
                    slow[number] = one, time.monotonic(), 0
                    opened += 1
                one, since, at = slow[number]
                one.send(data[at : at + 1])
                slow[number] = one, since, at + 1
                try:
                    if not one.recv(100):
                        raise ConnectionResetError
                except BlockingIOError:
                    pass
            except OSError:
                if number in slow:
                    one, since, _ = slow.pop(number)
                    closed += 1
                    longest = max(longest, time.monotonic() - since)
                else:
                    refused += 1
                one.close()
        most = max(most, len(slow))
        time.sleep(max(0.0, second + 1.0 - time.monotonic()))
    return {
        "opened": opened, "closed": closed, "refused": refused, "most at once": most, "longest": round(longest, 1),
    }  # fmt: skip


def attack_crlf(seconds: float = 20, connections: int = 4) -> dict[str, float]:
    """Nothing but line ends, as fast as the connections take them."""
    begin, octets, answered = time.monotonic(), 0, 0
    block = b"\r\n" * (32 << 10)
    open_ones = [socket.create_connection(TARGET, 5, (address(n), 0)) for n in range(int(connections))]
    for one in open_ones:
        one.settimeout(0.01)
    while time.monotonic() - begin < seconds and open_ones:
        for one in list(open_ones):
            try:
                octets += one.send(block)
                answered += len(one.recv(65535))
            except TimeoutError:
                continue
            except OSError:
                open_ones.remove(one)
    return {"octets": octets, "answered_octets": answered, "open": len(open_ones), "seconds": seconds}


def attack_fragments(rate: float = 1000, seconds: float = 20) -> dict[str, float]:
    """First fragments of datagrams whose rest never comes (root only), and whole datagrams of 60 kB."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    whole, sent = Sources(1), 0
    for number in paced(rate, seconds):
        payload = struct.pack("!HHHH", 5060, 5060, 60_000, 0) + b"INVITE sip:x SIP/2.0\r\n" + b"a" * 1450
        header = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), number & 0xFFFF, 0x2000, 64, 17, 0,
            socket.inet_aton(address(number % 200)), socket.inet_aton(TARGET[0]),
        )  # fmt: skip
        raw.sendto(header + payload, (TARGET[0], 0))
        sent += 1
        if number % 10 == 0:
            whole.send(0, b"INVITE sip:x@example.com SIP/2.0\r\n" + b"X: y\r\n" * 10_000)
    return {"fragments": sent, "large": whole.sent, "answers": whole.answers, "seconds": seconds}
