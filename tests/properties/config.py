"""What an operator writes: the TOML file, and the flags. Each mistake is one line that can be found again."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.properties.outcome import text_of
from voipcluster.config import Config, ConfigError, load_config, parse_set
from voipcluster.config.lines import key_lines, line_of

LONGEST = 2048  # octets; the file is nobody else's, so nothing need be fast
FOLDER = TemporaryDirectory(prefix="config-")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def check_file(octets: bytes) -> None:
    content = octets[:LONGEST]
    path = Path(FOLDER.name) / "voipcluster.toml"
    path.write_bytes(content)
    lines = content.count(b"\n") + 1
    try:
        config = load_config(str(path))
    except ConfigError as error:
        assert _is_one_line(str(error)), str(error)
        for problem in error.problems:
            assert _is_one_line(str(problem)) and problem.text, str(problem)
            place, _, line = problem.where.rpartition(":")
            if place:
                assert place == str(path) and 1 <= int(line) <= lines, problem.where
        try:
            text = content.decode().replace("\r\n", "\n")
            document = tomllib.loads(text)
        except (ValueError, RecursionError):
            return
    else:
        assert isinstance(config, Config) and config == load_config(str(path))
        text = content.decode().replace("\r\n", "\n")
        document = tomllib.loads(text)
    _check_lines(text, document)


def _check_lines(text: str, document: dict[str, object]) -> None:
    """Each key stands in the line that is said of it."""
    lines, places = text.split("\n"), key_lines(text)
    for section, content in document.items():
        paths = [(section,)]
        if isinstance(content, dict):
            paths += [(section, key) for key in content]
        for path in paths:
            assert path[:1] in places, (path, places)
            stands = lines[line_of(places, path) - 1]
            assert not _BARE.fullmatch(path[-1]) or path[-1] in stands or '"' in stands or path not in places


def check_flag(octets: bytes) -> None:
    """What is behind C{--set}."""
    text = text_of(octets[:LONGEST])
    try:
        setting = parse_set(text)
        config = load_config(None, [setting])
    except ConfigError as error:
        assert _is_one_line(str(error)), str(error)
        return
    section, _, key = setting.key.partition(".")
    assert hasattr(getattr(config, section), key)


def _is_one_line(text: str) -> bool:
    return len(text.splitlines()) == 1 and len(text) < 1000
