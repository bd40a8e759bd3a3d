"""Digest authentication, text and hashes (RFC 7616, RFC 8760)."""

from __future__ import annotations

import contextlib

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import ParseError, UsageError
from voipcluster.sip import digest

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
MUFASA = (
    'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
GOOD = (
    'Digest username="a", realm="r", nonce="n", uri="sip:h", response="00", qop=auth, nc=00000001, cnonce="c"'
)


class VectorTests(SynchronousTestCase):
    def test_md5_and_sha256(self) -> None:
        """The examples of RFC 7616 section 3.9.1; SHA-256 gives 64 digits (RFC 8760 section 2.2)."""
        for algorithm, response in (
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ):
            value = digest.answer(
                MUFASA.format(algorithm),
                "GET",
                "/dir/index.html",
                "Mufasa",
                password="Circle of Life",
                cnonce=CNONCE,
            )
            self.assertEqual(digest.parse_answer(value).response, response)

    def test_without_qop(self) -> None:
        """The computation of RFC 2069, with the numbers of its erratum 749."""
        value = digest.answer(
            'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
            'opaque="5ccc069c403ebaf9f0171e9517f40e41"',
            "GET",
            "/dir/index.html",
            "Mufasa",
            password="CircleOfLife",
        )
        given = digest.parse_answer(value)
        self.assertEqual(
            (given.response, given.qop, given.count), ("1949323746fe6a43ef61f9606e7febea", None, 0)
        )

    def test_auth_int_of_an_empty_body(self) -> None:
        """An empty body counts as the empty string (RFC 3261 section 22.4)."""
        value = digest.answer(
            'Digest realm="r", nonce="n", qop="auth-int"', "BYE", "sip:h", "a", password="p", cnonce="c"
        )
        given = digest.parse_answer(value)
        self.assertEqual(given.qop, "auth-int")
        self.assertTrue(digest.proves(given, digest.ha1("MD5", "a", "r", "p"), "BYE", b""))
        self.assertFalse(digest.proves(given, digest.ha1("MD5", "a", "r", "p"), "BYE", b"x"))


class AnswerTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(TEXT, TEXT, TEXT, TEXT, st.sampled_from(digest.ALGORITHMS), st.integers(1, 2**32 - 1))
    def test_each_answer_proves_its_password_only(
        self, user: str, realm: str, password: str, uri: str, algorithm: str, nc: int
    ) -> None:
        """Quotes, backslashes, commas and UTF-8 in names survive; another password or method does not pass."""
        challenge = str(digest.Challenge(realm, "n", algorithm, ("auth",)))
        given = digest.parse_answer(
            digest.answer(challenge, "INVITE", uri, user, password=password, cnonce="c", nc=nc)
        )
        self.assertEqual((given.username, given.realm, given.uri, given.count), (user, realm, uri, nc))
        ha1 = digest.ha1(algorithm, user, realm, password)
        self.assertTrue(digest.proves(given, ha1, "INVITE"))
        self.assertFalse(digest.proves(given, ha1, "BYE"))
        self.assertFalse(digest.proves(given, digest.ha1(algorithm, user, realm, password + "x"), "INVITE"))
        self.assertFalse(digest.proves(evolve(given, nc="00000000"), ha1, "INVITE"))

    def test_ha1_serves_like_the_password(self) -> None:
        """A client may keep the hash only."""
        challenge = 'Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"'
        self.assertEqual(
            digest.answer(challenge, "BYE", "sip:h", "a", password="p", cnonce="c"),
            digest.answer(
                challenge, "BYE", "sip:h", "a", ha1_hex=digest.ha1("SHA-256", "a", "r", "p"), cnonce="c"
            ),
        )

    def test_what_cannot_be_answered(self) -> None:
        """An unknown algorithm, -sess, an unknown qop, no password: UsageError."""
        for challenge in (
            'Digest realm="r", nonce="n", algorithm=MD5-sess, qop="auth"',
            'Digest realm="r", nonce="n", algorithm=SHA-512-256, qop="auth"',
            'Digest realm="r", nonce="n", qop="auth-conf"',
        ):
            with self.assertRaises(UsageError):
                digest.answer(challenge, "BYE", "sip:h", "a", password="p")
        with self.assertRaises(UsageError):
            digest.answer('Digest realm="r", nonce="n"', "BYE", "sip:h", "a")

    def test_the_first_known_challenge_of_the_realm(self) -> None:
        """The topmost that we can compute; strangers' realms get nothing (RFC 8760 section 2.4, RFC 3261 section 22.1)."""
        values = [
            'Basic realm="ours"',
            "Digest broken",
            'Digest realm="evil", nonce="n"',
            'Digest realm="ours", nonce="1", algorithm=SHA-512-256, qop="auth"',
            'Digest realm="ours", nonce="2", algorithm=SHA-256, qop="auth"',
            'Digest realm="ours", nonce="3", algorithm=MD5, qop="auth"',
        ]
        self.assertEqual(digest.choose_challenge(values, "ours"), values[4])
        self.assertEqual(digest.choose_challenge(values), values[2])
        self.assertIsNone(digest.choose_challenge(values, "other"))


class ParseTests(SynchronousTestCase):
    @settings(max_examples=150, deadline=None)
    @given(st.one_of(st.text(max_size=80), st.text('="\\, abunrq', max_size=60).map("Digest ".__add__)))
    def test_any_text_is_parsed_or_a_parse_error(self, text: str) -> None:
        """No text raises anything but ParseError."""
        for parse in (digest.parse_answer, digest.parse_challenge):
            with contextlib.suppress(ParseError):
                str(parse(text))

    @settings(max_examples=150, deadline=None)
    @given(st.integers(0, len(GOOD)), st.text(max_size=4), st.integers(0, 6))
    def test_damaged_credentials(self, place: int, put: str, gone: int) -> None:
        """Credentials with some characters changed are parsed or refused."""
        with contextlib.suppress(ParseError):
            digest.parse_answer(GOOD[:place] + put + GOOD[place + gone :])

    def test_challenge_and_text_are_inverse(self) -> None:
        """What we offer is what a client reads."""
        challenge = digest.Challenge('my "realm"', "n", "SHA-256", ("auth", "auth-int"), "o", True)
        self.assertEqual(digest.parse_challenge(str(challenge)), challenge)

    def test_spelling(self) -> None:
        """Scheme, names and algorithm in any case, quotes and white space as they come, unknown parameters passed over."""
        given = digest.parse_answer(
            'DIGEST Username="a" ,REALM="r",nonce=n , uri="sip:h", response=00,Algorithm="md5",auth-param=x, qop="auth",'
            "nc=0000000A,cnonce=c,"
        )
        self.assertEqual((given.username, given.algorithm, given.qop, given.count), ("a", "MD5", "auth", 10))

    def test_user_names_in_utf8_and_hashed(self) -> None:
        """username* and userhash do not break anything (RFC 7616 section 3.4.4)."""
        extended = GOOD.replace('username="a"', "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe") + ", userhash=false"
        self.assertEqual(digest.parse_answer(extended).username, "J\u00e4s\u00f8n Doe")
        for broken in ("username*=latin1''a", "username*=UTF-8'a", "username=\"a\", username*=UTF-8''a"):
            with self.assertRaises(ParseError):
                digest.parse_answer(GOOD.replace('username="a"', broken))

    def test_refused(self) -> None:
        """Another scheme, missing, doubled and broken parameters, qop without its company, too much text."""
        for text in (
            "", "Digest", "Digest ", "Basic YTpi", "NoOneKnowsThisScheme opaque-data=here", GOOD + ', realm="x"',
            GOOD.replace('realm="r", ', ""), GOOD.replace(", nc=00000001", ""), GOOD.replace(', cnonce="c"', ""),
            GOOD.replace("nc=00000001", "nc=1"), GOOD.replace("nc=00000001", "nc=0000000g"), GOOD + ', x="', GOOD + ", =",
            GOOD.replace('username="a"', "username=") , GOOD + " x", GOOD + ', x="' + "y" * 5000 + '"',
        ):  # fmt: skip
            with self.assertRaises(ParseError, msg=text):
                digest.parse_answer(text)
