"""One TOML file and the flags become one L{Config}; every mistake is one line that says where and what is allowed."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from attrs import evolve, frozen

from voipcluster.config.addresses import address_trouble
from voipcluster.config.cautions import cautions
from voipcluster.config.cluster import POLICIES
from voipcluster.config.files import look_at_files
from voipcluster.config.gateways import read_gateways
from voipcluster.config.kinds import URLS, FilePath
from voipcluster.config.lines import key_lines, line_of
from voipcluster.config.options import SECTIONS, Config, Option, options
from voipcluster.config.problem import Problem, guess, shown
from voipcluster.config.records import driver_trouble
from voipcluster.config.routes import Where, read_rates, read_routes
from voipcluster.config.unknown import unknown_key, unknown_section
from voipcluster.errors import UsageError
from voipcluster.gateway.gateway import Gateway
from voipcluster.gateway.rates import RateTable
from voipcluster.gateway.routing import Route

MAX_FILE = 1 << 20  # octets; far above any real file, and what the line finder can take at once
_TOML_PLACE = re.compile(r" ?\(at (?:line (\d+), column (\d+)|end of document)\)")
_FLAG_KEY = re.compile(r"[!-\-/-~]{1,40}\.[!-\-/-~]{1,40}")  # SECTION.KEY, not necessarily one that is known
_QUOTED = ('"', "'", "[", "{")


class ConfigError(UsageError):
    """The configuration cannot be used; C{str()} is one line, with the first mistake."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        assert problems, "an error has a reason"
        more = len(problems) - 1
        rest = f" (and {more} more: voipctl check shows {'it' if more == 1 else 'them'})" if more else ""
        super().__init__(f"{problems[0]}{rest}")
        self.problems = tuple(problems)


@frozen
class Setting:
    """One option given by a flag: C{key} is C{section.key}, C{text} is as typed, C{flag} names it in errors."""

    key: str
    text: str
    flag: str


def parse_set(argument: str) -> Setting:
    """
    Take C{SECTION.KEY=VALUE} of C{--set} apart.

    @raise ConfigError: no key or no equals sign.
    """
    key, equals, text = argument.partition("=")
    key = key.strip()
    if not equals or _FLAG_KEY.fullmatch(key) is None:
        problem = Problem(
            f"--set {shown(argument)}", "", "allowed is SECTION.KEY=VALUE, such as limits.calls=20"
        )
        raise ConfigError([problem])
    return Setting(key, text, f"--set {key}")


def load_config(
    path: str | None,
    settings: Sequence[Setting] = (),
    policies: Collection[str] = (),
    folder: Path | None = None,
    *,
    files: bool = False,
    unread: bool = True,
) -> Config:
    """
    Read the file, let the flags win over it, and check all of it.

    @param path: the TOML file; L{None} when there is none.
    @param settings: the flags; of two for one key the later wins.
    @param policies: names of balancing policies that plugins offer, beside the built-in ones.
    @param folder: which the files that it names are relative to, and become absolute with; the present directory when not given.
    @param files: look into certificates, keys and secrets, too, as a node does at its start.
    @param unread: whether it is no more than a caution that this user may not read one of them.
    @raise ConfigError: one or more mistakes; nothing is used then.
    """
    reading = _Reading({option.name: option for option in options()}, {*POLICIES, *policies}, folder)
    if path is not None:
        reading.take_file(path)
    for setting in settings:
        reading.take_flag(setting)
    reading.check_together()
    unknown = reading.check_files(unread) if files else []
    if reading.problems:
        raise ConfigError(sorted(reading.problems, key=_line_number))
    config = reading.config(path)
    found = [*reading.check_domain(path), *cautions(config, reading.place), *unknown]
    return evolve(config, cautions=tuple(sorted(found, key=_line_number)))


