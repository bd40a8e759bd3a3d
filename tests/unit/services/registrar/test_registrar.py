"""The registrar service: time, cluster link, store (RFC 3261 section 10, RFC 5626)."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.services.sip.location_store import FakeStore
from voipcluster.address import Flow
from voipcluster.balance import codec, messages
from voipcluster.errors import PeerError
from voipcluster.services.registrar.registrar import BATCH, GRACE, RegistrarService
from voipcluster.services.registrar.writebehind import WRITE_DELAY
from voipcluster.sip.message import Request, parse
from voipcluster.sip.outgoing import build_request
from voipcluster.sip.registration import RegisterResult, Settings, Source

AOR = "alice@example.com"
NOW = 1_700_000_000.0


def udp(port: int = 5060) -> Flow:
    return Flow("UDP", ("192.0.2.1", 5060), ("192.0.2.7", port))


def tcp(connection: int) -> Flow:
    return Flow("TCP", ("192.0.2.1", 5060), ("192.0.2.7", 40000), connection)


def request(contact: str, user: str = "alice", call_id: str = "c", cseq: int = 1) -> Request:
    message = parse(
        build_request(
            "REGISTER",
            "sip:example.com",
            [
                ("Via", "SIP/2.0/UDP h;branch=z9hG4bKx"), ("From", f"<sip:{user}@example.com>;tag=1"),
                ("To", f"<sip:{user}@example.com>"), ("Call-ID", call_id), ("CSeq", f"{cseq} REGISTER"), ("Contact", contact),
            ],
        ).to_bytes()
    )  # fmt: skip
    assert isinstance(message, Request)
    return message


class Node:
    """One registrar whose published changes go to its peers as they would over the link."""

    def __init__(self, clock: Clock, name: str = "a", **how: object) -> None:
        self.clock, self.name, self.published = clock, name, list[messages.Binding]()
        self.peers: list[Node] = []
        self.flows: dict[str, Flow] | None = None
        self.service = RegistrarService(clock, name, 1, Settings(), publish=self._publish, **how)
        self.service.startService()

    def _publish(self, update: messages.Binding) -> None:
        self.published.append(update)
        for peer in self.peers:
            peer.service.apply_remote(codec.decode("binding", codec.encode(update)))

    def register(
        self, contact: str, flow: Flow | None = None, node: str = "", **how: object
    ) -> RegisterResult:
        source = Source(node or self.name, f"token of {flow}", flow, str(flow))
        result = self.service.register(request(contact, **how), source)
        assert result.status == 200, result
        return result

    def contacts(self, aor: str = AOR) -> list[str]:
        return [b.contact for b in self.service.lookup(aor)]


class SpreadTests(SynchronousTestCase):
    def test_each_gets_another_time(self) -> None:
        """While there is a storm each registration is granted a little less, by chance, and only then."""
        clock, shares = Clock(), [0.0, 0.1, 0.2, 0.0]
        service = RegistrarService(clock, "a", 1, Settings())
        service.shorten = lambda: shares.pop(0)
        granted = []
        for number in range(4):
            message = request("<sip:alice@192.0.2.7>;expires=1000", "alice", "c", number + 1)
            service.register(message, Source("a", "token", udp()))
            (binding,) = service.lookup(AOR)
            granted.append(round(binding.expires_at - clock.seconds()))
        self.assertEqual(granted, [1000, 900, 800, 1000])
        service.stopService()


class LimitTests(SynchronousTestCase):
    def test_registrations_in_all(self) -> None:
        """When all places are taken a new user gets 503 with Retry-After; who is registered refreshes, adds and leaves."""
        clock, refused = Clock(), []
        service = RegistrarService(
            clock, "a", 1, Settings(), most=2, refused=lambda: refused.append(clock.seconds())
        )
        source = Source("a", "token", udp())

        def status(user: str, cseq: int = 1, port: int = 5060) -> int:
            message = request(f"<sip:{user}@192.0.2.7:{port}>", user, f"{user}-{port}", cseq)
            return service.register(message, source).status

        self.assertEqual([status("alice"), status("bob")], [200, 200])
        result = service.register(request("<sip:carol@192.0.2.7>", "carol"), source)
        self.assertEqual(
            (result.status, dict(result.headers), result.changes), (503, {"retry-after": "60"}, ())
        )
        self.assertEqual([status("alice", 2), status("bob", 1, 5070)], [200, 200])
        self.assertEqual((len(service.location), len(refused)), (3, 1))


class ServiceCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.services: list[RegistrarService] = []

    def node(self, name: str = "a", **how: object) -> Node:
        node = Node(self.clock, name, **how)
        self.services.append(node.service)
        return node

    def pair(self) -> tuple[Node, Node]:
        one, other = self.node("a"), self.node("b")
        one.peers, other.peers = [other], [one]
        return one, other

    def tearDown(self) -> None:
        for service in self.services:
            stopped = service.stopService()
            if stopped is not None:
                self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ExpiryTests(ServiceCase):
    def test_bindings_run_out(self) -> None:
        """At their time to the second, with one delayed call however many there are (10.3 step 7)."""
        node = self.node()
        for number in range(20):
            node.register(f"<sip:{number}@h>;expires={100 + number}", udp(), user=f"u{number}")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertEqual(len(node.contacts("u0@example.com")), 1)
        self.clock.advance(100)
        self.assertEqual(node.contacts("u0@example.com"), [])
        self.clock.advance(1.0)
        self.assertLessEqual(len(node.service.location), 19)
        for _ in range(60):
            self.clock.advance(1.0)
        self.assertEqual((len(node.service.location), self.clock.getDelayedCalls()), (0, []))

    def test_running_out_is_not_published(self) -> None:
        """Each node knows the time by itself."""
        one, other = self.pair()
        one.register("<sip:1@h>;expires=60", udp())
        self.clock.advance(61)
        self.assertEqual((len(one.published), len(other.published)), (1, 0))
        self.assertEqual((one.contacts(), other.contacts()), ([], []))

    def test_registrations_for_people(self) -> None:
        """All of them, or those of one address of record, none that ran out."""
        node = self.node()
        node.register("<sip:1@h>;expires=60", udp())
        node.register("<sip:2@h>", udp(), user="bob")
        self.assertEqual({b.contact for b in node.service.registrations()}, {"sip:1@h", "sip:2@h"})
        self.assertEqual([b.contact for b in node.service.registrations(AOR)], ["sip:1@h"])
        self.clock.pump([30.0, 30.0])
        self.assertEqual([b.contact for b in node.service.registrations()], ["sip:2@h"])

    def test_a_request_that_names_nobody(self) -> None:
        """A broken To is answered, not raised."""
        node = self.node()
        message = request("<sip:1@h>", user="x y")
        self.assertEqual(node.service.register(message, Source("a")).status, 400)


class ReplicationTests(ServiceCase):
    def test_registered_here_reachable_there(self) -> None:
        """All that a node needs to reach the phone through the owner of its flow."""
        one, other = self.pair()
        one.register('<sip:1@h>;q=0.5;expires=600;+sip.instance="<urn:uuid:1>";reg-id=1', tcp(3))
        (mine,), (copy,) = one.service.lookup(AOR), other.service.lookup(AOR)
        self.assertEqual(evolve(mine, flow=None), copy)
        self.assertEqual(
            (copy.node, copy.flow_token, copy.expires_at - NOW), ("a", f"token of {tcp(3)}", 600)
        )
        self.assertEqual((one.service.owned, other.service.owned), (1, 0))

    def test_refresh_and_removal(self) -> None:
        """What happens to a binding happens everywhere."""
        one, other = self.pair()
        one.register("<sip:1@h>", udp())
        one.register("<sip:1@h>;expires=60", udp(), cseq=2)
        self.assertEqual(other.service.lookup(AOR)[0].expires_at, NOW + 60)
        one.register("<sip:1@h>;expires=0", udp(), cseq=3)
        self.assertEqual(other.contacts(), [])

    def test_a_phone_that_moves_to_another_node(self) -> None:
        """The newer REGISTER wins at both, and the old owner's loss of the flow does not take it back."""
        one, other = self.pair()
        one.register("<sip:1@h>", tcp(3))
        self.clock.advance(1)
        other.register("<sip:1@h>", tcp(9), cseq=2)
        self.assertEqual([n.service.lookup(AOR)[0].node for n in (one, other)], ["b", "b"])
        self.assertEqual(one.service.connection_lost(tcp(3)), [])
        self.assertEqual((one.contacts(), other.contacts()), (["sip:1@h"], ["sip:1@h"]))

    def test_a_user_who_is_none_any_more(self) -> None:
        """His bindings end at each node that hears of it, whoever owns them; one who is let in again later may come back."""
        one, other = self.pair()
        one.register("<sip:1@h>", udp())
        other.register("<sip:2@h>", udp(), call_id="d")
        other.register("<sip:bob@h>", udp(), user="bob", call_id="e")
        with capturedLogs() as logs:
            one.service.forget_user(AOR)
        self.assertEqual((one.contacts(), other.contacts()), ([], ["sip:2@h"]))
        (said,) = [formatEvent(event) for event in logs]
        self.assertEqual(said, f"{AOR} may not register any more: 2 registrations are forgotten")
        # the other node, which has not heard yet, lets its phone in once more: what it hears then is for all
        other.register("<sip:2@h>", udp(), call_id="d", cseq=2)
        self.assertEqual(one.contacts(), ["sip:2@h"])
        other.service.forget_user(AOR)
        self.assertEqual((one.contacts(), other.contacts()), ([], []))
        self.assertEqual(one.contacts("bob@example.com"), ["sip:bob@h"])
        with capturedLogs() as logs:
            one.service.forget_user(AOR)
        self.assertEqual(len(logs), 0)
        self.clock.advance(1)
        other.register("<sip:2@h>", udp(), call_id="d", cseq=3)
        self.assertEqual((one.contacts(), other.contacts()), (["sip:2@h"], ["sip:2@h"]))

    def test_late_news_is_old_news(self) -> None:
        """What was overtaken changes nothing, be it a refresh or a removal."""
        one, other = self.pair()
        one.register("<sip:1@h>", udp())
        other.peers = []
        first = one.published[0]
        one.register("<sip:1@h>;expires=600", udp(), cseq=2)
        other.service.apply_remote(first)
        other.service.apply_remote(evolve(first, expires=0))
        other.service.apply_remote(evolve(first, expires=0, call_id="another", cseq=99))
        self.assertEqual(other.service.lookup(AOR)[0].cseq, 2)

    def test_a_lost_connection_ends_its_bindings_everywhere(self) -> None:
        """Only those over it (RFC 5626 section 4.2.2); a datagram flow is never lost."""
        one, other = self.pair()
        one.register("<sip:1@h>", tcp(3))
        one.register("<sip:2@h>", tcp(4), cseq=2)
        one.register("<sip:3@h>", udp(), cseq=3)
        lost = one.service.connection_lost(tcp(3))
        self.assertEqual([b.contact for b in lost], ["sip:1@h"])
        self.assertEqual(one.service.connection_lost(udp()), [])
        for node in (one, other):
            self.assertEqual(set(node.contacts()), {"sip:2@h", "sip:3@h"})

    def test_snapshot(self) -> None:
        """A node that comes up learns all that we own, in batches, and forgets what we no longer have."""
        one, other = self.node("a"), self.node("b")
        other.service.apply_remote(_copy(one, "<sip:gone@h>"))
        self.clock.advance(GRACE)
        for number in range(BATCH + 1):
            one.register(f"<sip:{number}@h>", udp(), user=f"u{number}")
        other.register("<sip:theirs@h>", udp(), user="bob")
        batches = list(one.service.snapshot())
        self.assertEqual([len(b.items) for b in batches], [BATCH, 1])
        self.assertEqual([b.complete for b in batches], [False, True])
        for batch in batches:
            other.service.apply_remote(codec.decode("bindings", codec.encode(batch)))
        self.assertEqual(other.service.location.count_of("a"), BATCH + 1)
        self.assertEqual(other.contacts(), [])
        self.assertEqual(other.contacts("bob@example.com"), ["sip:theirs@h"])
        self.assertEqual([b.complete for b in self.node("c").service.snapshot()], [True])

    def test_what_a_snapshot_does_not_name(self) -> None:
        """
        A node that crashed before it wrote a registration to its disk is given it back by those who heard of it. What it does not
        want, such as a binding over a connection that is gone, ends; what it has in a newer state is not offered.
        """
        flows = {f"token of {udp()}": udp()}
        owner, other = self.node("a"), self.node("b")
        owner.peers = [other]
        owner.register("<sip:1@h>", udp())
        owner.register("<sip:2@h>", tcp(3), cseq=2)
        again = self.node("a", flow_of=flows.get)  # on an empty disk
        again.peers = [other]
        offered = []

        def offer(update: messages.Binding) -> Deferred[bool]:
            offered.append(update.contact)
            return succeed(again.service.take_over(codec.decode("binding", codec.encode(update))))

        other.service.offer = offer
        self.clock.advance(GRACE)
        again.register("<sip:3@h>", udp(), cseq=3)
        for batch in again.service.snapshot():
            other.service.apply_remote(batch)
        self.assertEqual(offered, ["sip:1@h", "sip:2@h"])
        for node in (again, other):
            self.assertEqual(set(node.contacts()), {"sip:1@h", "sip:3@h"})
        self.assertEqual(again.service.lookup(AOR)[-1].flow, udp())

    def test_an_offer_that_does_not_arrive(self) -> None:
        """The link is not up, or breaks meanwhile: all stays as it is until it is up, and is offered then."""
        owner, other = self.node("a"), self.node("b")
        owner.peers = [other]
        owner.register("<sip:1@h>", udp())
        owner.register("<sip:2@h>", udp(), cseq=2)
        offers = []

        def offer(update: messages.Binding) -> Deferred[bool]:
            offers.append(update)
            return fail(PeerError("the link is down", 503))

        other.service.offer = offer
        self.clock.advance(GRACE)
        other.service.apply_remote(messages.Bindings(node="a", epoch=2, seq=1, complete=True))
        self.assertEqual(len(offers), 1)
        self.assertEqual(len(other.contacts()), 2)
        first, second = Deferred[bool](), succeed(False)
        answers = [first, second]
        other.service.offer = lambda update: answers.pop(0)
        other.service.give_back.go_on("a")
        other.service.give_back.go_on("a")  # one after the other: this is under way
        self.assertEqual(answers, [second])
        first.callback(True)
        self.assertEqual((answers, other.contacts()), ([], ["sip:1@h"]))

    def test_what_changes_during_a_snapshot(self) -> None:
        """A binding told between its parts, or registered a moment ago, is not forgotten at its end."""
        one, other = self.node("a"), self.node("b")
        for number in range(BATCH + 1):
            one.register(f"<sip:{number}@h>", udp(), user=f"u{number}")
        first, last = one.service.snapshot()
        other.service.apply_remote(first)
        other.service.apply_remote(_copy(one, "<sip:between@h>"))
        self.clock.advance(GRACE + 1)
        other.service.apply_remote(_copy(one, "<sip:young@h>", call_id="d"))
        other.service.apply_remote(last)
        self.assertEqual(set(other.contacts()), {"sip:between@h", "sip:young@h"})

    def test_a_snapshot_that_breaks_off(self) -> None:
        """What it named is void; the next one counts."""
        one, other = self.node("a"), self.node("b")
        for number in range(BATCH + 1):
            one.register(f"<sip:{number}@h>;expires=600", udp(), user=f"u{number}")
        other.service.apply_remote(next(one.service.snapshot()))
        other.service.copy_begins("a")
        self.assertEqual(other.service.location.count_of("a"), BATCH)
        self.clock.advance(GRACE)
        other.service.apply_remote(messages.Bindings(node="a", epoch=2, seq=1, complete=True))
        self.assertEqual(other.service.location.count_of("a"), 0)

    def test_a_snapshot_does_not_overrule_a_newer_registration(self) -> None:
        """A stale copy of a binding that moved with another Call-ID loses."""
        one, other = self.node("a"), self.node("b")
        one.register("<sip:1@h>", udp())
        self.clock.advance(60)
        other.register("<sip:1@h>", udp(), call_id="d")
        other.service.apply_remote(next(one.service.snapshot()))
        self.assertEqual(other.service.lookup(AOR)[0].node, "b")
        for message in (evolve(one.published[0], age=60.0), evolve(one.published[0], age=-1.0)):
            told = messages.Bindings(node="a", epoch=1, seq=9, items=(message,))
            other.service.apply_remote(told)  # of a node that tells its age, and of one that does not
        self.assertEqual(other.service.lookup(AOR)[0].node, "b")

    def test_an_old_copy_of_a_short_registration(self) -> None:
        """The age decides, not what is left: one for a minute is not newer than one for an hour (10.3 step 7)."""
        one, other = self.node("a"), self.node("b")
        other.register("<sip:1@h>;expires=3600", udp(), call_id="d")
        self.clock.advance(10)
        one.register("<sip:1@h>;expires=60", udp())
        for batch in one.service.snapshot():
            other.service.apply_remote(codec.decode("bindings", codec.encode(batch)))
        self.assertEqual(other.service.lookup(AOR)[0].node, "a")
        for batch in other.service.snapshot():
            one.service.apply_remote(codec.decode("bindings", codec.encode(batch)))
        self.assertEqual(one.service.lookup(AOR)[0].node, "a")

    def test_a_part_of_a_snapshot_tells_how_it_is_when_it_is_sent(self) -> None:
        """What waited for the parts before it is as old as it is then; what went meanwhile is not told."""
        node = self.node()
        for number in range(BATCH + 2):
            node.register(f"<sip:{number}@h>;expires=600", udp(), user=f"u{number}")
        parts = node.service.snapshot()
        self.assertEqual({item.age for item in next(parts).items}, {0.0})
        self.clock.advance(30)
        node.register(f"<sip:{BATCH}@h>;expires=0", udp(), user=f"u{BATCH}", cseq=2)
        (last,) = parts
        self.assertEqual(
            [(i.aor, i.age, i.expires) for i in last.items], [(f"u{BATCH + 1}@example.com", 30.0, 570)]
        )

    def test_a_node_that_left(self) -> None:
        """Its flows left with it, and no others."""
        one = self.node("a")
        one.register("<sip:1@h>", udp())
        one.service.apply_remote(_copy(self.node("b"), "<sip:2@h>", call_id="d"))
        one.service.forget_node("b")
        self.assertEqual(one.contacts(), ["sip:1@h"])

    def test_unregistered_while_the_owner_is_dead(self) -> None:
        """It is gone at all nodes at once, and stays gone when the owner comes back with what its disk holds."""
        dead, one, other = self.node("a"), self.node("b"), self.node("c")
        dead.peers, one.peers, other.peers = [one, other], [other], [one]
        dead.register("<sip:1@h>", udp())
        self.clock.advance(100)
        one.register("<sip:1@h>;expires=0", udp(), cseq=2)
        self.assertEqual((one.contacts(), other.contacts()), ([], []))
        self.assertEqual([(u.node, u.expires) for u in one.published], [("b", 0)])
        self.clock.advance(1000)
        exchange(dead, other)
        self.assertEqual((dead.contacts(), one.contacts(), other.contacts()), ([], [], []))

    def test_registered_and_unregistered_elsewhere_while_the_owner_was_dead(self) -> None:
        """With another Call-ID: what the old owner still holds is older than the end, wherever it is told first."""
        dead, one = self.node("a"), self.node("b")
        dead.register("<sip:1@h>", udp(), cseq=9)
        self.clock.advance(100)
        one.register("<sip:1@h>", udp(), call_id="d")
        one.register("<sip:1@h>;expires=0", udp(), call_id="d", cseq=2)
        self.clock.advance(100)
        exchange(dead, one)
        self.assertEqual((dead.contacts(), one.contacts()), ([], []))

    def test_registered_again_after_an_end(self) -> None:
        """A phone that starts anew, also with the old Call-ID and CSeq from 1, is known everywhere."""
        one, other = self.pair()
        one.register("<sip:1@h>", udp(), cseq=8)
        one.register("<sip:1@h>;expires=0", udp(), cseq=9)
        self.clock.advance(10)
        one.register("<sip:1@h>", udp(), cseq=1)
        exchange(one, other)
        self.assertEqual((one.contacts(), other.contacts()), (["sip:1@h"], ["sip:1@h"]))

    def test_an_end_that_was_overtaken(self) -> None:
        """A phone that registered at another node since stays registered: the end names the state that it ended."""
        one, other = self.node("a"), self.node("b")
        one.register("<sip:1@h>", tcp(3))
        self.clock.advance(60)
        other.register("<sip:1@h>", udp(), call_id="d")
        one.service.connection_lost(tcp(3))
        other.service.apply_remote(one.published[-1])
        self.assertEqual(other.contacts(), ["sip:1@h"])

    def test_an_end_told_by_a_node_of_an_older_version(self) -> None:
        """Without an age it ends its own Call-ID only."""
        one, other = self.pair()
        one.register("<sip:1@h>", udp())
        self.clock.advance(100)
        end = evolve(one.published[0], expires=0, age=-1.0)
        other.service.apply_remote(evolve(end, call_id="d"))
        self.assertEqual(other.contacts(), ["sip:1@h"])
        other.service.apply_remote(end)
        self.assertEqual(other.contacts(), [])

    def test_registered_over_another_nodes_flow(self) -> None:
        """The owner takes it over when the flow is alive, tells all, and ends it with the connection."""
        flows = {f"token of {tcp(3)}": tcp(3)}
        owner = self.node("a", flow_of=flows.get)
        server = self.node("b")
        server.register("<sip:1@h>", node="a")
        (update,) = server.published
        self.assertEqual((update.node, server.service.owned), ("a", 0))
        owner.service.take_over(evolve(update, flow=f"token of {tcp(3)}"))
        self.assertEqual((owner.service.owned, owner.service.lookup(AOR)[0].flow), (1, tcp(3)))
        self.assertEqual([(u.node, u.expires) for u in owner.published], [("a", 3600)])
        self.assertEqual(len(owner.service.connection_lost(tcp(3))), 1)
        self.assertEqual(owner.published[-1].expires, 0)

    def test_registered_over_a_flow_that_is_gone(self) -> None:
        """The owner tells at once that there is no such binding."""
        owner = self.node("a", flow_of=lambda token: None)
        server = self.node("b")
        server.register("<sip:1@h>", node="a")
        owner.service.take_over(server.published[0])
        self.assertEqual([u.expires for u in owner.published], [0])
        server.service.apply_remote(owner.published[0])
        self.assertEqual((owner.contacts(), server.contacts()), ([], []))

    def test_old_news_is_not_taken_over(self) -> None:
        """Only what changed something is told on."""
        owner = self.node("a")
        owner.register("<sip:1@h>", udp(), cseq=5)
        owner.published.clear()
        owner.service.take_over(_copy(owner, "<sip:1@h>", cseq=4))
        self.assertEqual(owner.published, [])


