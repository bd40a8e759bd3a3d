"""What a client answers to challenges, and when it gives up (RFC 3261 sections 22.2 and 22.3, RFC 7616 section 3.3)."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.sip.challenges import MOST_CHALLENGES, Challenged, Identity
from voipcluster.sip.digest import ha1, parse_answer, proves
from voipcluster.sip.message import Response, parse
from voipcluster.sip.outgoing import build_request, reply

URI = "sip:trunk.example"


def challenge(nonce: str, realm: str = "trunk.example", algorithm: str = "MD5", more: str = "") -> str:
    return f'Digest realm="{realm}", nonce="{nonce}", qop="auth", algorithm={algorithm}{more}'


def response(status: int, *challenges: str, header: str = "") -> Response:
    request = build_request(
        "REGISTER",
        URI,
        [
            ("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"),
            ("From", "<sip:a@b>;tag=1"),
            ("To", "<sip:a@b>"),
            ("Call-ID", "1"),
            ("CSeq", "1 REGISTER"),
        ],
    )
    name = header or ("WWW-Authenticate" if status == 401 else "Proxy-Authenticate")
    made = parse(reply(request, status, headers=[(name, value) for value in challenges]).to_bytes())
    assert isinstance(made, Response)
    return made


class ChallengedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.challenged = Challenged(Identity("voip", "secret"))

    def meets(self, status: int, *challenges: str, header: str = "") -> bool:
        return self.challenged.meets(response(status, *challenges, header=header), "REGISTER", URI, "c1")

    def test_proof(self) -> None:
        """The credentials prove the password for the method and Request-URI, in the header that the status asks for."""
        self.assertEqual(self.challenged.headers, ())
        self.assertTrue(self.meets(401, challenge("n1")))
        [(name, value)] = self.challenged.headers
        given = parse_answer(value)
        self.assertEqual((name, given.uri, given.nc, given.cnonce), ("Authorization", URI, "00000001", "c1"))
        self.assertTrue(proves(given, ha1("MD5", "voip", "trunk.example", "secret"), "REGISTER"))

    def test_proxy(self) -> None:
        """407 is answered with Proxy-Authorization (22.3)."""
        self.assertTrue(self.meets(407, challenge("n1")))
        self.assertEqual(self.challenged.headers[0][0], "Proxy-Authorization")

    def test_proxy_and_registrar(self) -> None:
        """Behind a proxy that has its answer comes the registrar: both credentials go along."""
        self.assertTrue(self.meets(407, challenge("n1", realm="proxy")))
        self.assertTrue(self.meets(401, challenge("n2")))
        self.assertEqual(
            [name for name, _ in self.challenged.headers], ["Proxy-Authorization", "Authorization"]
        )

    def test_two_realms_at_once(self) -> None:
        """A forked request has the challenges of all branches; each realm gets one answer (16.7 step 7)."""
        self.assertTrue(
            self.meets(
                407,
                challenge("n1", realm="a", algorithm="SHA-256"),
                challenge("n1", realm="a"),
                challenge("n2", realm="b"),
            )
        )
        given = [parse_answer(value) for _, value in self.challenged.headers]
        self.assertEqual([(one.realm, one.algorithm) for one in given], [("a", "SHA-256"), ("b", "MD5")])

    def test_wrong_password(self) -> None:
        """The same realm again, with another nonce and not stale, says that the answer was wrong."""
        self.assertTrue(self.meets(401, challenge("n1")))
        self.assertFalse(self.meets(401, challenge("n2")))
        self.assertIn("password", self.challenged.why_not)

    def test_stale(self) -> None:
        """A stale nonce says nothing of the password: the new one is answered, and only that."""
        self.assertTrue(self.meets(401, challenge("n1")))
        self.assertTrue(self.meets(401, challenge("n2", more=", stale=true")))
        self.assertEqual([parse_answer(value).nonce for _, value in self.challenged.headers], ["n2"])

    def test_once_a_nonce(self) -> None:
        """A nonce that was answered is not answered again, whatever is said of it."""
        self.assertTrue(self.meets(401, challenge("n1")))
        self.assertFalse(self.meets(401, challenge("n1", more=", stale=true")))

    def test_not_for_ever(self) -> None:
        """Who says stale each time gets no more than so many answers."""
        for number in range(MOST_CHALLENGES):
            self.assertTrue(self.meets(401, challenge(f"n{number}", more=", stale=true")))
        self.assertFalse(self.meets(401, challenge("last", more=", stale=true")))
        self.assertIn("one more", self.challenged.why_not)

    def test_other_realm(self) -> None:
        """With a realm configured nobody else gets anything made of the password."""
        self.challenged = Challenged(Identity("voip", "secret", "trunk.example"))
        self.assertFalse(self.meets(407, challenge("n1", realm="attacker.example")))
        self.assertEqual(self.challenged.headers, ())
        self.assertTrue(self.meets(407, challenge("n1", realm="x"), challenge("n2")))
        self.assertEqual(
            [parse_answer(value).realm for _, value in self.challenged.headers], ["trunk.example"]
        )

    def test_what_cannot_be_met(self) -> None:
        """No challenge, one of the other header, another scheme or algorithm, and other statuses."""
        for status, values, header in (
            (401, (), ""),
            (407, (challenge("n"),), "WWW-Authenticate"),
            (401, ('Basic realm="x"',), ""),
            (401, (challenge("n", algorithm="SHA-512-256"),), ""),
            (401, ("Digest realm=",), ""),
            (403, (challenge("n"),), ""),
        ):
            self.assertFalse(self.meets(status, *values, header=header), (status, values))
            self.assertTrue(self.challenged.why_not)

    def test_secret_is_not_shown(self) -> None:
        """The password is in no text that a log would have."""
        self.assertNotIn("secret", repr(Identity("voip", "secret")))
