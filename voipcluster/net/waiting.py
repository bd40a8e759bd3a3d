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


class Waiting:
    """
    The least wait of all first datagrams of the wake-ups since it was last taken: the first is the one that waited longest.

    The least, because each busy system has a queue now and then; one that never runs empty is overload (RFC 8289 section 3).

    @param wall: the clock that the kernel stamps by: seconds since 1970.
    """

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._least: float | None = None

    def note(self, ancillary: list[tuple[int, int, bytes]]) -> None:
        """Take what came with the first datagram of a wake-up."""
        for level, kind, data in ancillary:
            if kind == SO_TIMESTAMPNS and level == socket.SOL_SOCKET:
                seconds, nanoseconds = _STAMP.unpack_from(data)
                wait = self._wall() - seconds - nanoseconds * 1e-9
                if self._least is None or wait < self._least:
                    self._least = max(0.0, wait)
                return

    def take(self) -> float | None:
        """Seconds, and begin anew; L{None}: nothing came."""
        least, self._least = self._least, None
        return least
