"""Cutting a byte stream into SIP messages."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip.framing import Framed, FramingFailed, MessageFramed, Ping, Pong, StreamFramer

START = b"OPTIONS sip:a.example SIP/2.0\r\n"


def message(body: bytes = b"", length: bytes | None = None) -> bytes:
    named = str(len(body)).encode() if length is None else length
    return START + b"Content-Length: " + named + b"\r\n\r\n" + body


def feed_each(framer: StreamFramer, data: bytes, size: int) -> list[Framed]:
    return [event for at in range(0, len(data), size) for event in framer.feed(data[at : at + size])]


class MessageTests(SynchronousTestCase):
    def test_message_ends_where_content_length_says(self) -> None:
        """Pipelined messages are cut by Content-Length, in order (RFC 3261 section 18.3)."""
        first, second = message(b"INVITE sip:x SIP/2.0\r\n\r\n"), message()
        self.assertEqual(StreamFramer().feed(first + second), [MessageFramed(first), MessageFramed(second)])

    def test_splitting_changes_nothing(self) -> None:
        """However the octets are split, the same messages come out, and nothing is left over."""
        data = b"\r\n" + message(b"\r\n\r\nabc") + message() + b"\r\n\r\n\r\n" + message(b"\x00" * 70)
        whole = [event for event in StreamFramer().feed(data) if isinstance(event, MessageFramed)]
        self.assertEqual(len(whole), 3)
        for size in range(1, 60):
            framer = StreamFramer()
            events = [e for e in feed_each(framer, data, size) if not isinstance(e, Pong)]
            self.assertEqual([e for e in events if isinstance(e, MessageFramed)], whole)
            self.assertEqual([e for e in events if isinstance(e, Ping)], [Ping(1)])
            self.assertFalse(framer.partial)

    def test_partial_until_the_last_octet(self) -> None:
        """A message is partial from its first octet until its last one."""
        framer = StreamFramer()
        data = message(b"abc")
        self.assertFalse(framer.partial)
        for at in range(len(data) - 1):
            self.assertEqual(framer.feed(data[at : at + 1]), [])
            self.assertTrue(framer.partial)
        self.assertEqual(framer.feed(data[-1:]), [MessageFramed(data)])
        self.assertFalse(framer.partial)

    def test_spellings_of_content_length(self) -> None:
        """Compact form, case, space before the colon, folding and zeros in front are valid (RFC 3261 section 7.3.1)."""
        for header in (
            b"l:5",
            b"L : 5",
            b"CONTENT-LENGTH \t:5",
            b"Content-Length:\r\n 5",
            b"Content-Length:\r\n\t \r\n 005 ",
            b"content-length: 0000000000000000005",
        ):
            data = START + b"Via: x;l:9\r\nSubject: a\r\n l: 7\r\n" + header + b"\r\nTo: x\r\n\r\nhello"
            self.assertEqual(StreamFramer().feed(data + b"\r"), [MessageFramed(data)], header)

    def test_response_and_odd_method(self) -> None:
        """Whatever begins with a token character may be a message (RFC 3261 section 25.1)."""
        for start in (
            b"SIP/2.0 200 OK\r\n",
            b"!interesting-Method0123456789_*+`.%indeed'~ sip:a SIP/2.0\r\n",
        ):
            data = start + b"l: 0\r\n\r\n"
            self.assertEqual(StreamFramer().feed(data), [MessageFramed(data)])


class KeepAliveTests(SynchronousTestCase):
    def test_leading_lines_are_ignored(self) -> None:
        """Empty lines before a start line are no part of the message (RFC 3261 section 7.5)."""
        for lines in range(1, 21):
            events = StreamFramer().feed(b"\r\n" * lines + message())
            self.assertEqual(events[-1], MessageFramed(message()))

    def test_ping(self) -> None:
        """A double CRLF between messages is a ping, in however many pieces (RFC 5626 section 4.4.1)."""
        self.assertEqual(StreamFramer().feed(b"\r\n\r\n"), [Ping(1)])
        self.assertEqual(StreamFramer().feed(message() + b"\r\n\r\n\r\n\r\n")[1:], [Ping(2)])
        framer = StreamFramer()
        pings = [e for e in feed_each(framer, b"\r\n\r\n" * 3, 1) if isinstance(e, Ping)]
        self.assertEqual(pings, [Ping(1)] * 3)

    def test_pong(self) -> None:
        """A single CRLF after a message is a pong, and a message in between starts the count anew."""
        framer = StreamFramer()
        self.assertEqual(framer.feed(message() + b"\r\n"), [MessageFramed(message()), Pong()])
        self.assertEqual(framer.feed(message() + b"\r\n"), [MessageFramed(message()), Pong()])

    def test_flood_is_not_kept(self) -> None:
        """Any number of CRLFs leaves nothing behind and gives one ping for four octets."""
        framer = StreamFramer()
        self.assertEqual(framer.feed(b"\r\n" * 32768), [Ping(16384)])
        self.assertFalse(framer.partial)


class FailureTests(SynchronousTestCase):
    def fails(self, data: bytes, status: int, framer: StreamFramer | None = None) -> FramingFailed:
        framer = framer or StreamFramer()
        events = framer.feed(data + message())
        self.assertEqual(len(events), 1, events)
        assert isinstance(events[0], FramingFailed)
        self.assertEqual(events[0].status_hint, status)
        self.assertEqual(framer.feed(message()), [])
        self.assertFalse(framer.partial)
        return events[0]

    def test_bad_content_length(self) -> None:
        """No usable Content-Length ends the stream with 400, and what follows is never read (RFC 3261 section 18.3)."""
        for value in (b"", b"-1", b"+5", b"5x", b"5, 5", b"0x5", b"5 5", b"1e3", b"\xb2", b"5;a=b"):
            failure = self.fails(message(b"hello", length=value), 400)
            self.assertEqual(failure.head, message(b"", length=value))

    def test_missing_content_length(self) -> None:
        """A stream needs Content-Length (RFC 3261 section 20.14)."""
        self.assertEqual(self.fails(START + b"To: x\r\n\r\n", 400).head, START + b"To: x\r\n\r\n")
        self.fails(START + b"Content-Length\r\n : 0\r\n\r\n", 400)

    def test_repeated_content_length(self) -> None:
        """Two of them fail, also equal ones, long and compact, or one hidden behind a bare line end."""
        for second in (b"\r\nContent-Length: 0", b"\r\nl: 5", b"\nl: 0", b"\rContent-Length: 0"):
            self.fails(START + b"Content-Length: 5" + second + b"\r\n\r\nhello", 400)

    def test_body_too_long(self) -> None:
        """A Content-Length beyond the limit is 413, however many digits it has."""
        for value in (b"65536", b"4294967297", b"18446744073709551617", b"9" * 5000):
            self.fails(message(length=value), 413)

    def test_largest_body(self) -> None:
        """A body of just the limit passes."""
        data = message(b"x" * 100)
        self.assertEqual(StreamFramer(max_body=100).feed(data), [MessageFramed(data)])

    def test_head_too_long(self) -> None:
        """A head beyond the limit is 513, with or without its end, and what came of it is handed out."""
        for data in (START + b"X: " + b"x" * 200, START + b"X: " + b"x" * 200 + b"\r\n\r\n"):
            failure = self.fails(data, 513, StreamFramer(max_head=100))
            self.assertEqual(failure.head, data[:100])
        head = START + b"l: 0\r\n\r\n"
        self.assertEqual(StreamFramer(max_head=len(head)).feed(head), [MessageFramed(head)])

    def test_not_sip(self) -> None:
        """What cannot begin a start line fails at its first octet: a TLS greeting, binary, a folded line."""
        for data in (b"\x16\x03\x01", b"\x00", b" OPTIONS", b"(", b"\xff"):
            self.assertEqual(self.fails(data, 400).head, b"")

    def test_messages_before_the_fault_count(self) -> None:
        """What was whole before the fault is delivered."""
        events = StreamFramer().feed(message() + message(length=b"-1") + message())
        self.assertEqual(events[0], MessageFramed(message()))
        self.assertIsInstance(events[1], FramingFailed)
        self.assertEqual(len(events), 2)


class CostTests(SynchronousTestCase):
    def test_linear_at_one_octet_a_read(self) -> None:
        """The cost per octet does not grow with the message, in head and body."""

        def seconds(size: int) -> float:
            data = START + b"X: " + b"x" * size + b"\r\nl: %d\r\n\r\n" % size + b"y" * size
            best = 9.0
            for _ in range(3):
                framer = StreamFramer(max_head=1 << 20, max_body=1 << 20)
                begin = time.process_time()
                self.assertEqual(len(feed_each(framer, data, 1)), 1)
                best = min(best, time.process_time() - begin)
            return best

        self.assertLess(seconds(40_000), 10 * 5 * seconds(4_000))  # squared, it would be 100 times as much

    def test_linear_in_pipelined_messages(self) -> None:
        """Thousands of small messages in one read are not copied for each of them."""
        data = b"\r\n" + message() * 20_000 + b"OPT"
        begin = time.process_time()
        events = StreamFramer().feed(data)
        self.assertEqual(len(events), 20_000)
        self.assertLess(time.process_time() - begin, 2.0)
