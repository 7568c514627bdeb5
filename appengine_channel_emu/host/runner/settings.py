"""What the front tells the runner."""

from __future__ import annotations

from types import SimpleNamespace


class Settings(SimpleNamespace):
    """Given as one JSON object.

    target:     "module:callable"; the callable may be dotted.
    folder:     the app's folder, first on sys.path.
    socket:     path of the Unix socket to listen on.
    report:     number of the inherited pipe.
    waitress:   folder of the waitress package.
    threads:    how many requests run at a time; None: one, on the main thread.
    deadline:   seconds that a handler may take, or None.
    max_answer: bytes in the longest answer.
    environ:    what the app finds in the environ of each request beside the request itself.
    """

    target: str
    folder: str
    socket: str
    report: int
    waitress: str
    threads: int | None
    deadline: float | None
    max_answer: int
    environ: dict[str, str]
