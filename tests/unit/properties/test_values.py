"""Header values and URIs in all their spellings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.properties import digest, values
from tests.unit.strategies import damaged, name_addrs, params, plain_vias, uris, vias
from voipcluster.errors import ParseError
from voipcluster.sip.route import route_uri
from voipcluster.sip.values import Via, parse_via

CREDENTIALS = (
    'Digest username="alice", realm="example.com", nonce="n", uri="sip:example.com", response="0a", '
    'qop=auth, nc=00000001, cnonce="c"',
    'digest username*=UTF-8\'\'J%C3%A4s, realm="example.com" ,nonce="n", uri="x", response="0", algorithm=SHA-256',
    'Digest realm="exa\\"mple", nonce="n", algorithm=MD5, qop="auth,auth-int", opaque="o", stale=TRUE',
    'Digest realm="example.com", nonce="n"',
)
ROUTES = st.sampled_from(
    [
        "<sip:192.0.2.1:5060;lr;call=AbC_-9>",
        "<sip:[2001:db8::1]:5060;lr;transport=tcp;flow=x>",
        "<sip:1.2.3.4.5:99999;lr>",
        "<sip:[::::]:1;lr>",
        "<sip:192.0.2.1:0;lr>",
    ]
)


def octets(whole: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    """Valid ones, and damaged ones."""
    encoded = whole.map(lambda text: text.replace("\r\n", "").encode())
    return encoded | damaged(encoded)


class GeneratedValueTests(SynchronousTestCase):
    @given(octets(uris()))
    def test_uris(self, data: bytes) -> None:
        """A URI is written as it is read, and equals itself (19.1.4)."""
        values.check_uri(data)

    @given(octets(name_addrs(tag=True)))
    def test_name_addrs(self, data: bytes) -> None:
        """The short way to the URI of an address gives that of the long one."""
        values.check_name_addr(data)

    @given(octets(vias()))
    def test_vias(self, data: bytes) -> None:
        """A Via is written as it is read, and takes the source of the message (18.2.1)."""
        values.check_via(data)

    @given(octets(plain_vias()))
    def test_plain_vias(self, data: bytes) -> None:
        """What is read by a pattern is what the whole grammar reads."""
        values.check_via(data)

    @given(octets(st.lists(name_addrs() | vias(), max_size=4).map(",".join)))
    def test_lists(self, data: bytes) -> None:
        """A list is split where its values end, and nowhere else (7.3.1)."""
        values.check_list(data)

    @given(octets(params(4)))
    def test_parameters(self, data: bytes) -> None:
        """Parameters are read from what was written of them."""
        values.check_params(data)
        values.check_quoted(data)

    @given(octets(ROUTES | uris().map("<{}>".format)))
    def test_routes(self, data: bytes) -> None:
        """The pattern for our own Route values says what the grammar says, also of what only looks like one."""
        values.check_route(data)

    @given(octets(st.sampled_from(CREDENTIALS)))
    def test_digest(self, data: bytes) -> None:
        """Credentials and challenges are understood or a ParseError; nobody gets in by damaging some."""
        digest.check_credentials(data)
        digest.check_challenge(data)


class FoundTests(SynchronousTestCase):
    def test_a_parameter_without_a_value(self) -> None:
        """C{;rport=} is no parameter, however the rest of the Via is written (25.1, RFC 3581 section 3)."""
        for value in (
            "SIP/2.0/UDP h;rport=",
            " SIP/2.0/UDP h;rport=",
            "SIP/2.0/UDP h;x=;branch=b",
            "SIP/2.0/UDP h ;x=",
        ):
            self.assertRaises(ParseError, parse_via, value)
        self.assertEqual(parse_via("SIP/2.0/UDP h;rport"), Via("UDP", "h", None, (("rport", None),)))

    def test_a_route_that_only_looks_like_ours(self) -> None:
        """A port or an address that is none is refused in our own spelling too, and goes into no socket call."""
        for value in (
            "<sip:192.0.2.1:0;lr>",
            "<sip:192.0.2.1:65536;lr>",
            "<sip:[::::]:1;lr>",
            "<sip:[12345::]:1;lr;call=x>",
        ):
            self.assertRaises(ParseError, route_uri, value)
        self.assertEqual(route_uri("<sip:[2001:db8::1]:5060;lr;call=x>").param("call"), "x")
