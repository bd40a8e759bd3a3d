"""C{[tls]}, C{[web]} and C{[websocket]}: what a node listens to besides SIP over UDP and TCP."""

from __future__ import annotations

from attrs import frozen

from voipcluster.config.kinds import BindAddress, Choice, Domain, FilePath, Flag, Number, Origin, Whole, Words
from voipcluster.config.option import option


@frozen
class TlsOptions:
    """SIP over TLS; it is off until there is a certificate."""

    certificate: str = option(
        "", FilePath(), 'PEM file: certificate of this node, then those up to its CA; "" = no TLS', live=True
    )
    key: str = option(
        "", FilePath(), 'PEM file of its private key; "" = in the file of the certificate', live=True
    )
    ca: str = option(
        "",
        FilePath(),
        'PEM file: CAs that vouch for peers; "" = those of the system, no client is asked',
        live=True,
    )
    client_certificate: bool = option(
        False, Flag(), "refuse who connects without a certificate of such a CA; needs ca", live=True
    )
    port: int = option(5061, Whole(1, 65535), "TCP port for SIP over TLS")


@frozen
class WebOptions:
    """Dashboard, JSON and metrics; to change something there takes the password of voipctl web-password."""

    port: int = option(8080, Whole(0, 65535), "TCP port of the web page, /api and /metrics; 0 = off")
    host: str = option(
        "",
        BindAddress(),
        'address to listen on; "" = the node\'s own if it is a loopback address, else 127.0.0.1',
    )
    tls: bool = option(False, Flag(), "https (and wss under /sip) with the certificate of [tls]")
    read: str = option(
        "open",
        Choice(("open", "metrics", "login")),
        "who may read without log-in: open | metrics (only /metrics) | login (nobody)",
        live=True,
    )
    session: float = option(
        28800.0, Number(60, 604800, "s"), "s after which one has to log in again", live=True
    )
    hosts: tuple[str, ...] = option(
        (),
        Words(Domain(), "host names"),
        "names of the page besides addresses, localhost and, off loopback, cluster.domain and names without a dot",
        live=True,
    )


@frozen
class WebSocketOptions:
    """SIP over WebSocket (RFC 7118): under /sip of the web port, and on a port of its own."""

    port: int = option(
        0, Whole(0, 65535), "TCP port of its own, on the node's address; 0 = only under /sip of the web port"
    )
    tls: bool = option(True, Flag(), "wss on that port, with the certificate of [tls]; false = ws")
    origins: tuple[str, ...] = option(
        (),
        Words(Origin(), "origins"),
        'such as "https://phone.example.com", whose pages may connect; [] = of the same host or of cluster.domain; "*" = any',
    )
