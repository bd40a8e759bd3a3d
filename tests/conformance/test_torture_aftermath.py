"""What is left of the messages of RFC 4475 and RFC 5118 when their time is over: nothing."""

from __future__ import annotations

from pathlib import Path

from tests.conformance.case import ConformanceTestCase
from tests.conformance.marks import requirement
from tests.conformance.torture import MESSAGES


class AllMessagesTestCase(ConformanceTestCase):
    domains = ("example.com", "example.net", "example.org")
    timeout = 150

    async def send_all(self, rounds: int = 1) -> None:
        """Every message of both RFCs over both transports, without waiting for answers."""
        peer = self.udp("tester", port=0)
        for message in (*MESSAGES["rfc4475"], *MESSAGES["rfc5118"]) * rounds:
            peer.send(message.data)
            stream = await peer.connect()
            peer.send(message.data)
            stream.transport.loseConnection()
            peer.connection = None
        await self.node_answers()


class AfterwardsTests(AllMessagesTestCase):
    @requirement(120, 149)
    async def test_nothing_is_left(self) -> None:
        """Transactions, calls, ports and timers are at the base line again once 64*T1 have passed."""
        base = await self.counts()
        await self.send_all()
        self.assertNotEqual(await self.counts(), base)
        await self.returns_to(base, 60)


class MemoryTests(AllMessagesTestCase):
    options = ("--set", "sip.t1=0.01")

    @requirement(149)
    async def test_memory(self) -> None:
        """
        The memory does not grow with what was sent: a second lot needs no more than the first, once that is forgotten, and both
        leave it within 15 % of what it was before.
        """
        base = await self.counts()
        before = resident(self.node.pid)
        sizes = []
        for _ in range(2):
            await self.send_all(5)
            await self.returns_to(base, 60)
            sizes.append(resident(self.node.pid))
        self.assertLess(sizes[1] - sizes[0], 3 << 20)
        self.assertLess(sizes[1], 1.15 * before)


def resident(pid: int) -> int:
    """The octets of memory that a process has in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
