"""The unit of F{etc/} under systemd itself: its sandbox, what the kernel relays from within it, and the sockets that are kept."""

from __future__ import annotations

from twisted.internet.defer import gatherResults

from demo.cluster import Cluster
from tests.integration.harness import DOMAIN, TRACEBACK, ClusterTestCase
from tests.integration.run_systemd import CHECKOUT, UNIT, Systemd, analyze_offline, refused
from tests.integration.test_restart import Heard
from voipcluster.phone import Phone, PhoneCall
from voipcluster.store.calls import NAME, CallStore

EXPOSURE = 20  # tenths, as systemd-analyze counts it; the unit has 17, one without any sandbox 96
CALLS = 4
PACKETS = 50  # a second of voice


class UnitTests(ClusterTestCase):
    skip = refused() or None

    def test_exposure(self) -> None:
        """systemd-analyze finds next to nothing that the unit leaves open."""
        said = analyze_offline(CHECKOUT / "etc" / UNIT, EXPOSURE)
        self.assertEqual(said.returncode, 0, said.stdout + said.stderr)
        self.assertRegex(said.stdout, "Overall exposure level for voipcluster.service: 1[.][0-9] OK")

    async def boot(self, relay: str) -> None:
        """A systemd, and under it a node with two users."""
        options = f"--role primary --name a --address {self.address(1)}"
        self.systemd = Systemd(self.reactor, self.address(1), options)
        self._programs.append(self.systemd.program)
        self.at_end(self._end)
        self.configure(relay)
        await self.until(self.systemd.is_up, "systemd answers")
        self.cluster = Cluster(self.reactor, self.folder)
        self.cluster.nodes.append(self.systemd.node)
        await self.systemd.control("start", UNIT)
        await self.answers()
        await self.add_users("alice", "bob")
        self.alice: Phone = self.phone("alice", host=self.address(100), capacity=CALLS, tone=600)
        self.bob: Phone = self.phone("bob", host=self.address(101), capacity=CALLS, tone=900)
        self.callees: list[PhoneCall] = []
        self.bob.incoming = self.callees.append
        await self.register(self.alice, self.bob)

    def configure(self, relay: str) -> None:
        self.systemd.configure(
            f'[cluster]\ndomain = ["{DOMAIN}"]\n[media]\nrelay = "{relay}"\nquarantine = 1\n'
        )

    async def _end(self) -> None:
        said = self.systemd.said
        await self.systemd.stop()
        await self.until(self.systemd.cleaned, "nothing is left of systemd")
        self.assertEqual(TRACEBACK.findall(said), [])

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
