"""A satellite phone: 600 ms each way with jitter, 2 % of the packets lost. Nothing may give up before it has had its time."""

from __future__ import annotations

import re

from demo.cluster import Cluster, Node
from demo.programs import ProgramFailed
from tests.integration.harness import DOMAIN, ClusterTestCase
from tests.integration.passed_over import PassedOver, again_if_passed_over
from tests.integration.run_sipp import credentials
from tests.network import Host, Network, NetworkReactor, refused
from tests.slow_wire import SlowWire

DELAY, JITTER, LOSS = 0.6, 0.03, 0.02
ROUND_TRIP = 2 * (DELAY - JITTER)


class SatelliteTests(ClusterTestCase):
    """The phone is at 10.20.0.10, a node and bob are on the ground."""

    skip = refused() or None
    timeout = 150

    async def setUp(self) -> None:
        super().setUp()
        self.net = Network()
        self.addCleanup(self.net.close)
        self.reactor = NetworkReactor(type(self).reactor, self.net)
        ground = self.net.host("ground", "198.51.100.1/24")
        ground.forwards()
        self.bob_host = self.net.host("bob", "198.51.100.20/24")
        self.satellite = Host("satellite")
        self.net.hosts.append(self.satellite)
        self.wire = SlowWire(
            self.reactor, (ground, "10.20.0.1/24"), (self.satellite, "10.20.0.10/24"), DELAY, JITTER, LOSS, 7
        )
        self.at_end(self.wire.close)
        self.satellite.run("ip", "route", "add", "default", "dev", "sat0")
        self.cluster = Cluster(self.reactor, self.folder)
        self.at_end(self._end_cluster)
        made = Node(self.reactor, "a", "198.51.100.1", self.folder)
        with ground.inside():
            made.launch(
                "primary", "--set", f'cluster.domain=["{DOMAIN}"]', "--set", "web.port=0", "--set", "media.relay=userspace"
            )  # fmt: skip
        self.cluster.nodes.append(made)
        await made.ready()
        await self.add_users("alice", "bob")

    def no_time_out(self) -> None:
        """Nothing ended because somebody had waited for too short a time."""
        log = self.primary.log.read_text()
        self.assertNotIn("408", log)
        self.assertNotIn("media time-out", log)
        self.assertGreater(self.wire.lost, 0)

    async def test_calls(self) -> None:
        """It registers, with digest; is called and calls; both hear each other; either one hangs up."""
        with self.satellite.inside():
            alice = self.phone("alice", host="10.20.0.10", tone=1200)
            registering = alice.register()
        begun = self.reactor.seconds()
        await registering
        self.assertGreater(self.reactor.seconds() - begun, 2 * ROUND_TRIP)  # challenged and answered
        with self.bob_host.inside():
            bob = self.phone("bob", host="198.51.100.20", tone=700)
            registering = bob.register()
        await registering
        tones = {alice: 1200, bob: 700}
        for calling, called, ends in ((bob, alice, "callee"), (alice, bob, "callee"), (alice, bob, "caller")):
            here = await calling.call(called.aor.removeprefix("sip:"))
            (there,) = called.calls.values()
            wanted = tones[called], tones[calling]
            await self.until(
                lambda here=here, there=there, wanted=wanted: (here.heard_hz, there.heard_hz) == wanted,
                "both hear each other",
            )
            first, second = (here, there) if ends == "caller" else (there, here)
            await first.hang_up()
            await second.when_ended()
        await self.until(self.no_calls, "the node has no call left")
        self.no_time_out()

    async def begin_anew(self) -> None:
        await self.tearDown()
        self.net.close()
        await self.setUp()

    async def no_calls(self) -> bool:
        return not await self.primary.ask("calls", call_id=None)

    def credentials(self, user: str) -> str:
        return credentials(user, self.passwords[user])

    @again_if_passed_over
    async def test_hold(self) -> None:
        """
        A caller up there puts the call on hold and takes it back; no request of it was given up.

        sipp does not look at CSeq: of the copies that are on their way for a second here, one of an earlier answer may count as
        that of its next request, and it waits for ever then. That shows nothing, and the test begins anew.
        """
        with self.bob_host.inside():
            bob = self.phone("bob", host="198.51.100.20", tone=700)
            registering = bob.register()
        await registering
        row = ("alice", self.credentials("alice"), "bob", "40000")
        # copies of a 100, which the copies of its INVITE bring, end a call of sipp unless told otherwise
        options = ("-default_behaviors", "all,-abortunexp")
        with self.satellite.inside():
            caller = self.sipp(
                "call_held", "10.20.0.10", self.primary.hop(), rows=[row], hold=0.5, options=options
            )
        try:
            await caller.finished(60)
        except ProgramFailed as error:
            self.no_time_out()
            told = re.findall(r"^(?:SIP/2\.0 \d+|CSeq:.*)", caller.messages, re.MULTILINE)
            raise PassedOver(f"{error}; it sent and was told {told}") from None
        self.assertEqual((caller.successful, caller.failed), (1, 0))
        await self.until(self.no_calls, "the node has no call left")
        self.no_time_out()
