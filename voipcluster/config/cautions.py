"""What a configuration may say, and hardly anybody means: told by voipctl check and at the start, and no reason not to start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from ipaddress import ip_address

from voipcluster.config.addresses import host_names
from voipcluster.config.options import Config
from voipcluster.config.problem import Problem, shown
from voipcluster.gateway.codecs import KNOWN, is_known
from voipcluster.gateway.gateway import Gateway

Where = Callable[..., str]
"""Gives C{file:line} of a path of keys."""


def cautions(config: Config, where: Where) -> Iterator[Problem]:
    """
    @param config: without mistakes, so that its gateways and routes are numbered as in the file.
    """
    ports = (config.sip.port, *((config.tls.port,) if config.tls.certificate else ()))
    own = [(host, port) for host in host_names(config.node) for port in ports]
    for number, gateway in enumerate(config.gateways):
        for text in codec_cautions(gateway):
            yield Problem(where("gateway", f"#{number}", "codecs"), "gateway.codecs", text)
        for server, _ in gateway.servers_among(own):
            text = f"{server} is this node itself: a call that goes there comes back"
            yield Problem(where("gateway", f"#{number}", "servers"), "gateway.servers", text)
    by_name = {gateway.name: gateway for gateway in config.gateways}
    for number, route in enumerate(config.routes):
        target = by_name.get(route.gateway)
        if target is not None and not target.servers:
            text = f"gateway {target.name} has no servers: no call goes there before it has"
            yield Problem(where("route", f"#{number}", "gateway"), "route.gateway", text)
    for digits in config.numbers.emergency:
        if not any(digits.startswith(route.prefix) for route in config.routes):
            text = f"no route takes {digits}: such a call is refused"
            yield Problem(where("numbers", "emergency"), "numbers.emergency", text)
    if config.numbers.country and not config.numbers.emergency:
        is_written_out = config.numbers.area and config.numbers.extensions < len("112")
        written = ", which the area code is put in front of," if is_written_out else ""
        text = (
            f"[numbers] has a country and no emergency numbers: 112 is a number like others{written} "
            "and may be refused for load, channels, hours or credit"
        )
        yield Problem(where("numbers", "country"), "numbers.emergency", text)
    if not config.auth.required and (config.routes or config.numbers.enum):
        text = (
            "is false: whoever puts a domain of this cluster into From may call every number that has a route"
        )
        yield Problem(where("auth", "required"), "auth.required", text)
    web = config.web
    if web.port and web.read == "open" and web.host and not ip_address(web.host).is_loopback:
        text = 'whoever reaches it reads callers, addresses and routes; web.read = "metrics" or "login" keeps strangers out'
        yield Problem(where("web", "host"), "web.host", text)


def codec_cautions(gateway: Gateway) -> Iterator[str]:
    """A line for each encoding name that is perhaps a misspelt one."""
    for name in gateway.codecs:
        if not is_known(name):
            near = sorted(get_close_matches(name.lower(), KNOWN, 3, 0.7))
            either = " or ".join(one.upper() for one in near)
            hint = f"did you mean {either}?" if near else "it is compared with what phones offer"
            yield f"{shown(name)} is no codec that is known; {hint}"
