"""Keys and sections that there are none of, and what was perhaps meant."""

from __future__ import annotations

from collections.abc import Mapping

from voipcluster.config.options import SECTIONS, Option
from voipcluster.config.problem import Problem, guess, shown

ARRAYS = ("gateway", "route")  # what stands in the file any number of times, as [[gateway]]
PAGE_PASSWORD = ("web.password", "web.password_file", "web.secret")  # which is in no file


def unknown_section(known: Mapping[str, Option], where: str, section: str, content: object = None) -> Problem:
    """
    @param known: all options by their names.
    @param content: what stands there; a value, and no table, is perhaps the key of a section.
    """
    homes = [f"[{option.section}]" for option in known.values() if option.key == section]
    tables = isinstance(content, dict) or (
        isinstance(content, list) and any(isinstance(one, dict) for one in content)
    )
    if homes and content is not None and not tables:
        return Problem(
            where, "", f"key {shown(section)} is in no section; it belongs under {' or '.join(homes)}"
        )
    near = guess(section, (*SECTIONS, *ARRAYS))
    written = f"[[{near}]]" if near in ARRAYS else f"[{near}]"
    hint = f"did you mean {written}? " if near else ""
    return Problem(
        where, "", f"unknown section {shown(section)}; {hint}allowed are {', '.join((*SECTIONS, *ARRAYS))}"
    )


def unknown_key(known: Mapping[str, Option], where: str, name: str) -> Problem:
    """@param name: of what would be the option, as C{section.key}; C{known}: all options by their names."""
    section, _, key = name.partition(".")
    if section not in SECTIONS:
        return unknown_section(known, where, section)
    if name in PAGE_PASSWORD:
        return Problem(
            where,
            "",
            f"unknown key {shown(key)} in [web]; voipctl web-password sets the password of the page",
        )
    siblings = {option.key: option.name for option in known.values() if option.section == section}
    elsewhere = {option.key: option.name for option in known.values()}
    near = siblings.get(guess(key, siblings)) or elsewhere.get(guess(key, elsewhere))
    hint = f"did you mean {near}?" if near else f"allowed are {', '.join(siblings)}"
    return Problem(where, "", f"unknown key {shown(key)} in [{section}]; {hint}")
