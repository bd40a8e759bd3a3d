"""voipctl's command line: what is asked, what is shown, and the exit status."""

from __future__ import annotations

import gc
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.fake_node import BAN, BINDING, CALL, GATEWAY, HOP, NUMBER_ROUTE, RELOADED, ROUTE, STATUS
from voipcluster.config.document import defaults
from voipcluster.errors import UsageError
from voipcluster.voipctl import cli
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
        flat: bool = False,
        silent: bool = False,
        **arguments: object,
    ) -> Iterator[Any]:
        answer = self.ask(command, **arguments)
        if silent:
            yield {"calls": answer, "silent": self.silent}
            yield {"calls": [], "silent": self.silent}
            return
        found = listing_of(answer)
        yield {"names": found.names, "rows": found.rows, "next": None} if flat else answer
        yield []


class Terminal(io.StringIO):
    """Standard input of somebody who types; nothing is to be read from it but by getpass."""

    def isatty(self) -> bool:
        return True


class VoipctlTests(SynchronousTestCase):
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
        self.original = cli._client
        self.addCleanup(gc.enable)  # a process of its own does not need it
        self.patch(cli, "_client", lambda given: self.client)
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

    def test_status(self) -> None:
        """The nodes stand in aligned columns; what is not known is a dash."""
        lines = self.shown("status").splitlines()
        self.assertEqual(lines[0], "cluster c1")
        self.assertEqual(
            lines[2].split(), ["a", "primary", "open", "127.0.0.1", "0.50", "10", "3", "4", "0.0", "s"]
        )
        self.assertEqual(
            lines[3].split(), ["b", "secondary", "unknown", "127.0.0.2", "-", "0", "0", "0", "-"]
        )
        self.assertEqual(lines[1].index("ADDRESS"), lines[2].index("127.0.0.1"))
        verbose = self.shown("status", "--verbose").splitlines()
        self.assertEqual(verbose[2].split()[-2:], ["0.50", "0.12"])
        self.assertEqual(verbose[1].split()[-2:], ["CALLS/LIMIT", "CPU"])
        self.assertEqual(verbose[1].split().count("CALLS"), 1)

    def test_status_of_a_node_that_will_stop(self) -> None:
        """Drained for good or for a while: that is seen in its state."""
        nodes = [{**node, "state": "drain", "stopping": node["name"] == "a"} for node in STATUS["nodes"]]
        self.client.answers["status"] = {**STATUS, "nodes": nodes}
        rows = self.shown("status").splitlines()[2:4]
        self.assertIn("drain, will stop", rows[0])
        self.assertNotIn("will stop", rows[1])

    def test_json(self) -> None:
        """With --json, the answer is printed as it came."""
        self.assertEqual(json.loads(self.shown("--json", "status")), STATUS)
        self.assertEqual(json.loads(self.shown("--json", "calls")), [CALL])
        self.assertEqual(json.loads(self.shown("calls", "--json")), [CALL])
        self.assertEqual(json.loads(self.shown("user", "list", "--json")), [ALICE])
        self.assertEqual(json.loads(self.shown("--json", "user", "list")), [ALICE])

    def test_a_list_that_is_cut(self) -> None:
        """It says how many there are; as JSON it stays JSON, and that goes to standard error."""
        self.client.answers["status"] = {**STATUS, "registrations": 100_000}
        self.assertEqual(
            self.shown("registrations", "--limit", "1").splitlines()[-1],
            "... 1 of 100,000 registrations; --limit 0 shows all",
        )
        status, out, err = self.run_main("registrations", "--limit", "1", "--json")
        self.assertEqual((status, json.loads(out)), (0, [BINDING]))
        self.assertEqual(err, "... 1 of 100,000 registrations; --limit 0 shows all\n")
        self.assertEqual(self.run_main("registrations", "--limit", "-1")[0], 2)

    def test_calls_of_a_node_that_is_silent(self) -> None:
        """What is there is shown, as a table and as JSON; that something is missing is told, and is the exit status."""
        self.client.silent = ["b\x1b"]
        told = "voipctl: the calls of node b? are missing: node b? is not reachable\n"
        for argv in (("calls",), ("calls", "--json")):
            status, out, err = self.run_main(*argv)
            self.assertEqual((status, err), (1, told))
            self.assertIn(CALL["call_id"], out)
        self.client.answers["calls"] = []
        self.assertEqual(self.run_main("calls")[:2], (1, "there are no calls at the nodes that answered\n"))
        self.assertEqual(self.run_main("calls", "--json")[:2], (1, "[]\n"))

    def test_no_password_is_asked_for_in_vain(self) -> None:
        """The web page changes nothing: that is told before somebody types a password."""
        self.patch(cli, "_client", self.original)
        self.terminal = Terminal()
        self.patch(cli, "getpass", lambda prompt: self.fail("asked"))
        for command in (("user", "add", "x@a.b"), ("user", "passwd", "x@a.b"), ("web-password",)):
            status, out, err = self.run_main("--url", "http://192.0.2.1/", *command)
            self.assertEqual((status, out), (1, ""))
            self.assertIn("needs the admin socket", err)

    def test_gateways_without_a_node_that_is_silent(self) -> None:
        """What the others count is shown, and who is missing is told."""
        self.client.answers["gateways"] = [{**GATEWAY, "silent": ["b"]}]
        self.client.answers["gateway-show"] = {**GATEWAY, "silent": ["b"]}
        told = "voipctl: what node b counts is missing: node b is not reachable\n"
        for argv in (("gateway", "list"), ("gateway", "show", "x"), ("gateway", "list", "--json")):
            status, out, err = self.run_main(*argv)
            self.assertEqual((status, err), (1, told))
            self.assertIn(GATEWAY["name"], out)

    def test_empty_lists(self) -> None:
        """In the place of a table without rows there are words; programs get an empty list."""
        for command, none in (
            ("calls", "there are no calls"),
            ("registrations", "there are no registrations"),
        ):
            self.client.answers[command] = []
            self.assertEqual(self.shown(command), f"{none}\n")
            self.assertEqual(self.shown(command, "--json"), "[]\n")
        self.assertEqual(self.shown("registrations", "x@a.b"), "x@a.b is not registered\n")

    def test_calls_and_explain(self) -> None:
        """A call shows its true client; its explanation shows each candidate with a reason, the chosen one marked."""
        row = self.shown("calls").splitlines()[1]
        for part in ("1/2@host", "b", "192.0.2.1:5060", "UDP", "alice", "1:15", "7:30", "both"):
            self.assertIn(part, row.split())
        lines = self.shown("explain", "1/2@host").splitlines()
        self.assertEqual(lines[0], "hop 1: a: hand-over to b: first below the gate")
        self.assertEqual(
            lines[1].strip(),
            "policy planned, own workload 0.80 (calls), gate 0.75, hard limit 0.95, own wait 12 ms, "
            "the plan gives 31% away, reports too old to compare",
        )
        self.assertEqual(lines[3].split(None, 6), ["c", "unknown", "0.00", "-", "-", "-", "no fresh report"])
        self.assertEqual(" ".join(lines[4].split()), "* b open 0.25 4 ms 120/s 0.3 s below the gate")

    def test_text_of_the_network_is_cleaned(self) -> None:
        """An escape sequence in a User-Agent does not reach the terminal."""
        self.assertNotIn("\x1b", self.shown("registrations"))

    def test_token_alone(self) -> None:
        """join-token prints the token and nothing else, so that a script can take it."""
        self.assertEqual(self.shown("join-token", "--ttl", "60", "--uses", "3"), "T0KEN@10.0.0.1\n")
        self.assertEqual(self.client.asked, [("join-token", {"ttl": 60.0, "uses": 3})])

    def test_password_of_standard_input(self) -> None:
        """The password is the first line of standard input, spaces included; it is not repeated on the screen."""
        out = self.shown("user", "add", "alice@example.com", "--password-stdin", typed=" sec ret \nrest\n")
        self.assertEqual(out, "alice@example.com: added\n")
        self.assertEqual(
            self.client.asked,
            [("user-add", {"name": "alice", "domain": "example.com", "password": " sec ret "})],
        )

    def test_a_short_password(self) -> None:
        """It is taken, since a phone may have it already, and warned of; not with a word of it."""
        for verb, done, typed, length in (
            ("add", "added", "x", "1 character"),
            ("passwd", "password changed", "passwor", "7 characters"),
        ):
            status, out, said = self.run_main("user", verb, "a@b.c", "--password-stdin", typed=f"{typed}\n")
            self.assertEqual((status, out), (0, f"a@b.c: {done}\n"))
            self.assertEqual(
                said,
                f"voipctl: warning: the password of a@b.c has {length} and is soon guessed; 8 are better\n",
            )

    def test_preferences(self) -> None:
        """Any number of them at once, as NAME=TEXT; they are shown so that they can be given again."""
        shown = self.shown(
            "user", "set", "bob@a.b", "forward.busy = carol", "find-me=me 5, sip:x@y;a=b 9", "voicemail="
        )
        self.assertEqual(shown, "bob@a.b: changed\n")
        wanted = {"forward.busy": "carol", "find-me": "me 5, sip:x@y;a=b 9", "voicemail": ""}
        self.assertEqual(
            self.client.asked, [("user-set", {"name": "bob", "domain": "a.b", "preferences": wanted})]
        )
        shown = self.shown("user", "show", "bob@a.b")
        self.assertEqual(
            [line.partition("=")[0] for line in shown.splitlines()],
            ["# alice@example.com: digests MD5, SHA-256", "forward.busy", "forward.silent"],
        )
        self.assertNotIn("\x1b", shown)
        status, _, said = self.run_main("user", "set", "bob@a.b", "forward.busy")
        self.assertEqual(
            (status, said), (1, "voipctl: forward.busy: NAME=TEXT is expected; NAME= ends a preference\n")
        )

    def test_which_digests(self) -> None:
        """A user who came with MD5 only is to be found again; one without preferences is not shown as nothing."""
        old = {"user": "old@example.com", "digests": ["MD5"], "disabled": True}
        self.client.answers["user-list"] = [old, ALICE]
        self.assertEqual(
            [line.split(None, 1) for line in self.shown("user", "list").splitlines()],
            [
                ["USER", "DIGESTS       DISABLED"],
                ["alice@example.com", "MD5, SHA-256  no"],
                ["old@example.com", "MD5           yes"],
            ],
        )
        self.client.answers["user-show"] = shown = {**old, "preferences": {}}
        self.assertEqual(
            self.shown("user", "show", "old@example.com").splitlines(),
            [
                "# old@example.com: digests MD5; disabled: he can neither register nor call",
                "# no preferences",
            ],
        )
        self.assertEqual(json.loads(self.shown("user", "show", "old@example.com", "--json")), shown)
        self.client.answers["user-list"] = []
        self.assertEqual(self.shown("user", "list"), "there are no users\n")
        self.assertEqual(self.shown("user", "list", "--json"), "[]\n")

    def test_typed_password(self) -> None:
        """On a terminal it is asked for twice without showing it, also with --password-stdin, and must be the same."""
        self.terminal = Terminal("shown\n")
        typed = iter(["one", "two", "same word", "same word", "third word", "third word"])
        self.patch(cli, "getpass", lambda prompt: next(typed))
        self.assertEqual(
            self.run_main("user", "passwd", "a@b.c"), (1, "", "voipctl: the two passwords differ\n")
        )
        self.assertEqual(self.shown("user", "passwd", "a@b.c"), "a@b.c: password changed\n")
        self.shown("user", "add", "a@b.c", "--password-stdin")
        self.assertEqual(self.client.asked[-1][1]["password"], "third word")

    def test_password_for_nobody(self) -> None:
        """That there is no such user is said before a password is typed."""
        self.client.answers["user-show"] = UsageError("there is no user x@a.b")
        self.terminal = Terminal()
        prompts: list[str] = []
        self.patch(cli, "getpass", lambda prompt: prompts.append(prompt) or "typed horse")
        self.assertEqual(
            self.run_main("user", "passwd", "x@a.b"), (1, "", "voipctl: there is no user x@a.b\n")
        )
        self.assertEqual(prompts, [])

    def test_web_password(self) -> None:
        """It is typed or read, never an argument, and can be taken away."""
        out = self.shown("web-password", "--password-stdin", typed="correct horse\n")
        self.assertIn("it lets you log in at the web page of every node", out)
        self.assertEqual(self.client.asked[-1], ("web-password", {"password": "correct horse"}))
        self.assertIn("nobody can log in", self.shown("web-password", "--remove"))
        self.assertEqual(self.client.asked[-1], ("web-password", {"password": None}))
        asked = len(self.client.asked)
        for words in (("web-password", "secret"), ("web-password", "--password", "secret")):
            self.assertEqual(self.run_main(*words)[0], 2)
        self.assertEqual(
            self.run_main("web-password", "--password-stdin", typed="\n")[2],
            "voipctl: the password is empty\n",
        )
        self.terminal = Terminal()
        prompts: list[str] = []
        self.patch(cli, "getpass", lambda prompt: prompts.append(prompt) or "typed horse")
        self.shown("web-password")
        self.assertEqual(prompts, ["password for the web page: ", "again: "])
        self.assertEqual(len(self.client.asked), asked + 1)

    def test_octets_that_are_no_text(self) -> None:
        self.terminal = io.TextIOWrapper(io.BytesIO(b"\xff\xfe horse\n"), "utf-8")
        status, _, said = self.run_main("web-password", "--password-stdin")
        self.assertEqual((status, said), (1, "voipctl: the password is not text in UTF-8\n"))

    def test_nobody_types(self) -> None:
        """Without a terminal the password comes with --password-stdin or not at all; who gives up typing gets 130."""
        self.assertEqual(
            self.run_main("user", "add", "a@b.c", typed="secret\n"),
            (1, "", "voipctl: no terminal to ask for the password; use --password-stdin\n"),
        )
        self.terminal = Terminal()
        for error, end in (
            (EOFError(), (1, "", "voipctl: no password was typed\n")),
            (KeyboardInterrupt(), (130, "", "\n")),
        ):

            def gives_up(prompt: str, error: BaseException = error) -> str:
                raise error

            self.patch(cli, "getpass", gives_up)
            self.assertEqual(self.run_main("user", "add", "a@b.c"), end)
        self.assertEqual(self.client.asked, [])

    def test_forget(self) -> None:
        """A node to forget is named."""
        self.assertEqual(self.shown("forget", "b"), "b: forgotten; its certificate counts no more\n")
        self.assertEqual(self.client.asked, [("forget", {"node": "b"})])
        self.assertEqual(self.run_main("forget")[0], 2)

    def test_no_password_in_the_arguments(self) -> None:
        """There is no way to give a password on the command line."""
        status, _, err = self.run_main("user", "add", "a@b.c", "secret")
        self.assertEqual((status, err.count("\n")), (2, 1))

    def test_routes(self) -> None:
        """All routes; with a number who is asked and why others are not; without a route an error, and none at all nothing."""
        lines = self.shown("route", "list").splitlines()
        self.assertEqual(
            lines[0].split(), ["PREFIX", "GATEWAY", "PRIORITY", "WEIGHT", "STRIP", "PREPEND", "CALLER"]
        )
        self.assertEqual(lines[1].split(), ["+49", "carrier-a", "1", "3", "3", "0", "-"])
        self.client.answers["routes"] = [NUMBER_ROUTE]
        lines = self.shown("route", "list", "03012", "--caller", "alice@example.com").splitlines()
        self.assertEqual(
            self.client.asked[-1], ("routes", {"number": "03012", "caller": "alice@example.com"})
        )
        self.assertEqual(
            (lines[0], lines[1].split()[4:]), ("+493012", ["PRICE", "SENT", "AS", "STATE", "WHY"])
        )
        self.assertTrue(
            lines[2].endswith("1.5  03012    passed over  full: 1 of 1 channels in use"), lines[2]
        )
        self.client.answers["routes"] = []
        self.assertEqual(self.shown("route", "list"), "there are no routes\n")
        status, _, err = self.run_main("route", "list", "0900")
        self.assertEqual((status, err), (1, "voipctl: no route leads to 0900\n"))
        self.assertIn("node a: changed cluster.threshold", self.shown("route", "reload"))
        self.assertEqual(self.client.asked[-1], ("reload", {"everywhere": False, "dry": False}))

    def test_config(self) -> None:
        """What a node goes by, as TOML or JSON; the defaults without any node."""
        self.client.answers["config"] = {"cluster": {"threshold": 0.5}}
        self.assertIn("\nthreshold = 0.5\n", self.shown("config"))
        self.assertEqual(json.loads(self.shown("config", "--json")), {"cluster": {"threshold": 0.5}})
        asked = len(self.client.asked)
        self.assertEqual(self.shown("config", "--defaults").rstrip(), defaults().rstrip())
        self.assertEqual(json.loads(self.shown("config", "--defaults", "--json"))["sip"]["port"], 5060)
        self.assertEqual(len(self.client.asked), asked)

    def test_gateways(self) -> None:
        """Listed, shown, added, changed, switched and removed; a password comes from standard input."""
        self.assertIn("carrier-a", self.shown("gateway", "list"))
        self.assertEqual(json.loads(self.shown("gateway", "list", "--json")), [GATEWAY])
        self.assertIn("channels=30", self.shown("gateway", "show", "carrier-a"))
        self.shown("gateway", "add", "x", "channels=3", "--password-stdin", typed="sesame\n")
        self.assertEqual(
            self.client.asked[-1],
            ("gateway-add", {"name": "x", "options": {"channels": 3, "password": "sesame"}}),
        )
        self.shown("gateway", "set", "x", "kind=pbx")
        self.assertEqual(self.client.asked[-1], ("gateway-set", {"name": "x", "options": {"kind": "pbx"}}))
        for verb, on in (("enable", True), ("disable", False)):
            self.assertIn("abled", self.shown("gateway", verb, "x"))
            self.assertEqual(self.client.asked[-1], ("gateway-switch", {"name": "x", "on": on}))
        self.assertEqual(self.run_main("gateway", "rm", "x"), (1, "", "voipctl: there is no gateway x\n"))
        self.assertEqual(self.run_main("gateway", "add", "x", "channels")[0], 1)
        self.client.answers["gateways"] = []
        self.assertEqual(self.shown("gateway", "list"), "there are no gateways\n")

    def test_bans(self) -> None:
        """Who is banned, why, and for how long; with none, nothing; a ban is ended by the name that stands there."""
        lines = self.shown("bans").splitlines()
        self.assertEqual(lines[0].split(), ["WHO", "WHY", "LEFT"])
        self.assertEqual(lines[1].split("  ")[0], BAN["who"])
        self.assertTrue(lines[1].endswith("9:15"), lines[1])
        self.assertEqual(self.shown("unban", str(BAN["who"])), f"{BAN['who']} is served again\n")
        self.assertEqual(self.client.asked[-1], ("unban", {"who": BAN["who"]}))
        self.client.answers["bans"] = []
        self.assertEqual(self.shown("bans"), "nobody is banned here\n")

    def test_drain(self) -> None:
        """drain and undrain are one question; without a name the node that is asked is meant."""
        self.shown("drain", "b")
        self.shown("undrain")
        self.shown("stop", "b")
        self.assertEqual(
            self.client.asked,
            [
                ("drain", {"node": "b", "on": True}),
                ("drain", {"node": None, "on": False}),
                ("stop", {"node": "b"}),
            ],
        )

    def test_errors(self) -> None:
        """A refusal is one line and status 1, a wrong command line one line and status 2."""
        self.assertEqual(self.run_main("user", "rm", "x@a.b"), (1, "", "voipctl: there is no user x@a.b\n"))
        self.assertEqual(self.run_main("user", "rm", "x")[0], 1)
        self.client.answers["bans"] = UsageError("what a node says\n\x1b[2J")
        self.assertEqual(self.run_main("bans"), (1, "", "voipctl: what a node says??[2J\n"))
        self.client.answers["calls"] = []
        self.assertEqual(self.run_main("calls", "gone")[0], 1)
        for argv in (
            (),
            ("fly",),
            ("explain",),
            ("--state-dir", "a", "--url", "http://b", "status"),
            ("--state-dir", "a", "status", "--url", "http://b"),
            ("user",),
        ):
            status, out, err = self.run_main(*argv)
            self.assertEqual((status, out, err.count("\n")), (2, "", 1), argv)

    def test_check(self) -> None:
        """check prints each mistake with its line, and its status says whether there was one."""
        path = self.mktemp()
        Path(path).write_text("[limits]\ncalls = 0\nregistration_per_user = 1\n")
        status, out, err = self.run_main("check", path)
        self.assertEqual((status, out), (1, ""))
        self.assertEqual([line.partition(": ")[0] for line in err.splitlines()], [f"{path}:2", f"{path}:3"])
        Path(path).write_text("[limits]\ncalls = 1\n")
        self.assertEqual(self.shown("check", path), f"{path}: good\n")
        self.assertEqual(json.loads(self.shown("--json", "check", path)), {"errors": [], "warnings": []})

    def test_where(self) -> None:
        """The node to ask may be named in front of the command or behind it; one that is left out is the usual place."""
        self.patch(cli, "_client", self.original)
        for argv, place in (
            (("--state-dir", "no/a", "status"), "no/a"),
            (("status", "--state-dir", "no/b"), "no/b"),
            (("user", "list", "--state-dir", "no/c"), "no/c"),
            (("user", "--state-dir", "no/d", "list"), "no/d"),
            (("status",), "voipcluster-state"),
        ):
            text = f"voipctl: no node is running on the state directory {place} (--state-dir)\n"
            self.assertEqual(self.run_main(*argv), (1, "", text))
        status, _, err = self.run_main("user", "list", "--url", "http://127.0.0.1:9/")
        self.assertEqual((status, "'user list'" in err), (1, True), err)

    def test_metrics(self) -> None:
        """metrics prints what /metrics says."""
        self.assertEqual(self.shown("metrics"), "voipcluster_calls 1.0\n")

    def test_it_starts_quickly(self) -> None:
        """What takes long to import is left to the commands that need it: scripts call voipctl in a loop."""
        code = (
            "import sys, voipcluster.voipctl;"
            "print(*{'twisted', 'attr', 'zope.interface', 'sqlalchemy', 'http.client', 'email', 'asyncio', 'voipcluster.config'}"
            " & set(sys.modules))"
        )
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        self.assertEqual((ran.stdout, ran.stderr), ("\n", ""))

    def test_completion(self) -> None:
        """What it prints makes bash complete commands and their options."""
        status, out, _ = self.run_main("completion", "bash")
        self.assertEqual(status, 0)
        script = Path(self.mktemp())
        script.write_text(
            out + '\nCOMP_WORDS=(voipctl reg) COMP_CWORD=1 COMP_LINE="voipctl reg" COMP_POINT=11\n'
            "_shtab_voipctl; echo ${COMPREPLY[@]}\n"
            "COMP_WORDS=(voipctl records --si) COMP_CWORD=2; _shtab_voipctl; echo ${COMPREPLY[@]}\n"
        )
        ran = subprocess.run(["bash", str(script)], capture_output=True, text=True, check=False)
        self.assertEqual((ran.stdout.split(), ran.stderr), (["registrations", "--since"], ""))
