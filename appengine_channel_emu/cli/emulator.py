"""A running emulator, as the verbs that talk to one reach it."""

from __future__ import annotations

import argparse
import json
import os
import re
from typing import Any

from appengine_channel_emu.hints import reason

VARIABLE = "CHANNEL_EMULATOR_HOST"
DEFAULT = "127.0.0.1:8080"
ANSWER_SECONDS = 5.0

_ADDRESS = re.compile(r"(?:http://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})/?")


class EmulatorError(Exception):
    """No emulator answers, or it refuses; the text is for the user and names the address."""


def add_emulator_option(parser: argparse.ArgumentParser) -> None:
    """`--emulator HOST:PORT`; :func:`address_of` reads it."""
    help_text = f"the running emulator (default: ${VARIABLE}, or {DEFAULT})"
    parser.add_argument("--emulator", metavar="HOST:PORT", help=help_text)


def address_of(parser: argparse.ArgumentParser, options: argparse.Namespace) -> str:
    """`host:port` of the emulator that is meant; a mistake in it ends the program as a usage error."""
    given, where = options.emulator, "--emulator"
    if given is None:
        given, where = os.environ.get(VARIABLE) or DEFAULT, VARIABLE
    match = _ADDRESS.fullmatch(given.strip())
    if not match or int(match[2]) > 65535:
        parser.error(f"{where}: {given!r} is not HOST:PORT, such as {DEFAULT}")
    return f"{match[1]}:{match[2]}"


def ask(address: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """GET `path`, or POST `body` to it, as JSON; the answer. Raises `EmulatorError`."""
    import urllib3

    url = f"http://{address}{path}"
    data = None if body is None else json.dumps(body).encode("ascii")
    headers = {} if data is None else {"Content-Type": "application/json"}
    with urllib3.PoolManager(retries=False) as http:
        try:
            method = "GET" if data is None else "POST"
            answer = http.request(method, url, body=data, headers=headers, timeout=urllib3.Timeout(ANSWER_SECONDS))
        except urllib3.exceptions.HTTPError as error:
            cause = error.__cause__ or error.__context__ or error
            text = f"no emulator answers at {address} ({reason(cause)}); start one with: channel-emu serve"
            raise EmulatorError(text) from None
    return _understood(address, answer.status, answer.data)


def _understood(address: str, status: int, data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and status == 200:
        return answer
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        raise EmulatorError(str(answer["error"].get("text")))
    if isinstance(answer, dict) and isinstance(answer.get("reason"), str):
        raise EmulatorError(answer["reason"])
    text = data[:200].decode("utf-8", "backslashreplace").strip()
    raise EmulatorError(f"what answers at {address} is no emulator, or refuses this: {status} {text}")
