"""Who is served when many ask: the limits of L{voipcluster.sip.limits} with a clock, a log and the tokens of dialogs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address, ip_network

from twisted.logger import Logger

from voipcluster.address import Flow, source_of
from voipcluster.errors import ParseError, PeerError
from voipcluster.services.notices import Notices
from voipcluster.sip.limits import BANNED, BUSY, Ban, LimitSettings, RequestLimits
from voipcluster.sip.message import Request
from voipcluster.sip.strangers import HARD, Strangers, StrangerSettings
from voipcluster.sip.transaction.matching import ServerKey
from voipcluster.sip.uri import SipUri, parse_uri

SWEEP = 10.0  # seconds between two looks for what counts no more
# octets out for each one in, to who did not prove to be there (as RFC 9000 section 8.1 has it)
AMPLIFICATION = 3


class Limiting:
    """
    What the transaction layer asks before it takes a request, and what those who check passwords tell.

    @param trusted: networks that are never limited, as C{address/prefix}.
    @param nodes: the addresses of the cluster's nodes, which hand over what they have counted.
    @param in_dialog: whether a request carries a token of ours for its own dialog.
    @param aor_of: the address of record that a URI means here, or L{None}.
    @param strangers: what is left to them; C{load}: how much of the calls (else of the transactions) that count as workload
        1.0 there is; C{is_pending}: whether a server transaction waits for its final response.
    @ivar check: see L{RequestLimits.check}; asked for every request, so nothing stands between.
    @ivar reserves: whether calls and transactions are left for those who are known; else a stranger's INVITE need not be asked
        for by L{admit_stranger} and L{admit_call}.
    @ivar shunned: the sources that are banned; empty nearly always, so that asking it costs nothing.
    @ivar refused: how many requests were not served, by reason.
    """

    _log = Logger()

    def __init__(
        self,
        seconds: Callable[[], float],
        settings: LimitSettings = LimitSettings(),  # noqa: B008 - frozen
        trusted: Iterable[str] = (),
        nodes: Callable[[], Iterable[str]] = tuple,
        in_dialog: Callable[[Request], bool] = lambda request: False,
        aor_of: Callable[[SipUri], str | None] = lambda uri: None,
        strangers: StrangerSettings = StrangerSettings(),  # noqa: B008 - frozen
        load: Callable[[bool], float] = lambda calls: 0.0,
        is_pending: Callable[[ServerKey], bool] = lambda key: False,
    ) -> None:
        self.seconds = seconds
        self.notices = Notices(seconds, self._log)
        self._nodes, self.in_dialog, self._aor_of = nodes, in_dialog, aor_of
        self._limits = RequestLimits(settings, self.is_trusted, self._begun)
        self.check = self._limits.check
        self.shunned = self._limits.banned
        self.bans_begun = self._limits.bans_begun
        self.refused: Counter[str] = Counter()
        self._strangers, self._load = Strangers(strangers, is_pending), load
        self.use(settings, trusted, strangers)
        self._swept_at = seconds()

    def use(self, settings: LimitSettings, trusted: Iterable[str], strangers: StrangerSettings) -> None:
        """Limit by these from now on; bans that are in force go on."""
        self._limits.use(settings)
        self._networks = tuple(ip_network(text, strict=False) for text in trusted)
        self._strangers.settings = strangers
        self.reserves = strangers.share < HARD or strangers.unanswered_in_all > 0

    def is_trusted(self, host: str) -> bool:
        """Whether a source is never limited."""
        if host in self._nodes():
            return True
        if not self._networks:
            return False
        address = ip_address(host.partition("%")[0])
        return any(address in network for network in self._networks)

    def shuns(self, data: bytes, flow: Flow) -> bool:
        """
        Whether a message of a banned source can be dropped unread: a request that names no dialog of ours and ends none
        of its calls, and no user ever proved a password from there.
        """
        if data[:4] == b"SIP/" or data[:7] == b"CANCEL " or b";call=" in data:
            return False
        now = self.seconds()
        if not self._limits.shuns(flow.remote[0], now) or self._limits.is_proven(flow.remote):
            return False
        self.refused["banned"] += 1
        return True

    def refuses_from(self, host: str) -> bool:
        """Whether new connections of that source are refused."""
        return bool(self.shunned) and self._limits.shuns(host, self.seconds())

    def lets_in(self, verdict: int, request: Request, flow: Flow, known: bool) -> bool:
        """
        Whether a request is served all the same: of a known transaction or a dialog, or of a user who comes back to a NAT.

        @param verdict: what C{check} said, not L{voipcluster.sip.limits.ADMITTED}.
        """
        limits, remote = self._limits, flow.remote
        keeps = known or (request.has("route") and self.in_dialog(request))
        if not keeps and verdict == BANNED:
            keeps = self._returns(request, flow)
        if keeps and limits.reserve(remote, self.seconds()):
            return True
        self.refused["user" if verdict == BUSY else "banned"] += 1
        return False

    def _returns(self, request: Request, flow: Flow) -> bool:
        try:
            user = self._aor_of(parse_uri(request.from_uri))
        except ParseError:
            return False
        return user is not None and self._limits.returns(flow.remote, user)

    def retry_after(self, flow: Flow) -> int:
        """Whole seconds until who was refused may try again."""
        return int(self._limits.left(flow.remote, self.seconds())) + 1

    # -- strangers

    def admit_stranger(self, flow: Flow, invite: bool) -> None:
        """
        Ask before a request of somebody who proved no password is served or handed over.

        @raise PeerError: 503, what is left is for those whom we know, or too many requests of that address wait.
        """
        if self.is_known(flow):
            return
        if not self.may_hold_for_strangers():
            raise self._refused("strangers", "{who!r} gets 503: transactions are left for users", flow)
        waits = self._strangers
        if not (invite or waits.may_wait(source_of(flow.remote[0]))):
            raise self._refused("unanswered requests", "{who!r} has too many unanswered requests: 503", flow)
        if not waits.may_all_wait():
            raise self._refused(
                "strangers", "{who!r} gets 503: strangers have too many unanswered requests", flow
            )

    def admit_call(self, flow: Flow) -> None:
        """
        Ask before a call of somebody who proved no password is served here.

        @raise PeerError: 503, the places that are left are for those whom we know.
        """
        if not self._strangers.has_room(self._load(True)) and not self.is_known(flow):
            raise self._refused("strangers", "{who!r} gets 503: places for calls are left for users", flow)

    def _refused(self, reason: str, text: str, flow: Flow) -> PeerError:
        self.refused[reason] += 1
        self.notices.warn(reason, text, who=flow.remote[0])
        return PeerError(reason, 503)

    def stranger_waits(self, flow: Flow, key: ServerKey) -> None:
        """A request of somebody who proved no password is under way; the calls of one address are counted elsewhere."""
        if not self.is_known(flow):
            self._strangers.waits("" if key[-1] == "INVITE" else source_of(flow.remote[0]), key)

    def is_proven(self, flow: Flow) -> bool:
        """Whether a user proved a password from that address and port."""
        return self._limits.is_proven(flow.remote)

    def is_known(self, flow: Flow) -> bool:
        """Whether it is a trusted source, or a user proved a password on that flow."""
        return self._limits.is_proven(flow.remote) or self.is_trusted(flow.remote[0])

    def may_hold_for_strangers(self) -> bool:
        """Whether there are transactions for them."""
        return self._strangers.has_room(self._load(False))

    # -- passwords

    def source(self, flow: Flow) -> str:
        """
        Whom a nonce that goes there is good for. All who are trusted are one: of several proxies, the answer to a challenge may
        come through another one than the request did.
        """
        host = flow.remote[0]
        return "" if self.is_trusted(host) else source_of(host)

    def proved(self, flow: Flow, user: str) -> None:
        """C{user@domain} authenticated on that flow."""
        self._limits.proved(flow.remote, user, self.seconds())

    def failed(self, flow: Flow, user: str) -> None:
        """A wrong password, or a user that does not exist: there is no difference."""
        self._limits.failed(flow.remote, user, self.seconds())

    def may_try(self, flow: Flow, user: str) -> bool:
        """Whether credentials of that user from there are looked at."""
        if self._limits.may_try(flow.remote, user, self.seconds()):
            return True
        self.refused["password"] += 1
        return False

    def number_refused(self, flow: Flow) -> None:
        """
        Who is there called a number that he may not call. What strangers send over UDP does not count: its source may be forged.
        """
        if flow.reliable or self._limits.is_proven(flow.remote):
            self._limits.refused_number(flow.remote, self.seconds())

    def registration_refused(self) -> None:
        """There are as many registrations as there may be."""
        self.refused["registrations"] += 1
        self.notices.warn("registrations", "too many registrations: one more user gets 503")

    def media_ports_refused(self, error: PeerError) -> None:
        """A call would have had more ports of the relay than whoever makes it may hold."""
        self.refused["media ports"] += 1
        self.notices.warn("media ports", "{why}: 503", why=str(error))

    # -- for the operator

    def bans(self) -> Iterator[Ban]:
        """All bans in force."""
        return self._limits.bans(self.seconds())

    def lift(self, who: str) -> bool:
        """End a ban named as L{bans} names it; whether there was one."""
        return self._limits.lift(who)

    @property
    def remembered(self) -> int:
        return self._limits.remembered

    def tick(self) -> None:
        """To be called now and then."""
        now = self.seconds()
        if now - self._swept_at >= SWEEP:
            self._swept_at = now
            self._limits.sweep(now)
            self._strangers.sweep()

    def _begun(self, ban: Ban) -> None:
        self.notices.warn(
            "ban",
            "{who!r} is banned for {left:.0f} s: {reason}",
            who=ban.who,
            left=ban.left,
            reason=ban.reason,
        )
