"""Kamailio as the trunk on the other side: a carrier's proxy with digest, a registrar, TLS, and a network behind it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from demo.programs import Program
from tests.certificates import Pair

REALM = "carrier.example"

_CONFIGURATION = """#!KAMAILIO
debug=2
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
dns=no
rev_dns=no
listen=udp:HOST:5060
LISTEN_TLS
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "xlog.so"
LOAD_TLS
modparam("usrloc", "db_mode", 0)
modparam("registrar", "min_expires", 30)

request_route {
	xlog("L_ERR", "seen $rm cseq=$cs from $proto:$si auth=$au\\n");
	if (!mf_process_maxfwd_header("10")) {
		sl_send_reply("483", "Too Many Hops");
		exit;
	}
	if (is_method("OPTIONS") && !has_totag()) {
		sl_send_reply("200", "OK");
		exit;
	}
	if (has_totag()) {
		if (loose_route()) {
			t_relay();
		} else if (is_method("ACK")) {
			if (t_check_trans()) t_relay();
		} else {
			sl_send_reply("404", "Not Here");
		}
		exit;
	}
	if (is_method("CANCEL")) {
		if (t_check_trans()) t_relay();
		exit;
	}
	if (is_method("REGISTER")) {
		if (!pv_www_authenticate("REALM", "PASSWORD", "0") || $au != "USER") {
			www_challenge("REALM", "1");
			exit;
		}
		xlog("L_ERR", "registered $(hdr(Contact)[0]), $(hdr(Contact)[1]) expires $hdr(Expires) over $proto\\n");
		save("location");
		exit;
	}
	t_check_trans();
	record_route();
	if ($si == "CALLER") {
		# from the network behind: to whoever has registered
		if (!lookup("location")) {
			sl_send_reply("404", "Not Found");
			exit;
		}
		t_relay();
		exit;
	}
	if (!pv_proxy_authenticate("REALM", "PASSWORD", "0") || $au != "USER") {
		proxy_challenge("REALM", "1");
		exit;
	}
	consume_credentials();
	$du = "sip:CALLEE:5060";
	t_relay();
}
"""

_TLS = """[server:default]
method = TLSv1.2+
verify_certificate = yes
require_certificate = yes
private_key = KEY
certificate = CERTIFICATE
ca_list = CA

[client:default]
method = TLSv1.2+
verify_certificate = yes
require_certificate = yes
private_key = KEY
certificate = CERTIFICATE
ca_list = CA
"""


class Kamailio:
    """
    One running Kamailio; it is ready when L{ready} returns.

    @param host: its address; C{caller}: whose calls go to the account that has registered; C{callee}: where all others go.
    @param pair: its certificate and key, C{ca}: who vouches for its peers; L{None}: no TLS.
    """

    def __init__(
        self, reactor: Any, folder: Path, host: str, user: str, password: str, *, caller: str, callee: str,
        pair: Pair | None = None, ca: Path | None = None,
    ) -> None:  # fmt: skip
        self._reactor, self._folder = reactor, folder / f"kamailio-{host}"
        self._folder.mkdir(exist_ok=True)
        self.host = host
        text = _CONFIGURATION
        tls = pair is not None
        listen = f"enable_tls=yes\nlisten=tls:{host}:5061" if tls else "disable_tcp=yes"
        load = f'loadmodule "tls.so"\nmodparam("tls", "config", "{self._folder}/tls.cfg")' if tls else ""
        for word, value in (
            ("LISTEN_TLS", listen), ("LOAD_TLS", load), ("HOST", host), ("CALLER", caller), ("CALLEE", callee),
            ("PASSWORD", password), ("REALM", REALM), ("USER", user),
        ):  # fmt: skip
            text = text.replace(word, value)
        (self._folder / "kamailio.cfg").write_text(text)
        if pair is not None:
            files = {"KEY": pair.key, "CERTIFICATE": pair.certificate, "CA": ca}
            made = _TLS
            for word, path in files.items():
                made = made.replace(f"= {word}\n", f"= {path}\n")
            (self._folder / "tls.cfg").write_text(made)
        self.programs: list[Program] = []
        self.start()

    def start(self) -> None:
        """Start it, once more when it was killed."""
        log = self._folder / f"{len(self.programs)}.log"
        self.programs.append(Program.start(self._reactor, f"kamailio {self.host}", self._command(), log=log))

    def _command(self) -> Sequence[str]:
        run = str(self._folder)
        file = f"{run}/kamailio.cfg"
        return (
            "kamailio",
            "-DD",
            "-E",
            "-f",
            file,
            "-Y",
            run,
            "-w",
            run,
            "-m",
            "32",
            "-M",
            "4",
            "-x",
            "fm",
            "-X",
            "fm",
        )

    @property
    def program(self) -> Program:
        return self.programs[-1]

    @property
    def said(self) -> str:
        return self.program.output

    def kill(self) -> None:
        """C{kill -9} for all its processes."""
        self.program.send_signal("KILL")

    async def stop(self) -> int:
        return await self.program.stop()
