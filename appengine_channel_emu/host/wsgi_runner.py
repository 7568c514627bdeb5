"""Runs a WSGI app in an instance: a process of its own, behind the front.

Run as a script, ``wsgi_runner.py SETTINGS`` (JSON: see `Settings`), by whichever interpreter the app wants, Python 3.9
or newer. So it uses the standard library, and waitress from where it is told to take it, and nothing else of ours: what
an app can import must not depend on what the emulator has installed.

It reports to the front in JSON lines over an inherited pipe:

``{"state": "serving"}``
    the app has been imported, and its socket accepts requests.
``{"state": "failed", "reason": "module" | "attribute" | "raised", "text": …}``
    it has not; the process ends. "module" and "attribute" mean that what the target names does not exist.
``{"sources": {path: [modification time, size]}, "folders": […]}``
    source files of the app that have been loaded, as they were then; before a failure also the folders in which a
    missing module may turn up.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from importlib.machinery import SourceFileLoader
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REQUEST_KEY = "HTTP_CHANNEL_EMU_REQUEST"
RESULT_HEADER = "Channel-Emu-Result"
HOP_BY_HOP = frozenset(
    ["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
     "upgrade"]
)  # fmt: skip


class Settings(SimpleNamespace):
    """What the front says about the run.

    target:    "module:callable"; the callable may be dotted.
    folder:    the app's folder, first on sys.path.
    socket:    path of the Unix socket to listen on.
    report:    number of the inherited pipe.
    waitress:  folder of the waitress package.
    threads:   how many requests run at a time.
    max_answer: bytes in the longest answer.
    """

    target: str
    folder: str
    socket: str
    report: int
    waitress: str
    threads: int
    max_answer: int


class AppFailed(Exception):
    """The request gets a page of the front's instead of the app's answer."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Answer:
    """What the app makes of `start_response`, `write` and its iterable, checked and collected."""

    def __init__(self, max_bytes: int) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._length = 0
        self._max_bytes = max_bytes

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        if self.status and not exc_info:
            raise AppFailed("protocol", "start_response was called a second time, without exc_info.")
        if not isinstance(status, str) or not re.fullmatch(r"[2-9]\d\d( [\x20-\x7e\xa0-\xff]*)?", status):
            raise AppFailed("protocol", f'{status!r} is not a status such as "200 OK".')
        self.headers = [_checked_header(item) for item in headers]
        self.status = status
        return self.write

    def write(self, block: bytes) -> None:
        if not isinstance(block, bytes):
            raise AppFailed("protocol", f"The body must be bytes, not {type(block).__name__}.")
        self._length += len(block)
        if self._length > self._max_bytes:
            raise AppFailed("too_large", f"The answer is larger than {self._max_bytes // 2**20} MiB.")
        self._body.append(block)

    def collect(self, parts: Iterable[bytes]) -> None:
        try:
            for block in parts:
                self.write(block)
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()
        if not self.status:
            raise AppFailed("protocol", "The app returned without having called start_response.")

    def body(self) -> bytes:
        return b"".join(self._body)


def _checked_header(item: Any) -> tuple[str, str]:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise AppFailed("protocol", f"{item!r} is not a header: a pair of name and value.")
    name, value = item
    if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise AppFailed("protocol", f"{name!r} is not a header name.")
    if not isinstance(value, str) or not re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", value):
        raise AppFailed("protocol", f"The value of the header {name} is not a string of Latin-1 on one line.")
    return name, value


