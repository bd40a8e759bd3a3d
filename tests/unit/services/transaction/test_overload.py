"""Overload control in front of the transaction layer, and what upstreams are told."""

from __future__ import annotations

from tests.unit.services.transaction.test_transactions import ALICE, FROM_ALICE, HERE, TransactionCase
from tests.unit.sip.messages import request
from voipcluster.address import Flow
from voipcluster.balance.overload import OverloadSettings
from voipcluster.services.transaction.feedback import FeedbackTransaction
from voipcluster.services.transaction.limiting import Limiting
from voipcluster.services.transaction.overload import OverloadService
from voipcluster.services.transaction.wakeups import Arrange
from voipcluster.sip.emergency import pattern_of
from voipcluster.sip.limits import BUSY
from voipcluster.sip.message import Request, Response, parse
from voipcluster.sip.overload import OFFER, told
from voipcluster.sip.transaction.matching import server_key

PLAIN = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK"


class OverloadCase(TransactionCase):
    def setUp(self) -> None:
        super().setUp()
        self.service.limit = 10_000
        self.trusted: set[str] = set()
        limiting = Limiting(self.clock.seconds, nodes=lambda: self.trusted)
        limiting._limits._interval = 0.0  # the limit of a source is another matter
        self.service.limiting = limiting
        self.orders: list[Arrange | None] = []
        self.make()
        self.number = 0

    def make(self, enabled: bool = True) -> None:
        self.overload = OverloadService(
            OverloadSettings(),
            self.clock.seconds,
            lambda: 1e9 + self.clock.seconds(),
            self.service,
            self.transport,
            self.service.limiting,
            "mark",
            enabled=enabled,
            arrange=self.orders.append,
        )
        self.service.taking_part = self.overload.taking_part

    def tearDown(self) -> None:
        for incoming in self.user.incoming:
            if incoming.key in self.service.servers and incoming.request.method:
                incoming.answer(486)
        self.service.guard(None)
        self.service.servers.clear()
        self.wheel.stop()

    def fresh(self, method: str = "INVITE", more: str = "", **changes: object) -> Request:
        self.number += 1
        return request(method, via=f"{PLAIN}{self.number}{more}", **changes)

    def tick(self, delay: float, admitted: int = 10) -> None:
        """A tenth of a second in which so many came, by another count than ours, and messages waited for so long."""
        self.clock.advance(0.1)
        self.service.received["INVITE"] += admitted
        self.overload.sampled(0.1, 0.001 * admitted, delay)

    def overloaded(self) -> None:
        self.tick(0.3, 100)
        self.assertTrue(self.overload.active)

    def statuses(self) -> list[object]:
        return [status for status, _ in self.sent()]

    def flood(self, count: int = 200, flow: Flow = FROM_ALICE) -> int:
        """How many of so many new calls are let in."""
        before = len(self.user.incoming)
        for _ in range(count):
            self.receive(self.fresh(), flow)
        return len(self.user.incoming) - before


