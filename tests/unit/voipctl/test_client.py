"""Asking a node over its socket and over its web page: what is sent, and one line for whatever goes wrong."""

from __future__ import annotations

import errno
import io
import json
import socket
from typing import Any, BinaryIO

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.services.commands import COMMANDS
from voipcluster.voipctl import client
from voipcluster.voipctl.client import LOOKS, QUICK, TIMEOUT, SocketClient


class FakeSocket:
    """
    A UNIX socket with a node at its end.

    @cvar answer: the pieces that it reads, or an exception that C{connect} raises; C{asked}: what was sent, and where.
    """

    answer: list[bytes] | Exception = []
    asked: list[tuple[str, Any]] = []

    def __init__(self, family: int, kind: int) -> None:
        assert (family, kind) == (socket.AF_UNIX, socket.SOCK_STREAM)
        self._pieces = list(self.answer) if isinstance(self.answer, list) else []

    def __enter__(self) -> FakeSocket:
        return self

    def __exit__(self, *error: object) -> None:
        self.asked.append(("closed", None))

    def settimeout(self, seconds: float) -> None:
        self.asked.append(("timeout", seconds))

    def connect(self, path: str) -> None:
        self.asked.append(("connect", path))
        if isinstance(self.answer, Exception):
            raise self.answer

    def sendall(self, data: bytes) -> None:
        self.asked.append(("sent", data))

    def makefile(self, mode: str, buffering: int) -> BinaryIO:
        assert mode == "rb"
        return io.BytesIO(b"".join(self._pieces))

    def recv(self, size: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


class SocketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(client.socket, "socket", FakeSocket)
        self.patch(FakeSocket, "asked", [])
        self.client = SocketClient("/var/lib/voipcluster")

    def node(self, answer: list[bytes] | Exception) -> None:
        self.patch(FakeSocket, "answer", answer)

    def refusal(self) -> str:
        text = str(self.assertRaises(UsageError, self.client.ask, "status"))
        self.assertEqual(len(text.splitlines()), 1)
        return text

    def test_asked(self) -> None:
        """One line of JSON goes to the socket of the state directory, and the result comes back, in pieces or whole."""
        self.node([b'{"result": [', b'{"call_id": "x"}]', b"}\n"])
        self.assertEqual(self.client.ask("calls", call_id="\u00e4"), [{"call_id": "x"}])
        self.assertEqual(FakeSocket.asked[0], ("timeout", QUICK))
        self.assertEqual(FakeSocket.asked[1], ("connect", "/var/lib/voipcluster/admin.sock"))
        name, sent = FakeSocket.asked[2]
        self.assertTrue(name == "sent" and sent.endswith(b"\n") and sent.count(b"\n") == 1)
        self.assertEqual(json.loads(sent), {"command": "calls", "arguments": {"call_id": "\u00e4"}})
        self.assertEqual(FakeSocket.asked[-1], ("closed", None))

    def test_nothing_is_a_result(self) -> None:
        """C{null} is what commands answer that only do something."""
        self.node([b'{"result": null}\n'])
        self.assertIsNone(self.client.ask("drain"))

    def test_refused(self) -> None:
        """The node's own words are the error."""
        self.node([b'{"error": "there is no user x"}\n'])
        self.assertEqual(self.refusal(), "there is no user x")

    def test_nobody_is_there(self) -> None:
        """Neither a missing socket nor one that a killed node left is a traceback; the directory is named."""
        for error in (FileNotFoundError(), ConnectionRefusedError()):
            self.node(error)
            self.assertEqual(
                self.refusal(), "no node is running on the state directory /var/lib/voipcluster (--state-dir)"
            )

    def test_not_allowed(self) -> None:
        """Another user's node, and one that hangs, are told as they are."""
        self.node(PermissionError(errno.EACCES, "Permission denied"))
        self.assertEqual(self.refusal(), "/var/lib/voipcluster/admin.sock: Permission denied")
        self.node(TimeoutError())
        self.assertEqual(
            self.refusal(), "/var/lib/voipcluster/admin.sock: the node does not answer within 10 s"
        )

    def test_patience(self) -> None:
        """A node that hangs is soon given up where it is only looked at; what it has to do may take longer."""
        for command, patience in (("status", QUICK), ("reload", TIMEOUT), ("user-import", TIMEOUT)):
            self.node(TimeoutError())
            FakeSocket.asked.clear()
            told = str(self.assertRaises(UsageError, self.client.ask, command))
            self.assertEqual((FakeSocket.asked[0], told[-5:]), (("timeout", patience), f" {patience:.0f} s"))
        self.assertLessEqual(LOOKS, COMMANDS.keys())

    def test_not_a_node(self) -> None:
        """What is no answer, one that breaks off and one without end are told apart."""
        for answer in (b"hello\n", b"[]\n", b"{}\n", b"null\n", b"[" * 100_000 + b"\n"):
            self.node([answer])
            self.assertIn("not an answer of a node", self.refusal(), answer[:9])
        self.node([b'{"result"'])
        self.assertEqual(self.refusal(), "the node's answer breaks off")
        self.patch(client, "MAX_ANSWER", 10)
        self.node([b"x" * 8, b"x" * 8])
        self.assertEqual(self.refusal(), "the node's answer is too long")

    def sent(self) -> list[dict[str, Any]]:
        return [json.loads(data)["arguments"] for name, data in FakeSocket.asked if name == "sent"]

    def test_parts(self) -> None:
        """One connection for all of a list; the node is asked for the next part before the caller works on the last one."""
        self.node([b'{"result": [1, 2]}\n', b'{"result": [3]}\n'])
        parts = self.client.parts("registrations", 2, aor=None)
        self.assertEqual(next(parts), [1, 2])
        self.assertEqual(
            self.sent(), [{"aor": None, "limit": 2, "after": 0}, {"aor": None, "limit": 2, "after": 2}]
        )
        self.assertEqual(next(parts), [3])
        parts.close()
        self.assertEqual([name for name, _ in FakeSocket.asked].count("connect"), 1)
        self.assertEqual(FakeSocket.asked[-1], ("closed", None))

    def test_parts_that_overlap(self) -> None:
        """Each begins with the last rows of the one before."""
        self.node([b'{"result": [1, 2, 3]}\n', b'{"result": [3, 4, 5]}\n'])
        parts = self.client.parts("calls", 3, overlap=1)
        next(parts)
        next(parts)
        self.assertEqual([(one["limit"], one["after"]) for one in self.sent()], [(3, 0), (3, 2), (3, 4)])

    def test_parts_that_are_not_wanted(self) -> None:
        """Where one part is probably enough, the node is not asked for the next one; it is when it was not."""
        self.node([b'{"result": [1]}\n', b'{"result": [2]}\n'])
        parts = self.client.parts("registrations", 2, 2)
        self.assertEqual(next(parts), [1])
        self.assertEqual(len(self.sent()), 1)
        self.assertEqual(next(parts), [2])
        self.assertEqual([one["after"] for one in self.sent()], [0, 2])

    def test_stream(self) -> None:
        """One question, and an answer for each part, up to the one that is none; what is not wanted is not read."""
        self.node([b'{"result": {"rows": [1]}}\n{"result": {"rows": [2]}}\n', b'{"result": null}\n'])
        found = list(self.client.stream("registrations", parts=0))
        self.assertEqual(found, [{"rows": [1]}, {"rows": [2]}])
        self.assertEqual(self.sent(), [{"parts": 0}])
        self.assertEqual(FakeSocket.asked[-1], ("closed", None))
        parts = self.client.stream("registrations", parts=0)
        self.assertEqual(next(parts), {"rows": [1]})
        parts.close()
        self.assertEqual(FakeSocket.asked[-1], ("closed", None))

    def test_stream_that_is_cut(self) -> None:
        """A part of a list is not taken for all of it: neither when the node dies, nor when it fails at a later part."""
        for rest, told in (
            (b"", "the node's answer breaks off"),
            (b'{"result": {"ro', "the node's answer breaks off"),
            (b'{"error": "the node failed"}\n', "the node failed"),
            (b"hello\n", "/var/lib/voipcluster/admin.sock: not an answer of a node"),
        ):
            self.node([b'{"result": {"rows": [1]}}\n' + rest])
            parts = self.client.stream("registrations", parts=0)
            self.assertEqual(next(parts), {"rows": [1]})
            self.assertEqual(str(self.assertRaises(UsageError, next, parts)), told)
        self.patch(client, "MAX_ANSWER", 10)
        self.node([b"x" * 16])
        told = str(self.assertRaises(UsageError, next, self.client.stream("registrations", parts=0)))
        self.assertEqual(told, "the node's answer is too long")

    def test_parts_refused(self) -> None:
        """Errors are those of one question."""
        self.node([b'{"error": "unknown argument"}\n'])
        self.assertRaises(UsageError, next, self.client.parts("registrations", 2))
        self.node(FileNotFoundError())
        text = str(self.assertRaises(UsageError, next, self.client.parts("registrations", 2)))
        self.assertIn("no node is running", text)
