"""
Other releases of voipcluster to run beside this one: copies of the package in which some lines are otherwise.

A clean checkout has no history to take an earlier one from, and a later one does not exist yet.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from demo.cluster import CHECKOUT
from voipcluster import __version__
from voipcluster.store.migrations import HEAD

Edits = Mapping[str, tuple[tuple[str, str], ...]]
"""By file of the package: what is there, once, and what is to be there instead."""

AFTER_HEAD: Final = f"{int(HEAD) + 1:04}"

EARLIER: Final[Edits] = {
    "__init__.py": ((f'__version__ = "{__version__}"', '__version__ = "0.0.9"'),),
    # it does not say which versions of the link it speaks, nor which kinds of messages it knows
    "services/cluster/mesh.py": (("**self._spoken.told(),", '"version": __version__,'),),
    "services/cluster/members.py": (('            "kinds": list(self._received.kinds),\n', ""),),
    "services/cluster/received.py": (('            "tallies": self._tallies,\n', ""),),
    "balance/codec.py": (
        ('        Field("age", float, -1, TIME, -1.0),\n    ),\n)\n_BINDINGS', "    ),\n)\n_BINDINGS"),
        ('        Field("refusal_rate", float, 0, 1e9, 0.0),\n', ""),
        ('        Field("quota", float, 0, 1, 1.0),\n', ""),
        ('        Field("granted", float, 0, 1, 1.0),\n', ""),
        ('        Field("period", float, 0, 3600, 0.0),\n', ""),
    ),
}

LATER: Final[Edits] = {
    "__init__.py": ((f'__version__ = "{__version__}"', '__version__ = "0.2.0"'),),
    "balance/protocol.py": (("OLDEST, NEWEST = 1, 1", "OLDEST, NEWEST = 1, 2"),),
    # a field that no node before has, in each report and in each registration
    "balance/report.py": (
        ("    spontaneous: bool = True\n", '    spontaneous: bool = True\n    mood: str = "fine"\n'),
    ),
    "balance/messages.py": (("    age: float = -1.0\n", '    age: float = -1.0\n    mood: str = "fine"\n'),),
    "balance/codec.py": (
        (
            '        Field("spontaneous", bool, default=True),\n',
            '        Field("spontaneous", bool, default=True),\n        optional("mood", 16),\n',
        ),
        (
            '        Field("age", float, -1, TIME, -1.0),\n',
            '        Field("age", float, -1, TIME, -1.0),\n        optional("mood", 16),\n',
        ),
    ),
    # a kind of message that it sends to everybody, without a look at what they know
    "services/cluster/received.py": (
        (
            '            "drain": self._drain,\n',
            '            "drain": self._drain,\n            "forecast": lambda peer, body: None,\n',
        ),
    ),
    "services/cluster/members.py": (
        (
            '                link.call("report", body)',
            '                link.call("forecast", {"rain": 0.5}).addErrback(self.mesh.ignored, f"forecast to {link.name}")\n'
            '                link.call("report", body)',
        ),
    ),
    # more in the journal of calls
    "services/media/saved.py": (
        (
            "    passed: frozenset[int] = frozenset()\n\n",
            '    passed: frozenset[int] = frozenset()\n    mood: str = "fine"\n\n',
        ),
    ),
    # other tables
    "store/migrations/__init__.py": ((f'HEAD: Final = "{HEAD}"', f'HEAD: Final = "{AFTER_HEAD}"'),),
    "store/tables.py": (
        (
            "VIEWS = {",
            'forecast = Table("forecast", metadata, Column("day", Integer, primary_key=True))\n\nVIEWS = {',
        ),
    ),
}

_SCRIPT = f'''
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{AFTER_HEAD}", "{HEAD}"


def upgrade():
    op.create_table("forecast", sa.Column("day", sa.Integer, primary_key=True))
'''


def release(folder: Path, edits: Edits) -> Path:
    """
    Make a copy of this checkout's package and plugin that is otherwise in C{edits}.

    @return: what goes in front of C{PYTHONPATH}.
    @raise AssertionError: a line that was to be edited is not there, or not once; the text has it.
    """
    package = folder / "voipcluster"
    # compiled as it is, but for what is edited: Python looks at the time of each source
    shutil.copytree(CHECKOUT / "voipcluster", package, ignore=shutil.ignore_patterns("*.pyc.*"))
    plugins = folder / "twisted" / "plugins"
    plugins.mkdir(parents=True)
    shutil.copy(CHECKOUT / "twisted" / "plugins" / "voipcluster_plugin.py", plugins)
    for name, pairs in edits.items():
        text = (package / name).read_text()
        for old, new in pairs:
            assert text.count(old) == 1, f"{name} has not once {old!r}"
            text = text.replace(old, new)
        (package / name).write_text(text)
    if "store/tables.py" in edits:
        (package / "store" / "migrations" / "versions" / f"v{AFTER_HEAD}_forecast.py").write_text(_SCRIPT)
    return folder
