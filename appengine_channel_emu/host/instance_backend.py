"""The backend of the first door: an app in an instance of ours, replaced when it dies or its source changes."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.host import proxy
from appengine_channel_emu.host.backend import BackendUnavailable, CannotStart
from appengine_channel_emu.host.exchange import ExchangeFailed, Request
from appengine_channel_emu.host.headers import REQUEST_HEADER, RESULT_HEADER
from appengine_channel_emu.host.instance import AppSpec, ImportFailure, Instance
from appengine_channel_emu.host.pages import error_page
from appengine_channel_emu.host.presence import PRESENCE_ADDRESS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

GRACE_SECONDS = 0.5
"""After the deadline, for a handler that catches the exception (behaviour.md 6, rule 2)."""

STEADY_SECONDS = 10.0
"""An instance that lived this long did not crash at its start."""

LONGEST_PAUSE = 8.0
"""Seconds between two starts of an app that crashes again and again."""

log = logging.getLogger("channel_emu.instance")


class InstanceBackend:
    """Serves the app of `spec`; `deadline` is in seconds, None for no limit."""

    def __init__(self, spec: AppSpec, deadline: float | None) -> None:
        self._spec = spec
        self._deadline = deadline
        self._lock = threading.Lock()
        self._instance: Instance | None = None
        self._retired: set[Instance] = set()
        self._crashes = 0
        self._stopped = False

    def start(self) -> None:
        """Import the app. Raises `CannotStart` when what the target names is not there.

        An app that raises while it is imported is no reason to give up: visitors see why, until it is mended.
        """
        failure = self._current().failure
        if failure is not None and failure.reason in ("module", "attribute"):
            self.stop()
            raise CannotStart(f"{failure.text} (APP is {self._spec.target!r}, in {self._spec.folder})")

    def stop(self) -> None:
        """See `Backend`."""
        with self._lock:
            self._stopped = True
            instances = [self._instance, *self._retired]
        for instance in instances:
            if instance is not None:
                instance.stop()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """See `Backend`."""
        try:
            request = proxy.read_request(environ)
            instance = self._current()
        except proxy.NotForwardable as refusal:
            return proxy.refused(refusal, start_response)
        except BackendUnavailable as trouble:
            return error_page(start_response, 503, "The app does not run", str(trouble))
        if instance.failure is not None:
            return _failure_page(instance.failure, start_response)
        request.headers[REQUEST_HEADER] = json.dumps(_at_the_front(environ))
        limit = None if self._deadline is None else self._deadline + GRACE_SECONDS
        try:
            with instance:
                answer = instance.upstream.exchange(request, limit)
        except ExchangeFailed as failed:
            return proxy.failed(failed, environ, start_response, self._deadline)
        result = json.loads(answer.header(RESULT_HEADER) or "{}")
        environ["channel_emu.cpu_seconds"] = result.get("cpu")
        if "failure" in result:
            answer.body.close()
            return _app_failed(result["failure"], start_response)
        return proxy.write_answer(answer, environ, start_response)

    def post(self, path: str, body: bytes, content_type: str, timeout: float) -> int:
        """See `Backend`."""
        import io

        instance = self._current()
        if instance.failure is not None:
            raise BackendUnavailable("The app could not be imported.")
        host, _, port = self._spec.address.rpartition(":")
        internal = {"REMOTE_ADDR": PRESENCE_ADDRESS, "SERVER_NAME": host, "SERVER_PORT": port}
        fields = {
            "Host": self._spec.address,
            "Content-Type": content_type,
            REQUEST_HEADER: json.dumps(internal),
        }
        request = Request("POST", path, fields, io.BytesIO(body), len(body))
        try:
            with instance:
                answer = instance.upstream.exchange(request, timeout)
        except ExchangeFailed as failed:
            raise BackendUnavailable(str(failed)) from failed
        answer.body.close()
        return 500 if "failure" in json.loads(answer.header(RESULT_HEADER) or "{}") else answer.status

    def _current(self) -> Instance:
        """The instance for a request that comes now, imported or failed. Raises `BackendUnavailable`."""
        with self._lock:
            instance = self._instance
            if instance is None or instance.stale or (instance.ended_at and not instance.failure):
                instance = self._instance = self._replace(instance)
        instance.wait_until_settled()
        return instance

    def _replace(self, older: Instance | None) -> Instance:
        if self._stopped:
            raise BackendUnavailable("The emulator is stopping.")
        if older is not None and not older.stale:
            self._pause_after_crash(older)
        elif older is not None:
            self._crashes = 0
            log.info("The app's source has changed: a new instance serves from here on.")
            self._retired.add(older)
            threading.Thread(target=self._retire, args=(older,), name="retire", daemon=True).start()
        return Instance(self._spec)

    def _pause_after_crash(self, dead: Instance) -> None:
        assert dead.ended_at is not None
        if dead.ended_at - dead.started_at >= STEADY_SECONDS:
            self._crashes = 0
        pause = min(LONGEST_PAUSE, 0.25 * 2**self._crashes) if self._crashes else 0.0
        if time.monotonic() < dead.ended_at + pause:
            raise BackendUnavailable("The app's process ended again and again; it is started anew in a moment.")
        self._crashes += 1
        log.warning("The app's process has ended; a new instance is started.")

    def _retire(self, instance: Instance) -> None:
        instance.retire(self._deadline)
        with self._lock:
            self._retired.discard(instance)


def _at_the_front(environ: WSGIEnvironment) -> dict[str, Any]:
    """What the app would read in its environ if it were at the front."""
    names = ("REMOTE_ADDR", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "wsgi.url_scheme")
    return {name: environ[name] for name in names if name in environ}


def _failure_page(failure: ImportFailure, start_response: StartResponse) -> Iterable[bytes]:
    text = "This page goes away with the next request after the app is mended."
    return error_page(start_response, 500, "The app could not be imported", text, detail=failure.text)


def _app_failed(failure: dict[str, str], start_response: StartResponse) -> Iterable[bytes]:
    if failure["kind"] == "raised":
        text = f"The app raised {failure['text']}; the emulator's log has the traceback."
        return error_page(start_response, 500, "The app raised an exception", text)
    return error_page(start_response, 500, "The app's answer cannot be sent", failure["text"])
