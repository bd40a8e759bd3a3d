"""
Sockets that outlive the process: the service manager keeps them while one process ends and the next one begins.

What comes meanwhile waits in their buffers. The protocol is that of systemd, sd_notify(3) with C{FDSTORE=1} and sd_listen_fds(3);
anything that speaks it will do.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterable, MutableMapping
from contextlib import suppress

from twisted.python.systemd import ListenFDs

from voipcluster.media.target import Address
from voipcluster.net.rtp import DatagramSocket, RtpPort, Sink
from voipcluster.net.thinning import thin

NAME = "voipcluster"  # of all descriptors that we have kept: what each of them is, it says itself
AT_ONCE = 253  # descriptors in one message (SCM_MAX_FD, unix(7))
PATIENCE = 2.0  # seconds for the manager's answers
NO_MANAGER = "no service manager keeps the sockets"


class KeptSockets:
    """
    @param manager: the path of the manager's socket, with @ in front of an abstract one; empty: there is none.
    @param descriptors: what the manager has passed to this process; other than datagram sockets they are closed at once.
    """

    def __init__(self, manager: str = "", descriptors: Iterable[int] = ()) -> None:
        self._manager = manager
        self._inherited: dict[Address, socket.socket] = {}
        self._sip: list[socket.socket] = []
        self._passed = 0
        for descriptor in descriptors:
            self._passed += 1
            self._inherit(descriptor)

    @classmethod
    def of_process(cls, environment: MutableMapping[str, str]) -> KeptSockets:
        """What the environment of this process says; the descriptors are not passed on to a second reader of it."""
        descriptors = ListenFDs.fromEnvironment(environment).inheritedDescriptors()
        return cls(environment.get("NOTIFY_SOCKET", ""), descriptors)

    @property
    def trouble(self) -> str:
        """Why nobody would keep sockets of ours; empty when somebody may."""
        return "" if self._manager else NO_MANAGER

    def _inherit(self, descriptor: int) -> None:
        try:
            os.set_inheritable(descriptor, False)
            sock = socket.socket(fileno=descriptor)
        except OSError:
            with suppress(OSError):
                os.close(descriptor)
            return
        if sock.type != socket.SOCK_DGRAM or sock.family not in (socket.AF_INET, socket.AF_INET6):
            sock.close()
            return
        sock.setblocking(False)
        self._inherited[Address(*sock.getsockname()[:2])] = sock

    # at the start

    def open_udp(self, open_new: Callable[[str, int], socket.socket], host: str, port: int) -> socket.socket:
        """A socket for SIP: the one of the last process, or a new one. @raise OSError: by C{open_new}."""
        sock = self._inherited.pop(Address(host, port), None)
        if sock is None:
            sock = open_new(host, port)
        else:
            thin(sock, 1.0)  # the last process may have been in overload
        if self._manager:
            self._sip.append(sock)
        return sock

    def open_rtp(
        self,
        open_new: Callable[[str, int, Sink, object], RtpPort],
        host: str,
        number: int,
        sink: Sink,
        label: object,
    ) -> RtpPort:
        """The same for a relay port, see L{voipcluster.net.rtp.open_rtp_port}."""
        sock = self._inherited.pop(Address(host, number), None)
        if sock is None:
            return open_new(host, number, sink, label)
        inherited = DatagramSocket(fileno=sock.detach())
        with suppress(OSError):  # it has no peer
            inherited.getpeername()
            inherited.disconnect()  # whom the last process heard need not be whom this one will hear
        return RtpPort(inherited, sink, label)

    def all_taken(self) -> int:
        """
        Everything was opened: close what nobody has asked for, and let the manager forget what it has, for it holds ports that
        are to be free when their calls end.

        @return: how many there were too many.
        """
        left = len(self._inherited)
        for sock in self._inherited.values():
            sock.close()
        self._inherited.clear()
        if self._passed and self._manager:
            self._passed = 0
            with suppress(OSError), self._connect() as manager:
                manager.send(f"FDSTOREREMOVE=1\nFDNAME={NAME}".encode())
        return left

    # at the end

    def keep(self, descriptors: Iterable[int]) -> str:
        """
        Give these and the sockets for SIP to the manager, and wait until it has them.

        @return: why it does not have them; empty when it does, as far as it tells: what is above its C{FileDescriptorStoreMax}
            it drops without a word.
        """
        if not self._manager:
            return self.trouble
        ours = [*(sock.fileno() for sock in self._sip if sock.fileno() >= 0), *descriptors]
        message = f"FDSTORE=1\nFDNAME={NAME}\nFDPOLL=0".encode()  # an ICMP error is no reason to drop it
        try:
            with self._connect() as manager:
                for start in range(0, len(ours), AT_ONCE):
                    socket.send_fds(manager, [message], ours[start : start + AT_ONCE])
                return self._await(manager)
        except OSError as error:
            return (
                f"the service manager at {self._manager} does not take the sockets: {error.strerror or error}"
            )

    def _await(self, manager: socket.socket) -> str:
        """C{BARRIER=1}: it closes what comes with it when it has read everything before."""
        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            socket.send_fds(manager, [b"BARRIER=1"], [writing])
            os.close(writing)
            writing = -1
            poll = select.poll()
            poll.register(reading, 0)  # the other end is gone: POLLHUP
            if poll.poll(PATIENCE * 1000):
                return ""
            return f"the service manager at {self._manager} does not answer"
        finally:
            os.close(reading)
            if writing >= 0:
                os.close(writing)

    def _connect(self) -> socket.socket:
        path = self._manager
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            manager.settimeout(PATIENCE)
            manager.connect("\0" + path[1:] if path.startswith("@") else path)
        except OSError:
            manager.close()
            raise
        return manager
