"""Files and flags that an operator may have typed."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.properties.config import LONGEST, check_file, check_flag
from tests.unit.strategies import damaged
from voipcluster.config.options import options

SAMPLE = Path(__file__).parents[3] / "etc" / "voipcluster.toml"
NAMES = st.sampled_from(
    [option.name for option in options()] + ["cluster.treshold", "limit.calls", "x", "a.b.c"]
)
VALUES = st.sampled_from(
    ["1", "-1", "0.5", "1e400", "nan", "true", '"x"', "'''x\ny'''", "[1, 2]", '["a", "b"]', "{a = 1}", "1979-05-27", "x", ""]
)  # fmt: skip


@st.composite
def files(draw: st.DrawFn) -> bytes:
    lines = []
    for name in draw(st.lists(NAMES, max_size=6, unique=True)):
        section, _, key = name.partition(".")
        lines += draw(st.sampled_from([[f"[{section}]"], [f'["{section}"] # "'], []]))
        lines.append(f"{key or 'x'} = {draw(VALUES)}")
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines).encode()


class GeneratedConfigTests(SynchronousTestCase):
    @given(files() | damaged(files()))
    def test_files(self, content: bytes) -> None:
        """A file is used, or each mistake is one line that names the place."""
        check_file(content)

    @given(st.builds("{}={}".format, NAMES, VALUES).map(str.encode) | st.binary(max_size=40))
    def test_flags(self, argument: bytes) -> None:
        """So is a flag."""
        check_flag(argument)

    def test_the_sample(self) -> None:
        """The sample file is what the check begins with, in pieces of the length that it looks at."""
        content = SAMPLE.read_bytes()
        for start in range(0, len(content), LONGEST):
            check_file(content[start : start + LONGEST])
