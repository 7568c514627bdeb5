"""What App Engine's request environment has beside HTTP's own (facts.md 9.2 and 9.3), for apps with an app.yaml."""

from __future__ import annotations

import re
import secrets
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from wsgiref.handlers import format_date_time

from appengine_channel_emu.host.app_yaml import AppConfig
from appengine_channel_emu.host.login import User, user_environ
from appengine_channel_emu.host.static_files import LONG_PAST

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_REMOVED_FROM_REQUESTS = ("HTTP_ACCEPT_ENCODING", "HTTP_PROXY_AUTHORIZATION", "HTTP_TE", "HTTP_TRAILER")
_REMOVED_FROM_ANSWERS = frozenset(["content-encoding", "x-appengine-blobkey"])


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


def request_environ(user: User | None) -> dict[str, str]:
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


def stripped(environ: WSGIEnvironment) -> WSGIEnvironment:
    """`environ` without the headers that App Engine's front end kept to itself."""
    return {name: value for name, value in environ.items() if name not in _REMOVED_FROM_REQUESTS}


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
