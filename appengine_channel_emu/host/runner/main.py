"""The process of an instance: it imports the app, serves it, and ends on SIGTERM or when nobody is left."""

from __future__ import annotations

import importlib
import json
import os
import queue
import select
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import RunnerInfo
from .deadline import Deadlines, MainThreadDeadlines
from .handler import RequestHandler
from .loading import Apps, TargetMissing, reached_folders, traceback_of
from .report import Report, SourceLog
from .serving import InstanceServer

SERVING_ON_MAIN_THREAD = 2
"""Threads that have a request when the handlers run on the main one: they only wait for it."""

END_SECONDS = 1.0
"""After SIGTERM, for the app's exit functions; threads that it left running do not keep the process alive."""

ORPHAN_LOOK_SECONDS = 0.2


class MainThread:
    """Has the main thread do what other threads ask for, one thing after another."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def do(self, work: Callable[[], None]) -> None:
        """Has `work` done, which must not raise, and waits for its end."""
        done = threading.Event()
        self._work.put((work, done))
        done.wait()

    def serve(self) -> None:
        """Does the work, until `stop`."""
        while (item := self._work.get()) is not None:
            work, done = item
            work()
            done.set()

    def stop(self) -> None:
        """Can be called from a signal handler."""
        self._work.put(None)


def main(info_json: str, load_package: Callable[[str, str], ModuleType]) -> int:
    """Runs until SIGTERM and returns the exit status; `load_package(name, folder)` imports a package."""
    info = RunnerInfo(**json.loads(info_json))
    main_thread = MainThread()
    end_on_sigterm(main_thread)
    end_when_orphaned(info.report, os.path.dirname(info.socket))
    report = Report(info.report)
    sources = SourceLog(info.folder, report)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # Instead of the script's folder, whose modules are none of the app's business.
    sys.path[:1] = [*info.paths, info.folder]
    sys.argv = [info.target]
    load_package("waitress", info.waitress)
    kind = MainThreadDeadlines if info.threads is None else Deadlines
    deadlines = kind(info.deadline)
    deadlines.make_sleep_wake()
    apps = Apps()
    failure = import_app(apps, info)
    sources.at_once = False
    if failure is not None:
        sources.report(reached_folders(info.folder))
        report.send(state="failed", **failure)
        return 0
    deadlines.error = deadline_error()
    do = main_thread.do if info.threads is None else _at_once
    handler = RequestHandler(apps, info, report, sources, deadlines, do)
    server = InstanceServer(info.socket, info.threads or SERVING_ON_MAIN_THREAD, handler)
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


def end_when_orphaned(report: int, folder: str) -> None:
    """Kills the process group and removes `folder` once both the front and the supervisor are gone.

    While one of them lives it ends the instance itself; two SIGKILLs leave nobody. The front alone reads the other end
    of the pipe `report`; the supervisor is the parent.
    """
    threading.Thread(target=_end_orphan, args=(report, folder, os.getppid()), name="orphan", daemon=True).start()


def _end_orphan(report: int, folder: str, supervisor: int) -> None:
    poll = select.poll()
    poll.register(report, 0)  # Errors alone: that nobody reads any more is one.
    poll.poll()
    pause = threading.Event()
    while os.getppid() == supervisor:
        pause.wait(ORPHAN_LOOK_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def import_app(apps: Apps, info: RunnerInfo) -> dict[str, str] | None:
    """What to report when the app cannot be imported; else None."""
    try:
        if info.target:
            apps.get(info.target)
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