class GuardTests(OverloadCase):
    def test_without_overload_it_is_not_there(self) -> None:
        """No message pays for it: the transaction layer is asked directly."""
        self.tick(0.0)
        self.assertNotIn("bytes_received", vars(self.service))
        self.overloaded()
        self.assertIn("bytes_received", vars(self.service))
        for _ in range(60):
            self.tick(0.0, 1)
        self.assertNotIn("bytes_received", vars(self.service))
        self.assertFalse(self.overload.active)

    def test_wake_ups(self) -> None:
        """While there is overload calls in progress come first in each, and afterwards as usual again."""
        self.overloaded()
        self.assertEqual(len(self.orders), 1)
        arrange = self.orders[0]
        assert arrange is not None
        bye, invite = self.fresh("BYE", to_tag="b1").to_bytes(), self.fresh().to_bytes()
        self.assertEqual(arrange([(invite, FROM_ALICE), (bye, FROM_ALICE)])[0][0], bye)
        for _ in range(60):
            self.tick(0.0, 1)
        self.assertEqual(self.orders[1:], [None])

    def test_turned_off(self) -> None:
        """Then nobody is refused."""
        self.make(enabled=False)
        self.tick(0.5)
        self.assertEqual((self.flood(100), self.overload.active), (100, False))

    def test_what_is_too_much_is_refused(self) -> None:
        """With 503 and no Retry-After (RFC 7339 section 5.10.2), and the ACK for it ends here."""
        self.overloaded()
        admitted = self.flood()
        self.assertTrue(0 < admitted < 50, admitted)
        refused = [parse(data) for _, _, data in self.network.log]
        self.assertEqual(len(refused), 200 - admitted)
        self.assertEqual(self.overload.refused, 200 - admitted)
        last = refused[-1]
        assert isinstance(last, Response)
        self.assertEqual((last.status, last.get("retry-after")), (503, None))
        self.receive(request("ACK", via=f"{PLAIN}200", to_tag=last.to_tag or ""))
        self.assertEqual(self.user.heard, [])

    def test_what_is_never_shed(self) -> None:
        """Responses, ACK, CANCEL, requests within dialogs and copies of what is being served (section 5.10.1)."""
        invite = self.fresh()
        self.receive(invite)
        self.user.incoming[-1].accept()
        self.user.incoming[-1].answer(100)
        self.overloaded()
        self.flood()
        self.network.log.clear()
        self.receive(invite)
        self.assertEqual(self.statuses(), [100])
        heard = len(self.user.incoming)
        self.receive(self.fresh("BYE", to_tag="b1"))
        self.receive(self.fresh("INVITE", to_tag="b1"))
        self.assertEqual(len(self.user.incoming), heard + 2)
        self.receive(self.fresh("ACK", to_tag="b1"))
        self.assertEqual(self.user.heard[-1][0], "ack")
        self.receive(request("CANCEL", via=f"{PLAIN}1"))
        self.assertEqual(self.user.heard[-1][0], "cancel")

    def test_emergencies_are_let_in(self) -> None:
        self.trusted.add(ALICE[0])
        self.overloaded()
        self.flood()
        heard = len(self.user.incoming)
        self.receive(self.fresh(uri="urn:service:sos"))
        self.receive(self.fresh(headers=["Resource-Priority: esnet.0"]))
        self.assertEqual(len(self.user.incoming), heard + 2)

    def test_nobody_is_let_in_for_calling_himself_an_emergency(self) -> None:
        """What anybody says of himself brings a call to the front, and not past the limit (RFC 4412 section 4.7)."""
        self.overloaded()
        self.flood()
        heard = len(self.user.incoming)
        self.receive(self.fresh(headers=["Resource-Priority: esnet.0"]))
        self.assertEqual(len(self.user.incoming), heard)
        self.receive(self.fresh(uri="urn:service:sos"))
        self.assertEqual(len(self.user.incoming), heard + 1)
        for _ in range(1000):
            self.receive(self.fresh(uri="urn:service:sos"))
        self.assertLess(len(self.user.incoming), heard + 100)

    def test_a_copy_of_what_was_refused(self) -> None:
        """Is refused again with the same tag, also when there is room by then: its caller was told so."""
        self.overloaded()
        self.flood()
        refused = self.fresh()
        self.receive(refused)
        first = self.network.log[-1][2]
        self.clock.advance(0.9)
        count = self.overload.refused
        self.receive(refused)
        self.assertEqual((self.network.log[-1][2], self.overload.refused), (first, count))

    def test_refreshes_before_new_registrations(self) -> None:
        """Who proved a password from there is registered, most likely."""
        self.service.limiting.proved(FROM_ALICE, "alice@example.com")
        self.overloaded()
        stranger = FROM_ALICE._replace(remote=("192.0.2.77", 5060))
        before = len(self.user.incoming)
        for _ in range(100):
            self.receive(self.fresh("REGISTER"), stranger)
        strangers = len(self.user.incoming) - before
        self.receive(self.fresh("REGISTER"))
        self.assertEqual(len(self.user.incoming) - before, strangers + 1)

    def test_calls_of_users_before_those_of_strangers(self) -> None:
        """Who proved a password from there, or is trusted, calls while strangers' calls have taken what is left to them."""
        limiting = self.service.limiting
        self.overloaded()
        stranger = FROM_ALICE._replace(remote=("192.0.2.77", 5060))
        self.assertLess(self.flood(200, stranger), 200)
        self.assertEqual(self.flood(1, stranger), 0)
        limiting.proved(FROM_ALICE, "alice@example.com")
        self.assertEqual(self.flood(1), 1)
        with_passwords, limiting.reserves = limiting.reserves, False
        self.assertEqual(self.flood(1, stranger), 1, "where no passwords are there are no strangers")
        limiting.reserves = with_passwords

    def test_what_is_too_old_is_not_answered(self) -> None:
        """
        Where all waits for longer than T1 a copy of it waits already (RFC 3261 section 17.1.1.2): it is looked at instead, and is
        no copy of something refused. Over a stream there are no copies.
        """
        self.tick(0.6, 100)
        self.flood(10)
        self.network.log.clear()
        self.tick(0.6, 0)
        self.flood(300)
        self.assertEqual(self.statuses(), [])
        refused = self.fresh()
        self.receive(refused)
        answered = self.service.answered["INVITE", 503]
        self.receive(self.fresh(), Flow("TCP", HERE, ALICE, 7))
        self.assertEqual(self.service.answered["INVITE", 503], answered + 1)
        self.tick(0.0, 0)
        self.clock.advance(1.0)
        heard = len(self.user.incoming)
        self.receive(refused)
        self.assertEqual(len(self.user.incoming), heard + 1)

    def test_strangers_do_not_escape_by_what_only_the_parser_can_read(self) -> None:
        """Anybody can write a tag into To, make up a method or fold a line: of that no more is read than of new requests."""
        self.overloaded()
        self.flood()
        for odd in (
            lambda: self.fresh(to_tag="made-up"),
            lambda: self.fresh("BYE", to_tag="made-up"),
            lambda: self.fresh("FROBNICATE"),
            lambda: self.fresh(headers=["Subject: a\r\n b"]),
            lambda: self.fresh(headers=["Route: <sip:192.0.2.9;lr;call=forged>"], to_tag="made-up"),
        ):
            self.clock.advance(1.0)
            before = len(self.user.incoming)
            for _ in range(1000):
                self.receive(odd())
            self.assertTrue(1 <= len(self.user.incoming) - before <= 150, len(self.user.incoming) - before)
        self.assertGreater(self.service.limiting.refused["unread"], 4000)

    def test_whom_we_know_is_read(self) -> None:
        """Who proved a password, other nodes, and whoever carries a token of one of our dialogs."""
        self.overload._is_call = lambda token: token == "genuine"
        self.overloaded()
        route = "Route: <sip:192.0.2.9;lr;call=genuine>"
        before = len(self.user.incoming)
        for _ in range(300):
            self.receive(self.fresh("BYE", to_tag="b1", headers=[route]))
        self.trusted.add(ALICE[0])
        for _ in range(300):
            self.receive(self.fresh("BYE", to_tag="b1"))
        self.assertEqual(len(self.user.incoming) - before, 600)

    def test_a_hand_over_is_known_by_its_token(self) -> None:
        """Not by where it seems to come from: the source of a datagram can be forged."""
        self.overload._nodes = lambda: (ALICE[0],)
        self.overload._is_handover = lambda token, call_id: (token, call_id) == ("genuine", "call-1")
        self.overloaded()
        self.flood()
        heard = len(self.user.incoming)
        forged = self.fresh(headers=["Route: <sip:192.0.2.9;lr;ho=forged>"]).to_bytes()
        genuine = self.fresh(headers=["Route: <sip:192.0.2.9;lr;ho=genuine>"]).to_bytes()
        self.service.bytes_received(forged, FROM_ALICE)
        self.service.bytes_received(
            genuine.replace(b"call-1", b"call-2").replace(PLAIN.encode(), PLAIN.encode() + b"other"),
            FROM_ALICE,
        )
        self.assertEqual(len(self.user.incoming), heard)
        self.service.bytes_received(genuine, FROM_ALICE)
        self.assertEqual(len(self.user.incoming), heard + 1)

    def test_somebody_banned_hears_nothing(self) -> None:
        """A flood is not answered, overload or not."""
        self.service.limiting._limits._interval = 5.0
        self.overloaded()
        self.flood(100)
        self.assertLessEqual(len(self.network.log), 2)

    def test_where_it_goes(self) -> None:
        """To where the request came from, when its Via asks for that (RFC 3581 section 4)."""
        self.overloaded()
        self.flood()
        self.receive(self.fresh(more=";rport"), FROM_ALICE._replace(remote=("192.0.2.1", 40000)))
        self.assertEqual(self.network.log[-1][1], ("192.0.2.1", 40000))
        self.receive(self.fresh(), FROM_ALICE._replace(remote=("192.0.2.1", 40000)))
        self.assertEqual(self.network.log[-1][1], ALICE)


