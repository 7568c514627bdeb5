"""A Python 3 app, in instances of ours: which of them gets a request, and when another takes its place."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from appengine_channel_emu.host.answer_reader import HttpAnswer
from appengine_channel_emu.host.backend import PYTHON3_APP, AppDescription
from appengine_channel_emu.host.errors import (
    BackendUnavailable,
    BadAnswer,
    CannotStart,
    ClosedWithoutAnswer,
    HandlerCut,
    HandlerRaised,
    NotImported,
    Overrun,
    RequestFailed,
    Unreachable,
)
from appengine_channel_emu.host.exchange import HttpRequest
from appengine_channel_emu.host.origins.instance import AppSpec, Instance
from appengine_channel_emu.host.process import CrashPause, python_version
from appengine_channel_emu.host.proxy import REQUEST_HEADER, RESULT_HEADER, AboutRequest, Origin
from appengine_channel_emu.host.tracebacks import Traceback

GRACE_SECONDS = 0.5
"""After the deadline, for a handler that catches the exception (behaviour.md 6, rule 2)."""

QUEUE_SECONDS = 60.0
"""How long a request waits for an instance that is free (behaviour.md 6, rule 1)."""

RETRY_SECONDS = 5.0
"""After an import that failed; what it lacked may be there by then, for instance a database."""

log = logging.getLogger("channel_emu.instance")


class InstancesOrigin(Origin):
    """The app of `spec`; `deadline` is in seconds, None for no limit."""

    def __init__(self, spec: AppSpec, deadline: float | None) -> None:
        self._spec = spec
        self.description = AppDescription(PYTHON3_APP, spec.target, python_version(spec.python))
        self._deadline = deadline
        self._instances = Instances(spec, deadline)
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """Import the app. Raises `CannotStart` when what the target names is not there.

        An app that raises while it is imported is no reason to give up: visitors see why, until it is fixed.
        """
        try:
            with self._instances.take() as instance:
                failure = instance.failure
        except BackendUnavailable as error:
            log.warning("%s", error)
            return
        if failure is not None and failure.reason in ("module", "attribute"):
            self.stop()
            elsewhere = "; for another folder: --app-dir" if failure.reason == "module" else ""
            raise CannotStart(f"{failure.text} (APP is {self._spec.target!r}, in {self._spec.folder}{elsewhere})")

    def stop(self) -> None:
        """See `Backend`."""
        self._instances.stop()

    def send(self, request: HttpRequest, about: AboutRequest) -> HttpAnswer:
        """See `Origin`. The app's deadline holds for a post too, where it is the shorter."""
        number = next(self._numbers)
        request.headers[REQUEST_HEADER] = json.dumps(_request_info(number, about))
        limits = [seconds for seconds in (about.post_seconds, self._deadline) if seconds is not None]
        limit = min(limits, default=None)
        try:
            answer = self._send_once(request, number, limit)
        except Unreachable:
            # Dead, which nobody has noticed until here; the request has not been seen by anyone.
            answer = self._send_once(request, number, limit)
        result = json.loads(answer.header(RESULT_HEADER) or "{}")
        if "failure" in result:
            with answer.body as body:
                raise self._failure(result, body.read().decode())
        answer.cpu_seconds, answer.cut = result.get("cpu"), result.get("cut", False)
        return answer

    def _traceback(self, text: str) -> Traceback:
        return Traceback(text, str(self._spec.folder))

    def _failure(self, result: dict[str, Any], traceback: str) -> RequestFailed:
        """What the runner says (`runner.handler.AppFailed`)."""
        kind, text = result["failure"]["kind"], result["failure"]["text"]
        failed: RequestFailed
        if kind == "deadline":
            failed = HandlerCut("The handler was ended at its deadline.")
        elif kind == "import":
            failed = NotImported(self._traceback(traceback or text))
        elif kind == "raised":
            failed = HandlerRaised(f"The app raised {text}.")
        else:
            failed = BadAnswer(text)
        if traceback and failed.detail is None:
            failed.detail = self._traceback(traceback)
        failed.by_app = True
        failed.cpu_seconds, failed.cut = result.get("cpu"), failed.cut or result.get("cut", False)
        return failed

    def _send_once(self, request: HttpRequest, number: int, deadline: float | None) -> HttpAnswer:
        with self._instances.take() as instance:
            if instance.failure is not None:
                raise NotImported(self._traceback(instance.failure.text))
            try:
                return instance.connections.exchange(request, None if deadline is None else deadline + GRACE_SECONDS)
            except (ClosedWithoutAnswer, Unreachable):
                # A process that is dying closes this connection before it stops taking others.
                self._instances.lost(instance)
                raise
            except Overrun as overrun:
                overrun.cpu_seconds = instance.cpu_of_overrun(number)
                # Of a post given up before its handler's time is up, the handler goes on.
                if deadline == self._deadline:
                    self._instances.overrun(instance)
                raise


