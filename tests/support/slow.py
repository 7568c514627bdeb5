"""Requests that take too long, in every kind of app: what comes of them, of their neighbours and of their processes."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import urllib3

from tests.support.emulator import RunningEmulator
from tests.support.legacy import APPS, emulated
from tests.support.processes import MARK, left_after, running_command
from tests.support.wire import free_port, wait_for_port

KINDS = ("sleep", "spin", "lock", "regex", "swallow", "trickle")
"""Paths of the app in apps/slow. `regex` is C code that holds the interpreter."""

OVERRUN_SECONDS = 1.0
"""By when, after the deadline, the visitor has an answer (behaviour.md 6, rule 3)."""

APP_YAML = """application: slow
version: 1
runtime: python27
api_version: 1
threadsafe: {}
handlers:
- url: /.*
  script: main.app
"""


@dataclass(frozen=True)
class Place:
    """A kind of app; `threadsafe` is None where there is no app.yaml to say."""

    app: str
    threadsafe: bool | None = None

    @property
    def kinds(self) -> Sequence[str]:
        """What can be tried there: behind --upstream nobody ends an interpreter that is held."""
        return [kind for kind in KINDS if kind != "regex" or self.app != "upstream"]

    def neighbour_may_fail(self, kind: str) -> bool:
        """Whether the handler leaves the instance's other requests no interpreter to end in."""
        return kind == "regex" and self.threadsafe is not False


PLACES = (
    Place("python3", True),
    Place("python3", False),
    Place("sdk", True),
    Place("sdk", False),
    Place("upstream"),
)


@dataclass(frozen=True)
class Cut:
    """One request that took too long. `late` is in seconds after the deadline; others are statuses."""

    place: Place
    kind: str
    status: int
    late: float
    neighbour: int
    next: int

    def faults(self, most_late: float = OVERRUN_SECONDS) -> list[str]:
        """What is not as behaviour.md 6 has it."""
        found = []
        if self.status != 500:
            found.append(f"the visitor got {self.status}")
        if not 0 <= self.late <= most_late:
            found.append(f"answered {self.late:.2f} s after the deadline")
        if self.neighbour != 200 and not self.place.neighbour_may_fail(self.kind):
            found.append(f"a neighbour got {self.neighbour}")
        if self.next != 200:
            found.append(f"the next request got {self.next}")
        return found


class Slow:
    """The app at a place, served with a deadline in seconds; `left` has what outlived the end of the block."""

    def __init__(self, place: Place, deadline: float, folder: Path) -> None:
        self._place = place
        self._deadline = deadline
        self._folder = folder
        self._mark = secrets.token_hex(8)
        self._exits = contextlib.ExitStack()
        self._http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(deadline + 90), maxsize=4)
        self._url = ""
        self.left: dict[int, str] = {}

    def __enter__(self) -> Slow:
        with contextlib.ExitStack() as exits:
            self._url = exits.enter_context(self._emulator(exits)).url
            assert self._get("/") == 200
            self._exits = exits.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._exits.close()
        self._http.clear()
        self.left = left_after(self._mark)

    def cut(self, kind: str) -> Cut:
        """Asks for a page of this kind, and for another that is still under way when it is cut."""
        neighbours: list[int] = []
        neighbour = threading.Timer(0.6 * self._deadline, lambda: neighbours.append(self._nap(0.7)))
        started = time.monotonic()
        neighbour.start()
        status = self._get(f"/{kind}")
        late = time.monotonic() - started - self._deadline
        following = self._get("/")
        neighbour.join()
        return Cut(self._place, kind, status, late, neighbours[0], following)

    def _nap(self, of_deadline: float) -> int:
        return self._get(f"/nap?{of_deadline * self._deadline}")

    def _get(self, path: str) -> int:
        return self._http.request("GET", self._url + path).status

    def _emulator(self, exits: contextlib.ExitStack) -> RunningEmulator:
        log, environ = self._folder / "log", {MARK: self._mark}
        options = ["--request-deadline", str(self._deadline)]
        if self._place.app == "upstream":
            options += ["--upstream", exits.enter_context(_app_alone(APPS / "slow" / "main.py"))]
            return RunningEmulator(*options, log=log, environ=environ)
        app = self._folder / "app"
        shutil.copytree(APPS / "slow", app)
        (app / "app.yaml").write_text(APP_YAML.format(str(self._place.threadsafe).lower()))
        if self._place.app == "python3":
            return RunningEmulator(str(app), "--no-sdk", *options, log=log, environ=environ)
        return emulated(app, log, *options, environ=environ)


@contextlib.contextmanager
def _app_alone(script: Path) -> Iterator[str]:
    """Its address, once it listens."""
    port = free_port()
    with running_command([sys.executable, str(script), str(port)], stderr=subprocess.DEVNULL):
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}"
