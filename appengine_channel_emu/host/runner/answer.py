"""What the app answers, checked against the protocol (PEP 3333)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from .callables import ASGI_HELP, is_awaitable


class AppFailed(Exception):
    """The request gets a page of the front's instead of the app's answer.

    kind: "raised", "deadline", "import", "protocol" or "too_large".
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Answer:
    """What the app makes of `start_response`, `write` and its iterable. `complete`: nothing more will come."""

    def __init__(self, max_bytes: int) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.complete = False
        self._body: list[bytes] = []
        self._length = 0
        self._max_bytes = max_bytes

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        """Given to the app."""
        if self.status and not exc_info:
            raise AppFailed("protocol", "start_response was called a second time, without exc_info.")
        if not isinstance(status, str) or not re.fullmatch(r"[2-9]\d\d( [\x20-\x7e\xa0-\xff]*)?", status):
            raise AppFailed("protocol", f'{status!r} is not a status such as "200 OK".')
        self.headers = [_checked_header(item) for item in headers]
        self.status = status
        return self.write

    def write(self, block: bytes) -> None:
        """Given to the app."""
        if not isinstance(block, bytes):
            raise AppFailed("protocol", f"The body must be bytes, not {type(block).__name__}.")
        self._length += len(block)
        if self._length > self._max_bytes:
            raise AppFailed("too_large", f"The answer is larger than {self._max_bytes // 2**20} MiB.")
        self._body.append(block)

    def collect(self, parts: Iterable[bytes]) -> None:
        """Takes what the app returned, to its end."""
        try:
            if is_awaitable(parts):
                raise AppFailed("protocol", f"The app is an ASGI application. {ASGI_HELP}")
            if callable(parts) and not hasattr(parts, "__iter__"):
                raise AppFailed("protocol", "The app returned a callable: it may be a factory; name a call of it.")
            for block in parts:
                self.write(block)
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()
        if not self.status:
            raise AppFailed("protocol", "The app returned without having called start_response.")
        self.complete = True

    def body(self) -> bytes:
        """All of it."""
        return b"".join(self._body)


def _checked_header(item: Any) -> tuple[str, str]:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise AppFailed("protocol", f"{item!r} is not a header: a pair of name and value.")
    name, value = item
    if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise AppFailed("protocol", f"{name!r} is not a header name.")
    if not isinstance(value, str) or not re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", value):
        raise AppFailed("protocol", f"The value of the header {name} is not a string of Latin-1 on one line.")
    return name, value
