"""
An application around a node, as docs/embedding.md has it: what a node cannot be told by its configuration.

C{python -m tests.conformance.embedded SECTION.KEY=VALUE...}
"""

from __future__ import annotations

import sys
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.logger import globalLogBeginner, textFileLogObserver
from zope.interface import implementer

from voipcluster.service import (
    CallOffer,
    ICallHook,
    NodeService,
    Refuse,
    Retarget,
    load_config,
    parse_set,
    parse_uri,
)

TIMER_C = (
    1.0  # seconds; the configuration takes nothing below the three minutes of RFC 3261 section 16.6 step 11
)


@implementer(ICallHook)
class Secretary:
    """
    Decides by the user that is called: C{forwarded} is always at carol, C{screened} is not to be called by mallory, whose
    calls go to voicemail if they are for C{answered}; and dave may call nobody outside.
    """

    def call_offered(self, offer: CallOffer) -> Refuse | Retarget | None:
        callee = parse_uri(offer.callee)
        caller = parse_uri(offer.caller).user
        if callee.user == "forwarded":
            return Retarget(f"sip:carol@{callee.host}")
        if caller == "mallory" and callee.user == "screened":
            return Refuse(603)
        if caller == "mallory" and callee.user == "answered":
            return Retarget(f"sip:voicemail@{callee.host}")
        if (
            offer.user is not None
            and offer.user.startswith("dave@")
            and offer.user.endswith(f"@{callee.host}")
        ):
            return None
        if offer.user is not None and offer.user.startswith("dave@"):
            return Refuse(403, "Not From This Phone")
        return None


async def main(reactor: Any, *settings: str) -> None:
    config = load_config(None, [parse_set(setting) for setting in settings], set())
    config = evolve(config, sip=evolve(config.sip, timer_c=TIMER_C))
    node = NodeService(reactor, config, hook=Secretary())
    reactor.addSystemEventTrigger("before", "shutdown", node.stopService)
    await node.startService()
    await Deferred()  # for ever: the reactor stops by a signal


if __name__ == "__main__":
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
    react(lambda reactor, *words: Deferred.fromCoroutine(main(reactor, *words)), sys.argv[1:])
