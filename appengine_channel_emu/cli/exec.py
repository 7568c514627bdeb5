"""``channel-emu exec -- COMMAND``: run a command beside an emulator of its own; ``channel-emu shim``: what it needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from appengine_channel_emu.cli.main import CLEAN_STOP, VerbFailed
from appengine_channel_emu.cli.parsing import Parser
from appengine_channel_emu.cli.serve import log_to_stderr
from appengine_channel_emu.environment import COMPAT_PATH, child_environ, python_path, variables
from appengine_channel_emu.settings import NEED_AN_APP, BadSetting, Settings, add_flags, load

if TYPE_CHECKING:
    from appengine_channel_emu.server.run import Signals

NOT_EXECUTABLE = 126
NOT_FOUND = 127
"""As shells say it (POSIX, Shell Command Language, 2.8.2)."""

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""But those that are ignored: a shell starts background jobs so, and so shall the command be."""


def parser() -> Parser:
    """The options of `exec`: the settings of an emulator without an app."""
    made = Parser(
        prog="channel-emu exec",
        usage="[options] -- COMMAND",
        description="Run COMMAND with an emulator on a free port, which keeps nothing, and with the variables that "
        "lead the app's server API there. The exit status is the command's.",
        examples=[("channel-emu exec -- pytest", "tests of an app, with an emulator of their own")],
    )
    add_flags(made, without=NEED_AN_APP, own={"port": "0", "state-dir": "none"})
    return made


def run(argv: Sequence[str]) -> int:
    """The command's exit status; 128+n when signal n ended it, 127 when there is no such command."""
    made = parser()
    argv = list(argv)
    split = argv.index("--") if "--" in argv else len(argv)
    command = argv[split + 1 :]
    flags, rest = made.parse_known_args(argv[:split])
    if rest and _needs_an_app(flag := rest[0].partition("=")[0]):
        made.error(f"{flag} is an option of channel-emu serve: exec runs the emulator without an app")
    if not command or (rest and not rest[0].startswith("-")):
        made.error("put -- before the command to run: channel-emu exec -- pytest")
    made.parse(argv[:split])
    try:
        # Those of `serve`, but on a port of its own, without state and app, whatever a file for `serve` says.
        given = {"port": "0", "state_dir": "none"} | vars(flags)
        settings = load(given, os.environ, Path.cwd(), without=NEED_AN_APP)
    except BadSetting as error:
        made.error(str(error))
    log_to_stderr(settings)
    return _run_beside_emulator(settings, command)


def _needs_an_app(flag: str) -> bool:
    name = flag.removeprefix("--")
    return name != flag and (name in NEED_AN_APP or name.removeprefix("no-") in NEED_AN_APP)


def _run_beside_emulator(settings: Settings, command: list[str]) -> int:
    from appengine_channel_emu.server.listening import CannotListen
    from appengine_channel_emu.server.run import Signals, see_the_end
    from appengine_channel_emu.server.service import Service

    with Signals([number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN]) as signals:
        try:
            service = Service(settings, lambda address: None)
        except CannotListen as error:
            raise VerbFailed(str(error)) from None
        try:
            service.start()
            return _run_command(command, _environment(service.address), signals)
        finally:
            see_the_end(service.stop, signals)


def _environment(address: str) -> dict[str, str]:
    return child_environ(os.environ | variables(address) | {"PYTHONPATH": python_path(os.environ)})


def _run_command(command: list[str], environment: dict[str, str], signals: Signals) -> int:
    """Run it to its end, with the signals that we get; the exit status as a shell would give it."""
    from appengine_channel_emu.server.run import Job

    try:
        process = subprocess.Popen(command, env=environment)
    except FileNotFoundError:
        print(f"channel-emu exec: there is no command {command[0]!r}", file=sys.stderr)
        return NOT_FOUND
    except OSError as error:
        print(f"channel-emu exec: cannot run {command[0]!r}: {error.strerror}", file=sys.stderr)
        return NOT_EXECUTABLE
    waiting = Job(process.wait, signals, "command")
    while (number := signals.wait(job=waiting)) is not None:
        if not (number == signal.SIGINT and _is_terminals_foreground()):
            process.send_signal(number)
    status = process.wait()
    return 128 - status if status < 0 else status


def _is_terminals_foreground() -> bool:
    """Whether a Ctrl-C that reached us has reached the command too: it is in our process group."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def shim_parser() -> Parser:
    """The options of `shim`."""
    made = Parser(
        prog="channel-emu shim",
        description="The folder to put on an app's PYTHONPATH, for google.appengine.api.channel without an SDK.",
    )
    made.add_argument("--path", action="store_true", required=True, help="print the folder")
    return made


def shim(argv: Sequence[str]) -> int:
    """Print the folder that an app's PYTHONPATH needs."""
    shim_parser().parse(argv)
    print(COMPAT_PATH)
    return CLEAN_STOP
