"""
The wire format of the cluster link: every message as a dict of primitives, in a versioned format.

C{encode(message)} gives a dict whose C{v} is the version of the format; C{decode(kind, dict)} gives the message back. Both
check each field (L{voipcluster.balance.schema}). A later version adds fields with defaults, and never changes the meaning of
one, so that nodes of two versions understand each other.
"""

from __future__ import annotations

from typing import Any

from voipcluster.balance import messages
from voipcluster.balance.explain import Considered, Explained, Explanation
from voipcluster.balance.report import Report
from voipcluster.balance.schema import Field, Schema
from voipcluster.balance.state import NodeState
from voipcluster.balance.workload import COMPONENTS, Workload
from voipcluster.errors import PeerError, UsageError

VERSION = 1
NAME = 64  # characters of a node's name
URI = 1024
CALL_ID = 256
TIME = 1e11  # seconds since 1970: some three thousand years
RATIO = 1e3  # a workload component: shares of a limit, and limits can be lowered under load
BATCH = 256
MEMBERS = 1024
U31, U32, U53 = 2**31 - 1, 2**32 - 1, 2**53 - 1


def text(name: str, high: int, low: int = 0, **rest: Any) -> Field:
    return Field(name, str, low, high, **rest)


def optional(name: str, high: int) -> Field:
    return Field(name, str, 0, high, "")


def share(name: str) -> Field:
    return Field(name, float, 0, RATIO, 0.0)


_SENDER = (text("node", NAME, 1), Field("epoch", int, 0, U53), Field("seq", int, 0, U53))

_WORKLOAD = Schema("workload", Workload, tuple(share(name) for name in COMPONENTS))

_REPORT = Schema(
    "report",
    Report,
    (
        *_SENDER,
        Field("state", NodeState),
        Field("workload", _WORKLOAD),
        Field("value", float, 0, RATIO),
        Field("delay", float, 0, 3600, 0.0),
        Field("arrival_rate", float, 0, 1e9, 0.0),
        Field("capacity", float, 0, 1e9, 0.0),
        Field("refusal_rate", float, 0, 1e9, 0.0),
        Field("quota", float, 0, 1, 1.0),
        Field("granted", float, 0, 1, 1.0),
        Field("weight", float, 0, 1, 1.0),
        Field("calls", int, 0, U31, 0),
        Field("calls_limit", int, 0, U31, 0),
        Field("registrations", int, 0, U31, 0),
        Field("time", float, 0, TIME, 0.0),
        Field("period", float, 0, 3600, 0.0),
        Field("spontaneous", bool, default=True),
    ),
)

_MEMBER = Schema(
    "member",
    messages.Member,
    (
        text("name", NAME, 1),
        text("role", 16, 1),
        text("address", 64, 1),
        Field("port", int, 1, 65535, 8787),
        Field("epoch", int, 0, U53, 0),
        Field("state", str, 1, 16, "unknown"),
    ),
)
_MEMBERSHIP = Schema("membership", messages.Membership, (*_SENDER, Field("nodes", _MEMBER, many=MEMBERS)))

_BINDING = Schema(
    "binding",
    messages.Binding,
    (
        *_SENDER,
        text("aor", URI, 1),
        text("contact", URI, 1),
        text("path", URI, 1, default=(), many=16),
        Field("expires", int, 0, U32),
        Field("q", float, 0, 1, 1.0),
        text("call_id", CALL_ID),
        Field("cseq", int, 0, U32),
        optional("user_agent", 256),
        optional("received", 128),
        optional("flow", URI),
        optional("instance", 256),
        Field("reg_id", int, 0, U31, 0),
        Field("age", float, -1, TIME, -1.0),
    ),
)
_BINDINGS = Schema(
    "bindings",
    messages.Bindings,
    (*_SENDER, Field("items", _BINDING, many=BATCH), Field("complete", bool, default=False)),
)

_HA1 = Schema("ha1", messages.Ha1, (text("algorithm", 32, 1), text("ha1", 128, 1)))
_PREFERENCE = Schema("preference", messages.Preference, (text("name", 64, 1), optional("text", 1024)))
_ACCOUNT = Schema(
    "account",
    messages.Account,
    (
        text("username", 256, 1),
        text("domain", 256, 1),
        Field("ha1", _HA1, default=(), many=8),
        Field("disabled", bool, default=False),
        Field("removed", bool, default=False),
        Field("preferences", _PREFERENCE, default=(), many=64),
        Field("version", int, 0, U53, 0),
        Field("new", bool, default=False),
    ),
)
_PREFERENCE_CHANGE = Schema(
    "preference-change",
    messages.PreferenceChange,
    (text("username", 256, 1), text("domain", 256, 1), Field("items", _PREFERENCE, default=(), many=64)),
)
_ACCOUNTS = Schema(
    "accounts",
    messages.Accounts,
    (*_SENDER, Field("items", _ACCOUNT, many=BATCH), Field("complete", bool, default=False)),
)

_DRAIN = Schema(
    "drain",
    messages.Drain,
    (
        *_SENDER,
        text("target", NAME, 1),
        Field("on", bool, default=True),
        Field("stop", bool, default=False),
    ),
)

_CALL = Schema(
    "call",
    messages.Call,
    (
        text("call_id", CALL_ID),
        text("caller", URI),
        text("callee", URI),
        text("node", NAME),
        optional("ingress", NAME),
        optional("state", 16),
        Field("started", float, 0, TIME, 0.0),
        Field("answered", float, 0, TIME, 0.0),
        optional("source", 128),
        optional("transport", 8),
        optional("user", 512),
        text("visited", NAME, 1, default=(), many=16),
        Field("relayed", bool, default=False),
        Field("packets", int, 0, U53, 0),
    ),
)
_CALLS = Schema(
    "calls", messages.Calls, (*_SENDER, Field("items", _CALL, many=BATCH), Field("more", bool, default=False))
)

