"""
Wheels out of what is installed, so that tests install packages into fresh environments without a network.

    make_wheels(folder, "twisted", "cryptography")   # and all that these need

A wheel is the files of its RECORD in a zip (PEP 427); programs are made anew from the entry points.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["closure", "make_wheels"]


def closure(*requirements: str) -> list[Distribution]:
    """
    The installed distributions that these need, themselves included.

    @raise PackageNotFoundError: one is not installed.
    """
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        found[name] = installed = distribution(requirement.name)
        for asked in ("", *requirement.extras):
            if (name, asked) not in seen:
                seen.add((name, asked))
                waiting += [(Requirement(text), asked) for text in installed.requires or ()]
    return list(found.values())


def make_wheels(folder: Path, *requirements: str) -> list[Path]:
    """Write the wheels of L{closure} into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_make(folder, installed) for installed in closure(*requirements)]


def _make(folder: Path, installed: Distribution) -> Path:
    tags = [
        line.partition(":")[2].strip()
        for line in (installed.read_text("WHEEL") or "").splitlines()
        if line.startswith("Tag:")
    ]
    files = installed.files
    if not tags or files is None:
        raise PackageNotFoundError(f"{installed.name} was not installed from a wheel")
    name = canonicalize_name(installed.name).replace("-", "_")
    made = folder / f"{name}-{installed.version}-{_compressed(tags)}.whl"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as wheel:
        for file in files:
            # programs stand outside, and compiled files and the notes of the installer are not of the wheel
            if (
                ".." in file.parts
                or file.suffix == ".pyc"
                or file.name in ("INSTALLER", "REQUESTED", "direct_url.json")
            ):
                continue
            wheel.write(file.locate(), str(file))
    return made


def _compressed(tags: Iterable[str]) -> str:
    """Several tags as one, each of the three parts with dots between its values (PEP 425)."""
    columns = zip(*(tag.split("-") for tag in tags), strict=True)
    return "-".join(".".join(dict.fromkeys(column)) for column in columns)
