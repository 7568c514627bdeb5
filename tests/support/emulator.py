"""The command itself, `channel-emu serve`, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import urllib3

from tests.support.parts import ROOT
from tests.support.waiting import LONG_ENOUGH

EMU = [sys.executable, "-m", "appengine_channel_emu"]
"""The command, as it is in this source tree."""

READY = re.compile(r"channel-emu: ready at (http://\S+:(\d+))\n")


class RunningEmulator:
    """One emulator. `arguments` are those of `channel-emu serve`; its port is chosen at the first start and kept.

    `extra` comes last; `environ` is added to ours. Use it as a context manager. What it writes to standard error goes
    to the file `log`.
    """

    def __init__(
        self,
        *arguments: str,
        log: Path,
        state_dir: Path | str = "none",
        extra: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._arguments = [*arguments, "--state-dir", str(state_dir)]
        self._extra = extra
        self._environ = None if environ is None else os.environ | environ
        self.log = log
        self._http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(LONG_ENOUGH))
        self._process: subprocess.Popen[str] | None = None
        self.port = 0
        self.url = ""

    def __enter__(self) -> RunningEmulator:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()
        self._http.clear()

    def start(self) -> None:
        """Returns when the ready line has come."""
        command = [*EMU, "serve", *self._arguments, "--port", str(self.port)]
        command += self._extra
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True, env=self._environ
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        found = READY.fullmatch(line)
        assert found, f"no ready line but {line!r}:\n{self.log.read_text()}"
        self.url, self.port = found[1], int(found[2])

    def stop(self) -> int | None:
        """SIGTERM, as an init system or Ctrl-C would; the exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(LONG_ENOUGH)
        finally:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return self._process.pid if self._process else None

    def kill(self, number: signal.Signals) -> None:
        """Ends it in another way."""
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(number)
        process.wait(LONG_ENOUGH)

    def create_channel(self, client_id: str, minutes: int | None = None) -> str:
        """A token, as an app gets one."""
        token: str = self._post("/_emu/channels", {"client_id": client_id, "duration_minutes": minutes})["token"]
        return token

    def send(self, client_id: str, message: str) -> int:
        """To how many sockets the message went."""
        count: int = self._post("/_emu/messages", {"client_id": client_id, "message": message})["delivered_to"]
        return count

    def advance(self, seconds: float) -> None:
        """Move the broker's clock."""
        self._post("/_emu/clock", {"advance": seconds})

    def fault(self, **fields: Any) -> None:
        """Ask for a fault; `fields` as in `POST /_emu/faults`."""
        self._post("/_emu/faults", fields)

    def events(self, kind: str) -> list[Any]:
        """The kept events of one kind."""
        return [event for event in self.get_json("/_emu/events")["events"] if event["kind"] == kind]

    def get_json(self, path: str) -> Any:
        """What the app answers."""
        return self._http.request("GET", self.url + path).json()

    def reset(self) -> None:
        """Forget every token, socket and message."""
        self._post("/_emu/reset", {})

    def post(self, path: str, **fields: str) -> int:
        """The status of what the app answers to a form."""
        return self._http.request("POST", self.url + path, fields=fields, encode_multipart=False).status

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._http.request("POST", self.url + path, json=body)
        assert answer.status == 200, (answer.status, answer.data)
        return answer.json()
