"""Challenges and the check of credentials (RFC 3261 section 22, RFC 7616, RFC 8760)."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.seal import Sealer
from voipcluster.sip import digest
from voipcluster.sip.auth import (
    MAX_ANSWERS,
    WINDOW,
    Accepted,
    Authenticator,
    Credentials,
    NonceCounts,
    Rejected,
    nonce_sealer,
)

KEY = bytes(range(32))
REALM = "example.com"
ALICE = Credentials(
    "alice", REALM, {name: digest.ha1(name, "alice", REALM, "pw") for name in digest.ALGORITHMS}
)
NOW = 1_700_000_000.0


def lookup(username: str, realm: str) -> Credentials | None:
    return ALICE if (username, realm) == ("alice", REALM) else None


def authenticator(node: str = "a", epoch: int = 1, **how: object) -> Authenticator:
    return Authenticator(nonce_sealer(KEY, node, epoch), **how)


class Phone:
    """Answers the challenges of one nonce."""

    def __init__(self, auth: Authenticator, now: float = NOW, random_bits: bytes = b"12345678") -> None:
        self.challenges = auth.challenges(REALM, now, random_bits)

    def answer(
        self, method: str = "INVITE", user: str = "alice", password: str = "pw", nc: int = 1, at: int = 0
    ) -> str:
        return digest.answer(
            self.challenges[at], method, "sip:bob@example.com", user, password=password, cnonce="c", nc=nc
        )


def check(auth: Authenticator, *values: str, now: float = NOW, method: str = "INVITE") -> Accepted | Rejected:
    return auth.check(method, values, REALM, now, lookup)


class ChallengeTests(SynchronousTestCase):
    def test_preferred_algorithm_first(self) -> None:
        """One challenge for each algorithm, all with qop, one nonce (RFC 8760 sections 2.3 and 2.6)."""
        offered = [digest.parse_challenge(value) for value in Phone(authenticator()).challenges]
        self.assertEqual([c.algorithm for c in offered], ["SHA-256", "MD5"])
        self.assertEqual([c.qop for c in offered], [("auth",)] * 2)
        self.assertEqual(len({c.nonce for c in offered}), 1)
        self.assertFalse(offered[0].stale)

    def test_one_algorithm_may_be_enough(self) -> None:
        """For clients that give up on one they do not know."""
        auth = authenticator(algorithms=("MD5",))
        self.assertEqual(len(auth.challenges(REALM, NOW, b"12345678")), 1)
        strong = Phone(authenticator()).answer()
        self.assertIsInstance(check(auth, strong), Rejected)
        for names in ((), ("MD5-sess",)):
            with self.assertRaises(UsageError):
                authenticator(algorithms=names)

    def test_nonces_differ(self) -> None:
        """By time and by random bits (RFC 7616 section 3.3)."""
        auth = authenticator()
        nonces = {
            auth.challenges(REALM, now, bits)[0] for now in (NOW, NOW + 1) for bits in (b"a" * 8, b"b" * 8)
        }
        self.assertEqual(len(nonces), 4)

    def test_challenges_cost_no_memory(self) -> None:
        """A flood of requests without credentials leaves nothing behind."""
        auth = authenticator()
        for number in range(1000):
            auth.challenges(REALM, NOW, number.to_bytes(8, "big"))
            check(auth, Phone(auth).answer(password="wrong"))
        self.assertEqual(auth.nonces_kept, 0)


class CheckTests(SynchronousTestCase):
    def test_right_password(self) -> None:
        """With each algorithm; the line's index lets the caller drop it (RFC 3261 section 22.3)."""
        for at in (0, 1):
            auth = authenticator()
            values = ["Basic YTpi", 'Digest realm="other"', Phone(auth).answer(at=at)]
            self.assertEqual(check(auth, *values), Accepted("alice", REALM, 2))

    def test_the_nonce_of_another_node_or_of_another_start(self) -> None:
        """It is stale: nonce counts are a node's own, so an answer that was overheard is good nowhere else (section 3.4)."""
        answer = Phone(authenticator()).answer()
        for other in (authenticator(node="b"), authenticator(epoch=2)):
            result = check(other, answer)
            assert isinstance(result, Rejected)
            self.assertTrue(result.stale)
            self.assertFalse(result.guessed)
        self.assertIsInstance(check(authenticator(), answer), Accepted)

    def test_wrong_password_and_unknown_user_look_the_same(self) -> None:
        """Nothing tells a guesser which of the two it was (RFC 7616 section 5.7)."""
        auth = authenticator()
        phone = Phone(auth)
        wrong = check(auth, phone.answer(password="wrong"))
        self.assertEqual(wrong, check(auth, phone.answer(user="nobody")))
        assert isinstance(wrong, Rejected)
        self.assertTrue(wrong.guessed)
        self.assertFalse(wrong.stale)

    def test_unknown_user_costs_the_same_hashes(self) -> None:
        """The same digests are computed, over texts of the same length."""
        counted: list[int] = []
        real = digest._HASHES["SHA-256"]
        self.patch(digest, "_HASHES", {"SHA-256": lambda data: counted.append(len(data)) or real(data)})
        auth = authenticator(algorithms=("SHA-256",))
        phone = Phone(auth)
        values = [phone.answer(password="wrong"), phone.answer(user="malix")]
        costs = []
        for value in values:
            counted.clear()
            check(auth, value)
            costs.append(list(counted))
        self.assertEqual(costs[0], costs[1])

    def test_hash_of_nothing_is_no_password(self) -> None:
        """What stands in for unknown users lets nobody in, and no account lacks a password by having no hash."""
        auth = authenticator()
        value = digest.answer(
            Phone(auth).challenges[0],
            "INVITE",
            "sip:b",
            "ghost",
            ha1_hex=digest.digest("SHA-256", b""),
            cnonce="c",
        )
        self.assertIsInstance(check(auth, value), Rejected)
        half = Credentials("ghost", REALM, {"MD5": "x"})
        self.assertIsInstance(auth.check("INVITE", [value], REALM, NOW, lambda u, r: half), Rejected)

    def test_other_methods_and_realms(self) -> None:
        """Credentials are of one method and one realm."""
        auth = authenticator()
        value = Phone(auth).answer()
        self.assertIsInstance(check(auth, value, method="BYE"), Rejected)
        self.assertEqual(
            auth.check("INVITE", [value], "example.net", NOW, lookup),
            Rejected(False, "no credentials of this realm"),
        )
        self.assertEqual(check(auth), Rejected(False, "no credentials of this realm"))

    def test_uri_of_a_stranger(self) -> None:
        """Credentials made for another server's URI are refused when the caller says so (RFC 8760 section 2.6)."""
        auth = authenticator()
        value = Phone(auth).answer()
        refused = auth.check("INVITE", [value], REALM, NOW, lookup, lambda uri: uri.endswith("@example.org"))
        self.assertIsInstance(refused, Rejected)
        self.assertIsInstance(auth.check("INVITE", [value], REALM, NOW, lookup, lambda uri: True), Accepted)

    def test_userhash_and_other_letters(self) -> None:
        """A hashed user name was not offered and is nobody; names in UTF-8 are as good as others (RFC 7616 sections 3.4, 4)."""
        name = "J\u00e4s\u00f8n Doe"
        account = Credentials(name, REALM, {"MD5": digest.ha1("MD5", name, REALM, "p\u00e4ss")})
        auth = authenticator(algorithms=("MD5",))
        asked: list[str] = []

        def found(username: str, realm: str) -> Credentials | None:
            asked.append(username)
            return account if username == name else None

        phone = Phone(auth)
        value = phone.answer(user=name, password="p\u00e4ss")
        on_the_wire = value.encode().decode("utf-8", "surrogateescape")
        extended = on_the_wire.replace(f'username="{name}"', "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe")
        self.assertEqual(auth.check("INVITE", [on_the_wire], REALM, NOW, found), Accepted(name, REALM, 0))
        result = auth.check("INVITE", [extended], REALM, NOW, found)
        assert isinstance(result, Rejected)
        self.assertTrue(result.stale)  # right, but a replay
        hashed = phone.answer(user="488869477bf257147b804c45308cd62a", nc=2) + ", userhash=true"
        result = auth.check("INVITE", [hashed], REALM, NOW, found)
        assert isinstance(result, Rejected)
        self.assertTrue(result.guessed)
        self.assertEqual(asked, [name, name, "488869477bf257147b804c45308cd62a"])

    def test_basic_is_never_taken(self) -> None:
        """Nor offered (RFC 8760 section 2.6): a password in the clear proves nothing here."""
        auth = authenticator()
        for value in ("Basic YWxpY2U6cHc=", "basic YWxpY2U6cHc=", 'Basic realm="example.com"'):
            self.assertEqual(check(auth, value), Rejected(False, "no credentials of this realm"))
        self.assertTrue(all(c.startswith("Digest ") for c in auth.challenges(REALM, NOW, b"12345678")))

    def test_not_offered(self) -> None:
        """auth-int and unknown algorithms are not accepted."""
        auth = authenticator()
        value = digest.parse_answer(Phone(auth).answer())
        for changed in (evolve(value, qop="auth-int"), evolve(value, algorithm="MD5-SESS")):
            self.assertIsInstance(check(auth, str(changed)), Rejected)

    def test_few_of_many_credentials_are_looked_at(self) -> None:
        """A request full of credentials costs what a few cost."""
        asked: list[str] = []
        auth = authenticator()
        value = Phone(auth).answer(password="wrong")
        auth.check("INVITE", [value] * 100, REALM, NOW, lambda u, r: asked.append(u))
        self.assertEqual(len(asked), MAX_ANSWERS)


