"""Checklist F: digest authentication (RFC 3261 section 22, RFC 7616, RFC 8760)."""

from __future__ import annotations

import re
import socket
import time

from twisted.internet.threads import deferToThread

from tests.conformance.case import ConformanceTestCase, Message, Peer
from tests.conformance.digest import credentials, parameters
from tests.conformance.marks import requirement
from tests.conformance.peer import new_branch

AGENT = ("User-Agent", "Softphone 7.1")  # who says nothing is taken for one that knows MD5 only


class AuthenticationCase(ConformanceTestCase):
    auth = True
    options = ("--set", "limits.wrong_passwords_per_user=0", "--set", "limits.wrong_passwords_per_address=0")

    async def user(self, name: str) -> Peer:
        await self.add_users(name)
        return self.udp(name)

    async def challenge(self, peer: Peer, method: str = "REGISTER", uri: str = "") -> tuple[Message, Message]:
        """A request and the 401 or 407 to it."""
        request = self.asking(peer, method, uri)
        return request, await peer.exchange(request)

    def asking(self, peer: Peer, method: str = "REGISTER", uri: str = "") -> Message:
        if method == "REGISTER":
            request = peer.request("REGISTER", uri or f"sip:{self.domain}", AGENT, to=f"<{peer.aor}>")
            return request.add("Contact", f"<{peer.uri}>")
        return peer.request(method, uri or f"sip:nobody@{self.domain}", AGENT)

    def again(self, peer: Peer, request: Message, *answers: str, name: str = "Authorization") -> Message:
        """The request once more, with these credentials."""
        made = request.copy().set("CSeq", f"{peer.next_cseq()} {request.method}")
        made.set("Via", *[value.replace(request.branch, new_branch()) for value in request.lines("via")])
        return made.add(name, *answers)

    def answer(self, peer: Peer, request: Message, challenge: str, count: int = 1, password: str = "") -> str:
        secret = password or self.node.users[peer.user]
        return credentials(challenge, request.method, request.uri, peer.user, secret, count)


