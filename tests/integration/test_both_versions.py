"""One node with IPv4 and IPv6: phones of either version call each other through it."""

from __future__ import annotations

import socket

from tests.integration.harness import ClusterTestCase
from voipcluster.address import DEFAULT_PORT, Hop
from voipcluster.phone import Phone
from voipcluster.phone.phone_call import PhoneCall

SIX = "::1"


def _missing() -> str | None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((SIX, 0))
        except OSError as error:
            return f"needs IPv6 on the loopback interface, but: {error}"
    return None


class BothVersionsTests(ClusterTestCase):
    skip = _missing()

    def phone6(self, user: str, transport: str, tone: int) -> Phone:
        made = Phone(
            self.reactor, user, "example.com", self.passwords[user], Hop(transport, SIX, DEFAULT_PORT[transport]), SIX,
            transport, tone, answer_after=None,
        )  # fmt: skip
        self.at_end(made.stop)
        return made

    async def call(self, caller: Phone, callee: Phone, caller_ends: bool) -> None:
        """One calls the other, both hear the other's tone, each at an address of its own version, and one hangs up."""
        came, over = [], []
        callee.ended, caller.ended = over.append, over.append

        def answer(call: PhoneCall) -> None:
            came.append(call)
            callee.accept(call)

        callee.incoming = answer
        call = await caller.call(callee.aor)
        await self.until(lambda: came, "the call has come")
        for side, own, other in ((call, caller, callee), (came[0], callee, caller)):
            await self.until(
                lambda s=side, o=other: s.stream.heard_hz == o.tone, f"{own.aor} hears {other.tone} Hz"
            )
            source = side.stream.source
            self.assertEqual(":" in source[0], ":" in own.address[0], source)
        (caller if caller_ends else callee).hang_up(call if caller_ends else came[0])
        await self.until(lambda: len(over) == 2, "both know that it is over")

        async def no_calls() -> bool:
            return not await self.primary.ask("calls")

        await self.until(no_calls, "the node knows it, too")

    async def test_forks(self) -> None:
        """A user with a phone of each version is reached at both, and hears the caller at the one that answers."""
        await self.start_cluster("--set", f'node.also=["{SIX}"]', nodes="a")
        await self.add_users("caller", "user")
        caller = self.phone("caller", tone=700)
        desk = self.phone("user", tone=900, host=self.address(101), answer_after=None)
        mobile = self.phone6("user", "UDP", 1200)
        for phone in (desk, mobile, caller):
            await phone.register()
        for answering, silent in ((mobile, desk), (desk, mobile)):
            silent.incoming = lambda call: None
            await self.call(caller, answering, caller_ends=True)

    async def test_calls(self) -> None:
        """Registered on both sides, called from both sides, ended from both sides, over UDP and TCP."""
        await self.start_cluster("--set", f'node.also=["{SIX}"]', nodes="a")
        await self.add_users("four", "six", "four-tcp", "six-tcp")
        four, six = self.phone("four", tone=700, answer_after=None), self.phone6("six", "UDP", 1200)
        four_tcp = self.phone("four-tcp", transport="TCP", tone=900, answer_after=None)
        six_tcp = self.phone6("six-tcp", "TCP", 1500)
        for phone in (four, six, four_tcp, six_tcp):
            await phone.register()
        await self.call(four, six, caller_ends=True)
        await self.call(six, four, caller_ends=True)
        await self.call(six_tcp, four_tcp, caller_ends=False)
        await self.call(four, six_tcp, caller_ends=False)

    async def test_behind_a_nat(self) -> None:
        """A node that is called otherwise outside names that address to phones, and its other one to those who come there."""
        outside = self.address(9)
        await self.start_cluster(
            "--set", f"node.advertised={outside}", "--set", f'node.also=["{SIX}"]', nodes="a"
        )
        await self.add_users("four", "six")
        four, six = self.phone("four"), self.phone6("six", "TCP", 1200)
        for phone, host in ((four, outside), (six, f"[{SIX}]")):
            await phone.register()
            (route,) = phone.service_route
            self.assertTrue(route.startswith(f"<sip:{host}:5060;lr"), route)
