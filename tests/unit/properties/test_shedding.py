"""A refusal that is made unread is what the parser's answer would have been, however odd but legal the request is."""

from __future__ import annotations

from hypothesis import event, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.properties.test_message import TORTURE
from tests.unit.strategies import damaged, name_addrs, ports, requests, tokens
from voipcluster.address import Flow
from voipcluster.errors import PeerError
from voipcluster.services.transaction.runners import response_flow
from voipcluster.sip.message import Request, Response, parse
from voipcluster.sip.outgoing import reply
from voipcluster.sip.shedding import glance, refusal
from voipcluster.sip.transaction.matching import server_key
from voipcluster.sip.values import Via, parse_name_addr, parse_via

HERE = ("192.0.2.9", 5060)
SOURCES = st.sampled_from(["192.0.2.1", "192.0.2.77", "198.51.100.7", "2001:db8::1"])
NAMES = {
    "Via": ("Via", "v", "VIA", "via"), "From": ("From", "f", "FROM"), "To": ("To", "t", "TO", "to"),
    "Call-ID": ("Call-ID", "i", "Call-Id", "CALL-ID"), "CSeq": ("CSeq", "CSEQ", "Cseq", "cseq"),
}  # fmt: skip
_PARAMS = (
    ";received=192.0.2.44", ";alias", ";ttl=1", ";maddr=192.0.2.8", ";rportal", ";keep=30", ';x="a;b,c"', ";oc",
    ';oc-algo="loss,rate"', ";y=z",
)  # fmt: skip


@st.composite
def usual_vias(draw: st.DrawFn) -> str:
    """Via values as clients write them."""
    host = draw(st.sampled_from(["192.0.2.1", "192.0.2.77", "phone.example.com", "HOST-1"]))
    text = f"SIP/2.0/{draw(st.sampled_from(['UDP', 'TCP', 'TLS', 'udp']))} {host}"
    text += draw(st.just("") | ports.map(lambda port: f":{port}"))
    some = draw(st.permutations(_PARAMS))[: draw(st.integers(0, 4))]
    at = draw(st.integers(0, len(some)))
    some.insert(at, f";branch=z9hG4bK{draw(tokens)}")
    if draw(st.booleans()):
        some.insert(draw(st.integers(0, len(some))), draw(st.sampled_from([";rport", ";rport=5"])))
    return text + "".join(some)


@st.composite
def usual_requests(draw: st.DrawFn) -> bytes:
    """New requests, such that most can be refused unread: all orders, names and spaces."""
    method = draw(st.sampled_from(["INVITE", "REGISTER", "OPTIONS", "MESSAGE", "SUBSCRIBE", "PUBLISH"]))
    vias = st.lists(usual_vias(), min_size=1, max_size=2).map(", ".join)
    values = [
        ("Via", draw(vias)),
        ("From", draw(name_addrs()) + f";tag={draw(tokens)}"),
        ("To", draw(name_addrs())),
        ("Call-ID", draw(tokens)),
        ("CSeq", f"{draw(st.integers(0, 2**31 - 1))} {method}"),
    ]
    more = draw(st.lists(usual_vias(), max_size=2))
    head = draw(st.permutations([*values, *(("Via", via) for via in more)]))
    lines = [
        f"{draw(st.sampled_from(NAMES[name]))}{draw(st.sampled_from([': ', ':', ':  ']))}{value}"
        for name, value in head
    ]
    lines += draw(
        st.lists(
            st.sampled_from(["Subject: To: x;tag=1", "Max-Forwards: 70", "X-Via: v: 1", "Expires: 0"]),
            max_size=3,
        )
    )
    lines = draw(st.permutations(lines)) if draw(st.booleans()) else lines
    return "\r\n".join(
        [f"{method} sip:bob@example.com SIP/2.0", *lines, "Content-Length: 0", "", ""]
    ).encode()


def true_source(via: Via, host: str, port: int) -> Via | None:
    """As L{voipcluster.services.transaction.transactions.TransactionService} completes a Via."""
    if via.host == host and (via.is_plain or (via.param("rport") is None and via.received is None)):
        return None
    return via.with_source(host, port)


def answered(request: Request, flow: Flow, tag: str) -> tuple[Response, int]:
    """What the transaction layer says with the parser's help, and the port that it goes to."""
    received = true_source(request.top_via, *flow.remote)
    made = parse(reply(request, 503, "Service Unavailable", tag, (), b"", received).to_bytes())
    assert isinstance(made, Response)
    return made, response_flow(request.top_via, received, flow).remote[1]


class RefusalTests(SynchronousTestCase):
    def check(self, data: bytes, source: tuple[str, int]) -> bool:
        """Whether it can be refused unread; then the answer is right, or there is none that the parser could give."""
        seen = glance(data)
        if seen is None:
            return False
        made = refusal(seen, source, b"mark")
        try:
            request = parse(data)
            assert isinstance(request, Request)
            key = server_key(request)
            expected, port = answered(request, Flow("UDP", HERE, source), "")
        except PeerError:
            return False  # it would get 400, or nothing
        response = parse(made.wire)
        assert isinstance(response, Response)
        self.assertEqual(seen.key, key)
        tag = response.to_tag
        assert tag is not None
        self.assertTrue(tag.startswith("mark"))
        expected, port = answered(request, Flow("UDP", HERE, source), tag)
        self.assertEqual((response.status, response.reason), (expected.status, expected.reason))
        ours, theirs = response.values("via"), expected.values("via")
        self.assertEqual(ours[1:], theirs[1:])
        self.assertEqual(_via(ours[0]), _via(theirs[0]))
        for name in ("from", "to"):
            mine, its = (parse_name_addr(message.values(name)[0]) for message in (response, expected))
            self.assertEqual((mine.uri, mine.display), (its.uri, its.display))
            self.assertEqual(sorted(mine.params), sorted(its.params))
        self.assertEqual(
            (response.call_id, response.cseq, response.cseq_method),
            (expected.call_id, expected.cseq, seen.method),
        )
        self.assertEqual(made.port, port)
        return True

    @given(usual_requests(), SOURCES, ports)
    def test_usual_ones(self, data: bytes, host: str, port: int) -> None:
        event("refused unread" if self.check(data, (host, port)) else "left to the parser")

    @given(requests(), SOURCES, ports)
    def test_all_spellings(self, data: bytes, host: str, port: int) -> None:
        self.check(data, (host, port))

    @given(damaged(usual_requests() | requests() | st.sampled_from(TORTURE)), SOURCES)
    def test_damaged_ones(self, data: bytes, host: str) -> None:
        """Whatever is broken, nothing fails, and what the parser would read is answered as it would."""
        self.check(data, (host, 5060))

    def test_most_are_refused_unread(self) -> None:
        """Else nothing above would say anything."""
        found = []

        @given(usual_requests())
        def count(data: bytes) -> None:
            found.append(self.check(data, ("198.51.100.7", 40000)))

        count()
        self.assertGreater(sum(found), len(found) / 8)


def _via(value: str) -> tuple[object, ...]:
    """A Via without the order of its parameters, which says nothing, and without what concerns overload control."""
    via = parse_via(value)
    return (
        via.transport,
        via.host,
        via.port,
        sorted((name, text or "") for name, text in via.params if not name.startswith("oc")),
    )
