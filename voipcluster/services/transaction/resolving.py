"""Names in URIs to servers (RFC 3263): the machine of L{voipcluster.sip.resolution} over the DNS, and dead servers last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from voipcluster.address import Hop
from voipcluster.errors import TransportError
from voipcluster.net.resolver import Answer, DnsResolver
from voipcluster.services.notices import Notices
from voipcluster.sip.dns import Question
from voipcluster.sip.penalties import Penalties
from voipcluster.sip.resolution import Answered, Ask, Effect, Resolution, Resolved, Server, draws
from voipcluster.sip.uri import SipUri

SILENT, REFUSED, UNAVAILABLE = "silent", "refused", "503"
_TROUBLES = 1024  # names of which is remembered what was logged of them
_REPORT = 10.0  # seconds between two lines about servers that do not serve


class Resolving:
    """
    @param secret: nobody else can tell which server of a set a Call-ID leads to.
    @param transports: gives those that requests can be sent over, C{families} the kinds of address record; preferred first.
    @param next_after: seconds of silence after which an INVITE goes to the next server, 0.0: Timer B says it.
    @ivar failures: how often servers failed, by L{SILENT}, L{REFUSED} and L{UNAVAILABLE}; C{unresolved}: names without servers.
    """

    _log = Logger()

    def __init__(
        self,
        resolver: DnsResolver,
        penalties: Penalties,
        seconds: Callable[[], float],
        secret: bytes,
        transports: Callable[[], Sequence[str]],
        families: Callable[[], Sequence[str]],
        next_after: float = 5.0,
    ) -> None:
        self._resolver, self.penalties, self._seconds, self._secret = resolver, penalties, seconds, secret
        self._transports, self._families = transports, families
        self.next_after = next_after
        self.failures: Counter[str] = Counter()
        self.unresolved = 0
        self._notices = Notices(seconds, self._log)
        self._troubles: dict[str, str] = {}  # by name: what the log has said, until it leads somewhere
        self._quiet_until, self._unlogged = 0.0, 0

    def servers_of(self, uri: SipUri, call_id: str) -> Deferred[list[Server]]:
        """
        The servers that a URI leads to, in the order of trying.

        The same Call-ID gives the same order, so that an ACK, which has no state, finds the server of its INVITE (section 4.3).

        @return: has fired already when all answers are known; fails with L{TransportError} when there is no server.
        """
        rand = draws(self._secret + call_id.encode("utf-8", "surrogateescape"))
        run = _Run(self._resolver, Resolution(uri, self._transports(), self._families(), rand))
        return run.servers.addCallback(self._ordered, uri, run)

    def _ordered(self, servers: Sequence[Server], uri: SipUri, run: _Run) -> list[Server]:
        if servers:
            if self._troubles:
                self._troubles.pop(uri.param("maddr") or uri.host, None)
            return self.order(servers)
        self.unresolved += 1
        name = uri.param("maddr") or uri.host
        why = ", ".join(run.failures) or "the DNS has no server of it that this node can reach"
        self._tell(name, why)
        raise TransportError(f"{name} cannot be resolved: {why}")

    def _tell(self, name: str, why: str) -> None:
        """Log it once of each name: that of a gateway is asked for every few seconds."""
        if self._troubles.get(name) == why:
            return
        if len(self._troubles) >= _TROUBLES:
            del self._troubles[next(iter(self._troubles))]
        self._troubles[name] = why
        self._notices.info("names", "{name} cannot be resolved: {why}", name=repr(name), why=why)

    def order(self, servers: Sequence[Server]) -> list[Server]:
        """The same servers, those last that failed lately."""
        return self.penalties.order(servers, self._seconds())

    def failed(self, server: Server, why: str, retry_after: float = 0.0) -> None:
        """A server took nothing: it is tried last for a while. C{retry_after}: seconds, as it asked for itself."""
        now = self._seconds()
        self.failures[why] += 1
        seconds = self.penalties.failed(server.hop, now, retry_after)
        if not seconds:
            return
        if now < self._quiet_until:
            self._unlogged += 1
            return
        self._log.warn(
            "{hop} of {domain} is tried last for {seconds:.0f} s: {why} ({more} more servers since the last such line)",
            hop=str(server.hop), domain=server.domain, seconds=seconds, why=why, more=self._unlogged,
        )  # fmt: skip
        self._quiet_until, self._unlogged = now + _REPORT, 0

    def answered(self, hop: Hop) -> None:
        self.penalties.answered(hop)

    @property
    def dead_hops(self) -> int:
        return self.penalties.count(self._seconds())


class _Run:
    """One machine being fed."""

    def __init__(self, resolver: DnsResolver, machine: Resolution) -> None:
        self._resolver, self._machine = resolver, machine
        self.servers: Deferred[Sequence[Server]] = Deferred()
        self.failures: list[str] = []
        self._carry_out(machine.start())

    def _carry_out(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Ask(question):
                    answer = self._resolver.lookup(question)
                    answer.addCallback(self._answered, question).addErrback(self.servers.errback)
                case Resolved(servers):
                    self.servers.callback(servers)

    def _answered(self, answer: Answer, question: Question) -> None:
        if answer.failure:
            self.failures.append(f"{question} {answer.failure}")
        self._carry_out(self._machine.feed(Answered(question, answer.records)))
