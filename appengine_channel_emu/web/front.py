"""The front: every request passes the guard, is ours or the app's, meets its fault if there is one, and is answered."""

from __future__ import annotations

import functools
import io
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from appengine_channel_emu.broker.clock import Scheduler
from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.faults.gate import FaultGate
from appengine_channel_emu.host.backend import AppAnswer, Serves
from appengine_channel_emu.host.pages import View, error_page
from appengine_channel_emu.host.visitors import server_hints, wants_html
from appengine_channel_emu.notes import Notes
from appengine_channel_emu.web.accounts import Accounts
from appengine_channel_emu.web.admin.channels import MessagesResource
from appengine_channel_emu.web.admin.console import CONSOLE_PATH, console_resources
from appengine_channel_emu.web.admin.routes import ASK_THE_BROKER, admin_resources
from appengine_channel_emu.web.admin.status import About
from appengine_channel_emu.web.api.rpc import LARGEST_CALL, RemoteApi, RpcHttp, ServerApi
from appengine_channel_emu.web.channel.jsapi import BlankPage, BrowserClient, FramePage
from appengine_channel_emu.web.channel.poll_release import PollRelease
from appengine_channel_emu.web.channel.stream import StreamSocket
from appengine_channel_emu.web.channel.wires import CloseSocket, OpenSocket, PollSocket, SdkWire
from appengine_channel_emu.web.guard import POLL_PATH, RECEIVE_PATH, STREAM_PATH, Guard, WebOptions
from appengine_channel_emu.web.later import awaited, patient
from appengine_channel_emu.web.page_policy import PagePolicies
from appengine_channel_emu.web.refusals import Refusals
from appengine_channel_emu.web.resources import ask, falcon_app
from appengine_channel_emu.web.short import MESSAGES_PATH, RPC_PATH, ShortAnswers
from appengine_channel_emu.web.upgrade import Upgrade
from appengine_channel_emu.web.waiting import OwnAnswer, Waiting
from appengine_channel_emu.web.wsgi import (
    Answer,
    Started,
    WithoutBody,
    browser_of,
    close,
    content_length,
    is_navigation,
    plain_answer,
    send,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ADMIN_PREFIX = "/_emu/"
REMOTE_API_PATH = "/_ah/remote_api"
HEALTH_PATH = "/_emu/health"
BRIEF_PATHS = frozenset({POLL_PATH, STREAM_PATH, RPC_PATH, HEALTH_PATH})
BRIEF_CALLS = frozenset({"/_emu/channels", MESSAGES_PATH})
"""By POST; to list what there is, and to search it, takes as long as there is much."""

Given = OwnAnswer | Started | AppAnswer
"""What a request is answered."""

access_log = logging.getLogger("channel_emu.access")


class Front:
    """The whole emulator as one WSGI application.

    `backend` is the app behind it. Nothing here knows which server runs it; see `web.waiting` for what a server may do
    to hold a poll without a thread.
    """

    def __init__(
        self,
        broker: Broker,
        backend: Serves,
        options: WebOptions,
        scheduler: Scheduler | None = None,
        about: About | None = None,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        self._broker = broker
        self._backend = backend
        self._options = options
        self._guard = Guard(options)
        self._faults = FaultGate(broker, pause)
        self.accounts = Accounts()
        # Otherwise each page that opens would be asked about once more.
        self.notes = Notes(broker.control.channel if broker.immediate else lambda client_id: None)
        broker.events.listen(self.notes)
        self._policies = PagePolicies(broker)
        self._refusals = refusals = Refusals(broker, scheduler.now if scheduler is not None else broker.clock.now)
        api = ServerApi(broker, refusals)
        self._rpc_http = RpcHttp(api, refusals)
        self._remote_api = RemoteApi(api, refusals)
        about = about or About()
        self._threads: int = about.settings.get("threads", 32)
        self._brief = BRIEF_PATHS - {HEALTH_PATH} if about.looks_for_app else BRIEF_PATHS
        polls = PollRelease(broker, scheduler) if scheduler is not None else None
        poll_socket = PollSocket(broker, options, polls, self._faults, refusals)
        self._resources: dict[str, object] = {
            "/_ah/channel/jsapi": BrowserClient(),
            "/_ah/channel/frame": FramePage(),
            "/_ah/channel/xpc_blank": BlankPage(),
            "/_ah/channel/dev": SdkWire(broker, options, self._faults, refusals),
            "/_ah/channel/open": OpenSocket(broker, options, self._faults, refusals),
            POLL_PATH: poll_socket,
            STREAM_PATH: StreamSocket(broker, self._faults, scheduler),
            "/_ah/channel/close": CloseSocket(broker),
        }
        self._resources |= admin_resources(broker, self._faults, self.accounts, self.notes, about, self.reset, refusals)
        self._resources |= console_resources()
        messages = self._resources[MESSAGES_PATH]
        assert isinstance(messages, MessagesResource)
        self.short_answers = ShortAnswers(broker, options, self._guard, self._faults, poll_socket, messages, api)
        """What of it a server may ask without WSGI."""
        self._falcon = falcon_app(self._resources, lambda environ: refusals.request("content-type", environ, 415))

    def reset(self) -> None:
        """Forget everything that was made, sent, noted and counted."""
        patient(self._broker).control.reset()
        self.accounts.clear()
        self.notes.clear()
        self._policies.clear()
        self._faults.clear()
        self._refusals.clear()

    def is_ours(self, path: str) -> bool:
        """Whether we answer `path` ourselves: quickly, or parked without a thread."""
        return path in self._resources or path == RPC_PATH or path.startswith(ADMIN_PREFIX)

    def may_wait(self, path: str) -> bool:
        """Whether a thread that answers `path` may have to wait for what keeps the channels."""
        return path in ASK_THE_BROKER

    def is_brief(self, method: str, path: str) -> bool:
        """Whether that is answered, or begins to wait, within a fraction of a millisecond."""
        return path in self._brief or (method == "POST" and path in BRIEF_CALLS)

    def api_port(self) -> ApiPort:
        """The application of a port of its own for the server API."""
        return ApiPort(self._rpc_http, self._options, self._faults, self._refusals)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        refused = self._guard.refuse(environ)
        if refused is None:
            return _give(self._faults.read_header(environ, self._serve), environ, start_response)
        self._refusals.request(refused.rule, environ, int(refused.answer.status[:3]))
        return _give(_refused(refused.answer, environ), environ, start_response)

    def _serve(self, environ: WSGIEnvironment) -> Given:
        path = environ.get("PATH_INFO", "")
        if path == RPC_PATH:
            call = self._rpc_http.read(environ)
            return self._faults.meet(call.stages, call.do, call.names)
        if self.is_ours(path):
            # Its resource meets a fault once it has read whom the request is about.
            return ask(self._falcon, environ)
        if path == RECEIVE_PATH:
            self.notes.add("socket_send")
        if path == REMOTE_API_PATH and content_length(environ) <= LARGEST_CALL:
            return self._ask_remote_api(environ)
        return self._faults.meet_app(environ, self._ask_app)

    def _ask_remote_api(self, environ: WSGIEnvironment) -> Answer | AppAnswer:
        """The app, and ours where it says 404.

        An app that has `builtins: remote_api` or a handler of its own keeps it, and asking is the only way to know
        that holds for every app: there need not be an app.yaml to read.
        """
        body = environ["wsgi.input"].read(content_length(environ))
        call = self._remote_api.read(environ | {"wsgi.input": io.BytesIO(body)})
        environ["wsgi.input"] = io.BytesIO(body)
        ask_app = functools.partial(self._ask_app, instead_of_404=call.do)
        return self._faults.meet_app(environ, ask_app, call.stages, call.names)

    def _ask_app(self, environ: WSGIEnvironment, instead_of_404: Callable[[], OwnAnswer] | None = None) -> AppAnswer:
        """What the app answers; it is recorded once the answer is done with."""
        started = time.monotonic()
        request_id, answered = self._begin_request(environ)
        try:
            overdue = server_hints(environ).overdue
            answer = _no_thread(environ, self._threads) if overdue else self._backend.serve(environ, request_id)
            if instead_of_404 is not None and answer.status.startswith("404"):
                answer.close()
                answer = _in_apps_name(awaited(instead_of_404()), answer.cpu_seconds)
            self._policies.look(environ, answer)
        except BaseException:
            answered()
            raise

        def ended(sent: int) -> None:
            answered()
            self._record(environ, answer, sent, time.monotonic() - started)

        answer.body = _Counted(answer.body, ended)
        return answer

    def _begin_request(self, environ: WSGIEnvironment) -> tuple[str | None, Callable[[], None]]:
        """What sends name this request by, if it matters, and what is to be called when its answer is done with."""
        requests = self._broker.app_requests
        if not requests.matter:
            return None, _nothing
        request_id = requests.begin(browser_of(environ), is_navigation(environ))
        end = functools.partial(requests.end, request_id)
        when_sent = server_hints(environ).when_sent
        if when_sent is None:
            return request_id, end
        when_sent(end)
        return request_id, _nothing

    def _record(self, environ: WSGIEnvironment, answer: AppAnswer, sent: int, held: float) -> None:
        path, cpu = environ.get("PATH_INFO", ""), answer.cpu_seconds
        self.accounts.add(path, held, cpu, answer.cut, answer.status)
        if answer.cut:
            # Its line says all that another one would.
            self._broker.note(*_cut_event(path, held, cpu))
            return
        access_log.info(
            "%s %s %s %d B %.3f s%s",
            environ.get("REQUEST_METHOD"),
            printable(path),
            answer.status[:3],
            sent,
            held,
            f" (cpu {cpu:.3f} s)" if cpu is not None else "",
        )


def _cut_event(path: str, held: float, cpu: float | None) -> tuple[str, str]:
    used = "" if cpu is None else f" with {cpu:.2f} s of CPU"
    return "request_cut", (
        f"{printable(path)} was cut at its deadline, after {held:.1f} s{used}. "
        "A page that waits for news should open a channel (Channel API) instead of a long request."
    )


def printable(text: str) -> str:
    """`text` as one line of ASCII, whatever a visitor put into it."""
    return text.encode("unicode_escape").decode("ascii")


class _Counted:
    """A body, and a call with the number of bytes that went through once it is closed."""

    def __init__(self, body: Iterable[bytes], ended: Callable[[int], None]) -> None:
        self._body = body
        self._ended = ended
        self._sent = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            self._sent += len(chunk)
            yield chunk

    def close(self) -> None:
        try:
            close(self._body)
        finally:
            self._ended(self._sent)


class ApiPort:
    """The server API at every path of a port of its own, guarded as `/rpc_http` is; the SDK has one (facts.md 2.5)."""

    def __init__(self, rpc_http: RpcHttp, options: WebOptions, faults: FaultGate, refusals: Refusals) -> None:
        self._rpc_http = rpc_http
        self._refusals = refusals
        self._guard = Guard(options, admin_everywhere=True)
        self._faults = faults

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        refused = self._guard.refuse(environ)
        if refused is None:
            return _give(self._faults.read_header(environ, self._serve), environ, start_response)
        self._refusals.request(refused.rule, environ, int(refused.answer.status[:3]))
        return _give(refused.answer, environ, start_response)

    def _serve(self, environ: WSGIEnvironment) -> OwnAnswer:
        call = self._rpc_http.read(environ)
        return self._faults.meet(call.stages, call.do, call.names)


def _give(answer: Given, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with `answer`; its body, for the server."""
    body: Iterable[bytes]
    if isinstance(answer, Waiting | Upgrade):
        answer.begin(start_response)
        body = answer
    elif isinstance(answer, Answer):
        body = send(answer, start_response)
    else:
        body = answer.body
        try:
            start_response(answer.status, answer.headers)
        except BaseException:
            # A server refuses some headers of apps, and has no body to close then.
            close(body)
            raise
    return WithoutBody(body) if environ.get("REQUEST_METHOD") == "HEAD" else body


class NoApp:
    """Stands where no app was named: the console, and how to name an app."""

    def serve(self, environ: WSGIEnvironment, request_id: str | None) -> AppAnswer:
        """See `Backend`."""
        if environ.get("PATH_INFO") == "/" and environ.get("REQUEST_METHOD") in ("GET", "HEAD"):
            return _in_apps_name(Answer("302 Found", [("Location", CONSOLE_PATH)]))
        text = "No app runs here. Start one with: channel-emu serve MODULE:APP"
        answer = plain_answer("404 Not Found", text, setting="channel-emu serve MODULE:APP")
        return _page(answer, environ, "messages")


def _no_thread(environ: WSGIEnvironment, threads: int) -> AppAnswer:
    text = "The app's threads (--threads) were all busy with other requests for a minute."
    answer = plain_answer("503 Service Unavailable", text, setting=f"--threads {2 * threads}")
    return _page(answer, environ, "requests")


_TITLES = {
    403: "Refused",
    404: "No app runs here",
    421: "This name is not served here",
    503: "The app is busy",
}


def _refused(answer: Answer, environ: WSGIEnvironment) -> AppAnswer:
    # The console is not to be had by a name that is not served.
    return _page(answer, environ, "messages" if answer.status.startswith("403") else None)


def _page(answer: Answer, environ: WSGIEnvironment, view: View | None = None) -> AppAnswer:
    """Words of ours as they are, or as a page for who asks for HTML. `view` as in `error_page`."""
    if not wants_html(environ):
        return _in_apps_name(answer)
    status = int(answer.status[:3])
    text = answer.body.decode().strip()
    return error_page(
        environ, status, _TITLES.get(status, HTTPStatus(status).phrase), text, setting=answer.setting, view=view
    )


def _in_apps_name(answer: Answer, cpu_seconds: float | None = None) -> AppAnswer:
    headers = [*answer.headers, ("Content-Length", str(len(answer.body)))]
    return AppAnswer(answer.status, headers, [answer.body], cpu_seconds)


def _nothing() -> None:
    """For who need not be told."""
