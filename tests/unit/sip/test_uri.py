"""SIP and SIPS URIs (RFC 3261 section 19.1)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import ParseError
from voipcluster.sip.uri import SipUri, parse_uri, scheme_of, unescape

USER = st.text("abcXYZ0189-_.!~*'()&=+$,;?/", min_size=1, max_size=12)
HOST = st.one_of(
    st.from_regex(r"[a-z0-9]{1,8}(\.[a-z]{2,5}){0,2}", fullmatch=True),
    st.ip_addresses().map(str),
)
TOKEN = st.from_regex(r"[a-z0-9-]{1,8}", fullmatch=True)
PARAMS = st.lists(st.tuples(TOKEN, st.one_of(st.none(), TOKEN)), max_size=4).map(tuple)
URIS = st.builds(
    SipUri,
    scheme=st.sampled_from(["sip", "sips"]),
    host=HOST,
    user=st.one_of(st.none(), USER),
    port=st.one_of(st.none(), st.integers(1, 65535)),
    params=PARAMS,
    headers=st.sampled_from(["", "Subject=x", "Route=%3Csip:a%3E&Priority=urgent"]),
)


class ParseTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(URIS)
    def test_text_and_uri_are_inverse(self, uri: SipUri) -> None:
        """Each URI is parsed from its own text (section 25.1)."""
        self.assertEqual(parse_uri(str(uri)), uri)
        self.assertTrue(uri.equivalent(parse_uri(str(uri))))

    @settings(max_examples=150, deadline=None)
    @given(
        st.one_of(st.text(max_size=60), st.text('sip:@;=?[]%&.19a<>" \r\n', max_size=40).map("sip:".__add__))
    )
    def test_any_text_is_a_uri_or_a_parse_error(self, text: str) -> None:
        """No text raises anything but ParseError, with 400 or 416 (section 8.2.2.1)."""
        try:
            uri = parse_uri(text)
        except ParseError as error:
            self.assertIn(error.status_hint, (400, 416))
            return
        self.assertNotIn("\n", str(uri))
        uri.aor()

    def test_parts(self) -> None:
        """Parameters behind the host are those of the URI; ; ? / before the @ belong to the user (19.1.1)."""
        uri = parse_uri(
            "SIP:user;par=u%40example.net:secret@[2001:DB8::1]:5070;Transport=TCP;lr?Subject=a%20b"
        )
        self.assertEqual((uri.scheme, uri.user, uri.password), ("sip", "user;par=u%40example.net", "secret"))
        self.assertEqual((uri.host, uri.port, uri.headers), ("2001:db8::1", 5070, "Subject=a%20b"))
        self.assertEqual(uri.param("transport"), "TCP")
        self.assertEqual(uri.param("lr"), "")
        self.assertIsNone(uri.param("ttl"))
        self.assertTrue(uri.has_param("lr"))

    def test_a_port_in_the_last_group_is_an_address(self) -> None:
        """What looks like a port within the brackets is a part of the address (RFC 5118 section 4.3)."""
        uri = parse_uri("sip:[2001:db8::10:5070]")
        self.assertEqual((uri.host, uri.port), ("2001:db8::10:5070", None))

    def test_an_extra_colon_goes_away(self) -> None:
        """[2001:db8:::192.0.2.1] is taken for what was meant (RFC 5118 section 4.10)."""
        self.assertEqual(parse_uri("sip:[2001:db8:::192.0.2.1]").host, "2001:db8::192.0.2.1")

    def test_refused(self) -> None:
        """Broken URIs are 400, URIs of other schemes 416."""
        for text in (
            "", "sip:", "sip:@h", "sip:2001:db8::10", "sip:a@[1.2.3.4]", "sip:a@[::1", "sip:a@h:0", "sip:a@h:65536",
            "sip:a b@h", "sip:a%4@h", "sip:a@h ", "<sip:a@h>", "sip:a@b@c", "sip:h\r\nX: y", "noscheme",
            "sip:h;x=\x00", "sip:h?x=\x7f", "sip:\u212aelvin", "\u017fip:h",
        ):  # fmt: skip
            with self.assertRaises(ParseError, msg=text) as caught:
                parse_uri(text)
            self.assertEqual(caught.exception.status_hint, 400, text)
        for text in ("tel:+491234", "soap.beep://192.0.2.103:3002", "nobodyKnowsThisScheme:x"):
            with self.assertRaises(ParseError) as caught:
                parse_uri(text)
            self.assertEqual(caught.exception.status_hint, 416)

    def test_long_text_costs_linear_time(self) -> None:
        """A hostile URI of 60 kB is refused without backtracking through all splits of it."""
        for text in (
            "sip:" + "a;" * 30_000 + "\x00",
            "sip:" + "a" * 60_000 + "@" * 2,
            "sip:h" + ";=" * 30_000 + '"',
        ):
            with self.assertRaises(ParseError):
                parse_uri(text)

    def test_scheme(self) -> None:
        """The scheme of any URI, in lower case."""
        self.assertEqual([scheme_of(u) for u in ("TEL:+1", "sip:a", "//x", "")], ["tel", "sip", "", ""])


class EquivalenceTests(SynchronousTestCase):
    """The examples of RFC 3261 section 19.1.4."""

    def test_equivalent(self) -> None:
        """Each pair means the same resource."""
        for ours, theirs in (
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
                "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            ),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
            ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0:0::1]"),  # RFC 5954 section 4.2
        ):
            self.assertTrue(parse_uri(ours).equivalent(parse_uri(theirs)), (ours, theirs))
            self.assertTrue(parse_uri(theirs).equivalent(parse_uri(ours)), (ours, theirs))

    def test_not_equivalent(self) -> None:
        """Case of the user, ports, transports, headers and schemes matter."""
        for ours, theirs in (
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:bob@biloxi.com", "sips:bob@biloxi.com"),
            ("sip:biloxi.com", "sip:@biloxi.com".replace("@", "x@")),
            ("sip:%00@h", "sip:%00%00@h"),
        ):
            self.assertFalse(parse_uri(ours).equivalent(parse_uri(theirs)), (ours, theirs))


class UseTests(SynchronousTestCase):
    def test_address_of_record(self) -> None:
        """No parameters, escapes of ordinary characters decoded, others kept (10.3 step 5; RFC 4475 3.1.1.4)."""
        self.assertEqual(parse_uri("sips:%61lice:pw@EXAMPLE.com:5061;x=y?a=b").aor(), "alice@example.com")
        self.assertEqual(parse_uri("sip:null-%00-null@example.com").aor(), "null-%00-null@example.com")
        self.assertEqual(unescape("value%25%34%31"), "value%2541")

    def test_parameters_are_set_and_removed(self) -> None:
        """A parameter that is set replaces the one of its name."""
        uri = parse_uri("sip:a@h;lr;x=1")
        self.assertEqual(str(uri.with_param("x", "2").without_params("lr")), "sip:a@h;x=2")

    def test_request_uri(self) -> None:
        """A Request-URI has neither a method parameter nor headers (19.1.1 table 1)."""
        self.assertEqual(str(parse_uri("sip:a@h;method=BYE;x?Route=%3Csip:e%3E").request_uri()), "sip:a@h;x")

    def test_transport(self) -> None:
        """The transport that a URI asks for."""
        for text, transport in (
            ("sip:h", "UDP"), ("sip:h;transport=tcp", "TCP"), ("sips:h", "TLS"), ("sips:h;transport=tcp", "TLS"),
            ("sips:h;transport=ws", "WSS"), ("sip:h;transport=ws", "WS"),
        ):  # fmt: skip
            self.assertEqual(parse_uri(text).transport, transport)
