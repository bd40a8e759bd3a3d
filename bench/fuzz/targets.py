"""
What is fuzzed. The first octet of an input chooses one of the target's checks, the rest goes to it.

The checks are those of C{tests/properties}: no exception but the intended ones, and what must hold of the result.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
FOUND = DATA / "fuzz"  # what was found before, one folder a target

Check = Callable[[bytes], None]

SDP = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 49170/2 RTP/AVP 0 101\r\n"
    b"i=title\r\na=rtpmap:0 PCMU/8000\r\na=rtcp:53020 IN IP4 192.0.2.2\r\na=rtcp-mux\r\na=sendonly\r\n"
    b"a=candidate:1 1 UDP 1 192.0.2.9 9 typ host\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\nc=IN IP6 ::\na=inactive\n"
    b"m=message 9 TCP/MSRP *\r\n"
)
MULTIPART = (
    b'multipart/mixed;boundary="b"\n--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b\r\nContent-Type: application/sdp\r\n'
    b"Content-Length: 9\r\n\r\n" + SDP + b"\r\n--b--\r\n"
)


@frozen
class Target:
    """
    @ivar checks: C{module:function} of C{tests.properties}; an input's first octet counts them.
    @ivar seeds: gives (number of the check, octets).
    @ivar words: what belongs into the language, for mutations.
    @ivar guides: modules beside ours whose branches lead the way, too, since they read in front of us.
    """

    name: str
    checks: tuple[str, ...]
    seeds: Callable[[], Iterator[tuple[int, bytes]]]
    words: tuple[bytes, ...]
    guides: tuple[str, ...] = ()

    def load(self) -> list[Check]:
        found: list[Check] = []
        for check in self.checks:
            module, _, name = check.partition(":")
            found.append(getattr(importlib.import_module(f"tests.properties.{module}"), name))
        return found

    def inputs(self) -> Iterator[bytes]:
        """Seeds as inputs, those that were found before too."""
        for number, octets in self.seeds():
            yield bytes([number]) + octets
        for file in sorted((FOUND / self.name).glob("*")):
            yield file.read_bytes()


def _messages() -> Iterator[bytes]:
    for file in sorted(DATA.glob("rfc*/*.dat")):
        yield file.read_bytes()


def _sip_seeds() -> Iterator[tuple[int, bytes]]:
    yield from ((0, message) for message in _messages())
    for message in _messages():
        yield 1, b"\x05\r\n\r\n" + message + message
        for line in message.split(b"\r\n\r\n")[0].split(b"\r\n"):
            name, _, value = line.partition(b":")
            for number in {b"via": (4,), b"v": (4,), b"route": (7,), b"contact": (3, 5), b"to": (3,)}.get(
                name.lower(), ()
            ):
                yield number, value.strip()
    yield 1, b"\x00\r\n\r\n\r\n\r\nOPTIONS sip:a SIP/2.0\r\nl: 3\r\n\r\nabc\r\n"
    yield 2, b"sip:alice:secret@[2001:db8::1]:5061;transport=tcp;lr;method=INVITE?subject=a%20b&x=y"
    yield 6, b';tag=1;x="a\\"b" ; flag ;lr'
    yield 7, b"<sip:192.0.2.1:5060;lr;transport=tcp;call=AbC_-9>"
    yield (
        8,
        b'Digest username="alice", realm="example.com", nonce="n", uri="sip:example.com", response="0a", '
        b'qop=auth, nc=00000001, cnonce="c"',
    )
    yield (
        8,
        b'Digest username*=UTF-8\'\'J%C3%A4s, realm="example.com", nonce="n", uri="x", response="0", algorithm=SHA-256',
    )
    yield (
        9,
        b'Digest realm="example.com", nonce="n", algorithm=SHA-256, qop="auth,auth-int", opaque="o", stale=true',
    )
    yield 10, b'say "hi" \\'


def _link_seeds() -> Iterator[tuple[int, bytes]]:
    from twisted.spread import banana  # noqa: PLC0415

    from tests.unit.balance.test_codec import MESSAGES  # noqa: PLC0415 - imports what is to be instrumented first
    from voipcluster.balance.codec import SCHEMAS, encode, kind_of  # noqa: PLC0415

    kinds = sorted(SCHEMAS)
    for message in MESSAGES:
        kind = kind_of(message)
        octets = json.dumps(encode(message)).encode()
        yield 3, bytes([kinds.index(kind)]) + octets
        envelope = b'{"node":"b","epoch":1,"seq":2,"body":' + octets + b"}"
        yield 2, envelope
        call = [
            b"message",
            1,
            b"root",
            b"message",
            1,
            [b"tuple", [b"unicode", kind.encode()], envelope],
            [b"dictionary"],
        ]
        wire = banana.encode(call)
        yield 1, wire
        yield 0, b"\x04" + wire
    yield 1, banana.encode([b"decref", 1])
    yield 6, banana.encode([b"answer", 1, b"{}"]) + banana.encode([b"answer", 2, b'{"ok":{}}'])
    yield 6, banana.encode([b"error", 1, [b"tuple", b"x"]]) + banana.encode([b"answer", 9, b""])
    member = '{"name":"a","role":"primary","address":"192.0.2.1","port":8787,"key":"00"}'
    yield 4, f'{{"format":1,"cluster":"c","generation":1,"members":[{member}]}}'.encode()
    yield (
        5,
        b'{"version":1,"secret":"AAAA","name":"b","role":"secondary","address":"192.0.2.2","port":8787,"request":"x"}\n',
    )
    yield 5, b"A" * 64 + b"@192.0.2.1:8787"


def _media_seeds() -> Iterator[tuple[int, bytes]]:
    yield 0, SDP
    for message in _messages():
        if b"\r\n\r\nv=0" in message:
            yield 0, message.partition(b"\r\n\r\n")[2]
    yield 1, b"application/sdp\n" + SDP
    yield 1, MULTIPART
    yield (
        1,
        b"multipart/mixed; boundary=c\n--c\nContent-Type: "
        + MULTIPART.replace(b"\n", b"\r\n\r\n", 1)
        + b"\n--c--",
    )
    yield 2, bytes([0x01, 0x04, 0x30, 0x0C, 0x40, 0x0C, 0x03, 0x04])
    yield 2, bytes([0x01, 0x00, 0x40, 0x0C, 0x03, 0x0C, 0x07, 0x04, 0x46, 0x04])


def _packet_seeds() -> Iterator[tuple[int, bytes]]:
    yield 0, b"\x80\x00\x00\x01\x00\x00\x00\xa0\x01\x02\x03\x04" + b"\xff" * 160
    yield 0, b"\x82\xe0\x00\x01\x00\x00\x00\xa0\x01\x02\x03\x04" + bytes(8)
    yield 0, b"\x81\xc8\x00\x06" + bytes(24) + b"\x81\xca\x00\x02\x01\x02\x03\x04\x01\x01a\x00"
    head = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"t" * 12
    yield 1, head
    yield 1, head[:3] + b"\x0c" + head[4:] + b"\x00\x06\x00\x01a\x00\x00\x00\x00\x03\x00\x00"
    yield 0, head


def _token_seeds() -> Iterator[tuple[int, bytes]]:
    flow = b"\x00\x00\x00\x00\x01\x00\x00\x00\x00\x13\xc4\x13\xc4\xc0\x00\x02\x01\xc0\x00\x02\x07"
    six = b"\xc1" + flow[1:13] + b"\x20\x01\x0d\xb8" + bytes(12) + b"\x20\x01\x0d\xb8" + bytes(12)
    party = b"\x04\xc0\x00\x02\x01\x13\xc4hash" + flow
    address = b"\x04\xc0\x00\x02\x01\x13\xc4"
    names = b"\x03\x00\x01a\x00\x11alice@example.com\x00\x01b"
    from tests.properties.tokens import HANDOVERS  # noqa: PLC0415 - as above
    from voipcluster.balance.handover import Handover  # noqa: PLC0415
    from voipcluster.seal import Sealer  # noqa: PLC0415
    from voipcluster.sip.route import unpack_flow  # noqa: PLC0415

    handover = Handover(unpack_flow(flow)[0], "a", "alice@example.com", ("a", "b"), 2)
    yield 1, Sealer(bytes(range(32)), b"handover").open(HANDOVERS.seal(handover, "call-1", 100.0))
    yield 1, b"\x01\x01\x00\x01\x00\x00\x00\x64" + bytes(8) + bytes(4) + address + address + names
    yield from ((2, octets) for octets in (flow, six))
    yield from (
        (3, b"dialog!!" + octets) for octets in (b"\xff\xff", party + b"\xff", b"\xff" + party, party + party)
    )
    yield 0, b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    yield 4, bytes(range(64))
    yield 5, bytes(8) + b"instancall-id" + b"alice"


def _dns_seeds() -> Iterator[tuple[int, bytes]]:
    from twisted.names import dns  # noqa: PLC0415 - as above

    sets: list[list[dns.RRHeader]] = [
        [
            dns.RRHeader(
                "example.com",
                dns.NAPTR,
                ttl=60,
                payload=dns.Record_NAPTR(1, 2, b"s", b"SIP+D2U", b"", "a.example.com"),
            ),
            dns.RRHeader(
                "a.example.com", dns.SRV, ttl=60, payload=dns.Record_SRV(1, 2, 5060, "h.example.com")
            ),
            dns.RRHeader("h.example.com", dns.A, ttl=60, payload=dns.Record_A("192.0.2.1")),
            dns.RRHeader("h.example.com", dns.AAAA, ttl=60, payload=dns.Record_AAAA("2001:db8::1")),
        ],
        [
            dns.RRHeader("example.com", dns.CNAME, ttl=60, payload=dns.Record_CNAME("b.example.com")),
            dns.RRHeader("b.example.com", dns.A, ttl=0, payload=dns.Record_A("192.0.2.1")),
        ],
        [dns.RRHeader("example.com", dns.A, ttl=60, payload=dns.Record_A(f"192.0.2.{n}")) for n in range(80)],
    ]
    for records in sets:
        message = dns.Message(1, answer=1)
        message.queries = [dns.Query("example.com", dns.NAPTR)]
        message.answers = records
        message.authority = [
            dns.RRHeader("example.com", dns.SOA, ttl=5, payload=dns.Record_SOA("a", "b", 1, 2, 3, 4, 5))
        ]
        yield 0, message.toStr()


_SIP_WORDS = (
    b"SIP/2.0", b"sip:", b"sips:", b"tel:", b"INVITE", b"REGISTER", b"ACK", b"Via: ", b"From: ", b"To: ", b"Contact: ",
    b"CSeq: ", b"Call-ID: ", b"Max-Forwards: ", b"Route: ", b"Record-Route: ", b"Content-Length: ", b"Require: ", b"Path: ",
    b"Expires: ", b"SIP/2.0/UDP ", b"SIP / 2.0 / UDP ", b";branch=z9hG4bK", b";rport", b";received=", b";tag=", b">;tag=",
    b";lr", b";call=", b";maddr=", b";transport=", b"\r\n", b"\r\n ", b"\r\n\r\n", b"\t", b'"', b"\\", b"<", b">", b",",
    b";", b":", b"@", b"?", b"%00", b"[2001:db8::1]", b"[::ffff:192.0.2.1]", b"192.0.2.1", b"example.com", b"*", b"\xff",
    b"\xc2\x85", b"Digest ", b"nonce=", b"qop=", b"<sip:192.0.2.1:5060;lr;call=x>", b"+sip.instance=", b";reg-id=", b";q=",
    b"v: ", b"l: ", b"m: ", b"2147483648",
)  # fmt: skip
_LINK_WORDS = (
    b"\x80", b"\x81", b"\x82", b"\x83", b"\x84", b"\x85", b"\x86", b"\x87", b"message", b"root", b"tuple", b"dictionary",
    b"unicode", b"decimal", b"instance", b"module", b"reference", b"dereference", b"version", b"answer", b"error",
    b'"node":', b'"epoch":', b'"seq":', b'"body":', b'"items":[', b"NaN", b"1e999", b"null", b"true", b"-1",
    b"9007199254740993", b"\\ud800", b'"state":"open"', b"{}", b"[[[[",
)  # fmt: skip
_MEDIA_WORDS = (
    b"v=0", b"o=", b"c=IN IP4 ", b"c=IN IP6 ", b"0.0.0.0", b"m=audio ", b" RTP/AVP 0", b" UDP/TLS/RTP/SAVPF 96",
    b" TCP/MSRP *", b"a=rtcp:", b"a=rtcp-mux", b"a=sendonly", b"a=inactive", b"a=candidate:", b"a=ice-ufrag:", b"\r\n",
    b"\n", b"\r", b"/2", b"i=", b"--b", b"--b--", b"Content-Type: ", b"application/sdp", b"multipart/mixed;boundary=b",
    b"Content-Length: ", b"Content-Transfer-Encoding: base64", b" IN IP4 ",
)  # fmt: skip

TARGETS = {
    target.name: target
    for target in (
        Target(
            "sip",
            (
                "message:check_message",
                "stream:check_stream",
                "values:check_uri",
                "values:check_name_addr",
                "values:check_via",
                "values:check_list",
                "values:check_params",
                "values:check_route",
                "digest:check_credentials",
                "digest:check_challenge",
                "values:check_quoted",
            ),
            _sip_seeds,
            _SIP_WORDS,
        ),
        Target(
            "link",
            (
                "link:check_guard",
                "link:check_broker",
                "link:check_envelope",
                "link:check_codec",
                "link:check_roster",
                "link:check_join",
                "link:check_answers",
            ),
            _link_seeds,
            _LINK_WORDS,
            ("twisted.spread.banana", "twisted.spread.jelly"),
        ),
        Target(
            "dns",
            ("dns:check_answer",),
            _dns_seeds,
            (
                b"\x00\x01",
                b"\x00\x05",
                b"\x00\x21",
                b"\x00\x23",
                b"\xc0\x0c",
                b"\x07example\x03com\x00",
                b"\x04_sip\x04_udp",
            ),
            ("twisted.names.dns",),
        ),
        Target(
            "media",
            ("media:check_sdp", "media:check_body", "media:check_offer_answer"),
            _media_seeds,
            _MEDIA_WORDS,
        ),
        Target(
            "packets",
            ("packets:check_media_packet", "packets:check_stun"),
            _packet_seeds,
            (
                b"\x21\x12\xa4\x42",
                b"\x00\x01",
                b"\x80",
                b"\x80\xc8",
                b"\x80\xc9",
                b"\x00\x06",
                b"\x00\x08",
                b"\xff\xff",
            ),
        ),
        Target(
            "tokens",
            (
                "tokens:check_foreign",
                "tokens:check_handover",
                "tokens:check_flow",
                "tokens:check_call",
                "tokens:check_text",
                "tokens:check_gruu",
            ),
            _token_seeds,
            (b"\x04", b"\x10", b"\xff", b"\x80", b"\xc0\x00\x02\x01", b"\x00\x01a", b"\x01\x01\x00\x01"),
        ),
    )
}
