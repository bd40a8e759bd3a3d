"""The command line of voipctl: 0 when it is done, 1 when the node refuses or is not there, 2 for a wrong command line."""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from voipcluster import __version__
from voipcluster.errors import UsageError
from voipcluster.voipctl import asked, gateways, importing, lists, records, reloading, tables, trace, users
from voipcluster.voipctl.asked import UNSET, Given, add_common, sentence
from voipcluster.voipctl.columns import clean
from voipcluster.voipctl.passwords import PASSWORD_STDIN, password_of
from voipcluster.voipctl.showing import say_rest, say_silent, show, show_listing, show_rows, show_warned


class _Parser(argparse.ArgumentParser):
    """Errors in one line, without the usage in front of them."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"voipctl: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run one command.

    @param argv: without the program's name; L{None} for the process's own.
    @return: the exit status.
    """
    gc.disable()  # the process ends soon, and to look through a hundred thousand rows for cycles takes as long as to read them
    parser = command_line()
    given = parser.parse_args(argv)
    if given.url is not None and given.state_dir is not None:
        parser.error("--state-dir and --url exclude each other")
    try:
        run: Callable[[Given], int] = given.run
        status = run(given)
        sys.stdout.flush()
    except UsageError as error:
        print(f"voipctl: {clean(error)}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # "voipctl calls | head" has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print(file=sys.stderr)  # the shell's prompt on a line of its own
        return 130
    return status


def _status(given: Given) -> int:
    return show(
        given, asked.client_of(given).ask("status"), lambda answer: tables.status(answer, given.verbose)
    )


def _registrations(given: Given) -> int:
    client = asked.client_of(given)
    table = tables.Registrations()
    shown = lists.json_rows if given.json else table
    if given.aor:
        rows = list(shown(lists.listing_of(client.ask("registrations", aor=given.aor))))
        total = len(rows)
    else:
        rows, total = lists.registrations(client, given.limit, shown)
    none = f"{given.aor} is not registered" if given.aor else "there are no registrations"
    show_listing(given, rows, table.text, none)
    return say_rest(given, len(rows), total, "registrations")


def _calls(given: Given) -> int:
    client = asked.client_of(given)
    if not given.call_id:
        rows, total, silent = lists.calls(client, given.limit)
        none = "there are no calls" if not silent else "there are no calls at the nodes that answered"
        print(lists.as_json(rows) if given.json else tables.calls(rows) if rows else none)
        say_rest(given, len(rows), total, "calls")
        return say_silent(silent, "the calls of", "are missing")
    answer = client.ask("calls", call_id=given.call_id)
    if not answer:
        raise UsageError(f"no call in progress, nor one that ended lately, has the Call-ID {given.call_id}")
    return show(given, answer, tables.one_call)


def _explain(given: Given) -> int:
    answer = asked.client_of(given).ask("explain", call_id=given.call_id)
    if not answer:
        raise UsageError(f"no placement is remembered for the Call-ID {given.call_id}")
    return show(given, answer, tables.explain)


def _metrics(given: Given) -> int:
    return show(given, asked.client_of(given).ask("metrics"), lambda answer: str(answer).rstrip("\n"))


def _join_token(given: Given) -> int:
    return show(given, asked.client_of(given).ask("join-token", ttl=given.ttl, uses=given.uses), str)


def _import(given: Given) -> int:
    return show(given, importing.run(asked.client_of(given), given).splitlines(), "\n".join)


def _records(given: Given) -> int:
    return records.run(asked.client_of(given), given)


def _trace(given: Given) -> int:
    return trace.run(asked.client_of(given), given)


def _gateway(given: Given) -> int:
    client, verb = asked.client_of(given), given.gateway_command
    if verb == "list":
        rows = client.ask("gateways")
        show_rows(given, rows, gateways.listing, "there are no gateways")
        return say_silent(rows[0].get("silent") if rows else (), "what", "counts is missing")
    name = given.name
    if verb == "show":
        answer = client.ask("gateway-show", name=name)
        show(given, answer, gateways.one)
        return say_silent(answer.get("silent"), "what", "counts is missing")
    if verb in ("add", "set"):
        options = gateways.options_of(given.options)
        if given.password_stdin:
            options["password"] = sys.stdin.readline().rstrip("\r\n")
        answer = client.ask(f"gateway-{verb}", name=name, options=options)
        return show_warned(given, answer, f"{name}: {'added' if verb == 'add' else 'changed'}")
    if verb == "rm":
        answer = client.ask("gateway-rm", name=name)
        return show_warned(given, answer, gateways.removed(name, answer))
    on = verb == "enable"
    answer = client.ask("gateway-switch", name=name, on=on)
    text = "enabled" if on else "disabled; no new call uses it, running calls go on"
    return show(given, answer, lambda _: f"{name}: {text}")


def _drain(given: Given) -> int:
    on = given.command == "drain"
    answer = asked.client_of(given).ask("drain", node=given.node, on=on)
    whose = given.node or "the node"
    text = f"{whose} takes no new requests; calls go on" if on else f"{whose} takes requests again"
    return show(given, answer, lambda _: text)


def _web_password(given: Given) -> int:
    client = asked.client_of(given)
    if given.url:
        client.ask("web-password")  # which only reads, and says so before a password is typed
    password = None if given.remove else password_of(given, "the web page")
    answer = client.ask("web-password", password=password)
    now = "nobody can log in" if given.remove else "it lets you log in"
    return show(
        given, answer, lambda _: f"{now} at the web page of every node; who was logged in no longer is"
    )


def _routes(given: Given) -> int:
    answer = asked.client_of(given).ask("routes", number=given.number, caller=given.caller)
    if given.number and not answer:
        raise UsageError(f"no route leads to {given.number}")
    return show_rows(given, answer, tables.routes, "there are no routes")


def _config(given: Given) -> int:
    # Here, because only this command needs all options, and making them takes longer than all the rest.
    from voipcluster.config import Config  # noqa: PLC0415 - see above
    from voipcluster.config.document import values_of, written  # noqa: PLC0415 - see above

    values = values_of(Config()) if given.defaults else asked.client_of(given).ask("config")
    return show(given, values, lambda values: written(values).rstrip("\n"))


def _reload(given: Given) -> int:
    answer = asked.client_of(given).ask("reload", everywhere=given.all, dry=given.dry_run)
    return reloading.show(answer, given)


def _bans(given: Given) -> int:
    return show_rows(given, asked.client_of(given).ask("bans"), tables.bans, "nobody is banned here")


def _unban(given: Given) -> int:
    answer = asked.client_of(given).ask("unban", who=given.who)
    return show(given, answer, lambda _: f"{given.who} is served again")


def _stop(given: Given) -> int:
    answer = asked.client_of(given).ask("stop", node=given.node)
    return show(
        given,
        answer,
        lambda _: f"{given.node or 'the node'} takes no new requests, and stops when its last call has ended",
    )


def _forget(given: Given) -> int:
    answer = asked.client_of(given).ask("forget", node=given.node)
    return show(given, answer, lambda _: f"{given.node}: forgotten; its certificate counts no more")


def _check(given: Given) -> int:
    # Here, because only this command needs the plugins, and finding them takes longer than all the rest.
    from voipcluster.config import look_into  # noqa: PLC0415 - see above
    from voipcluster.services.policies import policy_names  # noqa: PLC0415 - see above

    errors, warnings = look_into(given.file, policy_names(), files=True)
    if given.json:
        print(json.dumps({"errors": errors, "warnings": warnings}, indent=2))
        return 1 if errors else 0
    for line in errors or [f"warning: {warning}" for warning in warnings]:
        print(line, file=sys.stderr)
    if not errors:
        print(f"{given.file}: can be used" if warnings else f"{given.file}: good")
    return 1 if errors else 0


def _completion(given: Given) -> int:
    # imported late: only this command needs it
    from voipcluster.voipctl.completion import script  # noqa: PLC0415 - see above

    print(script(command_line(), given.shell))
    return 0


def command_line() -> argparse.ArgumentParser:
    """All commands with their options, as C{--help}, completion and the reference of the documentation show them."""
    parser = _Parser(
        prog="voipctl",
        description="Look at a voipcluster node and its cluster, and operate them.",
        epilog="Exit status: 0 when it is done; 1 when the node refuses or is not there, or the file has a mistake; 2 for a wrong"
        " command line; 130 when it was interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"voipctl {__version__}")
    add_common(parser, {})
    parser.set_defaults(state_dir=None, url=None, json=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[Given], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=sentence(text))
        command.set_defaults(run=run)
        add_common(command, UNSET)
        return command

    status = add("status", _status, "show the nodes: role, state, workload, calls, age of the report")
    status.add_argument("-v", "--verbose", action="store_true", help="what each node's workload is made of")
    users.add_arguments(commands)
    gateways.add_arguments(commands, _gateway, lambda parser: add_common(parser, UNSET))
    token = add("join-token", _join_token, "print a token for one more node: TOKEN@ADDRESS")
    token.add_argument("--ttl", type=float, default=3600.0, help="seconds until it expires [%(default)g]")
    token.add_argument("--uses", type=int, default=1, help="how many nodes may join with it [%(default)s]")
    registered = add("registrations", _registrations, "show who is registered, and at which node")
    registered.add_argument("aor", nargs="?", metavar="AOR", help="only this NAME@DOMAIN")
    lists.add_limit(registered)
    calls = add("calls", _calls, "show the calls in progress on all nodes, or how one sounds")
    lists.add_limit(calls)
    calls.add_argument(
        "call_id",
        nargs="?",
        metavar="CALL-ID",
        help="only this call, with its media; also one that ended lately",
    )
    add("explain", _explain, "tell why a call went to its node").add_argument("call_id", metavar="CALL-ID")
    trace.add_arguments(
        add("trace", _trace, "show what was said in a call; on, off: keep messages to be shown")
    )
    for name, run, text in (
        ("drain", _drain, "let a node take no new requests"),
        ("undrain", _drain, "let it take them again"),
        ("stop", _stop, "stop a node when its last call has ended"),
    ):
        add(name, run, text).add_argument("node", nargs="?", metavar="NODE", help="its name [the node asked]")
    add("forget", _forget, "take a node that does not run off the list of members, for good").add_argument(
        "node", metavar="NODE", help="its name"
    )
    importing.add_arguments(add("import", _import, "take over the users and gateways of another SIP server"))
    records.add_arguments(
        add("records", _records, "show the calls that are over, for billing: a table, CSV or JSON")
    )
    _add_route(commands)
    add(
        "config",
        _config,
        "print what a node goes by, as TOML with comments; or every option with its default",
    ).add_argument("--defaults", action="store_true", help="every option with its default; no node is asked")
    reloading.add_arguments(
        add("reload", _reload, "read the configuration file again, and use what a running node can use")
    )
    add("bans", _bans, "show who is banned at this node, why and for how long")
    add("unban", _unban, "end a ban").add_argument("who", metavar="WHO", help="as bans names it")
    web = add("web-password", _web_password, "set the password with which one drains nodes on the web page")
    web.add_argument("--remove", action="store_true", help="let nobody log in any more")
    web.add_argument("--password-stdin", action="store_true", help=PASSWORD_STDIN)
    add("check", _check, "find the mistakes of a configuration file").add_argument("file", metavar="FILE")
    add("metrics", _metrics, "print what /metrics says")
    add("completion", _completion, "print what lets a shell complete voipctl's words").add_argument(
        "shell", choices=["bash", "zsh", "tcsh"]
    )
    return parser


def _add_route(commands: Any) -> None:
    route = commands.add_parser(
        "route",
        help="show which gateways numbers go to: list; or read the file again: reload",
        description="The routes of numbers to gateways.",
    )
    add_common(route, UNSET)
    verbs = route.add_subparsers(dest="route_command", required=True, metavar="list|reload")
    for verb, run, text in (
        ("list", _routes, "show all routes, or what a call to a number would take and why"),
        ("reload", _reload, "the same as voipctl reload: routes are read again with all the rest"),
    ):
        command = verbs.add_parser(verb, help=text, description=sentence(text))
        command.set_defaults(run=run)
        add_common(command, UNSET)
        if verb == "list":
            command.add_argument("number", nargs="?", metavar="NUMBER", help="as it is dialled, or a URI")
            command.add_argument("--caller", metavar="NAME@DOMAIN", help="whose call it would be")
        else:
            reloading.add_arguments(command)
