"""The verbs about a running emulator as a whole: status, wait, reset, env."""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Sequence
from typing import Any

from appengine_channel_emu.cli.emulators import NoEmulator, add_emulator_options, address_of, ask, choose
from appengine_channel_emu.cli.main import CLEAN_STOP, VerbFailed
from appengine_channel_emu.cli.parsing import Parser
from appengine_channel_emu.environment import COMPAT_PATH, NO_PROXY_NAMES, PROXY_NAMES, child_environ, variables
from appengine_channel_emu.streams import one_line

WAIT_INTERVAL = 0.1


def status_parser() -> Parser:
    """The options of `status`."""
    parser = Parser(
        prog="channel-emu status",
        description="Say what a running emulator serves, for how long, and how many channels, sockets and messages it "
        "has. Exits with 1 when none answers.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, as /_emu/status answers it")
    add_emulator_options(parser)
    return parser


def status(argv: Sequence[str]) -> int:
    """Print it, aligned."""
    parser = status_parser()
    options = parser.parse(argv)
    found = ask(address_of(parser, options), "/_emu/status")
    if options.json:
        print(json.dumps(found, indent=2))
        return CLEAN_STOP
    rows = _rows(found)
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        print(f"{label:<{width}}  {one_line(text)}")
    return CLEAN_STOP


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    app, clock, sockets, messages = (found[name] for name in ("app", "clock", "sockets", "messages"))
    python = f", Python {app['python']}" if app and app["python"] else ""
    served = ", ".join(f"{count:,} {name}" for name, count in _named(sockets).items() if count)
    moved = f"advanced by {clock['advanced']:g} s" if clock["advanced"] else "the machine's"
    return [
        ("app", f"{app['name']} ({app['kind']}{python})" if app else "none"),
        ("address", found["url"]),
        ("console", found["console"]),
        ("deadline", "off" if found["deadline"] is None else f"{found['deadline']:g} s"),
        ("state", _kept(found)),
        ("runs", f"for {_duration(found['uptime'])}, process {found['pid']}, version {found['version']}"),
        ("clock", f"{moved}{', stands still' if clock['frozen'] else ''}"),
        ("channels", f"{found['channels']:,}"),
        ("sockets", f"{sum(sockets.values()):,}" + (f" ({served})" if served else "")),
        ("messages", f"{messages['sent']:,} sent, {messages['dropped']:,} dropped"),
    ]


def _kept(found: dict[str, Any]) -> str:
    if found["node"] is not None:
        return f"in Redis, as node {found['node']} (channel-emu cluster says more)"
    return found["state_dir"] or "nothing is kept over a restart"


def _named(sockets: dict[str, int]) -> dict[str, int]:
    names = {"stream": "by WebSocket", "poll": "by poll", "sdk": "of the SDK's script", "none": "between two polls"}
    return {name: sockets[kind] for kind, name in names.items()}


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def reset_parser() -> Parser:
    """The options of `reset`."""
    parser = Parser(
        prog="channel-emu reset",
        description="Have a running emulator forget every token, socket, message, event and fault, as between two "
        "tests. Open pages get onerror and onclose; the app is told nothing, and the clock stays.",
    )
    add_emulator_options(parser)
    return parser


def reset(argv: Sequence[str]) -> int:
    """Reset it."""
    parser = reset_parser()
    options = parser.parse(argv)
    address = address_of(parser, options)
    ask(address, "/_emu/reset", {})
    print(f"{address} is reset")
    return CLEAN_STOP


def env_parser() -> Parser:
    """The options of `env`."""
    parser = Parser(
        prog="channel-emu env",
        description='Print the variables of a running emulator as exports: eval "$(channel-emu env)"',
    )
    add_emulator_options(parser)
    return parser


def env(argv: Sequence[str]) -> int:
    """Print `export` lines for sh, bash and zsh."""
    parser = env_parser()
    options = parser.parse(argv)
    address = address_of(parser, options)
    ask(address, "/_emu/health/live")
    exported = variables(address)
    if any(os.environ.get(name) for name in PROXY_NAMES):
        made = child_environ(os.environ | exported)
        exported |= {name: made[name] for name in NO_PROXY_NAMES}
    for name, value in exported.items():
        print(f"export {name}={shlex.quote(value)}")
    print(f"export PYTHONPATH={shlex.quote(str(COMPAT_PATH))}${{PYTHONPATH:+:$PYTHONPATH}}")
    return CLEAN_STOP


def wait_parser() -> Parser:
    """The options of `wait`."""
    parser = Parser(
        prog="channel-emu wait",
        description="Wait until a running emulator and the app behind it are ready. Exits with 0 once they are, "
        "with 1 when they were not within the time.",
    )
    parser.add_argument("--timeout", metavar="SECONDS", default="30", help="how long to wait (default: 30)")
    add_emulator_options(parser)
    return parser


def wait(argv: Sequence[str]) -> int:
    """0 as soon as it is ready, 1 when it was not within the time."""
    parser = wait_parser()
    options = parser.parse(argv)
    try:
        seconds = float(options.timeout)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 1e6:
        parser.error(f"--timeout: {options.timeout!r} is not a number of seconds from 0 on")
    give_up = time.monotonic() + seconds
    while True:
        # Each time: the one that is waited for may only now be about to start, on a port of its own.
        choice = choose(parser, options)
        try:
            ask(choice.address, "/_emu/health/ready")
            choice.tell(parser.prog)
            return CLEAN_STOP
        except NoEmulator as error:
            if time.monotonic() >= give_up:
                raise VerbFailed(f"not ready within {seconds:g} s: {error}") from None
        time.sleep(WAIT_INTERVAL)
