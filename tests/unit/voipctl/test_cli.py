"""voipctl's command line: what is asked, what is shown, and the exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.unit.fake_node import BAN, GATEWAY, NUMBER_ROUTE, STATUS
from tests.unit.voipctl.cli_case import CliCase, Terminal
from voipcluster.config.document import defaults
from voipcluster.errors import UsageError
from voipcluster.voipctl import asked, passwords


class VoipctlTests(CliCase):
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

    def test_no_password_is_asked_for_in_vain(self) -> None:
        """The web page changes nothing: that is told before somebody types a password."""
        self.patch(asked, "client_of", self.original)
        self.terminal = Terminal()
        self.patch(passwords, "getpass", lambda prompt: self.fail("asked"))
        for command in (("user", "add", "x@a.b"), ("user", "passwd", "x@a.b"), ("web-password",)):
            status, out, err = self.run_main("--url", "http://192.0.2.1/", *command)
            self.assertEqual((status, out), (1, ""))
            self.assertIn("needs the admin socket", err)

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
        self.patch(passwords, "getpass", lambda prompt: prompts.append(prompt) or "typed horse")
        self.shown("web-password")
        self.assertEqual(prompts, ["password for the web page: ", "again: "])
        self.assertEqual(len(self.client.asked), asked + 1)

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

            self.patch(passwords, "getpass", gives_up)
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
        Path(path).write_text('[cluster]\ndomain = ["a.b"]\n[limits]\ncalls = 1\n')
        self.assertEqual(self.shown("check", path), f"{path}: good\n")
        self.assertEqual(json.loads(self.shown("--json", "check", path)), {"errors": [], "warnings": []})

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
