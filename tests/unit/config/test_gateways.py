"""C{[[gateway]]}: what it gives, and one line for each mistake."""

from __future__ import annotations

import json
import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.config import ConfigError, check_file, load_config
from voipcluster.config.gateways import OPTIONS, WAYS, gateway_of, read_secret, table_of
from voipcluster.errors import UsageError
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.permission import Permission

FULL = """
[sip]
port = 5070

[[gateway]]
name = "carrier-a"
kind = "pstn"
servers = ["198.51.100.7:5060", "sip.carrier.example"]
transport = "tcp"
sources = ["198.51.100.0/24"]
certificates = ["gw.carrier.example"]
username = "gw@example.com"
registrar = "sip:carrier.example"
auth_user = "4930"
secret = "SECRET"
aor = "sip:+4930@carrier.example"
contact_user = "reception"
realm = "carrier.example"
probe = 2
not_alive = [408, 503, 480]
channels = 30
hours = ["Mo-Fr 08:00-18:00"]
codecs = ["PCMA"]
trusted = true
enabled = false

[gateway.incoming]
callers = ["+"]
numbers = ["users", "!+49900"]

[[gateway]]
name = "pbx"
outgoing = { numbers = ["=110"] }
"""


class GatewaysTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = self.mktemp() + ".toml"
        self.secret = self.mktemp()
        self.write(self.secret, "sesame\n", 0o600)

    def write(self, path: str, text: str, mode: int = 0o644) -> str:
        Path(path).write_text(text.replace("SECRET", self.secret), encoding="utf-8")
        os.chmod(path, mode)
        return path

    def problems(self, text: str) -> list[str]:
        path = self.write(self.path, text)
        return [line.removeprefix(f"{path}:") for line in check_file(path)]

    def test_all(self) -> None:
        """Everything that a gateway may have is read, and what is left out has its default."""
        first, second = load_config(self.write(self.path, FULL)).gateways
        self.assertEqual(
            (first.name, first.kind, first.transport, first.channels), ("carrier-a", "pstn", "tcp", 30)
        )
        self.assertEqual((first.probe, first.trusted, first.enabled), (2.0, True, False))
        self.assertEqual(
            (first.aor, first.contact_user, first.realm, first.not_alive),
            ("sip:+4930@carrier.example", "reception", "carrier.example", (408, 503, 480)),
        )
        self.assertEqual(first.incoming, Permission(("+",), ("users", "!+49900")))
        self.assertEqual(first.outgoing, Permission())
        self.assertEqual(second, Gateway("pbx", outgoing=Permission(numbers=("=110",))))

    def test_table_and_back(self) -> None:
        """A gateway survives JSON, as the database, the commands and the link have it."""
        for gateway in load_config(self.write(self.path, FULL)).gateways:
            table = json.loads(json.dumps(table_of(gateway)))
            self.assertEqual(gateway_of(table), gateway)
            self.assertEqual(set(table), {*OPTIONS, *WAYS})

    def test_each_mistake(self) -> None:
        """Each is told with the line of its own key, in whichever gateway it is."""
        text = '[[gateway]]\nname = "a"\nservers = ["192.0.2.1"]\n\n[[gateway]]\n'
        for line, expected in (
            ("", "5: gateway.name: is missing"),
            ('name = "a b"', '6: gateway.name: found "a b", allowed is 1 to 63 letters'),
            ('name = "b"\nkind = "sip"', '7: gateway.kind: found "sip", allowed is one of voip, pstn'),
            (
                'name = "b"\nserver = []',
                '7: gateway.server: unknown key "server" in [[gateway]]; did you mean servers?',
            ),
            (
                'name = "b"\nservers = ["x:0"]',
                '7: gateway.servers: found ["x:0"], allowed is a list of hosts',
            ),
            ('name = "b"\nsources = ["192.0.2.1/24"]', "7: gateway.sources: found"),
            ('name = "b"\nhours = ["8-9"]', '7: gateway.hours: found ["8-9"], allowed is a list of times'),
            ('name = "b"\nchannels = -1', "7: gateway.channels: found -1, allowed is a whole number from 0"),
            (
                'name = "b"\n\nincoming.numbers = ["x"]',
                '8: gateway.incoming.numbers: found ["x"], allowed is',
            ),
            (
                'name = "b"\n[gateway.outgoing]\nnumber = []',
                '8: gateway.outgoing.number: unknown key "number"',
            ),
            ('name = "b"\nincoming = []', "7: gateway.incoming: found [], allowed is a table"),
            ('name = "b"\nregistrar = "sip:x"', "7: gateway.registrar: needs auth_user, which is not set"),
            ('name = "b"\naor = "sip:x@y"', "7: gateway.aor: needs registrar, which is not set"),
            (
                'name = "b"\naor = "x@y"\nregistrar = "sip:y"\nauth_user = "x"',
                '7: gateway.aor: found "x@y", allowed is a SIP URI',
            ),
            (
                'name = "b"\ncontact_user = "a b"\nregistrar = "sip:y"\nauth_user = "x"',
                '7: gateway.contact_user: found "a b", allowed is a user part',
            ),
            ('name = "b"\nrealm = "x"', "7: gateway.realm: needs auth_user, which is not set"),
            (
                'name = "b"\nnot_alive = [200]',
                "7: gateway.not_alive: found [200], allowed is a list of final",
            ),
            (
                'name = "b"\nnot_alive = [503, 503]',
                "7: gateway.not_alive: found [503, 503], allowed is a list",
            ),
            ('name = "b"\nnot_alive = 503', "7: gateway.not_alive: found 503, allowed is a list"),
            ('name = "b"\npassword = "x"', '7: gateway.password: unknown key "password"'),
            ('name = "a"', "6: gateway.name: a is the name of two gateways"),
            (
                'name = "b"\nsources = ["192.0.2.1"]',
                "7: gateway.sources: 192.0.2.1/32 is that of gateway a, too",
            ),
            (
                'name = "b"\nservers = ["192.0.2.1"]',
                "7: gateway.servers: 192.0.2.1/32 is that of gateway a, too",
            ),
        ):
            problem, *more = self.problems(f"{text}{line}\n")
            self.assertEqual(more, [])
            self.assertTrue(problem.startswith(expected), f"{problem}\n{expected}")

    def test_sample(self) -> None:
        """The sample shows every option, each with its default but for the name and the servers."""
        sample = (Path(__file__).parents[3] / "etc" / "voipcluster.toml").read_text(encoding="utf-8")
        _, _, rest = sample.partition("# [[gateway]]\n")
        lines = [line.removeprefix("# ") for line in rest.partition("\n\n")[0].splitlines()]
        (gateway,) = load_config(self.write(self.path, "\n".join(["[[gateway]]", *lines]))).gateways
        self.assertEqual(gateway, Gateway(gateway.name, gateway.servers))
        shown = {line.partition(" ")[0] for line in lines}
        self.assertEqual(shown, {*OPTIONS, *WAYS} - {"password"})

    def test_no_tables(self) -> None:
        """One table, or a value, where any number of tables belongs."""
        self.assertEqual(
            self.problems("[gateway]\n"), ["1: gateway: found {}, allowed are tables: [[gateway]]"]
        )
        self.assertEqual(
            self.problems("gateway = [1]\n"), ["1: gateway: found [1], allowed are tables: [[gateway]]"]
        )

    def test_near_name(self) -> None:
        """A section that is spelt nearly like this one is told so."""
        [problem] = self.problems('[[gatewy]]\nname = "a"\n')
        self.assertIn("did you mean [[gateway]]?", problem)

    def test_secret(self) -> None:
        """The file of a password is there, has one, and can be read by its owner only."""
        text = '[[gateway]]\nname = "a"\nauth_user = "x"\nsecret = "SECRET"\n'
        self.assertEqual(self.problems(text), [])
        os.chmod(self.secret, 0o640)
        [problem] = self.problems(text)
        self.assertIn("4: gateway.secret:", problem)
        self.assertIn("has mode 0640: others can read it; chmod 600", problem)
        self.write(self.secret, "\n", 0o600)
        self.assertIn(
            "the first line is not a password", str(self.assertRaises(UsageError, read_secret, self.secret))
        )
        os.remove(self.secret)
        self.assertIn("cannot be read: No such file", self.problems(text)[0])

    def test_nothing_is_used_of_a_wrong_file(self) -> None:
        """One gateway that is wrong keeps the whole file from being used."""
        path = self.write(self.path, '[[gateway]]\nname = "a"\n[[gateway]]\n')
        self.assertRaises(ConfigError, load_config, path)

    def test_password_is_not_shown(self) -> None:
        """A wrong password is in no error."""
        error = self.assertRaises(
            UsageError, gateway_of, {"name": "a", "auth_user": "x", "password": "ses\name"}
        )
        self.assertNotIn("ses", str(error))
