"""Imports the app, serves it, ends."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import ModuleType

from .deadline import Deadlines, MainThreadDeadlines
from .handler import MainThread, RequestHandler
from .loading import Apps, TargetMissing, reached_folders, traceback_of
from .orphan import end_when_orphaned
from .report import Report, SourceLog
from .serving import Server
from .settings import Settings

SERVING_ON_MAIN_THREAD = 2
"""Threads that have a request when the handlers run on the main one: they only wait for it."""

END_SECONDS = 1.0
"""After SIGTERM, for the app's exit functions; threads that it left running do not keep the process alive."""


def main(settings_json: str, load_package: Callable[[str, str], ModuleType]) -> int:
    """Runs until SIGTERM and returns the exit status; `load_package(name, folder)` imports a package."""
    settings = Settings(**json.loads(settings_json))
    main_thread = MainThread()
    end_on_sigterm(main_thread)
    end_when_orphaned(settings.report, os.path.dirname(settings.socket))
    report = Report(settings.report)
    sources = SourceLog(settings.folder, report)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # Instead of the script's folder, whose modules are none of the app's business.
    sys.path[:1] = [*settings.paths, settings.folder]
    sys.argv = [settings.target]
    load_package("waitress", settings.waitress)
    kind = MainThreadDeadlines if settings.threads is None else Deadlines
    deadlines = kind(settings.deadline)
    deadlines.make_sleep_wake()
    apps = Apps()
    failure = import_app(apps, settings)
    sources.at_once = False
    if failure is not None:
        sources.report(reached_folders(settings.folder))
        report.send(state="failed", **failure)
        return 0
    deadlines.error = deadline_error()
    do = main_thread.do if settings.threads is None else _at_once
    handler = RequestHandler(apps, settings, report, sources, deadlines, do)
    server = Server(settings.socket, settings.threads or SERVING_ON_MAIN_THREAD, handler)
    threading.Thread(target=server.run, name="accept", daemon=True).start()
    report.send(state="serving")
    main_thread.serve()
    return 0


def end_on_sigterm(main_thread: MainThread) -> None:
    """On SIGTERM the main thread leaves `serve`, and the process ends whatever it or another thread is doing."""
    waiting, asked = os.pipe()

    def on_sigterm(*unused: object) -> None:
        os.write(asked, b"x")
        main_thread.stop()

    def end() -> None:
        os.read(waiting, 1)
        threading.Event().wait(END_SECONDS)
        os._exit(0)

    threading.Thread(target=end, name="end", daemon=True).start()
    signal.signal(signal.SIGTERM, on_sigterm)


def import_app(apps: Apps, settings: Settings) -> dict[str, str] | None:
    """What to report when the app cannot be imported; else None."""
    try:
        if settings.target:
            apps.get(settings.target)
    except TargetMissing as missing:
        return {"reason": missing.reason, "text": str(missing)}
    except BaseException as error:
        text = traceback_of(error)
        sys.stderr.write(text)
        return {"reason": "raised", "text": text}
    return None


def deadline_error() -> type[BaseException]:
    """The class that the app would import: an SDK's own where there is one."""
    found: type[BaseException] = importlib.import_module("google.appengine.runtime").DeadlineExceededError
    assert issubclass(found, BaseException)
    return found


def _at_once(work: Callable[[], None]) -> None:
    work()
