"""
What is fuzzed. The first octet of an input chooses one of the target's checks, the rest goes to it.

The checks are those of C{tests/properties}: no exception but the intended ones, and what must hold of the result.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).resolve().parents[2]
FOUND = ROOT / "tests" / "data" / "fuzz"  # what was found before, one folder a target

Check = Callable[[bytes], None]


@frozen
class Target:
    """
    @ivar checks: C{module:function} of C{tests.properties}; an input's first octet counts them.
    @ivar words: what belongs into the language, for mutations.
    @ivar guides: modules beside ours whose branches lead the way, too, since they read in front of us.
    @ivar longest: octets of one input.
    """

    name: str
    checks: tuple[str, ...]
    words: tuple[bytes, ...]
    guides: tuple[str, ...] = ()
    longest: int = 16384

    def load(self) -> list[Check]:
        found: list[Check] = []
        for check in self.checks:
            module, _, name = check.partition(":")
            found.append(getattr(importlib.import_module(f"tests.properties.{module}"), name))
        return found

    def inputs(self) -> Iterator[bytes]:
        """Seeds as inputs, those that were found before too."""
        for number, octets in getattr(importlib.import_module("bench.fuzz.seeds"), self.name)():
            yield bytes([number]) + octets
        for file in sorted((FOUND / self.name).glob("*")):
            yield file.read_bytes()


_SIP_WORDS = (
    b"SIP/2.0", b"sip:", b"sips:", b"tel:", b"INVITE", b"REGISTER", b"ACK", b"Via: ", b"From: ", b"To: ", b"Contact: ",
    b"CSeq: ", b"Call-ID: ", b"Max-Forwards: ", b"Route: ", b"Record-Route: ", b"Content-Length: ", b"Require: ", b"Path: ",
    b"Expires: ", b"SIP/2.0/UDP ", b"SIP / 2.0 / UDP ", b";branch=z9hG4bK", b";rport", b";received=", b";tag=", b">;tag=",
    b";lr", b";call=", b";maddr=", b";transport=", b"\r\n", b"\r\n ", b"\r\n\r\n", b"\t", b'"', b"\\", b"<", b">", b",",
    b";", b":", b"@", b"?", b"%00", b"[2001:db8::1]", b"[::ffff:192.0.2.1]", b"192.0.2.1", b"example.com", b"*", b"\xff",
    b"\xc2\x85", b"Digest ", b"nonce=", b"qop=", b"<sip:192.0.2.1:5060;lr;call=x>", b"+sip.instance=", b";reg-id=", b";q=",
    b"v: ", b"l: ", b"m: ", b"2147483648", b"Session-Expires: ", b"Min-SE: ", b";refresher=uac",
    b"Supported: timer\r\n", b"Max-Breadth: ",
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
_WEBSOCKET_WORDS = (
    b"/api/", b"/api/explain/", b"/api/history?since=", b"/api/calls?call_id=", b"/static/", b"/metrics", b"%ff",
    b"/../", b"HEAD ", b"Accept-Encoding: gzip\r\n", b"If-None-Match: ", b"Host: 127.0.0.1\r\n",
    b"GET ", b"POST ", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"Host: ", b"Connection: Upgrade\r\n", b"Upgrade: websocket\r\n",
    b"Sec-WebSocket-Version: 13\r\n", b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Protocol: sip\r\n", b"Sec-WebSocket-Extensions: ",
    b"Origin: ", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"\r\n\r\n", b"\r\n",
    b"\x81\x80\0\0\0\0", b"\x01\x80\0\0\0\0", b"\x80\x80\0\0\0\0", b"\x82\x80\0\0\0\0", b"\x88\x82\0\0\0\0\x03\xe8",
    b"\x89\x80\0\0\0\0", b"\x8a\x80\0\0\0\0", b"\xfe", b"\xff", b"OPTIONS sip:a SIP/2.0\r\n", b"SIP/2.0 200 OK\r\n",
)  # fmt: skip
_CONFIG_WORDS = (
    b"[cluster]", b"[limits]", b"[sip]", b"[media]", b"[tls]", b"[web]", b"ports = ", b"domain = ", b" = ", b"=", b"[", b"]",
    b"{", b"}", b'"', b"'''", b'"""', b"\\", b"\\u0061", b"#", b"\n", b"\r\n", b"\r", b".", b"true", b"nan", b"inf", b"0x",
    b"1979-05-27T07:32:00Z", b'"10.0.0.1"', b'"example.com"', b"20000-20999", b"limits.calls=", b"cluster.policy=",
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
                "session:check_session",
            ),
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
            _LINK_WORDS,
            ("twisted.spread.banana", "twisted.spread.jelly"),
        ),
        Target(
            "dns",
            ("dns:check_answer", "dns:check_datagram", "dns:check_stream"),
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
            8192,
        ),
        Target(
            "media",
            ("media:check_sdp", "media:check_body", "media:check_offer_answer"),
            _MEDIA_WORDS,
        ),
        Target(
            "packets",
            (
                "packets:check_media_packet",
                "packets:check_stun",
                "packets:check_stream",
                "packets:check_rtcp",
            ),
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
            longest=2048,
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
            (b"\x04", b"\x10", b"\xff", b"\x80", b"\xc0\x00\x02\x01", b"\x00\x01a", b"\x01\x01\x00\x01"),
            longest=1024,
        ),
        Target(
            "websocket",
            ("websocket:check_opening", "websocket:check_frames", "page:check_page"),
            _WEBSOCKET_WORDS,
            (
                "h11._readers",
                "h11._headers",
                "wsproto.frame_protocol",
                "wsproto.handshake",
                "twisted.web.http",
            ),
            8192,
        ),
        Target(
            "config", ("config:check_file", "config:check_flag"), _CONFIG_WORDS, ("tomllib._parser",), 2048
        ),
    )
}
