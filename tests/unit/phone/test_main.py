"""The phone in a terminal: what it takes, what it prints, and how it ends."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock, LoopingCall
from twisted.trial.unittest import SynchronousTestCase

from voipcluster.address import Hop
from voipcluster.errors import UsageError
from voipcluster.phone import __main__ as phone_main
from voipcluster.phone.phone_call import RegistrationRefused

ADDRESSES = phone_main.addresses


class FakeReactor(Clock):
    """Runs what was to be done when it runs, until it is told to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.begin: list[Callable[[], object]] = []
        self.at_shutdown: list[Callable[[], object]] = []
        self.seconds_run = 0
        self.stopped = False

    def callWhenRunning(self, begin: Callable[..., object], *arguments: object) -> None:
        self.begin.append(lambda: begin(*arguments))

    def addSystemEventTrigger(self, phase: str, event: str, call: Callable[[], object]) -> None:
        assert (phase, event) == ("before", "shutdown")
        self.at_shutdown.append(call)

    def run(self) -> None:
        for begin in self.begin:
            begin()
        while not self.stopped and self.seconds_run < 60:
            self.advance(1.0)
            self.seconds_run += 1
        for call in self.at_shutdown:
            call()

    def stop(self) -> None:
        self.stopped = True


class FakeCall:
    heard_hz: int | None = 700
    packets_received, packets_sent = 50, 49
    status, reason, caller = 200, "OK", "bob@example.com"

    def __init__(self) -> None:
        self.waiting: list[Deferred[FakeCall]] = []
        self.hung_up = 0
        self.answers_bye = True

    def when_ended(self) -> Deferred[FakeCall]:
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def hang_up(self) -> Deferred[FakeCall]:
        self.hung_up += 1
        if self.answers_bye:
            waiting, self.waiting = self.waiting, []
            for one in waiting:
                one.callback(self)
            return succeed(self)
        return self.when_ended()


class FakePhone:
    """@cvar made: the arguments of the last one; C{refused}: what registering fails with."""

    made: ClassVar[tuple[Any, ...]] = ()
    refused: ClassVar[Exception | None] = None
    stopped: ClassVar[int] = 0
    unregistered: ClassVar[int] = 0
    called: ClassVar[list[str]] = []
    made_call: ClassVar[FakeCall]
    rings: ClassVar[FakeCall | None] = None
    address = ("127.0.0.9", 5070)
    incoming: Callable[[FakeCall], None]
    registration_lost: Callable[[Exception, float], None]
    registered_again: Callable[[int], None]
    answers_bye: ClassVar[bool] = True
    loses: ClassVar[bool] = False

    def __init__(self, *arguments: Any, rtcp: bool) -> None:
        type(self).made = arguments
        assert rtcp, "people look at how their call sounds"
        self.calls: dict[str, FakeCall] = {}
        self.registered = 0

    async def register(self) -> int:
        if self.refused is not None:
            raise self.refused
        if self.rings is not None:
            self.incoming(self.rings)
        self.registered = 600
        if self.loses:
            self.registration_lost(RegistrationRefused(408, "No answer", answered=False), 17.4)
            self.registered_again(600)
        return 600

    async def unregister(self) -> None:
        type(self).unregistered += 1
        self.registered = 0

    async def call(self, to: str) -> FakeCall:
        self.called.append(to)
        self.calls["1"] = type(self).made_call = FakeCall()
        self.made_call.answers_bye = self.answers_bye
        return FakePhone.made_call

    def stop(self) -> Deferred[None]:
        type(self).stopped += 1
        return succeed(None)


class TerminalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.original = ADDRESSES
        self.reactor, self.out, self.err = FakeReactor(), io.StringIO(), io.StringIO()
        FakePhone.refused = FakePhone.rings = None
        FakePhone.stopped = FakePhone.unregistered = 0
        FakePhone.called = []
        self.patch(phone_main, "reactor", self.reactor)
        self.patch(phone_main, "Phone", FakePhone)
        self.patch(phone_main, "LoopingCall", self._looping)
        self.patch(phone_main.sys, "stdout", self.out)
        self.patch(phone_main.sys, "stderr", self.err)
        self.patch(phone_main.sys, "stdin", io.StringIO("pass word\n"))
        self.patch(phone_main, "stop_at_signals", lambda reactor: None)
        self.patch(phone_main, "addresses", lambda host, port: (host, "127.0.0.3"))

    def _looping(self, look: Callable[[], None]) -> LoopingCall:
        looping = LoopingCall(look)
        looping.clock = self.reactor
        return looping

    def run_phone(self, *arguments: str) -> int:
        return phone_main.main(["alice@example.com", "--proxy", "127.0.0.1", *arguments])

    def refused(self, *arguments: str) -> str:
        """The one line that tells what is wrong with the arguments; the status is 2 as for every command."""
        with self.assertRaises(SystemExit) as caught:
            phone_main.main(list(arguments))
        self.assertEqual(caught.exception.code, 2)
        return self.err.getvalue().splitlines()[-1]

    def test_a_call(self) -> None:
        """Registers, calls for so many seconds, says what it hears, and takes its contact back."""
        status = self.run_phone(
            "--call", "bob@example.com", "--seconds", "3", "--tone", "1200", "--transport", "tcp"
        )
        self.assertEqual(status, 0)
        said = self.out.getvalue().splitlines()
        self.assertEqual(said[0], "alice@example.com is registered for 600 s at 127.0.0.9:5070")
        self.assertEqual(said[1], "call to bob@example.com: hears 700 Hz, 50 packets in, 49 out")
        self.assertEqual(said[-1], "call to bob@example.com: ended, 200 OK")
        self.assertEqual(
            (FakePhone.called, FakePhone.unregistered, FakePhone.stopped), (["bob@example.com"], 1, 1)
        )
        self.assertEqual(
            FakePhone.made[1:],
            ("alice", "example.com", "pass word", Hop("TCP", "127.0.0.1", 5060), "127.0.0.3", "TCP", 1200),
        )
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_a_bye_without_answer(self) -> None:
        """It is waited for two seconds, and said; then the phone takes its leave."""
        self.patch(FakePhone, "answers_bye", False)
        self.assertEqual(self.run_phone("--call", "bob@example.com", "--seconds", "3"), 0)
        self.assertEqual(self.reactor.seconds_run, 5)
        self.assertIn("call to bob@example.com: nobody answers the BYE\n", self.out.getvalue())
        self.reactor.pump([1.0] * 3)
        self.assertEqual((FakePhone.unregistered, FakePhone.stopped), (1, 1))

    def test_the_registration_is_lost(self) -> None:
        """It says so, and when it has it again."""
        self.patch(FakePhone, "loses", True)
        self.reactor.callLater(1.0, self.reactor.stop)
        self.run_phone()
        self.assertEqual(
            self.out.getvalue().splitlines()[:2],
            [
                "alice@example.com is not registered: cannot register: No answer; next try in 17 s",
                "alice@example.com is registered again for 600 s",
            ],
        )

    def test_waiting_for_calls(self) -> None:
        """Without an address to call it stays, and shows each call that comes in until it is over."""
        FakePhone.rings = call = FakeCall()
        call.heard_hz = None
        self.reactor.callLater(2.5, call.hang_up)
        self.reactor.callLater(
            9.0, lambda: self.assertFalse(self.reactor.stopped, "it waits for the next one")
        )
        self.reactor.callLater(10.0, self.reactor.stop)  # Ctrl-C
        self.assertEqual(self.run_phone(), 130)
        said = self.out.getvalue().splitlines()
        self.assertEqual(said.count("call from bob@example.com: hears nothing, 50 packets in, 49 out"), 2)
        self.assertIn("call from bob@example.com: ended, 200 OK", said)
        self.assertEqual((FakePhone.called, FakePhone.unregistered, FakePhone.stopped), ([], 1, 1))

    def test_interrupted_in_a_call(self) -> None:
        """Ctrl-C in a call hangs up and unregisters, without a word about what broke off, and with the status of shells."""
        self.interrupted(answers_bye=True)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_interrupted_while_nobody_answers(self) -> None:
        """The same when the far end answers no BYE: it is waited for two seconds."""
        self.interrupted(answers_bye=False)

    def interrupted(self, answers_bye: bool) -> None:
        self.reactor.callLater(1.5, lambda: setattr(FakePhone.made_call, "answers_bye", answers_bye))
        self.reactor.callLater(2.5, self.reactor.stop)
        self.assertEqual(self.run_phone("--call", "bob@example.com"), 130)
        self.assertEqual(FakePhone.unregistered, int(answers_bye))
        self.reactor.pump([1.0] * 3)
        self.assertEqual(FakePhone.made_call.hung_up, 1)
        self.assertEqual((FakePhone.unregistered, FakePhone.stopped), (1, 1))
        self.assertEqual(self.err.getvalue(), "")

    def test_typed_password(self) -> None:
        """On a terminal the password is asked for and not shown; who gives up gets no traceback."""
        self.patch(phone_main.sys.stdin, "isatty", lambda: True)
        self.patch(phone_main, "getpass", lambda prompt: f"typed at {prompt!r}")
        self.reactor.callLater(1.0, self.reactor.stop)
        self.run_phone()
        self.assertEqual(FakePhone.made[3], "typed at 'password for alice@example.com: '")

        def interrupted(prompt: str) -> str:
            raise KeyboardInterrupt

        self.patch(phone_main, "getpass", interrupted)
        self.assertEqual((self.run_phone(), self.err.getvalue()), (130, "\n"))

    def test_a_refusal_is_one_line(self) -> None:
        """What goes wrong on purpose has no traceback; the status tells a script."""
        FakePhone.refused = UsageError("not registered: 403 Forbidden")
        self.assertEqual(self.run_phone(), 1)
        self.assertEqual(self.err.getvalue(), "phone: not registered: 403 Forbidden\n")
        self.assertTrue(self.reactor.stopped)

    def test_a_mistake_of_ours_has_a_traceback(self) -> None:
        """So that it can be reported."""
        FakePhone.refused = KeyError("oops")
        self.assertEqual(self.run_phone(), 1)
        self.assertIn("Traceback", self.err.getvalue())
        self.assertIn("KeyError", self.err.getvalue())

    def test_arguments(self) -> None:
        """IPv6 and ports are taken; each mistake is named."""
        self.reactor.callLater(1.0, self.reactor.stop)
        self.run_phone("--host", "127.0.0.9")
        self.assertEqual(FakePhone.made[4:], (Hop("UDP", "127.0.0.1", 5060), "127.0.0.9", "UDP", 1000))
        phone_main.main(["a@b@example.com", "--proxy", "[2001:db8::1]:5062"])
        self.assertEqual(FakePhone.made[1:3], ("a@b", "example.com"))
        self.assertEqual(FakePhone.made[4], Hop("UDP", "2001:db8::1", 5062))
        for tone in ("1001", "150", "3550"):
            self.assertIn("--tone is a multiple of 50", self.refused("a@b", "--proxy", "h", "--tone", tone))
        for seconds in ("-3", "0", "nan", "inf"):
            said = self.refused("a@b", "--proxy", "h", "--seconds", seconds)
            self.assertIn("--seconds is a number above 0", said)
        self.assertIn("USER@DOMAIN", self.refused("alice", "--proxy", "h"))
        self.assertIn("--proxy: not a port", self.refused("a@b", "--proxy", "h:99999"))
        self.assertIn("--proxy", self.refused("a@b"))

        def no_way(host: str, port: int) -> tuple[str, str]:
            raise OSError(errno.ENETUNREACH, "Network is unreachable")

        self.patch(phone_main, "addresses", no_way)
        self.assertIn(
            "--proxy: no way to 192.0.2.1: Network is unreachable",
            self.refused("a@b", "--proxy", "192.0.2.1"),
        )

    def test_own_address(self) -> None:
        """The way to a loopback address leaves from one; where there is no host of a name the system says so."""
        self.assertEqual(self.original("127.0.0.7", 5060), ("127.0.0.7", "127.0.0.1"))
        self.assertRaises(OSError, self.original, "no such host", 5060)
