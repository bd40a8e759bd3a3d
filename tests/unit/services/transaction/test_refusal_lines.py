"""What the log says of those who were refused."""

from __future__ import annotations

from twisted.logger import LogEvent, Logger, LogLevel, formatEvent

from tests.unit.services.sip_world import WorldCase
from voipcluster.services.notices import LINES
from voipcluster.services.transaction.refusal_lines import RefusalLines


class RefusalLinesTests(WorldCase):
    def setUp(self) -> None:
        super().setUp()
        self.events: list[LogEvent] = []
        self.patch(RefusalLines, "_log", Logger("test", observer=self.events.append))
        self.node = self.world.node("a", auth=True)
        self.alice = self.world.phone("alice", "198.51.100.1")

    @property
    def lines(self) -> list[str]:
        return [formatEvent(event) for event in self.events]

    def test_no_such_user(self) -> None:
        """A call to nobody: who, whom, from where, and why, with the Call-ID beside it; no fault of ours."""
        self.node = self.world.node("b")
        self.alice.send(self.node, "INVITE", "sip:nobody:secret@example.com;x=y", call_id="c")
        (line,) = self.lines
        self.assertEqual(
            line,
            "'INVITE' from 'alice@example.com' to 'nobody@example.com' over udp:198.51.100.1:5060 gets 404: no such user",
        )
        self.assertEqual((self.events[0]["log_level"], self.events[0]["call"]), (LogLevel.info, "c"))

    def test_foreign_domain(self) -> None:
        """A REGISTER of a domain that is not ours."""
        self.alice.send(
            self.node, "REGISTER", "sip:foreign.example", call_id="r", from_uri="sip:x@foreign.example"
        )
        (line,) = self.lines
        self.assertRegex(line, "^REGISTER of '.*' at 'foreign.example' over udp:198.51.100.1:5060 gets 403: ")

    def test_wrong_password(self) -> None:
        """Credentials that are wrong, of a user or of nobody, are one kind; a question for a password is none."""
        self.alice.send(self.node, "REGISTER", "sip:example.com", call_id="r", headers=["Expires: 600"])
        self.assertEqual(self.lines, [])
        answer = self.alice.credentials(self.alice.response(401), "REGISTER", "sip:example.com", "wrong")
        self.alice.send(
            self.node, "REGISTER", "sip:example.com", call_id="r", cseq=2, headers=["Expires: 600", answer]
        )
        (line,) = self.lines
        self.assertRegex(
            line,
            "^REGISTER of 'alice@example.com' at .* gets 401: wrong password, or no such user: 'alice@example.com'$",
        )
        self.assertNotIn("wrong password,", answer)

    def test_what_the_registrar_refuses(self) -> None:
        """An interval that is too short."""
        node = self.world.node("b")
        self.alice.send(node, "REGISTER", "sip:example.com", call_id="r", headers=["Expires: 1"])
        (line,) = self.lines
        self.assertIn("gets 423: Interval Too Brief", line)

    def test_a_flood(self) -> None:
        """A thousand of one kind are a few lines, and another kind is seen all the same."""
        node = self.world.node("b")
        for number in range(100):
            self.alice.send(
                node, "INVITE", "sip:nobody@example.com", call_id=f"c{number}", branch=f"b{number}"
            )
        self.assertEqual(len(self.lines), LINES)
        self.alice.send(node, "REGISTER", "sip:example.com", call_id="r", headers=["Expires: 1"])
        self.assertEqual(len(self.lines), LINES + 1)
