"""Which node is asked, and the options of every command that say so."""

from __future__ import annotations

import argparse
from typing import Any

from voipcluster.paths import DEFAULT_STATE_DIR
from voipcluster.voipctl.client import Client, SocketClient

Given = argparse.Namespace


def client_of(given: Given) -> Client:
    if not given.url:
        return SocketClient(given.state_dir or DEFAULT_STATE_DIR)
    # Here, because HTTP takes as long to import as all the rest, and hardly anybody asks over it.
    from voipcluster.voipctl.web_client import WebClient  # noqa: PLC0415 - slow, and seldom wanted

    return WebClient(given.url)


UNSET: dict[str, Any] = {"default": argparse.SUPPRESS}  # so that one in front of the command is not forgotten


def add_common(parser: argparse.ArgumentParser, default: dict[str, Any]) -> None:
    """What may stand in front of the command or behind it."""
    parser.add_argument(
        "--state-dir",
        metavar="DIR",
        help=f"state directory of a node on this machine [{DEFAULT_STATE_DIR}]",
        **default,
    )
    parser.add_argument(
        "--url", help="or the address of a node's web page, to read only: http://127.0.0.1:8080/", **default
    )
    parser.add_argument("--json", action="store_true", help="print JSON for programs", **default)


def sentence(text: str) -> str:
    """What C{--help} of a command begins with, made of its line in the list of all."""
    return f"{text[:1].upper()}{text[1:]}."
