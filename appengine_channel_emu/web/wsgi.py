"""Requests and answers in the terms of WSGI (PEP 3333): which browser asks, and a whole answer."""

from __future__ import annotations

import functools
import ipaddress
import json
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from appengine_channel_emu.host.visitors import wants_html

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LONGEST_AGENT = 512
"""Characters of a User-Agent that tell browsers apart; each open socket refers to them."""

REMEMBERED = 256
"""Addresses that are kept as they were read."""

_DOCUMENTS = frozenset({"document", "iframe", "frame", "embed", "object", "fencedframe"})

PLAIN = [("Content-Type", "text/plain; charset=utf-8")]
JSON = [("Content-Type", "application/json")]


def browser_of(environ: WSGIEnvironment) -> str | None:
    """The same text for all requests of one browser: its address and User-Agent. None for one without a User-Agent."""
    agent = environ.get("HTTP_USER_AGENT")
    return browser(environ.get("REMOTE_ADDR", ""), agent) if agent else None


def browser(address: str, agent: str) -> str:
    """`browser_of` a request from `address` with the User-Agent `agent`."""
    # One object for all sockets that refer to it, and none once there are none.
    return sys.intern(f"{_machine(address)} {agent[:LONGEST_AGENT]}")


def is_navigation(environ: WSGIEnvironment) -> bool:
    """Whether the answer is to become a document, in a window or a frame, as a form's is.

    Browsers say so (Fetch Metadata) to origins that they trust, such as localhost; older ones, and all on plain http to
    another machine, ask for HTML, which scripts do not unless they are told to.
    """
    mode = environ.get("HTTP_SEC_FETCH_MODE")
    if mode is not None:
        return mode == "navigate" or environ.get("HTTP_SEC_FETCH_DEST") in _DOCUMENTS
    return wants_html(environ)


@functools.lru_cache(maxsize=REMEMBERED)
def _machine(address: str) -> str:
    """This machine's own addresses are one: a browser may use ::1 for a connection and 127.0.0.1 for the next."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return "loopback" if ip.is_loopback else str(ip)


def content_length(environ: WSGIEnvironment) -> int:
    """Bytes of the request's body."""
    return int(environ.get("CONTENT_LENGTH") or 0)


def members(value: str) -> set[str]:
    """Those of a header that is a list, in lower case (RFC 9110, section 5.6.1)."""
    return {member.strip(" \t").lower() for member in value.split(",")}


class Answer(NamedTuple):
    """A whole HTTP answer; `status` with its reason phrase, as clients compare it.

    setting: of a refusal, the flag that lifts it, such as "--threads 32".
    """

    status: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    setting: str = ""


class Started(NamedTuple):
    """An answer as a WSGI application gives it: its headers are complete, and its body is to be read and closed."""

    status: str
    headers: list[tuple[str, str]]
    body: Iterable[bytes]


def plain_answer(status: str, text: str, *headers: tuple[str, str], setting: str = "") -> Answer:
    """`text` with a line feed at its end, to whoever reads it; `setting` as in `Answer`."""
    return Answer(status, [*PLAIN, ("X-Content-Type-Options", "nosniff"), *headers], f"{text}\n".encode(), setting)


def json_answer(body: dict[str, Any], status: str = "200 OK") -> Answer:
    """`body` as JSON in ASCII."""
    return Answer(status, JSON, json.dumps(body).encode("ascii"))


class ConnectionCut(BaseException):
    """Not an error: the connection is to be broken, without an answer, as a bad network would do it.

    A BaseException, so that no layer answers it; a server that does not know it has a failed request.
    """


def send(answer: Answer, start_response: StartResponse) -> list[bytes]:
    """Give an answer of ours, whose headers lack the Content-Length, to a WSGI server."""
    start_response(answer.status, [*answer.headers, ("Content-Length", str(len(answer.body)))])
    return [answer.body]


def close(body: Iterable[bytes]) -> None:
    """End a body, read or not."""
    close = getattr(body, "close", None)
    if close is not None:
        close()


class WithoutBody:
    """What is sent in answer to HEAD, where `body` answers GET: its headers alone (RFC 9110, section 9.3.2).

    The body is made, because that may make its headers too, and not sent.
    """

    def __init__(self, body: Iterable[bytes]) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        for _ in self._body:
            pass
        return iter(())

    def close(self) -> None:
        """See PEP 3333."""
        close(self._body)
