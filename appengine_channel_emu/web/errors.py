"""Errors as HTTP answers: the one place where that is decided."""

from __future__ import annotations

import json
from typing import Any

import falcon

from appengine_channel_emu.broker.errors import (
    ChannelServiceError,
    EmulatorError,
    SocketError,
    TokenError,
    TooManySockets,
    TooManyTokens,
)

PLAIN = "text/plain; charset=utf-8"


class BadRequest(Exception):
    """A request that is wrong in itself: `status` with its reason phrase, and a text that says what and why."""

    def __init__(self, text: str, status: str = "400 Bad Request") -> None:
        super().__init__(text)
        self.status = status


def status_of(error: EmulatorError) -> str:
    """The status line's code and reason; pages compare the 401s to the letter (facts.md 3.1)."""
    if isinstance(error, TokenError):
        return f"401 {error.text}"
    if isinstance(error, SocketError):
        return f"410 {error.text}"
    if isinstance(error, TooManySockets):
        return f"429 {error.text}"
    if isinstance(error, TooManyTokens):
        return "429 Too Many Requests"
    return "400 Bad Request"


def add_error_handlers(app: falcon.App[Any, Any]) -> None:
    """Let `app` answer every error of ours."""
    app.add_error_handler(ChannelServiceError, _refused)
    app.add_error_handler((TokenError, SocketError, TooManySockets), _gone)
    app.add_error_handler(BadRequest, _bad)
    app.add_error_handler(falcon.HTTPError, _http)


def _refused(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
    assert isinstance(error, ChannelServiceError)
    resp.status = status_of(error)
    resp.content_type = "application/json"
    resp.data = json.dumps({"error": {"code": error.code, "name": error.name, "text": str(error)}}).encode()


def _gone(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
    assert isinstance(error, EmulatorError)
    resp.status = status_of(error)
    resp.content_type = PLAIN
    resp.text = str(error)


def _bad(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
    assert isinstance(error, BadRequest)
    resp.status = error.status
    resp.content_type = PLAIN
    resp.text = f"{error}\n"


def _http(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
    assert isinstance(error, falcon.HTTPError)
    resp.status = falcon.code_to_http_status(error.status)
    for name, value in dict(error.headers or {}).items():
        resp.set_header(name, value)
    resp.content_type = PLAIN
    resp.text = f"{error.description or error.title}\n"
