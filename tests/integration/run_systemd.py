"""systemd itself: a whole one, as the first process of namespaces of its own, with the unit of F{etc/} as it is shipped."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from demo.cluster import Node
from demo.programs import Program, ProgramFailed

CHECKOUT = Path(__file__).parent.parent.parent
SYSTEMD = "/usr/lib/systemd/systemd"
UNIT = "voipcluster.service"
# nothing of the machine's is started: what the unit wants or is ordered by is there, and empty
TARGETS = ("sysinit", "basic", "shutdown", "multi-user", "network-online")
# The node's log goes to a journald, as the shipped unit has it; what follows that writes it to a file, to be read from here.
JOURNAL_UNITS = ("systemd-journald.socket", "systemd-journald.service")
FOLLOWER = "follow.service"
FOLLOW = f"""\
[Unit]
DefaultDependencies=no
After={JOURNAL_UNITS[1]}
[Service]
ExecStart=journalctl --follow --no-tail --output=cat --unit={UNIT}
StandardOutput=append:/var/log/{{log}}
StandardError=null
"""
# Neither the machine's kernel log nor its audit, which a journald would switch on (journald.conf(5)).
JOURNALD = """\
[Journal]
Storage=volatile
ReadKMsg=no
Audit=
"""
BOOT = """\
set -eu
mount --make-rprivate /
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 none /run
mkdir -p /run/systemd /run/units
cp -a /etc /run/etc
mount --bind /run/etc /etc
mkdir /etc/voipcluster
mount --bind "$1/etc" /etc/voipcluster
touch /etc/default/voipcluster
mount --bind "$1/etc/default" /etc/default/voipcluster
mkdir -p /etc/systemd/journald.conf.d
cp "$1/etc/journald" /etc/systemd/journald.conf.d/test.conf
mount -t tmpfs -o mode=755 none /opt
mkdir -p /opt/voipcluster/venv /opt/voipcluster/checkout /opt/voipcluster/python
mount --bind "$2" /opt/voipcluster/venv
mount --bind "$3" /opt/voipcluster/checkout
mount --bind "$5" /opt/voipcluster/python
cp -a "$1/bin" /opt/voipcluster/bin
mount --bind "$1/units" /run/units
mount --bind "$1/var" /var
mount -t tmpfs -o mode=1777 none /tmp
# as on any machine: credentials of a unit are mounted by a child, and reach the others by propagation alone
mount --make-rshared /
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH=/run/units \
  SYSTEMD_LOG_TARGET=null "$4" --system --unit=multi-user.target
