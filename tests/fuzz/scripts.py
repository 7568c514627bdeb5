"""Scripts for twins: requests that a page or an app sends, with what nobody should send put in by hand.

Each is valid to begin with; a few mutations, that know what a request is made of, follow. Then they are cut into
packets, at any place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

from hypothesis import strategies as st

from appengine_channel_emu.bench import chrome
from tests.fuzz.strategies import calls, send_call

LONGEST_POLL_HEAD = 8 * 1024
"""A size at which the paths may part."""


@dataclass(frozen=True)
class HttpRequest:
    """The parts of one, in bytes."""

    method: bytes
    path: bytes
    query: bytes
    lines: list[bytes]
    body: bytes = b""
    version: bytes = b"HTTP/1.1"
    separators: tuple[bytes, bytes, bytes] = (b" ", b" ", b"\r\n")
    """Behind the method, behind the target, and at the end of each line."""
    before: bytes = b""
    after: bytes = field(default=b"")

    def encode(self) -> bytes:
        """As it goes over the wire."""
        target = self.path + (b"?" + self.query if self.query else b"")
        first, second, line = self.separators
        head = line.join([self.method + first + target + second + self.version, *self.lines, b"", b""])
        return self.before + head + self.body + self.after


def _parsed(data: bytes) -> HttpRequest:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    method, target, version = first.split(b" ")
    path, _, query = target.partition(b"?")
    return HttpRequest(method, path, query, lines, body, version)


def _post(path: str, kind: str, body: bytes, *more: str) -> HttpRequest:
    lines = ["Host: localhost", *more, f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return HttpRequest(b"POST", path.encode(), b"", [line.encode() for line in lines], body)


_agents = st.sampled_from([chrome.agent(number) for number in (1, 2)])
_sockets = st.sampled_from(["SOCKET"] * 4 + ["UNREAD"] * 3 + ["TOKEN", "gone", "", "a" * 300, "\x00", "%00", "s\xf6"])
_numbers = st.sampled_from(
    ["0"] * 6 + ["1", "2", "1", "2", "3", "-1", "00", "+1", " 1", "1_0", "1e3", "9" * 20, "0x1", "\u0661", "", "a"]
)
_seconds = st.sampled_from(
    ["25"] * 4 + ["0", "0.5", "1", "26", "1e400", "nan", "-1", "", "5e-1", "x", ".5", "1_0", " 1", "inf"]
)
_flags = st.sampled_from(["1"] * 3 + ["0", "", "01", "true", "%31"])
_texts = st.sampled_from(["x", "\u2028", "\x00", "s\xf6", "a" * 5_000, "a" * 40_000, ""]) | st.text(max_size=8)
_clients = st.sampled_from(["fuzz", "other", "TOKEN", "nobody", "Fuzz", "", " ", "a" * 300, "\x00"]) | st.text(
    max_size=8
)


def _query(pairs: list[tuple[str, str]]) -> bytes:
    return "&".join(f"{name}={value}" for name, value in pairs).encode("utf-8")


_page_polls = st.builds(
    lambda agent, socket, after: _parsed(chrome.poll_request(socket, after, 25, agent)),
    _agents,
    st.sampled_from(["SOCKET", "UNREAD"]),
    st.sampled_from([0, 0, 0, 1, 2]),
)
_parameters = st.fixed_dictionaries(
    {
        "socket": _sockets.map(lambda text: text.replace("\x00", "%00")),
        "after": _numbers,
        "wait": _seconds,
        "early": _flags,
        "pauses": _flags,
    }
)
_orders = st.permutations(["socket", "after", "wait", "early", "pauses"]) | st.lists(
    st.sampled_from(["socket", "after", "wait", "early", "pauses"]), min_size=1, max_size=6
)
_own_polls = st.builds(
    lambda values, order: HttpRequest(
        b"GET", b"/_ah/channel/poll", _query([(name, values[name]) for name in order]), [b"Host: localhost"]
    ),
    _parameters,
    _orders,
)
_opens = st.builds(lambda agent: _parsed(chrome.open_request("TOKEN", agent)), _agents)
_closes = st.builds(lambda agent: _parsed(chrome.close_request("SOCKET", agent)), _agents)
_json_sends = st.one_of(
    st.builds(lambda name, text: {"client_id": name, "message": text}, _clients, _texts),
    st.builds(lambda names, text: {"client_ids": names, "message": text}, st.lists(_clients, max_size=4), _texts),
    st.builds(
        lambda name, text: {"client_id": name, "message_base64": text}, _clients, st.sampled_from(["aGk=", "?", ""])
    ),
    st.builds(
        lambda name, value, other: {"client_id": "fuzz", "message": "x"} | {name: value} | other,
        st.sampled_from(["client_id", "client_ids", "message", "message_base64", "request_id", "token", "more"]),
        st.sampled_from([None, True, 0, 1.5, [], {}, ["fuzz", 1], ["fuzz"] * 3, {"a": "b"}, "x"]),
        st.sampled_from([{}, {"request_id": "r"}, {"client_ids": ["fuzz"]}]),
    ),
).map(lambda sent: json.dumps(sent).encode()) | st.sampled_from(
    [
        *(
            b"{}",
            b"[]",
            b"null",
            b"",
            b"{",
            b'{"client_id": "fuzz", "message": "x"} ',
            b"\xef\xbb\xbf{}",
            b"\xff",
            b"NaN",
        ),
        b'{"client_id": "other", "client_id": "fuzz", "message": "x"}',
        b'{"client_id": "fuzz", "message": "\\ud800"}',
        b'{"client_id": "fuzz", "message": "x", "message": 1e999}',
        '{"client_id": "fuzz", "message": "x"}'.encode("utf-16"),
    ]
)
_kinds_of_json = ["application/json; charset=utf-8", "Application/JSON", "application/json;", "application/jsonx"]
_kinds = st.sampled_from(["application/json"] * 6 + [*_kinds_of_json, "text/plain", ""])
_LIBRARY = ("Accept-Encoding: identity", "User-Agent: Python-urllib/3.11", "Connection: keep-alive")
_sends = st.builds(
    lambda body, kind, more: _post("/_emu/messages", kind, body, *more),
    _json_sends,
    _kinds,
    st.sampled_from([(), _LIBRARY]),
)
_calls = st.builds(
    lambda body, kind: _post(
        "/rpc_http", kind, body, "X-Google-RPC-Service-Endpoint: app-engine-apis", "X-Google-RPC-Service-Deadline: 60"
    ),
    calls,
    st.sampled_from(["application/octet-stream"] * 4 + ["application/json", "text/plain"]),
)
_usual_sends = st.builds(
    lambda name: _post("/_emu/messages", "application/json", json.dumps({"client_id": name, "message": "x"}).encode()),
    st.sampled_from(["fuzz", "other"]),
)
_usual_calls = st.sampled_from([b"fuzz", b"other"]).map(
    lambda name: _post("/rpc_http", "application/octet-stream", send_call(name, b"x"))
)


def _fault(stage: str, action: str, **more: object) -> HttpRequest:
    return _post("/_emu/faults", "application/json", json.dumps({"stage": stage, "action": action, **more}).encode())


_faults = st.sampled_from(
    [
        *(_fault("poll", "error", error="503"), _fault("poll", "drop"), _fault("poll", "cut", count=1)),
        *(_fault("poll", "duplicate"), _fault("poll", "delay", seconds=1), _fault("send", "cut")),
        *(_fault("send", "drop"), _fault("send", "delay", seconds=0.5), _fault("send", "error", error="BAD_MESSAGE")),
        _fault("send", "duplicate", client_id="fuzz"),
    ]
)
requests = st.one_of(_page_polls, _own_polls, _page_polls, _own_polls, _sends, _sends, _calls, _opens, _closes, _faults)

# What is done to them.

EXTRA_LINES = [
    *("Host: localhost:80", "Host: LOCALHOST", "Host: evil", "Host: 127.0.0.1", "Host: [::1]", "Host:"),
    *("Host: localhost.", "Host: a b", "Host: localhost:x", "Host: localhost, evil", "Host: 127.1", "Host: [::1"),
    *("Host: user@localhost", "Origin: http://localhost", "Origin: null", "Origin: http://evil", "Origin:"),
    *("Origin: HTTP://LOCALHOST", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site"),
    *("Sec-Fetch-Site: none", "Sec-Fetch-Site: CROSS-SITE", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Mode: navigate"),
    *("Sec-Fetch-Dest: iframe", "Referer: http://evil/", "Content-Length: 0", "Content-Length: 1"),
    *("Content-Length: +0", "Content-Length: 00", "Content-Length: 5, 5", "Content-Length:", "Content-Length: -1"),
    *("Content-Length: 0x0", "Content-Length: 99999999999999999999", "Transfer-Encoding: chunked"),
    *("Transfer-Encoding: identity", "Transfer-Encoding: chunked, chunked", "TE: trailers", "Expect: 100-continue"),
    *("Expect: 100-Continue", "Expect: x", "Upgrade: websocket", "Upgrade: h2c", "Trailer: X", "Connection: close"),
    *("Connection: keep-alive", "Connection: close, x", "Connection: Upgrade", "Connection: CLOSE"),
    *("Connection: x", "Connection:", "Keep-Alive: timeout=1", "Proxy-Connection: close"),
    *("Connection: keep-alive, close", "X-Channel-Emu-Fault: poll cut", "X-Channel-Emu-Fault: send error"),
    *("X-Channel-Emu-Fault: x", "X-Channel-Emu-Fault:", "X-Channel-Emu-Request: 1", "X-AppEngine-User-Is-Admin: 1"),
    *("X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: evil", "X-Forwarded-Proto: https", "Forwarded: for=1.2.3.4"),
    *("Cookie: a=b", "Cookie: c=d", "Authorization: x", "Range: bytes=0-1", "Accept: text/html"),
    *("Accept-Encoding: gzip", "Content-Encoding: gzip", "If-None-Match: *", "User-Agent:", "User-Agent: \x80"),
    *("User-Agent: other", "Content-Type: text/plain", "Content-Type: application/json", "X_Under: 1"),
    *("Sec_Fetch_Site: none", "X-A: \x00", "X-A: \x7f", "X-A: \r", "X-A", ": x", " X-A: folded", "\tfolded"),
    *("X-A : b", "X-A:\tb\t", "X-\xe4: b", "X-A: \xe4", "Access-Control-Request-Method: GET"),
    *("Access-Control-Request-Private-Network: true", "Early-Data: 1", "Priority: u=1", "GET / HTTP/1.1"),
]
OFTEN = [
    *("Host: evil", "Origin: http://evil", "Sec-Fetch-Site: cross-site", "Connection: close", "Content-Length: 0"),
    *("Transfer-Encoding: chunked", "Expect: 100-continue", "Upgrade: websocket", "User-Agent: a\x7f"),
    *("X-Channel-Emu-Fault: poll cut", "X-Channel-Emu-Fault: send error", "Content-Type: text/plain"),
]
"""What the paths look at, or must not miss."""
METHODS = [
    *(b"HEAD", b"POST", b"GET", b"OPTIONS", b"PUT", b"get", b"GETX", b"", b"G\x00T", b"TRACE", b"CONNECT"),
]
VERSIONS = [
    *(b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b"", b"HTTP/1.10", b"HTTP/0.9"),
    b"HTTP/1.1x",
]
PATHS = [
    *(b"http://localhost/_ah/channel/poll", b"http://evil/_ah/channel/poll", b"//localhost/_ah/channel/poll", b"*"),
    *(b"/_ah/channel/pol%6C", b"/_ah/channel/poll/", b"/_ah//channel/poll", b"/_ah/channel/../channel/poll"),
    *(b"/./_ah/channel/poll", b"/_AH/channel/poll", b"/_ah/channel/poll;x", b"/_ah/channel/poll%00"),
    *(b"/_ah/channel/poll#x", b"https://localhost/_ah/channel/poll", b"/_emu/messages/", b"/_emu/message%73"),
    *(b"http://localhost/_emu/messages", b"/rpc_http/", b"/RPC_HTTP", b"/", b"/_ah/channel/open"),
    *(b"/_ah/channel/close", b"/_emu/health", b"/_ah/channel/stream", b"/_emu/channels"),
]
IN_QUERIES = [
    *(b"&", b"&&", b"&after=1", b"&after=0", b"&socket=UNREAD", b"&wait=0", b"&early=1", b"&x=y", b"#f"),
    *(b";after=1", b"%", b"%zz", b"+", b"%20", b" ", b"\x00", b"\xff", b"%ff", b"\t", b"?", b"=", b"&=", b"&after"),
    *(b"&%61fter=1", b"&After=1", b"\x7f", b"%0d%0a"),
    b"&x=" + b"a" * 8_000,
]


@st.composite
def _mutated(draw: st.DrawFn, request: HttpRequest) -> HttpRequest:
    kind = draw(st.integers(0, 11))
    lines = list(request.lines)
    at = draw(st.integers(0, max(0, len(lines) - 1)))
    if kind <= 2:
        extra = draw(st.sampled_from(OFTEN) | st.sampled_from(EXTRA_LINES)).encode("latin-1")
        lines.insert(at + draw(st.integers(0, 1)), extra)
    elif kind == 3 and lines:
        del lines[at]
    elif kind == 4 and lines:
        lines[at] = draw(st.sampled_from([bytes.upper, bytes.lower, bytes.swapcase, bytes.title]))(lines[at])
    elif kind == 5 and lines:
        name, _, value = lines[at].partition(b":")
        separator = draw(st.sampled_from([b":", b":  ", b":\t", b" : ", b"", b": \r\n ", b":\x0b", b": \x00", b": ,"]))
        lines[at] = name + separator + value.strip() + draw(st.sampled_from([b"", b" ", b"\t", b"\r", b","]))
    elif kind == 6 and lines:
        lines.insert(at, draw(st.sampled_from(lines)))
    elif kind == 7:
        return replace(request, method=draw(st.sampled_from(METHODS)))
    elif kind == 8:
        return replace(request, version=draw(st.sampled_from(VERSIONS)))
    elif kind == 9:
        return replace(request, path=draw(st.sampled_from(PATHS)))
    elif kind == 10:
        cut = draw(st.integers(0, len(request.query)))
        more = draw(st.sampled_from(IN_QUERIES))
        return replace(request, query=request.query[:cut] + more + request.query[cut:])
    else:
        return draw(_reframed(request))
    return replace(request, lines=lines)


@st.composite
def _reframed(draw: st.DrawFn, request: HttpRequest) -> HttpRequest:
    """With its ends moved: of lines, of words, of the head, of the body."""
    kind = draw(st.integers(0, 5))
    if kind == 0:
        ends = st.sampled_from([b"\n", b"\r", b"\r\n\x00", b"\r\r\n", b" \r\n"])
        return replace(request, separators=(b" ", b" ", draw(ends)))
    if kind == 1:
        spaces = st.sampled_from([b" ", b"  ", b"\t", b"", b"\x00", b" \r\n"])
        return replace(request, separators=(draw(spaces), draw(spaces), b"\r\n"))
    if kind == 2:
        return replace(
            request, before=draw(st.sampled_from([b"\r\n", b"\n", b"\r\n\r\n\r\n", b" ", b"\x00", b"\x16\x03", b"x"]))
        )
    if kind == 3:
        return replace(
            request, after=draw(st.sampled_from([b"x", b"\r\n", b"GET", b"0\r\n\r\n", b"\x00", b"GET / HTTP/1.1\r\n"]))
        )
    if kind == 4:
        return replace(request, body=request.body + draw(st.sampled_from([b"x", b" ", b"\r\n"])))
    # As long as the longest head that takes the short path, or a few bytes more or less.
    size = draw(st.sampled_from([LONGEST_POLL_HEAD, LONGEST_POLL_HEAD, 64 * 1024])) + draw(st.integers(-3, 3))
    room = size - len(request.encode()) + len(request.body) - len(b"X-Fill: \r\n")
    return replace(request, lines=[*request.lines, b"X-Fill: " + b"a" * max(0, room)])


@st.composite
def mutants(draw: st.DrawFn) -> bytes:
    """One request, as it goes over the wire."""
    request = draw(requests)
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 1, 2, 3]))):
        request = draw(_mutated(request))
    return request.encode()


WITHIN = [b"--piece--"] * 3 + [b"--message--"]
BETWEEN = [b""] * 3 + [b"--piece--", b"--message--", b"--wait--", b"--other--", b"--message----wait--", b"--bytes--"]
ENDS = [b""] * 3 + [b"--message--", b"--end--", b"--message----end--", b"--end----message--"]


# One step beyond what takes the short path, where its rules are: each of these is told from the usual by one of them.

_USUAL = st.one_of(_page_polls, _page_polls, _usual_sends, _usual_calls)
ODD_AGENTS = [b"\x80", b"M\xe9", b"M\x00", b"M\r", b"\tM", b"M\x0b", b"\xa0M"]


def _with_line(request: HttpRequest, line: str) -> HttpRequest:
    return replace(request, lines=[*request.lines, line.encode("latin-1")])


def _with_agent(request: HttpRequest, agent: bytes) -> HttpRequest:
    others = [line for line in request.lines if not line.lower().startswith(b"user-agent:")]
    return replace(request, lines=[*others, b"User-Agent: " + agent])


def _of_type(request: HttpRequest, kind: str) -> HttpRequest:
    others = [line for line in request.lines if not line.lower().startswith(b"content-type:")]
    return replace(request, lines=[*others, f"Content-Type: {kind}".encode()])


_beyond = st.one_of(
    st.builds(_with_line, _USUAL, st.sampled_from(OFTEN)),
    st.builds(_with_line, _USUAL, st.just("Connection: close")),
    st.builds(_with_line, _page_polls, st.just("X-Channel-Emu-Fault: poll error error=503")),
    st.builds(_with_line, _usual_sends | _usual_calls, st.just("X-Channel-Emu-Fault: send drop")),
    st.builds(_with_agent, _page_polls, st.sampled_from(ODD_AGENTS)),
    st.builds(lambda request: replace(request, version=b"HTTP/1.0"), _USUAL),
    st.builds(lambda request, after: replace(request, after=after.encode()), _USUAL, _USUAL),
    st.builds(_of_type, _usual_sends, st.sampled_from(["text/plain", "application/octet-stream", ""])),
)
_edges = st.one_of(
    _beyond.map(lambda request: [request]),
    # What came before may be remembered.
    st.builds(lambda first, second: [first, second], _USUAL, _beyond),
    st.builds(lambda fault, request: [fault, request], _faults, _USUAL),
)


@st.composite
def scripts(draw: st.DrawFn) -> bytes:
    """Requests on two connections, cut into packets, with time and messages between them."""
    if draw(st.integers(0, 3)) == 0:
        return b"--piece--".join([each.encode() for each in draw(_edges)]) + draw(st.sampled_from(ENDS))
    several = draw(st.lists(mutants(), min_size=1, max_size=4))
    if draw(st.integers(0, 9)) == 0:
        several[-1] = several[-1][: draw(st.integers(0, len(several[-1])))]
    data = b""
    for number, each in enumerate(several):
        for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
            cut = draw(st.integers(0, len(each)))
            each = each[:cut] + draw(st.sampled_from(WITHIN)) + each[cut:]
        data += (draw(st.sampled_from(BETWEEN)) if number else b"") + each
    return draw(st.sampled_from([b""] * 9 + [b"--bytes--"])) + data + draw(st.sampled_from(ENDS))
