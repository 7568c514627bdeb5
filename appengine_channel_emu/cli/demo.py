"""``channel-emu demo``: the sample app, served as `serve` would, and a browser opened at its game."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from appengine_channel_emu import __version__
from appengine_channel_emu.cli.main import VerbFailed
from appengine_channel_emu.cli.parsing import Parser, whole_number
from appengine_channel_emu.cli.serve import log_to_stderr, serve_app
from appengine_channel_emu.host.app_kinds import find_app
from appengine_channel_emu.settings import Settings

if TYPE_CHECKING:
    from appengine_channel_emu.web.admin.status import About

SAMPLE_APP = Path(__file__).parents[1] / "sample_app"

GAME = "/?game=demogame"
"""Whoever opens it first plays X, and the next one O. Any eight letters are a game (sample_app/games.py)."""

FIRST_PORT, PORTS = 8080, 100
"""Where it listens unless it is told: at the first of so many ports that is free."""


def parser() -> Parser:
    """The options of `demo`."""
    made = Parser(
        prog="channel-emu demo",
        description="Play tic-tac-toe in two windows, to see what channels do: each move is pushed from the app to the "
        "other player's page. The app comes with the emulator, needs no network, and keeps nothing. Ctrl-C ends it.",
    )
    made.add_argument(
        "-p",
        "--port",
        metavar="PORT",
        help=f"port to listen on; 0 takes a free one (default: {FIRST_PORT}, or the next one that is free)",
    )
    made.add_argument(
        "--no-browser",
        action="store_true",
        help="open no browser; none is opened either without a display, or where the output is not read at a terminal",
    )
    return made


def run(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    made = parser()
    options = made.parse(argv)
    port = _free_port() if options.port is None else whole_number(made, "--port", options.port, 0, 65535)
    opens = not options.no_browser and can_open_browser(os.environ, sys.platform, _at_terminal())
    if not SAMPLE_APP.is_dir():
        raise VerbFailed(f"this installation is not complete: there is no folder {SAMPLE_APP}")
    # Nothing of the user's: neither a channel-emu.yaml in this folder nor variables are about the demo.
    settings = Settings(app=str(SAMPLE_APP), no_sdk=True, port=port, state_dir="none", quiet=True)
    log_to_stderr(settings)
    # The app is where packages are, and its process shall leave nothing there.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"

    def greet(settings: Settings, about: About) -> None:
        url = about.url or ""
        if sys.stderr is not None:
            sys.stderr.write(greeting(url, opens=opens))
        if opens:
            # Where there is no room for another process, the address is there to be opened by hand.
            with contextlib.suppress(OSError):
                open_browser(url + GAME)

    return serve_app(find_app(settings), settings, greet=greet)


def greeting(url: str, *, opens: bool) -> str:
    """The lines for people, with a blank one before and after; `url` is the emulator's, without a slash at its end."""
    first = "opening in your browser" if opens else "open it in a browser"
    rows = [
        ("player X", f"{url}{GAME}", first),
        ("player O", f"{url}{GAME}", "the same, in a second window"),
        ("console", f"{url}/_emu/", "each message, and what became of it"),
        ("stop", "Ctrl-C", "nothing is kept"),
        ("next", "channel-emu init", "in your own app's folder: settings and tests to begin with"),
        ("", "channel-emu serve", "there: your app, with channels"),
    ]
    width = max(len(what) for _, what, _ in rows)
    lines = "".join(f"  {label:<8}  {what:<{width}}  {text}\n" for label, what, text in rows)
    return f"\n  channel-emu {__version__}: tic-tac-toe for two, each move pushed over a channel\n\n{lines}\n"


def can_open_browser(environ: Mapping[str, str], platform: str, at_terminal: bool) -> bool:
    """Whether a person is here, at a screen that a browser can be shown on; `platform` is as `sys.platform`."""
    if not at_terminal or environ.get("CI") or environ.get("SSH_CONNECTION"):
        return False
    return platform == "darwin" or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def open_browser(url: str) -> None:
    """Have Python's webbrowser open `url`, in a process that has no terminal, and no part in a Ctrl-C.

    What is the browser here may be a program for terminals such as w3m: it would take the one that we are in.
    """
    # Without TERM, webbrowser looks for none of those.
    environ = {name: value for name, value in os.environ.items() if name not in ("TERM", "PYTHONDONTWRITEBYTECODE")}
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "webbrowser", "-n", url],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # Somebody has to, or it stays a zombie; some browsers end when they are closed, others at once.
    threading.Thread(target=process.wait, name="browser", daemon=True).start()


def _at_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _free_port() -> int:
    """The first of `PORTS` ports that can be had; without one, 0 for any."""
    from appengine_channel_emu.server.listening import LOCALHOST, CannotListen, listen

    for port in range(FIRST_PORT, FIRST_PORT + PORTS):
        try:
            sockets = listen(LOCALHOST, port)
        except CannotListen:
            continue
        for sock in sockets:
            sock.close()
        return port
    return 0
