"""The location table: which contacts an address of record has, and over which flow each is reached (RFC 3261 section 10)."""

from __future__ import annotations

import heapq
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice

from attrs import define, field, frozen

from voipcluster.address import Flow
from voipcluster.errors import ParseError
from voipcluster.sip.uri import parse_uri


@frozen(slots=True)
class Binding:
    """
    One contact of one address of record.

    @ivar aor: C{user@domain} as L{SipUri.aor} gives it; C{contact}: the URI's text as registered.
    @ivar expires_at: seconds, on the clock of this process; C{registered_at}: when the last REGISTER of it came.
    @ivar params: the Contact header's other parameters as text, C{;name=value...}, without q and expires.
    @ivar path: Path values in their order, put as Route into requests to this contact (RFC 3327 section 5.4).
    @ivar node: the node that owns the client's flow, and so the binding; C{flow_token}: text that names the flow to it, empty
        for a Contact that is some other place (L{voipcluster.sip.own_contact}).
    @ivar flow: at the owner only: the flow the REGISTER came over. C{source}: its remote end as text, for people.
    @ivar instance: C{+sip.instance} as received; with a C{reg_id} above 0 the two are the binding's key
        (RFC 5626 section 6), else the contact URI is.
    """

    aor: str
    contact: str
    expires_at: float
    registered_at: float
    call_id: str
    cseq: int
    q: float = 1.0
    params: str = ""
    path: tuple[str, ...] = ()
    user_agent: str = ""
    node: str = ""
    flow_token: str = ""
    flow: Flow | None = None
    source: str = ""
    instance: str = ""
    reg_id: int = 0

    @property
    def key(self) -> str:
        """What tells the rows of one address of record apart in a store; a refresh may change it, see L{is_of}."""
        return binding_key(self.contact, self.instance, self.reg_id)

    def is_of(self, contact: str, instance: str = "", reg_id: int = 0) -> bool:
        """Whether a Contact with these values means this binding."""
        if reg_id and instance:
            return self.reg_id == reg_id and self.instance == instance
        if self.reg_id and self.instance:
            return False
        return same_contact(self.contact, contact)

    def replaces(self, other: Binding) -> bool:
        """
        Whether this state of a binding is newer than another one, seen at another node.

        CSeq decides within one Call-ID (section 10.3 step 7), else the time of the REGISTER; the rest breaks ties so that
        all nodes agree.
        """
        if self.call_id == other.call_id and self.cseq != other.cseq:
            return self.cseq > other.cseq
        return (self.registered_at, self.node, self.contact) >= (
            other.registered_at,
            other.node,
            other.contact,
        )


def binding_key(contact: str, instance: str, reg_id: int) -> str:
    """See L{Binding.key}."""
    return f"{instance};{reg_id}" if reg_id and instance else contact


def same_contact(ours: str, theirs: str) -> bool:
    """Compare two contact URIs by RFC 3261 section 19.1.4; those of schemes other than SIP as text."""
    if ours == theirs:
        return True
    try:
        return parse_uri(ours).equivalent(parse_uri(theirs))
    except ParseError:
        return False


@define(slots=True)
class _Record:
    """What one address of record has; C{due}: the time of its one entry in the heap that counts."""

    bindings: tuple[Binding, ...]
    due: float = field(default=float("inf"))


