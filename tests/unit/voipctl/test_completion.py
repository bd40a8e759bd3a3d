"""Completion of words, and of files where a file is wanted."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.voipctl.cli import command_line
from voipcluster.voipctl.completion import script


class CompletionTests(SynchronousTestCase):
    def test_files_and_directories(self) -> None:
        """The file of check, and the state directory; the name of a gateway is no file."""
        lines = script(command_line(), "bash").splitlines()
        compgen = {line.partition("=")[0]: line for line in lines if "_COMPGEN=" in line}
        self.assertIn("file", compgen["_shtab_voipctl_check_pos_0_COMPGEN"])
        self.assertIn("dir", compgen["_shtab_voipctl___state_dir_COMPGEN"])
        self.assertNotIn("_shtab_voipctl_gateway_show_pos_0_COMPGEN", compgen)

    def test_each_shell(self) -> None:
        for shell in ("bash", "zsh", "tcsh"):
            self.assertIn("reload", script(command_line(), shell))
