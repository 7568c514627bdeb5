"""What our own paths share, on Falcon: the table of paths, reading a request, answering it, well or with an error.

Which status an error has is decided here alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, NamedTuple

import falcon
from falcon.routing import map_http_methods, set_default_responders

from appengine_channel_emu.broker.errors import (
    BrokerAway,
    ChannelServiceError,
    EmulatorError,
    PageError,
    TokenError,
    TooManySockets,
    TooManyTokens,
)
from appengine_channel_emu.web.upgrade import Upgrade
from appengine_channel_emu.web.waiting import OwnAnswer, Waiting
from appengine_channel_emu.web.wsgi import PLAIN, Answer, Started, json_answer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

CHANNEL_PREFIX = "/_ah/channel/"

LONGEST_WAIT = 25.0
"""Seconds that an answer of the admin API may be waited for, as for polls (behaviour.md 5)."""

LARGEST_BODY = 1024 * 1024
"""Bytes of a JSON request."""


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
    if isinstance(error, BrokerAway):
        headers = [("Retry-After", str(error.retry_after)), *PLAIN]
        return Answer("503 Service Unavailable", headers, f"{error}\n".encode())
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
    if isinstance(error, PageError):
        code = 401 if isinstance(error, TokenError) else 429 if isinstance(error, TooManySockets) else 410
        return f"{code} {error.text}"
    return "429 Too Many Requests" if isinstance(error, TooManyTokens) else "400 Bad Request"


def falcon_app(
    resources: dict[str, object], wrong_type: Callable[[WSGIEnvironment], None] = lambda environ: None
) -> falcon.App[Any, Any]:
    """The application that answers each path by its resource, and every error of ours.

    `wrong_type` is told of requests that are answered 415.
    """
    router: Any = _ExactRouter(resources)
    app: falcon.App[Any, Any] = falcon.App(middleware=[_CommonHeaders()], router=router)
    app.resp_options.default_media_type = None  # type: ignore[assignment]

    def answer_error(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
        answer = answer_to(error)
        if answer.status.startswith("415"):
            wrong_type(req.env)
        respond(resp, answer)

    app.add_error_handler(ERRORS, answer_error)
    # Every other is a bug of ours: the server logs it and answers, by whatever way it came.
    app.add_error_handler(Exception, _raise_again)
    return app


def _raise_again(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
    raise error


def ask(app: falcon.App[Any, Any], environ: WSGIEnvironment) -> Started | Waiting | Upgrade:
    """What `app` answers. Of what is not there yet the status is not known, but headers that go with it."""
    started: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> Any:
        started[:] = status, headers

    body = app(environ, start)
    status, headers = started
    if isinstance(body, Waiting):
        body.extra_headers = headers
        return body
    if isinstance(body, Upgrade):
        return body
    return Started(status, headers, body)


class Call(NamedTuple):
    """A request that has been read: its stages and whose it is, for faults, and what is done about it."""

    stages: tuple[str, ...]
    names: Collection[str]
    """The client ids, or tokens of them, that it is about."""
    do: Callable[[], OwnAnswer]


class _ExactRouter:
    """Routes for paths without parameters: a table, where Falcon's own router compiles a function.

    An emulator in process is made for each test, and compiling was most of what that took. HEAD is answered as GET is,
    whose body Falcon then leaves out. A resource whose GET takes or opens something, or waits, says so by a true
    `only_get`, and answers HEAD 405.
    """

    def __init__(self, resources: dict[str, object]) -> None:
        self._resources = resources
        self._methods: dict[str, Any] = {}

    def find(self, uri: str, req: object = None) -> tuple[object, Any, dict[str, Any], str] | None:
        """The resource at `uri`, its methods, no parameters, and `uri` again; None where there is no resource."""
        resource = self._resources.get(uri)
        if resource is None:
            return None
        methods: Any = self._methods.get(uri)
        if methods is None:
            methods = map_http_methods(resource)
            if "GET" in methods and not getattr(resource, "only_get", False):
                methods.setdefault("HEAD", methods["GET"])
            set_default_responders(methods)
            self._methods[uri] = methods
        return resource, methods, {}, uri


class _CommonHeaders:
    """Falcon middleware: what goes with every answer of ours."""

    def process_response(self, req: falcon.Request, resp: falcon.Response, resource: object, succeeded: bool) -> None:
        """See `common_headers`."""
        given = [name for name in (_NO_CACHE[0], _POLICY[0]) if resp.get_header(name)]
        for name, value in common_headers(req.path, given):
            resp.set_header(name, value)


_NO_SNIFFING = ("X-Content-Type-Options", "nosniff")
_NO_CACHE = ("Cache-Control", "no-cache")
_NO_FRAMES = ("X-Frame-Options", "DENY")
_POLICY = ("Content-Security-Policy", "frame-ancestors 'none'")
# The token or socket id is the authority there; credentials are never looked at.
_ANY_ORIGIN = ("Access-Control-Allow-Origin", "*")


def common_headers(path: str, given: Collection[str]) -> list[tuple[str, str]]:
    """What goes with every answer of ours at `path`, beside headers of the names `given`.

    No sniffing; channels for every origin, the admin API for none, and neither kept in a cache.
    """
    if path.startswith(CHANNEL_PREFIX):
        return [_NO_SNIFFING, _ANY_ORIGIN, *_unless(given, _NO_CACHE)]
    return [_NO_SNIFFING, _NO_FRAMES, *_unless(given, _NO_CACHE, _POLICY)]


def _unless(given: Collection[str], *headers: tuple[str, str]) -> list[tuple[str, str]]:
    return [header for header in headers if header[0] not in given]


class Query:
    """The parameters of a request, each of which is given once."""

    __slots__ = ("_values",)

    def __init__(self, req: falcon.Request, *known: str, strict: bool = True) -> None:
        """Any that is not in `known` is refused where it is `strict`. Raises `BadRequest`, as all methods do."""
        self._values = req.params
        if strict:
            for name in self._values:
                if name not in known:
                    raise BadRequest(f"The parameter {name[:80]!r} is not known; {_there_are(known)}.")
                self.text(name)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def text(self, name: str) -> str | None:
        """The parameter, or None."""
        value = self._values.get(name)
        if isinstance(value, list):
            raise BadRequest(f"The parameter '{name}' is given more than once.")
        return value

    def required(self, name: str) -> str:
        """The parameter, which must be there."""
        value = self._values.get(name)
        if isinstance(value, str):
            return value
        raise BadRequest(f"The parameter '{name}' is {'missing' if value is None else 'given more than once'}.")

    def number(self, name: str, default: int | None = None, low: int = 0, high: int = 10**15) -> int:
        """A whole number from `low` to `high`; it must be there if there is no default."""
        if default is not None and name not in self._values:
            return default
        text = self.required(name)
        if text.isascii() and text.isdigit() and len(text) <= 16 and low <= (number := int(text)) <= high:
            return number
        raise BadRequest(f"The parameter '{name}' is a whole number from {low} to {high}.")

    def seconds(self, name: str, default: float, most: float) -> float:
        """How long to wait, `most` at most."""
        if name not in self._values:
            return default
        try:
            seconds = float(self.required(name))
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < math.inf:
            raise BadRequest(f"The parameter '{name}' is a number of seconds from 0 on.")
        return min(seconds, most)

    def wait(self) -> float:
        """The admin API's parameter `wait`: 0 if it is not given, `LONGEST_WAIT` at most."""
        return self.seconds("wait", 0.0, LONGEST_WAIT)


