"""The app of an app.yaml behind the front: its handlers decide who answers a url (facts.md 9.1)."""

from __future__ import annotations

import logging
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from wsgiref.handlers import format_date_time

from appengine_channel_emu.host.app_checks import presence_hint
from appengine_channel_emu.host.app_yaml import AppConfig, Handler, Script, Static, StaticFiles
from appengine_channel_emu.host.app_yaml.config import wsgi_target
from appengine_channel_emu.host.backend import PYTHON3_APP, AppAnswer, AppDescription
from appengine_channel_emu.host.login import SignedInUser, SignIn, login_url, user_environ
from appengine_channel_emu.host.origins.instance import AppSpec
from appengine_channel_emu.host.pages import error_page
from appengine_channel_emu.host.process import python_version
from appengine_channel_emu.host.proxy import ProxyBackend, ScriptCall, raw_target
from appengine_channel_emu.host.static_files import LONG_PAST, FoundFile, find_file, serve_file
from appengine_channel_emu.host.visitors import wants_html

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


_REMOVED_FROM_REQUESTS = ("HTTP_ACCEPT_ENCODING", "HTTP_PROXY_AUTHORIZATION", "HTTP_TE", "HTTP_TRAILER")
"""What App Engine's front end kept to itself."""
_REMOVED_FROM_ANSWERS = frozenset(["content-encoding", "x-appengine-blobkey"])

log = logging.getLogger("channel_emu.app")


