"""Which node is asked."""

from __future__ import annotations

from tests.unit.voipctl.cli_case import CliCase
from voipcluster.voipctl import asked


class AskedTests(CliCase):
    def test_where(self) -> None:
        """The node to ask may be named in front of the command or behind it; one that is left out is the usual place."""
        self.patch(asked, "client_of", self.original)
        for argv, place in (
            (("--state-dir", "no/a", "status"), "no/a"),
            (("status", "--state-dir", "no/b"), "no/b"),
            (("user", "list", "--state-dir", "no/c"), "no/c"),
            (("user", "--state-dir", "no/d", "list"), "no/d"),
            (("status",), "voipcluster-state"),
        ):
            text = f"voipctl: no node is running on the state directory {place} (--state-dir)\n"
            self.assertEqual(self.run_main(*argv), (1, "", text))
        status, _, err = self.run_main("user", "list", "--url", "http://127.0.0.1:9/")
        self.assertEqual((status, "'user list'" in err), (1, True), err)
