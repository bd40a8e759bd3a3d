"""The text of a join token."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.net.join import JoinToken, parse_token


class TokenText(SynchronousTestCase):
    def test_text_and_back(self) -> None:
        """TOKEN@ADDRESS holds fingerprint, secret and place; the usual port is left out."""
        for host, port, address in (
            ("10.0.0.1", 8787, "10.0.0.1"),
            ("10.0.0.1", 9000, "10.0.0.1:9000"),
            ("2001:db8::1", 8787, "[2001:db8::1]"),
            ("2001:db8::1", 9000, "[2001:db8::1]:9000"),
            ("a.example.com", 8787, "a.example.com"),
        ):
            token = JoinToken(bytes(range(200, 232)), b"\xff" * 16, host, port)
            self.assertTrue(str(token).endswith("@" + address), str(token))
            self.assertEqual(parse_token(f" {token}\n"), token)

    def test_one_word_for_a_shell(self) -> None:
        """The token part needs no quotes and has no second '@'."""
        text = str(JoinToken(b"\xfb" * 32, b"\xff" * 16, "10.0.0.1", 8787))
        self.assertRegex(text, r"\A[A-Za-z0-9_-]{64}@10\.0\.0\.1\Z")

    def test_bad_texts(self) -> None:
        """Each gives one line that says what is wrong, and does not repeat the secret."""
        good = str(JoinToken(b"\xfb" * 32, b"\xff" * 16, "10.0.0.1", 8787))
        token = good.partition("@")[0]
        for bad in ("", token, "@10.0.0.1", token[:-4] + "@10.0.0.1", token + "@", token + "@10.0.0.1:x", token + "@[x]",
                    "ä" + token[1:] + "@10.0.0.1", token[:-1] + "!@10.0.0.1"):  # fmt: skip
            error = str(self.assertRaises(UsageError, parse_token, bad))
            self.assertNotIn(token[:20], error)
            self.assertNotIn("\n", error)
