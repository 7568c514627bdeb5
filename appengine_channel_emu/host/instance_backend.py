"""The backend of a Python 3 app, in instances of ours."""

from __future__ import annotations

import io
import itertools
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.host import proxy
from appengine_channel_emu.host.backend import AppAnswer, BackendUnavailable, CannotStart
from appengine_channel_emu.host.exchange import Answer, ExchangeFailed, NoAnswer, Overrun, Request, Unreachable
from appengine_channel_emu.host.headers import REQUEST_HEADER, RESULT_HEADER
from appengine_channel_emu.host.instance import AppSpec, ImportFailure, Instance
from appengine_channel_emu.host.instances import Instances
from appengine_channel_emu.host.pages import error_page
from appengine_channel_emu.host.presence import PRESENCE_ADDRESS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

log = logging.getLogger("channel_emu.instance")

GRACE_SECONDS = 0.5
"""After the deadline, for a handler that catches the exception (behaviour.md 6, rule 2)."""


class NotImported(Exception):
    """There is nothing to send a request to."""

    def __init__(self, failure: ImportFailure) -> None:
        super().__init__(failure.text)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """Which script of the app answers a request, and what it finds in its environ beside the request itself.

    target:  "module:callable" of the same folder that answers instead of the spec's.
    environ: of JSON values.
    """

    target: str
    environ: Mapping[str, Any] = field(default_factory=dict)


class InstanceBackend:
    """Serves the app of `spec`; `deadline` is in seconds, None for no limit."""

    takes_presence = True
    presence_hint = None
    looks_for_app = False

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

    def why_unreachable(self) -> None:
        """See `Backend`."""

    def serve(self, environ: WSGIEnvironment, request_id: str | None, script: ScriptCall | None = None) -> AppAnswer:
        """See `Backend`."""
        number = next(self._numbers)
        try:
            request = proxy.read_request(environ)
            request.headers[REQUEST_HEADER] = _told_to_runner(number, environ, request_id, script)
            answer = self._send(request, number, self._deadline)
        except proxy.NotForwardable as refusal:
            return proxy.refused(refusal)
        except BackendUnavailable as trouble:
            return error_page(503, "The app does not run", str(trouble))
        except NotImported as missing:
            return _failure_page(missing.failure.text)
        except Overrun as overrun:
            return self._cut(overrun.cpu_seconds)
        except ExchangeFailed as failed:
            return proxy.failed(failed, self._deadline)
        result = json.loads(answer.header(RESULT_HEADER) or "{}")
        if "failure" in result:
            answer.body.close()
            passed = self._app_failed(result["failure"])
        else:
            passed = proxy.passed_on(answer, request.method)
        passed.cpu_seconds, passed.cut = result.get("cpu"), passed.cut or result.get("cut", False)
        return passed

    def post(self, path: str, body: bytes, content_type: str, timeout: float, script: ScriptCall | None = None) -> int:
        """See `Backend`. The app's deadline holds here too, where it is shorter than `timeout`."""
        host, _, port = self._spec.address.rpartition(":")
        number = next(self._numbers)
        at_the_front = {"REMOTE_ADDR": PRESENCE_ADDRESS, "SERVER_NAME": host, "SERVER_PORT": port}
        fields = {
            "Host": self._spec.address,
            "Content-Type": content_type,
            REQUEST_HEADER: _told_to_runner(number, at_the_front, None, script),
        }
        request = Request("POST", path, fields, io.BytesIO(body), len(body))
        limit = timeout if self._deadline is None else min(timeout, self._deadline)
        try:
            answer = self._send(request, number, limit)
        except (ExchangeFailed, NotImported) as failed:
            raise BackendUnavailable(str(failed)) from failed
        answer.body.close()
        return 500 if "failure" in json.loads(answer.header(RESULT_HEADER) or "{}") else answer.status

    def _send(self, request: Request, number: int, deadline: float | None) -> Answer:
        """Has an instance answer. Raises `BackendUnavailable`, `NotImported` or an `ExchangeFailed`."""
        try:
            return self._send_once(request, number, deadline)
        except Unreachable:
            # Dead, which nobody has noticed until here; the request has not been seen by anyone.
            return self._send_once(request, number, deadline)

    def _send_once(self, request: Request, number: int, deadline: float | None) -> Answer:
        with self._instances.take() as instance:
            if instance.failure is not None:
                raise NotImported(instance.failure)
            try:
                return instance.upstream.exchange(request, None if deadline is None else deadline + GRACE_SECONDS)
            except (NoAnswer, Unreachable):
                # A process that is dying closes this connection before it stops taking others.
                self._instances.lost(instance)
                raise
            except Overrun as overrun:
                overrun.cpu_seconds = instance.cpu_of_overrun(number)
                # Of a post given up before its handler's time is up, the handler goes on.
                if deadline == self._deadline:
                    self._instances.overrun(instance)
                raise

    def _app_failed(self, failure: dict[str, str]) -> AppAnswer:
        if failure["kind"] == "deadline":
            return self._cut()
        if failure["kind"] == "import":
            return _failure_page(failure["text"])
        if failure["kind"] == "raised":
            text = f"The app raised {failure['text']}; the emulator's log has the traceback."
            return error_page(500, "The app raised an exception", text)
        return error_page(500, "The app's answer cannot be sent", failure["text"])

    def _cut(self, cpu_seconds: float | None = None) -> AppAnswer:
        assert self._deadline is not None
        return proxy.cut_answer(self._deadline, self._spec.timeout_page, cpu_seconds)


def _told_to_runner(number: int, environ: WSGIEnvironment, request_id: str | None, script: ScriptCall | None) -> str:
    """What the app would read in its environ if it were at the front, who is to answer, and what names the request."""
    names = ("REMOTE_ADDR", "REMOTE_HOST", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL")
    seen = {name: environ[name] for name in (*names, "wsgi.url_scheme") if name in environ}
    told: dict[str, Any] = {"number": number, "environ": seen}
    if script is not None:
        told["target"] = script.target
        seen.update(script.environ)
    if request_id is not None:
        told["request_id"] = request_id
    return json.dumps(told)


def _failure_page(traceback: str) -> AppAnswer:
    text = "This page goes away with the next request after the app is fixed."
    return error_page(500, "The app could not be imported", text, detail=traceback)
