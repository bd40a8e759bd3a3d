"""
Calls that this node ends in the place of both parties (3GPP TS 24.229 section 5.2.8.1.2).

A proxy is no party of a dialog, and sends no BYE because somebody is silent: he may only sleep (docs/calls.md). Here both have
agreed on media that cannot pass through this node, and neither of them knows: they would stay in a call with nothing to hear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from attrs import frozen
from twisted.logger import Logger

from voipcluster.address import SECURE, Flow
from voipcluster.errors import ParseError, PeerError, TransportError, UsageError
from voipcluster.net.timers import Timer
from voipcluster.services.gateway.asking import Asking
from voipcluster.services.media.relay import CallKey
from voipcluster.services.sip.calls import Call, CallTable
from voipcluster.services.sip.challenged_branch import Credentials
from voipcluster.services.sip.core import SipCore
from voipcluster.services.sip.dialogs import Dialogs
from voipcluster.services.sip.next_hop import NameToResolve, strict_or_loose
from voipcluster.sip.challenges import Challenged
from voipcluster.sip.message import Request, Response
from voipcluster.sip.outgoing import build_request

NOT_RELAYED = "not relayed"  # why such a call has ended

# Behind all numbers that a party may have used: a lower one is refused (RFC 3261 section 12.2.2), gaps are allowed, and nothing
# of the dialog comes behind a BYE. Some are left for challenges.
_CSEQ = (1 << 31) - 16
_PATIENCE = 4.0  # seconds of silence of one server of a name after which the next one is asked, too


class Way(NamedTuple):
    """
    How a party is reached: its Contact, the Route values behind ours (RFC 3261 section 12.2.1.1), and the call token of ours.
    """

    uri: str
    routes: Sequence[str]
    token: str


@frozen
class Ending:
    """
    A dialog that is to end.

    @ivar caller: and C{callee}: each as in From or To, with its tag; C{callee_tag}: that one alone.
    @ivar status: what it would be as a response, C{why} in words.
    """

    key: CallKey
    callee_tag: str
    caller: str
    callee: str
    to_caller: Way
    to_callee: Way
    status: int
    why: str


class Releasing:
    """
    @ivar identity: who we are towards a gateway, by its name; L{None}: it gets no password of ours.
    """

    _log = Logger()

    def __init__(self, core: SipCore, dialogs: Dialogs, calls: CallTable) -> None:
        self._core = core
        self._dialogs = dialogs
        self._calls = calls
        self._due: dict[tuple[CallKey, str], tuple[Ending, Timer]] = {}
        self.identity: Callable[[str], Credentials | None] = lambda gateway: None

    def when_acknowledged(self, ending: Ending) -> None:
        """
        End a dialog behind the ACK for its 2xx: the callee may not hang up before (RFC 3261 section 15), and waits for it.

        When none comes it has given up by 64*T1 (section 13.3.1.4), and so do we.
        """
        name = ending.key, ending.callee_tag
        if name not in self._due:  # else it is a copy of the 2xx
            self._calls.any_noted = True
            wait = 64 * self._core.transactions.durations.t1
            self._due[name] = ending, self._core.wheel.start(wait, self.acknowledged, *name)

    def acknowledged(self, key: CallKey, callee_tag: str) -> None:
        """An ACK of that dialog has gone on."""
        ending, timer = self._due.pop((key, callee_tag), (None, None))
        if ending is not None and timer is not None:
            timer.cancel()
            self.end(ending)

    def end(self, ending: Ending) -> None:
        """BYE to both parties, each in the name of the other one; nothing when one of them has hung up already."""
        call = self._calls.get(ending.key)
        if call is None or ending.callee_tag not in call.legs:
            return
        for to_callee in (True, False):
            _Bye(self, self._core, self._dialogs, ending, to_callee, call.proves_to).send()
        if call.leg_over(ending.callee_tag):
            self._calls.end(ending.key, NOT_RELAYED, ending.why)
        else:
            self._calls.settled(ending.key)

    def forget(self, call: Call, why: str) -> None:
        """Nobody knows how to reach the parties: only what this node holds of the call is over."""
        self._core.wheel.start(0.0, self._calls.end, call.key, NOT_RELAYED, why)


class _Bye:
    """One of the two."""

    _log = Logger()

    def __init__(
        self, owner: Releasing, core: SipCore, dialogs: Dialogs, ending: Ending, to_callee: bool, gateway: str
    ) -> None:
        self._owner, self._core, self._dialogs, self._ending = owner, core, dialogs, ending
        self._to_callee, self._gateway = to_callee, gateway
        self._uri, self._routes = "", list[str]()
        self._challenged: Challenged | None = None

    def send(self) -> None:
        ending, core = self._ending, self._core
        way = ending.to_callee if self._to_callee else ending.to_caller
        try:
            target, _ = self._dialogs.target_in_dialog(self._request(""), way.uri, way.token)
            along = [*target.routes, *way.routes]
            self._uri, self._routes, next_hop = strict_or_loose(target.uri, along)
        except PeerError as error:
            self._failed(str(error))
            return
        asking = Asking(core, "BYE", self._made, _PATIENCE, self._done)
        try:
            flow = target.flow if target.flow is not None and not along else core.flow_towards(next_hop)
        except NameToResolve:
            asking.begin(next_hop, ending.key.call_id)
        except TransportError as error:
            self._failed(str(error))
        else:
            asking.begin_over(flow)

    def _made(self, flow: Flow, via: str) -> Request:
        if self._uri[3:4] in "sS" and flow.transport not in SECURE:  # with "sip:" there is a colon
            raise TransportError("a sips URI is not sent to in the clear")  # RFC 3261 section 26.2.2
        return self._request(via)

    def _request(self, via: str) -> Request:
        ending, challenged = self._ending, self._challenged
        sender, receiver = ending.caller, ending.callee
        if not self._to_callee:
            sender, receiver = receiver, sender
        number = _CSEQ if challenged is None else _CSEQ + challenged.count
        headers = [
            ("Via", via),
            ("Max-Forwards", "70"),
            *(("Route", route) for route in self._routes),
            ("From", sender),
            ("To", receiver),
            ("Call-ID", ending.key.call_id),
            ("CSeq", f"{number} BYE"),
            ("Reason", f'SIP;cause={ending.status};text="{_safe(ending.why)}"'),  # RFC 3326
            *(() if challenged is None else challenged.headers),
        ]
        return build_request("BYE", self._uri, headers)

    def _done(self, response: Response | None, why: str) -> None:
        """Whatever is answered, the dialog is over (RFC 3261 section 15.1.1), but for a challenge of a gateway."""
        if response is None:
            self._failed(why)
        elif response.status in (401, 407):
            if self._meets(response):
                self.send()
            else:
                self._failed(f"it is challenged: {response.status}")

    def _meets(self, response: Response) -> bool:
        credentials = self._owner.identity(self._gateway) if self._to_callee and self._gateway else None
        if credentials is None:
            return False
        try:
            if self._challenged is None:
                self._challenged = Challenged(credentials())
            return self._challenged.meets(response, "BYE", self._uri, self._core.octets(8).hex())
        except (UsageError, ParseError):
            return False

    def _failed(self, why: str) -> None:
        self._log.info(
            "call {call}: the BYE to its {party} came to nothing: {why}",
            call=self._ending.key.call_id,
            party="callee" if self._to_callee else "caller",
            why=why,
        )


def _safe(text: str) -> str:
    """Our own words as they may stand in a quoted string (RFC 3261 section 25.1)."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in text)[:120]
