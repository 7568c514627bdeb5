"""Requests that know the paths, the parameters and the formats, and fill them with what nobody should send."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

from hypothesis import strategies as st

from appengine_channel_emu.web.api.messages import CreateChannelRequest, Request, SendMessageRequest
from tests.fuzz.target import NEXT_PIECE, NEXT_REQUEST

PATHS = [
    *(f"/_ah/channel/{name}" for name in ("dev", "open", "poll", "close", "receive", "jsapi", "frame", "xpc_blank")),
    *("/_ah/channel/connected/", "/_ah/channel/disconnected", "/_ah/login", "/_ah/logout", "/_ah/remote_api"),
    *("/_emu/", "/_emu/channels", "/_emu/channel", "/_emu/sockets", "/_emu/near-misses", "/_emu/events"),
    *("/_emu/messages", "/_emu/messages/wait", "/_emu/clock", "/_emu/faults", "/_emu/reset", "/_emu/settings"),
    *("/_emu/accounts", "/_emu/notes", "/_emu/openapi.json", "/_emu/health", "/_emu/health/live", "/rpc_http", "/"),
]
PARAMETERS = [
    *("channel", "socket", "after", "wait", "early", "attempt", "command", "client", "client_id", "kind", "count"),
    *("number", "rtok", "continue", "action", "transport", "email", "admin", "key", "msg", "from", "pauses"),
]
FIELDS = [
    *("client_id", "client_ids", "token", "message", "message_base64", "duration_minutes", "advance", "frozen"),
    *("fault", "stage", "action", "seconds", "error", "probability", "count", "number", "seed", "socket"),
]
WORDS = [
    *("TOKEN", "SOCKET", "fuzz", "connect", "poll", "disconnect", "close", "expire", "0", "1", "-1", "1e400", "nan"),
    *("9" * 17, "0x10", "\u0661", "true", "", "a" * 300, "\r\nX: y", "\x00", "\u2028", "\ud83d\ude00", "//evil"),
    *("/\\evil", "%", "+", "&", ";", "<script>", "../../etc/passwd", "poll cut count=1", "create error", "aGk="),
]

texts = st.sampled_from(WORDS) | st.text(max_size=40)
small_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.sampled_from([-1, 0, 1, 24 * 60, 1441, 2**63]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
queries = st.lists(st.tuples(st.sampled_from(PARAMETERS) | texts, texts), max_size=5).map(
    lambda pairs: urlencode(pairs, errors="replace")
) | texts.map(lambda text: quote(text, safe="%&=+;", errors="replace"))
paths = st.sampled_from(PATHS) | st.builds(
    lambda path, text, at: path[:at] + quote(text, safe="/%.;", errors="replace") + path[at:],
    st.sampled_from(PATHS),
    texts,
    st.integers(1, 20),
)
header_values = texts.map(lambda text: "".join(c for c in text if " " <= c <= "~"))
headers = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("Origin", "Sec-Fetch-Site", "Cookie", "If-None-Match", "Accept-Encoding", "Accept", "User-Agent"),
                *("X-AppEngine-User-IP", "X-Channel-Emu-Fault", "X-Forwarded-For", "Range", "Expect", "Upgrade"),
                *("X-appcfg-api-version", "Connection", "Referer", "Date", "Content-Encoding", "Forwarded"),
            ]
        ),
        st.sampled_from(["http://localhost", "cross-site", "same-origin", "gzip", "channel_emu_login_80=a.b", "1"])
        | header_values,
    ),
    max_size=4,
)

json_bodies = st.dictionaries(st.sampled_from(FIELDS) | texts, small_json, max_size=5).map(json.dumps) | small_json.map(
    json.dumps
)
form_bodies = st.lists(st.tuples(st.sampled_from(PARAMETERS), texts), max_size=4).map(
    lambda pairs: urlencode(pairs, errors="replace")
)
multipart_bodies = st.lists(st.tuples(header_values, texts), max_size=3).map(
    lambda parts: (
        "".join(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in parts)
        + "--b--\r\n"
    )
)
names = st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace")) | st.sampled_from([b"fuzz", b"TOKEN"])
creates = st.builds(
    lambda key, minutes: CreateChannelRequest(application_key=key, duration_minutes=minutes).SerializeToString(),
    names | st.binary(max_size=300),
    st.integers(-(2**31), 2**31 - 1),
)
sends = st.builds(
    lambda key, message: SendMessageRequest(application_key=key, message=message).SerializeToString(),
    names | st.binary(max_size=300),
    names | st.binary(max_size=50),
)
calls = st.builds(
    lambda service, method, request: Request(service_name=service, method=method, request=request).SerializeToString(),
    st.sampled_from([b"channel", b"xmpp", b"logservice"]) | st.binary(max_size=20),
    st.sampled_from([b"CreateChannel", b"SendChannelMessage", b"Flush"]) | st.binary(max_size=20),
    creates | sends | st.binary(max_size=60),
)


def send_call(client_id: bytes, message: bytes) -> bytes:
    """As the app library sends a message."""
    request = SendMessageRequest(application_key=client_id, message=message).SerializeToString()
    return Request(service_name=b"channel", method=b"SendChannelMessage", request=request).SerializeToString()


broken_calls = st.builds(
    lambda call, at, more: call[:at] + more + call[at:], calls, st.integers(0, 80), st.binary(max_size=9)
)
bodies = st.one_of(
    st.tuples(st.just("application/json"), json_bodies.map(lambda text: text.encode())),
    st.tuples(st.just("application/x-www-form-urlencoded"), form_bodies.map(str.encode)),
    st.tuples(
        st.just("multipart/form-data; boundary=b"), multipart_bodies.map(lambda text: text.encode("utf-8", "replace"))
    ),
    st.tuples(st.just("application/octet-stream"), calls | broken_calls),
    st.tuples(header_values, st.binary(max_size=100)),
)
methods = st.sampled_from(["GET", "POST"] * 4 + ["HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "PROPFIND"])


def _request(
    method: str, path: str, query: str, more: list[tuple[str, str]], body: tuple[str, bytes]
) -> tuple[bytes, list[bytes], bytes]:
    """The request line's method and target, the headers, and the body."""
    target = f"{path}?{query}" if query else path
    lines = [f"{name}: {value}".encode() for name, value in more]
    if method == "GET":
        return f"{method} {target}".encode(), lines, b""
    return f"{method} {target}".encode(), [*lines, f"Content-Type: {body[0]}".encode()], body[1]


