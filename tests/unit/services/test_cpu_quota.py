"""The quotas of control groups, in a tree of files such as the kernel shows it; and of the machine that this runs on."""

from __future__ import annotations

import math
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from voipcluster.services.cpu_quota import CpuQuota

TWO = "30 23 0:26 {top} /sys/fs/cgroup rw,nosuid,nodev shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
ONE = (
    "31 23 0:27 {top} /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "32 23 0:28 {top} /sys/fs/cgroup/cpuset rw shared:10 - cgroup cgroup rw,cpuset\n"
)
ROOT = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"


class CpuQuotaTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.write("proc/thread-self/mountinfo", ROOT)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def mounted(self, mounts: str, group: str, top: str = "/") -> None:
        self.write("proc/thread-self/mountinfo", ROOT + mounts.replace("{top}", top))
        self.write("proc/thread-self/cgroup", group)

    def assertQuota(self, cpus: float) -> None:
        self.assertEqual(CpuQuota(self.root)(), cpus)

    def test_no_groups(self) -> None:
        """Another system, and a kernel without control groups: nothing is limited."""
        self.assertQuota(math.inf)
        self.assertEqual(CpuQuota(self.root / "nowhere")(), math.inf)
        self.mounted("", "0::/a\n")
        self.assertQuota(math.inf)

    def test_two(self) -> None:
        """Version 2: the quota by the period, of the group that the process is in; the topmost one has no such file."""
        self.mounted(TWO, "0::/system.slice/voipcluster.service\n")
        unit = "sys/fs/cgroup/system.slice/voipcluster.service/cpu.max"
        for text, cpus in (("max 100000", math.inf), ("50000 100000", 0.5), ("150000 50000\n", 3.0)):
            self.write(unit, text)
            self.assertQuota(cpus)

    def test_up_the_tree(self) -> None:
        """The least of the group and all above it; one in between may have its controller off, and no file then."""
        self.mounted(TWO, "0::/kubepods/pod1/abc\n")
        self.write("sys/fs/cgroup/kubepods/cpu.max", "30000 100000\n")
        self.write("sys/fs/cgroup/kubepods/pod1/abc/cpu.max", "50000 100000\n")
        self.assertQuota(0.3)
        self.write("sys/fs/cgroup/kubepods/cpu.max", "max 100000\n")
        self.assertQuota(0.5)

    def test_one(self) -> None:
        """Version 1: quota and period in files of their own, -1 is none; other controllers are at other places."""
        self.mounted(ONE, "4:cpuset:/other\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n")
        folder = "sys/fs/cgroup/cpu,cpuacct/docker/abc"
        self.write(f"{folder}/cpu.cfs_period_us", "100000\n")
        for text, cpus in (("-1\n", math.inf), ("25000\n", 0.25)):
            self.write(f"{folder}/cpu.cfs_quota_us", text)
            self.assertQuota(cpus)
        self.write("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "10000\n")
        self.write("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "50000\n")
        self.assertQuota(0.2)

    def test_both(self) -> None:
        """Where both are mounted each has controllers of its own, and the quota is that of the one which has the CPU's."""
        two = TWO.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified ")
        self.mounted(ONE + two, "3:cpu,cpuacct:/x\n0::/x\n")
        self.write("sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "40000\n")
        self.write("sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n")
        self.assertQuota(0.4)

    def test_in_a_container(self) -> None:
        """A container sees its own group as the topmost one, with a namespace of its own or as what is mounted."""
        self.write("sys/fs/cgroup/cpu.max", "20000 100000\n")
        for group, top in (("/", "/"), ("/docker/abc", "/docker/abc"), ("/../../other", "/")):
            self.mounted(TWO, f"0::{group}\n", top)
            self.assertQuota(0.2)
        self.write("sys/fs/cgroup/sub/cpu.max", "10000 100000\n")
        self.mounted(TWO, "0::/docker/abc/sub\n", "/docker/abc")
        self.assertQuota(0.1)
        self.mounted(TWO, "0::/docker/abcdef/sub\n", "/docker/abc")
        self.assertQuota(0.2)

    def test_names_with_spaces(self) -> None:
        """A place of a mount is written with octal numbers for what would not be read otherwise."""
        self.mounted(TWO.replace("/sys/fs/cgroup", r"/my\040groups"), "0::/a:b c\n")
        self.write("my groups/a:b c/cpu.max", "60000 100000\n")
        self.assertQuota(0.6)

    def test_unreadable(self) -> None:
        """What makes no sense limits nothing: a node starts and runs as if nothing was said."""
        self.mounted(TWO + "nonsense\n", "0::/a\nx\n::\n")
        file = "sys/fs/cgroup/a/cpu.max"
        for text in ("", "max", "5 0", "0 100000", "-5 100000", "x y", "1 2 3", "9" * 5000 + " 1"):
            self.write(file, text)
            self.assertQuota(math.inf)
        (self.root / file).write_bytes(b"\xff\xfe 100000")
        self.assertQuota(math.inf)
        (self.root / file).unlink()
        (self.root / file).mkdir()
        self.assertQuota(math.inf)

    def test_changes(self) -> None:
        """It is read anew each time, and so is in which group the process is."""
        self.mounted(TWO, "0::/a\n")
        quota = CpuQuota(self.root)
        self.write("sys/fs/cgroup/a/cpu.max", "50000 100000\n")
        self.assertEqual(quota(), 0.5)
        self.write("sys/fs/cgroup/a/cpu.max", "25000 100000\n")
        self.assertEqual(quota(), 0.25)
        self.write("proc/thread-self/cgroup", "0::/b\n")
        self.assertEqual(quota(), math.inf)
