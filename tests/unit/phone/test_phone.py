"""Tests of the phone around its user agent: sockets, timers and audio are fakes, messages are carried by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.phone.test_media import FakeUdp
from voipcluster.address import UDP, Flow, Hop
from voipcluster.errors import TransportError
from voipcluster.phone import CallFailed, Phone, PhoneCall, RegistrationRefused

NODE = ("192.0.2.1", 5060)


class FakeReactor(Clock, FakeUdp):
    def __init__(self) -> None:
        Clock.__init__(self)
        FakeUdp.__init__(self)


class FakeTransport:
    """Hands what is sent to whoever is at that address."""

    def __init__(self, net: Net, phone: Phone, address: tuple[str, int]) -> None:
        self._net, self._phone, self._address = net, phone, address
        self.running, self.broken = False, False
        self.kept: list[float] = []

    def startService(self) -> None:
        self.running = True

    def stopService(self) -> Deferred[None]:
        self.running = False
        return succeed(None)

    def local_addresses(self) -> list[tuple[str, int]]:
        return [self._address]

    def flow_to(self, hop: Hop) -> Flow:
        if self.broken:
            raise TransportError("no way there")
        return Flow(UDP, self._address, (hop.host, hop.port))

    def keep(self, flow: Flow, seconds: float) -> None:
        self.kept.append(seconds)

    def send(self, data: bytes, flow: Flow, failed: Callable[[TransportError], None]) -> None:
        self._net.wire.append((data, self._address, flow.remote))


class Net:
    """Two phones that have each other as proxy."""

    def __init__(self, case: SynchronousTestCase, **options: Any) -> None:
        self.reactor = FakeReactor()
        self.wire: list[tuple[bytes, tuple[str, int], tuple[str, int]]] = []
        self.phones: dict[tuple[str, int], Phone] = {}
        alice, bob = ("192.0.2.10", 5060), ("192.0.2.20", 5060)
        self.alice = self.phone("alice", alice, bob)
        self.bob = self.phone("bob", bob, alice, **options)

    def phone(self, user: str, where: tuple[str, int], proxy: tuple[str, int], **options: Any) -> Phone:
        made = Phone(self.reactor, user, "example.com", "secret", Hop(UDP, *proxy), where[0], **options)
        made.transport = FakeTransport(self, made, where)  # instead of sockets
        made.start()
        self.phones[where] = made
        return made

    def deliver(self) -> list[str]:
        """Carry all that is on the wire, and what comes of it; gives the start lines."""
        seen = []
        while self.wire:
            data, source, to = self.wire.pop(0)
            seen.append(data.split(b"\r\n")[0].decode())
            if to in self.phones:
                self.phones[to].bytes_received(data, Flow(UDP, to, source))
        return seen

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.02)):
            self.reactor.advance(0.02)
            self.deliver()


class PhoneTests(SynchronousTestCase):
    def up(self, **options: Any) -> tuple[Net, PhoneCall, PhoneCall]:
        net = Net(self, **options)
        calls: list[PhoneCall] = []
        net.bob.incoming = calls.append
        waiting = net.alice.call("bob@example.com")
        net.run(0.1)
        return net, self.successResultOf(waiting), calls[0]

    def end(self, net: Net) -> None:
        for phone in net.phones.values():
            self.successResultOf(phone.stop())
        self.assertEqual(net.reactor.getDelayedCalls(), [])
        self.assertFalse(any(port.open for port in net.reactor.ports))

    def test_call(self) -> None:
        """A call is answered, its audio aimed at each other, and ended by BYE; nothing is left of it."""
        net, ours, theirs = self.up()
        self.assertEqual(
            (ours.remote_media, theirs.remote_media), (theirs.stream.address, ours.stream.address)
        )
        self.assertEqual(
            (ours.up, ours.outgoing, theirs.outgoing, theirs.caller),
            (True, True, False, "sip:alice@example.com"),
        )
        over = theirs.when_ended()
        ours.hang_up()
        net.run(0.1)
        self.assertIs(self.successResultOf(over), theirs)
        self.assertEqual((ours.status, theirs.status, net.alice.calls, net.bob.calls), (200, 200, {}, {}))
        self.end(net)

    def test_answer_by_hand(self) -> None:
        """One that answers when it is told rings until then, and may refuse instead."""
        for act, status in ((Phone.accept, 0), (Phone.reject, 486)):
            net = Net(self, answer_after=None)
            waiting = net.alice.call("sip:bob@example.com")
            net.run(1.0)
            [ours] = net.alice.calls.values()
            [theirs] = net.bob.calls.values()
            self.assertTrue(ours.ringing)
            self.assertNoResult(waiting)
            act(net.bob, theirs)
            net.run(0.1)
            if status:
                self.assertEqual(self.failureResultOf(waiting, CallFailed).value.status, status)
            else:
                self.assertIs(self.successResultOf(waiting), ours)
            act(net.bob, theirs)  # harmless
            self.end(net)

    def test_busy(self) -> None:
        """A phone takes as many calls as it has capacity; the next one gets 486."""
        net, _, _ = self.up()
        second = net.alice.call("bob@example.com")
        net.run(0.1)
        self.assertEqual(self.failureResultOf(second, CallFailed).value.status, 486)
        self.assertEqual(len(net.bob.calls), 1)
        self.end(net)

    def test_cancelled(self) -> None:
        """Who gives up waiting hangs up: the far phone stops ringing."""
        net = Net(self, answer_after=None)
        waiting = net.alice.call("bob@example.com")
        net.run(0.1)
        waiting.cancel()
        self.failureResultOf(waiting)
        net.run(0.1)
        self.assertEqual((net.alice.calls, net.bob.calls), ({}, {}))
        self.end(net)

    def test_stopped(self) -> None:
        """A phone that loses its power forgets its calls, and says nothing to anybody."""
        net, ours, _ = self.up()
        registering = net.alice.register()
        net.wire.clear()
        self.successResultOf(net.alice.stop())
        self.assertEqual((ours.status, ours.reason, net.wire), (503, "the phone was stopped", []))
        refused = self.failureResultOf(registering, RegistrationRefused).value
        self.assertEqual(str(refused), "cannot register: the phone was stopped")
        net.phones.clear()
        self.successResultOf(net.bob.stop())

    def test_no_way_to_the_proxy(self) -> None:
        """What cannot be sent fails at once, not after half a minute."""
        net = Net(self)
        net.alice.transport.broken = True
        waiting = net.alice.call("bob@example.com")
        net.run(0.1)
        self.assertIn("no way there", str(self.failureResultOf(waiting, CallFailed).value))
        self.end(net)

    def test_nonsense(self) -> None:
        """What is no SIP is logged, and changes nothing."""
        net, ours, _ = self.up()
        net.alice.bytes_received(b"\r\nnonsense\r\n\r\n", Flow(UDP, ("192.0.2.10", 5060), NODE))
        net.run(0.1)
        self.assertFalse(ours.over)
        self.end(net)

    def test_reports(self) -> None:
        """With rtcp it takes a pair of ports a call, and tells who it is."""
        net, ours, _ = self.up(rtcp=True)
        numbers = [port.getHost().port for port in net.reactor.ports]
        self.assertEqual(len(numbers), 3)  # alice's one, bob's two
        self.assertIn(ours.remote_media[1] + 1, numbers)
        net.run(4.0)
        [control] = [port for port in net.reactor.ports if port.getHost().port % 2]
        self.assertIn(b"bob@192.0.2.20", control.written[0][0])
        self.end(net)
