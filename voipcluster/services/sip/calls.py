"""The calls that this node serves: counted for the workload, shown to people, ended in every way a call can end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from attrs import define, field

from voipcluster.address import source_of
from voipcluster.services.media.relay import CallKey
from voipcluster.sip.route import place_hash, place_of_route

MAX_CONTACTS = 16  # of one call: two parties that move, or a fork
MAX_PROXIES = 16  # of one call, on both sides
MAX_TRIED = 16  # places whose attempts are noted
ELSEWHERE = "served elsewhere"  # why a call ends that another node has brought to its end: it is that node's to record


@define(slots=True)
class Tried:
    """
    One place where a call was tried, of several.

    @ivar target: its URI; C{gateway}: its name, or empty.
    @ivar started: and C{ended}: seconds since 1970; C{ended} is 0 until then.
    @ivar status: what came of it, 0 until then; C{cause}: why, where the status does not say it.
    @ivar by: who has ended it, C{caller}, C{callee} or C{node}.
    """

    target: str
    gateway: str
    started: float
    ended: float = 0.0
    status: int = 0
    cause: str = ""
    by: str = ""


@define(slots=True)
class Call:
    """
    One call in progress.

    @ivar caller: and C{callee}: URIs; C{source}: the client's true address as text, C{transport} in upper case.
    @ivar ingress: the node that the client sent it to; C{visited}: those that handed it on, or were asked in vain.
    @ivar pending: its INVITEs that have no final response; a ring group in front of us sends several for one call.
    @ivar called: the To line of its INVITE; the callee has that URI in From (RFC 3261 section 12.1.1).
    @ivar contacts: whether of the caller, whether a user of ours is known to have said it, and the hash of an address that the
        party gave as its Contact: where requests may go.
    @ivar proxies: whether on the caller's side of us, the same, and the hash of what somebody there put into Record-Route.
    @ivar expires: when the session is over unless it is refreshed (RFC 4028), in seconds since 1970; 0: nobody agreed on that.
    @ivar origin: whom it counts for while it is not answered: the user, or the host of somebody unknown.
    @ivar legs: the callee's tags of its dialogs that are up: several when several phones have answered at once.
    @ivar last_leg: the tag of the last one that was up, when it is over.
    @ivar gateway_in: the gateway that it came from, C{gateway_out}: the one that has answered it; or empty.
    @ivar number: what was called, as the number plan reads it; empty when it was no number.
    @ivar moved: by how much the caller's CSeq is greater behind us, see L{voipcluster.sip.renumbering}; C{proves_to}: the
        gateway there, if its challenges are answered in the caller's place.
    @ivar reached: the URI of the place where it was tried, if it was one; C{tried}: those where it was, if they were several.
    @ivar fault: why the relay can do nothing with what its callee has answered, for a call that comes to nothing by that.
    @ivar ended_by: C{caller} or C{callee}, when that one has sent BYE.
    @ivar started: C{rang} and C{answered}: seconds since 1970; the latter two are 0 until then.
    """

    key: CallKey
    caller: str
    callee: str
    source: str
    transport: str
    user: str
    ingress: str
    visited: tuple[str, ...]
    started: float
    called: bytes = b""
    answered: float = 0.0
    rang: float = 0.0
    relayed: bool = False
    contacts: set[tuple[bool, bool, bytes]] = field(factory=set)
    proxies: tuple[tuple[bool, bool, bytes], ...] = ()
    pending: int = 1
    legs: tuple[str, ...] = ()
    expires: float = 0.0
    gateway_in: str = ""
    gateway_out: str = ""
    number: str = ""
    moved: int = 0
    proves_to: str = ""
    reached: str = ""
    tried: tuple[Tried, ...] = ()
    fault: str = ""
    ended_by: str = ""
    last_leg: str = ""
    origin: str = field(init=False)

    def leg_up(self, tag: str) -> None:
        """A phone has answered."""
        if tag not in self.legs and len(self.legs) < MAX_CONTACTS:
            self.legs = (*self.legs, tag)

    def leg_over(self, tag: str) -> bool:
        """One dialog has ended. @return: whether no other one is up."""
        self.legs = tuple(leg for leg in self.legs if leg != tag)
        if self.legs:
            return False
        self.last_leg = tag
        return True

    def lasts_until(self, expires: float) -> None:
        """A 2xx said how long its session lasts; the call does as long as the longest of its dialogs."""
        if len(self.legs) > 1:
            expires = max(expires, self.expires) if expires and self.expires else 0.0
        self.expires = expires

    def learn_contact(self, of_caller: bool, uri: str, proved: bool) -> None:
        """
        A party said where it is (RFC 3261 section 12.2, target refresh).

        @param proved: whether that party is a user of ours, and known to have said so.
        """
        # what anybody says does not crowd out what our users say
        if uri and len(self.contacts) < (2 * MAX_CONTACTS if proved else MAX_CONTACTS):
            self.contacts.add((of_caller, proved, place_hash(uri)))

    def leads(self, to_caller: bool, uri: str, proved: bool = False) -> bool:
        """Whether a Request-URI is where that party said that it is; C{proved}: a user of ours, and no one else."""
        place = place_hash(uri)
        return (to_caller, True, place) in self.contacts or (
            not proved and (to_caller, False, place) in self.contacts
        )

    def learn_proxies(self, of_caller: bool, values: Sequence[str], proved: bool) -> None:
        """
        Proxies on one side put themselves into the route set (12.1): Record-Route values, none of ours.

        @param proved: whether the party on that side is a user of ours.
        """
        for value in values:
            proxy = of_caller, proved, place_of_route(value)
            if proxy not in self.proxies and len(self.proxies) < MAX_PROXIES:
                self.proxies = (*self.proxies, proxy)

    def goes_along(self, to_caller: bool, value: str, proved: bool = False) -> bool:
        """Whether a Route value is one of the proxies on that side; C{proved}: that a user of ours has brought with it."""
        place = place_of_route(value)
        return (to_caller, True, place) in self.proxies or (
            not proved and (to_caller, False, place) in self.proxies
        )

    @origin.default
    def _user_or_host(self) -> str:
        return self.user or source_of(self.source.rpartition(":")[0].strip("[]"))

    @property
    def state(self) -> str:
        return "up" if self.answered else "ringing"


class CallTable:
    """
    All calls of this node.

    @param most_of_user: unanswered calls of one user, C{most_of_address}: of one address without a user; 0 is any number.
    @ivar get: gives a call, or L{None}; C{count}: how many there are. They are the dict's own, without a call in between.
    @ivar changed: called after each change of the number of calls.
    @ivar settled: called with each call that was answered, and when a later exchange has changed it.
    @ivar over: called with each call that has ended, and why, before it is released.
    @ivar adopted: called with each call of an earlier process that goes on.
    @ivar any_noted: whether the ACK of any call means more than that it passes: its CSeq was moved, or its dialog ends behind it.
    @ivar ended: how many ended, by reason.
    @ivar unanswered: how many are not answered yet, by their origin: each may hold ports of the relay until Timer C.
    """

    def __init__(self, most_of_user: int = 0, most_of_address: int = 0) -> None:
        self.allow(most_of_user, most_of_address)
        self._calls: dict[CallKey, Call] = {}
        self.get: Callable[[CallKey], Call | None] = self._calls.get
        self.count: Callable[[], int] = self._calls.__len__
        self.unanswered: Counter[str] = Counter()
        self.changed: Callable[[], object] = lambda: None
        self.settled: Callable[[CallKey], object] = lambda key: None
        self.released: Callable[[CallKey, str], object] = lambda key, reason: None
        self.over: Callable[[Call, str], object] = lambda call, reason: None
        self.adopted: Callable[[Call], object] = lambda call: None
        self.any_noted = False
        self.started = 0
        self.answered_count = 0
        self.ended: Counter[str] = Counter()

    def allow(self, most_of_user: int, most_of_address: int) -> None:
        """So many may ring from now on; those that ring already go on."""
        self._most_of_user, self._most_of_address = most_of_user, most_of_address

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls.values())

    def has_room(self, user: str | None, host: str) -> bool:
        """Whether one more unanswered call of that user, or of that address when the user is unknown, may start."""
        most = self._most_of_user if user else self._most_of_address
        if not most:
            return True
        if not user and ":" in host:
            host = source_of(host)
        return self.unanswered.get(user or host, 0) < most

    def start(self, call: Call) -> Call:
        """Count a call from its INVITE on; another INVITE of its Call-ID and From tag is of the same call, which is returned."""
        known = self._calls.get(call.key)
        if known is not None:
            known.pending += 1
            return known
        self._calls[call.key] = call
        self.unanswered[call.origin] += 1
        self.started += 1
        self.changed()
        return call

    def adopt(self, call: Call) -> None:
        """A call that was answered in an earlier process is one of ours from now on; it is no news to anybody."""
        call.pending = 0
        self.any_noted = self.any_noted or bool(call.moved)
        self._calls[call.key] = call
        self.adopted(call)

    def move(self, key: CallKey, gateway: str, by: int) -> None:
        """That gateway has answered a request of the caller whose CSeq was greater by so much."""
        call = self._calls.get(key)
        if call is not None:
            call.moved, call.proves_to = by, gateway
            self.any_noted = self.any_noted or by > 0

    def answered(self, key: CallKey, now: float) -> None:
        call = self._calls.get(key)
        if call is None:
            return
        call.pending -= 1
        if not call.answered:
            self._no_longer_unanswered(call)
            call.answered = now
            self.answered_count += 1
        self.settled(key)

    def _no_longer_unanswered(self, call: Call) -> None:
        origin = call.origin
        left = self.unanswered[origin] = self.unanswered[origin] - 1
        if left <= 0:
            del self.unanswered[origin]

    def failed(self, key: CallKey, reason: str, why: str = "") -> None:
        """One of its INVITEs came to nothing: the call ends with the last one, unless it was answered. C{why}: see L{end}."""
        call = self._calls.get(key)
        if call is not None:
            call.pending -= 1
            if call.pending <= 0 and not call.answered:
                self.end(key, reason, why or call.fault)

    def end_overdue(self, now: float, longest: float, watched: Callable[[CallKey], bool]) -> None:
        """
        End what nobody has ended: by a session timer that was not refreshed, or else after C{longest} seconds.

        @param watched: whether the end of its media will end a call.
        """
        overdue = [
            (call.key, "session expired" if call.expires else "too long")
            for call in self._calls.values()
            if (
                call.answered
                and call.expires <= now  # one that rings has Timer C, whatever an early UPDATE agreed on
                if call.expires
                else now - call.started > longest and not watched(call.key)
            )
        ]
        for key, reason in overdue:
            self.end(key, reason)

    def end(self, key: CallKey, reason: str, why: str = "") -> bool:
        """
        Forget a call and release what it holds; a second end is harmless.

        @param reason: one of a few, by which ends are counted; C{why}: the same in words, for those who look at this call.
        """
        call = self._calls.pop(key, None)
        if call is None:
            return False
        if not call.answered:
            self._no_longer_unanswered(call)
        self.ended[reason] += 1
        self.over(call, f"{reason} ({why})" if why else reason)
        self.released(key, reason)
        self.changed()
        return True
