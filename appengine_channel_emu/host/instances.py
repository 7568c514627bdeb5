"""The instances of one app: which of them gets a request, and when another takes its place."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from appengine_channel_emu.host.backend import BackendUnavailable
from appengine_channel_emu.host.instance import AppSpec, Instance

QUEUE_SECONDS = 60.0
"""How long a request waits for an instance that is free (behaviour.md 6, rule 1)."""

STEADY_SECONDS = 10.0
"""An instance that lived this long did not crash at its start."""

RETRY_SECONDS = 5.0
"""After an import that failed; what it lacked may be there by then, for instance a database."""

LONGEST_PAUSE = 8.0
"""Seconds between two starts of an app that crashes again and again."""

log = logging.getLogger("channel_emu.instance")


class Instances:
    """Starts instances when they are needed, and replaces those that died, overran or run old source.

    start:    makes an instance.
    spec:     a `threadsafe` app has one instance, for any number of requests at a time; another has up to
              `spec.instances`, for one request each.
    patience: seconds for which one that was replaced keeps the requests it has; None: until they end.
    """

    def __init__(self, start: Callable[[], Instance], spec: AppSpec, patience: float | None) -> None:
        self._start = start
        self._shared = spec.threadsafe
        self._most = 1 if spec.threadsafe else spec.instances
        self._patience = patience
        self._changed = threading.Condition()
        self._serving: list[Instance] = []
        self._replaced: set[Instance] = set()
        self._crashes = 0
        self._last_crash = 0.0
        self._stopped = False

    @contextmanager
    def take(self) -> Iterator[Instance]:
        """An instance for one request: imported, or failed to. Raises `BackendUnavailable`."""
        instance = self._wait_for_one()
        try:
            instance.wait_until_settled()
            yield instance
        finally:
            with self._changed:
                instance.active -= 1
                self._changed.notify_all()

    def overrun(self, instance: Instance) -> None:
        """A request of this one is past its deadline and still runs: another takes its place."""
        with self._changed:
            if instance in self._serving:
                self._replace(instance, start_another=True)

    def lost(self, instance: Instance) -> None:
        """This one cannot be reached: its process is dead or dying."""
        with self._changed:
            if instance in self._serving:
                self._crashed(instance)

    def stop(self) -> None:
        """Ends them all; none is started from here on."""
        with self._changed:
            self._stopped = True
            instances = [*self._serving, *self._replaced]
            self._changed.notify_all()
        # Together: each may take three seconds.
        threads = [threading.Thread(target=instance.stop, name="stop") for instance in instances]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _wait_for_one(self) -> Instance:
        give_up = time.monotonic() + QUEUE_SECONDS
        with self._changed:
            while True:
                instance = self._find_or_start()
                if instance is not None:
                    instance.active += 1
                    return instance
                remaining = give_up - time.monotonic()
                if remaining <= 0:
                    raise BackendUnavailable(
                        f"None of the app's {self._most} instances became free within {QUEUE_SECONDS:g} seconds; "
                        "threadsafe: false lets each serve one request at a time."
                    )
                self._changed.wait(remaining)

    def _find_or_start(self) -> Instance | None:
        if self._stopped:
            raise BackendUnavailable("The emulator is stopping.")
        self._look_after()
        for instance in self._serving:
            if self._shared or instance.failure is not None or not instance.active:
                return instance
        if len(self._serving) >= self._most:
            return None
        self._check_pause()
        return self._start_one()

    def _start_one(self) -> Instance:
        try:
            instance = self._start()
        except OSError as error:
            raise BackendUnavailable(f"No process can be started for the app: {error.strerror}.") from error
        self._serving.append(instance)
        return instance

    def _look_after(self) -> None:
        """Lets go of those that run old source, of the dead, and of those that failed a while ago."""
        stale = next((instance for instance in self._serving if instance.stale), None)
        if stale is not None:
            log.info("%s has changed: a new instance serves from here on.", stale.changed_file)
            self._crashes = 0
            for instance in list(self._serving):
                self._replace(instance)
        for instance in list(self._serving):
            if instance.ended_at is None:
                continue
            if instance.failure is None:
                self._crashed(instance)
            elif time.monotonic() - instance.ended_at > RETRY_SECONDS:
                self._replace(instance)

    def _replace(self, instance: Instance, start_another: bool = False) -> None:
        self._serving.remove(instance)
        self._replaced.add(instance)
        # On a thread of its own: a visitor waits for an answer meanwhile.
        threading.Thread(target=self._retire, args=(instance, start_another), name="retire", daemon=True).start()

    def _retire(self, instance: Instance, start_another: bool) -> None:
        with self._changed:
            # First, so that the next request finds it under way; unless that request has been faster.
            if start_another and not self._stopped and len(self._serving) < self._most:
                with contextlib.suppress(BackendUnavailable):  # The next request will say so.
                    self._start_one()
                self._changed.notify_all()
            self._changed.wait_for(lambda: not instance.active, self._patience)
        instance.stop()
        with self._changed:
            self._replaced.discard(instance)

    def _crashed(self, instance: Instance) -> None:
        self._replace(instance)
        self._last_crash = instance.ended_at or time.monotonic()
        self._crashes = 1 if self._last_crash - instance.started_at >= STEADY_SECONDS else self._crashes + 1
        log.warning("The app's process has ended; the next request starts a new instance.")

    def _check_pause(self) -> None:
        pause = min(LONGEST_PAUSE, 0.25 * 2 ** (self._crashes - 1)) if self._crashes > 1 else 0.0
        if time.monotonic() < self._last_crash + pause:
            raise BackendUnavailable("The app's process ended again and again; it is started again in a moment.")