class ChallengeTests(AuthenticationCase):
    @requirement(121)
    async def test_basic(self) -> None:
        """Basic is neither offered nor accepted (22, RFC 8760 section 2.6)."""
        peer = await self.user("u121")
        request, challenged = await self.challenge(peer)
        self.assertTrue(all(v.startswith("Digest ") for v in challenged.lines("www-authenticate")))
        response = await peer.exchange(self.again(peer, request, "Basic dTEyMTpzZWNyZXQ="))
        self.assertEqual(response.status, 401)
        self.assertEqual(await self.node.ask("registrations", aor=f"u121@{self.domain}"), [])

    @requirement(122)
    async def test_401_and_407(self) -> None:
        """As registrar 401, as proxy 407, both of our realm (22.2, 22.3)."""
        peer = await self.user("u122")
        for method, status, key in (
            ("REGISTER", 401, "www-authenticate"), ("INVITE", 407, "proxy-authenticate"),
            ("MESSAGE", 407, "proxy-authenticate"), ("SUBSCRIBE", 407, "proxy-authenticate"),
        ):  # fmt: skip
            _, challenged = await self.challenge(peer, method)
            self.assertEqual(challenged.status, status)
            self.assertEqual({parameters(v)["realm"] for v in challenged.lines(key)}, {self.domain})

    @requirement(123)
    async def test_never_challenged(self) -> None:
        """Neither ACK nor CANCEL is (22.1)."""
        caller, callee = await self.user("u123"), await self.phone("bob")
        request, challenged = await self.challenge(caller, "INVITE", f"sip:bob@{self.domain}")
        invite = caller.authorized(request, challenged)
        caller.send(invite)
        arrived = await callee.expect("INVITE")
        callee.reply(arrived, 180)
        await caller.expect(180)
        cancel = caller.cancel(invite)
        self.assertEqual((await caller.final(cancel)).status, 200)
        callee.reply(await callee.expect("CANCEL"), 200)
        callee.reply(arrived, 487)
        final = await caller.expect(487)
        caller.ack(invite, final)
        stray = caller.request("ACK", f"sip:bob@{self.domain}")
        caller.send(stray)
        await caller.silence(407)
        await caller.silence(401)

    @requirement(124)
    async def test_two_realms(self) -> None:
        """Only credentials of our realm are taken off; those of others go on as they came (22.3)."""
        caller, callee = await self.user("u124"), await self.phone("bob")
        request, challenged = await self.challenge(caller, "MESSAGE", f"sip:bob@{self.domain}")
        foreign = 'Digest username="x", realm="elsewhere.example",nonce="n",  uri="sip:y", response="0"'
        ours = self.answer(caller, request, challenged.lines("proxy-authenticate")[0])
        caller.send(self.again(caller, request, foreign, ours, name="Proxy-Authorization"))
        arrived = await callee.expect("MESSAGE")
        self.assertEqual(arrived.lines("proxy-authorization"), [foreign])
        callee.reply(arrived, 200)
        self.assertEqual((await caller.expect(200, "MESSAGE")).status, 200)

    @requirement(125)
    async def test_qop(self) -> None:
        """Every challenge has it; an answer without, from an old client, is accepted once (RFC 8760 section 2.6)."""
        peer = await self.user("u125")
        request, challenged = await self.challenge(peer)
        challenges = challenged.lines("www-authenticate")
        self.assertEqual({parameters(v)["qop"] for v in challenges}, {"auth"})
        old = re.sub(r',\s*qop="auth"', "", challenges[-1])
        response = await peer.exchange(self.again(peer, request, self.answer(peer, request, old)))
        self.assertEqual(response.status, 200)
        response = await peer.exchange(self.again(peer, request, self.answer(peer, request, old)))
        self.assertEqual(response.status, 401)
        self.assertEqual(parameters(response.lines("www-authenticate")[0])["stale"], "true")

    @requirement(126)
    async def test_several_algorithms(self) -> None:
        """One challenge for each, the preferred one first; each is accepted (RFC 8760 section 2.3)."""
        peer = await self.user("u126")
        request, challenged = await self.challenge(peer)
        challenges = challenged.lines("www-authenticate")
        self.assertEqual([parameters(v)["algorithm"] for v in challenges], ["SHA-256", "MD5"])
        for value in challenges:
            request, challenged = await self.challenge(peer)
            fresh = next(
                v
                for v in challenged.lines("www-authenticate")
                if parameters(v)["algorithm"] == parameters(value)["algorithm"]
            )
            response = await peer.exchange(self.again(peer, request, self.answer(peer, request, fresh)))
            self.assertEqual(response.status, 200, fresh)

    @requirement(127)
    async def test_sha_256(self) -> None:
        """Its response has 64 hexadecimal digits, and nothing shorter is good (RFC 8760 section 2.2)."""
        peer = await self.user("u127")
        request, challenged = await self.challenge(peer)
        given = self.answer(peer, request, challenged.lines("www-authenticate")[0])
        self.assertEqual(len(parameters(given)["response"]), 64)
        cut = given.replace(parameters(given)["response"], parameters(given)["response"][:32])
        self.assertEqual((await peer.exchange(self.again(peer, request, cut))).status, 401)
        self.assertEqual((await peer.exchange(self.again(peer, request, given))).status, 200)

    @requirement(130)
    async def test_uri(self) -> None:
        """The uri may be another one of ours than the Request-URI; one of a stranger is refused (RFC 8760 section 2.6)."""
        peer = await self.user("u130")
        for uri, status in (
            (f"sip:{self.domain};x=y", 200),
            ("sip:elsewhere.example", 401),
            ("nonsense", 401),
        ):
            request, challenged = await self.challenge(peer)
            asked = challenged.lines("www-authenticate")[0]
            given = credentials(asked, "REGISTER", uri, "u130", self.node.users["u130"])
            self.assertIn(f'uri="{uri}"', given)
            self.assertEqual((await peer.exchange(self.again(peer, request, given))).status, status, uri)

    @requirement(132)
    async def test_we_answer_no_challenge(self) -> None:
        """We are nobody's client yet: a 401 and a 407 of the next hop go to the caller as they are, and bring no credentials."""
        caller, callee = await self.user("u132"), await self.phone("bob")
        for status, name in ((401, "WWW-Authenticate"), (407, "Proxy-Authenticate")):
            request, challenged = await self.challenge(caller, "MESSAGE", f"sip:bob@{self.domain}")
            caller.send(caller.authorized(request, challenged))
            arrived = await callee.expect("MESSAGE")
            self.assertNotIn("proxy-authorization", arrived)
            value = f'Digest realm="{self.domain}", nonce="trap", algorithm=MD5'
            callee.reply(arrived, status, (name, value))
            final = await caller.expect(status, "MESSAGE")
            self.assertEqual(final.lines(name.lower()), [value])
            await callee.silence("MESSAGE")

    @requirement(133)
    async def test_userhash_and_other_letters(self) -> None:
        """They break nothing: a hashed user is nobody we know, a name in UTF-8 is one (RFC 7616 sections 3.4.4 and 4)."""
        peer = await self.user("u133")
        request, challenged = await self.challenge(peer)
        given = self.answer(peer, request, challenged.lines("www-authenticate")[0])
        for changed in (
            given.replace('username="u133"', f'username="{"a1" * 32}", userhash=true'),
            given.replace('username="u133"', 'username="J\u00e4s\u00f8n"'),
            given.replace('username="u133"', "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe"),
            given.replace('username="u133"', "username*=latin-1''x"),
        ):
            self.assertNotEqual(changed, given)
            self.assertEqual((await peer.exchange(self.again(peer, request, changed))).status, 401)
        extended = given.replace('username="u133"', "username*=UTF-8''%7513%33")
        self.assertEqual((await peer.exchange(self.again(peer, request, extended))).status, 200)

    @requirement(134)
    async def test_auth_int(self) -> None:
        """It is not offered, and an answer with it is not accepted."""
        peer = await self.user("u134")
        request, challenged = await self.challenge(peer)
        asked = challenged.lines("www-authenticate")
        self.assertFalse([value for value in asked if "auth-int" in value])
        given = self.answer(peer, request, asked[0]).replace("qop=auth", "qop=auth-int")
        self.assertEqual((await peer.exchange(self.again(peer, request, given))).status, 401)


