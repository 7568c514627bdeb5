"""A proxy in front, such as one that speaks TLS: whom to believe about the visitor (`--trusted-proxy`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from appengine_channel_emu.web.guard import PEER

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def proxy_options(proxy: str | None) -> dict[str, Any]:
    """Waitress's settings. Without a trusted proxy in front, X-Forwarded headers are the app's affair."""
    if proxy is None:
        return {"clear_untrusted_proxy_headers": False}
    return {
        "trusted_proxy": proxy,
        "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"},
        "clear_untrusted_proxy_headers": True,
    }


class PeerKept:
    """Around the application and what rewrites REMOTE_ADDR: the guard is to know who really is at the other end."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        environ.setdefault(PEER, environ.get("REMOTE_ADDR", ""))
        return self._application(environ, start_response)
