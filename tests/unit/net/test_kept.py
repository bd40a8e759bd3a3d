"""What is kept without a service manager, and who is asked; with real sockets: tests/integration/test_kept.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.net.kept import NO_MANAGER, KeptSockets


class KeptTests(SynchronousTestCase):
    def test_without_a_manager(self) -> None:
        """Nothing is kept, and it is said why; sockets are opened as ever."""
        ours = KeptSockets.of_process({})
        self.assertEqual((ours.trouble, ours.keep([])), (NO_MANAGER, NO_MANAGER))
        made: Any = object()
        self.assertIs(ours.open_udp(lambda host, port: made, "192.0.2.1", 5060), made)
        self.assertEqual(ours.all_taken(), 0)

    def test_of_process(self) -> None:
        """The environment is that of sd_listen_fds(3), and read once; a variable for another process is not for us."""
        environment = {
            "NOTIFY_SOCKET": "/run/x", "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0", "LISTEN_FDNAMES": "",
        }  # fmt: skip
        self.assertEqual(KeptSockets.of_process(environment).trouble, "")
        self.assertNotIn("LISTEN_FDS", environment)
        for wrong in ({"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x"}, {"LISTEN_FDS": "many"}):
            self.assertEqual(KeptSockets.of_process(dict(wrong)).all_taken(), 0)

    def test_a_manager_that_is_gone(self) -> None:
        """It is said that it does not take them, and the process goes on to end."""
        path = Path(self.mktemp())
        self.assertEqual(
            KeptSockets(str(path)).keep([]),
            f"the service manager at {path} does not take the sockets: No such file or directory",
        )
