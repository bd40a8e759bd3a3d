"""The transaction service: matching, timers in time, and where responses go."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.unit.services.sip_world import FakeTransport, Network
from tests.unit.sip.messages import request, response
from voipcluster.address import Flow, Hop
from voipcluster.errors import PeerError, TransportError
from voipcluster.net.timers import TimerWheel
from voipcluster.services.transaction.transactions import (
    IClientUser,
    ISipSink,
    ITransactionUser,
    ServerTransaction,
    TransactionService,
    response_flow,
)
from voipcluster.sip.message import Request, Response, parse
from voipcluster.sip.values import Via, parse_via

HERE, ALICE, BOB = ("192.0.2.9", 5060), ("192.0.2.1", 5060), ("192.0.2.2", 5060)
FROM_ALICE, TO_BOB = Flow("UDP", HERE, ALICE), Flow("UDP", HERE, BOB)
OURS = "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKours"
ALICES = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKalice1"


@implementer(ITransactionUser, IClientUser)
class User:
    """Notes what it hears; C{act} says what to do with a request."""

    def __init__(self) -> None:
        self.incoming: list[ServerTransaction] = []
        self.heard: list[object] = []
        self.fail: Exception | None = None

    def request_received(self, incoming: ServerTransaction) -> None:
        self.incoming.append(incoming)
        if self.fail is not None:
            raise self.fail

    def ack_received(self, request: Request, flow: Flow, via: Via | None) -> None:
        self.heard.append(("ack", via))

    def cancel_received(self, invite: ServerTransaction) -> None:
        self.heard.append(("cancel", invite.key[0]))

    def response_received(self, branch: int, response: Response) -> None:
        self.heard.append((branch, response.status))

    def timed_out(self, branch: int) -> None:
        self.heard.append((branch, "timed out"))

    def send_failed(self, branch: int, error: TransportError) -> None:
        self.heard.append((branch, "failed"))


class TransactionCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.network = Network(self.clock)
        self.transport = FakeTransport(self.network, [HERE])
        self.wheel = TimerWheel(self.clock)
        self.service = TransactionService(self.wheel, bytes(32), limit=4)
        self.transport.sink = self.service
        self.user = User()
        self.service.connect(self.transport, self.user)

    def tearDown(self) -> None:
        self.wait(40)
        self.assertEqual((len(self.service), self.wheel.running), (0, 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            self.clock.advance(0.05)

    def receive(self, message: Request | Response, flow: Flow = FROM_ALICE) -> None:
        self.service.bytes_received(message.to_bytes(), flow)

    def sent(self) -> list[tuple[object, tuple[str, int]]]:
        """Status or method, and destination, of what was sent since the last look."""
        found: list[tuple[object, tuple[str, int]]] = []
        for _, to, data in self.network.log:
            message = parse(data)
            found.append((message.status if isinstance(message, Response) else message.method, to))
        self.network.log.clear()
        return found

    def accepted(self, **changes: object) -> ServerTransaction:
        self.receive(request(**changes))
        incoming = self.user.incoming[-1]
        incoming.accept()
        return incoming

    def invite(self, flow: Flow = TO_BOB) -> None:
        wire = request(via=OURS).to_bytes()
        self.client = self.service.send_request(wire, "INVITE", "z9hG4bKours", flow, self.user, 5)


class LimitTests(TransactionCase):
    def test_size_and_lines(self) -> None:
        """A message beyond the configured size or number of headers gets 513, a response is dropped (RFC 3261 21.5.7)."""
        self.service._largest, self.service._most_headers = 1000, 32
        self.receive(request())
        for headers in (["Subject: " + "x" * 1000], ["Subject: x"] * 32):
            self.receive(request(headers=headers))
            self.receive(response(200, headers=headers))
        self.assertEqual(self.sent(), [(513, ALICE), (513, ALICE)])
        self.assertEqual((len(self.user.incoming), self.service.malformed), (1, 4))

    def test_too_many_transactions(self) -> None:
        """Beyond the hard stop a request gets 503 without state, and is counted."""
        for number in range(6):
            self.receive(request(via=f"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{number}"))
            if number < 4:
                self.user.incoming[-1].accept()
        self.assertEqual(self.sent(), [(503, ALICE), (503, ALICE)])
        self.assertEqual((len(self.service.servers), self.service.too_many), (4, 2))
        for incoming in self.user.incoming:
            incoming.answer(486)


class ServerTests(TransactionCase):
    def test_interfaces(self) -> None:
        """The service is a sink, the user here is a user of both kinds."""
        verifyObject(ISipSink, self.service)
        verifyObject(ITransactionUser, self.user)
        verifyObject(IClientUser, self.user)

    def test_copies(self) -> None:
        """A copy is not told to the user but answered with the last response, for 64*T1 (section 17.2.2)."""
        self.accepted(method="OPTIONS").answer(200)
        self.wait(31.9)
        self.receive(request("OPTIONS"))
        self.assertEqual(self.sent(), [(200, ALICE)] * 2)
        self.wait(0.2)
        self.receive(request("OPTIONS"))
        self.assertEqual(len(self.user.incoming), 2)

    def test_invite_failure(self) -> None:
        """A failure of INVITE is repeated by Timer G until the ACK comes, which is absorbed (section 17.2.1)."""
        self.accepted().answer(486)
        self.wait(1.6)
        self.assertEqual(self.sent(), [(486, ALICE)] * 3)
        self.receive(request("ACK"))
        self.wait(5.2)
        self.assertEqual((self.sent(), self.user.heard, len(self.service)), ([], [], 0))

    def test_no_ack(self) -> None:
        """Without an ACK Timer H ends it after 64*T1; T2 bounds the repetitions (section 17.2.1)."""
        self.accepted().answer(486)
        self.wait(32.2)
        self.assertEqual(len(self.sent()), 11)
        self.assertEqual(len(self.service), 0)

    def test_stateless(self) -> None:
        """A refusal keeps no state, and each copy is answered with the same To tag (section 8.2.7)."""
        tags = set()
        for _ in range(2):
            self.receive(request())
            self.user.incoming[-1].refuse(407, None, [("Proxy-Authenticate", "Digest")])
            tags.add(parse(self.network.log[-1][2]).to_tag)
        self.assertEqual((len(self.service), len(tags)), (0, 1))
        self.assertNotIn(None, tags)

    def test_ack_to_a_stateless_refusal(self) -> None:
        """Its ACK matches nothing and is the user's to drop (section 8.2.7)."""
        self.receive(request())
        self.user.incoming[-1].refuse(407)
        self.receive(request("ACK"))
        self.assertEqual(self.user.heard, [("ack", None)])
        self.assertEqual(len(self.sent()), 1)

    def test_100_has_no_tag(self) -> None:
        """A 100 has no To tag and the Timestamp of the request; other responses have a tag (section 8.2.6)."""
        incoming = self.accepted(headers=["Timestamp: 54"])
        incoming.answer(100)
        trying = parse(self.network.log[-1][2])
        self.assertEqual((trying.to_tag, trying.get("timestamp")), (None, "54"))
        incoming.answer(480)
        self.assertEqual(parse(self.network.log[-1][2]).to_tag, incoming.to_tag)
        self.assertEqual(self.service.answered, {("INVITE", 480): 1})

    def test_errors_are_answered(self) -> None:
        """What the user raises is answered, with or without state, and says what is wrong (section 20.43)."""
        self.user.fail = PeerError('not "so"\r\n', 403)
        self.receive(request())
        answer = parse(self.network.log[-1][2])
        assert isinstance(answer, Response)
        self.assertEqual((answer.status, answer.get("warning")), (403, '399 voipcluster "not ?so???"'))
        self.assertEqual(len(self.service), 0)

    def test_our_own_faults(self) -> None:
        """An error in our own code is logged and answered with 500, with or without state."""
        self.user.fail = ValueError("bug")
        self.receive(request())
        self.assertEqual(self.sent(), [(500, ALICE)])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_limit(self) -> None:
        """With too many transactions new requests get 503 without state."""
        for number in range(5):
            self.receive(request(via=f"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{number}"))
            if number < 4:
                self.user.incoming[-1].accept()
                self.user.incoming[-1].answer(480)
        self.assertEqual([status for status, _ in self.sent()], [480, 480, 480, 480, 503])
        self.assertEqual(len(self.user.incoming), 4)

    def test_cancel(self) -> None:
        """A CANCEL is answered 200 here and told with its INVITE; copies of it are answered again (section 16.10)."""
        self.accepted()
        for _ in range(2):
            self.receive(request("CANCEL"))
        self.assertEqual(self.user.heard, [("cancel", "z9hG4bKalice1")])
        self.assertEqual(self.sent(), [(200, ALICE)] * 2)
        self.user.incoming[0].answer(487)

    def test_not_answered_for_long(self) -> None:
        """What is no INVITE gets a 100 when its client asks each T2 from then on, and none before (RFC 4320 section 4.1)."""
        incoming = self.accepted(method="OPTIONS")
        for copies, answers in ((2, []), (1, [(100, ALICE)]), (1, [(100, ALICE)])):
            for _ in range(copies):
                self.receive(request(method="OPTIONS"))
            self.assertEqual(self.sent(), answers)
        incoming.answer(200)
        self.assertEqual(self.sent(), [(200, ALICE)])
        incoming.release_request()
        self.receive(request(method="OPTIONS"))
        self.assertEqual(self.sent(), [(200, ALICE)])

    def test_tag_of_a_cancel(self) -> None:
        """The 200 to CANCEL has the To tag of our response to its INVITE (RFC 3261 section 9.2)."""
        incoming = self.accepted()
        self.receive(request(method="CANCEL"))
        incoming.answer(487)
        tags = {
            message.to_tag for _, _, data in self.network.log if isinstance(message := parse(data), Response)
        }
        self.assertEqual(len(tags), 1)
        self.assertEqual(self.sent(), [(200, ALICE), (487, ALICE)])
        self.receive(request(method="ACK"))

    def test_drop(self) -> None:
        """A dropped request is forgotten unanswered (RFC 4320 section 4.2)."""
        self.accepted(method="BYE").drop()
        self.assertEqual((len(self.service), self.sent()), (0, []))


