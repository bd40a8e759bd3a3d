"""C{voipctl reload}: its words, and what each node did as text."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from voipcluster.voipctl.columns import clean

Given = argparse.Namespace


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--all", action="store_true", help="at every node of the cluster, or at none")
    command.add_argument("--dry-run", action="store_true", help="only say what would change")


def show(answer: Sequence[Mapping[str, Any]], given: Given) -> int:
    """
    Print the row of each node.

    @return: the exit status: 1 when a node refuses its file.
    """
    refused = [row for row in answer if row.get("error")]
    if given.json:
        print(json.dumps(answer, indent=2))
        return 1 if refused else 0
    if refused:
        for row in refused:
            print(f"voipctl: node {clean(row.get('node'))}: {clean(row['error'])}", file=sys.stderr)
        done = any(row.get("done") for row in answer)
        rest = "the other nodes have changed" if done else "nothing was changed at any node"
        print(f"voipctl: {rest}", file=sys.stderr)
        return 1
    print("\n".join(line for row in answer for line in _lines(row, given.dry_run)))
    alone = _alone(answer, given.all)
    if alone:
        print(f"{', '.join(alone)}: must be alike on all nodes: the others need this file, too")
    return 0


def _alone(answer: Sequence[Mapping[str, Any]], everywhere: bool) -> list[str]:
    """What must be alike, and has changed at some of the nodes only, as far as that is known."""
    named = [row.get("alike") or () for row in answer if not row.get("absent")]
    return sorted(
        {
            clean(name)
            for names in named
            for name in names
            if not everywhere or any(name not in other for other in named)
        }
    )


def _lines(row: Mapping[str, Any], dry: bool) -> list[str]:
    node = clean(row.get("node"))
    if row.get("absent"):
        return [f"node {node}: cannot be reached; it reads its file when it starts"]
    changed, later = row.get("changed") or [], row.get("later") or []
    lines = []
    if changed:
        verb = "would change" if dry else "changed"
        lines.append(f"node {node}: {verb} {', '.join(map(clean, changed))}")
    lines += [f"node {node}: {clean(name)}: takes effect at the next start" for name in later]
    file = row.get("file")
    same = f"nothing has changed in {clean(file)}" if file else "was started without a configuration file"
    warnings = [f"node {node}: warning: {clean(text)}" for text in row.get("warnings") or []]
    return [*(lines or [f"node {node}: {same}"]), *warnings]
