"""
Answers of the DNS: remembered, asked for once at a time, and bounded in number and time.

Nothing in here waits or computes for long, whatever a server answers or leaves unanswered: calls that need another name, or
none, are not delayed by it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import define, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from voipcluster.net.dns_client import FAILED, NO_NAME, TIMED_OUT, DnsFailure, IDnsClient, Section
from voipcluster.sip.dns import MAX_ALIASES, Question, Record, follow

BUSY = "too many questions"
_FAILURE_TTL = 5.0  # seconds in which a question that failed is not asked again (RFC 2308 section 7)


@frozen
class DnsLimits:
    """
    @ivar timeout: seconds for one question, whatever the number of servers and of CNAMEs.
    @ivar queries: questions that are under way at the same time.
    @ivar cache: answers that are kept; C{max_ttl}, C{negative_ttl}: for how many seconds at most, with and without records.
    """

    timeout: float = 10.0
    queries: int = 200
    cache: int = 10_000
    max_ttl: float = 3600.0
    negative_ttl: float = 60.0


@frozen
class Answer:
    """C{failure}: L{NO_NAME}, L{TIMED_OUT}, L{FAILED}, L{BUSY}, or an empty string when the DNS answered."""

    records: tuple[Record, ...] = ()
    failure: str = ""


@define
class _Outstanding:
    waiting: list[Deferred[Answer]]
    deadline: IDelayedCall
    aliases: int = 0


class DnsResolver(Service):
    """
    @ivar results: how many questions ended how: C{answered}, or what L{Answer.failure} says.
    @ivar cache_hits: questions that were answered from memory.
    @ivar under_way: questions asked and not answered, those that nobody waits for any more included.
    """

    name: str | None = "resolver"
    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        client: IDnsClient,
        limits: DnsLimits = DnsLimits(),
    ) -> None:
        self._clock, self._client, self.limits = clock, client, limits
        self._cache: dict[Question, tuple[float, Answer]] = {}
        self._outstanding: dict[Question, _Outstanding] = {}
        self.results: Counter[str] = Counter()
        self.cache_hits = 0
        self.under_way = 0

    def startService(self) -> None:
        self._client.start()
        super().startService()

    def stopService(self) -> Deferred[Any]:
        """Whoever waits is told that it failed; fires when no socket and no timer is left."""
        if not self.running:
            return succeed(None)
        super().stopService()
        for question in list(self._outstanding):
            self._finish(question, Answer(failure=FAILED), 0.0)
        self.under_way = 0
        return self._client.stop()

    @property
    def cached(self) -> int:
        return len(self._cache)

    def lookup(self, question: Question) -> Deferred[Answer]:
        """
        The records that the DNS has for a question, CNAMEs followed.

        @return: has fired already when the answer is known; never fails.
        """
        known = self._cache.get(question)
        if known is not None:
            if known[0] > self._clock.seconds():
                self.cache_hits += 1
                return succeed(known[1])
            del self._cache[question]
        outstanding = self._outstanding.get(question)
        answered: Deferred[Answer] = Deferred()
        if outstanding is not None:
            outstanding.waiting.append(answered)
        elif not self.running:
            return succeed(Answer(failure=FAILED))
        elif self.under_way >= self.limits.queries:
            self.results[BUSY] += 1
            return succeed(Answer(failure=BUSY))
        else:
            deadline = self._clock.callLater(self.limits.timeout, self._too_late, question)
            self._outstanding[question] = _Outstanding([answered], deadline)
            self._ask(question, question)
        return answered

    def _ask(self, question: Question, onward: Question) -> None:
        """Ask for C{onward}, where the CNAMEs of C{question} have led."""
        self.under_way += 1
        asked = self._client.ask(onward, self.limits.timeout)
        asked.addBoth(self._arrived)
        asked.addCallback(self._answered, question, onward)
        asked.addErrback(self._failed, question)

    def _arrived(self, result: Any) -> Any:
        self.under_way -= 1
        return result

    def _answered(self, section: Section, question: Question, onward: Question) -> None:
        outstanding = self._outstanding.get(question)
        if outstanding is None:
            return  # too late
        limits = self.limits
        found = follow(onward, section.owned)
        if found.onward and outstanding.aliases < MAX_ALIASES:
            outstanding.aliases += 1
            self._ask(question, Question(found.onward, onward.kind))
        elif found.onward or found.looped:
            self._log.debug("{question}: the CNAMEs lead nowhere", question=str(question))
            self._end(question, FAILED, limits.negative_ttl)
        elif found.records:
            self.results["answered"] += 1
            self._finish(question, Answer(found.records), min(float(found.ttl), limits.max_ttl))
        else:
            self.results["answered"] += 1
            self._finish(question, Answer(), self._negative(section.negative_ttl))

    def _failed(self, failure: Failure, question: Question) -> None:
        error = failure.value
        if isinstance(error, DnsFailure):
            ttl = self._negative(error.ttl) if error.result == NO_NAME else _FAILURE_TTL
            self._end(question, error.result, ttl)
        else:
            # it could be decoded, but makes no sense
            self._log.debug("{question}: {reason}", question=str(question), reason=repr(error)[:200])
            self._end(question, FAILED, _FAILURE_TTL)

    def _too_late(self, question: Question) -> None:
        self._end(question, TIMED_OUT, _FAILURE_TTL)

    def _negative(self, ttl: int | None) -> float:
        return self.limits.negative_ttl if ttl is None else min(float(ttl), self.limits.negative_ttl)

    def _end(self, question: Question, result: str, ttl: float) -> None:
        if question in self._outstanding:
            self.results[result] += 1
            self._finish(question, Answer(failure=result), min(ttl, self.limits.negative_ttl))

    def _finish(self, question: Question, answer: Answer, ttl: float) -> None:
        outstanding = self._outstanding.pop(question)
        if outstanding.deadline.active():
            outstanding.deadline.cancel()
        if ttl > 0:
            if len(self._cache) >= self.limits.cache:
                del self._cache[next(iter(self._cache))]
            self._cache[question] = self._clock.seconds() + ttl, answer
        for waiting in outstanding.waiting:
            waiting.callback(answer)
