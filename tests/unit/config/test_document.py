"""A configuration as TOML with comments: read again it is the same, and every option is explained."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

import voipcluster
from voipcluster.config import Config, load_config, options, parse_set
from voipcluster.config.document import HIDDEN, defaults, toml, values_of, written

SAMPLE = Path(voipcluster.__file__).parent.parent / "etc" / "voipcluster.toml"
FILE = """
[cluster]
domain = ["a.example", "b.example"]
[media]
ports = "20000-20999"
[tls]
certificate = "cert.pem"
[[gateway]]
name = "a"
servers = ["192.0.2.1"]
transport = "tls"
incoming = { numbers = ["users", "!+49900"] }
[[route]]
prefix = "+49"
gateway = "a"
strip = 3
prepend = "0"
callers = ["+4930"]
"""


class DocumentTests(SynchronousTestCase):
    def read(self, text: str) -> Config:
        path = self.mktemp()
        Path(path).write_text(text, encoding="utf-8")
        return evolve(load_config(path), path=None)

    def test_defaults(self) -> None:
        """What is printed changes nothing, and has every option in the order of the sample file."""
        self.assertEqual(self.read(defaults()), Config())
        document, sample = tomllib.loads(defaults()), tomllib.loads(SAMPLE.read_text("utf-8"))
        self.assertEqual(document, sample)
        self.assertEqual([list(table) for table in document.values()], [list(t) for t in sample.values()])

    def test_explained(self) -> None:
        """Words, kind with its unit, default, and whether it is live stand in front of each option."""
        text = " ".join(line.removeprefix("# ") for line in defaults().splitlines())
        for option in options():
            self.assertIn(" ".join(option.doc.split()), text, option.name)
        self.assertIn("(a number above 0 and at most 3600 s, default 1.0; live) period = 1.0", text)
        self.assertIn("(a whole number from 1 to 65535, default 5060; next start) port = 5060", text)
        self.assertEqual(len(re.findall(r"; (?:live|next start)\) ", text)), len(list(options())))

    def test_read_again(self) -> None:
        """A file with gateways and routes is the same again."""
        config = self.read(FILE)
        self.assertEqual(self.read(written(values_of(config))), config)

    def test_secrets(self) -> None:
        """What is secret is not shown; that it is set is."""
        config = load_config(None, [parse_set("node.join=abcdefgh1234@10.0.0.1")])
        values = values_of(config)
        self.assertEqual(values["node"]["join"], HIDDEN)
        self.assertNotIn("abcdefgh1234", written(values))

    def test_of_another_version(self) -> None:
        """A section and an option that are unknown here are shown without comment."""
        text = written({"cluster": {"threshold": 0.5, "colour": "red"}, "moon": {"phase": 1}})
        self.assertEqual(
            tomllib.loads(text), {"cluster": {"threshold": 0.5, "colour": "red"}, "moon": {"phase": 1}}
        )

    def test_values(self) -> None:
        """Texts that somebody made up are texts in TOML, too."""
        for value in (
            'a"b\\c',
            "tab\there",
            "line\nbreak",
            "\x7f\x1b",
            "\u00e4 \U0001f600",
            [],
            ["x", "y"],
            0.5,
            True,
            {"a": [1]},
        ):
            self.assertEqual(tomllib.loads(f"v = {toml(value)}")["v"], value)
