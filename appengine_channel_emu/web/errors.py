"""Errors as HTTP answers: the one place where that is decided."""

from __future__ import annotations

from collections.abc import Callable

import falcon

from appengine_channel_emu.broker.errors import (
    ChannelServiceError,
    EmulatorError,
    SocketError,
    TokenError,
    TooManySockets,
    TooManyTokens,
)
from appengine_channel_emu.web.waiting import OwnAnswer
from appengine_channel_emu.web.wsgi import PLAIN, Answer, json_answer


class BadRequest(Exception):
    """A request that is wrong in itself: `status` with its reason phrase, and a text that says what and why."""

    def __init__(self, text: str, status: str = "400 Bad Request") -> None:
        super().__init__(text)
        self.status = status


ERRORS: tuple[type[Exception], ...] = (EmulatorError, BadRequest, falcon.HTTPError)
"""What `answer_to` knows."""


def answer_to(error: Exception) -> Answer:
    """What a request that ends in one of `ERRORS` is answered; raises any other."""
    if isinstance(error, ChannelServiceError):
        body = {"error": {"code": error.code, "name": error.name, "text": str(error)}}
        return json_answer(body, _status_of(error))
    if isinstance(error, EmulatorError):
        return Answer(_status_of(error), PLAIN, str(error).encode("utf-8"))
    if isinstance(error, BadRequest):
        return Answer(error.status, PLAIN, f"{error}\n".encode())
    if isinstance(error, falcon.HTTPError):
        text = f"{error.description or error.title}\n"
        headers = [*dict(error.headers or {}).items(), *PLAIN]
        return Answer(falcon.code_to_http_status(error.status), headers, text.encode("utf-8"))
    raise error


def answered(do: Callable[[], OwnAnswer]) -> OwnAnswer:
    """What `do` answers, or what one of `ERRORS` that it raises is answered."""
    try:
        return do()
    except ERRORS as error:
        return answer_to(error)


def _status_of(error: EmulatorError) -> str:
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
