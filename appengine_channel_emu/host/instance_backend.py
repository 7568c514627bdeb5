"""The backend of a Python 3 app, in instances of ours."""

from __future__ import annotations

import io
import itertools
import json
import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.host import proxy
from appengine_channel_emu.host.backend import BackendUnavailable, CannotStart
from appengine_channel_emu.host.exchange import Answer, ExchangeFailed, NoAnswer, Overrun, Request, Unreachable
from appengine_channel_emu.host.headers import REQUEST_HEADER, RESULT_HEADER
from appengine_channel_emu.host.instance import AppSpec, ImportFailure, Instance
from appengine_channel_emu.host.instances import Instances
from appengine_channel_emu.host.pages import error_page
from appengine_channel_emu.host.presence import PRESENCE_ADDRESS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger("channel_emu.instance")

GRACE_SECONDS = 0.5
"""After the deadline, for a handler that catches the exception (behaviour.md 6, rule 2)."""


class NotImported(Exception):
    """There is nothing to send a request to."""

    def __init__(self, failure: ImportFailure) -> None:
        super().__init__(failure.text)
        self.failure = failure


class InstanceBackend:
    """Serves the app of `spec`; `deadline` is in seconds, None for no limit.

    It reads from the environ of a request, where somebody between the front and it has put them:

    ``channel_emu.target``
        "module:callable" of the same folder that answers instead of `spec.target`.
    ``channel_emu.app_environ``
        dict of JSON values, what the app finds in its environ beside the request itself.
    """

    def __init__(self, spec: AppSpec, deadline: float | None) -> None:
        self._spec = spec
        self._deadline = deadline
        # A little more than a handler has: the other end of the deadline is in its own exchange.
        patience = None if deadline is None else deadline + 2 * GRACE_SECONDS
        files = spec.files()
        self._instances = Instances(lambda: Instance(spec, deadline, files), spec, patience)
        self._numbers = itertools.count(1)

    def start(self) -> None:
        """Import the app. Raises `CannotStart` when what the target names is not there.

        An app that raises while it is imported is no reason to give up: visitors see why, until it is fixed.
        """
        try:
            with self._instances.take() as instance:
                failure = instance.failure
        except BackendUnavailable as trouble:
            log.warning("%s", trouble)
            return
        if failure is not None and failure.reason in ("module", "attribute"):
            self.stop()
            raise CannotStart(f"{failure.text} (APP is {self._spec.target!r}, in {self._spec.folder})")

    def stop(self) -> None:
        """See `Backend`."""
        self._instances.stop()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """See `Backend`."""
        number = next(self._numbers)
        try:
            request = proxy.read_request(environ)
            request.headers[REQUEST_HEADER] = json.dumps({"number": number, **_told_to_runner(environ)})
            answer = self._send(request, number, self._deadline, environ)
        except proxy.NotForwardable as refusal:
            return proxy.refused(refusal, start_response)
        except BackendUnavailable as trouble:
            return error_page(start_response, 503, "The app does not run", str(trouble))
        except NotImported as missing:
            return _failure_page(missing.failure.text, start_response)
        except Overrun:
            return self._cut(environ, start_response)
        except ExchangeFailed as failed:
            return proxy.failed(failed, environ, start_response, self._deadline)
        result = json.loads(answer.header(RESULT_HEADER) or "{}")
        environ["channel_emu.cpu_seconds"] = result.get("cpu")
        environ["channel_emu.cut"] = result.get("cut", False)
        if "failure" in result:
            answer.body.close()
            return self._app_failed(result["failure"], environ, start_response)
        return proxy.write_answer(answer, environ, start_response)

    def post(
        self, path: str, body: bytes, content_type: str, timeout: float, environ: Mapping[str, Any] | None = None
    ) -> int:
        """See `Backend`. The app's deadline holds here too, where it is shorter than `timeout`.

        `environ` may have the two entries that the class tells of.
        """
        host, _, port = self._spec.address.rpartition(":")
        number = next(self._numbers)
        at_the_front = {"REMOTE_ADDR": PRESENCE_ADDRESS, "SERVER_NAME": host, "SERVER_PORT": port, **(environ or {})}
        fields = {
            "Host": self._spec.address,
            "Content-Type": content_type,
            REQUEST_HEADER: json.dumps({"number": number, **_told_to_runner(at_the_front)}),
        }
        request = Request("POST", path, fields, io.BytesIO(body), len(body))
        limit = timeout if self._deadline is None else min(timeout, self._deadline)
        try:
            answer = self._send(request, number, limit)
        except (ExchangeFailed, NotImported) as failed:
            raise BackendUnavailable(str(failed)) from failed
        answer.body.close()
        return 500 if "failure" in json.loads(answer.header(RESULT_HEADER) or "{}") else answer.status

    def _send(
        self, request: Request, number: int, deadline: float | None, environ: WSGIEnvironment | None = None
    ) -> Answer:
        """Has an instance answer. Raises `BackendUnavailable`, `NotImported` or an `ExchangeFailed`."""
        try:
            return self._send_once(request, number, deadline, environ)
        except Unreachable:
            # Dead, which nobody has noticed until here; the request has not been seen by anyone.
            return self._send_once(request, number, deadline, environ)

    def _send_once(
        self, request: Request, number: int, deadline: float | None, environ: WSGIEnvironment | None
    ) -> Answer:
        with self._instances.take() as instance:
            if instance.failure is not None:
                raise NotImported(instance.failure)
            try:
                return instance.upstream.exchange(request, None if deadline is None else deadline + GRACE_SECONDS)
            except (NoAnswer, Unreachable):
                # A process that is dying closes this connection before it stops taking others.
                self._instances.lost(instance)
                raise
            except Overrun:
                if environ is not None:
                    environ["channel_emu.cpu_seconds"] = instance.cpu_of_overrun(number)
                # Of a post given up before its handler's time is up, the handler goes on.
                if deadline == self._deadline:
                    self._instances.overrun(instance)
                raise

    def _app_failed(
        self, failure: dict[str, str], environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if failure["kind"] == "deadline":
            return self._cut(environ, start_response)
        if failure["kind"] == "import":
            return _failure_page(failure["text"], start_response)
        if failure["kind"] == "raised":
            text = f"The app raised {failure['text']}; the emulator's log has the traceback."
            return error_page(start_response, 500, "The app raised an exception", text)
        return error_page(start_response, 500, "The app's answer cannot be sent", failure["text"])

    def _cut(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ["channel_emu.cut"] = True
        assert self._deadline is not None
        if self._spec.timeout_page is None:
            return proxy.deadline_page(start_response, self._deadline)
        body, mime_type = self._spec.timeout_page
        fields = [("Content-Type", mime_type), ("Content-Length", str(len(body))), ("Cache-Control", "no-cache")]
        start_response("500 Internal Server Error", fields)
        return [body]


def _told_to_runner(environ: WSGIEnvironment) -> dict[str, Any]:
    """What the app would read in its environ if it were at the front, who is to answer, and what names the request."""
    names = ("REMOTE_ADDR", "REMOTE_HOST", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL")
    seen = {name: environ[name] for name in (*names, "wsgi.url_scheme") if name in environ}
    told: dict[str, Any] = {"environ": seen | environ.get("channel_emu.app_environ", {})}
    for name in ("target", "request_id"):
        if f"channel_emu.{name}" in environ:
            told[name] = environ[f"channel_emu.{name}"]
    return told


def _failure_page(traceback: str, start_response: StartResponse) -> Iterable[bytes]:
    text = "This page goes away with the next request after the app is fixed."
    return error_page(start_response, 500, "The app could not be imported", text, detail=traceback)