class NonceTests(SynchronousTestCase):
    def test_expired(self) -> None:
        """stale=true, so that no user is asked; whether the password was right is not told (RFC 7616 section 3.3)."""
        auth = authenticator(nonce_lifetime=300.0)
        phone = Phone(auth)
        right, wrong = (
            check(auth, phone.answer(password=password), now=NOW + 301) for password in ("pw", "wrong")
        )
        assert isinstance(right, Rejected)
        self.assertTrue(right.stale)
        self.assertEqual(right, wrong)
        self.assertIsInstance(check(auth, phone.answer(), now=NOW + 299), Accepted)
        stale_value = auth.challenges(REALM, NOW, b"12345678", stale=True)[0]
        self.assertTrue(digest.parse_challenge(stale_value).stale)

    def test_made_up_and_altered(self) -> None:
        """A nonce that no node of the cluster made is stale, whoever shows it; one of the far future too."""
        auth = authenticator()
        other = Authenticator(nonce_sealer(KEY[::-1], "a", 1))
        flow = Sealer(KEY, b"flow").seal(b"\0" * 16)
        for value in (
            Phone(other).answer(),
            Phone(auth, now=NOW + 3600).answer(),
            digest.answer(
                f'Digest realm="{REALM}", nonce="{flow}", qop="auth"',
                "INVITE",
                "sip:b",
                "alice",
                password="pw",
            ),
            digest.answer(
                f'Digest realm="{REALM}", nonce="", qop="auth"', "INVITE", "sip:b", "alice", password="pw"
            ),
        ):
            result = check(auth, value)
            assert isinstance(result, Rejected)
            self.assertTrue(result.stale)

    def test_a_guess_needs_a_nonce_of_ours(self) -> None:
        """Without one there is no guess to be counted, no account is looked up, and a right password looks like a wrong one."""
        auth = authenticator()
        asked: list[str] = []
        for phone in (
            Phone(Authenticator(nonce_sealer(KEY[::-1], "a", 1))),
            Phone(authenticator(epoch=2)),
            Phone(auth, now=NOW - 301),
            Phone(auth, now=NOW + 3600),
        ):
            right, wrong, nobody = (
                auth.check("INVITE", [value], REALM, NOW, lambda u, r: asked.append(u))
                for value in (
                    phone.answer(),
                    phone.answer(password="wrong"),
                    phone.answer(user="nobody"),
                )
            )
            assert isinstance(right, Rejected)
            self.assertEqual((right.stale, right.guessed), (True, False))
            self.assertEqual((right, right), (wrong, nobody))
        self.assertEqual(asked, [])

    def test_the_nonce_of_another_source(self) -> None:
        """Who forges an address cannot show a nonce that went there: that is stale, and neither a guess nor a proof."""
        auth = authenticator()
        challenge = auth.challenges(REALM, NOW, b"12345678", source="192.0.2.66")[0]
        for password, guessed in (("wrong", True), ("pw", False)):
            value = digest.answer(challenge, "INVITE", "sip:b", "alice", password=password, cnonce="c")
            for source in ("198.51.100.1", "192.0.2.6", "192.0.2.661", ""):
                result = auth.check("INVITE", [value], REALM, NOW, lookup, source=source)
                assert isinstance(result, Rejected)
                self.assertEqual((result.stale, result.guessed), (True, False), source)
            result = auth.check("INVITE", [value], REALM, NOW, lookup, source="192.0.2.66")
            self.assertEqual(isinstance(result, Rejected) and result.guessed, guessed)
        self.assertIsInstance(check(auth, Phone(auth).answer()), Accepted)
        plain = len(digest.parse_challenge(Phone(auth).challenges[0]).nonce)
        self.assertEqual(
            len(digest.parse_challenge(challenge).nonce), plain
        )  # it amplifies no more than before

    def test_replay(self) -> None:
        """The same Authorization twice is refused, within and after the nonce's life (RFC 7616 section 3.4)."""
        auth = authenticator()
        phone = Phone(auth)
        value = phone.answer(nc=1)
        self.assertIsInstance(check(auth, value), Accepted)
        for now in (NOW, NOW + 200, NOW + 301, NOW + 10_000):
            result = check(auth, value, now=now)
            assert isinstance(result, Rejected)
            self.assertTrue(result.stale)
        self.assertIsInstance(check(auth, phone.answer(nc=2)), Accepted)

    def test_requests_that_overtake_each_other(self) -> None:
        """Each count is accepted once, in any order within the window."""
        auth = authenticator()
        phone = Phone(auth)
        for nc in (3, 1, 2, 5, 4):
            self.assertIsInstance(check(auth, phone.answer(nc=nc)), Accepted, nc)
        for nc in (1, 2, 3, 4, 5):
            self.assertIsInstance(check(auth, phone.answer(nc=nc)), Rejected, nc)

    def test_without_qop_a_nonce_is_good_for_one_request(self) -> None:
        """There is no count to tell a replay by (RFC 8760 section 2.6)."""
        auth = authenticator()
        old = Phone(auth).challenges[1].replace(', qop="auth"', "")
        value = digest.answer(old, "REGISTER", "sip:example.com", "alice", password="pw")
        self.assertIsInstance(check(auth, value, method="REGISTER"), Accepted)
        result = check(auth, value, method="REGISTER")
        assert isinstance(result, Rejected)
        self.assertTrue(result.stale)


