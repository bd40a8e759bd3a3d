"""
The message layer: bytes to a message and back (RFC 3261 sections 7 and 25).

Lazy: a message is its received lines and a key for each; a value is parsed when somebody asks for it, and what is only
forwarded keeps the bytes it arrived with. This is the one module of the per-message path that may be replaced by a faster
implementation of the same names: L{parse}, L{forward_request}, L{forward_response}, L{reply}, L{Request}, L{Response}.
"""

from __future__ import annotations

import re
from typing import Final

from voipcluster.errors import ParseError
from voipcluster.remember import remember
from voipcluster.sip.layout import Layout, layout_of, learn, learned
from voipcluster.sip.uri import Params
from voipcluster.sip.values import Via, address_uri, parse_name_addr, parse_via, split_list

MAX_HEADERS: Final = (
    256  # header lines of one message; more is an attack (RFC 3261 section 26 names no number)
)
# A number is looked for in octets at a tenth of the price of b",", which CPython 3.11 first takes for a number, in vain.
COMMA: Final = ord(",")
QUOTE: Final = ord('"')
COOKIE: Final = "z9hG4bK"  # RFC 3261 section 8.1.1.7

_COMPACT = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition",
    "e": "content-encoding", "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported",
    "l": "content-length", "m": "contact", "n": "identity-info", "o": "event", "r": "refer-to", "s": "subject",
    "t": "to", "u": "allow-events", "v": "via", "x": "session-expires", "y": "identity",
}  # fmt: skip
_SPELLINGS = [
    "Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards", "Contact", "Route", "Record-Route", "Content-Type",
    "Content-Length", "User-Agent", "Allow", "Supported", "Expires", "Authorization", "Proxy-Authorization",
    "Server", "Require", "Proxy-Require", "Accept", "Subject", "Date", "Path", "Service-Route", "Event",
    "Session-Expires", "Min-SE", "Max-Breadth", "Allow-Events", "P-Asserted-Identity", "Privacy", "Reason", "RAck",
    "RSeq", "Replaces",
    "Refer-To", "Referred-By", "WWW-Authenticate", "Proxy-Authenticate", "Retry-After", "Min-Expires", "Unsupported",
    "Timestamp", "MIME-Version", "Content-Disposition", "Accept-Language", "Accept-Encoding", "Organization", "Warning",
]  # fmt: skip
_KEYS: dict[bytes, str] = {f"{spelling}:".encode(): spelling.lower() for spelling in _SPELLINGS}
_KEYS |= {f"{short}:".encode(): long for short, long in _COMPACT.items()}
_KEYS |= {f"{short.upper()}:".encode(): long for short, long in _COMPACT.items()}
_PRETTY = {spelling.lower(): spelling for spelling in _SPELLINGS}

_NAME = re.compile(rb"([!-9;-~]+)[ \t]*")
_TOKEN = re.compile(rb"[A-Za-z0-9\-.!%*_+`'~]+")
_TAG = re.compile(r";\s*tag\s*=\s*([^\s;,>\"]+)", re.IGNORECASE | re.ASCII)
BRANCH = re.compile(rb";branch=([!-+\-.0-:=?-~]+)")
_CSEQ = re.compile(r"([0-9]{1,10})\s+([A-Za-z0-9\-.!%*_+`'~]+)", re.ASCII)
_PLAIN_CONTACT = re.compile(rb"Contact: <(sips?:[!#-+\--;=?-~]+)>(?:;[!#-+\--;=?-~]*)?")
_PLAIN_CSEQ = re.compile(rb"CSeq: ([0-9]{1,9}) ([A-Z]+)")
_PLAIN_FROM = re.compile(
    rb'From: ?(?:"[^"\\]*" ?|[A-Za-z0-9]+ )?<(sips?:[!#-+\--;=?-~]+)>(?:;[!#-+\--;=?-~]*)?'
)
_PLAIN_SENT_BY = re.compile(rb"Via: SIP/2\.0/UDP ([0-9.]+)(?::([1-9][0-9]{0,3}|[1-5][0-9]{4}))?")
_REQUEST_LINE = re.compile(rb"([A-Za-z0-9\-.!%*_+`'~]+) ([^ \t\r\n]+) (SIP/([0-9]+\.[0-9]+))", re.IGNORECASE)
_STATUS_LINE = re.compile(rb"SIP/([0-9]+\.[0-9]+) ([1-6][0-9][0-9])(?: (.*))?", re.IGNORECASE | re.DOTALL)

