"""The files that a configuration names, looked into before a node starts: what it could not use is a mistake with its place."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.net.tls_peer import authority
from voipcluster.config import ConfigError, check_file, load_config, look_into, parse_set
from voipcluster.config.files import secret_of
from voipcluster.config.load import Verdict
from voipcluster.errors import UsageError


class SecretTests(SynchronousTestCase):
    def file(self, content: bytes, mode: int = 0o600) -> str:
        path = Path(self.mktemp())
        path.write_bytes(content)
        path.chmod(mode)
        return str(path)

    def test_read(self) -> None:
        self.assertEqual(secret_of(self.file(b"s3cret\n")), b"s3cret")
        self.assertEqual(secret_of(""), b"")

    def test_troubles(self) -> None:
        """One line that names the file and what to do, and nothing of what is in it."""
        for name, words in (
            (self.file(b"s3cret", 0o644), "chmod 600"),
            (self.file(b" \n"), "empty"),
            (str(Path(self.mktemp())), "No such file"),
        ):
            error = str(self.assertRaises(UsageError, secret_of, name))
            self.assertIn(name, error)
            self.assertIn(words, error)
            self.assertNotIn("s3cret", error)


DOMAIN = '[cluster]\ndomain = ["a.b"]\n'
HEP = '[hep]\nserver = "192.0.2.9"\nauth_key_file = '
HOOK = '[records]\nwebhook = "http://192.0.2.9/"\nwebhook_secret_file = '
DATABASE = '[database]\nurl = "postgresql://v@192.0.2.9/v"\npassword_file = '
GATEWAY = '[[gateway]]\nname = "a"\nservers = ["192.0.2.1"]\nauth_user = "u"\nsecret = '


class FilesTests(SynchronousTestCase):
    def setUp(self) -> None:
        # where another user may look, which is not said of the directory that the tests run in
        self.folder = Path(tempfile.mkdtemp())
        self.folder.chmod(0o755)
        self.addCleanup(lambda: [one.unlink() for one in self.folder.iterdir()] and self.folder.rmdir())
        self.path = self.folder / "v.toml"

    def file(self, name: str, content: str, mode: int = 0o600) -> str:
        path = self.folder / name
        path.write_text(content)
        path.chmod(mode)
        return str(path)

    def look(self, text: str) -> Verdict:
        self.path.write_text(text + DOMAIN)
        self.path.chmod(0o644)
        found = look_into(str(self.path), files=True)
        place = f"{self.path}:"
        return Verdict(*([line.removeprefix(place) for line in lines] for lines in found))

    def test_missing(self) -> None:
        """Line, option, file, and why; all of them at once."""
        self.assertEqual(
            self.look('[tls]\ncertificate = "/nope"\nkey = "/nope2"\nca = "/nope3"\n').errors,
            [
                "2: tls.certificate: /nope: No such file or directory",
                "3: tls.key: /nope2: No such file or directory",
                "4: tls.ca: /nope3: No such file or directory",
            ],
        )
        for before, name in (
            (HEP, "hep.auth_key_file"), (HOOK, "records.webhook_secret_file"), (DATABASE, "database.password_file"),
        ):  # fmt: skip
            self.assertEqual(
                self.look(f'{before}"/nope"\n').errors, [f"3: {name}: /nope: No such file or directory"]
            )

    def test_open_to_others(self) -> None:
        """A secret that others may read is none, and the remedy is said."""
        path = self.file("secret", "s3cret\n", 0o644)
        for before in (HEP, HOOK, DATABASE):
            (error,) = self.look(f'{before}"{path}"\n').errors
            self.assertTrue(error.endswith(f"chmod 600 {path}"), error)

    def test_good(self) -> None:
        """Nothing is said of good ones; nor of a secret that nothing needs, nor where files are not to be looked into."""
        path, pair = self.file("secret", "s3cret\n"), authority(self).issue("ours")
        tls = f'[tls]\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"\n'
        text = "".join(f'{before}"{path}"\n' for before in (HEP, HOOK, DATABASE))
        self.assertEqual(self.look(text + tls), ([], []))
        self.assertEqual(self.look('[records]\nwebhook_secret_file = "/nope"\n'), ([], []))
        self.path.write_text(f'{HEP}"/nope"\n')
        self.assertEqual(check_file(str(self.path)), [])

    def test_certificates(self) -> None:
        """What is no certificate, no key, or the key of another one."""
        made = authority(self)
        pair, other, wrong = made.issue("ours"), made.issue("other"), self.file("wrong", "wrong")
        for certificate, key, words in (
            (wrong, pair.key, f"2: tls.certificate: {wrong}: not a certificate in PEM"),
            (pair.certificate, wrong, f"3: tls.key: {wrong}: not a private key in PEM"),
            (pair.certificate, other.key, f"3: tls.key: {other.key}: not the key of the certificate in"),
        ):
            (error,) = self.look(f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n').errors
            self.assertTrue(error.startswith(words), error)

    def test_flag(self) -> None:
        """Of a flag the place is the flag."""
        setting = parse_set("tls.certificate=/nope")
        error = self.assertRaises(ConfigError, load_config, None, [setting], files=True)
        self.assertEqual(str(error), "--set tls.certificate: /nope: No such file or directory")

    def test_not_for_this_user(self) -> None:
        """Who checks may be another user than the node: that is a caution to him, and a mistake to the node."""
        secret = self.file("secret", "s3cret\n", 0o600 if os.geteuid() == 0 else 0)
        text = f'{HEP}"{secret}"\n[tls]\ncertificate = "{secret}"\n{GATEWAY}"{secret}"\n{DOMAIN}'
        self.path.write_text(text)
        if os.geteuid() == 0:
            os.seteuid(65534)
            self.addCleanup(os.seteuid, 0)
        config = load_config(str(self.path), (), ("planned",), files=True)
        told = [str(one).removeprefix(f"{self.path}:") for one in config.cautions]
        self.assertEqual(
            [one.split(" ")[1] for one in told], ["hep.auth_key_file:", "tls.certificate:", "gateway.secret:"]
        )
        for one in told:
            self.assertIn("Permission denied: it could not be looked at", one)
        error = self.assertRaises(ConfigError, load_config, str(self.path), files=True, unread=False)
        self.assertEqual(len(error.problems), 3)
