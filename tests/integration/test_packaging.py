"""What is installed from a wheel and from an sdist is whole: plugin, command, package data."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from demo.programs import Program
from tests.integration.harness import IntegrationTestCase

CHECKOUT = Path(__file__).parent.parent.parent
KEPT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", "*.egg-info", "__pycache__", "build", "dist", "_trial_temp*", ".*_cache"
)


class PackagingTests(IntegrationTestCase):
    timeout = 300

    async def run_program(self, name: str, command: list[str], **options: Any) -> Program:
        """Run a program to its end, which must be a good one; nothing of the checkout is on its path."""
        environment = {"PYTHONPATH": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
        program = self.program(name, command, environment=environment, **options)
        self.assertEqual(await program.ended(200), 0, program.output[-3000:])
        return program

    async def build(self) -> dict[str, Path]:
        """Build an sdist of a copy of the checkout, and a wheel out of the sdist."""
        source = self.folder / "source"
        shutil.copytree(CHECKOUT, source, ignore=KEPT_OUT)
        built = self.folder / "built"
        await self.run_program(
            "build", [sys.executable, "-m", "build", "-o", str(built), str(source)], folder=self.folder
        )
        return {"wheel": next(built.glob("*.whl")), "sdist": next(built.glob("*.tar.gz"))}

    async def check_installed(self, package: Path) -> None:
        venv = self.folder / f"venv-{package.suffix[1:]}"
        await self.run_program("venv", [sys.executable, "-m", "venv", "--without-pip", str(venv)])
        python = str(venv / "bin" / "python")
        # what it depends on comes from here: PyPI is asked for nothing that is not there already
        here = next(path for path in sys.path if path.endswith("site-packages"))
        site = next(venv.glob("lib/python*/site-packages"))
        (site / "dependencies.pth").write_text(f"{here}\n")
        await self.run_program(
            "pip",
            [
                sys.executable,
                "-m",
                "pip",
                "--python",
                python,
                "install",
                "-q",
                "--no-compile",
                "--no-deps",
                "--ignore-installed",
                str(package),
            ],
        )
        twistd = [python, "-c", "from twisted.scripts.twistd import run; run()"]
        elsewhere = self.folder / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        helped = await self.run_program("twistd", [*twistd, "--help"], folder=elsewhere)
        self.assertRegex(helped.output, r"(?m)^ +voipcluster +A VoIP node")
        options = await self.run_program("twistd", [*twistd, "voipcluster", "--help"], folder=elsewhere)
        self.assertIn("--role", options.output)
        asked = await self.run_program("voipctl", [str(venv / "bin" / "voipctl"), "--help"], folder=elsewhere)
        self.assertIn("join-token", asked.output)
        code = (
            "import voipcluster, pathlib; top = pathlib.Path(voipcluster.__file__).parent;"
            "print(top, *(sorted(str(p.relative_to(top)) for p in top.rglob('*') if p.suffix != '.pyc')))"
        )
        listed = await self.run_program("python", [python, "-c", code], folder=elsewhere)
        self.assertTrue(listed.output.startswith(str(site)), listed.output[:200])
        files = set(listed.output.split()[1:])
        wanted = {
            str(path.relative_to(CHECKOUT / "voipcluster"))
            for path in (CHECKOUT / "voipcluster").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        self.assertIn("py.typed", files)
        self.assertEqual(wanted - files, set(), "files of the package that are not installed")

    async def test_wheel_and_sdist(self) -> None:
        """Both show the plugin and C{voipctl} in a fresh environment, and hold every file of the package."""
        packages = await self.build()
        await self.check_installed(packages["wheel"])
        await self.check_installed(packages["sdist"])