_METHODS = {
    method.encode(): method
    for method in [
        "INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH",
        "REFER", "UPDATE", "PRACK", "INFO",
    ]
}  # fmt: skip
_STATUSES = {b"%d" % status: status for status in range(100, 700)}
_LENGTHS = {b"Content-Length: %d" % length: length for length in range(2048)}
_startswith = bytes.startswith
# the next hop may take it for the end of a line, and read a header that we did not see
_ALONE = "a CR or LF alone"
_LF = ord("\n")
_GREATER = ord(">")
_ODD_IN_URI = re.compile(rb"[^!-~]")

REASONS: Final = {
    100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress", 200: "OK",
    202: "Accepted", 300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    407: "Proxy Authentication Required", 408: "Request Timeout", 413: "Request Entity Too Large",
    415: "Unsupported Media Type", 416: "Unsupported URI Scheme", 420: "Bad Extension", 421: "Extension Required",
    422: "Session Interval Too Small", 423: "Interval Too Brief", 430: "Flow Failed", 439: "First Hop Lacks Outbound Support",
    440: "Max-Breadth Exceeded", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist",
    482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete", 486: "Busy Here", 487: "Request Terminated",
    488: "Not Acceptable Here", 491: "Request Pending", 500: "Server Internal Error", 501: "Not Implemented",
    502: "Bad Gateway", 503: "Service Unavailable", 504: "Server Time-out", 505: "Version Not Supported",
    513: "Message Too Large", 600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable",
}  # fmt: skip

_STATUS_LINES = {
    f"SIP/2.0 {status} {phrase}".encode(): (status, phrase) for status, phrase in REASONS.items()
}


_new = object.__new__
_new_tuple = tuple.__new__


@remember(4096)
def plain_request_line(start: bytes) -> tuple[str, str] | None:
    """
    Method and Request-URI of a request line as nearly everybody writes it; L{None} is for the whole grammar.

    Kept, since a phone refreshes with the same one, and ACK, BYE and their copies of a phone's calls come with few.
    """
    words = start.split(b" ")
    if len(words) != 3 or words[2] != b"SIP/2.0" or words[0] not in _METHODS:
        return None
    uri = words[1]
    return None if not uri or _ODD_IN_URI.search(uri) else (_METHODS[words[0]], uri.decode("ascii"))


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
    method = None if plain is None else _METHODS.get(plain[2])
    return None if plain is None or method is None else (int(plain[1]), method)


class MalformedMessage(ParseError):
    """
    A message that cannot be served.

    @ivar request: what could be read of it, enough to answer it (RFC 3261 section 8.2.6.2), or L{None}.
    """

    def __init__(self, message: str, status_hint: int = 400, request: Request | None = None) -> None:
        super().__init__(message, status_hint)
        self.request = request


def key_of(name: str) -> str:
    """The long name of a header in lower case (7.3.3 lists the short forms)."""
    lower = name.lower()
    return _COMPACT.get(lower, lower)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def octets_of(value: str) -> bytes:
    """Text as it stands in a message; what was no UTF-8 when it came leaves as it came."""
    return value.encode("utf-8", "surrogateescape")


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
                    call_id = _unfolded(call_id)
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
            layout = self.layout
            index = layout.at.get("contact")
            plain = None if index is None else _PLAIN_CONTACT.fullmatch(self.lines[index])
            if plain is not None:  # as nearly everybody writes it
                uri = plain[1].decode()
            elif index is not None:
                try:
                    values = self.values("contact")
                    uri = address_uri(values[0]) if values else ""
                except ParseError:
                    uri = ""
            self._contact = uri = uri or ""
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
            plain = found and tag.isalnum() and _GREATER not in before  # as nearly everybody writes it
            of_from = tag.decode() if plain else tag_of(value_of(line))
        index = layout.of_to
        if index >= 0:
            line = lines[index]
            before, found, tag = line.rpartition(b">;tag=")
            if found and tag.isalnum() and _GREATER not in before:
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


