"""What Chrome sends with each request of a page, name by name: most of what a server has to read of it.

One place for all that measures; tests/bench/test_chrome.py holds it to the browser itself.
"""

from __future__ import annotations

import secrets
from base64 import b64encode

AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.%d Safari/537.36"
"""Each page is a browser of its own: what the server does for the many tabs of one would be measured otherwise."""

_NOT_CACHED = "Pragma: no-cache\r\nCache-Control: no-cache\r\n"
_BROWSER = """\
sec-ch-ua-platform: "Linux"\r
User-Agent: {agent}\r
sec-ch-ua: "Not:A-Brand";v="8", "Chromium";v="156"\r
sec-ch-ua-mobile: ?0\r
Accept: */*\r
"""
_LANGUAGES = "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\r\n"
_END = f"Sec-Fetch-Dest: empty\r\nReferer: http://localhost/\r\n{_LANGUAGES}"
_SAME_ORIGIN = "Sec-Fetch-Site: same-origin\r\n"
_BEGIN = "{method} {target} HTTP/1.1\r\nHost: localhost\r\n"

_OPEN = f"{_BEGIN}Connection: keep-alive\r\n{_BROWSER}{_SAME_ORIGIN}Sec-Fetch-Mode: cors\r\n{_END}"
_POLL = _OPEN.replace("Connection: keep-alive\r\n", f"Connection: keep-alive\r\n{_NOT_CACHED}")
_CLOSE = (
    f"{_BEGIN}Connection: keep-alive\r\nContent-Length: 0\r\n{_BROWSER}Origin: http://localhost\r\n{_SAME_ORIGIN}"
    f"Sec-Fetch-Mode: no-cors\r\n{_END}"
)
_STREAM = (
    f"{_BEGIN}Connection: Upgrade\r\n{_NOT_CACHED}User-Agent: {{agent}}\r\nUpgrade: websocket\r\n"
    f"Origin: http://localhost\r\nSec-WebSocket-Version: 13\r\n{_LANGUAGES[:-2]}Sec-WebSocket-Key: {{key}}\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)


def agent(number: int) -> str:
    """The User-Agent of the browser number `number`."""
    return AGENT % number


def open_request(token: str, agent: str) -> bytes:
    """The page opens its socket."""
    target = f"/_ah/channel/open?channel={token}&attempt=0.{secrets.randbelow(10**16):016}"
    return _OPEN.format(method="GET", target=target, agent=agent).encode()


def poll_request(socket_id: str, after: int, wait: float, agent: str) -> bytes:
    """It asks for what comes after message number `after`, and waits for it `wait` seconds at the most."""
    target = f"/_ah/channel/poll?socket={socket_id}&after={after}&wait={wait:g}&early=1&pauses=1"
    return _POLL.format(method="GET", target=target, agent=agent).encode()


def stream_request(socket_id: str, after: int, agent: str) -> bytes:
    """It waits over a WebSocket."""
    target = f"/_ah/channel/stream?socket={socket_id}&after={after}"
    key = b64encode(secrets.token_bytes(16)).decode()
    return _STREAM.format(method="GET", target=target, agent=agent, key=key).encode()


def close_request(socket_id: str, agent: str) -> bytes:
    """It is left."""
    return _CLOSE.format(method="POST", target=f"/_ah/channel/close?socket={socket_id}", agent=agent).encode()
