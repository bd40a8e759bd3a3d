"""
What a wake-up brought, in overload: what belongs to calls in progress first, then as many new INVITEs as there is room for.

Most of what comes then is too much, and whatever is done with a datagram on its own costs as much as throwing it away. So one
look at all of them says which are INVITEs, and those beyond the room go before anything else is done.
"""

from __future__ import annotations

from collections.abc import Callable

from voipcluster.address import Flow

Batch = list[tuple[bytes, Flow]]
Arrange = Callable[[Batch], Batch]


class WakeUps:
    """
    Stands in for L{voipcluster.net.batch.arrange} while there is overload.

    @param room: how many new INVITEs can be let in or refused now.
    @param leaves_out: whether one that is beyond may be thrown away unread; it counts what it says so of.
    """

    def __init__(self, room: Callable[[], float], leaves_out: Callable[[bytes, Flow], bool]) -> None:
        self._room, self._leaves_out = room, leaves_out

    def arrange(self, batch: Batch) -> Batch:
        """
        Provisional responses, final ones, ACK, BYE, INVITEs, and the rest, each as they came.

        What is of one kind runs through the same code, as in L{voipcluster.net.batch.arrange}. A CANCEL stays behind its INVITE,
        a response to an INVITE before the BYE, and an ACK before it; nobody can rely on any other order of datagrams.

        @param batch: datagrams and where they came from, as they came.
        """
        provisional: Batch = []
        final: Batch = []
        acks: Batch = []
        byes: Batch = []
        invites: Batch = []
        others: Batch = []
        for one in batch:
            data = one[0]
            kind = data[:4]
            if kind == b"SIP/":
                (provisional if data[8:9] == b"1" else final).append(one)
            elif kind == b"INVI":
                invites.append(one)
            elif kind == b"ACK ":
                acks.append(one)
            elif kind == b"BYE ":
                byes.append(one)
            else:
                others.append(one)
        if invites:
            invites = self._fitting(invites)
        return [*provisional, *final, *acks, *byes, *invites, *others]

    def _fitting(self, invites: Batch) -> Batch:
        room = int(max(0.0, min(len(invites), self._room())))
        if room == len(invites):
            return invites
        leaves_out = self._leaves_out
        return [*invites[:room], *[one for one in invites[room:] if not leaves_out(*one)]]