def value_of(line: bytes) -> str:
    """The value of a header line, unfolded."""
    value = line[line.index(b":") + 1 :].strip().decode("utf-8", "surrogateescape")
    return value if "\r" not in value else _unfolded(value)


def _unfolded(value: str) -> str:
    """Each line break with the white space around it is one space (7.3.1); a pattern for it takes time squared."""
    first, *rest = value.split("\r\n")
    return " ".join([first.rstrip(" \t"), *(line.strip(" \t") for line in rest)])


def tag_of(value: str | None) -> str | None:
    """The tag of a From or To value, or L{None}."""
    if value is None:
        return None
    bracket = value.rfind(">")
    if bracket >= 0 and value.count(">") > 1:  # one of them is in quotes
        try:
            return parse_name_addr(value).param("tag") or None
        except ParseError:
            return None
    match = _TAG.search(value, max(bracket, 0))
    return match[1] if match else None


def _fold(lines: list[bytes]) -> list[bytes]:
    """Put continuation lines back to the line that they continue, line breaks kept (7.3.1)."""
    folded: list[bytes] = []
    if not any(line[:1] in (b" ", b"\t") for line in lines[1:]):
        return lines
    for line in lines:
        if line[:1] in (b" ", b"\t") and folded:
            folded[-1] += b"\r\n" + line
        else:
            folded.append(line)
    return folded


def parse(data: bytes, most_headers: int = MAX_HEADERS) -> Request | Response:
    """
    Parse one whole message; octets behind C{Content-Length} are dropped (RFC 3261 section 18.3).

    @param data: a datagram, or what a stream framer cut out; leading CRLFs are ignored (7.5).
    @raise MalformedMessage: C{status_hint} 400, 505 for another SIP version, 513 for too many headers.
    """
    head, blank, body = data.partition(b"\r\n\r\n")
    if not blank or head[:2] in (b"\r\n", b""):
        data = data.lstrip(b"\r\n")
        head, blank, body = data.partition(b"\r\n\r\n")
        if not blank:
            head = head.rstrip(b"\r\n")  # a datagram may end behind its last header
            data = head + b"\r\n\r\n"
    # A CR or LF alone ends a line here, too. So there are as many lines as CRLFs, with what the pattern says of CR, only when
    # there is none: counting them in all octets would cost as much again as the lines.
    lines = head.splitlines()
    fault: MalformedMessage | None = None
    for layout in learned.get((len(lines) - 1, head[:4]), ()):
        fits = layout.fits
        if fits is not None and fits(head) and head[-1] != _LF and len(lines) <= most_headers:
            start = lines.pop(0)
            break
    else:
        start, layout, lines, fault = _line_by_line(head, most_headers)
    message: Request | Response
    known = _STATUS_LINES.get(start)
    plain = plain_request_line(start) if known is None else None
    if known is None and plain is None:
        message = _with_start_line(start, layout, lines, body)
    else:
        # As Request() and Response() do it, without their calls.
        if known is not None:
            message = response = _new(Response)
            response.status, response.reason = known
            response.received = data
        elif plain is not None:
            message = request = _new(Request)
            request.method, request.uri = plain
            request.received = None
        message.start = start
        message.layout = layout
        message.lines = lines
        message.body = body
        message._call_id = message._contact = message._cseq = message._from_uri = None
        message._tags = message._top_via = None
    if layout.content_length >= 0 and _LENGTHS.get(lines[layout.content_length]) != len(body):
        try:
            _cut_to_content_length(message)
        except MalformedMessage as error:
            fault = fault or error
    if fault is not None:
        fault.request = message if isinstance(message, Request) else None
        raise fault
    return message


