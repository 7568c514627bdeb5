"""What the front tells the runner."""

from __future__ import annotations

from types import SimpleNamespace


class Settings(SimpleNamespace):
    """Given as one JSON object, through a pipe.

    target:     what names the application (see `target.parse_target`); "" where requests alone do.
    folder:     the app's folder, on sys.path behind `paths`.
    paths:      folders that come first on sys.path.
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
    paths: list[str]
    socket: str
    report: int
    waitress: str
    threads: int | None
    deadline: float | None
    max_answer: int
    environ: dict[str, str]
