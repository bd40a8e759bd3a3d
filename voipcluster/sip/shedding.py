"""
Requests that are refused unread: what they are, and the 503, from the octets alone (RFC 7339 section 5.10).

A node that has too much to do cannot take each request apart to say that it will not serve it. So the head is cut into lines,
those that go into the answer are picked out, and only the topmost Via is looked into. What is spelled as nearly nobody spells
it is left to the parser. Nothing else is checked: what is copied goes back to where it came from.
"""

from __future__ import annotations

import re
import zlib
from typing import Final, NamedTuple

from voipcluster.sip.overload import without_params

_BEGINS: Final = {
    method[:4].encode(): method
    for method in ("INVITE", "REGISTER", "OPTIONS", "SUBSCRIBE", "MESSAGE", "PUBLISH", "REFER", "NOTIFY")
}
NEW_METHODS: Final = frozenset(_BEGINS.values())  # those that come without a dialog

_VIA, _FROM, _TO, _CALL_ID, _CSEQ = 1, 2, 4, 8, 16
_ALL: Final = _VIA | _FROM | _TO | _CALL_ID | _CSEQ
_NAMES: Final = {
    name: bit
    for bit, names in (
        (_VIA, (b"Via", b"v", b"VIA", b"via")),
        (_FROM, (b"From", b"f", b"FROM", b"from")),
        (_TO, (b"To", b"t", b"TO", b"to")),
        (_CALL_ID, (b"Call-ID", b"i", b"Call-Id", b"CALL-ID", b"call-id")),
        (_CSEQ, (b"CSeq", b"Cseq", b"CSEQ", b"cseq")),
    )
    for name in names
}
_LINES: Final = re.compile(
    rb"\r\n((?:%b):[^\r\n]*)(?=\r\n)" % b"|".join(sorted(_NAMES, reverse=True))  # the longer one first
)
_SENT_BY: Final = re.compile(rb"([A-Za-z0-9.-]+)(?::0*([1-9][0-9]{0,4}))?")
_KEPT: Final = 4096  # spellings of who sent, that are remembered
_LARGEST: Final = (
    4096  # octets of a head, and C{_MOST_LINES} in it: taking more apart costs more than it saves
)
_MOST_LINES: Final = 64
_LONGEST: Final = 80  # octets of one; a longer one is somebody who wants to fill our memory

_BRANCH = re.compile(rb";branch=(z9hG4bK[A-Za-z0-9\-.!%*_+`'~]+)(?=;|$)")
_USUAL_VIA = re.compile(rb"""([^;,"]+)(?:;[^;,"]*)*?;branch=(z9hG4bK[A-Za-z0-9\-.!%*_+`'~]+)(?:;[^;,"]*)*""")
_TAKES_AWAY = re.compile(rb"\r\n[Ee]xpires[ \t]*:[ \t]*0+\r\n|;expires=0+(?![0-9])")
_RECEIVED = re.compile(rb';[ \t]*received[ \t]*=[^;,"]*', re.IGNORECASE)
_RPORT = re.compile(rb";rport(?:=[0-9]*)?(?=[ \t]*(?:;|$))")
_ONE_VALUE = re.compile(rb'(?:[^",\\]|"(?:[^"\\]|\\.)*")*')
_HANDOVER = re.compile(rb";ho=([A-Za-z0-9_-]+)")
_CALL_TOKEN = re.compile(rb";call=([A-Za-z0-9_-]+)")

_sent_by: dict[bytes, tuple[str, str]] = {}
_places: dict[tuple[bytes, ...], tuple[int, int] | None] = {}


