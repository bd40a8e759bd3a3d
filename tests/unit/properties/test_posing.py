"""A stranger who tries whatever he can within calls: nothing that starts something leaves to where he likes (S7, toll fraud)."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.services.sip_world import Node, Phone, World
from voipcluster.sip.message import Request, Response
from voipcluster.sip.outgoing import reply

STEPS = 60
CARRIER = "203.0.113.77"  # takes calls from the address of a node alone, and passes those of others on to us
NUMBERS = [f"sip:+1900@{CARRIER}", f"sip:+1901@{CARRIER}:5060"]
STARTING = ["INVITE", "MESSAGE", "REFER", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REGISTER", "FETCH"]
METHODS = [*STARTING, *["INVITE"] * 2, *["UPDATE"] * 6, "OPTIONS", "INFO", "PRACK", "ACK"]
OURS = ["sip:bob@example.com", "sip:alice@example.com"]
STRANGERS = ["sip:evil@foreign.org", "tel:+1", "sip:bob@example.com."]
CALL_IDS = ["k", "l"]


class Stranger:
    """
    He sits at several addresses and behind a carrier, sees all that reaches them, and remembers dialogs and our tokens.

    @ivar carrier: whatever it is asked to start comes of him: nobody else has reason to send something there.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = world = World()
        self.nodes = [world.node(name, auth=True) for name in "ab"]
        self.bob = world.phone("bob", "198.51.100.2")
        self.alice = world.phone("alice", "198.51.100.1")
        self.carrier = world.phone("evil", CARRIER)
        self.ends = [
            world.phone("evil", "203.0.113.9"),
            world.phone("evil", "203.0.113.10"),
            world.phone("evil", "203.0.113.9", "TCP", 40001),
        ]
        self.dialogs: list[tuple[str, str, str]] = []
        self.tokens: dict[str, list[str]] = {}
        self.uris = [
            *NUMBERS * 4, *(end.uri for end in self.ends), self.bob.uri, self.alice.uri, f"sip:x@{CARRIER};lr",
            f"sip:+1900@203.0.113.9;maddr={CARRIER}", *["sip:evil@10.0.0.7"] * 3,
        ]  # fmt: skip
        self.planted = [f"<sip:{CARRIER};lr>", f"<sip:{CARRIER}>", "<sip:203.0.113.10;lr>"]
        for phone in (self.bob, self.alice):
            self._registers(phone, self.random.choice(self.nodes))

    def _registers(self, phone: Phone, node: Node) -> None:
        phone.register(node)
        challenge = phone.response(401)
        phone.register(node, headers=[phone.credentials(challenge, "REGISTER", "sip:example.com")])
        phone.took()

    def step(self) -> list[str]:
        """One attempt, and what comes of it. @return: what the carrier was asked to start."""
        choose, chance = self.random.choice, self.random.random()
        by, node = choose([*self.ends, self.carrier]), choose(self.nodes)
        headers = [f"Record-Route: {choose(self.planted)}"] if self.random.random() < 0.2 else []
        if by is self.carrier or self.random.random() < 0.1:
            headers.append("Via: SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bKbehind")
        if chance < 0.12:
            by.tag = choose(["tag-evil", "tag-alice", "tag-other"])
            by.send(
                node, "INVITE", choose([*OURS, "sip:bob@192.0.2.1"]), from_uri=choose(STRANGERS), call_id=choose(CALL_IDS),
                cseq=self.world.branches, contact=choose(self.uris), headers=headers,
            )  # fmt: skip
        elif chance < 0.2:
            self._is_called(node)
        elif self.dialogs:
            self._sends_within(by, node, headers)
        by.tag = "tag-evil"
        asked = []
        for _ in range(3):
            asked += [m.method for m in self.carrier.inbox if isinstance(m, Request) and m.method in STARTING]
            self._phones_answer()
            self._answers()
        return asked

    def _is_called(self, node: Node) -> None:
        """Alice calls him."""
        uri, call_id = (
            f"sip:evil@{self.random.choice(self.ends[:2]).address[0]}",
            self.random.choice(CALL_IDS),
        )
        self.alice.send(node, "INVITE", uri, call_id=call_id, cseq=self.world.branches)
        challenges = [m for m in self.alice.inbox if isinstance(m, Response) and m.status == 407]
        if challenges:
            proof = self.alice.credentials(challenges[-1], "INVITE", uri)
            self.alice.send(node, "INVITE", uri, call_id=call_id, cseq=self.world.branches, headers=[proof])

    def _sends_within(self, by: Phone, node: Node, headers: list[str]) -> None:
        choose, some = self.random.choice, self.random.random
        call_id, by.tag, other = choose(self.dialogs)
        if some() < 0.5:
            by.tag, other = other, by.tag
        tokens = self.tokens.get(call_id, [])
        routes = self.random.sample(tokens, min(len(tokens), choose([1, 1, 1, 1, 2])))
        if some() < 0.1:
            routes = [value.replace("192.0.2.1:", "192.0.2.2:") for value in routes]
        if some() < 0.15:
            routes.append(choose(self.planted))
        uri = choose(self.uris)
        if some() < 0.05 and routes:  # as behind a strict router
            uri, routes = routes[0].strip("<>"), [*routes[1:], f"<{uri}>"]
        by.send(
            node, choose(METHODS), uri, from_uri=choose([*OURS, *STRANGERS, "sip:example.com"]), call_id=call_id,
            cseq=self.world.branches, to_tag=other, routes=routes, headers=headers, contact=choose(self.uris),
        )  # fmt: skip

    def _phones_answer(self) -> None:
        """Our users' phones take everything."""
        for phone in (self.bob, self.alice):
            for message in list(phone.inbox):
                if isinstance(message, Request) and message.method != "ACK":
                    phone.reply(message, 200)
            phone.took()

    def _answers(self) -> None:
        """He answers what he likes, with a Contact and a Record-Route that he likes."""
        for end in (*self.ends, self.carrier):
            for message in list(end.inbox):
                self._sees(message)
                if not isinstance(message, Request) or message.method == "ACK" or self.random.random() < 0.2:
                    continue
                more = [("record-route", value) for value in message.values("record-route")]
                if self.random.random() < 0.3:
                    more.insert(0, ("record-route", self.random.choice(self.planted)))
                more.append(("contact", f"<{self.random.choice(self.uris)}>"))
                status = self.random.choice([200, 200, 200, 180, 486])
                self._respond(end, message, reply(message, status, None, end.tag, more))
            end.took()

    def _respond(self, end: Phone, request: Request, response: Response) -> None:
        via = request.top_via
        self.world.network.put(end.transport, end.address, (via.host, via.port or 5060), response.to_bytes())
        self.world.run()

    def _sees(self, message: Request | Response) -> None:
        known = self.tokens.setdefault(message.call_id, [])
        for value in (*message.values("record-route"), *message.values("route")):
            if "call=" in value and value not in known:
                known.append(value)
        dialog = message.call_id, message.from_tag or "", message.to_tag or ""
        if all(dialog) and dialog not in self.dialogs:
            self.dialogs.append(dialog)


class PosingTests(SynchronousTestCase):
    @given(st.integers(0, 2**32 - 1))
    def test_nothing_leaves(self, seed: int) -> None:
        """Whatever he announces, plants, answers and poses as, through whichever node: the carrier is asked to start nothing."""
        stranger = Stranger(seed)
        for number in range(STEPS):
            self.assertEqual(stranger.step(), [], (seed, number))
        # and he was in calls, which is where he tries it
        self.assertTrue(stranger.dialogs or not any(node.calls.started for node in stranger.nodes))