_PATTERNS = 256  # of one direction of a gateway
_WAY = Schema(
    "way",
    messages.Way,
    (
        text("callers", 512, 1, default=("*",), many=_PATTERNS),
        text("numbers", 512, 1, default=("*",), many=_PATTERNS),
    ),
)
_GATEWAY = Schema(
    "gateway",
    messages.StoredGateway,
    (
        text("name", NAME, 1),
        text("kind", 16, 1, default="voip"),
        text("servers", 512, 1, default=(), many=16),
        text("transport", 8, 1, default="udp"),
        text("sources", 64, 1, default=(), many=256),
        text("certificates", 256, 1, default=(), many=64),
        optional("username", 512),
        text("behind", 64, 1, default=(), many=256),
        optional("registrar", URI),
        optional("auth_user", 256),
        optional("password", 256),
        optional("aor", 512),
        optional("contact_user", 256),
        optional("realm", 256),
        Field("probe", float, 0, 3600, 5.0),
        Field("not_alive", int, 300, 699, default=messages.NOT_ALIVE, many=400),
        Field("channels", int, 0, U31, 0),
        Field("calls_per_minute", int, 0, U31, 0),
        Field("minutes_per_day", int, 0, U31, 0),
        text("hours", 64, 1, default=(), many=64),
        text("codecs", 64, 1, default=(), many=64),
        Field("incoming", _WAY, default=messages.TO_USERS),
        Field("outgoing", _WAY, default=messages.ANYTHING),
        Field("trusted", bool, default=False),
        Field("enabled", bool, default=True),
        Field("switch", bool, default=False),
        Field("removed", bool, default=False),
        Field("version", int, 0, U53, 0),
        Field("new", bool, default=False),
    ),
)
_GATEWAYS = Schema(
    "gateways",
    messages.StoredGateways,
    (*_SENDER, Field("items", _GATEWAY, default=(), many=BATCH), Field("complete", bool, default=False)),
)

_PAGE_PASSWORD = Schema(
    "page-password",
    messages.PagePassword,
    (text("name", 16, 1, default="web"), optional("kept", 256), Field("removed", bool, default=False)),
)
_PAGE_PASSWORDS = Schema(
    "page-passwords",
    messages.PagePasswords,
    (
        *_SENDER,
        Field("items", _PAGE_PASSWORD, default=(), many=BATCH),
        Field("complete", bool, default=False),
    ),
)

_TALLY = Schema("tally", messages.Tally, (text("key", 512, 1), Field("count", int, 0, U53, 0)))
_TALLIES = Schema(
    "tallies",
    messages.Tallies,
    (*_SENDER, Field("items", _TALLY, default=(), many=BATCH), Field("complete", bool, default=False)),
)

_CONSIDERED = Schema(
    "considered",
    Considered,
    (
        text("node", NAME, 1),
        text("state", 16),
        share("workload"),
        Field("age", float, -1, 1e9, -1.0),
        optional("reason", 128),
        Field("wait", float, 0, 3600, 0.0),
        Field("room", float, -1, 1e9, -1.0),
    ),
)
_EXPLANATION = Schema(
    "explanation",
    Explanation,
    (
        text("call_id", CALL_ID),
        text("node", NAME, 1),
        Field("time", float, 0, TIME, 0.0),
        Field("hops", int, 0, 255),
        share("own"),
        optional("leading", 32),
        share("gate"),
        share("hard_limit"),
        optional("policy", 64),
        text("outcome", 16, 1),
        optional("chosen", NAME),
        optional("reason", 128),
        Field("candidates", _CONSIDERED, default=(), many=MEMBERS),
        Field("delay", float, 0, 3600, 0.0),
        Field("share", float, -1, 1, -1.0),
        Field("fresh", bool, default=True),
    ),
)
_EXPLAINED = Schema(
    "explained",
    Explained,
    (*_SENDER, text("call_id", CALL_ID), Field("items", _EXPLANATION, default=(), many=64)),
)

SCHEMAS = {
    schema.kind: schema
    for schema in (
        _REPORT,
        _MEMBERSHIP,
        _BINDING,
        _BINDINGS,
        _ACCOUNT,
        _PREFERENCE_CHANGE,
        _ACCOUNTS,
        _DRAIN,
        _CALL,
        _CALLS,
        _GATEWAY,
        _GATEWAYS,
        _PAGE_PASSWORD,
        _PAGE_PASSWORDS,
        _TALLIES,
        _EXPLANATION,
        _EXPLAINED,
    )
}
_BY_CLASS = {schema.make: schema for schema in SCHEMAS.values()}
_VERSION = Field("v", int, 1, U31)


def kind_of(message: object) -> str:
    """The name under which a message travels, for instance C{report}."""
    return _BY_CLASS[type(message)].kind


def encode(message: object) -> dict[str, Any]:
    """
    A message as a dict of str, int, float, bool, list and dict only.

    @raise UsageError: a field of our own message breaks the format; the text names it.
    """
    try:
        return {"v": VERSION, **_BY_CLASS[type(message)].encode(message)}
    except PeerError as error:
        raise UsageError(str(error)) from None


def decode(kind: str, value: object) -> Any:
    """
    Check what a peer sent and give it as the class of its kind: C{report} gives a L{Report}.

    @raise PeerError: naming the field, for instance C{report.epoch: int is wanted, not bool}.
    """
    schema = SCHEMAS.get(kind) if type(kind) is str else None
    if schema is None:
        raise PeerError("unknown kind of message")
    if type(value) is dict and "v" in value:
        _VERSION.check(value["v"], kind)
    return schema.decode(value, kind)
