"""The reference, the sample files and the options say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

import voipcluster
from voipcluster.config import Config, NodeOptions, check_file, load_config, options

ETC = Path(voipcluster.__file__).parent.parent / "etc"
SAMPLE = ETC / "voipcluster.toml"


class SampleTests(SynchronousTestCase):
    def test_every_option_is_documented(self) -> None:
        """The sample holds each option once, in the order of the code, with its explanation behind it."""
        lines = {}
        section = ""
        for line in SAMPLE.read_text("utf-8").splitlines():
            if header := re.fullmatch(r"\[(\w+)\]", line):
                section = header[1]
            elif pair := re.fullmatch(r"(\w+) = .*?  +# (.*)", line):
                lines[f"{section}.{pair[1]}"] = pair[2]
        self.assertEqual(lines, {option.name: option.doc for option in options()})
        self.assertEqual(list(lines), [option.name for option in options()])

    def test_the_sample_changes_nothing(self) -> None:
        """Each value of the sample is the default."""
        self.assertEqual(evolve(load_config(str(SAMPLE)), path=None), Config())

    def test_two_nodes(self) -> None:
        """The example of two nodes is good, and is what the contract promises: at most 15 lines of settings."""
        path = ETC / "two-nodes.toml"
        self.assertEqual(check_file(str(path)), [])
        text = path.read_text("utf-8")
        tomllib.loads(text)
        self.assertLessEqual(
            len([line for line in text.splitlines() if line and not line.startswith("#")]), 15
        )

    def test_defaults_are_allowed(self) -> None:
        """Each default is of its own kind, or empty for "not set"."""
        for option in options():
            default: object = option.default
            if default == "":
                continue
            if option.name == "media.ports":
                default = "30000-39999"
            given = list(default) if isinstance(default, tuple) else default
            self.assertEqual(option.kind.take(given), option.default, option.name)


class WebHostTests(SynchronousTestCase):
    def host(self, address: str, host: str = "") -> str:
        config = Config(node=NodeOptions(address=address))
        return evolve(config, web=evolve(config.web, host=host)).web_host

    def test_page_is_local_unless_told_otherwise(self) -> None:
        """The page is on the node's own loopback address, else on 127.0.0.1, else where it was told to be."""
        self.assertEqual(self.host("127.0.0.2"), "127.0.0.2")
        self.assertEqual(self.host("::1"), "::1")
        self.assertEqual(self.host("10.0.0.1"), "127.0.0.1")
        self.assertEqual(self.host(""), "127.0.0.1")
        self.assertEqual(self.host("10.0.0.1", "0.0.0.0"), "0.0.0.0")


class ReloadTableTests(SynchronousTestCase):
    def test_the_guide_says_what_is_live(self) -> None:
        """Each option that F{docs/configuration.md} names in its table is in the right column."""
        live = {option.name: option.live for option in options()}
        text = (ETC.parent / "docs" / "configuration.md").read_text("utf-8")
        named = 0
        for section, at_once, later in re.findall(
            r"^\| `\[(\w+)\]` \|([^|]*)\|([^|]*)\|$", text, re.MULTILINE
        ):
            for cell, wanted in ((at_once, True), (later, False)):
                for word in re.findall(r"[a-z0-9_]+", cell):
                    if f"{section}.{word}" in live:
                        named += 1
                        self.assertEqual(live[f"{section}.{word}"], wanted, f"{section}.{word}")
        self.assertGreater(named, 30)
