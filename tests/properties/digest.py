"""Digest credentials and challenges (RFC 7616), as a stranger writes them."""

from __future__ import annotations

from tests.properties.outcome import failed, outcome, text_of
from voipcluster.errors import UsageError
from voipcluster.seal import Sealer
from voipcluster.sip import digest
from voipcluster.sip.auth import Authenticator, Credentials, Rejected
from voipcluster.sip.values import TOKEN

KEY = bytes(range(32))
KNOWN = Credentials(
    "alice",
    "example.com",
    {name: digest.ha1(name, "alice", "example.com", "x") for name in digest.ALGORITHMS},
)
AUTHENTICATOR = Authenticator(Sealer(KEY, b"nonce"))


def check_credentials(octets: bytes) -> None:
    text = text_of(octets)
    answer = outcome(lambda: digest.parse_answer(text))
    judged = AUTHENTICATOR.check("INVITE", [text, text], "example.com", 1e9, lambda user, realm: KNOWN)
    assert isinstance(judged, Rejected), "nobody knows the password"
    if failed(answer):
        return
    assert 0 <= answer.count < 1 << 32
    if answer.algorithm in digest.ALGORITHMS:
        assert not digest.proves(answer, KNOWN.ha1[answer.algorithm], "INVITE")
    tokens = [answer.algorithm] + ([] if answer.qop is None else [answer.qop])
    if all(TOKEN.fullmatch(token) for token in tokens) and len(str(answer)) <= digest.MAX_CREDENTIALS:
        assert digest.parse_answer(str(answer)) == answer


def check_challenge(octets: bytes) -> None:
    text = text_of(octets)
    challenge = outcome(lambda: digest.parse_challenge(text))
    chosen = digest.choose_challenge([text])
    try:
        answer = digest.answer(text, "REGISTER", "sip:example.com", "alice", password="x", cnonce="c")
    except UsageError:
        assert chosen is None and not failed(challenge)
        return
    except digest.ParseError:
        assert chosen is None and failed(challenge)
        return
    assert chosen == text
    again = outcome(lambda: digest.parse_answer(answer))
    if not failed(again) or len(answer) <= digest.MAX_CREDENTIALS:
        assert digest.proves(again, digest.ha1(again.algorithm, "alice", again.realm, "x"), "REGISTER")