class NonceTests(AuthenticationCase):
    @requirement(128)
    async def test_unpredictable(self) -> None:
        """Of many nonces no two are the same or begin alike beyond their time (RFC 7616 section 3.3)."""
        peer = await self.user("u128")
        nonces = []
        for _ in range(50):
            _, challenged = await self.challenge(peer)
            nonces.append(parameters(challenged.lines("www-authenticate")[0])["nonce"])
        self.assertEqual(len({nonce[16:] for nonce in nonces}), 50)
        self.assertTrue(all(len(nonce) >= 40 for nonce in nonces))
        request, challenged = await self.challenge(peer)
        forged = challenged.lines("www-authenticate")[0].replace(
            parameters(challenged.lines("www-authenticate")[0])["nonce"], nonces[0][:-3] + "AAA"
        )
        response = await peer.exchange(self.again(peer, request, self.answer(peer, request, forged)))
        self.assertEqual(parameters(response.lines("www-authenticate")[0])["stale"], "true")

    @requirement(129)
    async def test_replay(self) -> None:
        """A count is good once, also from elsewhere; the next one is good, the same one again is stale (RFC 7616 section 3.4)."""
        peer, thief = await self.user("u129"), self.udp("u129")
        request, challenged = await self.challenge(peer)
        asked = challenged.lines("www-authenticate")[0]
        first = self.answer(peer, request, asked, 1)
        self.assertEqual((await peer.exchange(self.again(peer, request, first))).status, 200)
        for who in (peer, thief):
            response = await who.exchange(self.again(who, self.asking(who), first))
            self.assertEqual(response.status, 401)
            self.assertEqual(parameters(response.lines("www-authenticate")[0])["stale"], "true")
        second = self.answer(peer, request, asked, 2)
        self.assertEqual((await peer.exchange(self.again(peer, request, second))).status, 200)
        again = self.answer(peer, request, asked, 1)
        self.assertEqual((await peer.exchange(self.again(peer, request, again))).status, 401)

    @requirement(131)
    async def test_nobody_and_a_wrong_password(self) -> None:
        """They get the same answer in the same time: nobody learns who is a user here (RFC 7616 section 5.7)."""
        peers = [await self.user("u131"), self.udp("x131")]
        wrong: list[tuple[str, bytes]] = []
        for peer in peers:
            request = self.asking(peer).set("Via", f"SIP/2.0/UDP {peer.where};branch={new_branch()};rport")
            asked = (await peer.exchange(request)).lines("www-authenticate")[0]
            for _ in range(1000):
                again = self.again(peer, request, self.answer(peer, request, asked, password="wrong-one"))
                wrong.append((peer.host, again.to_bytes()))
        mixed = [pair for both in zip(wrong[:1000], wrong[1000:], strict=True) for pair in both]
        answers = await deferToThread(_timed, (self.node.address, 5060), mixed)
        shapes, times = zip(*answers, strict=True)
        self.assertEqual(len(set(shapes)), 1, set(shapes))
        known, unknown = sorted(times[0::2]), sorted(times[1::2])
        noise = known[750] - known[250]
        self.assertLess(abs(known[500] - unknown[500]), noise, "seconds that tell a user from nobody")


