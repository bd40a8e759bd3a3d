"""Our names, and the Route values that name us (RFC 3261 sections 16.4 and 16.12)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.messages import request
from voipcluster.errors import ParseError
from voipcluster.sip.proxy.routing import Names, Routed, own_call_token, preprocess_route
from voipcluster.sip.uri import parse_uri

ONE, SIX, OTHER = ("192.0.2.1", 5060), ("2001:db8::1", 5060), ("192.0.2.2", 5060)
NAMES = Names(frozenset([ONE, SIX]), frozenset([ONE, SIX, OTHER]), ("example.com", "example.org"))
BOB = "sip:bob@example.com"


def routed(*routes: str, uri: str = BOB) -> Routed:
    return preprocess_route(request(uri=uri, headers=[f"Route: {route}" for route in routes]), NAMES)


class NamesTests(SynchronousTestCase):
    def test_own(self) -> None:
        """A URI is ours when host and port are, by maddr too; the default port counts (section 16.4)."""
        for uri, own in (
            ("sip:192.0.2.1", True), ("sip:x@192.0.2.1:5060", True), ("sip:[2001:db8::1]", True),
            ("sip:example.net;maddr=192.0.2.1", True), ("sip:192.0.2.1:5070", False), ("sip:192.0.2.2", False),
            ("sips:192.0.2.1", False), ("sip:example.com", False),
        ):  # fmt: skip
            self.assertIs(NAMES.is_own(parse_uri(uri)), own, uri)

    def test_meaning(self) -> None:
        """All that a URI means at once; a long one is not remembered."""
        meaning = NAMES.meaning("sip:%62ob@EXAMPLE.com;x=y")
        self.assertEqual(
            (meaning.domain, meaning.local, meaning.aor), ("example.com", True, "bob@example.com")
        )
        self.assertIs(NAMES.meaning("sip:%62ob@EXAMPLE.com;x=y"), meaning)
        foreign = NAMES.meaning("sip:bob@example.net")
        self.assertEqual((foreign.domain, foreign.local, foreign.aor), (None, False, None))
        long = f"sip:{'b' * 300}@example.com"
        self.assertIsNot(NAMES.meaning(long), NAMES.meaning(long))
        self.assertRaises(ParseError, NAMES.meaning, "sip:")

    def test_default_ports(self) -> None:
        """Without a port, that of the transport counts, as a resolver would take it (RFC 3263 section 4.2)."""
        names = Names(frozenset([("192.0.2.1", 5061), ("192.0.2.1", 80)]), frozenset(), ())
        for uri, own in (
            ("sips:192.0.2.1", True), ("sip:192.0.2.1;transport=tls", True), ("sip:192.0.2.1;transport=ws", True),
            ("sip:192.0.2.1;transport=tcp", False), ("sip:192.0.2.1", False),
        ):  # fmt: skip
            self.assertIs(names.is_own(parse_uri(uri)), own, uri)

    def test_takes_route(self) -> None:
        """A Route value is ours by address, or by a domain with no port or a port of ours (section 16.4)."""
        for uri, ours in (
            ("sip:192.0.2.1", True), ("sip:192.0.2.2", False), ("sip:example.com", True), ("sip:x@EXAMPLE.org:5060", True),
            ("sip:example.com:5070", False), ("sip:example.com;maddr=192.0.2.9", False), ("sip:elsewhere.example", False),
        ):  # fmt: skip
            self.assertIs(NAMES.takes_route(parse_uri(uri)), ours, uri)

    def test_own_maddr(self) -> None:
        """An maddr of ours goes, with port and transport, when the request came by these (section 16.4)."""
        for uri, left in (
            ("sip:bob@x.example;maddr=192.0.2.1", "sip:bob@x.example"),
            ("sip:bob@x.example:5060;a=b;maddr=192.0.2.1;transport=udp", "sip:bob@x.example;a=b"),
            ("sip:bob@x.example;maddr=192.0.2.1;transport=tcp", None),
            ("sip:bob@x.example:5070;maddr=192.0.2.1", None),
            ("sip:bob@x.example;maddr=192.0.2.2", None),
        ):
            self.assertEqual(str(NAMES.without_own_maddr(parse_uri(uri), "UDP", 5060)), left or uri)
        self.assertEqual(str(NAMES.without_own_maddr(parse_uri(uri), "UDP", 5070)), uri)

    def test_aor(self) -> None:
        """Domains of ours and addresses of any node make an address of record, escapes decoded (section 10.3)."""
        for uri, aor in (
            (BOB, "bob@example.com"), ("sip:b%6fb@EXAMPLE.org:5070", "bob@example.org"),
            ("sip:bob@192.0.2.2", "bob@example.com"), ("sip:bob@192.0.2.2:5070", None),
            ("sip:bob@elsewhere.example", None), ("sip:example.com", None),
        ):  # fmt: skip
            self.assertEqual(NAMES.aor(parse_uri(uri)), aor, uri)


class RouteTests(SynchronousTestCase):
    def test_no_route(self) -> None:
        """Without Route nothing changes."""
        self.assertEqual(routed(), Routed(BOB, None, None))

    def test_foreign(self) -> None:
        """A Route of somebody else is left, and is the way on (section 16.6 step 7)."""
        foreign, own = "<sip:192.0.2.9;lr>", "<sip:192.0.2.1;lr>"
        self.assertEqual(routed(foreign), Routed(BOB, None, [foreign]))
        self.assertEqual(routed(f"{foreign}, {own}"), Routed(BOB, None, [foreign, own]))

    def test_own_is_taken_off(self) -> None:
        """The topmost value that names us goes, the others stay, on one line or on several (section 16.4)."""
        for lines in (
            ["<sip:192.0.2.1;lr;call=T>", "<sip:192.0.2.9;lr>"],
            ["<sip:192.0.2.1;lr;call=T>, <sip:192.0.2.9;lr>"],
        ):
            result = routed(*lines)
            self.assertEqual(result.routes, ["<sip:192.0.2.9;lr>"])
            assert result.own is not None
            self.assertEqual(result.own.param("call"), "T")

    def test_double_record_route(self) -> None:
        """Two values of ours with one token are both taken off (RFC 5658 section 5)."""
        result = routed(
            "<sip:192.0.2.1;lr;transport=tcp;call=T>", "<sip:[2001:db8::1];lr;call=T>", "<sip:x.example;lr>"
        )
        self.assertEqual(result.routes, ["<sip:x.example;lr>"])

    def test_named_node(self) -> None:
        """One with the token and a node's name is ours at an address that we do not know; without one of the two it is not."""
        other = "<sip:[2001:db8::9]:5060;lr;call=T;node=a>"
        self.assertEqual(routed("<sip:192.0.2.1;lr;call=T>", other).routes, [])
        self.assertEqual(routed("<sip:192.0.2.1;lr;call=U>", other).routes, [other])
        self.assertEqual(
            routed("<sip:192.0.2.1;lr>", "<sip:192.0.2.9;lr;node=a>").routes, ["<sip:192.0.2.9;lr;node=a>"]
        )
        self.assertIsNone(routed(other).own)

    def test_spiral(self) -> None:
        """Two values of ours with two tokens belong to two passes through us: one is taken off (section 16.4)."""
        result = routed("<sip:192.0.2.1;lr;call=T>", "<sip:192.0.2.1;lr;call=U>")
        self.assertEqual(result.routes, ["<sip:192.0.2.1;lr;call=U>"])

    def test_never_three(self) -> None:
        """Of three equal values with a token one is left."""
        self.assertEqual(routed(*["<sip:192.0.2.1;lr;call=T>"] * 3).routes, ["<sip:192.0.2.1;lr;call=T>"])

    def test_many_without_a_token(self) -> None:
        """A list of our own address goes round not even once (S20)."""
        values = [*["<sip:192.0.2.1;lr>"] * 70, "<sip:x.example;lr>"]
        self.assertEqual(routed(*values).routes, ["<sip:x.example;lr>"])

    def test_strict_router(self) -> None:
        """A Request-URI that is our Record-Route value: the true one is the last Route (section 16.4)."""
        result = routed("<sip:192.0.2.9;lr>", f"<{BOB}>", uri="sip:192.0.2.1;lr;call=T")
        self.assertEqual((result.uri, result.routes), (BOB, ["<sip:192.0.2.9;lr>"]))
        assert result.own is not None
        self.assertEqual(result.own.param("call"), "T")

    def test_broken(self) -> None:
        """A Route value that is none is 400."""
        self.assertRaises(ParseError, routed, "<tel:+1>")
        self.assertRaises(ParseError, routed, "<sip:[>")


