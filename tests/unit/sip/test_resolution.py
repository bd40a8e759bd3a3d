"""Which questions a URI leads to, in which order, and the servers that come of the answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.address import TCP, TLS, UDP, Hop
from voipcluster.sip.dns import AAAA, NAPTR, SRV, A, Naptr, Question, Record, Srv
from voipcluster.sip.resolution import (
    MAX_HOSTS,
    MAX_SERVERS,
    MAX_SERVICES,
    Answered,
    Ask,
    Effect,
    Resolution,
    Resolved,
    Server,
    draws,
    srv_order,
)
from voipcluster.sip.uri import parse_uri

Zone = Mapping[tuple[str, str], Sequence[Record]]
EXAMPLE: Zone = {
    ("example.net", NAPTR): (
        Naptr(50, 50, "s", "SIPS+D2T", "_sips._tcp.example.net"),
        Naptr(90, 50, "s", "SIP+D2T", "_sip._tcp.example.net"),
        Naptr(100, 50, "s", "SIP+D2U", "_sip._udp.example.net"),
    ),
    ("_sips._tcp.example.net", SRV): (Srv(0, 1, 5061, "a.example.net"),),
    ("_sip._tcp.example.net", SRV): (Srv(0, 1, 5060, "a.example.net"), Srv(1, 1, 5070, "b.example.net")),
    ("_sip._udp.example.net", SRV): (Srv(0, 1, 5060, "b.example.net"),),
    ("a.example.net", A): ("192.0.2.1",),
    ("b.example.net", A): ("192.0.2.2",),
    ("b.example.net", AAAA): ("2001:db8::2",),
    ("example.net", A): ("192.0.2.9",),
}


class ResolutionCase(SynchronousTestCase):
    transports: Sequence[str] = (UDP, TCP, TLS)
    families: Sequence[str] = (A,)

    def resolve(self, uri: str, zone: Zone = EXAMPLE) -> list[str]:
        """The servers; C{asked} holds the questions, those that were asked together in one list."""
        self.asked: list[list[str]] = []
        machine = Resolution(parse_uri(uri), self.transports, self.families, lambda: 0.0)
        effects: list[Effect] = machine.start()
        while True:
            questions = [effect.question for effect in effects if isinstance(effect, Ask)]
            if not questions:
                break
            self.asked.append([str(question) for question in questions])
            effects = []
            for question in questions:
                self.assertEqual(effects, [], "nothing follows before all is answered")
                effects = machine.feed(Answered(question, zone.get((question.name, question.kind), ())))
        (resolved,) = effects
        assert isinstance(resolved, Resolved)
        self.domains = {server.domain for server in resolved.servers}
        return [str(server.hop) for server in resolved.servers]


class OrderOfQuestionsTests(ResolutionCase):
    def test_numeric(self) -> None:
        """A numeric host, or maddr, needs no question (section 4.2)."""
        for uri, server in (
            ("sip:192.0.2.7", "udp:192.0.2.7:5060"),
            ("sips:[2001:db8::1]", "tls:[2001:db8::1]:5061"),
            ("sip:example.net:5070;maddr=192.0.2.7;transport=tcp", "tcp:192.0.2.7:5070"),
        ):
            self.assertEqual((self.resolve(uri), self.asked), ([server], []), uri)

    def test_explicit_port(self) -> None:
        """With a port there is neither NAPTR nor SRV; UDP unless the URI says otherwise (sections 4.1 and 4.2)."""
        self.assertEqual(self.resolve("sip:bob@example.net:5066"), ["udp:192.0.2.9:5066"])
        self.assertEqual(self.asked, [["A of example.net"]])
        self.assertEqual(self.resolve("sips:example.net:5066"), ["tls:192.0.2.9:5066"])

    def test_explicit_transport(self) -> None:
        """With a transport there is no NAPTR, and SRV for that one only (section 4.2)."""
        self.assertEqual(
            self.resolve("sip:example.net;transport=TCP"), ["tcp:192.0.2.1:5060", "tcp:192.0.2.2:5070"]
        )
        self.assertEqual(
            self.asked, [["SRV of _sip._tcp.example.net"], ["A of a.example.net", "A of b.example.net"]]
        )

    def test_all(self) -> None:
        """NAPTR, then SRV, then addresses; in the order of NAPTR's order field, then of SRV's priority (section 4.1)."""
        self.assertEqual(
            self.resolve("sip:bob@example.net"),
            ["tls:192.0.2.1:5061", "tcp:192.0.2.1:5060", "tcp:192.0.2.2:5070", "udp:192.0.2.2:5060"],
        )
        self.assertEqual([questions[0].partition(" ")[0] for questions in self.asked], ["NAPTR", "SRV", "A"])
        self.assertEqual(self.asked[0], ["NAPTR of example.net"])

    def test_sips(self) -> None:
        """A sips URI goes over TLS only (section 4.1), whatever else is offered."""
        self.assertEqual(self.resolve("sips:bob@example.net"), ["tls:192.0.2.1:5061"])
        self.assertEqual(self.domains, {"example.net"}, "what the certificate has to name (RFC 5922)")
        self.assertEqual(self.asked[1], ["SRV of _sips._tcp.example.net"])
        self.assertEqual(
            self.resolve("sips:other.example", {("other.example", A): ("192.0.2.3",)}), ["tls:192.0.2.3:5061"]
        )
        self.assertEqual(
            self.asked,
            [["NAPTR of other.example"], ["SRV of _sips._tcp.other.example"], ["A of other.example"]],
        )

    def test_preference(self) -> None:
        """Within one order the preference counts; flags and services are compared without case (RFC 3403 section 4.1)."""
        zone = {
            **EXAMPLE,
            ("example.net", NAPTR): (
                Naptr(1, 20, "S", "sip+d2t", "_sip._tcp.example.net"),
                Naptr(1, 10, "s", "SIP+D2U", "_sip._udp.example.net"),
            ),
        }
        self.assertEqual(self.resolve("sip:example.net", zone)[0], "udp:192.0.2.2:5060")

    def test_unsupported_services(self) -> None:
        """Services and flags that we do not know are passed over (section 4.1); none left is the same as none there."""
        zone = {
            **EXAMPLE,
            ("example.net", NAPTR): (
                Naptr(1, 1, "s", "SIP+D2S", "_sip._sctp.example.net"),
                Naptr(1, 1, "u", "E2U+sip", ""),
                Naptr(1, 1, "u", "SIP+D2U", "x.example.net"),
                Naptr(1, 1, "s", "SIP+D2U", "not..a.name"),
            ),
        }
        self.resolve("sip:example.net", zone)
        self.assertEqual(
            self.asked[1],
            ["SRV of _sip._udp.example.net", "SRV of _sip._tcp.example.net", "SRV of _sips._tcp.example.net"],
        )

    def test_address_flag(self) -> None:
        """Flag "a" leads to an address with the default port (RFC 2915 section 2)."""
        zone = {**EXAMPLE, ("example.net", NAPTR): (Naptr(1, 1, "a", "SIP+D2T", "b.example.net"),)}
        self.assertEqual(self.resolve("sip:example.net", zone), ["tcp:192.0.2.2:5060"])

    def test_no_naptr(self) -> None:
        """Without NAPTR the SRV sets of our transports say what there is (section 4.1)."""
        zone = {key: value for key, value in EXAMPLE.items() if key[1] != NAPTR}
        self.assertEqual(
            self.resolve("sip:example.net", zone),
            ["udp:192.0.2.2:5060", "tcp:192.0.2.1:5060", "tcp:192.0.2.2:5070", "tls:192.0.2.1:5061"],
        )

    def test_no_srv(self) -> None:
        """Without SRV too: the name itself, the default port, UDP, or TLS for sips (sections 4.1 and 4.2)."""
        zone: Zone = {("example.net", A): ("192.0.2.9",)}
        self.assertEqual(self.resolve("sip:example.net", zone), ["udp:192.0.2.9:5060"])
        self.assertEqual(self.resolve("sip:example.net;transport=tcp", zone), ["tcp:192.0.2.9:5060"])
        self.assertEqual(self.resolve("sips:example.net", zone), ["tls:192.0.2.9:5061"])

    def test_declined(self) -> None:
        """An SRV target of "." says that the service is not there: no way, not even the name itself (RFC 2782)."""
        zone = {("_sip._udp.example.net", SRV): (Srv(0, 0, 0, ""),), ("example.net", A): ("192.0.2.9",)}
        self.assertEqual(self.resolve("sip:example.net;transport=udp", zone), [])

    def test_maddr(self) -> None:
        """The target is maddr when there is one (section 4)."""
        self.resolve("sip:example.com;maddr=example.net")
        self.assertEqual(self.asked[0], ["NAPTR of example.net"])

    def test_nothing(self) -> None:
        """A name that does not exist, or can be none, leads nowhere."""
        self.assertEqual(self.resolve("sip:nowhere.example", {}), [])
        self.assertEqual((self.resolve("sip:a..b"), self.asked), ([], []))
        self.assertEqual(
            (self.resolve(f"sip:{'a.' * 124}net"), self.asked[0]), ([], [f"NAPTR of {'a.' * 124}net"])
        )

    def test_stray_answer(self) -> None:
        """An answer to what was not asked changes nothing."""
        machine = Resolution(parse_uri("sip:example.net"), (UDP,), (A,), lambda: 0.0)
        machine.start()
        self.assertEqual(machine.feed(Answered(Question("x.example", A), ())), [])


class OwnAbilitiesTests(ResolutionCase):
    transports = (UDP, TCP)
    families = (AAAA, A)

    def test_no_tls(self) -> None:
        """Without TLS its services are passed over (section 4.1), and sips leads nowhere, which is not UDP."""
        self.assertNotIn("tls", "".join(self.resolve("sip:example.net")))
        self.assertEqual(self.resolve("sips:example.net"), [])
        self.assertEqual(self.resolve("sips:example.net:5061"), [])
        self.assertEqual(self.resolve("sip:example.net;transport=ws"), [])

    def test_families(self) -> None:
        """Both kinds of address are asked for at once, and ours come in our order."""
        self.assertEqual(
            self.resolve("sip:b.example.net:5060"), ["udp:[2001:db8::2]:5060", "udp:192.0.2.2:5060"]
        )
        self.assertEqual(self.asked, [["AAAA of b.example.net", "A of b.example.net"]])


class BoundsTests(ResolutionCase):
    transports = (UDP,)

    def test_many_hosts(self) -> None:
        """However many records an answer has, the questions and servers that come of it are few (S26)."""
        naptr = tuple(Naptr(n, 0, "s", "SIP+D2U", f"_sip._udp.{n}.example.net") for n in range(60))
        zone = {
            ("example.net", NAPTR): naptr,
            **{
                (f"_sip._udp.{n}.example.net", SRV): tuple(
                    Srv(0, 0, 5060, f"h{n}-{m}.example.net") for m in range(60)
                )
                for n in range(60)
            },
            **{
                (f"h{n}-{m}.example.net", A): tuple(f"192.0.{m}.{last}" for last in range(1, 60))
                for n in range(60)
                for m in range(60)
            },
        }
        servers = self.resolve("sip:example.net", zone)
        self.assertEqual([len(asked) for asked in self.asked], [1, MAX_SERVICES, MAX_HOSTS])
        self.assertEqual(len(servers), MAX_SERVERS)

    def test_useless_addresses(self) -> None:
        """Nobody is at 0.0.0.0 or at a multicast address."""
        zone: Zone = {("example.net", A): ("0.0.0.0", "224.0.1.75", "192.0.2.1")}
        self.assertEqual(self.resolve("sip:example.net:5060", zone), ["udp:192.0.2.1:5060"])

    def test_port_zero(self) -> None:
        """Nobody is at port 0; what other records say still counts."""
        zone: Zone = {
            ("_sip._udp.example.net", SRV): (Srv(0, 0, 0, "a.example.net"), Srv(1, 0, 5070, "a.example.net")),
            ("a.example.net", A): ("192.0.2.1",),
        }
        self.assertEqual(self.resolve("sip:example.net;transport=udp", zone), ["udp:192.0.2.1:5070"])


class WeightTests(SynchronousTestCase):
    def test_priority(self) -> None:
        """The lowest priority first, whatever the weights (RFC 2782)."""
        records = [Srv(2, 60000, 1, "c"), Srv(1, 0, 1, "b"), Srv(0, 1, 1, "a")]
        for number in (0.0, 0.5, 0.999):
            self.assertEqual(
                [srv.target for srv in srv_order(records, lambda number=number: number)], ["a", "b", "c"]
            )

    def test_weights(self) -> None:
        """The first one is drawn in proportion to the weights; one without weight comes first hardly ever (RFC 2782)."""
        records = [Srv(0, 60, 1, "a"), Srv(0, 30, 1, "b"), Srv(0, 10, 1, "c"), Srv(0, 0, 1, "d")]
        first = Counter(srv_order(records, draws(b"%d" % seed))[0].target for seed in range(4000))
        for target, share in (("a", 0.6), ("b", 0.3), ("c", 0.1), ("d", 0.01)):
            self.assertLess(abs(first[target] / 4000 - share), 0.03, target)
        self.assertTrue(first["d"])

    def test_no_weights(self) -> None:
        """Servers without any weight share alike."""
        records = [Srv(0, 0, 1, "a"), Srv(0, 0, 1, "b")]
        first = Counter(srv_order(records, draws(b"%d" % seed))[0].target for seed in range(1000))
        self.assertLess(abs(first["a"] - 500), 80)

    def test_everybody_once(self) -> None:
        """Each record has its place in the order, whatever is drawn."""
        records = [Srv(n % 3, n % 5, n, f"h{n}") for n in range(40)]
        for seed in range(20):
            ordered = srv_order(records, draws(b"%d" % seed))
            self.assertEqual(sorted(ordered), sorted(records))
            self.assertEqual([srv.priority for srv in ordered], sorted(srv.priority for srv in records))

    def test_the_same_again(self) -> None:
        """What is drawn depends on the seed alone: copies of one request go one way, also without state (section 4.3)."""
        first, second, other = draws(b"call"), draws(b"call"), draws(b"other")
        drawn = [first() for _ in range(9)]
        self.assertEqual(drawn, [second() for _ in range(9)])
        self.assertNotEqual(drawn, [other() for _ in range(9)])
        self.assertTrue(all(0.0 <= number < 1.0 for number in drawn))

    def test_server(self) -> None:
        """Addresses of one host are tried in turns, the first one by draw."""
        machine = Resolution(parse_uri("sip:h.example:5060"), (UDP,), (A,), lambda: 0.5)
        machine.start()
        effects = machine.feed(Answered(Question("h.example", A), ("192.0.2.1", "192.0.2.2")))
        hops = [Hop(UDP, "192.0.2.2", 5060), Hop(UDP, "192.0.2.1", 5060)]
        self.assertEqual(effects, [Resolved(tuple(Server(hop, "h.example") for hop in hops))])
