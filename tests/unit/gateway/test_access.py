"""Which gateway a client is, and what that gateway may do."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.address import Flow
from voipcluster.gateway.access import Direction, allowed_codecs, behind, identify, may_pass
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.permission import Party, Permission

IN, OUT = Direction.INCOMING, Direction.OUTGOING
ALICE = Party(aor="alice@example.com", ours=True)
BERLIN = Party("+4930123")


def flow(host: str, transport: str = "UDP") -> Flow:
    return Flow(transport, ("192.0.2.254", 5060), (host, 5060), 0 if transport == "UDP" else 1)


class IdentifyTests(SynchronousTestCase):
    def found(self, *given: object, gateways: tuple[Gateway, ...]) -> str | None:
        gateway = identify(gateways, *given)
        return None if gateway is None else gateway.name

    def test_by_source(self) -> None:
        """The smallest network that holds the address decides; who is in none is a stranger."""
        gateways = Gateway("wide", sources=("192.0.2.0/24",)), Gateway("one", servers=("192.0.2.7",))
        hosts = "192.0.2.7", "192.0.2.8", "198.51.100.1", "2001:db8::1"
        self.assertEqual(
            [self.found(flow(host), gateways=gateways) for host in hosts], ["one", "wide", None, None]
        )

    def test_as_safe_as_declared(self) -> None:
        """The source of a datagram can be forged: a gateway that uses TLS is not known by it, nor by plain TCP."""
        gateways = (Gateway("a", servers=("192.0.2.7",), transport="tls"),)
        found = [self.found(flow("192.0.2.7", name), gateways=gateways) for name in ("UDP", "TCP", "TLS")]
        self.assertEqual(found, [None, None, "a"])
        gateways = (Gateway("a", servers=("192.0.2.7",), transport="tcp"),)
        found = [self.found(flow("192.0.2.7", name), gateways=gateways) for name in ("UDP", "TCP", "TLS")]
        self.assertEqual(found, [None, "a", "a"])

    def test_by_certificate_and_password(self) -> None:
        """A proved account comes before a certificate, and that before an address."""
        gateways = (
            Gateway("address", sources=("192.0.2.7",)),
            Gateway("certificate", certificates=("gw.example.com",)),
            Gateway("account", username="gw@example.com"),
        )
        known = flow("192.0.2.7", "TLS")
        self.assertEqual(self.found(known, gateways=gateways), "address")
        self.assertEqual(self.found(known, {"gw.example.com"}, gateways=gateways), "certificate")
        self.assertEqual(
            self.found(known, {"gw.example.com"}, "gw@example.com", gateways=gateways), "account"
        )
        self.assertEqual(self.found(known, {"x.example.com"}, "x@example.com", gateways=gateways), "address")


class BehindTests(SynchronousTestCase):
    def test_smallest(self) -> None:
        """Who is behind several is behind the one with the smallest network; most are behind none."""
        gateways = (
            Gateway("wide", behind=("10.0.0.0/8",)),
            Gateway("one", behind=("10.1.0.0/16", "2001:db8::/32")),
        )
        found = [behind(gateways, host) for host in ("10.1.2.3", "10.2.0.1", "192.0.2.1", "2001:db8::7")]
        self.assertEqual([gateway and gateway.name for gateway in found], ["one", "wide", None, "one"])


class PassTests(SynchronousTestCase):
    def verdict(
        self, gateway: Gateway, direction: Direction = IN, caller: Party = BERLIN, callee: Party = ALICE,
        at: tuple[int, int] = (0, 600), codecs: tuple[str, ...] = (),
    ) -> tuple[int, str] | None:  # fmt: skip
        refusal = may_pass(gateway, direction, caller, callee, *at, codecs)
        return None if refusal is None else (refusal.status, refusal.kind)

    def test_by_default(self) -> None:
        """A gateway reaches our users and no number; our users reach everything behind it."""
        gateway = Gateway("a")
        self.assertIsNone(self.verdict(gateway))
        self.assertEqual(self.verdict(gateway, callee=BERLIN), (403, "number"))
        self.assertIsNone(self.verdict(gateway, OUT, ALICE, BERLIN))

    def test_each_reason(self) -> None:
        """Disabled, closed, a caller or a number that may not, and no common codec, each with its own word."""
        self.assertEqual(self.verdict(Gateway("a", enabled=False)), (403, "disabled"))
        self.assertEqual(self.verdict(Gateway("a", hours=("Tu 00:00-24:00",))), (403, "hours"))
        deaf = Gateway("a", incoming=Permission(callers=("!+4930", "*")))
        self.assertEqual(self.verdict(deaf), (403, "caller"))
        local = Gateway("a", outgoing=Permission(numbers=("+49",)))
        self.assertIsNone(self.verdict(local, OUT, ALICE, BERLIN))
        self.assertEqual(self.verdict(local, OUT, ALICE, Party("+1555")), (403, "number"))
        plain = Gateway("a", codecs=("PCMA", "PCMU"))
        self.assertEqual(self.verdict(plain, codecs=("opus", "G722")), (488, "codecs"))
        self.assertIsNone(self.verdict(plain, codecs=("opus", "pcma")))
        self.assertIsNone(self.verdict(plain))

    def test_codecs(self) -> None:
        """Names of codecs have no case, and what is not listed is taken out."""
        self.assertEqual(allowed_codecs(Gateway("a", codecs=("PCMA",)), ["opus", "pcma"]), ["pcma"])
        self.assertEqual(allowed_codecs(Gateway("a"), ["opus", "pcma"]), ["opus", "pcma"])
