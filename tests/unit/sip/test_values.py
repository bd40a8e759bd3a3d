"""Typed header values (RFC 3261 sections 20 and 25.1)."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import ParseError
from voipcluster.sip.values import (
    RPORT_ASKED,
    NameAddr,
    Via,
    format_params,
    parse_name_addr,
    parse_params,
    parse_via,
    quote,
    split_list,
    unquote,
)

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
TOKEN = st.from_regex(r"[a-z0-9+.-]{1,8}", fullmatch=True)
PARAMS = st.lists(st.tuples(TOKEN, st.one_of(st.none(), TEXT)), max_size=4).map(tuple)
SPICY = st.one_of(st.text(max_size=60), st.text('<>";,=:@\\ \tsip/2.0[]aUDP', max_size=60))


class RoundTripTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(TEXT)
    def test_quoting(self, text: str) -> None:
        """A quoted-string gives its text back, quotes and backslashes included."""
        self.assertEqual(unquote(quote(text)), text)

    @settings(max_examples=200, deadline=None)
    @given(PARAMS)
    def test_parameters(self, params: tuple[tuple[str, str | None], ...]) -> None:
        """Parameters are parsed from their own text."""
        self.assertEqual(parse_params(format_params(params)), params)

    def test_a_bracket_needs_quotes_unless_it_is_an_address(self) -> None:
        """A value that begins like an IPv6 reference cannot bring parameters of its own along."""
        for value, text in (("[::1]", ";a=[::1]"), ("[;b=1", ';a="[;b=1"'), ("[]", ';a="[]"')):
            self.assertEqual(format_params((("a", value),)), text)
            self.assertEqual(parse_params(text), (("a", value),))

    @settings(max_examples=200, deadline=None)
    @given(TEXT.map(str.strip), PARAMS)
    def test_name_addr(self, display: str, params: tuple[tuple[str, str | None], ...]) -> None:
        """A name-addr is parsed from its own text, also out of a list."""
        value = NameAddr("sip:a@example.com;x=1,2?y=z", display, params)
        self.assertEqual(parse_name_addr(str(value)), value)
        self.assertEqual(split_list(f"{value}, {value},<sip:c>"), [str(value), str(value), "<sip:c>"])

    @settings(max_examples=150, deadline=None)
    @given(SPICY, st.sampled_from([parse_name_addr, parse_via, parse_params, split_list]))
    def test_any_text_is_parsed_or_a_parse_error(self, text: str, parse: Callable[[str], object]) -> None:
        """No text raises anything but ParseError, neither at once nor when the value is used."""
        try:
            value = parse(text)
        except ParseError:
            return
        str(value)
        if isinstance(value, Via):
            self.assertIsInstance(value.rport, int | None)
            str(value.with_source("192.0.2.1", 5060))


class ListTests(SynchronousTestCase):
    def test_commas_in_quotes_and_brackets_do_not_split(self) -> None:
        """Only the commas between values do (7.3.1)."""
        self.assertEqual(
            split_list('"A, \\"B" <sip:a,b@h>;x="1,2" ,, <sip:c>,sip:d'),
            ['"A, \\"B" <sip:a,b@h>;x="1,2"', "<sip:c>", "sip:d"],
        )
        self.assertEqual(split_list("a, b,,c "), ["a", "b", "c"])
        self.assertEqual(split_list(""), [])

    def test_unbalanced_quotes(self) -> None:
        """A quote without its end is an error, not a guess (RFC 4475 section 3.1.2.6)."""
        with self.assertRaises(ParseError):
            split_list('"Mr. J. User <sip:a@h>, x')


class NameAddrTests(SynchronousTestCase):
    def test_parameters_without_brackets_are_the_headers(self) -> None:
        """RFC 4475 sections 3.3.12 and 3.3.13."""
        bare = parse_name_addr("sip:+19725552222@gw1.example.net;unknownparam")
        self.assertEqual(
            (bare.uri, bare.params), ("sip:+19725552222@gw1.example.net", (("unknownparam", None),))
        )
        inside = parse_name_addr("<sip:+19725552222@gw1.example.net;unknownparam>")
        self.assertEqual((inside.uri, inside.params), ("sip:+19725552222@gw1.example.net;unknownparam", ()))

    def test_white_space_around_parameters(self) -> None:
        """RFC 4475 section 3.1.1.1."""
        value = parse_name_addr("sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n")
        self.assertEqual(
            (value.uri, value.param("tag")), ("sip:vivekg@chair-dnrc.example.com", "1918181833n")
        )

    def test_display_names(self) -> None:
        """Quoted, of tokens, and with nothing in front of the bracket (RFC 4475 section 3.1.1.6)."""
        for text, display in (
            ('"J Rosenberg \\\\\\"" <sip:a@h>', 'J Rosenberg \\"'), ("caller<sip:a@h>;tag=1", "caller"),
            ("Mr Watson <sip:a@h>", "Mr Watson"), ('"" <sip:a@h>', ""),
        ):  # fmt: skip
            self.assertEqual(parse_name_addr(text).display, display)

    def test_refused(self) -> None:
        """Neither name-addr nor addr-spec."""
        for text in (
            "",
            '"x" sip:a@h',
            "<sip:a@h",
            "<sip:a@h> junk",
            "sip:a b@h",
            '"x <sip:a@h>',
            "<sip:a>;=1",
        ):
            with self.assertRaises(ParseError, msg=text):
                parse_name_addr(text)


class ViaTests(SynchronousTestCase):
    def test_parts(self) -> None:
        """White space around the slashes and the colon, names in any case (RFC 4475 section 3.1.1.1)."""
        via = parse_via(
            "SIP  / 2.0\t/ TcP  SPINDLE.example.com : 5061 ;  branch  =   z9hG4bK9ikj8 ; rport;ttl=3"
        )
        self.assertEqual((via.transport, via.host, via.port), ("TCP", "spindle.example.com", 5061))
        self.assertEqual((via.branch, via.rport, via.param("ttl")), ("z9hG4bK9ikj8", RPORT_ASKED, "3"))

    def test_received(self) -> None:
        """The brackets that are not in the grammar are tolerated and not given on (RFC 5118 section 4.5)."""
        for text in ("2001:db8::9:255", "[2001:db8::9:255]"):
            via = parse_via(f"SIP/2.0/UDP [2001:db8::9:1];received={text};branch=z9hG4bKas3-111")
            self.assertEqual((via.host, via.received), ("2001:db8::9:1", "2001:db8::9:255"))

    def test_source_is_noted(self) -> None:
        """received when the address differs or rport was asked for (18.2.1, RFC 3581 section 4)."""
        asked = parse_via("SIP/2.0/UDP 10.0.0.1;rport;branch=z9hG4bKx")
        self.assertEqual(
            str(asked.with_source("192.0.2.1", 999)),
            "SIP/2.0/UDP 10.0.0.1;rport=999;branch=z9hG4bKx;received=192.0.2.1",
        )
        same = parse_via("SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx;received=6.6.6.6")
        self.assertEqual(str(same.with_source("10.0.0.1", 999)), "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx")

    def test_a_noted_ipv6_source_has_neither_brackets_nor_quotes(self) -> None:
        """via-received of section 25.1 is a bare address."""
        via = parse_via("SIP/2.0/UDP host;branch=z9hG4bKx").with_source("2001:db8::1", 5060)
        self.assertEqual(str(via), "SIP/2.0/UDP host;branch=z9hG4bKx;received=2001:db8::1")

    def test_parameters_of_others_are_written_as_they_came(self) -> None:
        """A proxy in front of us may look for its own value again."""
        text = 'SIP/2.0/UDP h:5060;branch=z9hG4bKx;i="a;b";token=abc/==;keep'
        self.assertEqual(str(parse_via(text)), text)

    def test_a_semicolon_at_the_end(self) -> None:
        """Some write one; it says nothing."""
        self.assertEqual(parse_via("SIP/2.0/UDP h;branch=x ; "), parse_via("SIP/2.0/UDP h;branch=x"))

    def test_rport_of_thousands_of_digits(self) -> None:
        """An rport that is no port is as if it was asked for, and costs nothing."""
        for digits in ("9" * 6000, "65536", "0", "-1", "x"):
            self.assertEqual(parse_via(f"SIP/2.0/UDP h;rport={digits}").rport, RPORT_ASKED)
        self.assertEqual(parse_via("SIP/2.0/UDP h;rport=65535").rport, 65535)

    def test_refused(self) -> None:
        """No via-parm."""
        for text in (
            "",
            ";",
            "SIP/2.0/UDP",
            "SIP/2.0 h",
            "SIP/2.0/UDP h:0",
            "SIP/2.0/UDP h:99999",
            "SIP/2.0/UDP [::g]",
            "SIP/2.0/UDP h;;",
            "SIP/2.0/UDP h;branch=x;;rport",
        ):
            with self.assertRaises(ParseError, msg=text):
                parse_via(text)