class Location:
    """
    All bindings that this node knows of, its own and those of other nodes.

    An address of record has one entry in a heap, at the time its first binding may run out: a refresh moves nothing, the
    entry is put off when it comes up.
    """

    def __init__(self) -> None:
        self._records: dict[str, _Record] = {}
        self._due: list[tuple[float, str]] = []
        self._connections: dict[int, set[str]] = {}  # connection number: its addresses of record
        self._of_node: Counter[str] = Counter()

    def __len__(self) -> int:
        """Bindings, also those that ran out and were not collected yet."""
        return self._of_node.total()

    def __iter__(self) -> Iterator[Binding]:
        for record in self._records.values():
            yield from record.bindings

    def page(self, after: int, count: int) -> Iterator[Binding]:
        """Those of C{count} addresses of record, behind the first C{after} ones; some bindings may have run out."""
        for record in islice(self._records.values(), after, min(after + count, sys.maxsize)):
            yield from record.bindings

    def aors(self) -> list[str]:
        """The addresses of record that have a binding, in a list that stays as it is whoever comes and goes meanwhile."""
        return list(self._records)

    def of_aors(self, aors: Iterable[str], now: float) -> Iterator[Binding]:
        """All bindings of these that have not run out."""
        records = self._records
        for aor in aors:
            if (record := records.get(aor)) is not None:
                for binding in record.bindings:
                    if binding.expires_at > now:
                        yield binding

    def bindings(self, aor: str, now: float) -> list[Binding]:
        """Those that have not run out, in the order they were added."""
        record = self._records.get(aor)
        return [] if record is None else [b for b in record.bindings if b.expires_at > now]

    def lookup(self, aor: str, now: float) -> list[Binding]:
        """The target set: highest q first, of one q the most recent first (section 16.5)."""
        found = self.bindings(aor, now)
        if len(found) > 1:
            found.sort(key=lambda b: (-b.q, -b.registered_at))
        return found

    def find(self, aor: str, contact: str, instance: str = "", reg_id: int = 0) -> Binding | None:
        record = self._records.get(aor)
        if record is None:
            return None
        return next((b for b in record.bindings if b.is_of(contact, instance, reg_id)), None)

    def put(self, binding: Binding) -> Binding | None:
        """Add a binding, or put it in the place of the one it means, which is returned."""
        aor = binding.aor
        record = self._records.get(aor)
        old = None
        if record is None:
            record = self._records[aor] = _Record((binding,))
        else:
            old = self.find(aor, binding.contact, binding.instance, binding.reg_id)
            if old is None:
                record.bindings = (*record.bindings, binding)
            else:
                record.bindings = tuple(binding if b is old else b for b in record.bindings)
        if old is not None:
            self._unlink(old)
        self._link(binding)
        if binding.expires_at < record.due:
            record.due = binding.expires_at
            heapq.heappush(self._due, (record.due, aor))
        return old

    def remove(self, binding: Binding) -> Binding | None:
        """Remove the binding that means the same contact; it is returned."""
        record = self._records.get(binding.aor)
        old = self.find(binding.aor, binding.contact, binding.instance, binding.reg_id)
        if record is None or old is None:
            return None
        left = tuple(b for b in record.bindings if b is not old)
        if left:
            record.bindings = left
        else:
            del self._records[binding.aor]  # its entry in the heap is passed over later
        self._unlink(old)
        return old

    def count_of(self, node: str) -> int:
        """How many bindings a node owns the flow of."""
        return self._of_node[node]

    def of_node(self, node: str) -> list[Binding]:
        """All bindings whose flow a node owns; looks at every binding."""
        return [b for b in self if b.node == node]

    def of_connection(self, connection: int) -> list[Binding]:
        """The bindings over one of our stream connections (RFC 5626 section 4.2.2: they end with it)."""
        return [
            b
            for aor in self._connections.get(connection, ())
            for b in self._records[aor].bindings
            if b.flow is not None and b.flow.connection == connection
        ]

    @property
    def next_due(self) -> float | None:
        """When L{expire} is to be called next, or L{None} while there is nothing."""
        while self._due:
            due, aor = self._due[0]
            record = self._records.get(aor)
            if record is not None and record.due == due:
                return due
            heapq.heappop(self._due)
        return None

    def expire(self, now: float) -> list[Binding]:
        """Remove what ran out by C{now}."""
        gone: list[Binding] = []
        while (due := self.next_due) is not None and due <= now:
            _, aor = heapq.heappop(self._due)
            record = self._records[aor]
            for binding in record.bindings:
                if binding.expires_at <= now:
                    self.remove(binding)
                    gone.append(binding)
            if aor in self._records:
                record.due = min(b.expires_at for b in record.bindings)
                heapq.heappush(self._due, (record.due, aor))
        return gone

    def _link(self, binding: Binding) -> None:
        self._of_node[binding.node] += 1
        if binding.flow is not None and binding.flow.connection:
            self._connections.setdefault(binding.flow.connection, set()).add(binding.aor)

    def _unlink(self, binding: Binding) -> None:
        """Forget the connection of a binding that left the table, unless its address of record has another one over it."""
        self._of_node[binding.node] -= 1
        if binding.flow is None or not binding.flow.connection:
            return
        connection = binding.flow.connection
        record = self._records.get(binding.aor)
        if record is not None and any(
            b.flow is not None and b.flow.connection == connection for b in record.bindings
        ):
            return
        aors = self._connections[connection]
        aors.discard(binding.aor)
        if not aors:
            del self._connections[connection]