class Glance(NamedTuple):
    """
    What can be seen of a new request at once.

    @ivar branch: of the top Via, C{host} and C{port} its sent-by, the latter empty when it names none.
    @ivar lines: those of the head that an answer needs, in their order; C{via} and C{to}: which of them are the topmost Via and
        To.
    """

    method: str
    branch: str
    host: str
    port: str
    lines: list[bytes]
    via: int
    to: int

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The key of its transaction, as L{voipcluster.sip.transaction.matching.server_key} makes it."""
        return (self.branch, self.host, self.port, self.method)

    @property
    def call_id(self) -> str:
        """The Call-ID."""
        line = next(line for line in self.lines if _NAMES[line[: line.find(b":")]] == _CALL_ID)
        return line.partition(b":")[2].strip().decode("utf-8", "surrogateescape")


def glance(data: bytes) -> Glance | None:
    """
    Look at a message: L{None} for what is never refused unread, or cannot be.

    That is: responses, ACK, CANCEL, whatever else belongs to a dialog by its method or by a tag in To, and whatever the parser
    has to look at.
    """
    method = _BEGINS.get(data[:4])
    if method is None or not data.startswith(b" ", len(method)):
        return None
    end = data.find(b"\r\n\r\n", 0, _LARGEST)
    if end < 0 or data.count(b"\n", 0, end) > _MOST_LINES:
        return None
    if data.find(b"\r\n ", 0, end) >= 0 or data.find(b"\r\n\t", 0, end) >= 0:
        return None  # a folded line may belong to what is copied
    lines = _LINES.findall(data, 0, end + 2)
    names = tuple([line[: line.find(b":")] for line in lines])
    places = _places[names] if names in _places else _find_places(names)
    if places is None:
        return None
    via, to = places
    if has_tag(lines[to]):
        return None
    sender = _read_via(lines[via])
    return None if sender is None else Glance(method, *sender, lines, via, to)


def _find_places(names: tuple[bytes, ...]) -> tuple[int, int] | None:
    """
    Which lines are the topmost Via and To, by their names; L{None} when one of the five is missing or there twice.

    It is remembered: there are no more orders of the headers than kinds of clients.
    """
    bits = [_NAMES[name] for name in names]
    usual = sum(set(bits)) == _ALL and all(bits.count(bit) == 1 for bit in set(bits) - {_VIA})
    if len(_places) >= _KEPT:
        _places.clear()
    places = _places[names] = (bits.index(_VIA), bits.index(_TO)) if usual else None
    return places


def _read_via(line: bytes) -> tuple[str, str, str] | None:
    """Branch, host and port of the first value of a Via line; L{None}: it is for the parser."""
    usual = _USUAL_VIA.fullmatch(line)
    if usual is not None:
        first, head, branch = line, usual[1], usual[2]
    else:
        first = line[: first_end(line)]
        head = first.partition(b";")[0]
        found = _BRANCH.search(first)
        if found is None or first.find(b'"', 0, found.start()) >= 0:
            return None
        branch = found[1]
    known = _sent_by.get(head) or _read_sent_by(head)
    if known is None or first.count(b"branch") > 1 or first.count(b"SIP") > 1:
        return None
    return branch.decode("latin-1"), *known


def first_end(line: bytes) -> int:
    """Where the first one of several values of a line ends."""
    comma = line.find(b",")
    if comma < 0:
        return len(line)
    if line.find(b'"', 0, comma) < 0:
        return comma
    match = _ONE_VALUE.match(line)
    return len(line) if match is None else match.end()


def has_tag(line: bytes) -> bool:
    """Whether a From or To line has a tag, or may have one."""
    behind = max(0, line.rfind(b">"))
    return line.find(b"tag", behind) >= 0 or line.find(b"TAG", behind) >= 0


def _read_sent_by(head: bytes) -> tuple[str, str] | None:
    """Host and port of a Via line up to its parameters; kept, because a client sends them again and again."""
    protocol, _, sent_by = head.rstrip().rpartition(b" ")
    match = _SENT_BY.fullmatch(sent_by)
    if match is None or b"2.0" not in protocol or len(head) > _LONGEST or int(match[2] or 0) > 65535:
        return None
    known = match[1].decode("ascii").lower(), (match[2] or b"").decode("ascii")
    if len(_sent_by) >= _KEPT:
        _sent_by.clear()
    _sent_by[head] = known
    return known


def takes_state_away(data: bytes) -> bool:
    """Whether it ends a registration or subscription: refusing that keeps what could go (RFC 5390 REQ 19)."""
    return _TAKES_AWAY.search(data, 0, data.find(b"\r\n\r\n") + 2) is not None


def has_credentials(data: bytes) -> bool:
    return data.find(b"uthorization:") >= 0


def is_marked(data: bytes) -> bool:
    """
    Whether a new INVITE says that it is more than anybody's: in a dialog, handed over, urgent, or with credentials.

    It may say so wrongly; then it is looked at, and no more.
    """
    # Here looking for each word takes less than half of the time of a pattern; C{in} takes a third longer than C{find}.
    return (
        data.startswith(b"urn:", len("INVITE "))
        or data.find(b";call=") >= 0
        or data.find(b";ho=") >= 0
        or data.find(b";flow=") >= 0
        or data.find(b"\nResource-") >= 0
        or data.find(b"uthorization:") >= 0
    )


def handover_token(data: bytes) -> str:
    """The hand-over token that it carries, perhaps a forged one; nothing: none."""
    found = _HANDOVER.search(data)
    return "" if found is None else found[1].decode("ascii")


def call_token(data: bytes) -> str:
    """The same of the token of a dialog."""
    found = _CALL_TOKEN.search(data)
    return "" if found is None else found[1].decode("ascii")


class Refusal(NamedTuple):
    """
    @ivar wire: the octets of the 503.
    @ivar port: the port that it goes to, of the address that the request came from (RFC 3261 section 18.2.2).
    """

    wire: bytes
    port: int


_START: Final = b"SIP/2.0 503 Service Unavailable"
_END: Final = b"Content-Length: 0\r\n\r\n"


def refusal(seen: Glance, source: tuple[str, int], mark: bytes, told: bytes = b"") -> Refusal:
    """
    The 503 without Retry-After for a request (RFC 7339 section 5.10.2).

    @param source: where it came from.
    @param mark: the begin of our tag: the ACK for such an answer is known by it (L{is_ack_of}). The rest comes from the branch,
        so that a copy is answered alike (RFC 3261 section 8.2.7).
    @param told: parameters for the top Via, with their semicolons: what a client of overload control is told.
    """
    lines, via, to = [_START, *seen.lines, _END], seen.via + 1, seen.to + 1
    lines[to] = b"%b;tag=%b%08x" % (lines[to].rstrip(), mark, zlib.crc32(seen.branch.encode("latin-1")))
    end = first_end(lines[via])
    line, rest = lines[via][:end], lines[via][end:]
    if line.lower().find(b"received") >= 0:
        line = _RECEIVED.sub(b"", line)  # it is ours to say
    asked = line.find(b";rport") >= 0
    if asked:
        line, count = _RPORT.subn(b";rport=%d" % source[1], line, 1)
        asked = count > 0  # else it is another parameter that begins alike
    if asked or source[0] != seen.host:
        told = b";received=%b%b" % (source[0].encode("ascii"), told)
    if told:
        line = without_params(line)
        at = line.find(b";branch=") + 8 + len(seen.branch)
        line = line[:at] + told + line[at:]
    lines[via] = line + rest
    return Refusal(b"\r\n".join(lines), source[1] if asked else int(seen.port or 5060))


def is_ack_of(data: bytes, mark: bytes) -> bool:
    """Whether it is the ACK for a refusal: nobody waits for it."""
    return data.startswith(b"ACK ") and data.find(b";tag=" + mark) >= 0
