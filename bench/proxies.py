"""The proxies that bench/proxy.py and bench/memory.py measure, each as one process on CPU 0, on UDP 127.0.0.1:5060."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.common import listens, running, start, wait_until

PROXY, CALLEE, CALLER = "127.0.0.1:5060", 5070, 5080
CPU = 0

# Limits that a benchmark would otherwise measure: it saturates the node on purpose.
OPEN = [
    "auth.required=false", "limits.calls=1000000", "limits.transactions=10000000",
    "cluster.threshold=1.0", "cluster.hard_limit=1.0", "web.port=0",
    "limits.requests_per_address=0", "limits.requests_per_user=0",
    "limits.unanswered_calls_per_user=0", "limits.unanswered_calls_per_address=0", "overload.enabled=false",
]  # fmt: skip

KAMAILIO = """
debug=0
log_stderror=yes
disable_core_dump=yes
children=1
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
listen=udp:127.0.0.1:5060
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "siputils.so"
loadmodule "textops.so"
request_route {
    if (!mf_process_maxfwd_header("70")) { sl_send_reply("483", "Too Many Hops"); exit; }
    if (has_totag()) {
        if (loose_route()) { t_relay(); exit; }
        if (is_method("ACK") && t_check_trans()) { t_relay(); }
        exit;
    }
    if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
    t_check_trans();
    record_route();
    $du = "sip:127.0.0.1:5070";
    t_relay();
}
"""


@contextmanager
def kamailio(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A stateful record-routing proxy in one worker with the allocator that is fast; as packaged it costs several times more."""
    (folder / "kamailio.cfg").write_text(KAMAILIO)
    log = folder / "kamailio.log"
    argv = ["kamailio", "-DD", "-E", "-f", folder / "kamailio.cfg", "-Y", folder, "-m", "3072", "-M", "16"]
    with running(start([*argv, "-x", "tlsf", "-X", "tlsf"], log, CPU)) as process:
        wait_until(lambda: listens(5060), "kamailio", log)
        yield process


@contextmanager
def voipcluster(folder: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A cluster of one node; C{more} are further settings. The relay is off unless they say otherwise."""
    twistd = Path(sys.prefix, "bin", "twistd")
    if not twistd.exists():
        raise SystemExit("twistd is not installed beside this python; script/setup bench does it")
    log, state = folder / "voipcluster.log", folder / "state"
    argv = [sys.executable, twistd, "-n", "--pidfile=", "voipcluster", "--role", "primary", "--name", "a"]
    argv += ["--address", "127.0.0.1", "--state-dir", state]
    for setting in [*OPEN, "media.relay=off", *more]:
        argv += ["--set", setting]
    with running(start(argv, log, CPU)) as process:
        wait_until(lambda: listens(5060) and (state / "admin.sock").exists(), "voipcluster", log)
        yield process
