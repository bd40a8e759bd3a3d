"""
The node's copy follows the shared database.

The database says when something has changed (LISTEN/NOTIFY), so a change is here within a moment; besides, it is asked every
L{POLL} seconds, since a notification is lost with its connection, and one that hangs says nothing. When it is gone the node goes
on with its copy, and reads everything anew once it is back.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Interface

from voipcluster.balance.messages import StoredGateway
from voipcluster.errors import VoipclusterError

POLL = 5.0  # s
GATHER = 0.02  # s after a notification, since many come together
FIRST_RETRY, LAST_RETRY = 0.5, 15.0  # s; doubled at each failure
BATCH = 200  # values that are stored at once
MOST_FAULTS = 20  # that are told; the others are counted

_NAMES = {"account": "user", "gateway": "gateway", "address": "address"}


class IDirectoryUser(Interface):
    """What the node does with what the database says."""

    def known() -> Any:
        """The versions of what the node has, as L{Known <voipcluster.store.directory.Known>}, which nobody changes."""

    def gateway_faults(gateways: Sequence[StoredGateway]) -> Mapping[str, str]:
        """Why some of these cannot be gateways here, by name, when all the others of them change with them."""

    def adopt(kind: str, values: Sequence[Any]) -> Deferred[None]:
        """Keep values that are newer."""

    def is_behind(keys: Sequence[tuple[str, Any]]) -> object:
        """The database has these, kind and key, older than we do, or not at all."""

    def is_back() -> object:
        """The database can be reached, also for what waits for it."""


class DirectoryFollower:
    """
    @param directory: a L{SharedDirectory <voipcluster.store.directory.SharedDirectory>}.
    @param listener: a L{ChangeListener <voipcluster.services.directory.listening.ChangeListener>}.
    @param user: provides L{IDirectoryUser}.
    @ivar trouble: why the database cannot be reached; empty while it can. Before the first answer it is C{not asked yet}.
    @ivar faults: what is wrong with rows that are passed over, by kind and key.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, directory: Any, listener: Any, user: Any) -> None:
        self._clock, self._directory, self._listener, self._user = clock, directory, listener, user
        listener.changed, listener.lost = self._changed, self._lost
        self._floor: int | None = None
        self._call: IDelayedCall | None = None
        self._busy: Deferred[Any] | None = None
        self._again = self._connected = self._gone = False
        self._stopped = True
        self._delay = FIRST_RETRY
        self.trouble = "not asked yet"
        self.faults: dict[tuple[str, Any], str] = {}
        self._refused: dict[str, StoredGateway] = {}  # gateways that clash with another one

    def startService(self) -> None:
        self._stopped = False
        self._schedule(0.0)

    def stopService(self) -> Deferred[None]:
        self._stopped = True
        if self._call is not None:
            self._call.cancel()
            self._call = None
        done: Deferred[None] = Deferred()
        if self._busy is None:
            done.callback(None)
        else:
            self._busy.addBoth(lambda _: done.callback(None))
        self._listener.close()
        return done

    def told(self) -> list[str]:
        """The faults as lines, L{MOST_FAULTS} at most and how many more."""
        lines = [
            f"{_NAMES[kind]} {'@'.join(key) if isinstance(key, tuple) else key} {text}"
            for (kind, key), text in sorted(self.faults.items(), key=str)[:MOST_FAULTS]
        ]
        more = len(self.faults) - len(lines)
        return [*lines, f"and {more} more"] if more else lines

    # -- when

    def _schedule(self, delay: float) -> None:
        if self._stopped or self._busy is not None:
            return
        if self._call is not None:
            self._call.cancel()
        self._call = self._clock.callLater(delay, self._begin)

    def _changed(self) -> None:
        if self._busy is not None:
            self._again = True
        elif self._connected:
            self._schedule(GATHER)

    def _lost(self, reason: str) -> None:
        self._connected, self._floor = False, None
        if self._busy is None:
            self._failed(Failure(VoipclusterError(reason)))

    def _begin(self) -> None:
        self._call = None
        self._again = False
        self._busy = done = self._follow()
        done.addErrback(self._failed)
        done.addCallback(self._over)

    def _over(self, _: object) -> None:
        self._busy = None
        if not self._connected:
            self._schedule(self._delay)
            self._delay = min(2 * self._delay, LAST_RETRY)
        else:
            self._delay = FIRST_RETRY
            self._schedule(GATHER if self._again else POLL)

    def _failed(self, failure: Failure) -> None:
        self._connected, self._floor = False, None
        self._listener.close()
        if not failure.check(VoipclusterError):
            self._log.failure("accounts and gateways of the shared database cannot be taken", failure=failure)
        reason = " ".join(failure.getErrorMessage().split())[:300]
        if not self._gone and not self._stopped:
            self._gone = True
            self._log.warn(
                "accounts and gateways: the shared database is gone, the node goes on with its copy: {reason}",
                reason=reason,
            )
        self.trouble = reason or type(failure.value).__name__
        if self._busy is None:
            self._schedule(self._delay)

    # -- what

    @inlineCallbacks
    def _follow(self) -> Generator[Deferred[Any], Any, None]:
        if not self._connected:
            # it listens before it reads everything, so that nothing is missed in between
            self._connected = True
            yield self._listener.open()
            self._floor = None
        reading = yield self._directory.read(self._floor, self._user.known())
        if self._stopped:
            self._listener.close()
            return
        if self.trouble:
            self.trouble = ""
            if self._gone:
                self._gone = False
                self._log.info("accounts and gateways: the shared database is back")
            self._user.is_back()
        faults = dict(reading.faults)
        yield from self._adopt("account", reading.accounts)
        yield from self._adopt_gateways(reading, faults)
        self._note(reading, faults)
        if reading.whole and reading.behind:
            yield self._user.is_behind(reading.behind)
        if self._connected:
            self._floor = reading.floor

    def _adopt(self, kind: str, values: Sequence[Any]) -> Generator[Deferred[None], None, None]:
        for start in range(0, len(values), BATCH):
            yield self._user.adopt(kind, values[start : start + BATCH])

    def _adopt_gateways(
        self, reading: Any, faults: dict[tuple[str, Any], str]
    ) -> Generator[Deferred[None], None, None]:
        """Those that are gone first: another one may have what they had. So may one that was refused before."""
        yield from self._adopt("gateway", [one for one in reading.gateways if one.removed])
        refused = {} if reading.whole else self._refused
        left = {name: one for name, one in refused.items() if ("gateway", name) not in reading.read}
        there = [one for one in reading.gateways if not one.removed]
        if left and any(kind == "gateway" for kind, _ in reading.read):
            there += left.values()
            reading.read.update(("gateway", name) for name in left)
            left = {}
        good = self._good(there, faults)
        yield from self._adopt("gateway", good)
        known = {one.name for one in good}
        self._refused = left | {one.name: one for one in there if one.name not in known}

    def _good(
        self, there: Sequence[StoredGateway], faults: dict[tuple[str, Any], str]
    ) -> list[StoredGateway]:
        """Those that can be gateways with all others as they will be: two may have changed places. Of two alike the first one."""
        good = list(there)
        while found := self._user.gateway_faults(good):
            faults |= {("gateway", name): text for name, text in found.items()}
            # they stay as they were, which may be in the way of another one
            good = [one for one in good if one.name not in found]
        return good

    def _note(self, reading: Any, faults: dict[tuple[str, Any], str]) -> None:
        """Say once what is wrong with which row, and forget what is not wrong any more."""
        before = self.faults
        kept = {} if reading.whole else {of: text for of, text in before.items() if of[0] != "address"}
        for of in reading.read:
            kept.pop(of, None)
        strays = {
            ("address", tag): "is the tag of addresses, and no gateway of the table dispatcher is called so"
            for tag in reading.strays
        }
        self.faults = {**kept, **faults, **strays}
        new = {of: text for of, text in self.faults.items() if before.get(of) != text}
        for (kind, key), text in sorted(new.items(), key=str)[:MOST_FAULTS]:
            self._log.error(
                "shared database: {kind} {key} {text}; it is passed over",
                kind=_NAMES[kind],
                key="@".join(key) if isinstance(key, tuple) else key,
                text=text,
            )
        if len(new) > MOST_FAULTS:
            self._log.error(
                "shared database: {count} more rows are passed over", count=len(new) - MOST_FAULTS
            )