class RequestHandler:
    """The WSGI application given to waitress: runs the app for one request and answers when it has finished."""

    def __init__(self, app: WSGIApplication, settings: Settings, sources: SourceLog) -> None:
        self._app = app
        self._settings = settings
        self._sources = sources

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self._prepare(environ)
        answer = Answer(self._settings.max_answer)
        result: dict[str, Any] = {}
        cpu = time.thread_time()
        try:
            self._run(environ, answer)
        except AppFailed as failure:
            result["failure"] = {"kind": failure.kind, "text": str(failure)}
        result["cpu"] = round(time.thread_time() - cpu, 6)
        self._sources.report()
        return self._send(answer, result, environ, start_response)

    def _prepare(self, environ: WSGIEnvironment) -> None:
        """Makes the environ what it would be if the app were at the front (facts.md 9.2)."""
        environ.update(json.loads(environ.pop(REQUEST_KEY, "{}")))
        environ["SERVER_SOFTWARE"] = os.environ.get("SERVER_SOFTWARE", "")
        environ["HTTPS"] = "on" if environ["wsgi.url_scheme"] == "https" else "off"
        environ["wsgi.multithread"] = self._settings.threads > 1
        environ["wsgi.errors"] = sys.stderr

    def _run(self, environ: WSGIEnvironment, answer: Answer) -> None:
        try:
            answer.collect(self._app(environ, answer.start_response))
        except AppFailed as failure:
            sys.stderr.write(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']!r}: {failure}\n")
            raise
        except BaseException as error:
            traceback.print_exception(type(error), error, _without_ours(error))
            raise AppFailed("raised", type(error).__name__) from None

    def _send(
        self, answer: Answer, result: dict[str, Any], environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        status, headers, body = answer.status, answer.headers, answer.body()
        if "failure" in result:
            status, headers, body = "500 Internal Server Error", [], b""
        kept = [(name, value) for name, value in headers if self._passes(name, bool(body), environ)]
        if environ["REQUEST_METHOD"] != "HEAD" or body or "content-length" not in {name.lower() for name, _ in kept}:
            kept.append(("Content-Length", str(len(body))))
        kept.append((RESULT_HEADER, json.dumps(result)))
        start_response(status, kept)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    @staticmethod
    def _passes(name: str, has_body: bool, environ: WSGIEnvironment) -> bool:
        lower = name.lower()
        if lower == "content-length":
            return environ["REQUEST_METHOD"] == "HEAD" and not has_body
        return lower not in HOP_BY_HOP and not lower.startswith("channel-emu-")


def _without_ours(error: BaseException) -> Any:
    """The traceback of the error from where the app's own code begins."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return frames or error.__traceback__


class Report:
    """The pipe to the front."""

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        self._fd = fd
        self._lock = threading.Lock()

    def send(self, **message: Any) -> None:
        data = json.dumps(message).encode() + b"\n"
        with self._lock:
            while data:
                data = data[os.write(self._fd, data) :]


class SourceLog:
    """Notes which source files of the app are loaded, and what they looked like just before they were read.

    The import system asks for a file's modification time and size (`SourceFileLoader.path_stats`) before it reads it;
    that is when we look. So a change made while the app is being imported is not missed.
    """

    def __init__(self, folder: str, report: Report) -> None:
        self._folder = os.path.join(os.path.realpath(folder), "")
        self._report = report
        self._new: dict[str, list[float]] = {}
        original = SourceFileLoader.path_stats

        def path_stats(loader: SourceFileLoader, path: str) -> Any:
            stats = original(loader, path)
            real = os.path.realpath(path)
            if real.startswith(self._folder) and "-packages" + os.sep not in real:
                self._new[real] = [stats["mtime"], stats["size"]]
            return stats

        SourceFileLoader.path_stats = path_stats  # type: ignore[method-assign, assignment]

    def report(self, folders: Iterable[str] = ()) -> None:
        if self._new or folders:
            new, self._new = self._new, {}
            self._report.send(sources=new, folders=list(folders))


class TargetMissing(Exception):
    """What the target names does not exist; `reason` is "module" or "attribute"."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def load_app(target: str) -> WSGIApplication:
    """Imports the app. Raises `TargetMissing`, or whatever the app's import raises."""
    module_name, _, path = target.partition(":")
    try:
        __import__(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise TargetMissing("module", f"There is no module {error.name!r}.") from error
        raise
    found: Any = sys.modules[module_name]
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise TargetMissing("attribute", f"The module {module_name!r} has no {path!r}.") from None
    if not callable(found):
        raise TargetMissing("attribute", f"{path!r} of the module {module_name!r} is not a WSGI application.")
    return found  # type: ignore[no-any-return]


def load_waitress(folder: str) -> ModuleType:
    """Imports waitress from its folder, whose neighbours stay out of reach."""
    spec = importlib.util.spec_from_file_location(
        "waitress", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["waitress"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def create_server(waitress: ModuleType, handler: RequestHandler, settings: Settings) -> Any:
    return waitress.create_server(
        handler,
        unix_socket=settings.socket,
        unix_socket_perms="600",
        threads=settings.threads,
        connection_limit=10 * settings.threads + 100,
        ident=None,
        # The front decides which of a proxy's headers are to be trusted.
        clear_untrusted_proxy_headers=False,
    )


def reached_folders(folder: str) -> list[str]:
    """Where a module that was missing may turn up."""
    return sorted({os.path.realpath(entry or folder) for entry in sys.path if os.path.isdir(entry or folder)})


def main(arguments: list[str]) -> int:
    settings = Settings(**json.loads(arguments[0]))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    report = Report(settings.report)
    sources = SourceLog(settings.folder, report)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    # In place of this script's folder, whose modules are none of the app's business.
    sys.path[0] = settings.folder
    sys.argv = [settings.target]
    waitress = load_waitress(settings.waitress)
    try:
        app = load_app(settings.target)
    except TargetMissing as missing:
        sources.report(reached_folders(settings.folder))
        report.send(state="failed", reason=missing.reason, text=str(missing))
        return 0
    except BaseException as error:
        text = "".join(traceback.format_exception(type(error), error, _without_ours(error)))
        sys.stderr.write(text)
        sources.report(reached_folders(settings.folder))
        report.send(state="failed", reason="raised", text=text)
        return 0
    server = create_server(waitress, RequestHandler(app, settings, sources), settings)
    threading.Thread(target=server.run, name="waitress", daemon=True).start()
    sources.report()
    report.send(state="serving")
    stop.wait()
    # Threads that the app left running must not keep the process alive.
    timer = threading.Timer(1.0, os._exit, [0])
    timer.daemon = True
    timer.start()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
