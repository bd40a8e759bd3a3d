"""The reader of all relay ports, on pipes: one wake-up for many, and packets that wait for each other."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.unit.media.fakes import FakeReaders
from voipcluster.net.port_group import AT_A_TIME, PortGroup, port_readers

WAIT = 1 / 1024  # seconds; a power of two, so that sums of it are exact


class ClockedReaders(FakeReaders, Clock):
    """A reactor that keeps its readers, and whose time stands still."""

    def __init__(self) -> None:
        FakeReaders.__init__(self)
        Clock.__init__(self)
        self.delays: list[float] = []

    def callLater(self, when: float, what: Any, *a: Any, **kw: Any) -> DelayedCall:
        self.delays.append(when)
        return super().callLater(when, what, *a, **kw)


@implementer(IReadDescriptor)
class Pipe:
    """A reader on a pipe that runs something when it is read."""

    def __init__(self, then: Any = None, waiting: bytes = b"xx") -> None:
        self.out, self.into = os.pipe()
        self.reads = 0
        self._then = then
        self.come(waiting)

    def come(self, waiting: bytes) -> None:
        os.write(self.into, waiting)

    def fileno(self) -> int:
        return self.out

    def doRead(self) -> None:
        self.reads += 1
        os.read(self.out, 1)
        if self._then is not None:
            self._then()

    def logPrefix(self) -> str:
        return "Pipe"

    def connectionLost(self, reason: Failure) -> None:
        pass

    def close(self) -> None:
        os.close(self.out)
        os.close(self.into)


class PortGroupTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = ClockedReaders()
        self.group = PortGroup(self.reactor)
        self.addCleanup(self.group.close)

    def pipe(self, then: Any = None, waiting: bytes = b"xx") -> Pipe:
        pipe = Pipe(then, waiting)
        self.addCleanup(pipe.close)
        self.group.addReader(pipe)
        return pipe

    def test_one_reader_for_all(self) -> None:
        """The reactor sees the group alone; closing takes it away, and twice is harmless."""
        self.assertTrue(verifyObject(IReadDescriptor, self.group))
        self.assertTrue(verifyObject(IReactorFDSet, self.reactor))
        self.pipe(), self.pipe()
        self.assertEqual(self.reactor.readers, [self.group])
        self.group.close()
        self.group.close()
        self.assertEqual(self.reactor.readers, [])

    def test_each_ready_port_once(self) -> None:
        """A wake-up reads each port once; the rest of a backlog comes with the next one."""
        first, second = self.pipe(), self.pipe()
        self.group.doRead()
        self.assertEqual((first.reads, second.reads), (1, 1))
        self.group.doRead()
        self.group.doRead()
        self.assertEqual((first.reads, second.reads), (2, 2))

    def test_removed_while_reading(self) -> None:
        """A port that another one removed in the same wake-up is not read."""
        ports: list[Pipe] = []

        def remove_other() -> None:
            for port in ports:
                if port.reads == 0:
                    self.group.removeReader(port)

        ports += [self.pipe(remove_other), self.pipe(remove_other)]
        self.group.doRead()
        self.assertEqual(sorted(port.reads for port in ports), [0, 1])
        self.group.removeReader(ports[0])
        self.group.removeReader(ports[0])

    def test_fault_in_one_port(self) -> None:
        """An exception out of one port is logged, the others are read."""
        first, second = self.pipe(lambda: 1 / 0), self.pipe(lambda: 1 / 0)
        self.group.doRead()
        self.assertEqual((first.reads, second.reads), (1, 1))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_without_gathering(self) -> None:
        """Unless it is told otherwise, a group never lets packets wait."""
        pipe = self.pipe(waiting=b"x" * 1000)
        for _ in range(1000):
            self.group.doRead()
        self.assertEqual((pipe.reads, self.group.gathers, self.reactor.getDelayedCalls()), (1000, False, []))


class GatheringTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = ClockedReaders()
        group: Any = port_readers(self.reactor, WAIT)
        self.group: PortGroup = group
        self.addCleanup(self.group.close)
        self.pipes = [Pipe(waiting=b"") for _ in range(2)]
        for pipe in self.pipes:
            self.addCleanup(pipe.close)
            self.group.addReader(pipe)

    @property
    def reads(self) -> int:
        return sum(pipe.reads for pipe in self.pipes)

    def direct(self, packets: int, apart: float) -> None:
        """Packets that each wake the reactor."""
        for _ in range(packets):
            self.reactor.advance(apart)
            self.pipes[0].come(b"x")
            self.group.doRead()

    def gather(self) -> None:
        """Come to where packets wait for each other, with nothing unread."""
        while not self.group.gathers:
            self.direct(1, WAIT / 4)
        self.assertEqual(self.reactor.readers, [])

    def test_slow_packets_do_not_wait(self) -> None:
        """At fewer than three packets in two waits each one is read as it comes."""
        self.direct(1000, WAIT)
        self.assertEqual((self.reads, self.group.gathers), (1000, False))

    def test_fast_packets_wait(self) -> None:
        """From then on the reactor does not hear of packets; all that came is read together, one wait later."""
        self.gather()
        read = self.reads
        self.pipes[0].come(b"xxx")
        self.pipes[1].come(b"x")
        self.reactor.advance(WAIT / 2)
        self.assertEqual(self.reads, read)
        self.reactor.advance(WAIT / 2)
        self.assertEqual((self.reads, self.group.gathers), (read + 4, True))

    def test_much_at_once(self) -> None:
        """More than C{AT_A_TIME}: the reactor gets its turn, and the rest follows without a wait."""
        self.gather()
        read = self.reads
        self.pipes[0].come(b"x" * (AT_A_TIME + 10))
        self.reactor.delays.clear()
        self.reactor.advance(WAIT)
        self.assertEqual((self.reads, self.reactor.delays), (read + AT_A_TIME + 10, [0.0, WAIT]))

    def test_becomes_slow_again(self) -> None:
        """With fewer packets than waits it ends: the reactor wakes for each one again, and nothing ticks on."""
        self.gather()
        for _ in range(200):
            self.reactor.advance(WAIT)
        self.assertEqual(
            (self.group.gathers, self.reactor.readers, self.reactor.getDelayedCalls()),
            (False, [self.group], []),
        )
        read = self.reads
        self.pipes[1].come(b"x")
        self.group.doRead()
        self.assertEqual(self.reads, read + 1)

    def test_goes_on_while_packets_come(self) -> None:
        """A packet in each wait is enough to go on: what begins it and what ends it are apart."""
        self.gather()
        for _ in range(1000):
            self.pipes[0].come(b"x")
            self.reactor.advance(WAIT)
        self.assertTrue(self.group.gathers)

    def test_closed_while_gathering(self) -> None:
        """Closing stops the waits, also when a packet is what closes it."""
        self.gather()
        self.group.close()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_closed_by_a_packet(self) -> None:
        """Closing out of a reading: the rest is not read, and nothing ticks on."""
        self.gather()
        closing = Pipe(self.group.close)
        self.addCleanup(closing.close)
        self.group.addReader(closing)
        self.reactor.advance(WAIT)
        self.assertEqual((closing.reads, self.reactor.getDelayedCalls()), (1, []))
