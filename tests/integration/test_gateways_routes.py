"""Calls to numbers through three real nodes: sipp as gateways, a rate table, and a DNS of the test's own for ENUM."""

from __future__ import annotations

import socket
from collections import Counter
from typing import Any

from twisted.names import dns

from tests.conformance.dns_server import DnsServer
from tests.integration.claims import CALLERS, ClaimTestCase
from tests.integration.harness import listens
from tests.integration.run_sipp import Sipp, credentials

# last octets of the addresses of the gateways, and of what is no gateway
GATEWAYS = {"busy": 111, "deaf": 112, "dead": 113, "full": 114, "dear": 115, "cheap": 116, "twin": 117}
ENUM_SERVER, DNS = 118, 53
# (prefix, gateway, more)
ROUTES = (
    ("+4911", "busy", "priority = 1"),
    ("+4911", "cheap", "priority = 2\nstrip = 3\nprepend = '0'"),
    ("+4912", "deaf", "priority = 1"),
    ("+4912", "cheap", "priority = 2"),
    ("+4913", "dead", "priority = 1"),
    ("+4913", "cheap", "priority = 2"),
    ("+4914", "full", "priority = 1"),
    ("+4914", "cheap", "priority = 2"),
    ("+4915", "dear", ""),
    ("+4915", "cheap", "weight = 3"),
    ("+4915", "twin", "weight = 1"),
    ("+4916", "dead", ""),
)
RATES = "prefix,gateway,price\n+49,dear,9\n+4915,cheap,2.5\n+49,twin,2.5\n"
CALLS = 1000