def _timed(node: tuple[str, int], requests: list[tuple[str, bytes]]) -> list[tuple[str, float]]:
    """What the answer to each request looks like without what is its own, and after how many seconds it came; in a thread."""
    found = []
    sockets: dict[str, socket.socket] = {}
    try:
        for host, data in requests:
            if host not in sockets:
                sockets[host] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                sockets[host].bind((host, 0))
                sockets[host].settimeout(20.0)
            began = time.perf_counter()
            sockets[host].sendto(data, node)
            answer = sockets[host].recv(65535)
            took = time.perf_counter() - began
            message = Message.parse(answer)
            challenges = [re.sub('nonce="[^"]*"', "", value) for value in message.lines("www-authenticate")]
            names = [name for name, _ in message.headers]
            found.append((f"{message.start} {names} {challenges} {message.body!r}", took))
    finally:
        for opened in sockets.values():
            opened.close()
    return found


class ShortNonceTests(AuthenticationCase):
    options = ("--set", "auth.nonce_lifetime=1", *AuthenticationCase.options)

    @requirement(128)
    async def test_expired(self) -> None:
        """After its time a nonce is stale, whatever the password, so nobody is asked for one (RFC 7616 section 3.3)."""
        peer = await self.user("v128")
        request, challenged = await self.challenge(peer)
        asked = challenged.lines("www-authenticate")[0]
        deadline = self.reactor.seconds() + 1.2
        await self.until(lambda: self.reactor.seconds() > deadline, "the nonce is old")
        response = await peer.exchange(self.again(peer, request, self.answer(peer, request, asked)))
        fresh = response.lines("www-authenticate")[0]
        self.assertEqual((response.status, parameters(fresh).get("stale")), (401, "true"))
        # a nonce that is not good tells nobody whether a password is: the guess is counted with one that is
        for challenge, stale in ((asked, "true"), (fresh, None)):
            wrong = await peer.exchange(
                self.again(peer, request, self.answer(peer, request, challenge, password="wrong"))
            )
            self.assertEqual(parameters(wrong.lines("www-authenticate")[0]).get("stale"), stale)
        response = await peer.exchange(self.again(peer, request, self.answer(peer, request, fresh)))
        self.assertEqual(response.status, 200)