class AppBackend:
    """Routes requests by the handlers of `config`.

    address:      the emulator's `host:port`.
    make_scripts: makes the backend of the scripts; not called for an app of static files alone.
    python, threads, instances: as in `AppSpec`.
    """

    def __init__(
        self,
        config: AppConfig,
        address: str,
        make_scripts: Callable[[AppSpec], ProxyBackend],
        sign_in: SignIn,
        *,
        python: str = sys.executable,
        threads: int = 16,
        instances: int = 4,
    ) -> None:
        self._config = config
        self.description = AppDescription(PYTHON3_APP, str(config.path), python_version(python))
        self._sign_in = sign_in
        self._scripts: ProxyBackend | None = None
        self._left_out: set[str] = set()
        if any(isinstance(handler, Script) for handler in config.handlers):
            spec = AppSpec(
                target=first_target(config),
                folder=config.folder,
                address=address,
                python=python,
                threads=threads,
                threadsafe=config.threadsafe,
                instances=instances,
                environ=process_environ(config, address),
                timeout_page=config.timeout_page,
                current=config.entrypoint.folder if config.entrypoint else None,
                paths=config.entrypoint.paths if config.entrypoint else (),
                skips=config.skips,
            )
            self._scripts = make_scripts(spec)

    @property
    def takes_presence(self) -> bool:
        """Whether app.yaml asks to be told of clients that connect and disconnect."""
        return self._config.takes_presence

    @property
    def presence_hint(self) -> str | None:
        """What to say when a client connects that the app is not told of, though it very likely wants to be."""
        return presence_hint(self._config)

    def share_sign_in(self, service: str, key: Callable[[], bytes]) -> None:
        """See `Backend`."""
        self._sign_in.share(service, key)

    def start(self) -> None:
        """See `Backend`."""
        for warning in self._config.warnings:
            log.warning("%s", warning)
        if self._scripts is not None:
            self._scripts.start()

    def stop(self) -> None:
        """See `Backend`."""
        if self._scripts is not None:
            self._scripts.stop()

    def serve(self, environ: WSGIEnvironment, request_id: str | None) -> AppAnswer:
        """See `Backend`."""
        path = _decoded(environ.get("PATH_INFO", ""))
        if self._sign_in.serves(path):
            return self._sign_in.answer(environ)
        user = self._sign_in.user(environ)
        for handler, match in self._matches(path):
            found = self._file(handler, match) if isinstance(handler, Static) else None
            if isinstance(handler, Static) and found is None and handler.require_matching_file:
                continue
            refusal = _refusal(handler, user, environ)
            if refusal is not None:
                if found is not None:
                    found.file.close()
                return refusal
            if isinstance(handler, Static):
                if found is not None:
                    return serve_file(handler, found, environ)
                text = "A static handler of app.yaml takes this url, but it has no such file."
                return error_page(environ, 404, "Not found", text)
            assert isinstance(handler, Script)
            return self._run(handler, match, user, environ, request_id)
        return _no_handler(environ, path)

    def post(self, path: str, body: bytes, content_type: str, timeout: float) -> int:
        """See `Backend`. Neither `login` nor `secure` keeps the emulator's own requests out."""
        handler, match = next(self._matches(path), (None, None))
        if not isinstance(handler, Script) or match is None:
            return 404
        script = self._script(handler, match, None)
        if self._scripts is None or script is None:
            return 404
        return self._scripts.post(path, body, content_type, timeout, script)

    def _file(self, handler: Static, match: re.Match[str]) -> FoundFile | None:
        """The handler's file for a path. That App Engine would not have one is said in the log, once a handler."""
        name = handler.file(match)
        found = find_file(self._config, name, handler.root)
        left_out = isinstance(handler, StaticFiles) and not handler.upload.match(name or "")
        if found is not None and left_out and handler.place not in self._left_out:
            self._left_out.add(handler.place)
            log.warning("%s: upload does not match %r, which App Engine would not have had", handler.place, name)
        return found

    def _run(
        self,
        handler: Script,
        match: re.Match[str],
        user: SignedInUser | None,
        environ: WSGIEnvironment,
        request_id: str | None,
    ) -> AppAnswer:
        if handler.objection is not None:
            title = "Not a WSGI application"
            return error_page(environ, 500, title, f"{handler.place}: {handler.objection}", view="requests")
        script = self._script(handler, match, user)
        if self._scripts is None or script is None:
            return _no_handler(environ, match.string)
        kept = {name: value for name, value in environ.items() if name not in _REMOVED_FROM_REQUESTS}
        answer = self._scripts.serve(kept, request_id, script)
        answer.headers = finished_headers(answer.headers)
        return answer

    def _script(self, handler: Script, match: re.Match[str], user: SignedInUser | None) -> ScriptCall | None:
        """Which script is to answer, and what is in its environ; None when the url names a script that is not there."""
        if handler.objection is not None:
            return None
        target = handler.target(match)
        target = self._config.default_target if target == "auto" else target
        if handler.fixed_target is None and not _is_of_app(target, self._config.folder):
            return None
        script = self._config.folder / f"{target.partition(':')[0].replace('.', '/')}.py"
        return ScriptCall(target, {**request_environ(user), "PATH_TRANSLATED": str(script)})

    def _matches(self, path: str) -> Iterator[tuple[Handler, re.Match[str]]]:
        return ((handler, match) for handler in self._config.handlers if (match := handler.match(path)))


def first_target(config: AppConfig) -> str:
    """The script to import at the start: that of "/", or else the last one, which most often takes what is left.

    None, "", where every script's name comes out of the url.
    """
    scripts = [handler for handler in config.handlers if isinstance(handler, Script) and handler.fixed_target]
    chosen = next((handler for handler in scripts if handler.match("/")), scripts[-1] if scripts else None)
    if chosen is None:
        return ""
    return config.default_target if chosen.script == "auto" else wsgi_target(chosen.script)


def _is_of_app(target: str, folder: Path) -> bool:
    """Whether a target that a visitor's url has named is a module of the app's, and no other that could be imported."""
    names = target.replace(":", ".").split(".")
    if len(names) < 2 or not all(re.fullmatch(r"[\w-]+", name) for name in names):
        return False
    return (folder / f"{names[0]}.py").is_file() or (folder / names[0]).is_dir()


