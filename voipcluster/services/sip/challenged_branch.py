"""
Branches to gateways that want a password: challenges are answered in the caller's place (RFC 3261 section 22.3).

The caller has no account there; this cluster has. So a 401 or 407 of such a gateway does not go upstream: its request is sent
once more, to the same server, with credentials and the next CSeq, and the difference stays for the rest of the dialog (see
L{voipcluster.sip.renumbering}). The caller sees the numbers that he gave.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from zope.interface import implementer

from voipcluster.errors import ParseError, TransportError, UsageError
from voipcluster.services.transaction.runners import IClientUser
from voipcluster.sip.challenges import Challenged, Identity
from voipcluster.sip.message import Request, Response
from voipcluster.sip.renumbering import renumbered

if TYPE_CHECKING:
    from voipcluster.sip.proxy.events import Target

Changes = tuple[tuple[int, ...], tuple[tuple[str, str], ...]]
Credentials = Callable[[], Identity]
"""Gives our user name and password; they may have to be read from a file."""

Who = Callable[["Target"], Credentials | None]
"""Who we are towards a target; L{None}: it is not for us to answer its challenges."""


class Branches(Protocol):
    """What L{voipcluster.services.sip.forwarding.Forwarding} offers."""

    def again(self, number: int, target: Target, user: IClientUser) -> None: ...

    def is_wanted(self, number: int) -> bool: ...

    def response_received(self, branch: int, response: Response) -> None: ...

    def timed_out(self, branch: int) -> None: ...

    def send_failed(self, branch: int, error: TransportError) -> None: ...


class Challenges:
    """
    The challenges that one request meets on its way to gateways, by target.

    @param who: says who we are; C{fresh}: random text, new at each call.
    @param before: by how much CSeq was moved in this dialog until now.
    @param moved: told of a target that has answered, and by how much CSeq is moved towards it.
    @param in_vain: told of a target, and why its challenge was not answered.
    """

    __slots__ = ("_before", "_fresh", "_in_vain", "_met", "_moved", "_who")

    def __init__(
        self,
        who: Who,
        fresh: Callable[[], str],
        before: int = 0,
        moved: Callable[[Target, int], object] = lambda target, by: None,
        in_vain: Callable[[Target, str], object] = lambda target, why: None,
    ) -> None:
        self._who, self._fresh, self._before = who, fresh, before
        self._moved, self._in_vain = moved, in_vain
        self._met: dict[str, Challenged] = {}

    def user(self, owner: Branches, target: Target) -> IClientUser:
        """Who hears of the branch to a target: the owner of the branches, or somebody in front of him."""
        if not self._before and self._who(target) is None:
            return owner  # type: ignore[return-value]  # Branches has what IClientUser asks for
        return ChallengedBranch(self, owner, target)

    def by(self, target: Target) -> int:
        """By how much the CSeq of the next copy for a target is moved."""
        met = self._met.get(target.uri)
        return self._before + (0 if met is None else met.count)

    def changes(self, request: Request, target: Target) -> Changes:
        """
        What is different in the next copy for a target.

        @raise ParseError: its CSeq cannot be moved.
        """
        met = self._met.get(target.uri)
        drop, add = renumbered(request, self.by(target))
        return drop, add if met is None else (*add, *met.headers)

    def meets(self, target: Target, response: Response, method: str) -> bool:
        """
        Whether the request is sent once more.

        @raise TransportError: it wants a password of us that we do not have: nothing that a caller could do about it.
        """
        credentials = self._who(target)
        if credentials is None:
            return False
        try:
            met = self._met.get(target.uri)
            if met is None:
                met = self._met[target.uri] = Challenged(credentials())
        except UsageError as error:
            why = str(error)
        else:
            if met.meets(response, method, target.uri, self._fresh()):
                return True
            why = met.why_not
        self._in_vain(target, why)
        raise TransportError(f"its challenge cannot be answered: {why}")

    def answered(self, target: Target, by: int) -> None:
        self._moved(target, by)


@implementer(IClientUser)
class ChallengedBranch:
    """Stands between a branch and its client transactions, one after the other."""

    __slots__ = ("_by", "_challenges", "_owner", "_target")

    def __init__(self, challenges: Challenges, owner: Branches, target: Target) -> None:
        self._challenges, self._owner, self._target = challenges, owner, target
        self._by = challenges.by(target)

    def response_received(self, branch: int, response: Response) -> None:
        owner, method = self._owner, response.cseq[1]
        try:
            if response.status in (401, 407) and owner.is_wanted(branch):
                if self._challenges.meets(self._target, response, method):
                    self._by = self._challenges.by(self._target)
                    owner.again(branch, self._target, self)
                    return
            elif 100 < response.status < 300:
                self._challenges.answered(self._target, self._by)
            if self._by:
                response.renumber(-self._by)
        except ParseError:
            return  # as a response that matches nothing
        except TransportError as error:
            owner.send_failed(branch, error)
            return
        owner.response_received(branch, response)

    def timed_out(self, branch: int) -> None:
        self._owner.timed_out(branch)

    def send_failed(self, branch: int, error: TransportError) -> None:
        self._owner.send_failed(branch, error)
