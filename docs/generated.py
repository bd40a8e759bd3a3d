"""
The parts of the reference that are made from the code: C{```{generated} options} in a page of Markdown, and so on.

Each text is Markdown with headings of the second level, so that a page has its title and its first words to itself.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from voipcluster.config.gateways import OPTIONS as GATEWAY_OPTIONS
from voipcluster.config.options import SECTIONS, options
from voipcluster.config.routes import OPTIONS as ROUTE_OPTIONS
from voipcluster.tap import Options
from voipcluster.voipctl.cli import command_line
from voipcluster.web.metrics import CATALOGUE

SAMPLE = Path(__file__).parent.parent / "etc" / "voipcluster.toml"
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#])")
_FILE = re.compile(r"\bdocs/([a-z-]+\.md)\b")
_SAMPLE_LINE = re.compile(r"# (\w+) = (.+?)(?: +# (.+))?")


def escaped(text: str) -> str:
    """Text as Markdown that shows it as it is, but with names of our own pages as links."""
    return _FILE.sub(r"[\1](../\1)", _SPECIAL.sub(r"\\\1", text))


def code(text: str) -> str:
    """In a table C{|} ends a cell, also in code."""
    return f"`` {text} ``".replace("|", "\\|") if "`" in text else f"`{text}`".replace("|", "\\|")


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Lines of a table; its cells are Markdown already."""
    names = list(header)
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _toml(option: Any) -> str:
    """A default as the file has it."""
    if option.name == "media.ports":
        return json.dumps("{}-{}".format(*option.default))
    default = list(option.default) if isinstance(option.default, tuple) else option.default
    return json.dumps(default)


def options_text() -> str:
    """Every option, section by section."""
    lines: list[str] = []
    for section, made_from in SECTIONS.items():
        lines += [f"## \\[{section}\\]", "", escaped(_docstring(made_from)), ""]
        rows = (
            (
                code(option.key),
                code(_toml(option)),
                escaped(option.kind.allowed),
                "yes" if option.live else "no",
                escaped(option.doc),
            )
            for option in options()
            if option.section == section
        )
        lines += table(("option", "default", "allowed", "live", "what it is"), rows)
    return "\n".join(lines)


def _docstring(made_from: type) -> str:
    """The first paragraph of an epytext docstring as plain text."""
    text = re.sub(r"[A-Z]\{([^}]*)\}", r"\1", made_from.__doc__ or "")
    return " ".join(text.strip().partition("\n\n")[0].split())


def sample_lines(heading: str) -> dict[str, tuple[str, str]]:
    """Value and explanation of each key of a commented table of the sample file, such as C{[[gateway]]}."""
    found: dict[str, tuple[str, str]] = {}
    inside = False
    for line in SAMPLE.read_text("utf-8").splitlines():
        if line.startswith("# [[") or not line.startswith("#"):
            inside = line == f"# {heading}"
        elif inside and (match := _SAMPLE_LINE.fullmatch(line)):
            found[match[1]] = match[2], match[3] or ""
    return found


def tables_text() -> str:
    """Every option of C{[[gateway]]} and C{[[route]]}."""
    lines: list[str] = []
    kinds: Mapping[str, Mapping[str, Any]] = {"[[gateway]]": GATEWAY_OPTIONS, "[[route]]": ROUTE_OPTIONS}
    for heading, known in kinds.items():
        sample = sample_lines(heading)
        lines += [f"## {escaped(heading)}", ""]
        rows = []
        for key, kind in known.items():
            if kind.secret:  # of commands only: the file has the name of a file
                continue
            example, text = sample.get(key, ("", ""))
            rows.append((code(key), code(example) if example else "", escaped(kind.allowed), escaped(text)))
        for key in sample.keys() - known.keys():  # inner tables
            rows.append((code(key), code(sample[key][0]), "a table", escaped(sample[key][1])))
        lines += table(("option", "such as", "allowed", "what it is"), rows)
    return "\n".join(lines)


def node_text() -> str:
    """The command line of a node."""
    usage = "\n".join(line.rstrip() for line in Options().getUsage(width=100).splitlines())
    return f"```text\ntwistd -n voipcluster [options]\n\n{usage}\n```\n"


def _words(command: argparse.ArgumentParser) -> Iterator[tuple[str, str, str]]:
    """Words of one command, what is chosen or filled in, and help; without those that all commands have."""
    for action in command._actions:  # argparse shows its actions in help only
        if isinstance(action, argparse._SubParsersAction) or action.dest in (
            "help",
            "state_dir",
            "url",
            "json",
        ):
            continue
        choices = "|".join(map(str, action.choices)) if action.choices else ""
        metavar = action.metavar if isinstance(action.metavar, str) else choices or action.dest.upper()
        shown = ", ".join(action.option_strings) or metavar
        if action.option_strings and action.nargs != 0:
            shown += f" {metavar}"
        text = (action.help or "") % {**vars(action), "prog": command.prog} if action.help else ""
        yield shown, choices, text


def _subcommands(command: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def commands(parser: argparse.ArgumentParser | None = None) -> Iterator[argparse.ArgumentParser]:
    """Every command of voipctl that does something, in the order of its help."""
    for command in _subcommands(parser or command_line()).values():
        inner = list(commands(command))
        yield from inner or [command]


def commands_text() -> str:
    """Every command of voipctl."""
    common = [(code(name), escaped(text)) for name, text in _common()]
    lines = ["## All commands take", "", *table(("option", "what it is"), common)]
    for command in commands():
        usage = " ".join(command.format_usage().removeprefix("usage: ").split())
        for options_of_all in ("[-h] ", "[--state-dir DIR] ", "[--url URL] ", "[--json] "):
            usage = usage.replace(options_of_all, "").removesuffix(options_of_all.strip())
        lines += [
            f"## {command.prog}",
            "",
            f"```text\n{usage.strip()}\n```",
            "",
            escaped(command.description or ""),
            "",
        ]
        words = list(_words(command))
        if words:
            lines += table(("word", "what it is"), ((code(shown), escaped(text)) for shown, _, text in words))
    return "\n".join(lines)


def _common() -> Iterator[tuple[str, str]]:
    for action in command_line()._actions:
        if action.option_strings and action.dest != "command":
            metavar = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
            yield ", ".join(action.option_strings) + metavar, action.help or ""


def metrics_text() -> str:
    """Everything that a node counts."""
    rows = [
        (code(described.name), code(described.label) if described.label else "", escaped(described.help))
        for described in CATALOGUE.values()
    ]
    rows.append((code("voipcluster_node_info"), "`version`, `node`, `role`", "Which node this is; always 1."))
    return "\n".join(table(("metric", "label", "what it is"), rows))


TEXTS: dict[str, Callable[[], str]] = {
    "options": options_text,
    "tables": tables_text,
    "node": node_text,
    "commands": commands_text,
    "metrics": metrics_text,
}


class Generated(SphinxDirective):
    """C{```{generated} NAME}: one of L{TEXTS}."""

    required_arguments = 1

    def run(self) -> list[Node]:
        name = self.arguments[0]
        if name not in TEXTS:
            raise self.error(f"nothing is generated under the name {name!r}: {', '.join(TEXTS)}")
        return self.parse_text_to_nodes(TEXTS[name](), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("generated", Generated)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