"""
# The environment's own "python" leads to where the interpreter was installed, and that may be in somebody's home,
# which the unit cannot see: the interpreter is started from where it is mounted, with the packages of the environment
# and none of its own (-S).
COMMAND = """\
#!/opt/voipcluster/python/bin/{python} -S
import site
import sys
site.addsitedir("/opt/voipcluster/venv/{packages}")
sys.path.insert(0, "/opt/voipcluster/checkout")
from {module} import {function}
sys.exit({function}())
"""
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
PACKAGES = Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
COMMANDS = {"twistd": ("twisted.scripts.twistd", "run"), "voipctl": ("voipcluster.voipctl.cli", "main")}


@cache
def refused() -> str:
    """Why no systemd can be started here, for C{skip}; empty when one can."""
    if os.geteuid() != 0:
        return "needs root, to start a systemd in namespaces of its own"
    if not Path(SYSTEMD).exists():
        return "needs systemd"
    try:
        group = Cgroup()
    except OSError as error:
        return f"needs a cgroup of its own (version 2), but: {error}"
    group.remove()
    return ""


class Cgroup:
    """A control group for all that the systemd starts; it makes more of them below."""

    def __init__(self) -> None:
        found = re.search(r"^\S+ (\S+) cgroup2 ", Path("/proc/mounts").read_text(), re.MULTILINE)
        if found is None:
            raise OSError("no cgroup2 is mounted")
        own = Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].split("\n")[0]
        self.path = Path(tempfile.mkdtemp(prefix="voipcluster-test-", dir=Path(found[1]) / own))

    def remove(self) -> bool:
        """Whether it is gone: it is not while a process of it is left."""
        for folder, _, _ in os.walk(self.path, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)
        return not self.path.exists()


class Systemd:
    """
    A systemd with the unit, in the network namespace of the test.

    @ivar folder: short, for the path of a UNIX socket: C{etc} is the node's F{/etc/voipcluster}, C{var} is F{/var}.
    @ivar node: the node that it runs, which was not started yet.
    """

    def __init__(self, reactor: Any, address: str, options: str) -> None:
        self._reactor = reactor
        self.folder = Path(tempfile.mkdtemp(prefix="systemd-"))
        self.folder.chmod(0o755)
        for name in ("etc", "bin", "units", "var/lib", "var/log", "var/tmp"):
            (self.folder / name).mkdir(parents=True)
        self.log = self.folder / "var/log/node.log"
        self.node = _UnitNode(reactor, address, self)
        self._options = f'VOIPCLUSTER_OPTIONS="{options}"\n'
        self.defaults()
        (self.folder / "etc" / "journald").write_text(JOURNALD)
        units = self.folder / "units"
        for target in TARGETS:
            (units / f"{target}.target").write_text("[Unit]\nDefaultDependencies=no\n")
        shutil.copy(CHECKOUT / "etc" / UNIT, units)
        (units / f"{UNIT}.d").mkdir()
        # where a shared libpython is
        (units / f"{UNIT}.d" / "python.conf").write_text(
            "[Service]\nEnvironment=LD_LIBRARY_PATH=/opt/voipcluster/python/lib\n"
        )
        for unit in JOURNAL_UNITS:
            shutil.copy(Path("/usr/lib/systemd/system") / unit, units)
        (units / "multi-user.target").write_text(
            f"[Unit]\nDefaultDependencies=no\nWants={' '.join((*JOURNAL_UNITS, FOLLOWER))}\n"
        )
        (units / FOLLOWER).write_text(FOLLOW.format(log=self.log.name))
        for name, (module, function) in COMMANDS.items():
            command = self.folder / "bin" / name
            command.write_text(
                COMMAND.format(module=module, function=function, python=PYTHON, packages=PACKAGES)
            )
            command.chmod(0o755)
        self._cgroup = Cgroup()
        boot = self.folder / "boot"
        boot.write_text(BOOT)
        namespaces = [
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--cgroup",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]
        inside = [
            "unshare",
            *namespaces,
            "sh",
            boot,
            self.folder,
            sys.prefix,
            CHECKOUT,
            SYSTEMD,
            sys.base_prefix,
        ]
        words = ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', self._cgroup.path, *inside]
        self.program = Program.start(reactor, "systemd", [str(word) for word in words])

    def configure(self, toml: str) -> None:
        """Write the node's configuration."""
        (self.folder / "etc" / "voipcluster.toml").write_text(toml)

    def defaults(self, more: str = "") -> None:
        """Write F{/etc/default/voipcluster}: the options of the node, and C{more}."""
        (self.folder / "etc" / "default").write_text(self._options + more)

    @property
    def pid(self) -> int:
        """Of the systemd, as seen from here; 0 while there is none."""
        children = Path(f"/proc/{self.program.pid}/task/{self.program.pid}/children")
        try:
            pid = int(children.read_text().split()[0])
            return pid if Path(f"/proc/{pid}/comm").read_text() == "systemd\n" else 0
        except (OSError, IndexError):
            return 0

    async def run(self, *words: str, stdin: str = "") -> Program:
        """Run a program where its units live; gives it when it has ended."""
        program = Program.start(
            self._reactor, words[0], ["nsenter", "-t", str(self.pid), "-m", "-p", *words], stdin=stdin
        )
        await program.ended()
        return program

    async def control(self, *words: str) -> str:
        """
        C{systemctl}; what it said.

        @raise ProgramFailed: its exit status is not 0.
        """
        program = await self.run("systemctl", "--no-pager", *words)
        if program.status:
            status = await self.run("systemctl", "--no-pager", "-l", "status", UNIT)
            raise ProgramFailed(
                f"systemctl {' '.join(words)}: {program.output}\n{status.output}\n{self.said}"
            )
        return program.standard_output

    async def journal(self, *words: str) -> str:
        """
        C{journalctl}, once all that was written until now is there; what it said.

        @raise ProgramFailed: its exit status is not 0.
        """
        for command in (("--sync",), ("--no-pager", *words)):
            program = await self.run("journalctl", *command)
            if program.status:
                raise ProgramFailed(f"journalctl {' '.join(command)}: {program.output}")
        return program.standard_output

    @property
    def said(self) -> str:
        """The log of the node, as far as the journal was followed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    async def is_up(self) -> bool:
        """Whether it answers."""
        return bool(self.pid) and not (await self.run("systemctl", "show", "-p", "Version")).status

    async def main_pid(self) -> int:
        """Of the node's process as seen from within; 0 without one."""
        return int((await self.control("show", "-p", "MainPID", "--value", UNIT)).strip())

    async def stop(self) -> None:
        """End it with everything that it has started; returns when no process is left."""
        self.program.send_signal("KILL")
        await self.program.ended()

    def cleaned(self) -> bool:
        """Whether nothing of it is left; to be asked until it is so, since the kernel takes its time."""
        if not self._cgroup.remove():
            return False
        shutil.rmtree(self.folder, ignore_errors=True)
        return True


class _UnitNode(Node):
    """The node of the unit: its process is not ours, but its state directory can be seen from here."""

    def __init__(self, reactor: Any, address: str, manager: Systemd) -> None:
        super().__init__(reactor, "a", address, manager.folder)
        self.state_dir, self.log = manager.folder / "var/lib/voipcluster", manager.log


def analyze_offline(unit: Path, threshold: int) -> subprocess.CompletedProcess[str]:
    """What C{systemd-analyze security} says of a unit; its status is not 0 for an exposure above C{threshold} tenths."""
    command = ["systemd-analyze", "security", "--no-pager", "--offline=true"]
    command += [f"--threshold={threshold}", str(unit)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
