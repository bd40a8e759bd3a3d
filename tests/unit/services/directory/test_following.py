"""The copy of a node follows the shared database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from voipcluster.balance.messages import Account, StoredGateway
from voipcluster.services.directory.following import (
    BATCH,
    FIRST_RETRY,
    GATHER,
    LAST_RETRY,
    MOST_FAULTS,
    POLL,
    DirectoryFollower,
    IDirectoryUser,
)
from voipcluster.store.directory import Reading
from voipcluster.store.shared import NotReachable


class Listener:
    """A connection that can be lost."""

    changed: Callable[[], object]
    lost: Callable[[str], object]

    def __init__(self) -> None:
        self.opened = self.closed = 0

    def open(self) -> Deferred[None]:
        self.opened += 1
        return succeed(None)

    def close(self) -> None:
        self.closed += 1


class Directory:
    """Answers with the next reading, an error, or later (a Deferred)."""

    def __init__(self) -> None:
        self.asked: list[int | None] = []
        self.next: Any = None

    def read(self, floor: int | None, known: object) -> Deferred[Reading]:
        self.asked.append(floor)
        found, self.next = self.next, None
        if isinstance(found, Deferred):
            return found
        if isinstance(found, Exception):
            return fail(found)
        return succeed(found or Reading(len(self.asked), floor is None))


@implementer(IDirectoryUser)
class User:
    def __init__(self) -> None:
        self.got: list[tuple[str, Sequence[Any]]] = []
        self.behind: Sequence[Any] = ()
        self.back = 0
        self.trouble: Exception | None = None
        self.needs_gone: dict[str, str] = {}  # a gateway that there cannot be beside another one

    def known(self) -> object:
        return None

    def gateway_faults(self, gateways: Sequence[StoredGateway]) -> dict[str, str]:
        found: dict[str, str] = {}
        for gateway in gateways:
            other = self.needs_gone.get(gateway.name)
            if gateway.name == "bad":
                found["bad"] = "clashes with another one"
            elif other is not None and other not in self.gone():
                found[gateway.name] = f"clashes with {other}"
        return found

    def gone(self) -> set[str]:
        return {one.name for kind, values in self.got if kind == "gateway" for one in values if one.removed}

    def adopt(self, kind: str, values: Sequence[Any]) -> Deferred[None]:
        if self.trouble is not None:
            return fail(self.trouble)
        self.got.append((kind, values))
        return succeed(None)

    def is_behind(self, keys: Sequence[tuple[str, Any]]) -> None:
        self.behind = keys

    def is_back(self) -> None:
        self.back += 1


def account(name: str) -> Account:
    return Account(username=name, domain="example.com", version=1)


class FollowingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.directory, self.listener, self.user = Clock(), Directory(), Listener(), User()
        self.follower = DirectoryFollower(self.clock, self.directory, self.listener, self.user)
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def tearDown(self) -> None:
        self.successResultOf(self.follower.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def start(self) -> None:
        self.follower.startService()
        self.clock.advance(0)

    def log(self) -> list[str]:
        return [formatEvent(one) for one in self.events]

    def test_everything_at_first(self) -> None:
        """It listens before it reads, so that nothing is missed between."""
        verifyObject(IDirectoryUser, self.user)
        gateway = StoredGateway(name="x", version=1)
        self.directory.next = Reading(5, True, [account("alice")], [gateway])
        self.start()
        self.assertEqual((self.listener.opened, self.directory.asked), (1, [None]))
        self.assertEqual(self.user.got, [("account", [account("alice")]), ("gateway", [gateway])])
        self.assertEqual((self.follower.trouble, self.user.back), ("", 1))

    def test_then_what_changes(self) -> None:
        """At once when it is told, and from time to time, since not every change is."""
        self.directory.next = Reading(5, True)
        self.start()
        self.listener.changed()
        self.listener.changed()
        self.clock.advance(GATHER)
        self.assertEqual(self.directory.asked, [None, 5])
        self.clock.advance(POLL)
        self.assertEqual(len(self.directory.asked), 3)

    def test_told_while_it_reads(self) -> None:
        """It reads once more."""
        later: Deferred[Reading] = Deferred()
        self.directory.next = later
        self.start()
        self.listener.changed()
        self.clock.advance(GATHER)
        self.assertEqual(len(self.directory.asked), 1)
        later.callback(Reading(5, True))
        self.clock.advance(GATHER)
        self.assertEqual(self.directory.asked, [None, 5])

    def test_in_batches(self) -> None:
        self.directory.next = Reading(5, True, [account(f"u{n}") for n in range(BATCH + 1)])
        self.start()
        self.assertEqual([len(values) for _, values in self.user.got], [BATCH, 1])

    def test_gone_and_back(self) -> None:
        """One line at the begin and one at the end; it is tried later and later, and everything is read anew."""
        self.start()
        self.directory.next = NotReachable("connection\nrefused")
        self.clock.advance(POLL)
        self.assertEqual(self.follower.trouble, "connection refused")
        delays = []
        for _ in range(8):
            self.directory.next = NotReachable("connection refused")
            (call,) = self.clock.getDelayedCalls()
            delays.append(call.getTime() - self.clock.seconds())
            self.clock.advance(delays[-1])
        self.assertEqual(delays[:3], [FIRST_RETRY, 2 * FIRST_RETRY, 4 * FIRST_RETRY])
        self.assertEqual(delays[-1], LAST_RETRY)
        self.clock.advance(LAST_RETRY)
        self.assertEqual((self.directory.asked[-1], self.follower.trouble, self.user.back), (None, "", 2))
        self.assertEqual(
            [line for line in self.log() if "shared database" in line],
            [
                "accounts and gateways: the shared database is gone, the node goes on with its copy: connection refused",
                "accounts and gateways: the shared database is back",
            ],
        )

    def test_the_connection_is_lost(self) -> None:
        """That is told by the one that listens, long before it is asked again."""
        self.start()
        self.listener.lost("closed by the server")
        self.assertEqual(self.follower.trouble, "closed by the server")
        self.clock.advance(FIRST_RETRY)
        self.assertEqual((self.listener.opened, self.directory.asked), (2, [None, None]))

    def test_lost_while_it_reads(self) -> None:
        later: Deferred[Reading] = Deferred()
        self.directory.next = later
        self.start()
        self.listener.lost("closed")
        later.callback(Reading(5, True))
        self.clock.advance(FIRST_RETRY)
        self.assertEqual((self.listener.opened, self.directory.asked), (2, [None, None]))

    def test_a_disk_that_refuses(self) -> None:
        """What could not be kept is read again."""
        self.directory.next = Reading(5, True, [account("alice")])
        self.user.trouble = OSError("disk full")
        self.start()
        self.assertEqual(self.follower.trouble, "disk full")
        self.flushLoggedErrors(OSError)
        self.user.trouble = None
        self.directory.next = Reading(6, True, [account("alice")])
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(len(self.user.got), 1)

    def test_wrong_rows(self) -> None:
        """Each is said once, shown while it is wrong, and forgotten when it is right, or gone."""
        wrong = ("account", ("x", "example.com"))
        reading = Reading(
            5, True, [account("alice")], [StoredGateway(name="bad", version=1)], strays=["stray"]
        )
        reading.read = {wrong, ("gateway", "bad")}
        reading.faults = {wrong: "has no ha1"}
        self.directory.next = reading
        self.start()
        self.assertEqual(self.user.got, [("account", [account("alice")])])
        lines = [
            "user x@example.com has no ha1",
            "address stray is the tag of addresses, and no gateway of the table dispatcher is called so",
            "gateway bad clashes with another one",
        ]
        self.assertEqual(sorted(self.follower.told()), sorted(lines))
        self.directory.next = Reading(6, False, read={wrong}, faults={wrong: "has no ha1"}, strays=["stray"])
        self.clock.advance(POLL)
        self.assertEqual(sorted(self.follower.told()), sorted(lines))
        for line in lines:
            self.assertEqual(sum(line in one for one in self.log()), 1)
        self.directory.next = Reading(7, False, read={wrong, ("gateway", "bad")})
        self.clock.advance(POLL)
        self.assertEqual(self.follower.told(), [])

    def test_a_gateway_of_another_name(self) -> None:
        """It may have what the former one has, which is gone by then."""
        self.user.needs_gone = {"new": "old"}
        new, old = (
            StoredGateway(name="new", version=2),
            StoredGateway(name="old", removed=True, version=2),
        )
        self.directory.next = Reading(
            5, True, gateways=[new, old], read={("gateway", "new"), ("gateway", "old")}
        )
        self.start()
        self.assertEqual(self.user.got, [("gateway", [old]), ("gateway", [new])])
        self.assertEqual(self.follower.told(), [])

    def test_a_clash_that_is_over(self) -> None:
        """What was passed over counts as soon as what it clashed with is gone, whoever removed that."""
        self.user.needs_gone = {"new": "old"}
        new, old = StoredGateway(name="new", version=2), StoredGateway(name="old", removed=True, version=3)
        self.directory.next = Reading(5, True, gateways=[new], read={("gateway", "new")})
        self.start()
        self.assertEqual((self.user.got, self.follower.told()), ([], ["gateway new clashes with old"]))
        self.clock.advance(POLL)
        self.assertEqual(self.follower.told(), ["gateway new clashes with old"])
        self.directory.next = Reading(6, False, gateways=[old], read={("gateway", "old")})
        self.clock.advance(POLL)
        self.assertEqual(self.user.got, [("gateway", [old]), ("gateway", [new])])
        self.assertEqual(self.follower.told(), [])
        self.directory.next = Reading(7, False, read={("gateway", "old")})
        self.clock.advance(POLL)
        self.assertEqual(len(self.user.got), 2)

    def test_very_many_wrong_rows(self) -> None:
        faults = {("account", (f"u{n}", "far.example")): "is of another domain" for n in range(100)}
        self.directory.next = Reading(5, True, faults=dict(faults), read=set(faults))
        self.start()
        self.assertEqual(self.follower.told()[MOST_FAULTS:], [f"and {100 - MOST_FAULTS} more"])
        self.assertEqual(len([line for line in self.log() if "passed over" in line]), MOST_FAULTS + 1)

    def test_what_the_database_has_older(self) -> None:
        self.directory.next = Reading(5, True, behind=[("gateway", "x")])
        self.start()
        self.assertEqual(self.user.behind, [("gateway", "x")])

    def test_stopped_while_it_reads(self) -> None:
        """It waits for the answer, and takes nothing of it."""
        later: Deferred[Reading] = Deferred()
        self.directory.next = later
        self.start()
        done = self.follower.stopService()
        self.assertNoResult(done)
        later.callback(Reading(5, True, [account("alice")]))
        self.successResultOf(done)
        self.assertEqual(self.user.got, [])