class ShortWayTests(SynchronousTestCase):
    """C{own_call_token} says the same as L{preprocess_route} where it says anything."""

    def test_ours(self) -> None:
        """One Route, as we wrote it in Record-Route, needs no parsing."""
        for route in ("<sip:192.0.2.1:5060;lr;call=aB-_9>", "<sip:[2001:db8::1]:5060;lr;call=aB-_9>"):
            asked = request(uri="sip:bob@192.0.2.7", headers=[f"Route: {route}"])
            self.assertEqual(own_call_token(asked, NAMES), "aB-_9")
            long = preprocess_route(asked, NAMES)
            assert long.own is not None
            self.assertEqual((long.own.param("call"), long.routes, long.uri), ("aB-_9", [], asked.uri))

    def test_others(self) -> None:
        """Whatever is not exactly that takes the long way."""
        ours = "<sip:192.0.2.1:5060;lr;call=aB>"
        for uri, *routes in (
            (BOB,), (BOB, ours, ours), (BOB, f"{ours}, {ours}"), (BOB, f"{ours};x=1"), (BOB, f'"x" {ours}'),
            ("sip:192.0.2.1:5060;lr", ours), (BOB, "<sip:192.0.2.2:5060;lr;call=aB>"), (BOB, "<sip:192.0.2.1:5060;lr>"),
            (BOB, "<sip:192.0.2.1:5060;lr;flow=aB>"), (BOB, "<sip:192.0.2.1:5060;lr;call=>"),
            (BOB, "<sip:192.0.2.1:5060;lr;call=aB;call=aC>"), (BOB, "<sip:192.0.2.1:5060;lr;call=aB"),
            (BOB, "<sip:192.0.2.1;lr;call=aB>"), (BOB, "<sip:192.0.2.1:5060;transport=tcp;lr;call=aB>"),
        ):  # fmt: skip
            asked = request(uri=uri, headers=[f"Route: {route}" for route in routes])
            self.assertIsNone(own_call_token(asked, NAMES), routes)
