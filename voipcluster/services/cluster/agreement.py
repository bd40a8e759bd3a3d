"""The settings that all nodes of a cluster must have alike: what a node tells of its own, and how another one's differ."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from attrs import NOTHING, asdict, fields, frozen

from voipcluster.address import is_ipv6
from voipcluster.config import Config
from voipcluster.errors import PeerError

# With another value of these a node cannot serve what it is handed: it is not let in.
VITAL = ("cluster.domain", "sip.port", "tls", "auth.required")
_OF_EACH_NODE = frozenset({"port"})  # of [cluster]: the list of members says it for each one
SHOWN = 200  # characters of a value; of a longer one a hash tells whether it is the same
MOST = 128  # settings that a peer may name: one of a later version has more than we have


@frozen
class Agreement:
    """@ivar own: the settings of this node by name, each as text."""

    own: dict[str, str]

    def check(self, theirs: object) -> None:
        """
        Whether a node with these settings may join.

        @raise PeerError: no, in words for the operator of the joining node.
        """
        different = self._different(theirs)
        vital = [name for name in VITAL if name in different]
        if vital:
            texts = ", ".join(f"{name} {different[name]} (here {self.own[name]})" for name in vital)
            raise PeerError(
                f"the node that wants to join has {texts}; start it with the same --config and --set"
            )

    def differences(self, theirs: object) -> str:
        """What another node has otherwise, in words for the log; an empty string when nothing."""
        return ", ".join(
            f"{name} {value} (here {self.own[name]})" for name, value in self._different(theirs).items()
        )

    def _different(self, theirs: object) -> dict[str, str]:
        """
        Only what both name can differ: a node of another version may know other settings.

        @raise PeerError: not a dict of texts.
        """
        if theirs is None:
            return {}  # of a version that does not tell
        if not isinstance(theirs, dict) or len(theirs) > MOST:
            raise PeerError("settings: a dict of texts is wanted")
        different = {}
        for name, own in self.own.items():
            value = theirs.get(name, own)
            if not isinstance(value, str) or len(value) > 2 * SHOWN or not value.isprintable():
                raise PeerError(f"settings.{name}: not a short text")
            if value != own:
                different[name] = value
        return different


ANY = Agreement({})  # where nothing needs to be alike


def agreement_of(config: Config) -> Agreement:
    """What the nodes of a cluster must agree about, as this node has it."""
    cluster = {
        f"cluster.{key}": value for key, value in asdict(config.cluster).items() if key not in _OF_EACH_NODE
    }
    cluster["cluster.domain"] = sorted({domain.lower() for domain in config.cluster.domain})
    node = config.node
    others = {
        # a node relays media in the versions that it has, wherever a call came in
        "IP versions": sorted({6 if is_ipv6(host) else 4 for host in (node.address, *node.also) if host}),
        "sip.port": config.sip.port,
        "tls": config.tls.port if config.tls.certificate else "off",
        "auth.required": config.auth.required,
        # a number goes the same way wherever its call is served; each node may keep the rate table at another place
        "numbers": {key: value for key, value in _set(config.numbers).items() if key != "rates"},
        "routes": [_set(route) for route in config.routes],
        "auth.trust_source": config.auth.trust_source,  # as strict as the node that serves the call
    }
    return Agreement({name: _text(value) for name, value in {**cluster, **others}.items()})


def _set(options: Any) -> dict[str, Any]:
    """What is not as it is by default: an option that only one of two versions has makes no difference while nobody uses it."""
    found = asdict(options)
    for one in fields(type(options)):
        make = getattr(one.default, "factory", None)
        default = one.default if make is None else make()
        if default is not NOTHING and getattr(options, one.name) == default:
            del found[one.name]
    return found


def _text(value: Any) -> str:
    text = json.dumps(value)
    if len(text) <= SHOWN:
        return text
    return f"{text[: SHOWN - 40]}... ({hashlib.sha256(text.encode()).hexdigest()[:16]})"