requests = st.builds(_request, methods, paths, queries, headers, bodies)


def _for_front(several: list[tuple[bytes, list[bytes], bytes]]) -> bytes:
    return NEXT_REQUEST.join(b"\n".join([first, *lines, b"", body]) for first, lines, body in several)


@st.composite
def _for_wire(draw: st.DrawFn) -> bytes:
    data = b""
    for first, lines, body in draw(st.lists(requests, min_size=1, max_size=4)):
        version = draw(st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b""]))
        host = draw(
            st.sampled_from([b"Host: localhost"] * 6 + [b"Host: evil", b"Host: c1.localhost", b"Host:", b"A: b"])
        )
        framing = draw(st.sampled_from(["length"] * 6 + ["chunks", "both", "none", "wrong"]))
        length = len(body) + (draw(st.integers(-3, 3)) if framing == "wrong" else 0)
        if framing in ("length", "both", "wrong"):
            lines = [*lines, b"Content-Length: %d" % length]
        if framing in ("chunks", "both"):
            lines = [*lines, b"Transfer-Encoding: chunked"]
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n"
        data += b"\r\n".join([first + b" " + version, host, *lines, b"", body])
    for at in draw(st.lists(st.integers(0, len(data)), max_size=3)):
        data = data[:at] + NEXT_PIECE + data[at:]
    return data


for_front = st.lists(requests, min_size=1, max_size=4).map(_for_front)
for_wire = _for_wire()
