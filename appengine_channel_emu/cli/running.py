"""The verbs that talk to a running emulator: env, send, tail, wait."""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.cli.main import CLEAN_STOP, FAILED, INTERRUPTED, Parser, VerbFailed
from appengine_channel_emu.environment import COMPAT_PATH, NO_PROXY_NAMES, PROXY_NAMES, variables, with_no_proxy
from appengine_channel_emu.hints import reason
from appengine_channel_emu.streams import forget_output, no_control

if TYPE_CHECKING:
    from appengine_channel_emu.testing import ChannelClient

VARIABLE = "CHANNEL_EMULATOR_HOST"
DEFAULT = "127.0.0.1:8080"
ANSWER_SECONDS = 5.0

A_DAY = 24 * 60
TAIL_TURN_SECONDS = 20.0
WAIT_INTERVAL = 0.1

_ADDRESS = re.compile(r"(?:http://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})/?")


class NoEmulator(VerbFailed):
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
    """GET `path`, or POST `body` to it, as JSON; the answer. Raises `NoEmulator`."""
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
            raise NoEmulator(text) from None
    return _understood(address, answer.status, answer.data)


def _understood(address: str, status: int, data: bytes) -> dict[str, Any]:
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
    text = data[:200].decode("utf-8", "backslashreplace").strip()
    raise NoEmulator(f"what answers at {address} is no emulator, or refuses this: {status} {text}")


def env(argv: Sequence[str]) -> int:
    """Print `export` lines for sh, bash and zsh."""
    parser = Parser(
        prog="channel-emu env",
        description='Print the variables of a running emulator as exports: eval "$(channel-emu env)"',
    )
    add_emulator_option(parser)
    parser.add_argument("--port", metavar="PORT", type=int, help="the same as --emulator 127.0.0.1:PORT")
    options = parser.parse(argv)
    if options.port is not None:
        options.emulator = f"127.0.0.1:{options.port}"
    address = address_of(parser, options)
    ask(address, "/_emu/health/live")
    exported = variables(address)
    if any(os.environ.get(name) for name in PROXY_NAMES):
        made = with_no_proxy(os.environ | exported)
        exported |= {name: made[name] for name in NO_PROXY_NAMES}
    for name, value in exported.items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"export PYTHONPATH={shlex.quote(str(COMPAT_PATH))}${{PYTHONPATH:+:$PYTHONPATH}}")
    return CLEAN_STOP


def send(argv: Sequence[str]) -> int:
    """Send, and say to how many sockets; 1 when it was to none."""
    parser = Parser(
        prog="channel-emu send",
        description="Send a message to every open socket of a client id. Exits with 0 when there was one, else with 1.",
    )
    parser.add_argument("client_id", metavar="CLIENT_ID", help="the client id, or a token")
    parser.add_argument(
        "message", metavar="MESSAGE", nargs="?", help="without it, standard input, less a newline at its end"
    )
    add_emulator_option(parser)
    options = parser.parse(argv)
    address = address_of(parser, options)
    # As bytes: an argument of another encoding, or a file, is sent as it is.
    given = options.message
    message = sys.stdin.buffer.read().removesuffix(b"\n") if given is None else os.fsencode(given)
    request = {"client_id": options.client_id, "message_base64": base64.b64encode(message).decode("ascii")}
    sent = ask(address, "/_emu/messages", request)
    count = sent["delivered_to"]
    if not count:
        print(f"delivered to no socket: {sent['reason']}")
        return FAILED
    print(f"delivered to {count} {'socket' if count == 1 else 'sockets'}")
    return CLEAN_STOP


def tail(argv: Sequence[str]) -> int:
    """Print messages until the socket is closed (1, with the reason on standard error) or Ctrl-C (130)."""
    parser = Parser(
        prog="channel-emu tail",
        description="Print the messages of a channel as they come, over a WebSocket or by long polls. It goes on when "
        "the emulator is restarted, and ends with the reason on standard error when the socket is closed.",
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("token", metavar="TOKEN", nargs="?", help="a token that the app gave out")
    target.add_argument("--client-id", metavar="ID", help="make a token for this client id, for a day")
    parser.add_argument("--json", action="store_true", help="each message as a JSON string, so always one line")
    parser.add_argument("--count", metavar="N", type=int, help="end, with 0, after this many messages")
    add_emulator_option(parser)
    options = parser.parse(argv)
    address = address_of(parser, options)
    try:
        return _tail(address, _token(address, options.token, options.client_id), options.json, options.count)
    except BrokenPipeError:
        # Whoever read from us has enough; what is left in the buffer must not fail at exit.
        forget_output()
        return CLEAN_STOP
    except ConnectionError as error:
        raise NoEmulator(str(error)) from None
    except KeyboardInterrupt:
        return INTERRUPTED


def _token(address: str, token: str | None, client_id: str | None) -> str:
    if token is not None:
        return token
    return str(ask(address, "/_emu/channels", {"client_id": client_id, "duration_minutes": A_DAY})["token"])


def _tail(address: str, token: str, as_json: bool, count: int | None) -> int:
    from appengine_channel_emu.testing import ChannelClient, NoMessage

    seen = 0
    with ChannelClient(f"http://{address}", token, transport="stream") as client:
        if not client.closed:
            print("channel-emu tail: open", file=sys.stderr, flush=True)
        while count is None or seen < count:
            try:
                message = client.receive(TAIL_TURN_SECONDS)
            except NoMessage:
                if client.closed:
                    raise VerbFailed(f"the socket was closed: {_why_closed(client)}") from None
                continue
            seen += 1
            print(json.dumps(message) if as_json else _shown(message), flush=True)
    return CLEAN_STOP


def _shown(message: str) -> str:
    """A terminal shall take no orders from a message; a file gets it as it is."""
    return no_control(message) if sys.stdout.isatty() else message


def _why_closed(client: ChannelClient) -> str:
    error = client.error
    return f"{error.code} {error.description}".removeprefix("0 ") if error else "closed"


def wait(argv: Sequence[str]) -> int:
    """0 as soon as it is ready, 1 when it was not within the time."""
    parser = Parser(
        prog="channel-emu wait",
        description="Wait until a running emulator and the app behind it are ready. Exits with 0 once they are, "
        "with 1 when they were not within the time.",
    )
    parser.add_argument("--timeout", metavar="SECONDS", default="30", help="how long to wait (default: 30)")
    add_emulator_option(parser)
    options = parser.parse(argv)
    address = address_of(parser, options)
    try:
        seconds = float(options.timeout)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 1e6:
        parser.error(f"--timeout: {options.timeout!r} is not a number of seconds from 0 on")
    give_up = time.monotonic() + seconds
    while True:
        try:
            ask(address, "/_emu/health/ready")
            return CLEAN_STOP
        except NoEmulator as error:
            if time.monotonic() >= give_up:
                raise VerbFailed(f"not ready within {seconds:g} s: {error}") from None
        time.sleep(WAIT_INTERVAL)
