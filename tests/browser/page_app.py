"""The app behind the emulator in the browser tests: a page, and a list of what the app was told."""

from __future__ import annotations

import json
import threading
from urllib.parse import parse_qs

PAGE = b"""<!DOCTYPE html><meta charset="utf-8"><title>A page</title><link rel="icon" href="data:,">
<body><p id="content"></p></body>"""
POSTS = ("/_ah/channel/connected/", "/_ah/channel/disconnected/", "/_ah/channel/receive")
WAIT_SECONDS = 15
POLICIES = {
    "/sandbox": "sandbox allow-scripts",  # No origin.
    "/framed": "connect-src 'none'",  # Nothing but an iframe.
}

told: list[dict[str, str]] = []
changed = threading.Condition()


def app(environ, start_response):
    """`/told?at_least=N` waits for N posts and lists them, `POST /forget` forgets them; else the page, with `?head`."""
    path = environ["PATH_INFO"]
    if environ["REQUEST_METHOD"] == "POST":
        body, kind = _hear(environ, path), "text/plain"
    elif path == "/told":
        body, kind = _tell(int(parse_qs(environ["QUERY_STRING"])["at_least"][0])), "application/json"
    else:
        body, kind = PAGE.replace(b"<title>", _head(environ).encode() + b"<title>"), "text/html"
    headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
    if path in POLICIES:
        headers.append(("Content-Security-Policy", POLICIES[path]))
    start_response("200 OK", headers)
    return [body]


def _head(environ):
    return parse_qs(environ["QUERY_STRING"]).get("head", [""])[0]


def _hear(environ, path):
    fields = parse_qs(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode())
    if path in POSTS:
        with changed:
            told.append({name: values[0] for name, values in fields.items()} | {"path": path.strip("/").split("/")[-1]})
            changed.notify_all()
    elif path == "/forget":
        told.clear()
    return b"ok"


def _tell(at_least):
    with changed:
        changed.wait_for(lambda: len(told) >= at_least, WAIT_SECONDS)
        return json.dumps(told).encode()
