"""Where the Redis is, and how it is reached: a value that never shows its password."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

CONNECT_SECONDS = 2.0
"""For a connection, and for each answer while it begins."""

DEFAULT_PORT = 6379

_FORMS = "redis://HOST[:PORT][/DATABASE], rediss://HOST[:PORT][/DATABASE] or unix:///PATH[?db=DATABASE]"


class BadRedisTarget(ValueError):
    """A URL that names no Redis; the text says why, and what would."""


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """One Redis. `path` is that of its Unix socket; otherwise it is at `host` and `port`, with TLS if `tls` is set.

    `ca_file` names the certificates that its own is checked with, instead of the system's.
    """

    host: str = ""
    port: int = DEFAULT_PORT
    path: str | None = None
    database: int = 0
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None

    @classmethod
    def parse(cls, url: str, password: str | None = None, ca_file: str | None = None) -> RedisTarget:
        """The Redis at `url`. Raises `BadRedisTarget`, also for a URL with a password: process lists show it."""
        try:
            parts = urlsplit(url)
            port, secret = parts.port, parts.password
        except ValueError as error:
            # What cannot be read may hold a password, and is not shown.
            raise BadRedisTarget(f"This is not the URL of a Redis ({error}); use {_FORMS}.") from None
        if secret is not None:
            raise BadRedisTarget(
                "A password does not belong in the URL, which other users of this machine can read: use "
                "CHANNEL_EMU_REDIS_PASSWORD or --redis-password-file."
            )
        user = unquote(parts.username) if parts.username else None
        if parts.scheme == "unix":
            if parts.hostname or not parts.path:
                raise BadRedisTarget(f"unix: takes the path of a socket, with three slashes; use {_FORMS}.")
            database = _database(parse_qs(parts.query).get("db", ["0"])[-1])
            return cls(path=unquote(parts.path), database=database, user=user, password=password)
        if parts.scheme not in ("redis", "rediss") or not parts.hostname:
            raise BadRedisTarget(f"This is not the URL of a Redis; use {_FORMS}.")
        tls, database = parts.scheme == "rediss", _database(parts.path.strip("/") or "0")
        return cls(parts.hostname, port or DEFAULT_PORT, None, database, tls, user, password, ca_file)

    def __str__(self) -> str:
        """As a URL, without user and password."""
        if self.path is not None:
            return f"unix://{self.path}" + (f"?db={self.database}" if self.database else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"redis{'s' if self.tls else ''}://{host}:{self.port}" + (f"/{self.database}" if self.database else "")

    def connect(self) -> socket.socket:
        """A connection to it, blocking, with `CONNECT_SECONDS` for each step. Raises OSError (`ssl.SSLError` too)."""
        if self.path is not None:
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(CONNECT_SECONDS)
            try:
                sock.connect(self.path)
            except OSError:
                sock.close()
                raise
            return sock
        sock = socket.create_connection((self.host, self.port), CONNECT_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if not self.tls:
            return sock
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            return context.wrap_socket(sock, server_hostname=self.host)
        except (OSError, ValueError):
            sock.close()
            raise


def _database(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise BadRedisTarget(f"A database of a Redis has a number; use {_FORMS}.")
    return int(text)
