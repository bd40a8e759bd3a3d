"""
Every command of voipctl and every page of a node, each with words to ask it with.

The commands are those of voipctl's parser and the pages those of the site: one that has no words here is an error, so that
what is new cannot be forgotten (C{tests/unit/bench/test_questions.py}).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from twisted.internet.testing import MemoryReactorClock

from voipcluster.voipctl.cli import command_line
from voipcluster.web.gate import Gate
from voipcluster.web.site import node_site

PASSWORD = "correct horse battery"


class Words(NamedTuple):
    """
    What stands behind the name of a command.

    @ivar words: C{{call_id}} is a call in progress, C{{n}} another number each time, C{{config}}, C{{subscribers}} are files.
    @ivar status: the exit status that is right. C{once}: a second time is another thing.
    """

    words: tuple[str, ...] = ()
    status: int = 0
    once: bool = False


def _all(*lines: str) -> list[Words]:
    return [Words(tuple(line.split())) for line in lines or ("",)]


NEW = "new{n}@example.com"
COMMANDS: dict[str, list[Words]] = {
    "status": _all("", "-v", "--json"),
    "registrations": _all("", "--json", "--limit 0", "--limit 0 --json", "user99@example.com"),
    "calls": _all("", "--json", "--limit 0", "--limit 0 --json", "{call_id}"),
    "explain": _all("{call_id}"),
    "trace": _all("on --user nobody --for 10s", "status", "{call_id}", "off"),
    "user list": _all("", "--json", "example.com"),
    "user add": _all(f"{NEW} --password-stdin"),
    "user passwd": _all(f"{NEW} --password-stdin"),
    "user set": _all(f"{NEW} forward.busy=user2"),
    "user show": _all(NEW),
    "user rm": _all(NEW),
    "import": _all(
        "kamailio --subscriber {subscribers} --dry-run", "kamailio --subscriber {subscribers} --replace"
    ),
    "gateway add": _all("carrier{n} servers=192.0.2.{n} probe=0"),
    "gateway list": _all(""),
    "gateway show": _all("carrier{n}"),
    "gateway set": _all("carrier{n} channels=30"),
    "gateway disable": _all("carrier{n}"),
    "gateway enable": _all("carrier{n}"),
    "gateway rm": _all("carrier{n}"),
    "route list": _all(""),
    "route reload": _all(""),
    "records": _all("", "--json", "--csv", "--attempts"),
    "config": _all("", "--json", "--defaults"),
    "reload": _all("", "--dry-run", "--all"),
    "bans": _all(""),
    "unban": [Words(("192.0.2.9",), status=1)],  # nobody is banned: the same way to the node and back
    "web-password": _all("--password-stdin"),
    "check": _all("{config}"),
    "metrics": _all(""),
    "join-token": _all(""),
    "completion": _all("bash", "zsh", "tcsh"),
    "drain": _all("b"),
    "undrain": _all("b"),
    "stop": [Words(("b",), once=True)],
    "forget": [Words(("b",), once=True)],
}
"""In an order in which they can be questions."""

PAGES: dict[str, list[str]] = {
    "api/calls": ["", "?call_id={call_id}"],
    "api/registrations": ["", "?aor=user99%40example.com"],
    "api/explain": ["/{call_id}"],
    "api/trace": ["/{call_id}"],
    "api/history": ["", "?since=0"],
    "api/routes": [""],
}
"""What stands behind the path of a page, where that is not nothing."""

POSTS: dict[str, list[Mapping[str, object]]] = {
    "api/login": [{"password": PASSWORD}],
    "api/drain": [{"node": "b", "on": True}, {"node": "b", "on": False}],
    "api/logout": [{}],
}
"""What changes something, in an order in which it can: with the body that is sent."""


def leaves(parser: argparse.ArgumentParser, words: tuple[str, ...] = ()) -> Iterator[str]:
    """Each command of a parser that has none below it, such as C{user list}."""
    below = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    if not below:
        yield " ".join(words)
    for action in below:
        for name, inner in action.choices.items():
            yield from leaves(inner, (*words, name))


def paths() -> list[str]:
    """Each page of a node, without a slash in front of it."""
    site = node_site(MemoryReactorClock(), _NoView(), Gate())

    def below(resource: object, path: tuple[str, ...]) -> Iterator[str]:
        children: Mapping[bytes, object] = getattr(resource, "children", {})
        if not children:
            yield "/".join(path)
        for name, child in children.items():
            yield from below(child, (*path, name.decode("ascii")))

    return sorted(below(site.resource, ()))


class _NoView:
    """A node of which nothing is questions."""

    def __getattr__(self, name: str) -> object:
        return lambda *given: None


def commands(numbers: Iterable[int], **given: object) -> Iterator[tuple[str, Words, list[Sequence[str]]]]:
    """
    Each command with each of its words, as often as there are C{numbers}.

    @param given: what the words have in braces.
    @raise SystemExit: one has none.
    """
    new = sorted(set(leaves(command_line())) - set(COMMANDS))
    if new:
        raise SystemExit(f"bench/questions.py has no words for voipctl {', '.join(new)}")
    for name, ways in COMMANDS.items():
        for way in ways:
            ns = list(numbers)[:1] if way.once else list(numbers)
            yield (
                name,
                way,
                [[*name.split(), *(word.format(n=n, **given) for word in way.words)] for n in ns],
            )


def pages(call_id: str) -> list[str]:
    """Each page that is read; C{call_id} as it stands in a URL."""
    return [
        f"{path}{more.format(call_id=call_id)}"
        for path in paths()
        if path not in POSTS
        for more in PAGES.get(path, [""])
    ]
