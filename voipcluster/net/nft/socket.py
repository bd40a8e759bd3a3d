"""Requests to nf_tables over one netlink socket, answered before they return: the kernel works them off in the call."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from itertools import count

from attrs import frozen

from voipcluster.net.nft import wire
from voipcluster.net.nft.wire import Message

CHUNK = 1 << 16  # octets of one read; the kernel gives no more than half of it at a time
_NETLINK_NETFILTER = 12
_TRIES = 8  # of a dump that changes gave no rest


class NftError(OSError):
    """The kernel refused a request; C{errno} says why."""


@frozen
class Table:
    """
    One table of the family C{inet}.

    @ivar flags: C{OWNER} while a process has it for itself; C{PERSIST} alone when that process has gone.
    @ivar used: how many chains and maps it has.
    """

    name: str
    flags: int
    used: int
    comment: str


def open_netlink() -> socket.socket:
    """
    @raise OSError: there is no nfnetlink in this kernel.
    """
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    try:
        opened.bind((0, 0))
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened


class NftSocket:
    """
    @param sock: of the netlink family, bound and not blocking.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._numbers = count(1)

    def close(self) -> None:
        self._socket.close()

    def transact(
        self, requests: Sequence[tuple[int, int, bytes]], generation: int | None = None
    ) -> list[Message]:
        """
        Send a batch: all of it comes into force at once, or nothing.

        @param requests: kind, flags and body of each message.
        @return: what the kernel echoed.
        @raise NftError: it refused one of them, and with it all.
        """
        messages = []
        for at, (kind, flags, body) in enumerate(requests):
            asked = flags | wire.ACK if at == len(requests) - 1 else flags
            messages.append(wire.message(kind, asked, next(self._numbers), body))
        return self._exchange(wire.batch(messages, generation))

    def generation(self) -> int:
        """The number that rises with each change of nf_tables in this network namespace."""
        request = wire.message(wire.GET_GENERATION, 0, next(self._numbers), b"", 0)
        (answer,) = self._exchange(request)
        return wire.number(wire.attributes(answer.body).get(1, b""))

    def tables(self) -> list[Table]:
        found = []
        for message in self._dump(wire.GET_TABLE, b""):
            parts = wire.attributes(message.body)
            found.append(
                Table(
                    wire.read_text(parts.get(1, b"")),
                    wire.number(parts.get(2, b"")),
                    wire.number(parts.get(3, b"")),
                    wire.read_comment(parts.get(6, b"")),
                )
            )
        return found

    def fileno(self) -> int:
        return self._socket.fileno()

    def elements(self, table: str, name: str) -> list[wire.MapElement]:
        """All elements of a map, at once."""
        for _ in range(_TRIES):
            messages = self._dump(wire.GET_ELEMENT, wire.elements(table, name))
            if not any(message.flags & wire.INTERRUPTED for message in messages):
                break
        return [element for message in messages for element in wire.read_elements(message.body)]

    def ask_for_elements(self, table: str, name: str) -> None:
        """Begin to read a map piece by piece, with L{next_elements}, on a socket that does nothing else meanwhile."""
        self._send(wire.message(wire.GET_ELEMENT, wire.DUMP, next(self._numbers), wire.elements(table, name)))

    def next_elements(self) -> tuple[list[wire.MapElement], bool]:
        """
        The next piece: what fits into one read. A change meanwhile may hide elements, or show them twice.

        @return: the elements, and whether these were the last.
        @raise NftError: also when there is no such map any more.
        """
        messages, at_end = self._piece()
        return [element for message in messages for element in wire.read_elements(message.body)], at_end

    def _dump(self, kind: int, body: bytes) -> list[Message]:
        self._send(wire.message(kind, wire.DUMP, next(self._numbers), body))
        found: list[Message] = []
        at_end = False
        while not at_end:
            messages, at_end = self._piece()
            found += messages
        return found

    def _piece(self) -> tuple[list[Message], bool]:
        """What one read of a dump gives, and whether it was the last; the kernel makes it while we read."""
        received = self._receive()
        if not received:
            raise NftError(errno.EAGAIN, "the kernel broke off a listing")
        at_end = any(message.is_control and message.kind == wire.NLMSG_DONE for message in received)
        return [one for message in received for one in _checked(message)], at_end

    def _exchange(self, octets: bytes) -> list[Message]:
        self._send(octets)
        said: list[Message] = []
        while messages := self._receive():
            said += messages
        return [one for message in said for one in _checked(message)]

    def _send(self, octets: bytes) -> None:
        while self._receive():
            pass  # left over from a request that failed half way
        try:
            self._socket.send(octets)
        except OSError as error:
            raise NftError(error.errno, error.strerror) from error

    def _receive(self) -> list[Message]:
        try:
            return list(wire.messages(self._socket.recv(CHUNK)))
        except BlockingIOError:
            return []
        except OSError as error:
            raise NftError(error.errno, error.strerror) from error


def _checked(message: Message) -> list[Message]:
    """@raise NftError: it is an error."""
    if not message.is_control:
        return [message]
    if message.kind == wire.NLMSG_ERROR:
        number = wire.error_of(message)
        if number:
            raise NftError(number, os.strerror(number))
    return []
