"""
What the fuzzer starts from: for each target a function of its name, which gives the number of a check and octets for it.

Apart from the targets, because it imports what is to be instrumented first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from twisted.names import dns as names
from twisted.spread import banana

from tests.properties.tokens import HANDOVERS
from tests.unit.balance.test_codec import MESSAGES
from tests.unit.net.websocket_client import WebSocketClient
from voipcluster.balance.codec import SCHEMAS, encode, kind_of
from voipcluster.balance.handover import Handover
from voipcluster.config.options import SECTIONS, options
from voipcluster.seal import Sealer
from voipcluster.sip.route import unpack_flow

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
Seeds = Iterator[tuple[int, bytes]]

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


def _messages() -> Iterator[bytes]:
    for file in sorted(DATA.glob("rfc*/*.dat")):
        yield file.read_bytes()


def sip() -> Seeds:
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
    head = b"v: SIP/2.0/UDP 10.0.0.5;branch=z9hG4bKa\r\nf: <sip:a@h>;tag=1\r\nt: <sip:b@h>\r\ni: c\r\nCSeq: 1 INVITE\r\n"
    asks = b"Session-Expires: 100;refresher=uac\r\nMin-SE: 95\r\nMax-Breadth: 7\r\nContact: <sip:a@10.0.0.5;maddr=10.0.0.6>\r\n"
    for more in (
        asks,
        asks + b"Supported: 100rel, timer\r\n",
        asks.replace(b"100;", b"7200;"),
        b"Min-SE: 2000\r\n",
    ):
        yield 11, b"INVITE sip:b@h SIP/2.0\r\n" + head + more + b"\r\n"
    yield 11, b"SIP/2.0 200 OK\r\n" + head + b"Session-Expires: 90\r\nRequire: timer\r\n\r\n"
    yield 11, b"SIP/2.0 200 OK\r\n" + head + b"\r\n"


def link() -> Seeds:

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


def media() -> Seeds:
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


def packets() -> Seeds:
    yield 0, b"\x80\x00\x00\x01\x00\x00\x00\xa0\x01\x02\x03\x04" + b"\xff" * 160
    yield 0, b"\x82\xe0\x00\x01\x00\x00\x00\xa0\x01\x02\x03\x04" + bytes(8)
    yield 0, b"\x81\xc8\x00\x06" + bytes(24) + b"\x81\xca\x00\x02\x01\x02\x03\x04\x01\x01a\x00"
    head = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + b"t" * 12
    yield 1, head
    yield 1, head[:3] + b"\x0c" + head[4:] + b"\x00\x06\x00\x01a\x00\x00\x00\x00\x03\x00\x00"
    yield 0, head
    # described on both sides, then packets from where it was said and from elsewhere, with time between them
    yield 2, bytes([1, 0, 0, 3, 1, 0, 0, 0, 0, 0, 3, 0, 2, 1, 0, 4, 0, 1, 0x38, 0, 0])
    yield 2, bytes([1, 2, 5, 0, 0, 5, 0, 2, 0, 0x38, 0, 0, 0x38, 0, 0, 0x39, 6, 0, 0x79, 4, 0, 0x61, 5, 1])
    # a report, the one that answers it, and an extended one
    sent, heard = (
        b"\x80\xc8\x00\x06\0\0\0\x01" + bytes(range(8)) + bytes(12),
        bytes(14) + b"\x02\x03\x04\x05\0\0\0\x09",
    )
    yield 3, b"\x00" + sent + b"\xff\xff\x09\x81\xc9\x00\x07\0\0\0\x02\0\0\0\x01\x10" + heard[1:]
    yield 3, b"\x01\x80\xcf\x00\x04\0\0\0\x02\x04\0\0\x02" + bytes(range(8))


def tokens() -> Seeds:
    flow = b"\x00\x00\x00\x00\x01\x00\x00\x00\x00\x13\xc4\x13\xc4\xc0\x00\x02\x01\xc0\x00\x02\x07"
    six = b"\xc1" + flow[1:13] + b"\x20\x01\x0d\xb8" + bytes(12) + b"\x20\x01\x0d\xb8" + bytes(12)
    party = b"\x04\xc0\x00\x02\x01\x13\xc4hash" + flow
    address = b"\x04\xc0\x00\x02\x01\x13\xc4"
    names = b"\x03\x00\x01a\x00\x11alice@example.com\x00\x01b"

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


def dns() -> Seeds:

    sets: list[list[names.RRHeader]] = [
        [
            names.RRHeader(
                "example.com",
                names.NAPTR,
                ttl=60,
                payload=names.Record_NAPTR(1, 2, b"s", b"SIP+D2U", b"", "a.example.com"),
            ),
            names.RRHeader(
                "a.example.com", names.SRV, ttl=60, payload=names.Record_SRV(1, 2, 5060, "h.example.com")
            ),
            names.RRHeader("h.example.com", names.A, ttl=60, payload=names.Record_A("192.0.2.1")),
            names.RRHeader("h.example.com", names.AAAA, ttl=60, payload=names.Record_AAAA("2001:db8::1")),
        ],
        [
            names.RRHeader("example.com", names.CNAME, ttl=60, payload=names.Record_CNAME("b.example.com")),
            names.RRHeader("b.example.com", names.A, ttl=0, payload=names.Record_A("192.0.2.1")),
        ],
        [
            names.RRHeader("example.com", names.A, ttl=60, payload=names.Record_A(f"192.0.2.{n}"))
            for n in range(80)
        ],
    ]
    for records in sets:
        message = names.Message(1, answer=1)
        message.queries = [names.Query("example.com", names.NAPTR)]
        message.answers = records
        message.authority = [
            names.RRHeader("example.com", names.SOA, ttl=5, payload=names.Record_SOA("a", "b", 1, 2, 3, 4, 5))
        ]
        octets = message.toStr()
        yield 0, octets
        yield 1, octets
        yield 2, b"\x20" + len(octets).to_bytes(2, "big") + octets


def websocket() -> Seeds:
    opening = (
        b"GET /sip HTTP/1.1\r\nHost: 192.0.2.1:8080\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: xmpp, sip\r\n"
        b"Origin: https://example.com\r\n\r\n"
    )
    message = "OPTIONS sip:a.example SIP/2.0\r\nl: 0\r\n\r\n"
    client = WebSocketClient()
    frames = (
        client.ping(b"x") + client.text(message[:9], False) + client.text(message[9:]) + client.binary(b"\r\n\r\n")
        + client.binary(message.encode()) + client.close(1001)
    )  # fmt: skip
    yield 0, b"\xff" + opening + frames
    yield 0, b"\xff" + opening.replace(b": 13", b": 8")
    yield 0, b"\xff" + opening.replace(b"xmpp, sip", b"xmpp")
    yield 0, b"\xff" + opening.replace(b"example.com", b"[2001:db8::1]")
    yield 0, b"\xffPOST /sip HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    yield 1, b"\xff" + frames
    for payload in (
        b"\x81\x82\0\0\0\0\xff\xfe",
        b"\x81\xfe\x02\0\0\0\0\0" + b"x" * 512,
        b"\x89\x80\0\0\0\0" * 20,
    ):
        yield 1, b"\x03" + payload
    for text in (
        message.encode(),
        b"hello",
        b"\r\n\r\n",
    ):  # with a mask of zeros, so that mutations meet the text
        yield 1, b"\xff\x81" + bytes([0x80 | len(text)]) + bytes(4) + text
    for path in (
        b"/api/status", b"/api/calls?call_id=1/2%40host", b"/api/registrations?aor=", b"/api/explain/1%2F2@host", b"/metrics",
        b"/api/history?since=5.0", b"/static/../x",
    ):  # fmt: skip
        yield (
            2,
            b"\xffGET "
            + path
            + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\nIf-None-Match: x\r\n\r\n",
        )
    yield 2, b"\xffPOST /api/calls HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"


def config() -> Seeds:
    sample = (ROOT / "etc" / "voipcluster.toml").read_bytes()
    yield from ((0, sample[start : start + 2000]) for start in range(0, len(sample), 2000))
    yield 0, (ROOT / "etc" / "two-nodes.toml").read_bytes()
    known = options()
    for section in SECTIONS:
        of_section = [option for option in known if option.section == section]
        lines = [f"{option.key} = {json.dumps(option.default)}" for option in of_section]
        yield 0, "\n".join([f"[{section}]", *lines, ""]).encode()
    for option in known:
        yield 1, f"{option.name}={json.dumps(option.default)}".encode()
    yield (
        0,
        b'["sip"]\r\nport = 5060 # x\n[cluster]\ndomain = [\n "a.example", # ]\n]\nsequence = ["""\na""", \'\'\'b\'\'\']\n',
    )
    yield 0, b"sip.port = 1\n[web]\nport = {a = 1}\n[[limits]]\ncalls = 0x10\n"
