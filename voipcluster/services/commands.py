"""What the admin socket can ask of a node, and the checks of each question's arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from attrs import frozen

from voipcluster.config.kinds import NODE_NAME, Domain, Flag, Kind, Number, Whole
from voipcluster.errors import UsageError
from voipcluster.web.slices import NAMES, ROWS
from voipcluster.web.view import INodeView, Later, Row

MAX_TTL = 30 * 86_400.0  # s; a join token is to be used, not to be kept
MAX_TRACE = 86_400.0  # s; what is forgotten costs calls their time
MAX_PASSWORD = 256  # characters
MOST_IMPORTED = 40  # users in one request: it is one line of at most 16 kB
MOST_GATEWAYS = 64  # gateways in one request


class INodeControl(INodeView):
    """
    Change a node and its cluster. A method may return a Deferred; a L{VoipclusterError} has a text for the operator.

    C{node} is a name, or L{None} for the node that is asked.
    """

    def registration_parts(most: int) -> Iterator[Row]:
        """
        The bindings of all as L{registrations} has them, in no order, in parts of which each is made when it is asked for and
        costs some ms: C{{"names": [...], "columns": [[a value for each row]]}}. Who is registered all the time comes once,
        whoever else comes and goes meanwhile.

        @param most: rows after which they may end, 0: all.
        """

    def create_token(ttl: float, uses: int) -> Later:
        """
        A new join token as C{TOKEN@ADDRESS}; primary only.

        @param ttl: s until it expires.
        @param uses: how many nodes may join with it.
        """

    def user_add(name: str, domain: str, password: str) -> Later:
        """Add an account; error when it exists, or when the domain is not ours."""

    def user_import(users: Sequence[Imported], replace: bool, dry: bool) -> Later:
        """
        Add accounts of another server; primary only, all of them or none.

        @param replace: whether those that exist get the password of the import; they are an error otherwise.
        @param dry: say what would be done, and do nothing.
        @return: how many were C{added} and C{replaced}, and how many were there already as they are (C{same}).
        """

    def user_remove(name: str, domain: str) -> Later:
        """Remove an account; error when there is none."""

    def user_passwd(name: str, domain: str, password: str) -> Later:
        """Change the password of an account; error when there is none."""

    def user_list(
        domain: str | None,
        limit: int | None = None,
        after: int | None = None,
        full: bool | None = None,
    ) -> Later:
        """
        Accounts as C{NAME@DOMAIN}, of one domain or of all, in no order: those among at most C{limit} that come behind the first
        C{after} of all; L{None} behind the last.

        @param full: each as C{{"user": NAME@DOMAIN, "digests": ["MD5", "SHA-256"], "disabled"}} instead.
        """

    def user_parts(domain: str | None) -> Iterator[Row]:
        """
        The same of all, in full, in parts as L{registration_parts} has them: each account that is there all the time comes once.
        """

    def user_set(name: str, domain: str, preferences: Mapping[str, str]) -> Later:
        """
        Change preferences of a user, by name; an empty text ends one; error when there is no such user or preference.

        @return: C{warnings}: lines about what is hardly meant.
        """

    def user_show(name: str, domain: str, full: bool | None = None) -> Later:
        """
        The preferences of a user, text by name; error when there is no such user.

        @param full: what C{user_list} tells of him in full, with C{preferences}.
        """

    def page_password(password: str | None) -> Later:
        """The password with which one logs in at the web page of every node; L{None}: nobody can any more."""

    def drain(node: str | None, on: bool) -> Later:
        """Let a node take no new requests (C{on}), or let it take them again; calls in progress go on."""

    def call_records(node: str | None, since: float, until: float, after: int) -> Later:
        """
        Calls that ended from C{since} to C{until} in unix seconds, as one node keeps them: C{rows} of C{acc_cdrs}, and C{next}
        to be given as C{after} for those behind them; L{None}: there are none.
        """

    def trace_on(
        user: str | None, address: str | None, call_id: str | None, all_calls: bool, seconds: float
    ) -> Later:
        """
        Keep messages at every node for so long: of a user (C{NAME} or C{NAME@DOMAIN}), an address (with or without a port), a
        Call-ID or of all calls; one of these. @return: a row for each node, as L{trace_status} has it.
        """

    def trace_off(forget: bool) -> Later:
        """No more at any node, and also forget what was kept. @return: as L{trace_on}."""

    def trace_status() -> Later:
        """
        For each node C{node}, C{wanted} (C{what}, and seconds C{left}), C{calls}, C{messages}, C{octets} of C{most}, and calls
        C{forgotten} for want of room; or C{node} and C{error}.
        """

    def configuration() -> Later:
        """What the node goes by now, as L{voipcluster.config.document.values_of} has it; no secret is among it."""

    def reload(everywhere: bool, dry: bool) -> Later:
        """
        Read the configuration again, and use what a running node can use; with a mistake nothing is changed, at no node.

        @param everywhere: at each node of the cluster.
        @param dry: only say what would be done.
        @return: a row for each node, see L{voipcluster.services.node.reloading.Reloading.everywhere}.
        """

    def gateway_show(name: str) -> Later:
        """One gateway as L{gateways} has it, with C{options}; error when there is none."""

    def gateway_add(name: str, options: Mapping[str, Any]) -> Later:
        """
        Add a gateway; error when it exists, or when an option is wrong. C{incoming.numbers} is a key, too.

        @return: C{warnings}: lines about what is hardly meant.
        """

    def gateway_import(gateways: Sequence[tuple[str, Mapping[str, Any]]], replace: bool, dry: bool) -> Later:
        """
        Add gateways of another server, by name and options; primary only, all of them or none.

        @param replace: whether those that exist in the database get these options; they are an error otherwise.
        @param dry: say what would be done, and do nothing.
        @return: as of L{user_import}.
        """

    def gateway_set(name: str, options: Mapping[str, Any]) -> Later:
        """Change options of a gateway; one of the file is kept in the database from then on. @return: as L{gateway_add}."""

    def gateway_switch(name: str, on: bool) -> Later:
        """Let calls use a gateway, or let no new one."""

    def gateway_remove(name: str) -> Later:
        """Remove a gateway, or the changes of one that is in the file: then it is C{left}, as the file has it."""

    def bans() -> Later:
        """The bans in force at this node: rows of C{who}, C{reason} and C{left} in s."""

    def unban(who: str) -> Later:
        """End a ban, named as L{bans} names it; error when there is none."""

    def forget(node: str) -> Later:
        """Take a node off the list of members for good; primary only, and error while the node is running."""

    def stop(node: str | None) -> Later:
        """Stop a node; its process ends after this was answered."""


class Imported(NamedTuple):
    """C{md5} and C{sha_256}: H(A1) in hex; the latter may be empty."""

    name: str
    domain: str
    md5: str
    sha_256: str


@frozen
class _Users:
    """Rows of L{Imported}."""

    allowed: str = "a list of [name, domain, HA1 by MD5, HA1 by SHA-256 or an empty text]"
    text = False
    secret = True

    def take(self, value: object) -> tuple[Imported, ...]:
        if not isinstance(value, list) or not 0 < len(value) <= MOST_IMPORTED:
            raise ValueError("not a list, or too long a one")
        for row in value:
            if not isinstance(row, list) or len(row) != 4 or not all(isinstance(one, str) for one in row):
                raise ValueError("not such a row")
        return tuple(Imported(*row) for row in value)


@frozen
class _Gateways:
    """Names with options."""

    allowed: str = f"a list of at most {MOST_GATEWAYS} [name, options]"
    text = False
    secret = True

    def take(self, value: object) -> tuple[tuple[str, dict[str, Any]], ...]:
        if not isinstance(value, list) or not 0 < len(value) <= MOST_GATEWAYS:
            raise ValueError("not a list, or too long a one")
        for row in value:
            if not isinstance(row, list) or len(row) != 2:
                raise ValueError("not such a row")
        return tuple((GATEWAY.take(name), _Options().take(options)) for name, options in value)


class _Optional:
    """An argument that may be missing or null."""

    text = False

    def __init__(self, kind: Kind[Any]) -> None:
        self._kind, self.secret = kind, kind.secret

    @property
    def allowed(self) -> str:
        return f"{self._kind.allowed}, or null"

    def take(self, value: object) -> Any:
        return None if value is None else self._kind.take(value)


@frozen
class _Text:
    """Printable text without line breaks."""

    allowed: str
    longest: int = 256
    secret: bool = False
    text = True
    without: str = ""

    def take(self, value: object) -> str:
        if not isinstance(value, str) or not 0 < len(value) <= self.longest or not value.isprintable():
            raise ValueError("not printable text")
        if set(value) & set(self.without):
            raise ValueError("a character that is not allowed")
        return value


class _Texts:
    """Texts by name; what they may be is for whoever reads them to say."""

    allowed = "an object with at most 64 texts of at most 1024 characters, by name"
    text = secret = False

    def take(self, value: object) -> dict[str, str]:
        if not isinstance(value, dict) or not 0 < len(value) <= 64:
            raise ValueError("not such an object")
        for name, text in value.items():
            if not (
                isinstance(name, str) and isinstance(text, str) and len(name) <= 64 and len(text) <= 1024
            ):
                raise ValueError("not a text by name")
        return value


@frozen
class _Options:
    """Some options, with the values that JSON and TOML have in common."""

    allowed = "an object of at most 64 options"
    text = False
    secret = True  # a password may be among them

    def take(self, value: object) -> dict[str, Any]:
        if not isinstance(value, dict) or len(value) > 64 or not all(len(key) <= 64 for key in value):
            raise ValueError("not options")
        return value


GATEWAY = _Text("the name of a gateway", 63)
USER = _Text("a user name without spaces, @, :, quotes or brackets", 64, without=" @:;\"'<>\\/?")
PASSWORD = _Text(f"a password of 1 to {MAX_PASSWORD} printable characters", MAX_PASSWORD, secret=True)
AOR = _Text("an address of record such as alice@example.com")
NUMBER = _Text("a number, or a tel or SIP URI")
WHO = _Text("who is banned, as bans names it", 400)
CALL_ID = _Text("a Call-ID", 512)
TRACED_USER = _Text("NAME or NAME@DOMAIN, or a number", 128, without=' <>"')
_ACCOUNT: dict[str, Kind[Any]] = {"name": USER, "domain": Domain()}
_PART: dict[str, Kind[Any]] = {"limit": _Optional(Whole(1, ROWS)), "after": _Optional(Whole(0, 1 << 31))}
_ONE_NODE: dict[str, Kind[Any]] = {"node": _Optional(NODE_NAME)}


@frozen
class Command:
    """
    One command.

    @ivar arguments: name to kind; those that are L{_Optional} may be missing.
    @ivar call: asks the node, with the checked arguments.
    """

    arguments: Mapping[str, Kind[Any]]
    call: Callable[[INodeControl, Mapping[str, Any]], Later]


COMMANDS: dict[str, Command] = {
    "status": Command({}, lambda node, given: node.status()),
    "registrations": Command(
        {"aor": _Optional(AOR), **_PART, "parts": _Optional(Whole(0, 1 << 31))},
        lambda node, given: (
            node.registrations(given["aor"], given["limit"], given["after"])
            if given["parts"] is None
            else node.registration_parts(given["parts"])
        ),
    ),
    "calls": Command(
        {"call_id": _Optional(CALL_ID), **_PART, "silent": _Optional(Flag())},
        lambda node, given: node.calls(given["call_id"], given["limit"], given["after"], given["silent"]),
    ),
    "explain": Command({"call_id": CALL_ID}, lambda node, given: node.explain(given["call_id"])),
    "trace": Command(
        {"call_id": CALL_ID, "texts": Flag()},
        lambda node, given: node.trace(given["call_id"], given["texts"]),
    ),
    "trace-on": Command(
        {
            "user": _Optional(TRACED_USER),
            "address": _Optional(AOR),
            "call_id": _Optional(CALL_ID),
            "all": Flag(),
            "seconds": Number(1, MAX_TRACE, "s"),
        },
        lambda node, given: node.trace_on(
            given["user"], given["address"], given["call_id"], given["all"], given["seconds"]
        ),
    ),
    "trace-off": Command({"forget": Flag()}, lambda node, given: node.trace_off(given["forget"])),
    "trace-status": Command({}, lambda node, given: node.trace_status()),
    "history": Command(
        {"since": _Optional(Number(0, 1e11))}, lambda node, given: node.history(given["since"])
    ),
    "metrics": Command({}, lambda node, given: node.metrics()),
    "join-token": Command(
        {"ttl": Number(1, MAX_TTL, "s"), "uses": Whole(1, 1000)},
        lambda node, given: node.create_token(given["ttl"], given["uses"]),
    ),
    "user-add": Command(
        {**_ACCOUNT, "password": PASSWORD},
        lambda node, given: node.user_add(given["name"], given["domain"], given["password"]),
    ),
    "user-import": Command(
        {"users": _Users(), "replace": Flag(), "dry": Flag()},
        lambda node, given: node.user_import(given["users"], given["replace"], given["dry"]),
    ),
    "user-rm": Command(_ACCOUNT, lambda node, given: node.user_remove(given["name"], given["domain"])),
    "user-passwd": Command(
        {**_ACCOUNT, "password": PASSWORD},
        lambda node, given: node.user_passwd(given["name"], given["domain"], given["password"]),
    ),
    "user-set": Command(
        {**_ACCOUNT, "preferences": _Texts()},
        lambda node, given: node.user_set(given["name"], given["domain"], given["preferences"]),
    ),
    "user-show": Command(
        {**_ACCOUNT, "full": _Optional(Flag())},
        lambda node, given: node.user_show(given["name"], given["domain"], given["full"]),
    ),
    "user-list": Command(
        {
            "domain": _Optional(Domain()),
            "limit": _Optional(Whole(1, NAMES)),
            "after": _PART["after"],
            "full": _Optional(Flag()),
            "parts": _Optional(Flag()),
        },
        lambda node, given: (
            node.user_parts(given["domain"])
            if given["parts"]
            else node.user_list(given["domain"], given["limit"], given["after"], given["full"])
        ),
    ),
    "drain": Command({**_ONE_NODE, "on": Flag()}, lambda node, given: node.drain(given["node"], given["on"])),
    "records": Command(
        {**_ONE_NODE, "since": Number(0, 1e11), "until": Number(0, 1e11), "after": Whole(0, 1 << 62)},
        lambda node, given: node.call_records(given["node"], given["since"], given["until"], given["after"]),
    ),
    "routes": Command(
        {"number": _Optional(NUMBER), "caller": _Optional(AOR)},
        lambda node, given: node.routes(given["number"], given["caller"]),
    ),
    "config": Command({}, lambda node, given: node.configuration()),
    "reload": Command(
        {"everywhere": Flag(), "dry": Flag()},
        lambda node, given: node.reload(given["everywhere"], given["dry"]),
    ),
    "gateways": Command({}, lambda node, given: node.gateways()),
    "gateway-show": Command({"name": GATEWAY}, lambda node, given: node.gateway_show(given["name"])),
    "gateway-add": Command(
        {"name": GATEWAY, "options": _Options()},
        lambda node, given: node.gateway_add(given["name"], given["options"]),
    ),
    "gateway-import": Command(
        {"gateways": _Gateways(), "replace": Flag(), "dry": Flag()},
        lambda node, given: node.gateway_import(given["gateways"], given["replace"], given["dry"]),
    ),
    "gateway-set": Command(
        {"name": GATEWAY, "options": _Options()},
        lambda node, given: node.gateway_set(given["name"], given["options"]),
    ),
    "gateway-switch": Command(
        {"name": GATEWAY, "on": Flag()}, lambda node, given: node.gateway_switch(given["name"], given["on"])
    ),
    "gateway-rm": Command({"name": GATEWAY}, lambda node, given: node.gateway_remove(given["name"])),
    "bans": Command({}, lambda node, given: node.bans()),
    "unban": Command({"who": WHO}, lambda node, given: node.unban(given["who"])),
    "web-password": Command(
        {"password": _Optional(PASSWORD)}, lambda node, given: node.page_password(given["password"])
    ),
    "forget": Command({"node": NODE_NAME}, lambda node, given: node.forget(given["node"])),
    "stop": Command(_ONE_NODE, lambda node, given: node.stop(given["node"])),
}


def perform(node: INodeControl, name: str, arguments: object) -> Later:
    """
    Do one command.

    @raise UsageError: there is no such command, or its arguments are wrong.
    """
    command = COMMANDS.get(name)
    if command is None:
        raise UsageError(f"unknown command {name[:40]!r}; known are {', '.join(COMMANDS)}")
    return command.call(node, take_arguments(command, arguments))


def take_arguments(command: Command, given: object) -> dict[str, Any]:
    """
    Check a request's arguments; a missing one that is optional becomes L{None}.

    @raise UsageError: unknown, missing, or not of its kind.
    """
    if not isinstance(given, dict):
        raise UsageError("arguments are an object")
    unknown = given.keys() - command.arguments.keys()
    if unknown:
        raise UsageError(f"unknown argument {min(unknown)[:40]!r}")
    taken = {}
    for name, kind in command.arguments.items():
        try:
            taken[name] = kind.take(given.get(name))
        except ValueError:
            raise UsageError(f"{name}: allowed is {kind.allowed}") from None
    return taken
