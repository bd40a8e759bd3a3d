"""The unit of F{etc/} under systemd itself: its sandbox, what the kernel relays from within it, and the sockets that are kept."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

from twisted.internet.defer import gatherResults

from demo.cluster import Cluster
from tests.certificates import Authority
from tests.integration.harness import DOMAIN, TRACEBACK, ClusterTestCase
from tests.integration.run_systemd import CHECKOUT, UNIT, Systemd, analyze_offline, refused
from tests.integration.test_restart import Heard
from tests.pages import DOCS, blocks
from voipcluster.phone import CallFailed, Phone, PhoneCall
from voipcluster.store.calls import NAME, CallStore

EXPOSURE = 20  # tenths, as systemd-analyze counts it; the unit has 17, one without any sandbox 96
CALLS = 4
DOCUMENTED_CALL = "7f3a@192.0.2.1"
PACKETS = 50  # a second of voice
OPERATIONS = DOCS / "guide" / "operations.md"
KEYS = {"ca.key", "ca.pem", "cluster.key", "node.key", "node.pem"}


class UnitTests(ClusterTestCase):
    skip = refused() or None
    breaks = False  # whether the test causes tracebacks

    def test_exposure(self) -> None:
        """systemd-analyze finds next to nothing that the unit leaves open."""
        said = analyze_offline(CHECKOUT / "etc" / UNIT, EXPOSURE)
        self.assertEqual(said.returncode, 0, said.stdout + said.stderr)
        self.assertRegex(said.stdout, "Overall exposure level for voipcluster.service: 1[.][0-9] OK")

    async def boot(
        self, relay: str, prepare: Callable[[], Awaitable[None]] | None = None, **of_phones: Any
    ) -> None:
        """A systemd, and under it a node with two users; C{prepare} is called before the node is started."""
        options = f"--role primary --name a --address {self.address(1)}"
        self.systemd = Systemd(self.reactor, self.address(1), options)
        self._programs.append(self.systemd.program)
        self.at_end(self._end)
        self.configure(relay)
        await self.until(self.systemd.is_up, "systemd answers")
        if prepare:
            await prepare()
        self.cluster = Cluster(self.reactor, self.folder)
        self.cluster.nodes.append(self.systemd.node)
        await self.systemd.control("start", UNIT)
        await self.answers()
        await self.add_users("alice", "bob")
        self.alice: Phone = self.phone("alice", host=self.address(100), capacity=CALLS, tone=600, **of_phones)
        self.bob: Phone = self.phone("bob", host=self.address(101), capacity=CALLS, tone=900, **of_phones)
        self.callees: list[PhoneCall] = []
        self.bob.incoming = self.callees.append
        await self.register(self.alice, self.bob)

    def configure(self, relay: str, more: str = "") -> None:
        self.systemd.configure(
            f'[cluster]\ndomain = ["{DOMAIN}"]\n[media]\nrelay = "{relay}"\nquarantine = 1\n{more}'
        )

    async def _end(self) -> None:
        said = await self.systemd.journal("--output=cat", f"--unit={UNIT}")
        await self.systemd.stop()
        await self.until(self.systemd.cleaned, "nothing is left of systemd")
        self.assertEqual(TRACEBACK.findall(said) if not self.breaks else [], [])

    async def answers(self) -> None:
        async def answered() -> bool:
            try:
                return bool(await self.primary.ask("status"))
            except Exception as error:
                self.assertNotIn("Permission", str(error))
                return False

        await self.until(answered, f"the node answers: {self.systemd.said}", 40.0)

    async def call(self) -> list[PhoneCall]:
        """Calls that are up, with audio both ways and in the journal; the callers' sides."""
        calls = [self.alice.call(f"bob@{DOMAIN}") for _ in range(CALLS)]
        callers: list[PhoneCall] = await gatherResults(calls, consumeErrors=True)
        await self.audio(*callers)
        await self.written(*callers)
        return callers

    async def written(self, *callers: PhoneCall) -> None:
        """The journal has these calls and no others."""
        store = CallStore(self.primary.state_dir / NAME)
        ids = {caller.call_id for caller in callers}
        await self.until(lambda: {key[0] for key in store.load().calls} == ids, "the journal has the calls")

    def far(self, caller: PhoneCall) -> PhoneCall:
        return next(call for call in self.callees if call.call_id == caller.call_id)

    async def audio(self, *callers: PhoneCall) -> None:
        """From now on, all hear each other."""
        both = [end for caller in callers for end in (caller, self.far(caller))]
        most = [end.packets_received + 25 for end in both]
        await self.until(
            lambda: all(end.packets_received > count for end, count in zip(both, most, strict=True)), "audio"
        )

    async def bye(self, *callers: PhoneCall) -> None:
        """Each call is ended at one end, and answered 200 by the other one."""
        await gatherResults([caller.hang_up() for caller in callers])
        self.assertEqual([caller.status for caller in callers], [200] * len(callers))
        await self.until(lambda: all(self.far(caller).over for caller in callers), "the far end knows")

    async def test_kernel_relay(self) -> None:
        """
        The unit is well-formed. From within its sandbox, as a user without rights but CAP_NET_ADMIN, the node has the
        kernel relay: over a restart no packet is lost, after kill -9 systemd starts it again, and the calls go on each time.
        """
        await self.boot("kernel")
        verified = await self.systemd.run("systemd-analyze", "verify", "--man=no", f"/run/units/{UNIT}")
        self.assertEqual((verified.status, verified.output), (0, ""))
        media = (await self.cluster.status())["a"]["media"]
        self.assertEqual((media["path"], media["restart"]), ("kernel", "goes on"))
        callers = await self.call()
        heard = [Heard(end) for caller in callers for end in (caller, self.far(caller))]
        await self.until(lambda: all(one.numbers for one in heard), "all hear something")
        await self.systemd.control("restart", UNIT)
        await self.answers()
        await self.audio(*callers)
        self.assertEqual([one.missing for one in heard], [[]] * len(heard))
        await self.bye(callers.pop())
        await self.written(*callers)
        first = await self.systemd.main_pid()
        await self.systemd.control("kill", "--signal=KILL", UNIT)

        async def another() -> bool:
            return await self.systemd.main_pid() not in (0, first)

        await self.until(another, "systemd has started it again")
        await self.answers()
        await self.audio(*callers)
        await self.bye(*callers)
        self.assertEqual(await self.primary.ask("calls", call_id=None), [])
        shown = await self.systemd.control("show", "-p", "NRestarts", UNIT)
        self.assertEqual(shown, "NRestarts=1\n")
        await self.systemd.control("stop", UNIT)
        shown = await self.systemd.control("show", "-p", "Result", UNIT)
        self.assertEqual(shown, "Result=success\n")

    async def told(self, *words: str) -> list[dict[str, str]]:
        """What the journal has of the node's own process."""
        pid = await self.systemd.main_pid()
        said = await self.systemd.journal("--output=json", f"--unit={UNIT}", f"_PID={pid}", *words)
        return [json.loads(line) for line in said.splitlines()]

    async def typed(self, command: str, call_id: str) -> str:
        """A command of the documentation, about a call of this test; what it said."""
        self.assertIn(f"\n{command}\n", (CHECKOUT / "docs" / "monitoring.md").read_text())
        program = await self.systemd.run("sh", "-c", command.replace(DOCUMENTED_CALL, call_id))
        self.assertEqual(program.status, 0, program.output)
        return program.standard_output

    async def broken(self) -> list[dict[str, str]]:
        """A REGISTER that the database does not take; what the journal has of that, without its repetitions."""
        path = self.primary.state_dir / "voipcluster.db"
        with closing(sqlite3.connect(path)) as database:
            database.execute("ALTER TABLE location RENAME TO away")
        await self.register(self.alice)
        entries: list[dict[str, str]] = []

        async def logged() -> bool:
            entries[:] = await self.told("--priority=crit")
            return any("no such table: location" in entry["MESSAGE"] for entry in entries)

        await self.until(logged, "the traceback is in the journal")
        with closing(sqlite3.connect(path)) as database:
            database.execute("ALTER TABLE away RENAME TO location")
        again = [at for at, entry in enumerate(entries) if "could not be stored" in entry["MESSAGE"]]
        return entries[: again[1]] if len(again) > 1 else entries

    async def told_of_a_call(self) -> str:
        """The Call-ID of a call that is over, and whose phones have reported how it sounded: the log tells of that."""
        callers = await self.call()
        call_id = callers[0].call_id

        async def reported() -> bool:
            (row,) = await self.primary.ask("calls", call_id=call_id)
            return any(way["reports"] for way in row["streams"][0]["directions"])

        await self.until(reported, "a phone has reported")
        await self.bye(*callers)

        async def logged() -> bool:
            return any(f"call {call_id} " in entry["MESSAGE"] for entry in await self.told())

        await self.until(logged, "its end is in the journal")
        return call_id

    async def refused_call(self) -> str:
        """The Call-ID of a call to nobody."""
        calling = self.alice.call(f"nobody@{DOMAIN}")
        call_id = next(reversed(self.alice.calls))
        await self.assertFailure(calling, CallFailed)
        return call_id

    async def test_journal(self) -> None:
        """
        In a real journald each line is an entry with its priority, once; of a traceback all lines have that of the error, and
        nothing is between them. With JSON it is one entry, and what is logged of a call has its Call-ID, as documented.
        """
        await self.boot("userspace", rtcp=True)
        self.breaks = True
        call_id = await self.told_of_a_call()
        self.configure("userspace", "[web]\nport = 8099\n")
        await self.systemd.control("reload", UNIT)
        wrong = await self.told("--priority=warning")
        self.assertEqual(
            [(entry["MESSAGE"], entry["PRIORITY"]) for entry in wrong],
            [("web.port: takes effect at the next start", "4")],
        )
        entries = await self.told()
        for entry in entries:
            self.assertEqual(
                (entry["SYSLOG_IDENTIFIER"], entry["_SYSTEMD_UNIT"], entry["_TRANSPORT"], entry["_COMM"]),
                ("voipcluster", UNIT, "stdout", "twistd"),
            )
            self.assertNotIn("_LINE_BREAK", entry)  # systemd.journal-fields(7): the journal broke it
            self.assertNotRegex(entry["MESSAGE"], r"\A<\d>|\n")
        up = [entry for entry in entries if entry["MESSAGE"].startswith("SIP listens on")]
        self.assertEqual([entry["PRIORITY"] for entry in up], ["6"])
        self.assertIn(wrong[0]["MESSAGE"], await self.typed("journalctl -u voipcluster -p warning", call_id))
        (line,) = (await self.typed(f"journalctl -u voipcluster -g {DOCUMENTED_CALL}", call_id)).splitlines()
        self.assertIn(f": call {call_id} from ", line)
        trace = await self.broken()
        self.assertEqual({entry["PRIORITY"] for entry in trace}, {"2"})
        self.assertEqual({entry["_STREAM_ID"] for entry in trace}, {up[0]["_STREAM_ID"]})
        said = [entry["MESSAGE"] for entry in trace]
        self.assertRegex(said[0], "changed registrations could not be stored")
        self.assertEqual(said[1], "Traceback (most recent call last):")
        numbers = [int(entry["__CURSOR"].split("i=")[1].split(";")[0], 16) for entry in trace]
        self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(trace))))  # nothing between them

        self.systemd.defaults('TWISTD_OPTIONS="--logger voipcluster.json_log.lines"\n')
        await self.systemd.control("restart", UNIT)
        await self.answers()
        call_id = await self.refused_call()
        found = await self.typed(
            f"journalctl -u voipcluster -o cat | jq -R 'fromjson? | select(.call == \"{DOCUMENTED_CALL}\")'",
            call_id,
        )
        self.assertRegex(json.loads(found)["text"], "^'INVITE' from 'alice@.* gets 404: no such user")
        (entry,) = await self.broken()
        self.assertRegex(json.loads(entry["MESSAGE"])["traceback"], "(?s)Traceback.*no such table: location")
        levels = {"info": "6", "warn": "4", "critical": "2"}
        entries = await self.told()
        shown = [json.loads(entry["MESSAGE"]) for entry in entries]
        self.assertEqual([entry["PRIORITY"] for entry in entries], [levels[line["level"]] for line in shown])

    async def test_sockets_are_kept(self) -> None:
        """In user space systemd keeps the sockets: what comes while no process is there arrives, media and a BYE."""
        await self.boot("userspace")
        self.assertEqual((await self.cluster.status())["a"]["media"]["restart"], "waits")
        callers = await self.call()
        both = [end for caller in callers for end in (caller, self.far(caller))]
        heard = [Heard(end) for end in both]
        await self.until(lambda: all(one.numbers for one in heard), "all hear something")
        ways = {end: end.remote_media for end in both}
        for end in both:
            end.stream.aim(None)
        await self.systemd.control("restart", "--no-block", UNIT)
        await self.until(
            lambda: f"{CALLS} calls are left to the next process: sockets are kept" in self.systemd.said,
            "the sockets are with systemd",
        )
        counts = [len(one.numbers) for one in heard]
        for end, remote in ways.items():
            end.stream.remote = remote
            for _ in range(PACKETS):
                end.stream.send_frame()
        await self.bye(callers.pop())
        await self.answers()
        await self.until(
            lambda: all(
                len(one.numbers) >= before + PACKETS for one, before in zip(heard, counts, strict=True)
            ),
            "all packets have come",
        )
        self.assertEqual([one.missing for one in heard], [[]] * len(heard))
        for end, remote in ways.items():
            if not end.over:
                end.stream.aim(remote)
        await self.audio(*callers)
        await self.bye(*callers)
        self.assertEqual(await self.primary.ask("calls", call_id=None), [])

    async def recipe(self, heading: str, number: int) -> None:
        """Type a block of the operations guide where the unit lives."""
        found = [b.text for b in blocks(OPERATIONS) if (b.heading, b.language) == (heading, "sh")]
        program = await self.systemd.run("sh", "-e", "-c", found[number])
        self.assertEqual((program.status, program.output), (0, ""))

    async def test_backup(self) -> None:
        """The documented backup has the keys, though the state directory is a link; with its copy the primary is itself again."""
        await self.boot("userspace")
        private = self.primary.state_dir.resolve()
        self.assertEqual((private.parent.name, private.name), ("private", "voipcluster"))
        before = {name: (private / name).read_bytes() for name in KEYS}
        await self.recipe("Backup and restore", 0)
        copy = self.systemd.folder / "var/backups/voipcluster"
        saved = {path.name for path in copy.iterdir()}
        self.assertEqual(saved & {*KEYS, "voipcluster.db", "lock"}, {*KEYS, "voipcluster.db"})
        await self.systemd.control("stop", UNIT)
        self.primary.state_dir.unlink()
        shutil.rmtree(private)
        await self.recipe("Backup and restore", 1)
        await self.answers()
        self.assertEqual({name: (private / name).read_bytes() for name in KEYS}, before)
        await self.register(self.alice)

    async def test_secrets(self) -> None:
        """
        What only root may read reaches the node by the lines that the unit shows as comments: passwords as credentials of
        systemd, a key of TLS by a group. Who looks with voipctl as root is told the same as the node.
        """
        etc, credential = "/etc/voipcluster", "carrier-b.secret"
        sample = (CHECKOUT / "etc" / UNIT).read_text().splitlines()
        lines = [f"LoadCredential={credential}:{etc}/{credential}", "SupplementaryGroups=voipcluster-keys"]
        self.assertEqual([f"#{line}" for line in lines if f"#{line}" not in sample], [])
        secret = f"/run/credentials/{UNIT}/{credential}"

        async def prepare() -> None:
            folder = self.systemd.folder
            (folder / "units" / f"{UNIT}.d" / "secrets.conf").write_text("\n".join(["[Service]", *lines, ""]))
            (folder / "etc" / credential).write_text("s3cret\n")
            (folder / "etc" / credential).chmod(0o600)
            Authority(folder / "etc").issue("node", [DOMAIN], [self.address(1)])
            await self.recipe("Keys and passwords of the service", 0)
            self.configure(
                "userspace",
                f'[tls]\ncertificate = "{etc}/node.pem"\nkey = "{etc}/node.key"\n'
                f'[hep]\nserver = "{self.address(50)}:9060"\nauth_key_file = "{secret}"\n'
                f'[[gateway]]\nname = "b"\nservers = ["{self.address(51)}"]\nauth_user = "u"\nsecret = "{secret}"\n',
            )
            await self.systemd.control("daemon-reload")

        await self.boot("userspace", prepare)
        checked = await self.systemd.run("/opt/voipcluster/bin/voipctl", "check", f"{etc}/voipcluster.toml")
        self.assertEqual(checked.status, 0, checked.output)
        modes = await self.systemd.run("stat", "-c", "%a %u", f"{etc}/{credential}", f"{etc}/node.key")
        self.assertEqual(modes.standard_output, "600 0\n640 0\n")
