"""Sockets that a service manager keeps: handed over, found again, and let go of. Its socket is a real one of this process."""

from __future__ import annotations

import os
import socket
from threading import Thread
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.integration.played_manager import PlayedManager
from voipcluster.media.target import Address
from voipcluster.net import kept
from voipcluster.net.kept import NAME, KeptSockets
from voipcluster.net.rtp import RtpPort, open_rtp_port
from voipcluster.net.udp import open_udp_socket

HOST = "127.0.0.1"


class KeptTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.manager = PlayedManager(f"@{self.id()}{os.getpid()}")
        self.addCleanup(self.manager.close)

    def bound(self, host: str = HOST, kind: int = socket.SOCK_DGRAM) -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        sock.bind((host, 0))
        self.addCleanup(sock.close)
        return sock

    def keep(self, ours: KeptSockets, *sockets: socket.socket | RtpPort) -> str:
        """Hand over while the manager reads, which it does in a thread of its own."""
        result: list[str] = []
        waiting = Thread(target=lambda: result.append(ours.keep(sock.fileno() for sock in sockets)))
        waiting.start()
        while waiting.is_alive():
            self.manager.read() or waiting.join(0.001)
        return result[0]

    def next_process(self) -> KeptSockets:
        """The manager keeps its own descriptors when it passes them."""
        return KeptSockets(self.manager.path, [os.dup(fd) for fd in self.manager.descriptors])

    def arrived(self, port: RtpPort, datagram: bytes, source: Any) -> None:
        self.heard.append(datagram)

    heard: list[bytes] = []

    def test_a_latched_relay_port(self) -> None:
        """Whom the last process heard alone is one of many for the next one, until its own latch is firm."""
        self.heard = []
        ours = KeptSockets(self.manager.path)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
            trial.bind((HOST, 0))
            where = Address(*trial.getsockname())  # an explicit number, as from the pool: others are lost
        port = ours.open_rtp(open_rtp_port, *where, self.arrived, None)
        peer, other = self.bound(), self.bound()
        port.connect(Address(*peer.getsockname()))
        peer.sendto(b"waits", where)
        self.keep(ours, port)
        port.close()
        port = self.next_process().open_rtp(open_rtp_port, HOST, where.port, self.arrived, None)
        self.addCleanup(port.close)
        other.sendto(b"other", where)
        port.doRead()
        port.doRead()
        self.assertEqual((self.heard, port.address()), ([b"waits", b"other"], where))

    def test_a_relay_port(self) -> None:
        """What comes while nobody is there waits in the socket, and is read by the next process from the same port."""
        self.heard = []
        ours = KeptSockets(self.manager.path)
        port = ours.open_rtp(open_rtp_port, HOST, 0, self.arrived, None)
        where = port.address()
        self.assertEqual(self.keep(ours, port), "")
        port.close()
        sender = self.bound()
        sender.sendto(b"one", where)
        sender.sendto(b"two", where)
        theirs = self.next_process()
        again = theirs.open_rtp(open_rtp_port, *where, self.arrived, None)
        self.addCleanup(again.close)
        again.doRead()
        again.doRead()
        self.assertEqual(self.heard, [b"one", b"two"])
        self.assertEqual(again.address(), where)

    def test_sip_goes_along(self) -> None:
        """The socket for SIP is kept without being named."""
        ours = KeptSockets(self.manager.path)
        sip = ours.open_udp(open_udp_socket, HOST, 0)
        where = sip.getsockname()
        self.assertEqual(self.keep(ours), "")
        sip.close()
        self.bound().sendto(b"BYE", where)
        again = self.next_process().open_udp(open_udp_socket, *where)
        self.addCleanup(again.close)
        self.assertEqual(again.recv(100), b"BYE")
        self.assertFalse(os.get_inheritable(again.fileno()))

    def test_what_was_closed_before(self) -> None:
        """A socket for SIP that is closed already is not handed over."""
        ours = KeptSockets(self.manager.path)
        ours.open_udp(open_udp_socket, HOST, 0).close()
        self.assertEqual(self.keep(ours), "")
        self.assertEqual(self.manager.kept, {})

    def test_the_manager_forgets(self) -> None:
        """Once all is taken the manager is to let go of the rest, so that the ports are free when their calls end."""
        ours = KeptSockets(self.manager.path)
        first, second = self.bound(), self.bound()
        self.assertEqual(self.keep(ours, first, second), "")
        where = [sock.getsockname() for sock in (first, second)]
        first.close()
        second.close()
        theirs = self.next_process()
        port = theirs.open_rtp(open_rtp_port, *where[0], self.arrived, None)
        self.assertEqual(theirs.all_taken(), 1)
        while self.manager.read():
            pass
        self.assertEqual(self.manager.kept, {})
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(where[1])
        port.close()
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(where[0])
        self.assertEqual(theirs.all_taken(), 0)
        self.assertFalse(self.manager.read(), "said once")

    def test_many(self) -> None:
        """More than fit into one message go in several; their name has no colon, and errors of the network do not end them."""
        self.patch(kept, "AT_ONCE", 3)
        ours = KeptSockets(self.manager.path)
        sockets = [self.bound() for _ in range(7)]
        self.assertEqual(self.keep(ours, *sockets), "")
        self.assertEqual(len(self.manager.kept[NAME]), 7)
        self.assertEqual(self.manager.said, [f"FDSTORE=1\nFDNAME={NAME}\nFDPOLL=0"] * 3 + ["BARRIER=1"])

    def test_ipv6(self) -> None:
        """A port is found by its address in either family."""
        ours = KeptSockets(self.manager.path)
        six = self.bound("::1")
        where = Address(*six.getsockname()[:2])
        self.assertEqual(self.keep(ours, six), "")
        six.close()
        again = self.next_process().open_rtp(open_rtp_port, *where, self.arrived, None)
        self.addCleanup(again.close)
        self.assertEqual(again.address(), where)

    def test_what_is_passed_by_mistake(self) -> None:
        """A listening socket, a pipe, a number that is no descriptor: closed, and no reason not to start."""
        reading, writing = os.pipe()
        os.close(writing)
        stream = self.bound(kind=socket.SOCK_STREAM)
        unix, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        passed = [reading, stream.detach(), unix.detach(), 9999]
        other.close()
        ours = KeptSockets("", passed)
        for descriptor in passed:
            self.assertRaises(OSError, os.fstat, descriptor)
        self.assertEqual(ours.all_taken(), 0)

    def test_a_manager_that_does_not_answer(self) -> None:
        """Nobody waits for ever."""
        self.patch(kept, "PATIENCE", 0.01)
        ours = KeptSockets(self.manager.path)
        self.assertEqual(
            ours.keep([self.bound().fileno()]), f"the service manager at {self.manager.path} does not answer"
        )