def _request_info(number: int, about: AboutRequest) -> dict[str, Any]:
    """What the app would read in its environ if it were at the front, who is to answer, and what names the request."""
    names = ("REMOTE_ADDR", "REMOTE_HOST", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL")
    seen = {name: about.environ[name] for name in (*names, "wsgi.url_scheme") if name in about.environ}
    info: dict[str, Any] = {"number": number, "environ": seen}
    if about.script is not None:
        info["target"] = about.script.target
        seen.update(about.script.environ)
    if about.request_id is not None:
        info["request_id"] = about.request_id
    return info


class Instances:
    """Starts instances when they are needed, and replaces those that died, overran or run old source.

    A `threadsafe` app has one instance, for any number of requests at a time; another has up to `spec.instances`, for
    one request each. `deadline` is in seconds.
    """

    def __init__(self, spec: AppSpec, deadline: float | None) -> None:
        self._spec = spec
        self._deadline = deadline
        self._files = spec.files()
        self._most = 1 if spec.threadsafe else spec.instances
        self._changed = threading.Condition()
        self._serving: list[Instance] = []
        self._replaced: set[Instance] = set()
        self._pause = CrashPause()
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
                        "threadsafe: false lets each serve one request at a time.",
                        f"--instances {2 * self._most}",
                    )
                self._changed.wait(remaining)

    def _find_or_start(self) -> Instance | None:
        if self._stopped:
            raise BackendUnavailable("The emulator is stopping.")
        self._look_after()
        for instance in self._serving:
            if self._spec.threadsafe or instance.failure is not None or not instance.active:
                return instance
        if len(self._serving) >= self._most:
            return None
        if not self._pause.is_over:
            raise BackendUnavailable("The app's process ended again and again; it is started again in a moment.")
        return self._start_one()

    def _start_one(self) -> Instance:
        try:
            instance = Instance(self._spec, self._deadline, self._files)
        except OSError as error:
            raise BackendUnavailable(f"No process can be started for the app: {error.strerror}.") from error
        self._serving.append(instance)
        return instance

    def _look_after(self) -> None:
        """Lets go of those that run old source, of the dead, and of those that failed a while ago."""
        stale = next((instance for instance in self._serving if instance.sources.changed()), None)
        if stale is not None:
            log.info("%s has changed: a new instance serves from here on.", stale.sources.changed_file)
            self._pause.forget()
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
        # The requests that it has keep it a little longer than a handler may take: each ends at the deadline by itself.
        patience = None if self._deadline is None else self._deadline + 2 * GRACE_SECONDS
        with self._changed:
            # First, so that the next request finds it under way; unless that request has been faster.
            if start_another and not self._stopped and len(self._serving) < self._most:
                with contextlib.suppress(BackendUnavailable):  # The next request will say so.
                    self._start_one()
                self._changed.notify_all()
            self._changed.wait_for(lambda: not instance.active, patience)
        instance.stop()
        with self._changed:
            self._replaced.discard(instance)

    def _crashed(self, instance: Instance) -> None:
        self._replace(instance)
        self._pause.crashed(instance.started_at, instance.ended_at or time.monotonic())
        log.warning("The app's process has ended; the next request starts a new instance.")