class ResponseWayTests(TransactionCase):
    def test_where_to(self) -> None:
        """
        UDP: with rport to the source, else to the source's address and sent-by's port (18.2.2, RFC 3581); to maddr only when that
        is a multicast address, for else one packet would send a dozen to anybody whom it names.
        """
        nat = Flow("UDP", HERE, ("203.0.113.1", 3333))
        for via, remote in (
            ("SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKx;rport", ("203.0.113.1", 3333)),
            ("SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bKx", ("203.0.113.1", 5070)),
            ("SIP/2.0/UDP phone.example;branch=z9hG4bKx", ("203.0.113.1", 5060)),
            ("SIP/2.0/UDP 10.0.0.1;maddr=224.0.1.75;branch=z9hG4bKx", ("224.0.1.75", 5060)),
            ("SIP/2.0/UDP 10.0.0.1;maddr=192.0.2.77;branch=z9hG4bKx", ("203.0.113.1", 5060)),
        ):
            self.assertEqual(response_flow(parse_via(via), None, nat), nat._replace(remote=remote))

    def test_stream(self) -> None:
        """TCP: over the connection of the request, whatever Via says (section 18.2.2)."""
        flow = Flow("TCP", HERE, ALICE, 7)
        self.assertIs(response_flow(parse_via("SIP/2.0/TCP 10.0.0.1;branch=z9hG4bKx"), None, flow), flow)

    def lost_before_the_answer(self, sent_by: str) -> list[tuple[object, tuple[str, int]]]:
        source = ("192.0.2.1", 40000)
        flow = Flow("TCP", HERE, source, self.transport.open(source))
        self.network.ends[ALICE] = self.transport  # somebody listens there
        self.receive(request("OPTIONS", via=f"SIP/2.0/TCP {sent_by};branch=z9hG4bKt"), flow)
        incoming = self.user.incoming[-1]
        incoming.accept()
        self.transport.lose(source)
        incoming.answer(200)
        return self.sent()

    def test_connection_gone(self) -> None:
        """When the connection is gone the response goes over a new one to sent-by, or to received (section 18.2.2)."""
        self.assertEqual(self.lost_before_the_answer("192.0.2.1:5060"), [(200, ALICE)])
        self.assertEqual(self.lost_before_the_answer("phone.example"), [(200, ALICE)])

    def test_connection_gone_for_good(self) -> None:
        """When nobody listens there either, nothing happens: the transaction lives on (RFC 6026 section 6)."""
        source = ("2001:db8::1", 40000)
        flow = Flow("TCP", HERE, source, self.transport.open(source))
        self.receive(request("OPTIONS", via="SIP/2.0/TCP phone.example;branch=z9hG4bKt"), flow)
        incoming = self.user.incoming[-1]
        incoming.accept()
        self.transport.connections.clear()
        incoming.answer(200)
        self.assertEqual(self.sent(), [])

    def test_failed_response(self) -> None:
        """A response that cannot be sent does not end the transaction: a copy is answered again (RFC 6026 section 6)."""
        flow = Flow("UDP", ("192.0.2.200", 5060), ALICE)  # a socket that is closed now
        self.receive(request("OPTIONS"), flow)
        self.user.incoming[-1].accept()
        self.user.incoming[-1].answer(200)
        self.clock.advance(0)
        self.receive(request("OPTIONS"), flow)
        self.assertEqual((len(self.user.incoming), len(self.service)), (1, 1))


