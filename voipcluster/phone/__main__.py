"""C{python -m voipcluster.phone}: one phone in a terminal; see F{docs/phone.md}."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import LoopingCall

from voipcluster.address import Hop, split_host_port
from voipcluster.errors import VoipclusterError
from voipcluster.phone import Phone, PhoneCall


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m voipcluster.phone",
        description="Register, answer calls or make one; the password is read from standard input.",
    )
    parser.add_argument("account", metavar="USER@DOMAIN")
    parser.add_argument("--proxy", required=True, metavar="ADDRESS[:PORT]", help="a node of the cluster")
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="own address (%(default)s)")
    parser.add_argument("--transport", choices=("udp", "tcp"), default="udp")
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
    if "@" not in arguments.account:
        parser.error("the account is USER@DOMAIN")
    try:
        arguments.hop = Hop(arguments.transport.upper(), *split_host_port(arguments.proxy, 5060))
    except ValueError as error:
        parser.error(f"--proxy: {error}")
    return arguments


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


async def _run(clock: Any, arguments: argparse.Namespace, password: str) -> None:
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
    )

    def incoming(call: PhoneCall) -> None:
        _show(call, f"call from {call.caller}")

    phone.incoming = incoming
    clock.addSystemEventTrigger("before", "shutdown", phone.stop)
    seconds = await phone.register()
    _say(f"{arguments.account} is registered for {seconds} s at {phone.address[0]}:{phone.address[1]}")
    if not arguments.call:
        await Deferred()  # until it is interrupted
    call = await phone.call(arguments.call)
    _show(call, f"call to {arguments.call}")
    clock.callLater(arguments.seconds, call.hang_up)
    await call.when_ended()
    await phone.unregister()


def main(given: list[str]) -> int:
    arguments = _arguments(given)
    password = sys.stdin.readline().rstrip("\r\n")
    clock: Any = reactor
    status = 0

    def failed(failure: Any) -> None:
        nonlocal status
        status = 1
        if failure.check(VoipclusterError):
            print(f"phone: {failure.getErrorMessage()}", file=sys.stderr, flush=True)
        else:
            failure.printTraceback(file=sys.stderr)

    def begin() -> None:
        running = ensureDeferred(_run(clock, arguments, password))
        running.addErrback(failed).addBoth(lambda _: clock.stop())

    clock.callWhenRunning(begin)
    clock.run()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
