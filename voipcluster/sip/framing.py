"""Where one SIP message ends and the next begins on a byte stream (RFC 3261 sections 7.5 and 18.3)."""

from __future__ import annotations

import re
from typing import NamedTuple

_END_OF_HEAD = b"\r\n\r\n"
_BLANK = re.compile(rb"[\r\n]+")
# Looked for after any line end, also a bare one: a header that only one of two parsers sees would let a client hide a
# request in the body of another.
_CONTENT_LENGTH = re.compile(rb"[\r\n](?:content-length|l)[ \t]*:((?:[^\r\n]|\r\n[ \t])*)", re.IGNORECASE)
_TOKEN_START = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~")


class MessageFramed(NamedTuple):
    """Event: one whole message, from its start line to the last octet of its body."""

    data: bytes


class Ping(NamedTuple):
    """Event: C{pings} double CRLFs between messages, each to be answered with one CRLF (RFC 5626 section 4.4.1)."""

    pings: int


class Pong(NamedTuple):
    """Event: what was read ended with a single CRLF between messages: the answer to a ping, or half of one."""


class FramingFailed(NamedTuple):
    """
    Event: the stream cannot be followed any further; nothing comes after this.

    C{head} is what has come of the message: start line and headers with the blank line if it ends with one, less
    if the head itself is the fault. C{status_hint} is the SIP status that answers it when it is a request.
    """

    reason: str
    status_hint: int
    head: bytes


Framed = MessageFramed | Ping | Pong | FramingFailed


class StreamFramer:
    """
    Cut one direction of one connection into messages.

    Work is linear in the octets received however they are split. No more is kept than one unfinished message, at
    most C{max_head} + C{max_body} octets and one read.

    @param max_head: octets of start line and headers with the blank line.
    @param max_body: the largest Content-Length.
    """

    __slots__ = ("_blank", "_buffer", "_failed", "_length", "_max_body", "_max_head", "_searched")

    def __init__(self, max_head: int = 32768, max_body: int = 65535) -> None:
        self._max_head, self._max_body = max_head, max_body
        self._buffer = bytearray()
        self._searched = 0  # no end of head lies wholly before this offset
        self._length = 0  # of the message at the front, once its head is known
        self._blank = 0  # octets of CR and LF since the last message or ping
        self._failed = False

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Framed]:
        """Take what was read; give what it completes, in order."""
        if self._failed:
            return []
        # What arrives whole, nearly everything, is never copied into the buffer.
        octets: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            octets = self._buffer
        events: list[Framed] = []
        start, size = 0, len(octets)
        while start < size:
            if not self._length:
                if octets[start] not in _TOKEN_START:
                    begin = start
                    start = self._skip_blank(octets, start, events)
                    if start == begin:
                        return self._fail(events, "not SIP", 400, b"")
                    self._searched = start
                    continue
                self._blank = 0
                end = octets.find(_END_OF_HEAD, max(start, self._searched - 3)) + 4
                if end < 4 and size - start <= self._max_head:
                    self._searched = size
                    break
                if end < 4 or end - start > self._max_head:
                    head = bytes(octets[start : start + self._max_head])
                    return self._fail(events, f"head longer than {self._max_head} octets", 513, head)
                head = bytes(octets[start:end])
                length = self._content_length(head)
                if isinstance(length, FramingFailed):
                    return self._fail(events, *length)
                self._length = len(head) + length
            if size - start < self._length:
                break
            events.append(MessageFramed(bytes(octets[start : start + self._length])))
            start += self._length
            self._length, self._searched = 0, start
        self._keep(octets, start)
        if self._blank == 2 and not self._buffer:
            events.append(Pong())
        return events

    def _skip_blank(self, octets: bytes | bytearray, start: int, events: list[Framed]) -> int:
        blank = _BLANK.match(octets, start)
        if blank is None:
            return start
        pings, self._blank = divmod(self._blank + blank.end() - start, 4)
        if pings:
            events.append(Ping(pings))
        return blank.end()

    def _content_length(self, head: bytes) -> int | FramingFailed:
        found = _CONTENT_LENGTH.findall(head)
        if len(found) != 1:
            return FramingFailed("no Content-Length" if not found else "Content-Length twice", 400, head)
        text = found[0].strip(b" \t\r\n")
        if not text.isdigit():
            return FramingFailed("Content-Length is no number", 400, head)
        text = text.lstrip(b"0")
        # Compared by length first: int() of a huge number is slow, or refused.
        if len(text) > 9 or int(text or b"0") > self._max_body:
            return FramingFailed(f"body longer than {self._max_body} octets", 413, head)
        return int(text or b"0")

    def _keep(self, octets: bytes | bytearray, start: int) -> None:
        if octets is self._buffer:
            del self._buffer[:start]
        elif start < len(octets):
            self._buffer += octets[start:]
        self._searched = max(0, self._searched - start)

    def _fail(self, events: list[Framed], reason: str, status_hint: int, head: bytes) -> list[Framed]:
        self._failed = True
        self._buffer = bytearray()
        events.append(FramingFailed(reason, status_hint, head))
        return events
