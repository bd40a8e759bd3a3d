"""The state directory: modes, lock, epochs, damage."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.errors import UsageError
from voipcluster.store.state import NodeState, open_state

ROSTER = {"roster": json.dumps({"members": [{"name": "b"}]}), "signature": "c2ln"}


class StateCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())

    def open(self) -> NodeState:
        state = open_state(self.directory)
        self.addCleanup(state.close)
        return state

    def member(self) -> NodeState:
        state = self.open()
        state.enter("c1", "b", "secondary", ROSTER, {"node.key": b"secret"})
        return state


class Directory(StateCase):
    def test_it_is_made_and_private(self) -> None:
        """The directory has mode 0700 and each file 0600, whatever the umask is."""
        old = os.umask(0)
        self.addCleanup(os.umask, old)
        self.member()
        self.assertEqual(stat.S_IMODE(self.directory.stat().st_mode), 0o700)
        for path in self.directory.iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)

    def test_an_open_directory_is_closed_to_others(self) -> None:
        """A directory that others could read is made private."""
        self.directory.mkdir(mode=0o755)
        self.open()
        self.assertEqual(stat.S_IMODE(self.directory.stat().st_mode), 0o700)

    def test_a_second_process_is_refused(self) -> None:
        """The error names the directory and the process that has it."""
        self.open()
        error = self.assertRaises(UsageError, open_state, self.directory)
        self.assertIn(str(self.directory), str(error))
        self.assertIn(str(os.getpid()), str(error))
        self.assertNotIn("\n", str(error))

    def test_the_lock_ends_with_close(self) -> None:
        """A closed directory can be opened again; closing twice is harmless."""
        state = self.open()
        state.close()
        state.close()
        self.open()

    def test_a_file_in_its_place_is_refused(self) -> None:
        """What is not a directory gives one line."""
        self.directory.write_text("x")
        self.assertIn(str(self.directory), str(self.assertRaises(UsageError, open_state, self.directory)))

    def test_a_missing_file_is_named(self) -> None:
        """The error of a missing key names it."""
        self.assertIn("ca.pem", str(self.assertRaises(UsageError, self.open().read, "ca.pem")))


class Membership(StateCase):
    def test_a_member_is_one_after_a_restart(self) -> None:
        """What was entered is there again; the members can be read by people too."""
        self.member().close()
        state = self.open()
        self.assertEqual((state.cluster, state.name, state.role), ("c1", "b", "secondary"))
        self.assertEqual((state.roster, state.read("node.key")), (ROSTER, b"secret"))
        self.assertEqual(json.loads(state.read("cluster.json"))["members"], [{"name": "b"}])

    def test_half_a_joining_is_none(self) -> None:
        """Without cluster.json, which is written last, the directory counts as empty."""
        self.member().close()
        (self.directory / "cluster.json").unlink()
        self.assertFalse(self.open().is_member)

    def test_damage_is_one_line(self) -> None:
        """A damaged or foreign cluster.json gives one line that names it, and no lock stays."""
        self.member().close()
        path = self.directory / "cluster.json"
        good = json.loads(path.read_text())
        for bad in ("", "[]", "{}", "[" * 9999, json.dumps(good | {"format": 9}), json.dumps(good | {"epoch": "1"}),
                    json.dumps(good | {"role": "boss"}), json.dumps(good | {"roster": 1})):  # fmt: skip
            path.write_text(bad)
            error = str(self.assertRaises(UsageError, open_state, self.directory))
            self.assertIn("cluster.json", error)
            self.assertNotIn("\n", error)
        path.write_text(json.dumps(good))
        self.open()

    def test_another_role_or_name_is_refused(self) -> None:
        """The directory of a secondary starts neither as primary nor under another name."""
        state = self.member()
        state.check_role("secondary", "b")
        state.check_role("secondary", "")
        self.assertIn("secondary", str(self.assertRaises(UsageError, state.check_role, "primary", "b")))
        self.assertIn("node b", str(self.assertRaises(UsageError, state.check_role, "secondary", "c")))


class Epochs(StateCase):
    def test_each_life_has_a_higher_epoch(self) -> None:
        """It is the time, or one more when the clock has not moved or went back."""
        state = self.member()
        self.assertEqual(
            [state.next_epoch(now) for now in (1000.5, 1000.6, 900.0, 2000.0)], [1000, 1001, 1002, 2000]
        )
        state.close()
        self.assertEqual(self.open().next_epoch(5.0), 2001)

    def test_a_lost_counter_is_no_harm(self) -> None:
        """A node that joins anew with an empty directory is still above its earlier lives."""
        state = self.member()
        before = state.next_epoch(1000.0)
        state.close()
        (self.directory / "cluster.json").unlink()
        self.assertGreater(self.member_again().next_epoch(1010.0), before)

    def member_again(self) -> NodeState:
        return self.member()

    def test_a_crash_while_writing_leaves_the_old_file(self) -> None:
        """A leftover of an interrupted write is not read and does not disturb the next one."""
        state = self.member()
        (self.directory / ".cluster.json.new").write_text("half")
        state.next_epoch(7.0)
        state.close()
        self.assertEqual(self.open().epoch, 7)
