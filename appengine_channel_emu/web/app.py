"""The front: the guard, our own paths on Falcon, and the app for everything else."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import falcon

from appengine_channel_emu.broker.clock import Scheduler
from appengine_channel_emu.broker.contract import Broker
from appengine_channel_emu.host.backend import AppAnswer, Serves
from appengine_channel_emu.notes import Notes
from appengine_channel_emu.web.accounts import Accounts
from appengine_channel_emu.web.admin_routes import About, admin_resources
from appengine_channel_emu.web.browsers import browser_of, is_navigation
from appengine_channel_emu.web.console import CONSOLE_PATH, console_resources
from appengine_channel_emu.web.dev_wire import DevWire
from appengine_channel_emu.web.errors import add_error_handlers
from appengine_channel_emu.web.exact_router import ExactRouter
from appengine_channel_emu.web.fault_gate import FaultGate
from appengine_channel_emu.web.fault_stages import Door
from appengine_channel_emu.web.guard import POLL_PATH, Guard
from appengine_channel_emu.web.jsapi import BlankPage, BrowserClient, FramePage
from appengine_channel_emu.web.options import WebOptions
from appengine_channel_emu.web.rpc import RemoteApi, RpcHttp, ServerApi
from appengine_channel_emu.web.socket_wire import Close, Open, PollSocket
from appengine_channel_emu.web.tabs import Tabs
from appengine_channel_emu.web.targets import RECEIVE_PATH
from appengine_channel_emu.web.unclaimed import FallbackFor404
from appengine_channel_emu.web.waiting import Waiting
from appengine_channel_emu.web.wsgi import send, server_hints, without_body

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

CHANNEL_PREFIX = "/_ah/channel/"
ADMIN_PREFIX = "/_emu/"
REMOTE_API_PATH = "/_ah/remote_api"
RPC_PATH = "/rpc_http"
HEALTH_PATH = "/_emu/health"
BRIEF_PATHS = frozenset({POLL_PATH, RPC_PATH, "/_emu/channels", "/_emu/messages", HEALTH_PATH})

_PLAIN = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]

access_log = logging.getLogger("channel_emu.access")


class CommonHeaders:
    """Falcon middleware: what goes with every answer of ours."""

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, succeeded: bool) -> None:
        """No sniffing; channels for every origin, the admin API for none, and neither kept in a cache."""
        resp.set_header("X-Content-Type-Options", "nosniff")
        if not resp.get_header("Cache-Control"):
            resp.set_header("Cache-Control", "no-cache")
        if req.path.startswith(CHANNEL_PREFIX):
            # The token or socket id is the authority here; credentials are never looked at.
            resp.set_header("Access-Control-Allow-Origin", "*")
        else:
            resp.set_header("X-Frame-Options", "DENY")
            if not resp.get_header("Content-Security-Policy"):
                resp.set_header("Content-Security-Policy", "frame-ancestors 'none'")


class Front:
    """The whole emulator as one WSGI application.

    `backend` is the app behind it. Nothing here knows which server runs it; see `web.waiting` for
    what a server may do to hold a poll without a thread.
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
        self.server_api = ServerApi(broker)
        # An app that has `builtins: remote_api` or a handler of its own there keeps it.
        self._backend = FallbackFor404(backend, REMOTE_API_PATH, RemoteApi(self.server_api))
        self._rpc_http = RpcHttp(self.server_api)
        self._guard = Guard(options)
        self.fault_gate = FaultGate(broker, pause)
        self.accounts = Accounts()
        about = about or About()
        self._brief = BRIEF_PATHS - {HEALTH_PATH} if about.looks_for_app else BRIEF_PATHS
        tabs = Tabs(broker, scheduler)
        self._resources: dict[str, object] = {
            "/_ah/channel/jsapi": BrowserClient(),
            "/_ah/channel/frame": FramePage(),
            "/_ah/channel/xpc_blank": BlankPage(),
            "/_ah/channel/dev": DevWire(broker, options),
            "/_ah/channel/open": Open(broker, options, tabs),
            "/_ah/channel/poll": PollSocket(broker, options, tabs),
            "/_ah/channel/close": Close(broker),
        }
        self.notes = Notes(broker.control.sockets_of)
        broker.events.listen(self.notes)
        self._resources |= admin_resources(broker, self.accounts, self.notes, about, self.reset)
        self._resources |= console_resources()
        router: Any = ExactRouter()
        self._falcon: falcon.App[Any, Any] = falcon.App(middleware=[CommonHeaders()], router=router)
        self._falcon.resp_options.default_media_type = None  # type: ignore[assignment]
        add_error_handlers(self._falcon)
        for path, resource in self._resources.items():
            self._falcon.add_route(path, resource)

    def reset(self) -> None:
        """Forget everything that was made, sent, noted and counted."""
        self._broker.control.reset()
        self.accounts.clear()
        self.notes.clear()
        self.fault_gate.clear()

    def is_ours(self, path: str) -> bool:
        """Whether we answer `path` ourselves: quickly, or parked without a thread."""
        return path in self._resources or path == RPC_PATH or path.startswith(ADMIN_PREFIX)

    def is_brief(self, path: str) -> bool:
        """Whether `path` is answered, or begins to wait, within a fraction of a millisecond."""
        return path in self._brief

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        is_head = environ.get("REQUEST_METHOD") == "HEAD"
        body = self._answer(environ, start_response)
        return without_body(body) if is_head else body

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        refusal = self._guard.refuse(environ)
        if refusal is not None:
            return send(refusal, start_response)
        path = environ.get("PATH_INFO", "")
        if path == RECEIVE_PATH:
            self.notes.add("socket_send")
        ours = self.is_ours(path)
        answer = self._call_falcon if ours else self._call_backend
        door: Door = "emulator" if ours else "app"
        return self.fault_gate.call(self._rpc_http if path == RPC_PATH else answer, environ, start_response, door)

    def _call_falcon(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        held: list[Any] = []

        def hold(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
            held[:] = [status, headers]

        body = self._falcon(environ, hold)
        status, headers = held
        if isinstance(body, Waiting):
            # Its status is not known before it is ready.
            body.begin(start_response, headers)
        else:
            start_response(status, headers)
        return body

    def _call_backend(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started = time.monotonic()
        request_id, answered = self._begin_request(environ)
        try:
            answer = _no_thread() if server_hints(environ).overdue else self._backend.serve(environ, request_id)
            start_response(answer.status, answer.headers)
        except BaseException:
            answered()
            raise

        def ended(sent: int) -> None:
            answered()
            self._record(environ, answer, sent, time.monotonic() - started)

        return _Counted(answer, ended)

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
        self.accounts.add(path, held, cpu, answer.cut)
        if answer.cut:
            self._broker.note(*_cut_event(path, held, cpu))
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
    """The answer's body, and a call with the number of bytes that went through once it is closed."""

    def __init__(self, answer: AppAnswer, ended: Callable[[int], None]) -> None:
        self._answer = answer
        self._ended = ended
        self._sent = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._answer.body:
            self._sent += len(chunk)
            yield chunk

    def close(self) -> None:
        self._answer.close()
        self._ended(self._sent)


class NoApp:
    """Stands where no app was named: the console, and how to name an app."""

    def serve(self, environ: WSGIEnvironment, request_id: str | None) -> AppAnswer:
        """See `Backend`."""
        if environ.get("PATH_INFO") == "/" and environ.get("REQUEST_METHOD") in ("GET", "HEAD"):
            return AppAnswer("302 Found", [("Location", CONSOLE_PATH), ("Content-Length", "0")])
        return _text("404 Not Found", "No app runs here. Start one with: channel-emu serve MODULE:APP\n")


def _nothing() -> None:
    """For who need not be told."""


def _no_thread() -> AppAnswer:
    return _text(
        "503 Service Unavailable", "The app's threads (--threads) were all busy with other requests for a minute.\n"
    )


def _text(status: str, text: str) -> AppAnswer:
    return AppAnswer(status, [*_PLAIN, ("Content-Length", str(len(text)))], [text.encode("ascii")])
