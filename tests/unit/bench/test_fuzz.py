"""How the fuzzer judges an input, keeps it, and counts."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.fuzz import findings
from bench.fuzz.__main__ import Run, replay
from bench.fuzz.findings import Finding, Folder, judge
from bench.fuzz.targets import ROOT, TARGETS


def fine(data: bytes) -> None:
    assert data != b"wrong"


def broken(data: bytes) -> None:
    {}[data]


def slow(data: bytes) -> None:
    sum(range(100_000))


class JudgeTests(SynchronousTestCase):
    def test_the_first_octet_names_the_check(self) -> None:
        """The rest is its input, and any number names one."""
        self.assertIsNone(judge([fine, broken], b"\x00any"))
        self.assertIsNone(judge([fine, broken], b"\x02any"))
        self.assertIsNotNone(judge([fine, broken], b"\x01any"))

    def test_an_unexpected_exception(self) -> None:
        """Its kind and place name the fault, so that inputs with one fault are one finding."""
        one, two = judge([broken], b"\x00a"), judge([broken], b"\x00b")
        assert one is not None and two is not None
        self.assertEqual(one.key, two.key)
        self.assertTrue(one.key.startswith("broken-KeyError-test_fuzz-"), one.key)
        self.assertIn("KeyError: b'a'", one.text)
        other = judge([fine], b"\x00wrong")
        assert other is not None
        self.assertIn("AssertionError", other.key)

    def test_a_slow_input(self) -> None:
        """More CPU than its length explains, in each of several looks."""
        self.assertIsNone(judge([slow], b"\x00a"))
        self.patch(findings, "BASE", 0.0)
        self.patch(findings, "PER_OCTET", 1e-9)
        finding = judge([slow], b"\x00a")
        assert finding is not None
        self.assertEqual(finding.key, "slow-slow")
        self.assertIn("for 2 octets", finding.text)


class FolderTests(SynchronousTestCase):
    def test_the_shortest_input_of_a_fault_is_kept(self) -> None:
        """One file with the octets and one with what happened; the folder is made for the first."""
        folder = Folder(Path(self.mktemp()) / "sip")
        finding = Finding("check-KeyError-x-1", "text")
        self.assertTrue(folder.keep(finding, b"\x00long"))
        self.assertFalse(folder.keep(finding, b"\x00"))
        self.assertFalse(folder.keep(finding, b"\x00longer"))
        self.assertTrue(folder.keep(Finding("other", "text"), b"\x01"))
        kept = sorted(file for file in folder.path.iterdir() if file.suffix != ".txt")
        self.assertEqual([file.read_bytes() for file in kept], [b"\x00", b"\x01"])
        self.assertEqual(Path(f"{kept[0]}.txt").read_text(), "text")


class RunTests(SynchronousTestCase):
    def test_what_the_fuzzer_says(self) -> None:
        """Executions go on from those of a process that ended; coverage is the latest."""
        run = Run()
        for line in (
            "#2\tINITED cov: 5 ft: 6 corp: 1/1b exec/s: 0 rss: 30Mb",
            "FINDING check-x",
            "#400\tNEW    cov: 7 ft: 9 corp: 3/9b lim: 4 exec/s: 0 rss: 30Mb L: 1/1 MS: 1 Custom-",
            "stat::number_of_executed_units: 512",
            "INFO: seed corpus: files: 3",
        ):
            run.read(line, 1000)
        self.assertEqual(
            (run.executions, run.coverage, run.features, run.corpus, run.found), (1512, 7, 9, 3, ["check-x"])
        )

    def test_a_found_input_again(self) -> None:
        """One command runs it without the fuzzer."""
        file = Path(self.mktemp())
        file.write_bytes(b"\x02sip:alice@example.com")
        self.assertEqual(replay(TARGETS["sip"], [file]), 0)
        self.patch(findings, "BASE", -1.0)
        self.assertEqual(replay(TARGETS["sip"], [file]), 1)


class TargetTests(SynchronousTestCase):
    def test_what_leads_the_way(self) -> None:
        """Each guide is a module that is there: a name that a release has moved would lead nowhere, in silence."""
        for target in TARGETS.values():
            for name in target.guides:
                self.assertIsNotNone(find_spec(name), f"{target.name}: {name}")

    def test_no_seed_is_cut(self) -> None:
        """Inputs are as long as what a target starts from, or what was found is not looked at again."""
        for target in TARGETS.values():
            for data in target.inputs():
                self.assertLessEqual(len(data), target.longest, f"{target.name} {data[:40]!r}")

    def test_help(self) -> None:
        """The script's help and the documentation name all targets."""
        names = ", ".join(TARGETS)
        self.assertIn(f"# Targets: {names}.\n", (ROOT / "script" / "fuzz").read_text())
        documented = (ROOT / "docs" / "benchmarks.md").read_text()
        for name in TARGETS:
            self.assertIn(f"\n| `{name}` | ", documented)
