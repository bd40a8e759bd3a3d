"""No secret is left in what people look at, and nothing else is lost."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip.masking import masked, without_password


def message(*lines: str, body: str = "", method: str = "INVITE") -> bytes:
    head = "\r\n".join([f"{method} sip:bob@example.com SIP/2.0", *lines])
    return f"{head}\r\n\r\n{body}".encode()


class MaskedTests(SynchronousTestCase):
    def test_nothing_to_hide(self) -> None:
        """A message without secrets is handed on as the same object."""
        plain = message(
            "Via: SIP/2.0/UDP a;branch=z9hG4bK1", "Call-ID: c", body="v=0\r\nm=audio 4 RTP/AVP 0\r\n"
        )
        self.assertIs(masked(plain), plain)

    def test_digest(self) -> None:
        """The answer to a challenge is hidden, in any spelling; who gave it and to what is shown."""
        for name in ("Authorization", "Proxy-Authorization", "AUTHORIZATION", "proxy-authorization  "):
            for answer in ('response="0123abcd"', 'response = "0123abcd"', "Response=0123abcd"):
                data = message(
                    "Call-ID: c",
                    f'{name}: Digest username="alice", realm="x", nonce="n1", {answer}, algorithm=MD5',
                )
                shown = masked(data)
                self.assertEqual(len(shown), len(data))
                self.assertNotIn(b"0123abcd", shown)
                for left in (
                    b'username="alice"',
                    b'nonce="n1"',
                    b"********",
                    b"algorithm=MD5",
                    b"Call-ID: c",
                ):
                    self.assertIn(left, shown)

    def test_digest_on_folded_lines(self) -> None:
        """RFC 3261 section 7.3.1: a header may go on in the next line."""
        shown = masked(
            message('Authorization: Digest\r\n username=alice,\r\n\tresponse=\r\n "0123abcd"', "Call-ID: c")
        )
        self.assertNotIn(b"0123abcd", shown)
        self.assertIn(b"username=alice", shown)

    def test_password_in_a_uri(self) -> None:
        """
        RFC 3261 section 19.1.1 lets a URI have a password: hidden wherever one stands, with all characters that it may have; a
        port, or what only looks like one, is none.
        """
        for uri in ("sip:alice:s3cret@h", "SIPS:al%20ice;x=1:s3cret@h", "sip:a:s3cret%40!~*'()&=+$,@h:5060"):
            secret = uri.partition("s3cret")[2].partition("@")[0]
            data = message(
                f"From: <{uri}>;tag=1", f"To: {uri}", f"Contact: <sip:a@h>, <{uri}>;q=1", "Call-ID: c@h"
            )
            shown = masked(data)
            self.assertEqual(len(shown), len(data))
            self.assertNotIn(b"s3cret", shown)
            self.assertEqual(shown.count(b":" + b"*" * len(f"s3cret{secret}") + b"@h"), 3)
            self.assertIn(b"Call-ID: c@h", shown)
        for plain in (
            "sip:a@h:5060",
            "sip:h:5060;transport=tcp>, <sip:b@h",
            "sip:a:@h",
            "tel:+49:1@h",
            "sip:[::1]:5060",
        ):
            data = message(f"Contact: <{plain}>", "Call-ID: c")
            self.assertIs(masked(data), data)

    def test_password_that_is_not_escaped(self) -> None:
        """Whoever writes a password there hardly escapes it: no URI then (400), but a secret all the same."""
        for secret in ("s3cret#1", "s3:cret", "s3[cret]", "s3{c^r|e`t}", "s3crét\\"):
            data = message(
                f"From: <sip:alice:{secret}@h>;tag=1", f"To: sip:alic\xe9:{secret}@h", "Call-ID: c@h"
            )
            shown = masked(data)
            self.assertEqual(len(shown), len(data))
            self.assertEqual(shown.count(b":" + b"*" * len(secret.encode()) + b"@h"), 2, secret)
            self.assertIn(b"Call-ID: c@h", shown)
            self.assertEqual(without_password(f"sip:alice:{secret}@h"), "sip:alice@h")

    def test_password_without_a_user(self) -> None:
        """Nor is that a URI, and it is a secret all the same; only the colon of the scheme is none."""
        for uri in ("sip::s3cret@h", "SIPS::s3cret@h:5061", "sip::s3:cret@h"):
            secret = uri.partition(":")[2].partition("@")[0][1:]
            shown = masked(message(f"From: <{uri}>;tag=1", f"To: {uri}", "Call-ID: c@h"))
            self.assertEqual(shown.count(b"::" + b"*" * len(secret) + b"@h"), 2, uri)
            self.assertEqual(without_password(uri), uri.replace(f":{secret}@", "@"))
        for plain in ("sip::@h", "sips:a@h", "sip:@h:5060", "sip::5060"):
            self.assertIs(without_password(plain), plain)

    def test_uri_as_text(self) -> None:
        """As people see it the password is left out; what has none is the same text."""
        for uri, shown in (
            ("sip:alice:s3cret@h:5060;transport=tcp", "sip:alice@h:5060;transport=tcp"),
            ("SIPS:a:b@h", "SIPS:a@h"),
            ('"A" <sip:a:b@h>;tag=1', '"A" <sip:a@h>;tag=1'),
        ):
            self.assertEqual(without_password(uri), shown)
        for uri in (
            "",
            "sip:a@h:5060",
            "sip:[2001:db8::1]:5060",
            "tel:+49;phone-context=a@b",
            "sip:alice@[2001:db8::1]",
        ):
            self.assertIs(without_password(uri), uri)

    def test_other_schemes(self) -> None:
        """Basic, Bearer and what nobody knows are secrets as a whole."""
        for scheme in ("Basic YWxpY2U6cGFzcw==", "Bearer eyJhbGciOi.abc", "Weird a b c=d"):
            shown = masked(message(f"Authorization: {scheme}", "Call-ID: c"))
            word, _, secret = scheme.partition(" ")
            self.assertNotIn(secret.encode(), shown)
            self.assertIn(b"Authorization: " + word.encode() + b" *", shown)
            self.assertTrue(shown.endswith(b"\r\nCall-ID: c\r\n\r\n"))

    def test_proof_of_the_server(self) -> None:
        """Authentication-Info proves the password as well as an answer does (RFC 7616 section 3.5)."""
        shown = masked(message('Authentication-Info: nextnonce="n2", qop=auth, rspauth="ffee"', "Call-ID: c"))
        self.assertNotIn(b"ffee", shown)
        self.assertIn(b'nextnonce="n2"', shown)

    def test_keys_of_media(self) -> None:
        """SDES keys, each of several, and the other places of SDP for keys; the suite stays."""
        key = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
        shown = masked(
            message(
                "Call-ID: c",
                body="v=0\r\nk=base64:"
                + key
                + "\r\na=ice-pwd:"
                + key
                + "\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 "
                f"inline:{key}|2^20|1:4;inline:{key}|2^20|2:4\r\na=rtpmap:0 PCMU/8000\r\n",
            )
        )
        self.assertNotIn(key.encode(), shown)
        self.assertIn(b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:****", shown)
        self.assertIn(b"|2^20|2:4\r\na=rtpmap:0 PCMU/8000\r\n", shown)

    def test_tones(self) -> None:
        """PINs are typed as tones, and these may come by INFO."""
        relay = message(
            "Content-Type: application/dtmf-relay", body="Signal=7\r\nDuration=160\r\n", method="INFO"
        )
        self.assertTrue(masked(relay).endswith(b"Signal=*\r\nDuration=160\r\n"))
        alone = message("c: application/dtmf", body="7", method="INFO")
        self.assertTrue(masked(alone).endswith(b"\r\n\r\n*"))

    def test_all_of_a_body_that_is_tones(self) -> None:
        """Whatever spelling: it is nothing else."""
        for body in ("12, 3", "5R", "w9\r\n"):
            shown = masked(message("Content-Type: application/dtmf", body=body, method="INFO"))
            left = shown.partition(b"\r\n\r\n")[2]
            self.assertEqual((len(left), left.replace(b"*", b"").strip()), (len(body), b""))

    def test_what_is_meant_to_take_long(self) -> None:
        """Somebody who fills a message with secrets takes no longer than it takes to read it some times."""
        for hostile in (
            message("Content-Type: application/dtmf", body="1" * 60_000, method="INFO"),
            message("Authorization: Digest response=" + "a" * 60_000),
            message("Authorization:" + "\r\n " * 15_000),
        ):
            steps = 0

            def count(frame: FrameType, event: str, arg: object) -> Any:
                nonlocal steps
                steps += 1
                return count

            before = sys.gettrace()
            sys.settrace(count)
            try:
                masked(hostile)
            finally:
                sys.settrace(before)
            self.assertLess(steps, 1000)

    def test_tokens_of_ours(self) -> None:
        """Who has a hand-over token is taken for the client that it names."""
        shown = masked(message("Route: <sip:192.0.2.1;lr;ho=AbC_1-2;x=y>", "Contact: <sip:a@b;hop=ZZZ9>"))
        self.assertIn(b";ho=*******;x=y>", shown)
        self.assertIn(b";hop=****>", shown)

    def test_words_in_other_places(self) -> None:
        """What only looks like a secret stays: a body is not the head, a head not the body."""
        data = message("Subject: response=abcd inline:abcd", body="Authorization: Digest response=abcd\r\n")
        self.assertEqual(masked(data), data)

    def test_what_is_cut_short(self) -> None:
        """A head without its end is masked all the same."""
        shown = masked(b'INVITE sip:a SIP/2.0\r\nAuthorization: Digest response="0123abcd')
        self.assertNotIn(b"0123abcd", shown)
