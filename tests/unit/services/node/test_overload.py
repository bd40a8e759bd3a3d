"""From the options to the overload control of a node."""

from __future__ import annotations

from types import SimpleNamespace

from tests.unit.services.transaction.test_overload import OverloadCase
from voipcluster.config import load_config, parse_set
from voipcluster.net.batch import arrange
from voipcluster.services.node.overload import overload_of
from voipcluster.services.transaction.overload import OverloadService
from voipcluster.sip.emergency import pattern_of


class NodeOverloadTests(OverloadCase):
    def made(self, *settings: str) -> OverloadService:
        """As a node makes it that has one port, and two datagrams lost at it."""
        self.passing: list[tuple[float, tuple[str, ...]]] = []
        self.port = port = SimpleNamespace(
            thin=lambda *told: self.passing.append(told),
            backlog=lambda: SimpleNamespace(lost=2),
            arrange=arrange,
        )
        self.load = SimpleNamespace(packets=0.0, leading="cpu")
        self.transport.udp_ports = [port]
        self.node = SimpleNamespace(
            config=load_config(None, [parse_set(setting) for setting in settings]),
            core=SimpleNamespace(addresses={}, wall=lambda: 1e9, downstreams=None),
            transactions=self.service,
            transport=self.transport,
            limiting=self.service.limiting,
            workload=SimpleNamespace(workload=lambda: self.load, sampled=None),
        )
        return overload_of(self.node, self.clock.seconds, bytes, lambda: 0.5)

    def test_as_it_comes(self) -> None:
        """Upstreams are told, next hops that say oc are obeyed, the kernel helps; the samples of the workload feed it."""
        made = self.made()
        self.assertEqual(self.service.taking_part, made.taking_part)
        self.assertIsNotNone(self.node.core.downstreams)
        self.assertEqual(made._lost(), 2)
        assert made._thin is not None
        made._thin(0.25)
        made.for_help = pattern_of(["112"])
        self.node.routing = SimpleNamespace(
            dialling=SimpleNamespace(plan=SimpleNamespace(emergency=("112",)))
        )
        made._thin(0.5)
        self.assertEqual(self.passing, [(0.25, ()), (0.5, ("112",))])
        self.node.workload.sampled(0.1, 0.0, 0.0)
        self.assertFalse(made.active)

    def test_wake_ups(self) -> None:
        """In overload each port takes calls in progress first, and afterwards what it did before."""
        made = self.made()
        order = made._wake_ups.arrange
        made._arrange(order)
        self.assertEqual(self.port.arrange, order)
        made._arrange(None)
        self.assertIs(self.port.arrange, arrange)

    def test_switched_off(self) -> None:
        """Each part by itself; what upstreams say of oc ends here all the same."""
        made = self.made("overload.feedback=false", "overload.offer=false", "overload.kernel=false")
        self.assertEqual(self.service.taking_part, made.leaving_out)
        self.assertIsNone(self.node.core.downstreams)
        self.assertIsNone(made._thin)

    def test_packets_are_short(self) -> None:
        """Only calls that need the relay are kept out while its packets lead, and above the threshold."""
        made = self.made()
        for packets, leading, only in ((0.9, "packets", True), (0.9, "cpu", False), (0.1, "packets", False)):
            self.load = SimpleNamespace(packets=packets, leading=leading)
            self.node.workload.sampled(0.1, 0.0, 0.0)
            self.assertEqual(made.server.calls_only, only, (packets, leading))
