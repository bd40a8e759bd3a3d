"""
Time is linear: the largest input there is, made of one piece over and over, costs no more than octets of that number do.

What takes time squared needs some minutes of CPU for 64 KiB, so a generous limit tells the two apart on any machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.properties import digest, link, media, stream, values
from tests.properties.message import check_message
from tests.properties.outcome import outcome, text_of
from voipcluster.sip.message import Message, parse

LARGEST = 65000  # octets of a datagram
LIMIT = 1.5  # seconds of CPU for all checks of one input; the slowest takes a fifth of that
PIECES = (
    b" ", b"\t", b"\r\n ", b" \r\n\t", b" ;", b"; ", b";a", b";a=", b";a=b", b'"', b'\\"', b'""', b'"a" ', b"<", b">",
    b"<>", b",", b", ", b"<a>,", b"a,", b":", b"::", b"[", b"%", b"%41", b"@", b"a@", b"/", b"SIP/", b"=", b"tag=",
    b";tag=", b">;tag=", b";branch=", b"a=b,", b"a=\"\\\\\",", b"-", b"--b", b"\n--b", b"\n", b"\r", b"\r\n", b"c=", b"m=",
    b"\nm=", b"a=rtcp:", b"\x00", b"\xff", b"\x80", b"\x01\x80", b"[[", b'{"a":', b"0", b"AAAA",
)  # fmt: skip
HEADERS = (
    b"Via: SIP/2.0/UDP h",
    b"From: ",
    b"To: <sip:a@h>",
    b"Contact: ",
    b"Route: ",
    b"CSeq: 1",
    b"X: y",
    b"X: y\r\n y",
    b"Content-Length: ",
    b"Max-Forwards: ",
)

HEAD = (
    b"INVITE sip:b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"
    b"Call-ID: c\r\nCSeq: 1 INVITE\r\n"
)
REGISTER = (
    HEAD.replace(b"INVITE sip:b", b"REGISTER sip:example.com")
    .replace(b"1 INVITE", b"1 REGISTER")
    .replace(b"@h", b"@example.com")
)


def long(before: bytes, piece: bytes, after: bytes = b"") -> bytes:
    return before + piece * ((LARGEST - len(before) - len(after)) // len(piece)) + after


class LinearTests(SynchronousTestCase):
    def timed(self, check: Callable[[bytes], object], data: bytes, what: object) -> None:
        begin = time.thread_time()
        check(data)
        took = time.thread_time() - begin
        self.assertLess(took, LIMIT, f"{what!r}: {took:.2f} s of CPU for {len(data)} octets")

    def test_messages(self) -> None:
        """Each header of a datagram filled with each piece, between texts that let patterns begin and not end."""
        for header in HEADERS:
            for piece in PIECES:
                self.timed(ask, long(HEAD + header, piece, b"x\r\n\r\n"), (header, piece))

    def test_start_lines_and_bodies(self) -> None:
        """The same of the start line, of Request-URIs, and of what follows the headers."""
        for piece in PIECES:
            self.timed(check_message, long(b"INVITE sip:", piece, b" SIP/2.0\r\n\r\n"), piece)
            self.timed(check_message, long(b"SIP/2.0 200 ", piece, b"\r\n\r\n"), piece)
            self.timed(check_message, long(HEAD + b"\r\n", piece), piece)

    def test_lists(self) -> None:
        """A header with thousands of different values, whatever validation, Route and registrar make of it."""
        for name in (
            b"Contact",
            b"Route",
            b"Path",
            b"Via",
            b"Require",
            b"Proxy-Require",
            b"Supported",
            b"Record-Route",
        ):
            for value in ("<sip:{}@h>", "SIP/2.0/UDP h{}", "tag{}"):
                values = ", ".join(value.format(number) for number in range(3000)).encode()
                data = REGISTER + name + b": " + values + b"\r\n\r\n"
                self.timed(check_message, data, (name, value))

    def test_streams(self) -> None:
        """The framer looks at no octet twice, in one read or in many."""
        for piece in PIECES:
            for before in (
                b"\xff",
                b"\x07OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n",
                b"\xffOPTIONS sip:a SIP/2.0\r\nX: ",
            ):
                self.timed(stream.check_stream, long(before, piece, b"\r\n\r\n"), (before, piece))

    def test_values(self) -> None:
        """Values alone, as long as a header may be."""
        for piece in PIECES:
            for check in (
                values.check_uri, values.check_name_addr, values.check_via, values.check_list, values.check_params,
                values.check_route,
                values.check_quoted, digest.check_credentials, digest.check_challenge,
            ):  # fmt: skip
                for before in (b"", b"SIP/2.0/UDP h", b"sip:", b"<sip:a@h>", b'Digest realm="', b'"'):
                    self.timed(check, long(before, piece, b"x")[:32768], (check, before, piece))

    def test_bodies(self) -> None:
        """Session descriptions and multipart bodies."""
        for piece in PIECES:
            for before in (
                b"v=0\r\n",
                b"v=0\r\nc=IN IP4 ",
                b"v=0\r\nc=IN IP4 h\r\nm=audio ",
                b"v=0\r\nc=IN IP4 h\r\nm=audio 1 RTP/AVP 0\r\na=rtcp:",
            ):
                self.timed(media.check_sdp, long(before, piece, b"\r\n"), (before, piece))
            for before in (
                b"multipart/mixed;boundary=b\n",
                b"multipart/mixed;boundary=b\n--b\r\nContent-Type:",
                b"multipart/",
            ):
                self.timed(media.check_body, long(before, piece, b"\n\n--b--"), (before, piece))

    def test_the_link(self) -> None:
        """Octets of the cluster link, behind the certificate and before it."""
        for piece in PIECES:
            self.timed(link.check_guard, long(b"\xff", piece), piece)
            self.timed(link.check_broker, long(b"", piece), piece)
            self.timed(link.check_envelope, long(b"", piece), piece)
            self.timed(link.check_codec, long(b"\x00", piece), piece)
            self.timed(link.check_join, long(b"", piece, b"\n"), piece)


def ask(data: bytes) -> None:
    """Everything once, without the comparisons, which cost several times as much."""
    message: object = outcome(lambda: parse(data))
    if isinstance(message, Message):
        for key in set(message.keys):
            outcome(lambda key=key: message.values(key))
        for name in ("cseq", "from_uri", "from_tag", "to_tag", "top_via", "top_branch", "cseq_method"):
            outcome(lambda name=name: getattr(message, name))
        for key in ("from", "to", "contact"):
            values.check_name_addr((message.get(key) or "").encode("utf-8", "surrogateescape"))
    else:
        text_of(data)
