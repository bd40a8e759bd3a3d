"""C{python -m voipcluster.phone}: one phone in a terminal; see C{docs/phone.md}."""

from __future__ import annotations

import argparse
import math
import socket
import sys
from getpass import getpass
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredList, TimeoutError, ensureDeferred, maybeDeferred
from twisted.internet.task import LoopingCall

from voipcluster.address import Hop, is_ip, split_host_port
from voipcluster.errors import VoipclusterError
from voipcluster.phone import Phone, PhoneCall
from voipcluster.phone.interrupt import stop_at_signals
from voipcluster.phone.phone_call import RegistrationRefused

PATIENCE = (
    2.0  # seconds for the other side to answer our BYE, and for the registrar, when the user wants to stop
)
INTERRUPTED = 130  # the status that shells give a program ended by Ctrl-C


def addresses(host: str, port: int) -> tuple[str, str]:
    """
    The address of a host, and that of ours from which packets go there; nothing but a DNS question is sent.

    @raise OSError: there is no such host, or no way to it.
    """
    family, kind, _, _, remote = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as probe:
        probe.connect(remote)
        return str(remote[0]), str(probe.getsockname()[0])


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m voipcluster.phone",
        description="Register, answer calls or make one; the password is asked for, or read from standard input.",
    )
    parser.add_argument("account", metavar="USER@DOMAIN")
    parser.add_argument("--proxy", required=True, metavar="ADDRESS[:PORT]", help="a node of the cluster")
    parser.add_argument(
        "--host", metavar="ADDRESS", help="own address (the one that packets to the proxy leave from)"
    )
    parser.add_argument("--transport", choices=("udp", "tcp"), default="udp", help="of SIP (%(default)s)")
    parser.add_argument(
        "--tone", type=int, default=1000, metavar="HZ", help="what it sends, a multiple of 50 (%(default)s)"
    )
    parser.add_argument(
        "--call", metavar="USER@DOMAIN", help="call this address instead of waiting for calls"
    )
    parser.add_argument(
        "--seconds", type=float, default=10.0, metavar="N", help="length of that call (%(default)s)"
    )
    arguments = parser.parse_args(given)
    if arguments.tone % 50 or not 200 <= arguments.tone <= 3500:
        parser.error("--tone is a multiple of 50 from 200 to 3500")
    if not 0 < arguments.seconds < math.inf:  # nor is it "nan"
        parser.error("--seconds is a number above 0")
    if "@" not in arguments.account:
        parser.error("the account is USER@DOMAIN")
    try:
        host, port = split_host_port(arguments.proxy, 5060)
        if arguments.host is None or not is_ip(host):
            host, own = addresses(host, port)
            arguments.host = arguments.host or own
    except ValueError as error:
        parser.error(f"--proxy: {error}")
    except OSError as error:
        parser.error(f"--proxy: no way to {host}: {error.strerror or error}")
    arguments.hop = Hop(arguments.transport.upper(), host, port)
    return arguments


def _password(account: str) -> str:
    if sys.stdin.isatty():
        return getpass(f"password for {account}: ")
    return sys.stdin.readline().rstrip("\r\n")


def _say(text: str) -> None:
    print(text, flush=True)


def _show(call: PhoneCall, other: str) -> None:
    """Print what is heard, a line a second, until the call is over."""

    def look() -> None:
        heard = "nothing" if call.heard_hz is None else f"{call.heard_hz} Hz"
        _say(f"{other}: hears {heard}, {call.packets_received} packets in, {call.packets_sent} out")

    looking = LoopingCall(look)
    looking.start(1.0, now=False)

    def over(ended: PhoneCall) -> None:
        looking.stop()
        _say(f"{other}: ended, {ended.status} {ended.reason}")

    call.when_ended().addCallback(over)


def _phone(clock: Any, arguments: argparse.Namespace, password: str) -> Phone:
    user, _, domain = arguments.account.rpartition("@")
    phone = Phone(
        clock,
        user,
        domain,
        password,
        arguments.hop,
        arguments.host,
        arguments.transport.upper(),
        arguments.tone,
        rtcp=True,
    )

    def incoming(call: PhoneCall) -> None:
        _show(call, f"call from {call.caller}")

    def lost(why: RegistrationRefused, again: float) -> None:
        _say(f"{arguments.account} is not registered: {why}; next try in {again:.0f} s")

    def registered_again(seconds: int) -> None:
        _say(f"{arguments.account} is registered again for {seconds} s")

    phone.incoming = incoming
    phone.registration_lost, phone.registered_again = lost, registered_again
    return phone


async def _run(clock: Any, arguments: argparse.Namespace, phone: Phone) -> None:
    seconds = await phone.register()
    _say(f"{arguments.account} is registered for {seconds} s at {phone.address[0]}:{phone.address[1]}")
    if not arguments.call:
        await Deferred()  # until it is interrupted
    call = await phone.call(arguments.call)
    _show(call, f"call to {arguments.call}")
    hanging_up = clock.callLater(arguments.seconds, call.hang_up)
    ended = call.when_ended()
    try:
        await ended.addTimeout(arguments.seconds + PATIENCE, clock)
    except TimeoutError:
        _say(f"call to {arguments.call}: nobody answers the BYE")
        return  # what is left to do is done as after an interrupt
    finally:
        if hanging_up.active():
            hanging_up.cancel()
    await phone.unregister()


async def _leave(clock: Any, phone: Phone) -> None:
    """Take leave as a phone that its user switches off: hang up, then unregister; nobody is waited for for long."""
    ending = [call.hang_up() for call in phone.calls.values()]
    await DeferredList(ending, consumeErrors=True).addTimeout(PATIENCE, clock, lambda result, timeout: None)
    if phone.registered:
        leaving = maybeDeferred(phone.unregister).addTimeout(PATIENCE, clock)
        await leaving.addErrback(lambda failure: None)  # it is gone: so is the registration, when it expires
    await phone.stop()


def main(given: list[str]) -> int:
    arguments = _arguments(given)
    try:
        password = _password(arguments.account)
    except (EOFError, KeyboardInterrupt):
        print(file=sys.stderr)  # the shell's prompt on a line of its own
        return INTERRUPTED
    clock: Any = reactor
    phone = _phone(clock, arguments, password)
    status = INTERRUPTED  # until it ends by itself
    running: Deferred[None] | None = None

    def done(_: None) -> None:
        nonlocal status
        status = 0
        clock.stop()

    def failed(failure: Any) -> None:
        nonlocal status
        if running is None:
            return  # what was under way when the user stopped it
        status = 1
        if failure.check(VoipclusterError):
            print(f"phone: {failure.getErrorMessage()}", file=sys.stderr, flush=True)
        else:
            failure.printTraceback(file=sys.stderr)
        clock.stop()

    def begin() -> None:
        nonlocal running
        running = ensureDeferred(_run(clock, arguments, phone))
        running.addCallbacks(done, failed)

    def end() -> Deferred[None]:
        nonlocal running
        under_way, running = running, None
        if under_way is not None:
            under_way.cancel()
        return ensureDeferred(_leave(clock, phone))

    clock.addSystemEventTrigger("before", "shutdown", end)
    clock.callWhenRunning(stop_at_signals, clock)
    clock.callWhenRunning(begin)
    clock.run()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
