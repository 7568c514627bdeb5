"""`/_ah/channel/jsapi`: the browser client."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from importlib import resources

import falcon


def _source(name: str) -> str:
    return (resources.files("appengine_channel_emu") / "js" / name).read_text("utf-8")


class BrowserClient:
    """Serves the script whole or gzipped, with an ETag, to pages of any origin."""

    def __init__(self) -> None:
        self._script = _source("goog_appengine_channel.js").encode("utf-8")
        self._gzipped = gzip.compress(self._script, 9, mtime=0)
        self._etag = hashlib.sha256(self._script).hexdigest()[:32]

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer 200 or 304. Checked at each load, so that a newer emulator's script is used at once."""
        zipped = _takes_gzip(req)
        etag = f"{self._etag}{'-gzip' if zipped else ''}"
        resp.set_header("ETag", f'"{etag}"')
        resp.set_header("Vary", "Accept-Encoding")
        resp.set_header("Cache-Control", "no-cache")
        resp.set_header("Cross-Origin-Resource-Policy", "cross-origin")
        if any(known == etag or known == "*" for known in req.if_none_match or []):
            resp.status = falcon.HTTP_304
            return
        resp.content_type = "text/javascript; charset=utf-8"
        if zipped:
            resp.set_header("Content-Encoding", "gzip")
        resp.data = self._gzipped if zipped else self._script


class FramePage:
    """`/_ah/channel/frame`: asks for the page around it, which may be of any origin (docs/browser-client.md).

    Its script has two parts: what it is for, and the browser client, whose transports it uses.
    """

    def __init__(self) -> None:
        script = _source("frame.js") + _source("goog_appengine_channel.js")
        self._page = f'<!DOCTYPE html><meta charset="utf-8"><title></title><script>{script}</script>'.encode()
        self._gzipped = gzip.compress(self._page, 9, mtime=0)
        digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
        self._policy = f"default-src 'none'; script-src 'sha256-{digest}'; connect-src 'self'"

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The page. Its script can run nothing, and ask nobody but us."""
        resp.content_type = "text/html; charset=utf-8"
        resp.set_header("Content-Security-Policy", self._policy + _own_sources(req))
        resp.set_header("Vary", "Accept-Encoding")
        zipped = _takes_gzip(req)
        if zipped:
            resp.set_header("Content-Encoding", "gzip")
        resp.data = self._gzipped if zipped else self._page


def _own_sources(req: falcon.Request) -> str:
    """Ours, named: to WebKit 'self' is nobody in the frame of a sandboxed page, which has no origin."""
    host = req.netloc
    # Other hosts cannot be written there: addresses in brackets.
    if not re.fullmatch(r"[\w.-]+(:\d+)?", host, re.ASCII):
        return ""
    return "".join(f" {scheme}://{host}" for scheme in ("http", "https", "ws", "wss"))


def _takes_gzip(req: falcon.Request) -> bool:
    return "gzip" in (req.get_header("Accept-Encoding") or "")


class BlankPage:
    """`/_ah/channel/xpc_blank`: production had it, and pages name it (facts.md 7.6)."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """An empty page."""
        resp.content_type = "text/html; charset=utf-8"
        resp.text = "<!DOCTYPE html><title></title>"
