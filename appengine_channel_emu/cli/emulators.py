"""Which running emulator a verb asks, by one rule for all of them; and asking it."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from typing import Any, NamedTuple

from appengine_channel_emu import SERVER_NAME
from appengine_channel_emu.cli.main import VerbFailed
from appengine_channel_emu.cli.parsing import Parser
from appengine_channel_emu.hints import why_no_answer
from appengine_channel_emu.running_here import EmulatorHere, running_here
from appengine_channel_emu.streams import one_line

VARIABLE = "CHANNEL_EMULATOR_HOST"
DEFAULT = "127.0.0.1:8080"
ANSWER_SECONDS = 5.0

_ADDRESS = re.compile(r"(?:http://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})/?")


class NoEmulator(VerbFailed):
    """No emulator answers, or it refuses; the text is for the user and names the address."""


class Choice(NamedTuple):
    """The emulator that is meant, `host:port`, and why that one; "" where the user has named it."""

    address: str
    why: str = ""

    def tell(self, prog: str) -> None:
        """Say on standard error which one was taken, where it was not given."""
        if self.why:
            print(f"{prog}: the emulator at {self.address} ({self.why})", file=sys.stderr, flush=True)


def add_emulator_options(parser: argparse.ArgumentParser) -> None:
    """`--emulator HOST:PORT` and `--port PORT`; :func:`choose` reads them."""
    named = parser.add_mutually_exclusive_group()
    help_text = f"the running emulator (default: ${VARIABLE}, else the one that runs here, else {DEFAULT})"
    named.add_argument("--emulator", metavar="HOST:PORT", help=help_text)
    named.add_argument("-p", "--port", metavar="PORT", help="the same as --emulator 127.0.0.1:PORT")


def address_of(parser: Parser, options: argparse.Namespace) -> str:
    """`host:port` of the emulator that is meant, as :func:`choose` finds it; says so where it was not given."""
    choice = choose(parser, options)
    choice.tell(parser.prog)
    return choice.address


def choose(parser: Parser, options: argparse.Namespace) -> Choice:
    """The one that is named by an option, else by the variable; else the only one that runs here; else the default.

    Several that run here, and a mistake in a name, end the program as a usage error.
    """
    if options.port is not None:
        return Choice(_address(parser, "--port", f"127.0.0.1:{options.port}", options.port))
    if options.emulator is not None:
        return Choice(_address(parser, "--emulator", options.emulator))
    given = os.environ.get(VARIABLE)
    if given:
        return Choice(_address(parser, VARIABLE, given), f"${VARIABLE}")
    running = running_here()
    if len(running) > 1:
        parser.error(_several(running))
    if running:
        return Choice(running[0].address, f"the only one that runs here, {_app(running[0])}")
    return Choice(DEFAULT, "the default, since none is known to run here")


def _address(parser: Parser, where: str, text: str, given: str | None = None) -> str:
    match = _ADDRESS.fullmatch(text.strip())
    if not match or int(match[2]) > 65535:
        wanted = f"HOST:PORT, such as {DEFAULT}" if given is None else "a port"
        parser.error(f"{where}: {text if given is None else given!r} is not {wanted}")
    return f"{match[1]}:{match[2]}"


def _several(running: list[EmulatorHere]) -> str:
    width = max(len(each.address) for each in running)
    lines = "".join(f"\n  {each.address:<{width}}  {_app(each)}" for each in running)
    return f"{len(running)} emulators run here; name one with -p PORT or ${VARIABLE}:{lines}"


def _app(emulator: EmulatorHere) -> str:
    return f"{one_line(emulator.app) or 'without an app'}, process {emulator.pid}"


def ask(address: str, path: str, body: dict[str, Any] | None = None, seconds: float = 0.0) -> dict[str, Any]:
    """GET `path`, or POST `body` to it, as JSON; the answer, which may wait for `seconds`. Raises `NoEmulator`."""
    import urllib3

    url = f"http://{address}{path}"
    data = None if body is None else json.dumps(body).encode("ascii")
    headers = {} if data is None else {"Content-Type": "application/json"}
    with urllib3.PoolManager(retries=False) as http:
        try:
            method = "GET" if data is None else "POST"
            timeout = urllib3.Timeout(ANSWER_SECONDS + seconds)
            answer = http.request(method, url, body=data, headers=headers, timeout=timeout)
        except urllib3.exceptions.HTTPError as error:
            text = f"no emulator answers at {address} ({why_no_answer(error)}); start one with: channel-emu serve"
            raise NoEmulator(text) from None
    ours = answer.headers.get("Server") == SERVER_NAME
    return _understood(address, answer.status, answer.data, ours)


def _understood(address: str, status: int, data: bytes, ours: bool) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except ValueError:
        answer = None
    if isinstance(answer, dict) and status == 200:
        return answer
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        raise NoEmulator(str(answer["error"].get("text")))
    if isinstance(answer, dict) and isinstance(answer.get("reason"), str):
        raise NoEmulator(answer["reason"])
    who = f"the emulator at {address} refuses this" if ours else f"what answers at {address} is no emulator"
    raise NoEmulator(f"{who}: {status}{_words_of(data)}")


def _words_of(data: bytes) -> str:
    """What an answer says, if it is for people and not for browsers."""
    text = one_line(data[:200].decode("utf-8", "backslashreplace").strip())
    return "" if text.startswith("<") or not text else f" {text}"
