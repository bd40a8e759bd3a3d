"""The report: what a node tells the others about itself, every period and at once when it matters."""

from __future__ import annotations

from typing import Final

from attrs import field, frozen

from voipcluster.balance.state import NodeState
from voipcluster.balance.workload import Workload

# requests per second: a node that measures this or less can serve nothing. It is not 0, which says that nothing was measured
# yet, also to nodes of former releases; and it is the same in the 32 bits of a rider.
NOTHING: Final = 2.0**-10


@frozen(slots=True, kw_only=True)
class Report:
    """
    One node's workload at one moment.

    C{workload} serves the gate and the fast correction. C{arrival_rate}, C{capacity} and C{delay} age well and serve the
    plan: one number cannot do both.

    @ivar node: the sender's name.
    @ivar epoch: which start of that node; a greater one replaces everything heard before.
    @ivar seq: counts the reports of one epoch.
    @ivar value: the workload as one number; the greatest component, unless a later version knows more components.
    @ivar delay: seconds that a request waits before the reactor comes to it ("d").
    @ivar arrival_rate: new requests per second from clients, not from other nodes ("lambda").
    @ivar capacity: requests that it completes per second of busy CPU, times C{granted} or C{quota}, the lesser ("mu"); 0 when
        not known yet, L{NOTHING} or less when it can serve none.
    @ivar granted: share of a CPU that it gets when it wants one.
    @ivar refusal_rate: new requests per second that overload control refuses unread, and that C{arrival_rate} does not count.
    @ivar quota: CPUs that its thread may have, 1 at most: less where its control group has less, of which C{cpu} is a share.
    @ivar weight: part of its share that it takes: less than 1 after a start (L{voipcluster.balance.start}).
    @ivar calls: calls in progress; C{calls_limit} is what counts as workload 1.0.
    @ivar time: the sender's wall clock, seconds since 1970; for people, never compared.
    @ivar period: seconds between its reports; 0 when it does not say.
    @ivar spontaneous: it reports at once when it moves by a step, so that silence within the period means "unchanged".
    """

    node: str
    epoch: int
    seq: int
    state: NodeState = NodeState.OPEN
    workload: Workload = field(factory=Workload)
    value: float = field()
    delay: float = 0.0
    arrival_rate: float = 0.0
    capacity: float = 0.0
    weight: float = 1.0
    refusal_rate: float = 0.0
    quota: float = 1.0
    granted: float = 1.0
    calls: int = 0
    calls_limit: int = 0
    registrations: int = 0
    time: float = 0.0
    period: float = 0.0
    spontaneous: bool = True

    @value.default
    def _value(self) -> float:
        return self.workload.value

    @property
    def version(self) -> tuple[int, int]:
        """A report is newer than another one of the node when this is greater."""
        return self.epoch, self.seq
