"""The backend of an SDK app: an unmodified legacy app behind the SDK's own dev_appserver.py."""

from __future__ import annotations

import io
import json
import logging
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.host import proxy
from appengine_channel_emu.host.backend import AppAnswer, BackendUnavailable, CannotStart
from appengine_channel_emu.host.dev_server_process import (
    GRACE_SECONDS,
    LOOPBACK,
    DevServerProcess,
    DevServerSpec,
)
from appengine_channel_emu.host.exchange import Answer, ExchangeFailed, Overrun, Request, Upstream
from appengine_channel_emu.host.headers import REQUEST_HEADER, RESULT_HEADER
from appengine_channel_emu.host.http_connection import TcpConnection
from appengine_channel_emu.host.legacy_app import LegacyApp
from appengine_channel_emu.host.login import way_to_the_form
from appengine_channel_emu.host.pages import error_page
from appengine_channel_emu.host.presence import PRESENCE_ADDRESS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

QUEUE_SECONDS = 60.0
"""How long a request may wait for the dev server and its instance, beside its own time (behaviour.md 6, rule 1)."""

STEADY_SECONDS = 10.0
LONGEST_PAUSE = 8.0

log = logging.getLogger("channel_emu.sdk")


class DevAppserverBackend:
    """Serves `app` as `spec` says."""

    looks_for_app = False

    def __init__(self, spec: DevServerSpec, app: LegacyApp) -> None:
        self.takes_presence = app.takes_presence
        self.presence_hint = app.presence_hint
        self._spec = spec
        self._timeout_page = app.timeout_page
        self._lock = threading.Lock()
        self._process: DevServerProcess | None = None
        self._upstream: Upstream | None = None
        self._crashes = 0
        self._stopped = False

    def start(self) -> None:
        """See `Backend`: returns when the dev server's port accepts."""
        with self._lock:
            self._start()
        assert self._process is not None
        log.info(
            "The SDK's admin server (datastore, task queues, memcache): http://%s:%d",
            LOOPBACK,
            self._process.admin_port,
        )

    def stop(self) -> None:
        """See `Backend`."""
        self._stopped = True
        # First without the lock, which a start holds until the dev server answers.
        if self._process is not None:
            self._process.stop()
        with self._lock:
            if self._process is not None:
                self._process.stop()
            if self._upstream is not None:
                self._upstream.close()

    def why_unreachable(self) -> None:
        """See `Backend`."""

    def serve(self, environ: WSGIEnvironment, request_id: str | None) -> AppAnswer:
        """See `Backend`."""
        form = way_to_the_form(environ)
        if form is not None:
            return AppAnswer("302 Found", [("Location", form), ("Cache-Control", "no-store"), ("Content-Length", "0")])
        started = time.monotonic()
        try:
            request = proxy.read_request(environ)
            request.target = _as_the_sdk_reads_it(request.target)
            answer = self._send(request, _visitor(environ), self._limit(), request_id)
        except proxy.NotForwardable as refusal:
            return proxy.refused(refusal)
        except BackendUnavailable as trouble:
            return error_page(503, "The app does not run", str(trouble))
        except Overrun:
            text = "The app's dev server took no notice of this request for too long. Its log may say why."
            return error_page(503, "The dev server does not answer", text)
        except ExchangeFailed as failure:
            return proxy.failed(failure, self._spec.deadline)
        result = json.loads(answer.header(RESULT_HEADER) or "{}")
        if "failure" in result or self._was_killed(answer, result, time.monotonic() - started):
            answer.body.close()
            return proxy.cut_answer(self._spec.deadline or 0.0, self._timeout_page, result.get("cpu"))
        passed = proxy.passed_on(answer, request.method)
        passed.cpu_seconds, passed.cut = result.get("cpu"), result.get("cut", False)
        return passed

    def post(self, path: str, body: bytes, content_type: str, timeout: float) -> int:
        """See `Backend`. It passes `login: admin`, as the real presence posts did."""
        host, _, port = self._spec.address.rpartition(":")
        fields = {"Host": self._spec.address, "Content-Type": content_type, "X-AppEngine-Fake-Is-Admin": "1"}
        told = _environ_for_app(PRESENCE_ADDRESS, host, port)
        try:
            answer = self._send(Request("POST", path, fields, io.BytesIO(body), len(body)), told, timeout)
        except ExchangeFailed as failure:
            raise BackendUnavailable(str(failure)) from failure
        answer.body.close()
        return answer.status

    def _send(
        self, request: Request, told: Mapping[str, str], limit: float | None, request_id: str | None = None
    ) -> Answer:
        """Has the dev server answer. Raises `BackendUnavailable` or an `ExchangeFailed`."""
        process, upstream = self._current()
        fields = {"secret": process.secret, "environ": told, "request_id": request_id}
        request.headers[REQUEST_HEADER] = json.dumps(fields)
        return upstream.exchange(request, limit)

    def _current(self) -> tuple[DevServerProcess, Upstream]:
        with self._lock:
            if self._process is None or self._process.ended is not None:
                self._restart()
            assert self._process is not None
            assert self._upstream is not None
            return self._process, self._upstream

    def _restart(self) -> None:
        if self._stopped:
            raise BackendUnavailable("The emulator is stopping.")
        dead = self._process
        if dead is not None:
            lived = time.monotonic() - dead.started_at
            self._crashes = 0 if lived > STEADY_SECONDS else self._crashes + 1
            pause = min(LONGEST_PAUSE, 0.25 * 2**self._crashes) if self._crashes else 0.0
            if lived < pause:
                raise BackendUnavailable(f"dev_appserver.py {dead.ended}, again and again; its log says why.")
            log.warning("dev_appserver.py %s; it is started again.", dead.ended)
            dead.stop()
        try:
            self._start()
        except CannotStart as error:
            raise BackendUnavailable(str(error)) from error

    def _start(self) -> None:
        process = self._process = DevServerProcess(self._spec)
        if self._stopped:
            process.stop()
            raise CannotStart("The emulator is stopping.")
        if self._upstream is not None:
            self._upstream.close()
        self._upstream = Upstream(lambda name: TcpConnection(LOOPBACK, process.port, name), "dev_appserver.py")
        try:
            process.wait_until_it_answers()
        except CannotStart:
            process.stop()
            raise

    def _limit(self) -> float | None:
        deadline = self._spec.deadline
        return None if deadline is None else deadline + GRACE_SECONDS + QUEUE_SECONDS

    def _was_killed(self, answer: Answer, result: dict[str, Any], held: float) -> bool:
        """Whether it ran in an instance that hung so that it had to be killed: the dev server answers for it."""
        deadline = self._spec.deadline
        return deadline is not None and not result and answer.status == 500 and held > deadline


def _as_the_sdk_reads_it(target: str) -> str:
    """Its server takes a path with `://` in it for a whole address, and refuses what has a fragment."""
    path, question_mark, query = target.partition("#")[0].partition("?")
    return f"{path.replace('://', '%3A//')}{question_mark}{query}"


def _visitor(environ: WSGIEnvironment) -> dict[str, str]:
    """What the app shall see of the visitor, who talks to the front and not to the dev server."""
    host = environ.get("HTTP_HOST") or str(environ["SERVER_NAME"])
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    told = _environ_for_app(environ.get("REMOTE_ADDR", LOOPBACK), name, str(environ["SERVER_PORT"]))
    if environ.get("wsgi.url_scheme") == "https":
        told["DEV_LOCALSSL"] = "1"
    return told


def _environ_for_app(remote_address: str, name: str, port: str) -> dict[str, str]:
    return {
        "REMOTE_ADDR": remote_address,
        "SERVER_PORT": port,
        "DEFAULT_VERSION_HOSTNAME": f"{name}:{port}",
    }