class ClientTests(TransactionCase):
    def test_invite_repeats(self) -> None:
        """INVITE goes out 7 times in 64*T1 over UDP, then the user hears of the time-out (section 17.1.1.2)."""
        self.invite()
        self.wait(31.9)
        self.assertEqual(self.user.heard, [])
        self.wait(0.2)
        self.assertEqual(self.sent(), [("INVITE", BOB)] * 7)
        self.assertEqual(self.user.heard, [(5, "timed out")])

    def test_nothing_repeats_over_tcp(self) -> None:
        """Over TCP it goes out once (section 17.1.1.2)."""
        self.network.ends[BOB] = self.transport
        self.invite(Flow("TCP", HERE, BOB, self.transport.open(BOB)))
        self.wait(33)
        self.assertEqual(self.sent(), [("INVITE", BOB)])

    def test_responses(self) -> None:
        """Responses reach the user with its number; a failure is ACKed, each copy of it again (section 17.1.1.2)."""
        self.invite()
        for status in (100, 180, 486, 486):
            self.receive(response(status), TO_BOB)
        self.assertEqual(self.user.heard, [(5, 100), (5, 180), (5, 486)])
        self.assertEqual(self.sent(), [("INVITE", BOB), ("ACK", BOB), ("ACK", BOB)])

    def test_strays(self) -> None:
        """A response of another branch or method is dropped and counted (section 17.1.3)."""
        self.invite()
        self.receive(response(200, vias=["SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKother"]), TO_BOB)
        self.receive(response(200, cseq="7 BYE"), TO_BOB)
        self.receive(response(200, vias=[]), TO_BOB)
        self.assertEqual((self.user.heard, self.service.stray_responses), ([], 3))

    def test_cancel_once(self) -> None:
        """CANCEL goes the way of the INVITE, once, and not behind a final response (section 9.1)."""
        self.invite()
        self.receive(response(180), TO_BOB)
        self.client.cancel()
        self.client.cancel()
        self.assertEqual(self.sent(), [("INVITE", BOB), ("CANCEL", BOB)])
        self.receive(response(200, cseq="7 CANCEL"), TO_BOB)
        self.receive(response(487), TO_BOB)
        self.client.cancel()
        self.assertEqual(self.sent(), [("ACK", BOB)])

    def test_cancelled_and_forgotten(self) -> None:
        """An INVITE that rang and whose CANCEL nobody minds is over after 64*T1 (section 9.1)."""
        self.invite()
        self.receive(response(180), TO_BOB)
        self.client.cancel()
        self.wait(32.1)
        self.assertEqual(self.user.heard, [(5, 180), (5, "timed out")])

    def test_given_up(self) -> None:
        """Who gives up hears nothing more; CANCEL goes out as soon as it may (section 9.1)."""
        self.invite()
        self.client.give_up()
        self.assertEqual(self.sent(), [("INVITE", BOB)])
        self.receive(response(100), TO_BOB)
        self.assertEqual(self.sent(), [("CANCEL", BOB)])
        self.receive(response(487), TO_BOB)
        self.assertEqual((self.user.heard, self.sent()), ([], [("ACK", BOB)]))

    def test_given_up_while_ringing(self) -> None:
        """Behind a provisional response CANCEL goes out at once."""
        self.invite()
        self.receive(response(180), TO_BOB)
        self.client.give_up()
        self.assertEqual(self.sent(), [("INVITE", BOB), ("CANCEL", BOB)])

    def test_unreachable(self) -> None:
        """ICMP errors end all transactions to that hop, and no other one (section 18.4)."""
        self.invite()
        wire = request("BYE", via=OURS + "2").to_bytes()
        self.service.send_request(wire, "BYE", "z9hG4bKours2", FROM_ALICE, self.user, 6)
        self.service.unreachable(Hop("UDP", *BOB))
        self.service.unreachable(Hop("UDP", *BOB))
        self.assertEqual(self.user.heard, [])
        self.wait(0.1)
        self.assertEqual(self.user.heard, [(5, "failed")])

    def test_connection_lost(self) -> None:
        """A lost connection ends what was sent over it, also what had waited for it to open (section 18.4)."""
        self.network.ends[BOB] = self.transport
        self.invite(Flow("TCP", HERE, BOB))
        self.service.connection_lost(Flow("TCP", HERE, ALICE, 1))
        self.assertEqual(self.user.heard, [])
        self.service.connection_lost(Flow("TCP", HERE, BOB, 1))
        self.assertEqual(self.user.heard, [(5, "failed")])

    def test_refused(self) -> None:
        """A connection that nobody accepts is a failure at once, not a time-out (section 18.4)."""
        self.invite(Flow("TCP", HERE, ("192.0.2.77", 5060)))
        self.clock.advance(0)
        self.assertEqual(self.user.heard, [(5, "failed")])
