"""
How long datagrams waited in a socket: from the kernel's receive timestamps (SO_TIMESTAMPNS, socket(7)).

A queue shows here before anywhere else, and it shows truly: what an event loop knows of its own delay ends where the kernel's
buffer begins.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

SO_TIMESTAMPNS = 35  # asm-generic/socket.h
_STAMP = struct.Struct("@qq")  # struct timespec: seconds, nanoseconds
SPACE = socket.CMSG_SPACE(_STAMP.size)


def stamp_datagrams(bound: socket.socket) -> None:
    """Let the kernel say when each datagram came, where it can."""
    if sys.platform == "linux" and struct.calcsize("@l") == 8:
        bound.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


def has_stamps(bound: socket.socket) -> bool:
    """Whether the kernel says when each datagram came."""
    try:
        return bool(bound.getsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS))
    except OSError:
        return False


class Waited(NamedTuple):
    """
    What was found of a socket's queue in a while.

    @ivar least: seconds, of all first datagrams of the wake-ups: the first is the one that waited longest.
    @ivar held: seconds in which something waited; by C{now}, the end of that while, it may exceed it a little, never by more
        than a wake-up.
    @ivar area: seconds times seconds: the age of what waited longest, summed up over all that time. Divided by the length of
        the while it is what a request waited that came at any moment of it.
    """

    least: float
    held: float
    area: float

    def joined(self, other: Waited) -> Waited:
        """Of one while and the next."""
        return Waited(min(self.least, other.least), self.held + other.held, self.area + other.area)


class Waiting:
    """
    The waits of the first datagrams of all wake-ups since this was last taken.

    The least of them, because each busy system has a queue now and then, and one that never runs empty is overload (RFC 8289
    section 3). Their sum over time, because who waits for a process that is stopped for a tenth of a second, again and again,
    waits long although its queue runs empty in between.

    @param wall: the clock that the kernel stamps by: seconds since 1970.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._least: float | None = None
        self._held = self._area = 0.0
        self._noted = self._began = wall()

    def begin(self) -> None:
        """From now on somebody reads: what waited before waited for the node to start, not because it has too much to do."""
        self._began = self._wall()

    def note(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        """Take what came with the first datagram of a wake-up."""
        for level, kind, data in ancillary:
            if kind == SO_TIMESTAMPNS and level == socket.SOL_SOCKET:
                seconds, nanoseconds = _STAMP.unpack_from(data)
                now = self._wall()
                wait = max(0.0, now - max(seconds + nanoseconds * 1e-9, self._began))
                if self._least is None or wait < self._least:
                    self._least = wait
                # what waited before the last wake-up was counted then, as part of what waited longer
                held = now - self._noted
                held = min(held, wait)
                if held > 0.0:
                    self._held += held
                    self._area += held * (wait - held / 2)
                self._noted = now
                return

    def take(self) -> Waited | None:
        """What was found, and begin anew; L{None}: nothing came."""
        if self._least is None:
            return None
        waited = Waited(self._least, self._held, self._area)
        self._least, self._held, self._area = None, 0.0, 0.0
        return waited
