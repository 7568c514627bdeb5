"""``channel-emu VERB …``: finds the verb and runs it; and what every verb has, its parser and the exit codes."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Sequence

from appengine_channel_emu import __version__
from appengine_channel_emu.hints import nearest
from appengine_channel_emu.streams import forget_output, open_missing

CLEAN_STOP = 0
COULD_NOT_START = 1
FAILED = 1
"""What was asked for has not come about: not delivered, not ready, lost, or not conformant."""
USAGE = 2
INTERRUPTED = 130

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

VERBS = {
    "serve": ("serve:run", "run the emulator, in front of an app or alone"),
    "sdk": ("sdk:run", "install the SDK for App Engine, which runs legacy apps"),
    "exec": ("exec:run", "run a command beside an emulator of its own"),
    "env": ("running:env", "print a running emulator's variables for a shell"),
    "shim": ("exec:shim", "say where Python's google.appengine.api.channel is"),
    "send": ("running:send", "send a message to a client id"),
    "tail": ("running:tail", "print a channel's messages as they come"),
    "wait": ("running:wait", "wait until an emulator is ready"),
    "bench": ("bench:run", "measure what the emulator can do on this machine"),
    "check": ("check:run", "check any server of the Channel API for conformance"),
}
"""Each verb: its module and function here, which takes the arguments and returns the exit code; and what it does."""


class VerbFailed(Exception):
    """A verb has not done what it was asked for; the text says why, to the user."""


class Parser(argparse.ArgumentParser):
    """argparse without abbreviations: an option that is almost right is an error with a hint."""

    def __init__(self, *, prog: str, description: str) -> None:
        super().__init__(prog=prog, description=description, allow_abbrev=False)

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """The options in `argv`; exits with :data:`USAGE` and a message if one is not known."""
        options, rest = self.parse_known_args(argv)
        if rest:
            word = rest[0].partition("=")[0]
            if word.startswith("-"):
                self.error(f"there is no option {word}{nearest(word, self._option_string_actions)}")
            self.error(f"one argument too many: {word!r}")
        return options


def main(argv: Sequence[str]) -> int:
    """Run one command, given without the program's name, and return its exit code.

    0 is a clean stop, 1 means that it could not start, 2 a mistake in the command.
    """
    if not argv:
        print(_usage(), file=sys.stderr)
        return USAGE
    verb, *rest = argv
    if verb in ("-h", "--help", "help"):
        print(_usage())
        return CLEAN_STOP
    if verb in ("-V", "--version"):
        print(f"channel-emu {__version__}")
        return CLEAN_STOP
    if verb not in VERBS:
        print(f"channel-emu: error: {_unknown(verb, rest)}", file=sys.stderr)
        return USAGE
    module, _, function = VERBS[verb][0].partition(":")
    run = getattr(importlib.import_module(f"appengine_channel_emu.cli.{module}"), function)
    try:
        return int(run(rest))
    except VerbFailed as error:
        print(f"channel-emu {verb}: {error}", file=sys.stderr)
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
    verbs = "\n".join(f"  {verb:<8}{text}" for verb, (_, text) in VERBS.items())
    return (
        "usage: channel-emu VERB [options]\n\n"
        "A local server for App Engine's Channel API.\n\n"
        f"verbs:\n{verbs}\n\n"
        "channel-emu VERB --help says more; channel-emu --version names the version."
    )


def _unknown(verb: str, rest: list[str]) -> str:
    if ":" in verb or "." in verb or "/" in verb or verb.startswith("-"):
        return f"the first word is a verb; did you mean channel-emu serve {' '.join([verb, *rest])}?"
    return f"there is no verb {verb!r}{nearest(verb, VERBS)} (channel-emu --help lists them)"