def read_json(req: falcon.Request, fields: dict[str, Any], required: Collection[str] = ()) -> dict[str, Any]:
    """The request's JSON object, with known fields of the right types only; raises `BadRequest`."""
    # Another site's page can send a form's types without asking first, and this one only after a preflight.
    if not is_json(req.content_type or ""):
        raise BadRequest("Send this as application/json.", "415 Unsupported Media Type")
    data = req.bounded_stream.read(LARGEST_BODY + 1)
    if len(data) > LARGEST_BODY:
        raise BadRequest(f"A request has at most {LARGEST_BODY} bytes.", "413 Content Too Large")
    return parse_json(data, fields, required)


def is_json(content_type: str) -> bool:
    """Whether a body of that type is JSON."""
    return content_type.partition(";")[0].strip().lower() == "application/json"


def parse_json(data: bytes, fields: dict[str, Any], required: Collection[str] = ()) -> dict[str, Any]:
    """The JSON object in `data`, with known fields of the right types only; raises `BadRequest`."""
    try:
        body = _DECODER.decode(data.decode(json.detect_encoding(data), "surrogatepass"))
        # In ASCII, in whatever encoding of Unicode, only an escape makes a surrogate.
        if not data.isascii() or b"\\" in data or b"\0" in data:
            json.dumps(body, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise BadRequest("The JSON holds a lone surrogate, which is no text.") from None
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"This is not JSON: {str(error)[:200]}") from None
    if not isinstance(body, dict):
        raise BadRequest("Send a JSON object.")
    _check_fields(body, fields, required)
    return body


def _check_fields(body: dict[str, Any], fields: dict[str, Any], required: Collection[str]) -> None:
    for name, value in body.items():
        if name not in fields:
            raise BadRequest(f"The field {name[:80]!r} is not known; {_there_are(fields)}.")
        if not _fits(value, fields[name]):
            raise BadRequest(f"The field '{name}' has the wrong type.")
        if isinstance(value, float) and value.is_integer():
            body[name] = int(value)
    for name in sorted(set(required) - body.keys()):
        raise BadRequest(f"The field '{name}' is missing.")


def _fits(value: object, types: Any) -> bool:
    """Whether a JSON value is of one of `types`; 2.0 is a whole number of JSON's, and true is none."""
    if isinstance(value, bool):
        return types is bool
    if isinstance(value, float) and value.is_integer():
        return isinstance(int(value), types)
    return isinstance(value, types)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
"""As `json.loads` makes one for each text."""


def _there_are(names: Collection[str]) -> str:
    return f"there are {', '.join(names)}" if names else "there are none"


def respond(resp: falcon.Response, answer: OwnAnswer) -> None:
    """Answer with `answer`, which may not be there yet."""
    if not isinstance(answer, Answer):
        resp.stream = answer
        return
    resp.status = answer.status
    for name, value in answer.headers:
        resp.set_header(name, value)
    resp.data = answer.body


def answer_json(resp: falcon.Response, body: dict[str, Any], status: str = "200 OK") -> None:
    """Answer with `body`."""
    respond(resp, json_answer(body, status))
