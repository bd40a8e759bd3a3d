"""Phones that people have, through the relay, on each of its paths: what each of them hears, in every phase of a call."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from twisted.internet.defer import Deferred, gatherResults

from tests.integration.harness import DOMAIN, ClusterTestCase
from tests.integration.run_baresip import Baresip
from tests.integration.run_linphone import Linphone
from tests.network import refused

CALLS = [
    ("PCMU/8000/1", ""),
    ("G722/16000/1", ""),
    ("opus/48000/2", ""),
    ("PCMU/8000/1", "srtp-mand"),
    ("PCMU/8000/1", "dtls_srtp"),
]

MORE = 20_000  # octets of a recording: 0.1 s with Opus, 1.2 s with PCMU


class Pair(NamedTuple):
    """Two phones in a call; each is to hear the tone of the other one."""

    caller: Baresip
    callee: Baresip
    tones: tuple[int, int]


class PhoneCase(ClusterTestCase):
    path: ClassVar[str]

    async def start(self, *users: str) -> None:
        await self.start_cluster("--set", f"media.relay={self.path}", nodes="a")
        await self.add_users(*users)

    async def pair(self, number: int, codec: str = "PCMU/8000/1", encryption: str = "") -> Pair:
        """A call that is up, with tones of its own."""
        tones = 400 + 100 * number, 1000 + 100 * number
        caller, callee = (f"{side}{number}" for side in ("from", "to"))
        phones = await gatherResults(
            [
                Deferred.fromCoroutine(
                    self.baresip(user, hz=hz, answer=answer, codec=codec, encryption=encryption)
                )
                for user, hz, answer in ((caller, tones[0], False), (callee, tones[1], True))
            ],
            consumeErrors=True,
        )
        await self.reachable(callee)
        await phones[0].dial(f"sip:{callee}@example.com")
        return Pair(*phones, tones)

    async def both_hear(self, *pairs: Pair) -> None:
        """From now on, that is: what they have heard before does not count."""
        phones = [phone for pair in pairs for phone in (pair.caller, pair.callee)]
        before = [phone.heard_so_far() for phone in phones]

        def heard() -> bool:
            grown = (phone.heard_so_far() > size + MORE for phone, size in zip(phones, before, strict=True))
            return all(grown) and all((p.callee.hears(), p.caller.hears()) == p.tones for p in pairs)

        await self.until(heard, "both hear each other")

    async def nothing_comes(self, *phones: Baresip | Linphone) -> None:
        async def silent() -> bool:
            before = [phone.heard_so_far() for phone in phones]
            await self.tick(0.5)
            return before == [phone.heard_so_far() for phone in phones]

        await self.until(silent, "the held hear nothing")

    async def both_send(self, calls: int) -> None:
        """From now on: baresip 1.0 plays, and so records, nothing after a hold, with or without a proxy, but it sends."""
        before = await self.packets()
        self.assertEqual(len(before), calls)

        async def more() -> bool:
            return all(
                now > then + 25
                for now, then in zip(sum(await self.packets(), ()), sum(before, ()), strict=True)
            )

        await self.until(more, "both are relayed again")

    async def packets(self) -> list[tuple[int, ...]]:
        """Of each call, received from the caller and from the callee."""
        rows = await self.primary.ask("calls", call_id=None)
        found = []
        for row in sorted(rows, key=lambda row: row["call_id"]):
            [call] = await self.primary.ask("calls", call_id=row["call_id"])
            [stream] = call["streams"]
            found.append(tuple(direction["packets"] for direction in stream["directions"]))
        return found

    async def kernel_packets(self) -> float:
        """How many packets the kernel has relayed, as F{/metrics} says."""
        name = 'voipcluster_media_packets_total{result="relayed in kernel"} '
        lines = str(await self.primary.ask("metrics")).splitlines()
        return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    async def everything(self) -> None:
        """Codecs, encryptions and an unrelated phone at once, with hold, resume and a re-INVITE in each call."""
        numbers = range(len(CALLS))
        await self.start(*(f"{side}{n}" for n in numbers for side in ("from", "to")), "carol", "dave")
        pairs = await gatherResults(
            [Deferred.fromCoroutine(self.pair(n, *CALLS[n])) for n in numbers], consumeErrors=True
        )
        await self.both_hear(*pairs)
        status = await self.cluster.status()
        self.assertEqual(status["a"]["media"]["path"], self.path)
        for pair in pairs:
            pair.callee.command("reinvite")
        await self.both_hear(*pairs)
        for pair in pairs:
            pair.caller.command("hold")
        await self.nothing_comes(*(pair.callee for pair in pairs))
        for pair in pairs:
            pair.caller.command("resume")
        await self.both_send(len(pairs))
        self.assertEqual(await self.kernel_packets() > 100 * len(pairs), self.path == "kernel")
        for pair in pairs:
            await pair.caller.hang_up()

    def linphone(self, user: str, hz: int, **options: Any) -> Linphone:
        phone = Linphone(self.reactor, user, DOMAIN, self.passwords[user], self.primary.hop(), hz, **options)
        self._programs.append(phone.program)
        self.at_end(phone.stop)
        return phone

    async def hears(self, phone: Baresip | Linphone, hz: int) -> None:
        """From now on: more than a phone has buffered."""
        before = phone.heard_so_far()
        await self.until(
            lambda: phone.heard_so_far() > before + MORE and phone.hears() == hz, f"{hz} Hz are heard"
        )

    async def unlike_phones(self) -> None:
        """linphonec calls baresip, which makes the offer, in the 200; its answer is in the ACK."""
        await self.start("carol", "dave")
        carol = self.linphone("carol", 700, late_offer=True)
        dave = await self.baresip("dave", hz=1700, answer=True)
        await self.reachable("carol", "dave")
        await carol.dial("sip:dave@example.com")
        await self.hears(dave, 700)
        await self.hears(carol, 1700)
        await carol.hang_up()
        await self.until(lambda: 1700 in carol.heard(), "linphonec has heard baresip")

    async def tone_behind_a_hold(self) -> None:
        """Each of two linphonecs holds the other one, hears nothing then, and both hear each other when it has resumed."""
        await self.start("carol", "dave")
        carol, dave = self.linphone("carol", 700, rate=48_000), self.linphone("dave", 1300, rate=48_000)
        await self.reachable("carol", "dave")
        up = carol.dial("sip:dave@example.com")
        await dave.answer()
        await up
        await self.hears(dave, 700)
        await self.hears(carol, 1300)
        for phone in (carol, dave):
            await phone.hold()
            await self.nothing_comes(phone)
            await phone.resume()
            await self.hears(carol, 1300)
            await self.hears(dave, 700)
        if self.path == "kernel":

            async def counted() -> bool:
                return await self.kernel_packets() > 200

            await self.until(counted, "the kernel has relayed it")
        else:
            self.assertEqual(await self.kernel_packets(), 0)
        await dave.hang_up()


class UserSpaceTests(PhoneCase):
    path = "userspace"

    async def test_phones(self) -> None:
        """Relayed by the sockets of the node."""
        await self.everything()

    async def test_unlike_phones(self) -> None:
        """Phones of two families hear each other, after an offer in the 200."""
        await self.unlike_phones()

    async def test_tone_behind_a_hold(self) -> None:
        """What is heard behind a hold is what the other one sends, in both directions."""
        await self.tone_behind_a_hold()


class KernelTests(PhoneCase):
    path = "kernel"
    skip = refused() or None

    async def test_phones(self) -> None:
        """Relayed by the kernel; RTCP and the handshakes of DTLS by the sockets."""
        await self.everything()

    async def test_unlike_phones(self) -> None:
        """Phones of two families hear each other, after an offer in the 200."""
        await self.unlike_phones()

    async def test_tone_behind_a_hold(self) -> None:
        """What is heard behind a hold is what the other one sends, in both directions."""
        await self.tone_behind_a_hold()