class RoutesTests(ClaimTestCase):
    timeout = 240

    def configuration(self) -> str:
        rates = self.folder / "rates.csv"
        rates.write_text(RATES)
        lines = ["[numbers]", 'country = "49"', 'emergency = ["110"]', "next_after = 0.5"]
        lines += [f'rates = "{rates}"', 'enum = "e164.test"']
        for name, last in GATEWAYS.items():
            lines += ["[[gateway]]", f'name = "{name}"', 'kind = "pstn"', "probe = 0"]
            lines += [f'servers = ["{self.address(last)}:5060"]', f"channels = {1 if name == 'full' else 0}"]
        for prefix, gateway, more in ROUTES:
            lines += ["[[route]]", f'prefix = "{prefix}"', f'gateway = "{gateway}"', more]
        lines += ["[[gateway]]", 'name = "lost"', 'servers = ["sip.nowhere.test"]', "probe = 1"]
        path = self.folder / "routes.toml"
        path.write_text("\n".join([*lines, ""]))
        return str(path)

    async def gateway(self, last: int, scenario: str = "uas") -> Sipp:
        made = self.sipp(scenario, self.address(last), limit=200, options=("-nostdin",))
        await self.until(lambda: listens(self.address(last), 5060), "sipp listens")
        return made

    async def calls_to(self, number: str, calls: int = 1, **options: Any) -> Sipp:
        """Calls of a user who proves his password, spread over the callers' addresses one after the other."""
        rows = [("ann", credentials("ann", self.passwords["ann"]), number, "40000")]
        options = {"scenario": "call", "calls": calls, "hold": 0.0, "rate": 10.0, **options}
        return self.sipp(
            options.pop("scenario"),
            self.address(CALLERS),
            options.pop("node", self.primary).hop(),
            rows=rows,
            **options,
        )

    async def test_routes(self) -> None:
        """
        Failover where the first gateway answers 503, is deaf, is dead or is full, with the early media that it sent; numbers
        rewritten; the URI of ENUM; least cost and weights over a thousand calls.
        """
        server = DnsServer(self.reactor)
        server.add(
            "0.0.7.1.9.4.e164.test",
            dns.Record_NAPTR(
                1, 1, b"u", b"E2U+sip", f"!^.*$!sip:enum@{self.address(ENUM_SERVER)}!".encode(), ""
            ),
        )
        for port in server.listen(self.address(DNS), 5353):
            self.at_end(port.stopListening)
        self.at_end(self._close(server))
        await self.start_cluster(
            *("--config", self.configuration()),
            *("--set", f'dns.servers=["{self.address(DNS)}:5353"]', "--set", "media.relay=off"),
            *("--set", 'limits.trusted=["127.0.0.0/8"]', "--set", "limits.unanswered_calls_per_user=0"),
            # the machine may be busy: a call may wait for long, and without control a node refuses once it stalls
            *("--set", "overload.target=1.0", "--set", "cluster.hard_limit=1.0"),
        )
        await self.add_users("ann")
        deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(deaf.close)
        deaf.bind((self.address(GATEWAYS["deaf"]), 5060))
        busy = await self.gateway(GATEWAYS["busy"], "gateway_503")
        full, dear, cheap, twin, enum = [
            await self.gateway(last)
            for last in (*(GATEWAYS[name] for name in ("full", "dear", "cheap", "twin")), ENUM_SERVER)
        ]

        await self._fails_over(busy, cheap)
        await self._passes_over(full, cheap)
        call = await self.calls_to("+491700")
        await call.finished(20)
        self.assertIn(f"INVITE sip:enum@{self.address(ENUM_SERVER)} SIP/2.0", enum.messages)
        await self._is_shown()
        down = (
            "gateway lost is down, no calls go to it: sip.nowhere.test: sip.nowhere.test cannot be resolved"
        )
        await self.until(lambda: down in self.primary.log.read_text(), "a name without servers is told")
        await self._costs(dear, cheap, twin)

    @staticmethod
    def _close(server: DnsServer) -> Any:
        async def close() -> None:
            server.close()

        return close

    async def _fails_over(self, busy: Sipp, cheap: Sipp) -> None:
        for number in ("01123456", "01223456", "01323456"):
            call = await self.calls_to(number, node=self.node("b"))
            await call.finished(20)
            if number == "01123456":
                statuses = Counter(
                    line.split()[1] for line in call.messages.splitlines() if line.startswith("SIP/2.0 ")
                )
                self.assertEqual((statuses["183"], statuses["180"], statuses["503"]), (1, 1, 0), statuses)
        await self.until(lambda: cheap.successful == 3, "the next gateway had the three calls")
        self.assertIn(
            f"INVITE sip:+491123456@{self.address(GATEWAYS['busy'])}:5060;user=phone", busy.messages
        )
        for number in ("01123456", "+491223456", "+491323456"):
            self.assertIn(
                f"INVITE sip:{number}@{self.address(GATEWAYS['cheap'])}:5060;user=phone", cheap.messages
            )

    async def _passes_over(self, full: Sipp, cheap: Sipp) -> None:
        """One channel: while a call has it, each node brings the next one elsewhere; afterwards it is there again."""
        held = await self.calls_to("+491400", hold=None)
        await self.calls_up(1)
        before = cheap.successful
        for node in self.cluster.nodes:
            call = await self.calls_to("+491400", node=node, scenario="call", port=5061)
            await call.finished(20)
        await self.until(lambda: cheap.successful == before + 3, "the next gateway had the three calls")
        held.hang_up()
        await held.finished(20)
        await self.calls_up(0)
        call = await self.calls_to("+491400", node=self.node("c"))
        await call.finished(20)
        await self.until(lambda: full.successful == 2, "the first gateway had two calls")

    async def _is_shown(self) -> None:
        """voipctl says where a number would go; routes are read anew while the node runs, but not with a mistake in them."""
        node = self.node("b")
        rows = await node.voipctl_json("route", "list", "01123456")
        self.assertEqual(
            [(row["gateway"], row["sent"], row["state"]) for row in rows],
            [("busy", "+491123456", "asked"), ("cheap", "01123456", "asked")],
        )
        path = self.folder / "routes.toml"
        good = path.read_text()
        path.write_text(good.replace('gateway = "busy"', 'gateway = "bussy"'))
        wrong = node.voipctl_program("route", "reload")
        self.assertEqual(await wrong.ended(20), 1)
        line = good.splitlines().index('gateway = "busy"') + 1
        self.assertIn(
            f'{path}:{line}: route.gateway: unknown gateway "bussy"; did you mean busy?', wrong.output
        )
        self.assertEqual(await node.voipctl_json("route", "list", "01123456"), rows)
        path.write_text(good.replace('gateway = "busy"', 'gateway = "dear"'))
        told = await node.voipctl("route", "reload")
        self.assertEqual(told.splitlines()[0], f"node {node.name}: changed routes")
        self.assertIn(
            "numbers.emergency: no route takes 110", told
        )  # the file has none, and it is said again
        rows = await node.voipctl_json("route", "list", "01123456")
        self.assertEqual([row["gateway"] for row in rows], ["dear", "cheap"])

    async def _costs(self, dear: Sipp, cheap: Sipp, twin: Sipp) -> None:
        before = cheap.successful
        callers = []
        for n, (node, calls) in enumerate(zip(self.cluster.nodes, (334, 333, 333), strict=True)):
            callers.append(await self.calls_to("+491500", calls, rate=20.0, node=node, port=5070 + n))
            await callers[-1].finished(60)
        self.assertEqual(sum(caller.successful for caller in callers), CALLS)
        await self.until(lambda: cheap.successful - before + twin.successful == CALLS, "all calls have ended")
        self.assertEqual(dear.successful, 0)
        share = (cheap.successful - before) / CALLS
        self.assertLess(abs(share - 0.75), 0.055, "more than four standard deviations")