class _Reading:
    """Values and mistakes found so far; C{_where} says for each set option where it was set."""

    def __init__(
        self, known: Mapping[str, Option], policies: Collection[str], folder: Path | None = None
    ) -> None:
        self._known, self._policies, self._folder = known, policies, folder
        self._values: dict[str, object] = {name: option.default for name, option in known.items()}
        self._where: dict[str, str] = {}
        self._empty = False  # a file that says nothing
        self._gateways: tuple[Gateway, ...] = ()
        self._routes: tuple[object, Where] | None = None  # as they stand in the file; read when all else is
        self._routing: tuple[tuple[Route, ...], RateTable] = (), RateTable()
        self._tables: list[Mapping[str, object]] = []  # of the gateways, those with a mistake too
        self.place: Where = lambda *key: self._where.get(".".join(key), "")
        self.problems: list[Problem] = []

    def take_file(self, path: str) -> None:
        try:
            text = _read(path)
        except ValueError as error:
            self.problems.append(Problem(path, "", str(error)))
            return
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            self.problems.append(_syntax_problem(path, text, error))
            return
        except ValueError:  # of int(), which takes no decimal number of so many digits
            self.problems.append(Problem(f"{path}:{_long_number(text)}", "", "a number with too many digits"))
            return
        except RecursionError:
            self.problems.append(Problem(path, "", "lists or tables nested too deeply"))
            return
        lines = key_lines(text)

        def where(*key: str) -> str:
            return f"{path}:{line_of(lines, key)}"

        def place(*key: str) -> str:
            return self._where.get(".".join(key)) or where(*key)

        self.place = place
        self._empty = not document
        for section, content in document.items():
            if section == "gateway":
                found = [self._with_secret(one) for one in content] if isinstance(content, list) else content
                self._gateways, problems = read_gateways(found, where)
                if isinstance(found, list):
                    self._tables = [table if isinstance(table, dict) else {} for table in found]
                self.problems += problems
            elif section == "route":
                self._routes = content, where
            elif section not in SECTIONS:
                self.problems.append(unknown_section(self._known, where(section), section, content))
            elif not isinstance(content, dict):
                self.problems.append(
                    Problem(
                        where(section), section, f"found {shown(content)}, allowed is a table: [{section}]"
                    )
                )
            else:
                for key, value in content.items():
                    self._take(where(section, key), f"{section}.{key}", value)

    def _file(self, path: str) -> str:
        return path if self._folder is None else str(self._folder / path)

    def _with_secret(self, table: object) -> object:
        """A table of a gateway, with the file of its password where it will be found whatever directory the process is in."""
        if not isinstance(table, dict) or not isinstance(table.get("secret"), str) or not table["secret"]:
            return table
        return {**table, "secret": self._file(table["secret"])}

    def check_domain(self, path: str | None) -> Iterator[Problem]:
        """A file without one can be used, and hardly anybody has the domain of the default, which is for examples."""
        if path is not None and "cluster.domain" not in self._where:
            domain = ", ".join(Config().cluster.domain)
            also = ", nor is anything else" if self._empty else ""
            yield Problem(path, "cluster.domain", f"is not set{also}: only users of {domain} are served")

    def take_flag(self, setting: Setting) -> None:
        option = self._known.get(setting.key)
        if option is None:
            self.problems.append(unknown_key(self._known, setting.flag, setting.key))
            return
        raw = setting.text.strip()
        value: object = raw
        if raw.startswith(_QUOTED) or not option.kind.text:
            try:
                value = _toml_value(raw)
            except ValueError:
                if raw.startswith(_QUOTED):
                    hidden = option.kind.secret or "@" in raw
                    text = f"{'what it says' if hidden else shown(raw)} is not a TOML value"
                    self.problems.append(Problem(setting.flag, "", text))
                    return
        self._take(setting.flag, setting.key, value)

    def _take(self, where: str, name: str, value: object) -> None:
        option = self._known.get(name)
        if option is None:
            self.problems.append(unknown_key(self._known, where, name))
            return
        if value == option.default == "":
            return  # left open, as the sample file shows it
        self._where[name] = where
        try:
            taken = option.kind.take(value)
            if isinstance(option.kind, FilePath) and isinstance(taken, str):
                taken = self._file(taken)
            self._values[name] = taken
        except ValueError:
            # before an @ in a URL there may be a password
            hidden = option.kind.secret or (isinstance(option.kind, URLS) and "@" in str(value))
            found = "" if hidden else f"found {shown(value)}, "
            self._refuse(name, f"{found}allowed is {option.kind.allowed}")

    def _refuse(self, name: str, text: str) -> None:
        where = self._where.get(name, "")
        # A flag of an option names its key already.
        self.problems.append(Problem(where, "" if where.startswith("--") else name, text))
        self._where.pop(name, None)

    def check_together(self) -> None:
        """What no option can say alone. Only options that were set and are right so far are blamed."""
        values = self._values
        policy = values["cluster.policy"]
        if policy not in self._policies:
            near = guess(str(policy), self._policies)
            hint = f"did you mean {near}? " if near else ""
            self._refuse(
                "cluster.policy",
                f"unknown policy {shown(policy)}; {hint}allowed are {', '.join(sorted(self._policies))}",
            )
        self._order("cluster.threshold", "cluster.hard_limit")
        self._order("sip.min_expires", "sip.default_expires")
        self._order("sip.default_expires", "sip.max_expires")
        if values["sip.session_expires"]:
            self._order("sip.min_session_expires", "sip.session_expires")
        media = values["media.ports"]
        assert isinstance(media, tuple), "its kind made it"
        for name in ("sip.port", "tls.port", "cluster.port", "web.port", "websocket.port"):
            port = values[name]
            assert isinstance(port, int), "its kind made it"
            if media[0] <= port <= media[1]:
                blamed, other = self._blame("media.ports", name)
                if blamed:
                    self._refuse(
                        blamed, f"media.ports {media[0]}-{media[1]} include {name} {port}; change {other}"
                    )

        if not values["tls.certificate"]:
            for name in ("tls.key", "tls.client_certificate", "web.tls"):
                self._needs(name, "tls.certificate")
            if values["websocket.tls"]:
                self._needs("websocket.port", "tls.certificate (or websocket.tls = false)")
        self._needs("tls.client_certificate", "tls.ca")
        no_driver = driver_trouble() if values["database.url"] else ""
        if no_driver:
            self._refuse("database.url", no_driver)
        self._check_routes()
        name, text = address_trouble(self.config(None).node)
        if name:
            self._refuse(name, text)
        self._ports_differ()

    def check_files(self, unread: bool) -> list[Problem]:
        """@return: what this user may not read, unless that is a mistake."""
        found = look_at_files(self.config(None), self.place)
        self.problems += [one for one in found.mistakes if not self._is_wrong(one.key.partition(".")[0])]
        if unread:
            return found.unread
        self.problems += found.unread
        return []

    def _check_routes(self) -> None:
        """Routes and rates name gateways, and their prefixes mean something in the number plan."""
        numbers = self.config(None).numbers
        if numbers.national and numbers.national == numbers.international:
            self._refuse("numbers.national", f"is {numbers.national}, and so is numbers.international")
        if numbers.area and not numbers.country:
            self._refuse("numbers.area", "needs numbers.country, which is not set")
        if not self._values["tls.certificate"] and not self._is_wrong("tls"):
            for at, table in enumerate(self._tables):
                if table.get("transport") == "tls":
                    where = self.place("gateway", f"#{at}", "transport")
                    text = "tls needs tls.certificate, which is not set"
                    self.problems.append(Problem(where, "gateway.transport", text))
        # what a mistake elsewhere makes of routes is no mistake of theirs
        if self._is_wrong("numbers"):
            return
        gateways = [str(table["name"]) for table in self._tables if "name" in table]
        routes: tuple[Route, ...] = ()
        rates = RateTable()
        if self._routes is not None:
            routes, problems = read_routes(*self._routes, numbers.plan, gateways)
            self.problems += problems
        if numbers.rates:
            rates, problems = read_rates(numbers.rates, {*gateways, *(route.gateway for route in routes)})
            self.problems += problems
        self._routing = routes, rates

    def _is_wrong(self, section: str) -> bool:
        return any(problem.key.startswith(f"{section}.") for problem in self.problems)

    def _ports_differ(self) -> None:
        """No two parts of the node can listen on one TCP port."""
        values = self._values
        used = ["sip.port", "cluster.port", "web.port", "tls.port", "websocket.port"]
        if not values["tls.certificate"]:
            used.remove("tls.port")
        for at, name in enumerate(used):
            for before in used[:at]:
                if not values[name] or values[name] != values[before]:
                    continue
                blamed, other = self._blame(name, before)
                if blamed:
                    text = f"{name} and {before} are both {values[name]}; change {other}"
                    self._refuse(blamed, text)

    def _needs(self, name: str, other: str) -> None:
        """Option C{name} is of no use without C{other}."""
        if self._values[name] and name in self._where and not self._values.get(other):
            self._refuse(name, f"needs {other}, which is not set")

    def _order(self, low: str, high: str) -> None:
        """Option C{low} must not be above option C{high}."""
        least, most = self._values[low], self._values[high]
        assert isinstance(least, int | float), "its kind made it"
        assert isinstance(most, int | float), "its kind made it"
        blamed, _ = self._blame(low, high)
        if least > most and blamed:
            relation, value = ("at least", least) if blamed == high else ("at most", most)
            other = low if blamed == high else high
            found = most if blamed == high else least
            self._refuse(blamed, f"found {found:g}, allowed is {relation} {value:g}, which is {other}")

    def _blame(self, one: str, other: str) -> tuple[str, str]:
        """Which of two options that do not fit was set, and how to call the remedy; nothing when none was."""
        both = f"{one} or {other}"
        return (one, both) if one in self._where else (other, both) if other in self._where else ("", both)

    def config(self, path: str | None) -> Config:
        routes, rates = self._routing
        config = Config(path=path, gateways=self._gateways, routes=routes, rates=rates)
        for section in SECTIONS:
            of_section = {option.key: self._values[option.name] for option in self._section(section)}
            config = evolve(config, **{section: SECTIONS[section](**of_section)})
        return config

    def _section(self, section: str) -> Iterator[Option]:
        return (option for option in self._known.values() if option.section == section)