class ThinningTests(OverloadCase):
    def make(self, enabled: bool = True) -> None:
        super().make(enabled)
        self.passing: list[float] = []
        self.overload._thin = self.passing.append
        self.lost = 0
        self.overload._lost = lambda: self.lost
        self.trusted.add(ALICE[0])

    def test_beyond_what_refusals_may_take(self) -> None:
        """What has no room is not answered, so that it comes again; it is none that was refused."""
        self.overloaded()
        for _ in range(10):
            self.flood(400)
            self.lost += round(3000 * (1.0 - self.overload.passing))
            self.tick(0.0, 10)
        before, refused = len(self.network.log), self.overload.refused
        surplus = self.service.limiting.refused["surplus"]
        admitted = self.flood(400)
        answered = len(self.network.log) - before
        self.assertEqual(answered, self.overload.refused - refused)
        self.assertLess(answered, admitted + 30)
        self.assertEqual(self.service.limiting.refused["surplus"] - surplus, 400 - admitted - answered)
        unread = self.fresh()
        self.receive(unread)
        heard = len(self.user.incoming)
        self.clock.advance(1.0)
        self.receive(unread)
        self.assertEqual(len(self.user.incoming), heard + 1)

    def test_what_is_looked_at_all_the_same(self) -> None:
        """Emergencies, what comes over a stream, and those who take part are not thrown away unread."""
        self.overloaded()
        self.tick(0.6, 10)
        self.flood(400)
        before = len(self.network.log)
        self.receive(self.fresh())
        self.assertEqual(len(self.network.log), before)
        heard = len(self.user.incoming)
        self.receive(self.fresh(uri="urn:service:sos"))
        self.assertEqual(len(self.user.incoming), heard + 1)
        answered = self.service.answered["INVITE", 503]
        self.receive(self.fresh(), Flow("TCP", HERE, ALICE, 7))
        self.assertEqual(self.service.answered["INVITE", 503], answered + 1)

    def test_a_number_for_help(self) -> None:
        """It is none of those that may be thrown away unread, alone or among many."""
        self.overload.for_help = pattern_of(["112"])
        self.overloaded()
        self.tick(0.6, 10)
        self.flood(400)
        heard = len(self.user.incoming)
        self.receive(self.fresh(uri="sip:112@example.com"))
        self.assertEqual(len(self.user.incoming), heard + 1)
        help_ = self.fresh(uri="tel:112;phone-context=x").to_bytes(), FROM_ALICE
        arrange = self.orders[0]
        assert arrange is not None
        calls = [(self.fresh().to_bytes(), FROM_ALICE) for _ in range(400)]
        self.assertEqual(arrange([*calls, help_])[-1], help_)

    def test_many_at_once(self) -> None:
        """
        Of one wake-up as many are left as can be let in or refused, and the others go before they are looked at one by one; who
        takes part, is in a dialog or calls for help stays.
        """
        self.overloaded()
        for _ in range(10):
            self.flood(400)
            self.lost += round(3000 * (1.0 - self.overload.passing))
            self.tick(0.0, 10)
        arrange = self.orders[0]
        assert arrange is not None
        calls = [(self.fresh().to_bytes(), FROM_ALICE) for _ in range(400)]
        urgent = [
            (self.fresh(uri="urn:service:sos").to_bytes(), FROM_ALICE),
            (self.fresh(to_tag="b1", headers=["Route: <sip:192.0.2.9;lr;call=a>"]).to_bytes(), FROM_ALICE),
        ]
        surplus = self.service.limiting.refused["surplus"]
        left = arrange([*calls, *urgent])
        self.assertEqual(left[-2:], urgent)
        self.assertLess(len(left), 250)
        self.assertEqual(self.service.limiting.refused["surplus"] - surplus, 402 - len(left))
        heard, self.network.log = len(self.user.incoming), []
        for data, flow in left:
            self.service.bytes_received(data, flow)
        served = len(self.user.incoming) - heard
        self.assertGreater(served, 2)
        self.assertEqual(len(self.network.log), len(left) - served)

    def test_copies(self) -> None:
        """Of what is served they go to its transaction; what was refused is refused again, also when there is room by then."""
        self.overloaded()
        served = self.fresh()
        self.receive(served)
        self.user.incoming[-1].accept()
        self.user.incoming[-1].answer(100)
        self.flood(100)
        refused = next(
            one
            for _, _, wire in self.network.log
            if isinstance(one := parse(wire), Response) and one.status == 503
        )
        self.clock.advance(1.0)
        heard = len(self.user.incoming)
        self.network.log.clear()
        self.receive(served)
        self.receive(request("INVITE", via=f"{PLAIN}{refused.top_via.branch[7:]}"))
        self.assertEqual(self.statuses(), [100, 503])
        self.assertEqual(len(self.user.incoming), heard)

    def test_refusals_take_little(self) -> None:
        """Where more is refused than a part of what is let in, the kernel throws away what would be; never all of it."""
        self.overloaded()
        self.assertEqual(self.passing, [])
        for _ in range(30):
            self.flood(400)
            self.lost += round(3000 * (1.0 - self.overload.passing))
            self.tick(0.3, 0)
        self.assertTrue(0.0 < self.passing[-1] < 0.1, self.passing)

    def test_strangers_alone(self) -> None:
        """What only strangers send too much of is refused here: the kernel would throw away known phones' calls, too."""
        self.trusted.clear()
        self.overloaded()
        for _ in range(30):
            self.flood(400)
            self.tick(0.3, 0)
        self.assertEqual(self.passing, [])

    def test_behind_the_flood_all_passes(self) -> None:
        """In steps while there is overload, and at once when that is over."""
        self.overloaded()
        for _ in range(10):
            self.flood(400)
            self.lost += round(3000 * (1.0 - self.overload.passing))
            self.tick(0.3, 100)
        least = self.passing[-1]
        for _ in range(60):
            self.tick(0.0, 10)
        self.assertLess(least, 1.0)
        self.assertEqual(self.passing[-1], 1.0)
        self.assertFalse(self.overload.active)


