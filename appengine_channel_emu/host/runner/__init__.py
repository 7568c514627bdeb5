"""What runs beside a WSGI app in its instance, a process of its own behind the front.

The standard library alone, valid in Python 3.9 and newer, with relative imports: `__main__.py` loads it into the app's
process under another name, and it imports nothing else of the emulator.

Through one inherited pipe the front tells it what to run, a `RunnerInfo` as one JSON object. Through another it reports
to the front, in JSON lines:

``{"process": number}``
    the process's own number, before anything else.
``{"state": "serving"}``
    the app has been imported, and its socket accepts requests.
``{"state": "failed", "reason": "module" | "attribute" | "raised", "text": …}``
    it has not; the process ends. "module" and "attribute" mean that what the target names does not exist.
``{"sources": {path: [modification time, size]}, "folders": […]}``
    source files of the app that have been loaded, as they were then; before a failure also the folders in which a
    missing module may turn up.
``{"overrun": request number, "cpu": seconds}``
    a handler is past its deadline; the CPU time it has used until then.
``{"wrote": [path], "at": seconds since the epoch}``, ``{"again": [path]}``, ``{"too_many": number}``
    files of the app's folder that the app is about to write or has written; that it has read in more than one request;
    that it has read more texts than are watched.
"""

from __future__ import annotations

from types import SimpleNamespace


class RunnerInfo(SimpleNamespace):
    """What the front tells the runner.

    target:     what names the application (see `loading.parse_target`); "" where requests alone do.
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