def exchange(one: Node, other: Node) -> None:
    """The link between two nodes comes up: each tells the other one all."""
    for teller, hearer in ((one, other), (other, one)):
        hearer.service.copy_begins(teller.name)
        for batch in teller.service.snapshot():
            hearer.service.apply_remote(codec.decode("bindings", codec.encode(batch)))


def _copy(node: Node, contact: str, **how: object) -> messages.Binding:
    """What a node of that name would tell of a registration."""
    told = Node(node.clock, node.name)
    told.register(contact, udp(), **how)
    told.service.stopService()
    return told.published[0]


class StoreTests(ServiceCase):
    def setUp(self) -> None:
        super().setUp()
        self.store = FakeStore()

    def test_changes_are_written_together(self) -> None:
        """A moment later, and the last state only."""
        node = self.node(store=self.store)
        for cseq in range(1, 6):
            node.register("<sip:1@h>", udp(), cseq=cseq)
        self.assertEqual(self.store.rows, {})
        self.clock.advance(WRITE_DELAY)
        self.assertEqual((self.store.writes, [b.cseq for b in self.store.rows.values()]), (1, [5]))
        node.register("<sip:1@h>;expires=0", udp(), cseq=6)
        self.clock.advance(WRITE_DELAY)
        self.assertEqual(self.store.rows, {})

    def test_a_contact_written_in_another_way_is_one_row(self) -> None:
        """The row of the old text goes."""
        node = self.node(store=self.store)
        node.register("<sip:%61@h>", udp())
        self.clock.advance(WRITE_DELAY)
        node.register("<sip:a@h>", udp(), cseq=2)
        self.clock.advance(WRITE_DELAY)
        self.assertEqual(list(self.store.rows), [(AOR, "sip:a@h")])

    def test_only_what_is_ours_is_kept(self) -> None:
        """Bindings of other nodes come over the link; one that moves away is removed."""
        node = self.node(store=self.store)
        node.register("<sip:1@h>", udp())
        self.clock.advance(WRITE_DELAY)
        self.assertEqual(len(self.store.rows), 1)
        node.service.apply_remote(_copy(self.node("b"), "<sip:1@h>", cseq=2))
        self.clock.advance(WRITE_DELAY)
        self.assertEqual((self.store.rows, node.contacts()), ({}, ["sip:1@h"]))

    def test_what_runs_out_is_removed(self) -> None:
        """From the store as well."""
        node = self.node(store=self.store)
        node.register("<sip:1@h>;expires=60", udp())
        self.clock.pump([WRITE_DELAY, 60.0, 1.0, WRITE_DELAY])
        self.assertEqual(self.store.rows, {})

    def test_stopping_writes_what_is_left(self) -> None:
        """And leaves no call."""
        node = self.node(store=self.store)
        node.register("<sip:1@h>", udp())
        stopped = node.service.stopService()
        assert stopped is not None
        self.successResultOf(stopped)
        self.assertEqual(len(self.store.rows), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_restart(self) -> None:
        """Datagram flows are there again, streams are not, and what ran out meanwhile neither (RFC 5626 section 5.3)."""
        node = self.node(store=self.store)
        node.register("<sip:1@h>", udp())
        node.register("<sip:2@h>", tcp(3), cseq=2)
        node.register("<sip:3@h>;expires=60", udp(), cseq=3)
        stopped = node.service.stopService()
        assert stopped is not None
        self.successResultOf(stopped)
        self.clock.advance(61)
        again = self.node(store=self.store, flow_of={f"token of {udp()}": udp()}.get)
        self.assertEqual(self.successResultOf(again.service.restore()), 1)
        (kept,) = again.service.lookup(AOR)
        self.assertEqual((kept.contact, kept.flow, kept.expires_at), ("sip:1@h", udp(), NOW + 3600))
        self.assertEqual(again.published, [])
        self.clock.advance(WRITE_DELAY)
        self.assertEqual(list(self.store.rows), [(AOR, "sip:1@h")])
        self.assertEqual(self.successResultOf(self.node("c").service.restore()), 0)

    def test_a_contact_that_is_some_other_place(self) -> None:
        """It has no flow that could be lost: it outlives a restart, and is taken over from the node that answered for it."""
        node = self.node(store=self.store, flow_of={}.get)
        source = Source("a", "token", tcp(3), "x", host="192.0.2.7")
        self.assertEqual(node.service.register(request("<sip:1@203.0.113.9>"), source).status, 200)
        (kept,) = node.service.lookup(AOR)
        self.assertEqual((kept.flow_token, kept.flow, node.service.connection_lost(tcp(3))), ("", None, []))
        stopped = node.service.stopService()
        assert stopped is not None
        self.successResultOf(stopped)
        again = self.node(store=self.store, flow_of={}.get)
        self.assertEqual(self.successResultOf(again.service.restore()), 1)
        self.assertEqual(again.contacts(), ["sip:1@203.0.113.9"])
        owner = self.node(flow_of={}.get)
        owner.service.take_over(evolve(node.published[0], node="a"))
        self.assertEqual(owner.contacts(), ["sip:1@203.0.113.9"])
