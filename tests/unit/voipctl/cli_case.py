"""Commands of voipctl on a node that answers from a table."""

from __future__ import annotations

import gc
import io
import sys
from collections.abc import Iterator
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fake_node import BAN, BINDING, CALL, GATEWAY, HOP, RELOADED, ROUTE, STATUS
from voipcluster.errors import UsageError
from voipcluster.voipctl import asked, cli
from voipcluster.voipctl.lists import listing_of

ALICE = {"user": "alice@example.com", "digests": ["MD5", "SHA-256"], "disabled": False}


class FakeClient:
    """Answers from a table; an exception there is raised, and of a list there is one part with rows."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.silent: list[str] = []
        self.asked: list[tuple[str, dict[str, object]]] = []

    def ask(self, command: str, **arguments: object) -> Any:
        self.asked.append((command, arguments))
        answer = self.answers[command]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def parts(
        self,
        command: str,
        size: int,
        wanted: int = 0,
        overlap: int = 0,
        silent: bool = False,
        **arguments: object,
    ) -> Iterator[Any]:
        answer = self.ask(command, **arguments)
        if silent:
            yield {"calls": answer, "silent": self.silent}
            yield {"calls": [], "silent": self.silent}
            return
        yield answer
        yield []

    def stream(self, command: str, parts: object, **arguments: object) -> Iterator[Any]:
        found = listing_of(self.ask(command, **arguments))
        yield {"names": found.names, "columns": found.columns}


class Terminal(io.StringIO):
    """Standard input of somebody who types; nothing is to be read from it but by getpass."""

    def isatty(self) -> bool:
        return True


class CliCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.client = FakeClient(
            {
                "status": STATUS, "calls": [CALL], "explain": [HOP], "registrations": [BINDING], "join-token": "T0KEN@10.0.0.1",
                "user-add": None, "user-passwd": None, "user-rm": UsageError("there is no user x@a.b"),
                "user-list": [ALICE], "bans": [BAN], "unban": None,
                "routes": [ROUTE], "reload": [RELOADED],
                "user-set": None, "user-show": {**ALICE, "preferences": {"forward.silent": "yes", "forward.busy": "carol\x1b"}},
                "gateways": [GATEWAY], "gateway-show": {**GATEWAY, "options": {"channels": 30}}, "gateway-add": None,
                "gateway-set": None, "gateway-switch": None, "gateway-rm": UsageError("there is no gateway x"),
                "drain": None, "web-password": None, "stop": None, "forget": None, "metrics": "voipcluster_calls 1.0\n",
            }
        )  # fmt: skip
        self.original = asked.client_of
        self.addCleanup(gc.enable)  # a process of its own does not need it
        self.patch(asked, "client_of", lambda given: self.client)
        self.terminal: io.TextIOBase | None = None

    def run_main(self, *argv: str, typed: str = "") -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        self.patch(sys, "stdin", self.terminal or io.StringIO(typed))
        try:
            status = cli.main(argv)
        except SystemExit as leaving:
            status = int(leaving.code or 0)
        return status, out.getvalue(), err.getvalue()

    def shown(self, *argv: str, typed: str = "") -> str:
        status, out, err = self.run_main(*argv, typed=typed)
        self.assertEqual((status, err), (0, ""))
        return out
