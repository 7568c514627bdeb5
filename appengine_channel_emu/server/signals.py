"""The process's signals, waited for by its main thread, and what goes on meanwhile on other threads.

No work is done in a handler: it interrupts the main thread anywhere, also where that holds the very lock that the
handler would wait for.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable

from appengine_channel_emu.streams import drain_log

SLOW_STOP_SECONDS = 10.0
"""A stop that takes longer shows what every thread does."""

SAME_SIGNAL_SECONDS = 1.0
"""What comes so soon after the first signal is the same one: a terminal, and whoever started us, both send it."""


class Signals:
    """Waits for the signals `numbers`, of the main thread alone.

    A context manager: in its block they do nothing else. To be entered before there is anything to clean up.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = list(numbers)
        self._came: list[int] = []
        self._reading, self._writing = socket.socketpair()
        self._reading.setblocking(False)
        self._writing.setblocking(False)

    def __enter__(self) -> Signals:
        # A byte for each signal, its number, written before any Python code runs.
        self._others = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        self._handlers = [(number, signal.signal(number, _nothing)) for number in self._numbers]
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, handler in self._handlers:
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._others)
        self._reading.close()
        self._writing.close()

    def wait(self, seconds: float | None = None, job: Job | None = None) -> int | None:
        """The next signal; None when `seconds` have passed, or `job` has ended, before one came."""
        give_up = None if seconds is None else time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._reading, select.POLLIN)
        while not self._came and not (job is not None and job.done):
            left = None if give_up is None else give_up - time.monotonic()
            if left is not None and left <= 0:
                return None
            poll.poll(None if left is None else left * 1000)
            with contextlib.suppress(BlockingIOError):
                self._came += [number for number in self._reading.recv(4096) if number]
        return self._came.pop(0) if self._came else None

    def wake(self) -> None:
        """Have `wait` look at its job again; from any thread."""
        # Full: it wakes already. Closed: nobody waits any more.
        with contextlib.suppress(OSError):
            self._writing.send(b"\0")


class Job:
    """A call on a thread of its own, at whose end `signals` wakes."""

    def __init__(self, call: Callable[[], object], signals: Signals, name: str) -> None:
        self._call = call
        self._signals = signals
        self._error: BaseException | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    @property
    def done(self) -> bool:
        """Whether the call has returned, or raised."""
        return self._ended.is_set()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within `seconds`."""
        return self._ended.wait(seconds)

    def result(self) -> None:
        """Raises what the call raised. To be called when it is done."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:
            self._error = error
        self._ended.set()
        self._signals.wake()


def see_the_end(stop: Callable[[], object], signals: Signals) -> None:
    """Call `stop`, and return when it has returned.

    When it takes long, what all threads do is written to standard error, once. A signal that comes meanwhile ends the
    process at once, as SIGKILL would, so that nobody needs that.
    """
    began = time.monotonic()
    stopping = Job(stop, signals, "stop")
    shown = False
    while not stopping.done:
        since = time.monotonic() - began
        if since >= SLOW_STOP_SECONDS and not shown:
            shown = True
            sys.stderr.write(f"channel-emu: stopping has taken {since:.0f} s and goes on. Its threads:\n{stacks()}")
        number = signals.wait(None if shown else SLOW_STOP_SECONDS - since, stopping)
        if number is not None and time.monotonic() - began >= SAME_SIGNAL_SECONDS:
            name = signal.Signals(number).name
            sys.stderr.write(f"channel-emu: ended at once, because {name} came while it was stopping.\n")
            drain_log()
            os._exit(128 + number)
    stopping.result()


def stacks() -> str:
    """What each thread of this process is doing, the innermost call last."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "".join(
        f"Thread {names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()
    )


def _nothing(number: int, frame: object) -> None:
    """For a signal that is waited for: without a handler in Python nothing would be written for it."""
