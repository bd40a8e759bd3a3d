"""The generated reference: everything that the code has is there, in Markdown that says what the code says."""

from __future__ import annotations

import re
import shlex
import tomllib

from twisted.trial.unittest import SynchronousTestCase

from docs import generated
from voipcluster.config import load_config, options, parse_set
from voipcluster.config.gateways import OPTIONS as GATEWAY_OPTIONS
from voipcluster.config.routes import OPTIONS as ROUTE_OPTIONS
from voipcluster.tap import Options
from voipcluster.voipctl.cli import command_line
from voipcluster.web.metrics import CATALOGUE


def cells(text: str) -> list[list[str]]:
    """The rows of all tables, cell by cell, without the lines that only draw them."""
    rows = [line[1:-1] for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)] for row in rows]


class OptionsTests(SynchronousTestCase):
    def test_every_option_with_its_default(self) -> None:
        """Each option has a row in its section, whose default is TOML that changes nothing."""
        found = {}
        section = ""
        for line in generated.options_text().splitlines():
            if heading := re.fullmatch(r"## \\\[(\w+)\\\]", line):
                section = heading[1]
            elif row := re.match(r"\| `(\w+)` \| `(.*?)` \| ", line):
                found[f"{section}.{row[1]}"] = row[2]
        self.assertEqual(list(found), [option.name for option in options()])
        for default in found.values():
            tomllib.loads(f"value = {default}")
        settings = [parse_set(f"{name}={text}") for name, text in found.items() if text != '""']
        self.assertEqual(load_config(None, settings, ()), load_config(None, [], ()))

    def test_gateways_and_routes(self) -> None:
        """Each key of a gateway and of a route that a file may have is there, with its explanation from the sample."""
        rows = {row[0].strip("`"): row for row in cells(generated.tables_text())}
        file_keys = {key for key, kind in GATEWAY_OPTIONS.items() if not kind.secret} | set(ROUTE_OPTIONS)
        self.assertEqual(file_keys - set(rows), set())
        self.assertNotIn("password", rows)
        self.assertIn("incoming", rows)
        self.assertEqual(
            {key for key in file_keys if not rows[key][3]}, {"name", "enabled"}, "keys without explanation"
        )

    def test_pages_are_links(self) -> None:
        """Where an explanation names a page it leads there; what Markdown would read as its own is shown."""
        self.assertEqual(
            generated.escaped("[a] | *b* (docs/media.md)"), r"\[a\] \| \*b\* ([media.md](../media.md))"
        )
        self.assertNotRegex(generated.options_text(), r"docs/[a-z-]+\.md")


class CommandsTests(SynchronousTestCase):
    def test_every_command(self) -> None:
        """Each command has a heading and its usage, inner ones by both words, and no option of all is repeated."""
        text = generated.commands_text()
        headings = re.findall(r"^## (voipctl .+)$", text, re.MULTILINE)
        self.assertEqual(len(headings), len(set(headings)))
        for words in (
            "status",
            "user add",
            "user set",
            "gateway add",
            "route list",
            "records",
            "check",
            "stop",
        ):
            self.assertIn(f"voipctl {words}", headings)
        top = {heading.split()[1] for heading in headings}
        (commands,) = (a.choices for a in command_line()._actions if a.dest == "command")
        self.assertEqual(top, set(commands))
        for usage in re.findall(r"^```text\n(.*)\n```$", text, re.MULTILINE):
            self.assertNotRegex(usage, r"--state-dir|--json|--url|-h\b")
        self.assertIn("| `--ttl TTL` | seconds until it expires \\[3600\\] |", text)

    def test_words_are_shown(self) -> None:
        """An example of the text with its words filled in is what the command line takes."""
        text = generated.commands_text()
        self.assertIn("voipctl user add [--password-stdin] NAME@DOMAIN\n", text)
        command_line().parse_args(shlex.split("user add --password-stdin NAME@DOMAIN"))

    def test_node(self) -> None:
        """Each option of twistd voipcluster is there."""
        text = generated.node_text()
        for name, *_ in Options.optParameters:
            self.assertIn(f"--{name}=", text)
        self.assertIn("--set=", text)


class MetricsTests(SynchronousTestCase):
    def test_every_metric(self) -> None:
        """Each metric has a row with its label."""
        rows = {row[0].strip("`"): row[1].strip("`") for row in cells(generated.metrics_text())[1:]}
        self.assertEqual(
            {name: described.label or "" for name, described in CATALOGUE.items()},
            {name: label for name, label in rows.items() if name != "voipcluster_node_info"},
        )