class NonceCountsTests(SynchronousTestCase):
    def test_window(self) -> None:
        """What is too far behind to be known is refused."""
        counts = NonceCounts(10, 300.0)
        self.assertTrue(counts.note("n", NOW, 1, NOW))
        self.assertTrue(counts.note("n", NOW, 1 + WINDOW, NOW))
        self.assertFalse(counts.note("n", NOW, 1, NOW))
        self.assertTrue(counts.note("n", NOW, 2, NOW))
        self.assertTrue(counts.note("n", NOW, 2**32 - 1, NOW))
        self.assertFalse(counts.note("n", NOW, 3, NOW))

    def test_memory_is_bounded_and_forgetting_lets_no_replay_in(self) -> None:
        """A nonce that was pushed out is refused, as is what is older than it."""
        counts = NonceCounts(3, 300.0)
        for number in range(5):
            self.assertTrue(counts.note(f"n{number}", NOW + number, 1, NOW + 5))
        self.assertEqual(len(counts), 3)
        for number in range(5):
            self.assertFalse(counts.note(f"n{number}", NOW + number, 1, NOW + 5))
        self.assertFalse(counts.note("late", NOW + 1, 1, NOW + 5))
        self.assertTrue(counts.note("n4", NOW + 4, 2, NOW + 5))
        self.assertTrue(counts.note("new", NOW + 5, 1, NOW + 5))

    def test_a_longer_life_brings_nothing_back(self) -> None:
        """What was forgotten under a shorter lifetime is no fresh nonce under a longer one."""
        counts = NonceCounts(10, 60.0)
        counts.note("n", NOW, 1, NOW)
        counts.note("m", NOW + 200, 1, NOW + 200)
        self.assertEqual(len(counts), 1)
        counts.live_for(3600.0, NOW + 200)
        self.assertFalse(counts.note("n", NOW, 1, NOW + 201))
        self.assertTrue(counts.note("m", NOW + 200, 2, NOW + 201))

    def test_expired_ones_are_forgotten(self) -> None:
        """What the lifetime refuses anyhow need not be kept."""
        counts = NonceCounts(10, 300.0)
        counts.note("n", NOW, 1, NOW)
        counts.note("m", NOW + 400, 1, NOW + 400)
        self.assertEqual(len(counts), 1)
