"""A phone's media as the tests have it: one UDP port that speaks RTP, and hears."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import DatagramProtocol

if TYPE_CHECKING:
    from tests.conformance.case import ConformanceTestCase

Address = tuple[str, int]
_PCMU_SILENCE = b"\xff" * 160  # 20 ms


class MediaPort(DatagramProtocol):
    """
    @ivar host: where it is; C{port}: likewise; C{heard}: the payloads that came, and from where.
    @ivar word: what its packets begin with, behind the RTP header; nobody else's do.
    @ivar profile: and C{attributes}: how it says that in SDP.
    @ivar raw: what came, with headers.
    """

    noisy = False
    transport: Any

    def __init__(self, case: ConformanceTestCase, host: str) -> None:
        self._case, self.host = case, host
        self.heard: list[tuple[bytes, Address]] = []
        self.raw: list[bytes] = []
        self.profile, self.attributes = "RTP/AVP", list[str]()
        self.word = secrets.token_bytes(8)
        self._ssrc, self._sequence = secrets.token_bytes(4), 0
        listening = case.reactor.listenUDP(0, self, host)
        self.port: int = listening.getHost().port

        async def close() -> None:
            await listening.stopListening()

        case.at_end(close)

    def datagramReceived(self, datagram: bytes, addr: tuple[Any, ...]) -> None:
        self.heard.append((datagram[12:], (addr[0], addr[1])))
        self.raw.append(datagram)

    def packet(self) -> bytes:
        """The next 20 ms of G.711."""
        self._sequence += 1
        header = b"\x80\x00" + self._sequence.to_bytes(2, "big") + (160 * self._sequence).to_bytes(4, "big")
        return header + self._ssrc + self.word + _PCMU_SILENCE[8:]

    def say(self, to: Address) -> bytes:
        """Send it; gives what was sent."""
        packet = self.packet()
        self.send(packet, to)
        return packet

    def send(self, datagram: bytes, to: Address) -> None:
        self.transport.write(datagram, to)

    async def reaches(self, to: Address, other: MediaPort) -> None:
        """Speak to a relay port until the other one hears it, from the relay; fail when it does not."""
        before = len(other.heard)

        def arrives() -> bool:
            self.say(to)
            return any(payload.startswith(self.word) for payload, _ in other.heard[before:])

        await self._case.until(arrives, f"media from {self.host} reaches {other.host}", 30.0)

    def sdp(self, *attributes: str, version: int = 1, host: str = "") -> bytes:
        """A description of G.711 here; C{attributes}: such as C{"sendonly"}; C{host}: says another one in c=."""
        lines = [
            "v=0", f"o=- {self.port} {version} IN {_family(self.host)} {self.host}", "s=-",
            f"c=IN {_family(host or self.host)} {host or self.host}", "t=0 0",
            f"m=audio {self.port} {self.profile} 0", "a=rtpmap:0 PCMU/8000",
            *(f"a={attribute}" for attribute in (*self.attributes, *attributes)),
        ]  # fmt: skip
        return "".join(f"{line}\r\n" for line in lines).encode()


def _family(host: str) -> str:
    return "IP6" if ":" in host else "IP4"


def media_of(body: bytes) -> Address:
    """Where a description says that its first line's media goes: c= of the line, else of the session."""
    text = body.decode()
    host = re.findall(r"^c=IN IP[46] (\S+)\r$", text, re.MULTILINE)[-1]
    found = re.search(r"^m=audio (\d+) [A-Z/]+ 0\b", text, re.MULTILINE)
    assert found is not None, f"no audio in {text!r}"
    return host, int(found[1])


def direction_of(body: bytes) -> str:
    """What it says about the direction, C{sendrecv} when nothing."""
    found = re.search(rb"^a=(sendonly|recvonly|inactive|sendrecv)\r$", body, re.MULTILINE)
    return found[1].decode() if found else "sendrecv"
