"""
A cluster of whole nodes, their phones and the network between them, on one virtual clock and in one process.

    world = World("abc", seed=7)                      # three nodes, a is the primary; all links are up
    world.phones(callers=20, callees=20)              # registered
    world.traffic(rate=30, hold=2.0, seconds=20)      # calls, Poisson
    world.nodes["b"].crash()                          # or a partition, a slow node, loss ...
    world.settle()                                    # until all calls have ended
    world.check()                                     # the oracles: what must hold whatever happened

Nothing in it knows the machine's time, chance or processor, so the same seed gives the same run, and C{world.trace.digest} tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

from attrs import evolve
from twisted.internet.interfaces import IDelayedCall

from tests.simulation.clock import HeapClock
from tests.simulation.costs import Costs
from tests.simulation.disk import found_cluster
from tests.simulation.network import Network
from tests.simulation.node import SimNode
from tests.simulation.node_reactor import NodeReactor
from tests.simulation.oracles import FORGET, violations
from tests.simulation.phones import Attempt, SimPhone
from tests.simulation.trace import Trace
from voipcluster.config import Config
from voipcluster.store.accounts import new_account

DOMAIN = "example.com"
# Beside what a test sets: the parts that need a real machine are off, and there is no DNS.
OPTIONS: dict[str, dict[str, Any]] = {
    "web": {"port": 0},
    "media": {"relay": "off"},
    "auth": {"required": False},
    "dns": {"servers": ("192.0.2.53",)},
}


class World:
    """
    @param names: of the nodes, one letter each; the first is the primary.
    @param options: of the configuration, by section.
    @param speeds: of the processors, by node; 1.0 is as measured, times C{costs.scale}.
    @ivar attempts: all calls that were made with L{traffic} or L{call}.
    """

    domain = DOMAIN

    def __init__(
        self,
        names: str = "abc",
        *,
        seed: int = 1,
        options: Mapping[str, Mapping[str, Any]] = {},
        costs: Costs | None = None,
        speeds: Mapping[str, float] = {},
    ) -> None:
        self.seed = seed
        self.costs = Costs() if costs is None else costs
        self.clock = HeapClock()
        self.trace = Trace(self.clock.seconds)
        self.network = Network(self)
        self.nodes: dict[str, SimNode] = {}
        self.callers: list[SimPhone] = []
        self.callees: list[SimPhone] = []
        self.attempts: list[Attempt] = []
        hosts = [(name, f"10.0.0.{number}") for number, name in enumerate(names, 1)]
        for (name, host), disk in zip(hosts, found_cluster(seed, hosts), strict=True):
            node = self.nodes[name] = SimNode(self, name, host, _config(name, host, options), disk)
            node.speed = speeds.get(name, 1.0)
        for node in self.nodes.values():
            node.start()
        self.until(self.linked, "all nodes are linked")
        self.run(2 * self.nodes[names[0]].config.cluster.period)  # all have heard all

    # -- time

    @property
    def now(self) -> float:
        """Simulated seconds since the beginning."""
        return self.clock.seconds()

    def run(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def until(
        self, condition: Callable[[], object], what: str, seconds: float = 60.0, every: float = 0.01
    ) -> None:
        """Run until a condition holds, looked at after C{every} seconds."""
        end = self.now + seconds
        while not condition():
            if self.now > end:
                raise AssertionError(f"not within {seconds:g} s: {what}")
            self.run(every)

    def at(
        self, seconds: float, call: Callable[..., object], *arguments: Any, **keywords: Any
    ) -> IDelayedCall:
        """Let something happen so many seconds from now."""
        return self.clock.callLater(seconds, call, *arguments, **keywords)

    # -- nodes

    @property
    def alive(self) -> list[SimNode]:
        return [node for node in self.nodes.values() if node.alive]

    def linked(self) -> bool:
        """Whether each node that lives has a link to each other one."""
        return all(
            node.service.running and node.service.cluster.is_up(other.name)
            for node in self.alive
            for other in self.alive
            if node is not other
        )

    def is_reachable(self, host: str) -> bool:
        """Whether a machine answers there, if only to say that nobody listens."""
        return host in self.network.hosts

    def reactor_at(self, host: str) -> NodeReactor | None:
        node = self.network.hosts.get(host)
        return node.reactor if isinstance(node, SimNode) and node.alive else None

    def cut(self, some: Iterable[str], others: Iterable[str], *, cut: bool = True) -> None:
        """A partition between nodes; C{cut=False} heals it. Phones reach all of them."""
        self.network.cut([self.nodes[a].host for a in some], [self.nodes[b].host for b in others], cut=cut)

    def between_nodes(self, **conditions: object) -> None:
        """Change how it is between any two nodes, see L{tests.simulation.network.Path}."""
        hosts = [node.host for node in self.nodes.values()]
        self.network.change(hosts, hosts, **conditions)

    # -- phones and calls

    def password(self, user: str) -> str:
        return f"secret of {user}"

    def phone(self, user: str, node: str, **how: Any) -> SimPhone:
        """A phone with that node as its proxy, and an account where one is needed."""
        primary = next(iter(self.nodes.values()))
        if primary.config.auth.required:
            primary.service.cluster.change_account(new_account(user, DOMAIN, self.password(user)))
        number = len(self.callers) + len(self.callees) + 1
        return SimPhone(self, user, f"10.1.{number >> 8}.{number & 0xFF}", self.nodes[node].address, **how)

    def phones(self, callers: int, callees: int, at: str = "") -> None:
        """
        Make phones, and register those that are called, in turn at all nodes.

        @param at: the nodes that callers use, in turn; all, when not given.
        """
        names = list(self.nodes)
        for number in range(callees):
            self.callees.append(self.phone(f"callee{number}", names[number % len(names)]))
        for number in range(callers):
            self.callers.append(self.phone(f"caller{number}", (at or names)[number % len(at or names)]))
        for phone in self.callees:
            phone.register()
            self.run(0.02)
        self.until(self.registered, "all phones are registered, and all nodes know it")

    def registered(self) -> bool:
        """Whether every phone that is called can be found at every node."""
        aors = [phone.aor.removeprefix("sip:") for phone in self.callees if phone.on]
        return all(node.service.registrar.lookup(aor) for node in self.alive for aor in aors)

    def traffic(self, rate: float, hold: float, seconds: float) -> None:
        """Calls begin as a Poisson process of C{rate} a second, last C{hold} seconds on average, and all of it happens."""
        self.begin_traffic(rate, hold, seconds)
        self.run(seconds)

    def begin_traffic(self, rate: float, hold: float, seconds: float) -> None:
        """The same, beginning now; time passes elsewhere."""
        chance = Random(f"{self.seed}:traffic:{len(self.attempts)}")
        at = chance.expovariate(rate)
        while at < seconds:
            caller, callee = chance.choice(self.callers), chance.choice(self.callees)
            self.at(at, self.call, caller, callee, chance.expovariate(1.0) * hold)
            at += chance.expovariate(rate)

    def call(self, caller: SimPhone, callee: SimPhone, hold: float | None = None) -> Attempt:
        attempt = caller.call(callee.aor, hold)
        self.attempts.append(attempt)
        return attempt

    # -- the end

    @property
    def outcome(self) -> Counter[str]:
        """How the calls ended: C{up}, C{open}, or the status that ended an attempt that was never answered."""
        return Counter(
            "up" if one.answered else str(one.status) if one.over else "open" for one in self.attempts
        )

    def settle(self, seconds: float = 120.0) -> None:
        """Run until all calls have ended, and those who took part have had the time to forget them."""
        self.until(self.over, "all calls end", seconds, every=0.5)
        self.run(FORGET + 0.1)

    def over(self) -> bool:
        return all(attempt.over for attempt in self.attempts)

    def empty(self, seconds: float = 60.0) -> None:
        """Run until no transaction is left at any node that lives: the last ones linger for half a minute."""
        self.until(
            lambda: not any(len(node.service.transactions) for node in self.alive),
            "all transactions end",
            seconds,
            every=1.0,
        )

    def check(self) -> None:
        """@raise AssertionError: something that must hold whatever happens does not; the text says what."""
        found = violations(self)
        if found:
            raise AssertionError(f"{len(found)} violations with seed {self.seed}:\n" + "\n".join(found[:10]))


def _config(name: str, host: str, options: Mapping[str, Mapping[str, Any]]) -> Config:
    config = Config()
    node = {"name": name, "address": host, "state_dir": f"/simulated/{name}", "role": ""}
    for section in {**OPTIONS, **options, "node": {}}:
        values = {
            **OPTIONS.get(section, {}),
            **options.get(section, {}),
            **(node if section == "node" else {}),
        }
        config = evolve(config, **{section: evolve(getattr(config, section), **values)})
    return config