class FeedbackTests(OverloadCase):
    def setUp(self) -> None:
        super().setUp()
        self.trusted.add(ALICE[0])

    def said(self) -> object:
        """What the topmost Via of the last response says."""
        message = parse(self.network.log[-1][2])
        assert isinstance(message, Response)
        return told(message.top_via)

    def test_who_does_not_take_part(self) -> None:
        self.receive(self.fresh(more=";rport"))
        self.assertNotIsInstance(self.user.incoming[-1], FeedbackTransaction)

    def test_without_overload(self) -> None:
        """oc=0 and oc-validity=0 (RFC 7339 section 5.7), and the algorithm that was chosen."""
        self.receive(self.fresh(more=OFFER))
        incoming = self.user.incoming[-1]
        incoming.accept()
        incoming.answer(100)
        self.assertEqual(self.said(), ("rate", 0.0, 0.0, 1e9))
        incoming.answer(486)
        self.assertEqual(self.said(), ("rate", 0.0, 0.0, 1e9))

    def test_whom_we_do_not_know(self) -> None:
        """All of them are told the same, and none has a part of his own: a stranger has as many ports as he likes."""
        self.trusted.clear()
        for _ in range(8):
            for port in range(1024, 1424):
                self.receive(self.fresh(more=OFFER), Flow("UDP", HERE, (ALICE[0], port)))
            self.clock.advance(0.1)
            self.overload.sampled(0.1, 0.1, 0.3)
        self.assertEqual(self.overload.server.upstreams, {})
        said = self.said()
        assert isinstance(said, tuple)
        self.assertEqual(said[0], "loss")
        self.receive(self.fresh(more=OFFER))
        said = self.said()
        assert isinstance(said, tuple)
        self.assertGreater(said[1], 0)

    def test_stateless_answers(self) -> None:
        self.receive(self.fresh(more=";oc"))
        self.user.incoming[-1].refuse(403)
        self.assertEqual(self.said(), ("loss", 0.0, 0.0, 1e9))

    def test_turned_off(self) -> None:
        """Then nobody is told anything, and what an upstream says ends here all the same (section 5.6)."""
        self.service.taking_part = self.overload.leaving_out
        self.receive(self.fresh(more=f";rport{OFFER}"))
        incoming = self.user.incoming[-1]
        assert incoming.via is not None
        self.assertEqual({name for name, _ in incoming.via.params}, {"branch", "rport", "received"})
        incoming.accept()
        incoming.answer(486)
        self.assertIsNone(self.said())
        self.assertNotIn(b";oc", self.network.log[-1][2])

    def test_answers_of_the_transaction_layer(self) -> None:
        """What is malformed or beyond a limit is answered with it, too (section 5.2)."""
        broken = self.fresh(more=OFFER).to_bytes().replace(b"Content-Length: 0", b"Content-Length: x")
        self.service.bytes_received(broken, FROM_ALICE)
        self.assertEqual(self.said(), ("rate", 0.0, 0.0, 1e9))
        self.assertEqual(self.statuses(), [400])
        self.service._turn_away(BUSY, parsed := self.fresh(more=OFFER), FROM_ALICE, server_key(parsed))
        self.assertEqual(self.said(), ("rate", 0.0, 0.0, 1e9))
        self.assertEqual(self.statuses(), [503])

    def test_nobody_behind_us_sees_it(self) -> None:
        """The Via that is forwarded has nothing of it (section 5.6)."""
        self.receive(self.fresh(more=f";rport{OFFER}"))
        via = self.user.incoming[-1].via
        assert via is not None
        self.assertEqual({name for name, _ in via.params}, {"branch", "rport", "received"})

    def test_in_overload(self) -> None:
        """Each response says how much may be sent, also a refusal; the number grows with each look (section 4.4)."""
        self.receive(self.fresh(more=";oc"))
        self.user.incoming[-1].accept()
        sequences = []
        for _ in range(16):
            for _ in range(100):
                self.receive(self.fresh(more=";oc"))
            self.clock.advance(0.1)
            self.overload.sampled(0.1, 0.1, 0.1)
            before = len(self.user.incoming)
            self.receive(self.fresh(more=";oc"))
            if len(self.user.incoming) > before:
                self.user.incoming[-1].refuse(403)
            said = self.said()
            assert isinstance(said, tuple)
            sequences.append(said[3])
        self.assertGreater(said[1], 0)
        self.assertEqual(said[2], 0.5)
        self.assertEqual(sorted(set(sequences)), sequences)
        self.user.incoming[0].answer(486)
        self.assertEqual(self.said(), said)

    def test_the_first_request_in_overload(self) -> None:
        """It is told even though it is refused."""
        self.overloaded()
        self.flood()
        for _ in range(100):
            self.receive(self.fresh(more=OFFER))
        said = self.said()
        assert isinstance(said, tuple)
        self.assertEqual(said[0], "rate")

    def test_a_small_request_gets_no_large_answer(self) -> None:
        """The source may be forged: no more than three times what came goes there, rather without what is told."""
        self.overloaded()
        self.flood()
        small = b"INVITE \r\nv:2.0 h;branch=z9hG4bK%d;oc\r\nf:\r\nt:\r\ni:\r\nCSeq:\r\n\r\n"
        before = len(self.network.log)
        for number in range(10, 60):
            self.service.bytes_received(small % number, FROM_ALICE)
        answers = [wire for _, _, wire in self.network.log[before:]]
        self.assertTrue(answers)
        self.assertLessEqual(max(map(len, answers)), 3 * len(small))
        self.assertNotIn(b";oc=", b"".join(answers))

    def test_a_repeated_response_says_what_is_now(self) -> None:
        """Section 5.2."""
        self.receive(self.fresh(more=";oc"))
        self.user.incoming[-1].accept()
        self.user.incoming[-1].answer(486)
        before = self.said()
        self.tick(0.05, 100)
        self.tick(0.05, 100)
        self.receive(request(via=f"{PLAIN}1;oc"))
        after = self.said()
        assert isinstance(before, tuple) and isinstance(after, tuple)
        self.assertGreater(after[3], before[3])
