"""One app.yaml as Google's SDK reads it and as we do, brought to one form."""

from __future__ import annotations

import json
import posixpath
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from appengine_channel_emu.host.app_yaml import AppConfig, Handler, Script, Static, StaticDir, StaticFiles, python2
from tests.support import parts

URLS = (
    "/", "/x", "/x/", "/x/y", "/X", "/a", "/ab", "/b", "/a.png", "/a/b.png", "/img/a.png", "/img/A.PNG", "/img",
    "/img/", "/static/a.css", "/static/b/c.js", "/static", "/s/a", "/s", "/s/", "/s/static/a", "/s/a//b", "/foo",
    "/Foo", "/FOO", "/foo-bar_baz/x", "/foo/1/bar", "/foo/bar/", "/favicon.ico", "/favicon_ico", "/robots.txt",
    "/admin", "/admin/x", "/admin/x/y", "/tasks/clean", "/_ah/start", "/_ah/warmup", "/_ah/channel/connected/",
    "/_ah/channel/disconnected/", "/_ah/mail/a@b.c", "/form", "/x y", "/x+y", "/x$", "/x\n", "/é", "/é/x",
    "/日本/a.png", "/blog/2014/01/02/a-title", "/user/42", "/user/joe", "/a|b", "/(x)", "/x.html", "/index.html",
    "/deep/er/and/deeper",
)  # fmt: skip
"""Requests, of which each must go to the same handler on both sides."""

NAMES = (
    "app.yaml", "main.py", "main.pyc", "main.pyo", "lib/main.pyc", ".git/config", "a/.hidden", "a~", "a/b~", "#a#",
    "a/#b#", "RCS/a", "a/RCS/b", "a/RCS", "static/a.css", "tests/test_a.py", "node_modules/x/y.js", "x/node_modules/y",
    "README.md", "a/README.md", "secret.txt", "a/secret.txt", "x", "y", "xy", "index.yaml", "setup.py", "a.bak",
    "é.txt", "a b.txt",
)  # fmt: skip
"""Files, of which both sides must skip the same."""


def sdk_readings(folder: Path, paths: Sequence[Path]) -> list[dict[str, Any]]:
    """What the SDK makes of each file, in one process of Python 2.7; `{"error": …}` for those that it refuses."""
    command = [str(parts.need(parts.python27)), str(Path(__file__).with_name("sdk_reader.py"))]
    asked = json.dumps({"paths": [str(path) for path in paths], "urls": URLS, "names": NAMES})
    done = subprocess.run(
        [*command, str(parts.need(parts.sdk)), str(folder)], input=asked, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(paths), done.stderr
    return [json.loads(line) for line in lines]


def our_reading(config: AppConfig) -> dict[str, Any]:
    """The same of ours."""
    handlers = [handler for handler in config.handlers if handler.place != config.path.name]
    return {
        "runtime": config.runtime,
        "flexible": config.flexible,
        "application": config.application,
        "version": config.version,
        "module": config.module,
        "threadsafe": config.threadsafe,
        "handlers": [_handler(handler) for handler in handlers],
        "routes": [_route(handlers, url) for url in URLS],
        "skipped": [name for name in NAMES if config.skips(name)],
        "env_variables": dict(config.env_variables),
        "inbound_services": sorted(config.inbound_services),
        "libraries": [[library.name, library.version] for library in config.libraries],
        "error_handlers": {code: [str(file.path), file.mime_type] for code, file in config.error_files.items()},
        "instances": config.instances,
    }


def _handler(handler: Handler) -> dict[str, Any]:
    static = handler if isinstance(handler, Static) else None
    return {
        "kind": {Script: "script", StaticDir: "static_dir", StaticFiles: "static_files"}[type(handler)],
        "target": _target(handler),
        "login": handler.login,
        "auth_fail_action": "redirect" if handler.redirects else "unauthorized",
        "secure": handler.secure,
        "mime_type": static and static.mime_type,
        "expiration": static and static.expiration,
        "http_headers": sorted([name, value] for name, value in static.http_headers) if static else [],
        "require_matching_file": bool(static and static.require_matching_file),
    }


def _target(handler: Handler) -> str:
    if isinstance(handler, Script):
        return handler.script
    return handler.folder if isinstance(handler, StaticDir) else handler.template  # type: ignore[attr-defined]


def _route(handlers: Iterable[Handler], url: str) -> list[Any] | None:
    for index, handler in enumerate(handlers):
        match = handler.match(url)
        if match is None:
            continue
        if isinstance(handler, Script):
            return [index, python2.expand(handler.script, match)]
        file = handler.file(match)  # type: ignore[attr-defined]
        return [index, file and posixpath.normpath(file)]
    return None
