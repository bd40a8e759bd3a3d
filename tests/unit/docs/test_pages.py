"""The pages of docs/ and the README: files that they show are good, commands that they name exist, links lead somewhere."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.pages import DOCS, Block, blocks, pages
from voipcluster.config import check_file
from voipcluster.simulate.__main__ import command_line as simulate_command_line
from voipcluster.tap import Options
from voipcluster.voipctl.cli import command_line

README = DOCS.parent / "README.md"
# files that pages name in a configuration, as somebody has them who does what the page says
FILES = {
    "rates.csv": "prefix,gateway,price\n+49,carrier-a,0.01\n",
    "carrier-b.secret": "secret\n",
    "hep.key": "secret\n",
    "database-password": "secret\n",
    "webhook-key": "secret\n",
    "node.pem": "",
    "node.key": "",
    "peers.pem": "",
}
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_PROGRAM = re.compile(
    r"(?:\$ )?(?:/opt/voipcluster/bin/)?(voipctl|twistd|python -m voipcluster\.simulate) (.*)"
)
_LACKS = re.compile(r"arguments are required|expected one argument")
_SHELL = ("", "sh", "text")


def place(page: Path, line: int) -> str:
    return f"{page.relative_to(DOCS.parent)}:{line}"


def commands() -> Iterator[tuple[str, str, str, bool]]:
    """
    Where, program and words of each command line: in blocks, in lines that are set in as code, and between words.

    @return: at last, whether it is there to be typed as it stands.
    """
    for page in pages():
        for block in blocks(page):
            if block.language in _SHELL:
                for number, line in enumerate(block.text.splitlines(), block.line):
                    if match := _PROGRAM.match(line):
                        yield place(page, number), match[1], match[2], True
        prose = re.sub(
            r"(?ms)^ *```.*?^ *```$", lambda found: "\n" * found[0].count("\n"), page.read_text("utf-8")
        )
        for number, line in enumerate(prose.splitlines(), 1):
            set_in = line.startswith("    ")
            for text in [line[4:]] if set_in else _SPAN.findall(line):
                if match := _PROGRAM.match(text):
                    yield place(page, number), match[1], match[2], set_in


def words(text: str) -> list[str]:
    """As a shell has them; C{...} stands for something that is left out, and C{[...]} for what may be."""
    text = re.sub(r"[][]", "", text) if "[" in text and "='" not in text and '="' not in text else text
    found = shlex.split(text, comments=True)
    for end in ("|", ">", "<", "&&"):
        if end in found:
            found = found[: found.index(end)]
    return [word for word in found if word != "..."]


class CommandTests(SynchronousTestCase):
    parsers = {"voipctl": command_line(), "python -m voipcluster.simulate": simulate_command_line()}

    def parse(self, program: str, given: list[str]) -> str:
        """What is wrong with a command line, or nothing."""
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
                if program == "twistd":
                    if "voipcluster" in given:
                        Options().parseOptions(given[given.index("voipcluster") + 1 :])
                else:
                    self.parsers[program].parse_args(given)
        except SystemExit as ended:
            if ended.code:  # --help ends with 0
                return f"{said.getvalue().strip()}{ended.code if isinstance(ended.code, str) else ''}"
        return ""

    def test_every_command_line_is_one(self) -> None:
        """voipctl, twistd voipcluster and the simulator understand each command line that a page shows."""
        wrong = []
        seen = 0
        for where, program, text, whole in commands():
            seen += 1
            error = self.parse(program, words(text))
            # prose names commands without the rest
            if error and (whole or not _LACKS.search(error)):
                wrong.append(f"{where}: {program} {text}\n    {error}")
        self.assertEqual(wrong, [], "\n".join(wrong))
        self.assertGreater(seen, 100)


class ConfigurationTests(SynchronousTestCase):
    def test_every_file_is_good(self) -> None:
        """Each configuration that a page shows passes voipctl check; routes may go to gateways of the page's other blocks."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        for name, text in FILES.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        wrong = []
        seen = 0
        for page in pages():
            shown = [block for block in blocks(page) if block.language == "toml"]
            for block in shown:
                seen += 1
                file = folder / "voipcluster.toml"
                text = block.text + self.gateways(block, shown)
                file.write_text(text.replace("/etc/voipcluster/", f"{folder.absolute()}/"))
                wrong += [
                    f"{place(page, block.line)}: {problem}" for problem in check_file(str(file), ("planned",))
                ]
        self.assertEqual(wrong, [], "\n".join(wrong))
        self.assertGreater(seen, 8)

    def gateways(self, block: Block, shown: list[Block]) -> str:
        """The gateways that a block has routes to and does not declare, from the other blocks of its page."""
        content = tomllib.loads(block.text)
        if "route" not in content:
            return ""
        declared = {gateway["name"] for gateway in content.get("gateway", ())}
        wanted = {route["gateway"] for route in content["route"]} - declared
        found = {
            gateway["name"]: gateway
            for one in shown
            for gateway in tomllib.loads(one.text).get("gateway", ())
        }
        return "".join(
            f'[[gateway]]\nname = "{name}"\nservers = ["{found[name]["servers"][0]}"]\n'
            for name in sorted(wanted)
        )

    def test_no_configuration_hides(self) -> None:
        """A block that begins with a section of the configuration says that it is TOML, else nobody checks it."""
        for page in pages():
            for block in blocks(page):
                if block.language in ("", "text") and page.name != "phones.md":
                    self.assertNotRegex(block.text, r"\A\[\[?\w+\]", place(page, block.line))


class ProgramTests(SynchronousTestCase):
    def test_every_program_is_python(self) -> None:
        """Each Python block compiles, and all that it imports is there; those of embedding.md run in test_embedding."""
        seen = 0
        for page in pages():
            for block in blocks(page):
                if block.language == "python":
                    seen += 1
                    where = place(page, block.line)
                    tree = compile(
                        block.text, where, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
                    )
                    tree.body = [one for one in tree.body if isinstance(one, ast.Import | ast.ImportFrom)]
                    exec(compile(tree, where, "exec"), {})
        self.assertGreater(seen, 4)


class LinkTests(SynchronousTestCase):
    def test_links_of_the_readme(self) -> None:
        """Each file that the README leads to is there; those of the pages are checked when the site is made."""
        links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", README.read_text("utf-8"))
        self.assertGreater(len(links), 5)
        for link in links:
            if not link.startswith(("http:", "https:")):
                self.assertTrue((DOCS.parent / link).exists(), link)

    def test_files_that_code_names(self) -> None:
        """A page that the code, the samples or the tests name is there."""
        top = DOCS.parent
        for folder in ("voipcluster", "demo", "bench", "tests", "etc", "script"):
            for file in (top / folder).rglob("*"):
                if "node_modules" in file.parts:
                    continue  # programs of others, of some megabytes
                if file.suffix in (".py", ".toml", ".yml", ".service", "") and file.is_file():
                    for name in re.findall(
                        r"\bdocs/((?:[a-z-]+/)*[a-z-]+\.md)\b", file.read_text("utf-8", "replace")
                    ):
                        self.assertTrue((DOCS / name).exists(), f"{file.relative_to(top)}: docs/{name}")