def _line_by_line(
    head: bytes, most_headers: int
) -> tuple[bytes, Layout, list[bytes], MalformedMessage | None]:
    """Start line, layout, header lines and what is wrong with them, for what is in no order that comes often."""
    lines = head.split(b"\r\n")
    breaks = len(lines) - 1
    start = lines.pop(0)
    fault: MalformedMessage | None = None
    if breaks > most_headers:
        fault = MalformedMessage(f"more than {most_headers} header lines", 513)
        del lines[most_headers:]  # what came first is enough for an answer
    elif head.count(b"\n") != breaks:
        fault = MalformedMessage(_ALONE)
    for layout in learned.get((len(lines), start[:4]), ()):
        if all(map(_startswith, lines, layout.begins)) and head.count(b"\r") == breaks:
            layout.is_met()
            return start, layout, lines, fault
    if head.count(b"\r") != breaks:
        fault = fault or MalformedMessage(_ALONE)
    lines = _fold(lines)
    keys = [_KEYS.get(line[: line.find(b":") + 1]) or _key_of_line(line) for line in lines]
    if "" in keys:
        fault = fault or MalformedMessage(f"not a header: {lines[keys.index('')][:60]!r}")
    return start, learn(start, lines, keys) if fault is None else Layout(tuple(keys)), lines, fault


def _key_of_line(line: bytes) -> str:
    """The key of a header that is not spelled as usual; an empty string when the line is no header."""
    match = _NAME.match(line)
    if match is None or line[match.end() : match.end() + 1] != b":" or not _TOKEN.fullmatch(match[1]):
        return ""
    return key_of(match[1].decode("ascii"))


def _with_start_line(start: bytes, layout: Layout, lines: list[bytes], body: bytes) -> Request | Response:
    """A message by the whole grammar of its start line, for what is not written as nearly everybody does."""
    words = start.split(b" ")
    if words[0] == b"SIP/2.0" and len(words) > 2 and words[1] in _STATUSES:
        return Response(_STATUSES[words[1]], _text(start[12:]), start, layout, lines, body)
    match = _REQUEST_LINE.fullmatch(start)
    if match is not None:
        request = Request(_text(match[1]), _text(match[2]), start, layout, lines, body)
        if match[4] != b"2.0":
            raise MalformedMessage(f"SIP version {_text(match[4])}", 505, request)
        return request
    match = _STATUS_LINE.fullmatch(start)
    if match is not None:
        if match[1] != b"2.0":
            raise MalformedMessage(f"SIP version {_text(match[1])}", 505)
        return Response(int(match[2]), _text(match[3] or b""), start, layout, lines, body)
    # the method is all that an answer needs of a broken request line
    word = _TOKEN.match(start)
    broken = None
    if word is not None and not start.upper().startswith(b"SIP/"):
        broken = Request(_text(word[0]), "", start, layout, lines, body)
    raise MalformedMessage(f"not a start line: {start[:60]!r}", 400, broken)


def _cut_to_content_length(message: Message) -> None:
    line = message.lines[message.layout.content_length]
    value = line[line.index(b":") + 1 :].strip()
    if not (value.isdigit() and len(value) < 10):
        raise MalformedMessage(f"not a Content-Length: {value[:40]!r}")
    length = int(value)
    if length < len(message.body):
        message.body = message.body[:length]
        message.received = None
    elif length > len(message.body):
        raise MalformedMessage(f"Content-Length {length}, but {len(message.body)} octets came")


def header_line(key: str, value: str) -> bytes:
    """One line for a header named by its key; a value cannot bring lines of its own."""
    name = _PRETTY.get(key) or key.title()
    assert "\r" not in value and "\n" not in value, f"a line break in the value of {name}"
    return octets_of(f"{name}: {value}")
