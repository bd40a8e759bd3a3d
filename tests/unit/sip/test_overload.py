"""The parameters of overload control in Via."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.messages import request
from voipcluster.sip.message import parse
from voipcluster.sip.outgoing import reply
from voipcluster.sip.overload import OFFER, UNNUMBERED, offered, told, with_told, without, written
from voipcluster.sip.values import parse_via

VIA = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"


class OfferTests(SynchronousTestCase):
    def test_ours(self) -> None:
        """oc without a value, and a quoted list that holds loss (RFC 7339 sections 4.1 and 4.2)."""
        self.assertEqual(offered(parse_via(VIA + OFFER)), ("loss", "rate"))
        self.assertIsNone(told(parse_via(VIA + OFFER)), "a server that returns it takes no part (section 6)")

    def test_theirs(self) -> None:
        for params, algorithms in (
            ('oc;oc-algo="loss"', ("loss",)),
            ('oc;oc-algo="rate, A, loss"', ("rate", "loss")),
            ("oc;oc-algo=loss", ("loss",)),
            ("oc", ("loss",)),
            ('oc;oc-algo="window"', ("loss",)),
        ):
            self.assertEqual(offered(parse_via(f"{VIA};{params}")), algorithms, params)
        self.assertIsNone(offered(parse_via(VIA)))
        self.assertIsNone(offered(parse_via(f'{VIA};oc-algo="loss"')))

    def test_without(self) -> None:
        """What concerns one hop is taken out, all else stays (section 5.6)."""
        via = parse_via(f'{VIA};oc=1;rport;oc-algo="loss,rate";oc-validity=5;x;oc-seq=1.2')
        self.assertEqual(str(without(via)), f"{VIA};rport;x")


class ToldTests(SynchronousTestCase):
    def said(self, params: str) -> object:
        return told(parse_via(f"{VIA};{params}"))

    def test_loss(self) -> None:
        said = self.said('oc=20;oc-algo="loss";oc-validity=600;oc-seq=1282321615.782')
        self.assertEqual(said, ("loss", 20.0, 0.6, 1282321615.782))

    def test_what_may_be_left_out(self) -> None:
        """500 ms is the validity that is not said (section 4.3); the example of section 6 has no oc-seq, and tokens are taken."""
        self.assertEqual(self.said("oc=0;oc-algo=loss"), ("loss", 0.0, 0.5, UNNUMBERED))
        self.assertEqual(self.said('oc=150;oc-algo="rate";oc-seq=7'), ("rate", 150.0, 0.5, 7.0))

    def test_nonsense(self) -> None:
        """It is as if nothing was said."""
        for params in (
            'oc=101;oc-algo="loss"',
            'oc=-1;oc-algo="loss"',
            'oc=nan;oc-algo="rate"',
            'oc=1;oc-algo="window"',
            "oc=1",
            'oc=1;oc-algo="loss";oc-validity=1e3',
            'oc=1;oc-algo="loss";oc-seq=inf',
            'oc=1;oc-algo="loss";oc-seq=99999999999999999999',
            "oc-validity=500",
        ):
            self.assertIsNone(self.said(params), params)

    def test_ours(self) -> None:
        """What we say is read as we meant it; its number has a dot, as the grammar wants it (section 4.4)."""
        params = written("loss", 12.0, 0.5, 1764123456.789)
        self.assertEqual(params, b';oc=12;oc-algo="loss";oc-validity=500;oc-seq=1764123456.789')
        self.assertEqual(self.said(params[1:].decode()), ("loss", 12.0, 0.5, 1764123456.789))


class WrittenTests(SynchronousTestCase):
    def test_into_the_topmost_via(self) -> None:
        """And into no other one (section 5.4)."""
        message = request(via=f"{VIA};rport, SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK2")
        wire = reply(message, 200, to_tag="b").to_bytes()
        self.assertEqual(
            parse(with_told(wire, b";oc=5")).values("via"),
            [f"{VIA};oc=5;rport", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK2"],
        )

    def test_compact_and_odd(self) -> None:
        self.assertEqual(
            with_told(b"SIP/2.0 200 OK\r\nv :SIP/2.0/UDP a; branch=z9hG4bK1\r\n\r\n", b";oc=5"),
            b"SIP/2.0 200 OK\r\nv :SIP/2.0/UDP a; branch=z9hG4bK1;oc=5\r\n\r\n",
        )

    def test_no_branch(self) -> None:
        wire = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP a\r\nX: ;branch=1\r\n\r\n"
        self.assertEqual(with_told(wire, b";oc=5"), wire)