def _line_number(problem: Problem) -> int:
    """Mistakes of the file in its order, those of flags after them."""
    line = problem.where.rpartition(":")[2]
    return int(line) if line.isdigit() else sys.maxsize


def _read(path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE + 1)
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror or error}") from None
    if len(content) > MAX_FILE:
        raise ValueError(f"larger than {MAX_FILE} octets")
    try:
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"line {line} is not UTF-8") from None


def _syntax_problem(path: str, text: str, error: tomllib.TOMLDecodeError) -> Problem:
    message = str(error)
    place = _TOML_PLACE.search(message)
    line = place[1] if place and place[1] else str(text.count("\n") + 1)
    reason = _TOML_PLACE.sub("", message)
    return Problem(f"{path}:{line}", "", f"not TOML: {reason[:1].lower()}{reason[1:]}")


def _long_number(text: str) -> int:
    """The line of the number that Python does not convert (L{sys.get_int_max_str_digits})."""
    found = re.search(f"[0-9_]{{{sys.get_int_max_str_digits()},}}", text)
    return text.count("\n", 0, found.start()) + 1 if found else 1


def _toml_value(text: str) -> object:
    try:
        document = tomllib.loads(f"v = {text}")
    except (ValueError, RecursionError):
        raise ValueError(text) from None
    if set(document) != {"v"}:  # a line break in it began a second key
        raise ValueError(text)
    value: object = document["v"]
    return value


class Verdict(NamedTuple):
    """Lines about a file: with C{errors} it cannot be used; C{warnings} are hardly meant."""

    errors: list[str]
    warnings: list[str]


def check_file(path: str, policies: Collection[str] = ()) -> list[str]:
    """All mistakes of a file, one line each; an empty list when it can be used."""
    return look_into(path, policies).errors


def look_into(path: str, policies: Collection[str] = (), files: bool = False) -> Verdict:
    """All mistakes of a file; of one without any, what is worth a second look. C{files}: as of L{load_config}."""
    try:
        config = load_config(path, (), policies, files=files)
    except ConfigError as error:
        return Verdict([str(problem) for problem in error.problems], [])
    return Verdict([], [str(caution) for caution in config.cautions])
