"""What strangers may take of a whole node, and that those who are known get the rest (attack S4)."""

from __future__ import annotations

from tests.unit.services.transaction.test_limiting import BOB, STRANGER, LimitingCase
from voipcluster.balance.decision import Own
from voipcluster.balance.workload import Workload
from voipcluster.sip.strangers import StrangerSettings

FEW_IN_ALL = StrangerSettings(share=0.5, unanswered_in_all=4)
SETTINGS = StrangerSettings(share=0.5, unanswered=3)


class StrangersCase(LimitingCase):
    def setUp(self) -> None:
        super().setUp()
        self.node = self.world.node("b", auth=True, strangers=SETTINGS)
        for phone in (self.alice, self.bob):
            self.register(phone)
        self.bob.took()

    def ask(self, method: str, number: int = 0) -> list[int | str]:
        """A stranger's request to Bob."""
        self.attacker.send(self.node, method, BOB, from_uri=STRANGER, call_id=f"{method}-{number}", cseq=1)
        return self.attacker.took()


class ShareTests(StrangersCase):
    def busy(self, **shares: float) -> None:
        self.node.own = Own(Workload(**shares))

    def test_transactions(self) -> None:
        """When transactions run short a stranger hears 503 without state, and a user is served as ever."""
        self.busy(transactions=0.6)
        self.assertEqual([self.ask(method) for method in ("MESSAGE", "INVITE")], [[503], [503]])
        self.assertEqual(self.node.limiting.refused, {"strangers": 2})
        self.assertEqual((self.bob.took(), len(self.node.transactions.clients)), ([], 0))
        self.authenticated(self.alice, "INVITE", BOB, "mine")
        self.assertEqual((self.bob.took(), self.alice.took()), (["INVITE"], [407, 100]))

    def test_calls(self) -> None:
        """Calls in progress keep strangers from calling, and from nothing else."""
        self.busy(calls=0.6)
        self.assertEqual(self.ask("INVITE"), [503])
        self.ask("MESSAGE")
        self.assertEqual(self.bob.took(), ["MESSAGE"])

    def test_idle(self) -> None:
        """Below that a stranger is served."""
        self.busy(transactions=0.4, calls=0.4)
        self.ask("INVITE")
        self.assertEqual(self.bob.took(), ["INVITE"])

    def test_known_flow(self) -> None:
        """A phone that proved its password may call in another name: its From does not make a stranger of it."""
        self.busy(transactions=0.6)
        self.alice.send(self.node, "MESSAGE", BOB, from_uri="sip:anonymous@anonymous.invalid", call_id="m")
        self.assertEqual(self.bob.took(), ["MESSAGE"])

    def test_dialog(self) -> None:
        """A call that is up goes on: the requests of its dialog are nobody's new requests."""
        self.ask("INVITE")
        self.bob.reply(self.bob.request("INVITE"), 200)
        answer = self.attacker.response(200)
        self.busy(transactions=0.9, calls=0.9)
        self.attacker.send(
            self.node, "BYE", self.bob.uri, from_uri=STRANGER, call_id="INVITE-0", cseq=2, to_tag=self.bob.tag,
            routes=answer.get_all("record-route")[::-1],
        )  # fmt: skip
        self.assertIn("BYE", self.bob.took())

    def test_registering(self) -> None:
        """A phone that is new can register, and is known then."""
        carol = self.world.phone("carol", "198.51.100.3")
        self.busy(transactions=0.9, calls=0.9)
        self.assertEqual(self.register(carol), [401, 200])

    def test_redirect(self) -> None:
        """Who proved nothing gets no 302 with its state when transactions run short, but is asked for a password."""
        self.node = self.world.node("c", "redirect", auth=True, strangers=SETTINGS)
        self.busy(transactions=0.9)
        self.alice.send(self.node, "INVITE", BOB, call_id="r")
        self.assertEqual(self.alice.took(), [407])
        self.busy(transactions=0.4, calls=0.9)
        self.alice.send(self.node, "INVITE", BOB, call_id="s")
        self.assertEqual(self.alice.took(), [302], "a call costs this node nothing when another one takes it")


class UnansweredTests(StrangersCase):
    def test_other_requests(self) -> None:
        """S4: one address waits for three answers at once, to whatever it asked; an answer makes room."""
        took = [self.ask(method) for method in ("MESSAGE", "SUBSCRIBE", "NOTIFY", "OPTIONS")]
        self.assertEqual(took, [[], [], [], [503]])
        self.assertEqual(self.node.limiting.refused, {"unanswered requests": 1})
        self.bob.reply(self.bob.request("MESSAGE"), 200)
        self.assertEqual(self.attacker.took(), [200])
        self.assertEqual([self.ask("MESSAGE", number) for number in (1, 2)], [[], [503]])

    def test_others(self) -> None:
        """Neither another address nor a user at the same one is concerned."""
        for number in range(4):
            self.ask("MESSAGE", number)
        other = self.world.phone("mallory", "198.51.100.67")
        other.send(self.node, "MESSAGE", BOB, from_uri=STRANGER, call_id="other")
        self.assertEqual(other.took(), [])
        neighbour = self.world.phone("carol", "198.51.100.66", port=40000)
        self.register(neighbour)
        self.authenticated(neighbour, "MESSAGE", BOB, "neighbour")
        self.assertEqual(self.node.limiting.refused, {"unanswered requests": 1})

    def test_of_all(self) -> None:
        """All strangers together wait for four answers, calls included; users for as many as they like."""
        self.node = self.world.node("c", auth=True, strangers=FEW_IN_ALL)
        for phone in (self.alice, self.bob):
            self.register(phone)
        took = []
        for number, method in enumerate(("MESSAGE", "INVITE", "NOTIFY", "INVITE", "OPTIONS", "INVITE")):
            stranger = self.world.phone("mallory", f"198.51.100.{80 + number}")
            stranger.send(self.node, method, BOB, from_uri=STRANGER, call_id=f"all-{number}")
            took.append(stranger.took())
        self.assertEqual(took, [[], [100], [], [100], [503], [503]])
        self.assertEqual(self.node.limiting.refused, {"strangers": 2})
        self.bob.took()
        self.authenticated(self.alice, "MESSAGE", BOB, "mine")
        self.assertEqual(self.bob.took(), ["MESSAGE"])

    def test_time_out(self) -> None:
        """What nobody answers makes room after 64*T1, and nothing is remembered then."""
        for number in range(4):
            self.ask("MESSAGE", number)
        self.world.wait(70)
        self.attacker.took()
        self.assertEqual(self.ask("MESSAGE", 9), [])
        self.world.wait(70)
        self.node.limiting.tick()
        self.assertEqual(len(self.node.limiting._strangers), 0)

    def test_refused_at_once(self) -> None:
        """What is answered at once does not count."""
        for number in range(9):
            self.attacker.send(
                self.node, "MESSAGE", "sip:nobody@example.com", from_uri=STRANGER, call_id=f"n-{number}"
            )
        self.assertEqual(self.attacker.took(), [404] * 9)
