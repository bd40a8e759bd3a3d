"""What a request must be to be looked at (RFC 3261 section 16.3)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.sip.messages import request
from voipcluster.errors import PeerError
from voipcluster.sip.message import Request
from voipcluster.sip.proxy.validation import Refused, check_display_names, check_request


class ValidationTests(SynchronousTestCase):
    def assertRefused(self, status: int, message: Request) -> PeerError:
        error: PeerError = self.assertRaises(PeerError, check_request, message)
        self.assertEqual(error.status_hint, status, error)
        return error

    def test_max_forwards(self) -> None:
        """Its value is given back; a request without gets 70 when it is passed on (section 16.6 step 3)."""
        self.assertEqual(check_request(request()), 70)
        self.assertEqual(check_request(request(without=["Max-Forwards"])), 71)
        self.assertEqual(check_request(request(without=["Max-Forwards"], headers=["Max-Forwards: 1"])), 1)
        for value, number in (("0068", 68), ("00000000070", 70), ("255", 255)):  # RFC 4475 section 3.1.1.1
            message = request(without=["Max-Forwards"], headers=[f"Max-Forwards: {value}"])
            self.assertEqual(check_request(message), number)

    def test_max_forwards_used_up(self) -> None:
        """0 is 483, also for OPTIONS (step 3)."""
        for method in ("INVITE", "OPTIONS"):
            for value in ("0", "000"):
                message = request(method, without=["Max-Forwards"], headers=[f"Max-Forwards: {value}"])
                self.assertRefused(483, message)

    def test_no_max_forwards(self) -> None:
        """What is no number up to 255 is 400 (section 20.22)."""
        for value in ("-1", "256", "x", "", "7 0", "99999999999999999999"):
            message = request(without=["Max-Forwards"], headers=[f"Max-Forwards: {value}"])
            self.assertRefused(400, message)

    def test_scheme(self) -> None:
        """Another scheme is 416, no scheme is 400 (step 2)."""
        self.assertRefused(416, request(uri="tel:+123"))
        self.assertEqual(check_request(request(uri="tel:+123"), ("tel",)), 70)
        self.assertEqual(check_request(request(), ("tel",)), 70)
        self.assertRefused(416, request(uri="nobodyKnowsThisScheme:totallyopaquecontent"))
        self.assertRefused(400, request(uri="bob"))
        check_request(request(uri="SIP:bob@example.com"))
        check_request(request(uri="sips:bob@example.com"))

    def test_uri(self) -> None:
        """A broken SIP URI is 400 (step 1)."""
        self.assertRefused(400, request(uri="sip:[::1"))
        self.assertRefused(400, request(uri="sip:bob@example.com:99999"))

    def test_proxy_require(self) -> None:
        """Unknown option tags are 420 with exactly these in Unsupported; ACK and CANCEL are let pass (step 5)."""
        for method in ("INVITE", "BYE"):
            error = self.assertRefused(
                420, request(method, headers=["Proxy-Require: foo, bar", "Require: baz"])
            )
            assert isinstance(error, Refused)
            self.assertEqual(error.headers, (("Unsupported", "foo, bar"),))
        check_request(request("ACK", headers=["Proxy-Require: foo"]))

    def test_missing(self) -> None:
        """Without From, To, Call-ID or CSeq it is 400 (step 1)."""
        for name in ("From", "To", "Call-ID", "CSeq"):
            self.assertRefused(400, request(without=[name]))

    def test_doubled(self) -> None:
        """What may stand once stands once, else two elements would read it in two ways (step 1)."""
        for line in (
            "Call-ID: x",
            "From: <sip:x@y>;tag=1",
            "To: <sip:x@y>",
            "CSeq: 7 INVITE",
            "Max-Forwards: 3",
        ):
            self.assertRefused(400, request(headers=[line]))

    def test_cseq(self) -> None:
        """CSeq names the method (section 8.1.1.5)."""
        self.assertRefused(400, request(cseq="7 BYE"))

    def test_from_tag(self) -> None:
        """A From without a tag is 400, but not from an element of RFC 2543 (section 8.1.1.3)."""
        headers = ["From: <sip:alice@example.com>"]
        self.assertRefused(400, request(without=["From"], headers=headers))
        old = "SIP/2.0/UDP 192.0.2.1;branch=1"
        check_request(request(without=["From"], headers=headers, via=old))

    def test_display_names(self) -> None:
        """
        A quote that never ends, or a comma without quotes, in From or To is 400 (RFC 4475 sections 3.1.2.6 and 3.1.2.15);
        what is only unusual is not.
        """
        for name in ("To", "From"):
            for value in (
                '"Mr. J. User <sip:j@h>',
                "Bell, Alexander <sip:a@h>;tag=4",
                '"Bell", Alex <sip:a@h>',
            ):
                broken = request(without=[name], headers=[f"{name}: {value}"])
                error: PeerError = self.assertRaises(PeerError, check_display_names, broken)
                self.assertEqual(error.status_hint, 400)
            for value in (
                *(
                    '"A, \\"B\\"" < sip:b@h >',
                    '"A, B" <sip:b@h>',
                    "caller<sip:b@h>;tag=1",
                    "isbn:2983792873",
                    "sip:b@h",
                ),
                *(
                    'A <sip:b@h>;p="x,y"',
                    "<sip:a,b@h>",
                    "M\u00fcller M. <sip:b@h>",
                    '"M\u00fcller" <sip:b@h>',
                ),
            ):
                check_display_names(request(without=[name], headers=[f"{name}: {value}"]))

    def test_unknown_method_and_headers(self) -> None:
        """Unknown methods, headers and broken values that nobody needs are no reason to refuse (step 1)."""
        check_request(request("NEWMETHOD", headers=["Date: yesterday", "X-Unknown: ;;;", "Require: unknown"]))
