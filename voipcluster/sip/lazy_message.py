"""
Requests and responses: received lines with a key for each, and values that are parsed when somebody asks for them.

This belongs to the message layer, see L{voipcluster.sip.message}.
"""

from __future__ import annotations

import re
from typing import Final

from voipcluster.errors import ParseError
from voipcluster.remember import remember
from voipcluster.sip.header import header_line, tag_of, unfolded, value_of
from voipcluster.sip.layout import Layout, layout_of
from voipcluster.sip.uri import Params
from voipcluster.sip.values import Via, address_uri, parse_via, split_list

COOKIE: Final = "z9hG4bK"  # RFC 3261 section 8.1.1.7


BRANCH = re.compile(rb";branch=([!-+\-.0-:=?-~]+)")
_CSEQ = re.compile(r"([0-9]{1,10})\s+([A-Za-z0-9\-.!%*_+`'~]+)", re.ASCII)
_PLAIN_CONTACT = re.compile(rb"Contact: <(sips?:[!#-+\--;=?-~]+)>(?:;[!#-+\--;=?-~]*)?")
_PLAIN_CSEQ = re.compile(rb"CSeq: ([0-9]{1,9}) ([A-Z]+)")
_PLAIN_FROM = re.compile(
    rb'From: ?(?:"[^"\\]*" ?|[A-Za-z0-9]+ )?<(sips?:[!#-+\--;=?-~]+)>(?:;[!#-+\--;=?-~]*)?'
)
_PLAIN_SENT_BY = re.compile(rb"Via: SIP/2\.0/UDP ([0-9.]+)(?::([1-9][0-9]{0,3}|[1-5][0-9]{4}))?")

METHODS = {
    method.encode(): method
    for method in [
        "INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH",
        "REFER", "UPDATE", "PRACK", "INFO",
    ]
}  # fmt: skip
_GREATER = ord(">")
_MARKS = b"-._~"  # in a tag or a branch, besides letters and digits, as nearly everybody makes them

_new_tuple = tuple.__new__


@remember(4096)
def plain_sent_by(begin: bytes) -> tuple[str, int | None] | None:
    """
    Host and port of a Via line up to its first parameter, as nearly everybody writes it for UDP; else L{None}.

    Kept, since a phone says the same in all its requests.
    """
    plain = _PLAIN_SENT_BY.fullmatch(begin)
    return None if plain is None else (plain[1].decode("ascii"), int(plain[2]) if plain[2] else None)


@remember(4096)
def plain_cseq(line: bytes) -> tuple[int, str] | None:
    """
    Number and method of a CSeq line as nearly everybody writes it, else L{None}.

    Kept, since all messages of a transaction have the same one, and most user agents count from a small number.
    """
    plain = _PLAIN_CSEQ.fullmatch(line)
    method = None if plain is None else METHODS.get(plain[2])
    return None if plain is None or method is None else (int(plain[1]), method)


@remember(4096)
def plain_contact(line: bytes) -> str | None:
    """The URI of a Contact line as nearly everybody writes it, else L{None}. Kept, since a phone always says the same."""
    plain = _PLAIN_CONTACT.fullmatch(line)
    return None if plain is None else plain[1].decode("ascii")


class MalformedMessage(ParseError):
    """
    A message that cannot be served.

    @ivar request: what could be read of it, enough to answer it (RFC 3261 section 8.2.6.2), or L{None}.
    """

    def __init__(self, message: str, status_hint: int = 400, request: Request | None = None) -> None:
        super().__init__(message, status_hint)
        self.request = request


