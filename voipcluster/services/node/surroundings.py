"""
What a node takes from the machine it runs on, besides its reactor.

All of it is here, so that a simulation can run whole nodes on a clock, a processor, a network and a disk of its own
(C{tests/simulation}), and the same numbers give the same run.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import Any, Protocol

from attrs import Factory, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.threads import deferToThreadPool

from voipcluster.net.kept import KeptSockets
from voipcluster.net.nft.probe import Kernel
from voipcluster.net.port_group import port_readers
from voipcluster.net.rtp import IReaders, open_rtp_port
from voipcluster.net.udp import open_udp_socket
from voipcluster.services.cluster.admission import open_member
from voipcluster.services.cpu_quota import CpuQuota
from voipcluster.services.media.kernel_path import IKernel
from voipcluster.services.media.ports import OpenPort
from voipcluster.services.node.store import NodeStore
from voipcluster.services.queued import Queued, queued
from voipcluster.services.workload import resident_bytes
from voipcluster.store.calls import CallStore
from voipcluster.store.database import Database
from voipcluster.store.minutes import MinutesFile
from voipcluster.store.state import NodeState


class IStore(Protocol):
    """An open database and journal, see L{NodeStore}."""

    @property
    def database(self) -> Database: ...

    @property
    def calls(self) -> CallStore: ...

    @property
    def minutes(self) -> MinutesFile: ...

    def run(self, work: Callable[[], Any]) -> Deferred[Any]: ...

    def start(self) -> None: ...

    def close(self) -> None: ...


def _in_pool(reactor: Any, work: Callable[[], Any]) -> Deferred[Any]:
    return deferToThreadPool(reactor, reactor.getThreadPool(), work)


@frozen(kw_only=True)
class Surroundings:
    """
    @ivar wall: seconds since 1970. The reactor's clock tells them too.
    @ivar random: from 0.0 to below 1.0; C{octets}: so many of them, for what nobody may guess.
    @ivar cpu: CPU seconds that the reactor's thread used; C{queued}: how long it waited for them; C{quota}: CPUs that the process
        may use; C{memory}: resident octets.
    @ivar open_udp: a bound socket for SIP, by IP literal and port.
    @ivar open_rtp: a bound port of the relay, see L{OpenPort}; C{rtp_readers}: what reads such ports, made of the
        reactor and the seconds for which packets may wait for each other.
    @ivar in_thread: does work that takes long in another thread, by reactor.
    @ivar kernel: what relays media in our place.
    @ivar kept: sockets of the last process and for the next one.
    @ivar open_state: the state directory of a member, see L{open_member}; C{open_store} its database, by reactor and path.
    """

    wall: Callable[[], float] = time.time
    random: Callable[[], float] = SystemRandom().random
    octets: Callable[[int], bytes] = os.urandom
    cpu: Callable[[], float] = time.thread_time
    quota: Callable[[], float] = Factory(CpuQuota)
    queued: Callable[[], Queued] = queued
    memory: Callable[[], int] = resident_bytes
    open_udp: Callable[[str, int], socket.socket] = open_udp_socket
    open_rtp: OpenPort = open_rtp_port
    rtp_readers: Callable[[IReactorFDSet, float], IReaders] = port_readers
    kept: KeptSockets = Factory(KeptSockets)
    open_state: Callable[..., NodeState] = open_member
    open_store: Callable[[Any, Path], IStore] = NodeStore
    in_thread: Callable[[Any, Callable[[], Any]], Deferred[Any]] = _in_pool
    kernel: IKernel = Factory(Kernel)


MACHINE = Surroundings()
