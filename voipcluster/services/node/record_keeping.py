"""Who keeps the records of a node's calls, made from the configuration: its own database, the shared one, a webhook."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from voipcluster.config import RecordsOptions
from voipcluster.config.files import secret_of
from voipcluster.services.node.records import CallRecord
from voipcluster.services.records.book import DAY, RecordBook
from voipcluster.services.records.forwarding import RecordForwarder
from voipcluster.services.records.refused import RefusedCalls
from voipcluster.services.records.rows import row_of
from voipcluster.store.acc import CallLog
from voipcluster.store.shared import SharedDatabase, SharedRecords, database_url
from voipcluster.web.view import Row

if TYPE_CHECKING:
    from voipcluster.services.node.parts import NodeParts
    from voipcluster.services.records.webhook import Webhook

MOST_TRIED = 400  # attempts in one answer, for the same reason
PAGE = 100  # calls in one answer: each may have 2 kB of quality, and the link takes no larger ones


class RecordKeeping:
    """
    @ivar book: takes each call that is over; L{None} when nobody wants records.
    @ivar forwarders: from the queue on the disk to those who want them.
    @ivar refused: makes records of calls that were refused at once.
    @ivar webhook: the consumer of that name, or L{None}.
    @ivar shared: the database that all nodes share, or L{None}.
    @raise UsageError: a secret cannot be read, or the driver is missing.
    """

    def __init__(
        self, node: NodeParts, reactor: Any, run: Callable[[Callable[[], Any]], Deferred[Any]], database: Any
    ) -> None:
        config, clock = node.config, IReactorTime(reactor)
        self._node = node
        self.log = CallLog(database)
        self._threads: ThreadPool | None = None
        self._reactor = reactor
        consumers: dict[str, Any] = {}
        self.webhook: Webhook | None = None
        self.shared: SharedDatabase | None = None
        if config.database.url:
            self.shared = self.open_shared(self._elsewhere)
            self._threads = ThreadPool(1, 1, "voipcluster-shared")
            consumers[SharedRecords.name] = SharedRecords(self.shared)
        if config.records.webhook:
            # imported late: Twisted's web client takes the descriptors of the service manager from the environment (systemd
            # endpoints), which KeptSockets reads before a node is made
            from voipcluster.services.records.webhook import Webhook  # noqa: PLC0415 - see above

            secret = secret_of(config.records.webhook_secret_file)
            self.webhook = consumers[Webhook.name] = Webhook(reactor, config.records.webhook, secret)
        self.forwarders = [
            RecordForwarder(clock, self.log, one, config.records.queue) for one in consumers.values()
        ]
        self.book: RecordBook | None = None
        self.refused: RefusedCalls | None = None
        if config.records.days or consumers:
            self.book = RecordBook(
                clock, self.log, run, self._row, tuple(consumers), config.records.days * DAY, clock.seconds
            )
            self.book.written = self._written
            self.refused = RefusedCalls(self._add_refused, clock.seconds, node.core.node, self._other_nodes)
            node.transactions.refused = self.refused.note

    def _add_refused(self, record: CallRecord) -> None:
        assert self.book is not None, "it was made with the one who calls this"
        self._node.outlines.add(record.call, record.ended, record.reason)
        self.book.add(record)

    def _other_nodes(self) -> set[str]:
        core = self._node.core
        return {host for name, (host, _) in core.addresses.items() if name != core.node}

    def use(self, options: RecordsOptions) -> None:
        """Keep and queue so much from now on."""
        if self.book is not None:
            self.book.keep(options.days * DAY)
        for forwarder in self.forwarders:
            forwarder.most = options.queue

    def open_shared(self, run: Callable[[Callable[[], Any]], Deferred[Any]]) -> SharedDatabase:
        """The shared database once more, with connections of its own; C{run}: does work in a thread for it."""
        database = self._node.config.database
        url = database_url(database.url, secret_of(database.password_file).decode())
        return SharedDatabase(url, run, IReactorTime(self._reactor))

    def _elsewhere(self, work: Callable[[], Any]) -> Deferred[Any]:
        assert self._threads is not None, "there is a shared database"
        return deferToThreadPool(self._reactor, self._threads, work)

    def parts(self) -> list[Any]:
        """What has a life of its own, in the order of starting."""
        return [] if self.book is None else [*self.forwarders, self.book]

    def start(self) -> None:
        if self._threads is not None:
            self._threads.start()

    def hurry(self) -> None:
        """The node stops, and does not wait for a database that says nothing."""
        if self.shared is not None:
            self.shared.hurry()

    def close(self) -> None:
        """Waits for what the shared database is asked."""
        if self._threads is not None and self._threads.started:
            self._threads.stop()
        if self.shared is not None:
            self.shared.close()

    def _row(self, record: CallRecord) -> Row:
        node = self._node
        return row_of(record, node.core.node, node.is_called(record.call.callee))

    def _written(self) -> None:
        for forwarder in self.forwarders:
            forwarder.poke()

    def waiting_for_shared(self) -> int:
        """Rows that wait for the shared database, as far as it is known: they are counted whenever it takes none."""
        return sum(one.waiting for one in self.forwarders if one.name == SharedRecords.name)

    def shown(self) -> list[Row]:
        """
        For C{voipctl status}: what keeps records from where they are to be. C{to}: a consumer, or C{disk}; C{trouble}, in words,
        C{disk}: of the queue on it, and how many are C{waiting}; empty while all is well.
        """
        rows: list[Row] = []
        if self.book is not None and self.book.trouble:
            rows.append({"to": "disk", "trouble": self.book.trouble, "disk": "", "waiting": len(self.book)})
        for one in self.forwarders:
            if one.trouble or one.disk_trouble:
                rows.append(
                    {"to": one.name, "trouble": one.trouble, "disk": one.disk_trouble, "waiting": one.waiting}
                )
        return rows

    def numbers(self) -> dict[str, Any]:
        """For C{/metrics}."""
        if self.book is None:
            return {}
        return {
            "voipcluster_call_records_total": {
                "ended": self.book.count,
                "lost": self.book.lost,
                "left out": 0 if self.refused is None else self.refused.left_out,
            },
            "voipcluster_call_records_unwritten": len(self.book),
            "voipcluster_call_record_rows_waiting": {one.name: one.waiting for one in self.forwarders},
            "voipcluster_call_record_rows_taken_total": {one.name: one.taken for one in self.forwarders},
            "voipcluster_call_record_rows_lost_total": {one.name: one.lost for one in self.forwarders},
        }

    def page(self, since: float, until: float, after: int) -> Deferred[Row]:
        """Calls of this node that are over, L{PAGE} at most; C{next} is what to ask with for those behind them, or L{None}."""

        def told(rows: list[Row]) -> Row:
            whole, tried = len(rows) == PAGE, 0
            for number, row in enumerate(rows):
                tried += len(row.get("tried", ()))
                if tried > MOST_TRIED and number:
                    return {"rows": rows[:number], "next": rows[number - 1]["id"]}
            return {"rows": rows, "next": rows[-1]["id"] if whole else None}

        return self.log.calls(since, until, after, PAGE).addCallback(told)
