"""Learned orders of headers: what parsing by them gives is what parsing line by line gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip import layout
from voipcluster.sip.layout import Layout, layout_of, learn, learned
from voipcluster.sip.message import MalformedMessage, parse

_LINES = [
    b"Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKa", b"v: SIP/2.0/UDP 192.0.2.11;branch=z9hG4bKb", b"Max-Forwards: 70",
    b"From: <sip:a@example.com>;tag=1", b"f:<sip:a@example.com>;tag=1", b"To: <sip:b@example.com>", b"To : <sip:b@x>",
    b"Call-ID: 1", b"CALL-ID: 1", b"CSeq: 1 INVITE", b"Contact: <sip:a@192.0.2.10>", b"Route: <sip:r;lr>", b" a fold",
    b"X-CR: a\rb", b"X-LF: a\nTo: b",
    b"Content-Length: 0", b"l: 0", b"X-Odd: Via: x", b"Viaduct: 1", b"no header", b":", b"",
]  # fmt: skip


class LayoutTests(SynchronousTestCase):
    def setUp(self) -> None:
        learned.clear()

    def test_where_headers_are(self) -> None:
        """The first line of a header, all of them, and what every message is asked for."""
        made = Layout(("via", "via", "to", "route", "content-length"))
        self.assertEqual((made.at["via"], made.indexes("via"), made.indexes("from")), (0, (0, 1), ()))
        self.assertEqual((made.via, made.vias, made.only_route, made.content_length), (0, 2, 3, 4))
        self.assertEqual(made.copied, (0, 1, 2))
        self.assertEqual(Layout(("route", "timestamp", "route")).only_route, -1)
        self.assertEqual(Layout(("route", "timestamp", "route")).copied_to_100, (1,))

    def test_flaws(self) -> None:
        """What a request needs it has once (RFC 3261 section 16.3)."""
        self.assertEqual(Layout(("from", "to", "call-id", "via", "via")).flaw, "")
        self.assertEqual(Layout(("from", "to", "call-id", "from")).flaw, "more than one from")
        self.assertEqual(Layout(("from", "to")).flaw, "From, To or Call-ID is missing")

    def test_the_next_message_has_the_same_layout(self) -> None:
        """An order is learned once; another name in the same place is another layout."""
        data = b"OPTIONS sip:x@y SIP/2.0\r\nVia: 1\r\nTo: 2\r\n\r\n"
        first = parse(data)
        self.assertIs(parse(data.replace(b"1", b"another value")).layout, first.layout)
        other = parse(data.replace(b"To:", b"Too:"))
        self.assertEqual(other.keys, ("via", "too"))
        self.assertIs(parse(data).layout, first.layout)

    def test_pattern(self) -> None:
        """An order that comes often gets a pattern; what a value or another order may be is the same with it."""
        data = b"OPTIONS sip:x@y SIP/2.0\r\nVia: 1\r\nX+*: \xff\x00\r\nTo: 2\r\n\r\n"
        met = [parse(data).layout for _ in range(layout.OFTEN + 1)][-1]
        self.assertEqual((met.met, met.fits is not None), (layout.OFTEN, True))
        self.assertIs(parse(data.replace(b"1", b"")).layout, met)
        self.assertIs(parse(data.replace(b": 2", b":X+*: 2 ")).layout, met)
        self.assertIsNot(parse(data.replace(b"X+*", b"X+")).layout, met)
        self.assertEqual(parse(data.replace(b"To: 2", b"To: 2\r\n more")).lines[2], b"To: 2\r\n more")
        for broken in (b"\r", b"\n", b"\n\r", b"2\rTo: 2", b"2\nTo: 2"):
            error = self.assertRaises(MalformedMessage, parse, data.replace(b"2\r\n", broken + b"\r\n"))
            self.assertEqual(str(error), "a CR or LF alone")
            self.assertRaises(MalformedMessage, parse, data.replace(b"OPTIONS ", b"OPTIONS" + broken))
        self.assertIs(parse(data).layout, met)
        self.assertEqual([len(alike) for alike in learned.values()], [2])

    def test_orders_that_change_get_no_pattern(self) -> None:
        """Making patterns costs time, which nobody can make us spend with a few messages of each order."""
        for number in range(layout._KINDS):
            for _ in range(layout.OFTEN):
                made = parse(b"OPTIONS sip:x@y SIP/2.0\r\nX-%d: 1\r\n\r\n" % number).layout
            self.assertIsNone(made.fits)

    def test_memory_is_bounded(self) -> None:
        """Neither many orders of one kind nor many kinds fill the memory."""
        for number in range(3 * layout._ALIKE):
            learn(b"INVITE", [b"X-%d: 1" % number], [f"x-{number}"])
        self.assertEqual(len(learned[1, b"INVI"]), layout._ALIKE)
        for number in range(2 * layout._KINDS):
            learn(b"%04d" % number, [b"X: 1"], ["x"])
        self.assertLessEqual(len(learned), layout._KINDS)

    def test_monstrous_messages_are_not_learned(self) -> None:
        """A stranger chooses names and number of headers: what no user agent sends is parsed and forgotten."""
        for lines in ([b"X" * 60000 + b": 1"], [b"X-%d: 1" % n for n in range(layout._MOST_LINES + 1)]):
            data = b"\r\n".join([b"OPTIONS sip:x@y SIP/2.0", *lines, b"", b""])
            first = parse(data)
            self.assertEqual((parse(data).keys, learned), (first.keys, {}))
        usual = [b"X-%d: 1" % n for n in range(layout._MOST_LINES)]
        parse(b"\r\n".join([b"OPTIONS sip:x@y SIP/2.0", *usual, b"", b""]))
        self.assertEqual(len(learned), 1)

    def test_own_messages_share_a_layout(self) -> None:
        """What we make ourselves has few layouts."""
        self.assertIs(layout_of(("via", "to")), layout_of(("via", "to")))

    @given(
        st.lists(st.lists(st.sampled_from(_LINES), max_size=6), min_size=2, max_size=8),
        st.sampled_from([1, layout.OFTEN]),
    )
    def test_as_line_by_line(self, messages: list[list[bytes]], often: int) -> None:
        """Whatever came before, a message is parsed as if it were the first one."""
        self.patch(layout, "OFTEN", often)
        learned.clear()
        for lines in messages * 3:
            data = b"\r\n".join([b"INVITE sip:b@example.com SIP/2.0", *lines, b"", b""])
            after_others = _parsed(data)
            kept = dict(learned)
            learned.clear()
            alone = _parsed(data)
            learned.update(kept)
            self.assertEqual(after_others, alone)


def _parsed(data: bytes) -> object:
    try:
        message = parse(data)
    except MalformedMessage as error:
        return str(error), error.status_hint, None if error.request is None else error.request.lines
    return message.keys, message.lines, message.layout.flaw
