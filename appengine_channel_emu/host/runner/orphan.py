"""Ends an instance that has nobody left."""

from __future__ import annotations

import os
import select
import shutil
import signal
import threading

LOOK_SECONDS = 0.2


def end_when_orphaned(report: int, folder: str) -> None:
    """Kills the process group and removes `folder` once both the front and the supervisor are gone.

    While one of them lives it ends the instance itself; two SIGKILLs leave nobody. The front alone reads the other end
    of the pipe `report`; the supervisor is the parent.
    """
    threading.Thread(target=_watch, args=(report, folder, os.getppid()), name="orphan", daemon=True).start()


def _watch(report: int, folder: str, supervisor: int) -> None:
    poll = select.poll()
    poll.register(report, 0)  # Errors alone: that nobody reads any more is one.
    poll.poll()
    pause = threading.Event()
    while os.getppid() == supervisor:
        pause.wait(LOOK_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(os.getpgrp(), signal.SIGKILL)
