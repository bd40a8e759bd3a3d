"""Claim: a phone registered at node b is called by a phone at node c, over the flow that it registered with."""

from __future__ import annotations

from tests.integration.shared_cluster import SharedClusterTestCase
from voipcluster.address import Flow
from voipcluster.phone import CallFailed, Phone


def flows_of(phone: Phone) -> list[Flow]:
    """The flows that requests to a phone come in on from now on, one for each."""
    seen: list[Flow] = []
    receive = phone.bytes_received

    def received(data: bytes, flow: Flow) -> None:
        if not data.startswith(b"SIP/2.0 "):
            seen.append(flow)
        receive(data, flow)

    phone.bytes_received = received
    return seen


class RegisteredElsewhere(SharedClusterTestCase):
    async def called_over(self, transport: str) -> tuple[Phone, list[Flow]]:
        """Alice registers at b, bob at c calls her, and each hangs up once; alice's phone and the flows it heard on."""
        await self.start_cluster()
        self.alice, self.bob = self.own("alice"), self.own("bob")
        await self.add_users(self.alice, self.bob)
        b, c = self.node("b"), self.node("c")
        alice = self.phone(self.alice, b, transport=transport, tone=500)
        flows = flows_of(alice)
        bob = self.phone(self.bob, c, host=self.address(101), transport=transport, tone=900)
        await self.register(alice, bob)
        await self.reachable(self.alice)
        for node in self.cluster.nodes:
            (row,) = await node.ask("registrations", aor=f"{self.alice}@example.com")
            self.assertEqual((row["node"], row["transport"]), ("b", transport))

        for ends in (alice, bob):
            call = await bob.call(f"{self.alice}@example.com")
            (alices,) = alice.calls.values()
            (row,) = await self.primary.ask("calls", call_id=call.call_id)
            self.assertEqual((row["ingress"], row["state"]), ("c", "up"))
            assert call.remote_media is not None and alices.remote_media is not None
            # c, unless it had so much to do that it gave the call to another
            relay = self.node(row["node"]).address
            self.assertEqual({call.remote_media[0], alices.remote_media[0]}, {relay})
            await self.until(lambda call=call: call.heard_hz == 500, "bob hears alice")
            await self.until(lambda alices=alices: alices.heard_hz == 900, "alice hears bob")
            await (alices if ends is alice else call).hang_up()
            await self.until(lambda call=call, alices=alices: call.over and alices.over, "both ends are over")
            self.assertEqual((call.status, alices.status), (200, 200))
        self.assertEqual({flow.remote for flow in flows}, {(b.address, 5060)})
        return alice, flows

    async def test_over_udp(self) -> None:
        """All of the calls reaches the phone from the very address that it registered with (RFC 3581)."""
        await self.called_over("UDP")

    async def test_over_tcp(self) -> None:
        """All of the calls comes over the connection it registered with (RFC 5626), whose end ends the registration."""
        alice, flows = await self.called_over("TCP")
        self.assertEqual(len({flow.connection for flow in flows}), 1)
        self.assertEqual(alice.transport.statistics()["connections_accepted"], 0)

        await alice.stop()
        for node in self.cluster.nodes:

            async def gone(node=node) -> bool:
                return not await node.ask("registrations", aor=f"{self.alice}@example.com")

            await self.until(gone, f"{node.name} knows that alice has gone")
        late = self.phone(self.bob, self.node("c"), host=self.address(102))
        failed = await self.assertFailure(late.call(f"{self.alice}@example.com"), CallFailed)
        self.assertEqual(failed.status, 480)

    async def test_from_one_transport_to_the_other(self) -> None:
        """Two baresips, one registered at b over TCP, one at c over UDP, call each other and hear each other's tone."""
        await self.start_cluster()
        users = self.own("alice"), self.own("bob")
        await self.add_users(*users)
        alice = await self.baresip(users[0], self.node("b"), transport="TCP", hz=500, answer=True)
        bob = await self.baresip(users[1], self.node("c"), hz=900, answer=True)
        await self.reachable(*users)
        for caller, callee in ((bob, alice), (alice, bob)):
            await caller.dial(f"sip:{callee.user}@example.com")

            async def heard() -> bool:
                rows = await self.primary.ask("calls")
                return [row["audio"] for row in rows] == ["both"] and rows[0]["packets"] > 100

            await self.until(heard, "audio goes both ways")
            await caller.hang_up()

            async def ended() -> bool:
                return not await self.primary.ask("calls")

            await self.until(ended, "the call is over")
        self.assertIn(900, await alice.heard())
        self.assertIn(500, await bob.heard())