def _refusal(handler: Handler, user: SignedInUser | None, environ: WSGIEnvironment) -> AppAnswer | None:
    """The answer to a visitor whom `login` keeps out."""
    if handler.login == "optional" or (user is not None and (handler.login == "required" or user.admin)):
        return None
    if user is None and handler.redirects:
        headers = [("Location", login_url(raw_target(environ))), ("Cache-Control", "no-cache"), ("Content-Length", "0")]
        return AppAnswer("302 Found", headers)
    who = f"{user.email} is no administrator." if user else "Nobody is signed in."
    return error_page(environ, 401, "Not authorized", f"This page is for login: {handler.login}. {who}")


def _no_handler(environ: WSGIEnvironment, path: str) -> AppAnswer:
    said = f'The url "{path}" does not match any handlers.'
    if wants_html(environ):
        return error_page(environ, 404, "Not found", f"{said} They are in app.yaml.")
    # To the letter what the dev server said.
    text = f"{said}\n".encode("utf-8", "replace")
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(text))),
        ("X-Content-Type-Options", "nosniff"),
    ]
    return AppAnswer("404 Not Found", headers, [text])


def _decoded(path_info: str) -> str:
    """WSGI's path, bytes as Latin-1, as the text that handlers are matched with."""
    return path_info.encode("latin-1", "replace").decode("utf-8", "surrogateescape")


def process_environ(config: AppConfig, address: str) -> dict[str, str]:
    """What stays the same for all requests of a run; `address` is the emulator's `host:port`."""
    return {
        **config.env_variables,
        **(config.entrypoint.environ if config.entrypoint else {}),
        "APPLICATION_ID": f"dev~{config.application or 'app'}",
        "APPENGINE_RUNTIME": config.runtime,
        "AUTH_DOMAIN": "gmail.com",
        "CURRENT_MODULE_ID": config.module,
        "CURRENT_VERSION_ID": f"{config.version or '1'}.{int(time.time())}",
        "DATACENTER": "us1",
        "DEFAULT_VERSION_HOSTNAME": address,
        "INSTANCE_ID": secrets.token_hex(16),
        "TZ": "UTC",
    }


def request_environ(user: SignedInUser | None) -> dict[str, str]:
    """What one request has: the visitor, and the names of the request for logs."""
    visitor = user_environ(user)
    # How the second generation tells its bundled services of the visitor.
    headers = {f"HTTP_X_APPENGINE_{name}": value for name, value in visitor.items()} if user else {}
    return {
        **visitor,
        **headers,
        "HTTP_X_APPENGINE_COUNTRY": "ZZ",
        "REQUEST_ID_HASH": secrets.token_hex(4).upper(),
        "REQUEST_LOG_ID": secrets.token_hex(20),
        "SCRIPT_NAME": "",
    }


def finished_headers(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers of a script's answer, with App Engine's defaults and its rule for answers that set cookies."""
    kept = [(name, value) for name, value in headers if name.lower() not in _REMOVED_FROM_ANSWERS]
    given = {name.lower() for name, _ in kept}
    if "content-type" not in given:
        kept.append(("Content-Type", "text/html"))
    if "cache-control" not in given:
        kept.append(("Cache-Control", "no-cache"))
        if "expires" not in given:
            kept.append(("Expires", LONG_PAST))
    return _private(kept) if "set-cookie" in given else kept


def _private(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """An answer that sets a cookie is for one visitor: no shared cache may keep it."""
    directives = [
        part.strip()
        for name, value in headers
        if name.lower() == "cache-control"
        for part in re.split(r",(?=(?:[^\"]*\"[^\"]*\")*[^\"]*$)", value)
    ]
    kept = [part for part in directives if part and part.lower() != "public"]
    if not any(part.lower() in ("private", "no-cache", "no-store") for part in kept):
        kept.append("private")
    others = [
        (name, _not_later_than_now(value) if name.lower() == "expires" else value)
        for name, value in headers
        if name.lower() != "cache-control"
    ]
    return [*others, ("Cache-Control", ", ".join(kept))]


def _not_later_than_now(expires: str) -> str:
    try:
        later = parsedate_to_datetime(expires).timestamp() > time.time()
    except (TypeError, ValueError, OverflowError):
        return expires
    return format_date_time(time.time()) if later else expires
