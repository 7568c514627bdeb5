"""``channel-emu VERB …``: finds the verb and runs it; the exit codes."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from appengine_channel_emu import __version__
from appengine_channel_emu.hints import nearest
from appengine_channel_emu.streams import forget_output, open_missing

CLEAN_STOP = 0
COULD_NOT_START = 1
FAILED = 1
"""What was asked for has not come about: not delivered, not ready, lost, or not conformant."""
USAGE = 2
INTERRUPTED = 130

if TYPE_CHECKING:
    from appengine_channel_emu.cli.parsing import Parser

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

RUN, ASK, MEASURE, HELP = "run", "ask a running emulator", "measure and check", "help"

VERBS = {
    "demo": ("demo:run", RUN, "play the sample app in two windows, to see what channels do"),
    "serve": ("serve:run", RUN, "run the emulator, in front of an app or alone"),
    "init": ("init:run", RUN, "write settings and fixtures for the app in this folder"),
    "exec": ("exec:run", RUN, "run a command beside an emulator of its own"),
    "sdk": ("sdk:run", RUN, "install the SDK for App Engine, which runs legacy apps"),
    "shim": ("exec:shim", RUN, "say where Python's google.appengine.api.channel is"),
    "status": ("running:status", ASK, "say what runs, and how much of it"),
    "cluster": ("cluster:run", ASK, "say which emulators are one service, and how their Redis is"),
    "send": ("messages:send", ASK, "send a message to a client id"),
    "tail": ("messages:tail", ASK, "print a channel's messages as they come"),
    "events": ("events:run", ASK, "print what happened, and what happens"),
    "wait": ("running:wait", ASK, "wait until it and its app are ready"),
    "reset": ("running:reset", ASK, "forget every token, socket, message and event"),
    "env": ("running:env", ASK, "print its variables for a shell"),
    "doctor": ("doctor:run", MEASURE, "say what this machine has, and what an app uses"),
    "bench": ("bench:run", MEASURE, "measure what the emulator can do on this machine"),
    "check": ("check:run", MEASURE, "check any server of the Channel API for conformance"),
    "completion": ("completion:run", HELP, "print what completes this command in your shell"),
}
"""Each verb: its module and function here, which takes the arguments and returns the exit code; its kind; what it does.

Beside a function `run` stands `parser`, beside any other one `NAME_parser`, which makes the parser of its options.
"""


class VerbFailed(Exception):
    """A verb has not done what it was asked for; the text says why, to the user."""


def load(verb: str) -> tuple[Callable[[Sequence[str]], int], Callable[[], Parser]]:
    """The function of a verb, and the one that makes its parser."""
    module, _, name = VERBS[verb][0].partition(":")
    found = importlib.import_module(f"appengine_channel_emu.cli.{module}")
    return getattr(found, name), getattr(found, "parser" if name == "run" else f"{name}_parser")


def main(argv: Sequence[str]) -> int:
    """Run one command, given without the program's name, and return its exit code.

    0 is a clean stop, 1 means that it could not start, 2 a mistake in the command.
    """
    if not argv:
        print(_usage(), file=sys.stderr)
        return USAGE
    verb, *rest = argv
    if verb == "help" and rest:
        verb, rest = rest[0], ["--help"]
    if verb in ("-h", "--help", "help"):
        print(_usage())
        return CLEAN_STOP
    if verb in ("-V", "--version"):
        print(f"channel-emu {__version__}")
        return CLEAN_STOP
    if verb not in VERBS:
        print(f"channel-emu: error: {_unknown(verb, rest)}\nsee channel-emu --help", file=sys.stderr)
        return USAGE
    try:
        return load(verb)[0](rest)
    except VerbFailed as error:
        print(f"channel-emu {verb}: {error}", file=sys.stderr)
        return FAILED
    except PermissionError as error:
        if error.filename is None:
            raise
        print(f"channel-emu {verb}: this user may not use {error.filename}: {error.strerror}", file=sys.stderr)
        return FAILED
    except SystemExit as stop:  # argparse ends --help and its errors this way
        return stop.code if isinstance(stop.code, int) else USAGE


def entry_point() -> None:
    """The console script."""
    open_missing()
    sys.exit(_run(sys.argv[1:]))


def _run(argv: Sequence[str]) -> int:
    try:
        code = main(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read from us has enough.
        forget_output()
        return CLEAN_STOP
    except OSError as error:
        if not _here():
            print("channel-emu: the current folder is gone; change to one that exists", file=sys.stderr)
            return COULD_NOT_START
        if error.errno not in _FULL:
            raise
        forget_output()
        print(f"channel-emu: cannot write: {error.strerror}", file=sys.stderr)
        return COULD_NOT_START
    return code


def _here() -> bool:
    """Whether there is a current folder; another program may have removed it."""
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _usage() -> str:
    kinds = dict.fromkeys(kind for _, kind, _ in VERBS.values())
    verbs = {kind: [(verb, text) for verb, (_, its, text) in VERBS.items() if its == kind] for kind in kinds}
    verbs[HELP].insert(0, ("help VERB", "say what a verb does, and its options"))
    lists = [
        f"{kind}:\n" + "\n".join(f"  {verb:<11} {text}" for verb, text in listed) for kind, listed in verbs.items()
    ]
    return (
        "usage: channel-emu VERB [options]\n\n"
        "A local server for App Engine's Channel API.\n\n" + "\n\n".join(lists) + "\n\n"
        "channel-emu VERB --help says more; channel-emu --version names the version."
    )


def _unknown(verb: str, rest: list[str]) -> str:
    if ":" in verb or "." in verb or "/" in verb or verb.startswith("-"):
        return f"the first word is a verb; did you mean channel-emu serve {' '.join([verb, *rest])}?"
    return f"there is no verb {verb!r}{nearest(verb, VERBS)}"
