"""Commands of the documents, run as they are printed, but for the port: 8080 becomes a free one."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import urllib3

from tests.support.emulator import READY
from tests.support.parts import ROOT
from tests.support.waiting import LONG_ENOUGH
from tests.support.wire import free_port

_STAYS = re.compile(r"channel-emu (?:serve|demo)\b")
"""What goes on until it is stopped, at a terminal of its own."""


class DocumentTerminal:
    """A folder in which `channel-emu` and `python` are those of this run; use it as a context manager.

    Emulators of it are seen by its own commands alone. `log` is what the one that runs has printed, `port` its port.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = ""
        self._serving: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        programs = folder / ".programs"
        programs.mkdir(parents=True)
        own = folder / ".own"
        own.mkdir()
        for name, command in (("channel-emu", "-m appengine_channel_emu "), ("python", ""), ("python3", "")):
            (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {command}"$@"\n')
            (programs / name).chmod(0o755)
        self.environ = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CHANNEL"))
        }
        self.environ |= {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "CHANNEL_EMU_PORT": str(self.port),
            "XDG_RUNTIME_DIR": str(own),
            "XDG_STATE_HOME": str(own),
            "no_proxy": "*",
        }

    def __enter__(self) -> DocumentTerminal:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Of the emulator."""
        return f"http://127.0.0.1:{self.port}"

    def here(self, text: str) -> str:
        """`text` of a document, with this terminal's port."""
        return text.replace("8080", str(self.port))

    def run(self, command: str, *, status: int | None = 0) -> str:
        """What one command prints; one that serves is left running. `status` is its exit status, None any."""
        command = self.here(command)
        if _STAYS.match(command):
            return self._serve(command)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONG_ENOUGH * 5,
            check=False,
        )
        assert status is None or done.returncode == status, f"{command}\n{done.stdout}\n{self.log}"
        return done.stdout

    def session(self, code: str) -> None:
        """Run the lines that begin with `$ `, and compare what each prints with the lines after it (`matches`)."""
        for command, expected in commands_of(code):
            printed = self.run(command, status=None)
            wanted = self.here(expected)
            assert not wanted or matches(wanted, printed), f"$ {command}\nprinted\n{printed}\ninstead of\n{wanted}"

    def stop(self) -> None:
        """End the emulator, as Ctrl-C does."""
        if self._serving is not None:
            self._serving.terminate()
            try:
                self._serving.wait(LONG_ENOUGH)
            finally:
                self._serving.kill()
                self._serving.wait()
            if self._reader is not None:
                self._reader.join()
            self._serving = None

    def _serve(self, command: str) -> str:
        self.stop()
        self._serving = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.log = ""
        assert self._serving.stdout is not None
        for line in self._serving.stdout:
            self.log += line
            if READY.fullmatch(line):
                break
        assert READY.search(self.log), f"{command} did not get ready:\n{self.log}"
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self.log

    def _read(self) -> None:
        assert self._serving is not None
        assert self._serving.stdout is not None
        with contextlib.suppress(ValueError):
            for line in self._serving.stdout:
                self.log += line

    def post(self, path: str, body: Mapping[str, object]) -> None:
        """To the emulator, as JSON."""
        answer = urllib3.request("POST", self.url + path, json=dict(body), timeout=LONG_ENOUGH)
        assert answer.status == 200, answer.data


def commands_of(code: str) -> list[tuple[str, str]]:
    """The commands of a session, each with the lines that are printed below it."""
    pairs: list[tuple[str, str]] = []
    for line in code.splitlines():
        if line.startswith("$ "):
            pairs.append((re.sub(r"\s+#.*$", "", line[2:]), ""))
        elif pairs:
            pairs[-1] = (pairs[-1][0], f"{pairs[-1][1]}{line}\n")
    return pairs


def matches(expected: str, printed: str) -> bool:
    """Whether `expected` is printed: `…` stands for anything within a line, and alone on a line for any lines."""
    pattern = "".join(
        r"(?:.*\n)*?" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\s*\n"
        for line in expected.splitlines()
    )
    return re.fullmatch(pattern, printed if printed.endswith("\n") else printed + "\n") is not None


def run_pytest(folder: Path, *arguments: str) -> str:
    """What pytest says of the tests in `folder`. It loads our plugin and no other: some take seconds."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environ |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    plugin = "appengine_channel_emu.pytest_plugin"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", plugin, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=LONG_ENOUGH, check=False
    )
    return done.stdout + done.stderr