class Message:
    """
    What requests and responses share.

    @ivar layout: which headers there are; C{lines} stand in its order, a folded line is one line.
    @ivar received: of a response, the octets that it still is; L{None} when it was changed, or is not written as usual.
    """

    __slots__ = (
        "_call_id", "_contact", "_cseq", "_from_uri", "_tags", "_top_via", "body", "layout", "lines", "received",
        "start",
    )  # fmt: skip

    def __init__(self, start: bytes, layout: Layout, lines: list[bytes], body: bytes) -> None:
        self.start = start
        self.layout = layout
        self.lines = lines
        self.body = body
        self.received: bytes | None = None
        self._call_id: str | None = None
        self._contact: str | None = None
        self._cseq: tuple[int, str] | None = None
        self._from_uri: str | None = None
        self._tags: tuple[str | None, str | None] | None = None
        self._top_via: Via | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The long names of the headers in lower case, one a line."""
        return self.layout.keys

    def get(self, key: str) -> str | None:
        """The value of the first line of a header, unfolded, or L{None}; C{key}: long name in lower case."""
        index = self.layout.at.get(key)
        return None if index is None else value_of(self.lines[index])

    def get_all(self, key: str) -> list[str]:
        """The values of all lines of a header, one a line; for headers whose values hold commas (Authorization, Date)."""
        return [value_of(self.lines[index]) for index in self.layout.indexes(key)]

    def values(self, key: str) -> list[str]:
        """
        All values of a header in their order, comma lists split (7.3.1).

        @raise ParseError: unbalanced quotes.
        """
        found: list[str] = []
        for index in self.layout.indexes(key):
            found += split_list(value_of(self.lines[index]))
        return found

    def has(self, key: str) -> bool:
        return key in self.layout.at

    @property
    def call_id(self) -> str:
        call_id = self._call_id
        if call_id is None:
            index = self.layout.call_id
            line = b"" if index < 0 else self.lines[index]
            if line[:9] == b"Call-ID: ":  # as value_of() does it, without its call
                call_id = line[9:].strip().decode("utf-8", "surrogateescape")
                if "\r" in call_id:
                    call_id = unfolded(call_id)
            else:
                call_id = self.get("call-id") or ""
            self._call_id = call_id
        return call_id

    @property
    def cseq(self) -> tuple[int, str]:
        """
        Number and method.

        @raise ParseError: absent, no number, above 2**31 - 1, or no method (8.1.1.5).
        """
        cseq = self._cseq
        if cseq is None:
            index = self.layout.cseq
            cseq = None if index < 0 else plain_cseq(self.lines[index])
            if cseq is not None:
                self._cseq = cseq
                return cseq
            value = self.get("cseq")
            match = _CSEQ.fullmatch(value) if value is not None else None
            if match is None or int(match[1]) >= 1 << 31:
                raise ParseError(f"not a CSeq: {value!r}")
            self._cseq = cseq = int(match[1]), match[2]
        return cseq

    @property
    def cseq_method(self) -> str:
        """The method of CSeq, unchecked; an empty string when there is none."""
        index = self.layout.at.get("cseq")
        if index is None:
            return ""
        return self.lines[index].rsplit(None, 1)[-1].decode("ascii", "replace")

    @property
    def from_uri(self) -> str:
        """@raise ParseError: From is no address."""
        uri = self._from_uri
        if uri is None:
            index = self.layout.at.get("from")
            plain = None if index is None else _PLAIN_FROM.fullmatch(self.lines[index])
            # as nearly everybody writes it, or else by the whole grammar
            uri = address_uri(self.get("from") or "") if plain is None else plain[1].decode("ascii")
            self._from_uri = uri
        return uri

    @property
    def contact_uri(self) -> str:
        """The URI text of the first Contact; an empty string when there is none, or none that is an address."""
        uri = self._contact
        if uri is None:
            index = self.layout.at.get("contact")
            uri = "" if index is None else plain_contact(self.lines[index])
            if uri is None:
                try:
                    values = self.values("contact")
                    uri = address_uri(values[0]) if values else ""
                except ParseError:
                    uri = ""
            self._contact = uri
        return uri

    @property
    def tags(self) -> tuple[str | None, str | None]:
        """C{from_tag} and C{to_tag}, for who needs both."""
        return self._tags or self._both_tags()

    @property
    def from_tag(self) -> str | None:
        return (self._tags or self._both_tags())[0]

    @property
    def to_tag(self) -> str | None:
        return (self._tags or self._both_tags())[1]

    def _both_tags(self) -> tuple[str | None, str | None]:
        of_from = of_to = None
        layout, lines = self.layout, self.lines
        index = layout.of_from
        if index >= 0:
            line = lines[index]
            before, found, tag = line.rpartition(b">;tag=")
            plain = (
                found and tag.translate(None, _MARKS).isalnum() and _GREATER not in before
            )  # as nearly everybody writes it
            of_from = tag.decode() if plain else tag_of(value_of(line))
        index = layout.of_to
        if index >= 0:
            line = lines[index]
            before, found, tag = line.rpartition(b">;tag=")
            if found and tag.translate(None, _MARKS).isalnum() and _GREATER not in before:
                of_to = tag.decode()
            elif (
                found or line.find(b">") != len(line) - 1
            ):  # else as nearly everybody writes it without a tag
                of_to = tag_of(value_of(line))
        tags = self._tags = of_from, of_to
        return tags

    @property
    def top_branch(self) -> str:
        """The branch of the topmost Via, without looking at the rest of it; an empty string when there is none."""
        index = self.layout.via
        match = BRANCH.search(self.lines[index]) if index >= 0 else None
        return match[1].decode("ascii") if match else ""

    @property
    def top_via(self) -> Via:
        """@raise ParseError: no Via, or one that is none."""
        via = self._top_via
        if via is None:
            index = self.layout.via
            if index >= 0:
                begin, _, branch = self.lines[index].partition(b";branch=")
                sent_by = plain_sent_by(begin)
                asked = branch[-6:] == b";rport"
                if asked:
                    branch = branch[:-6]
                if sent_by is not None and branch.translate(None, b"-._").isalnum():
                    # as nearly everybody writes it
                    params: Params = (("branch", branch.decode()),)
                    if asked:
                        params += (("rport", None),)
                    # Via(...) itself is a function in Python
                    self._top_via = via = _new_tuple(Via, ("UDP", *sent_by, params))
                    return via
            first = split_list(self.get("via") or "")
            if not first:
                raise ParseError("no Via")
            self._top_via = via = parse_via(first[0])
        return via

    def assume_top_via(self, via: Via) -> None:
        """Let C{via} stand for a topmost Via that cannot be read; the line stays as it came."""
        self._top_via = via

    def append(self, key: str, value: str) -> None:
        """Put one header more behind the others."""
        self.received = None
        self.layout = layout_of((*self.layout.keys, key))
        self.lines.append(header_line(key, value))

    def renumber(self, by: int) -> None:
        """
        Let the number of CSeq be greater by so much, or smaller.

        @raise ParseError: there is no CSeq, or it would be none any more.
        """
        number, method = self.cseq
        if not 0 <= number + by < 1 << 31:
            raise ParseError(f"CSeq {number} cannot be moved by {by}")
        self.received = None
        self.lines[self.layout.at["cseq"]] = b"CSeq: %d %b" % (number + by, method.encode("ascii"))
        self._cseq = number + by, method

    def to_bytes(self) -> bytes:
        return b"\r\n".join([self.start, *self.lines, b"", self.body])

    @property
    def wire_size(self) -> int:
        return len(self.start) + sum(map(len, self.lines)) + 2 * len(self.lines) + 4 + len(self.body)


class Request(Message):
    """@ivar method: as received, methods are case-sensitive (7.1); C{uri}: the text of the Request-URI."""

    __slots__ = ("method", "uri")

    def __init__(
        self, method: str, uri: str, start: bytes, layout: Layout, lines: list[bytes], body: bytes
    ) -> None:
        self.start = start  # all in one place: a call of the base class would cost as much again
        self.layout = layout
        self.lines = lines
        self.body = body
        self.received = None
        self._call_id = self._contact = self._cseq = self._from_uri = self._tags = self._top_via = None
        self.method = method
        self.uri = uri

    def __repr__(self) -> str:
        return f"<{self.method} {self.uri} Call-ID {self.call_id}>"


class Response(Message):
    """@ivar status: 100 to 699."""

    __slots__ = ("reason", "status")

    def __init__(
        self, status: int, reason: str, start: bytes, layout: Layout, lines: list[bytes], body: bytes
    ) -> None:
        self.start = start
        self.layout = layout
        self.lines = lines
        self.body = body
        self.received = None
        self._call_id = self._contact = self._cseq = self._from_uri = self._tags = self._top_via = None
        self.status = status
        self.reason = reason

    def __repr__(self) -> str:
        return f"<{self.status} {self.reason} Call-ID {self.call_id}>"
