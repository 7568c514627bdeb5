"""Pages of ours, which a visitor gets where the app has no answer to give: all of them look as this file says.

They load nothing and run nothing. What is about the app's inside (tracebacks, files) is for visitors on this machine.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from html import escape
from http import HTTPStatus
from importlib import resources
from typing import TYPE_CHECKING, Literal

from appengine_channel_emu.host.backend import AppAnswer
from appengine_channel_emu.host.tracebacks import Traceback, TracebackPart
from appengine_channel_emu.host.visitors import is_loopback, is_on_this_machine, wants_html

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

View = Literal["messages", "requests"]
"""One of the console's."""

_LINKS: dict[View, str] = {
    "messages": '<a href="/_emu/#/messages">Messages and events, in the console</a>',
    "requests": '<a href="/_emu/#/requests">All requests, in the console</a>',
}

ELSEWHERE = (
    "The details are in the emulator's log. This page shows them, too, to a browser on the machine that the emulator "
    "runs on."
)

_STYLE = (resources.files("appengine_channel_emu") / "host" / "pages.css").read_text("utf-8")
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action {forms}; frame-ancestors 'none'"
)

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>{style}</style></head>
<body><main>
{content}</main>
<footer>{footer}</footer></body></html>
"""

_SHOWN = (
    "HOST", "X_FORWARDED_FOR", "X_FORWARDED_HOST", "X_FORWARDED_PROTO", "USER_AGENT", "REFERER", "ORIGIN", "COOKIE",
    "AUTHORIZATION",
)  # fmt: skip
"""Those of the request's headers that may tell why it went wrong."""
_SECRET = frozenset({"COOKIE", "AUTHORIZATION"})
"""They are said to be there, and no more."""

_PROXIES_SAY = ("HTTP_X_FORWARDED_FOR", "HTTP_X_REAL_IP")
"""Who asks, by what proxies and tunnels are usually made to send; nginx by a line that is often the only one."""

_LONGEST_VALUE = 300
_LONGEST_TARGET = 2000


def error_page(
    environ: WSGIEnvironment,
    status: int,
    title: str,
    text: str,
    *,
    detail: str | Traceback | None = None,
    setting: str = "",
    view: View | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> AppAnswer:
    """A page for whoever asks for HTML, and the same as plain text for others; everything given is shown as text.

    text:    what happened, and what to do about it.
    detail:  what is about the app's inside.
    setting: what to start channel-emu with, such as "--threads 32", to change this.
    view:    of the console, where there is more about it.
    """
    here = _is_developer(environ)
    if not wants_html(environ):
        return _plain(status, _as_text(title, text, detail, setting, here), headers)
    content = [
        f'<p class="status">{status} {escape(HTTPStatus(status).phrase)}</p>\n<h1>{escape(title)}</h1>\n',
        f"<p>{escape(text)}</p>\n",
        *_setting_lines(setting),
        *(_detail_lines(detail, here) if detail is not None else ()),
        *_request_lines(environ),
    ]
    if view is not None and here:
        content.append(f"<p>{_LINKS[view]}</p>\n")
    footer = "Answered by the Channel API emulator, instead of the app."
    return html_page(status, f"{status} {title}", "".join(content), footer, headers)


def html_page(
    status: int, title: str, content: str, footer: str, headers: Iterable[tuple[str, str]] = (), *, forms: bool = False
) -> AppAnswer:
    """A page that stands in no frame. `content` is HTML; `title` and `footer` are text. `forms`: whether it has any."""
    page = _PAGE.format(title=escape(title), style=_STYLE, content=content, footer=escape(footer))
    policy = _POLICY.format(forms="'self'" if forms else "'none'")
    return _answer(status, "text/html", page, [("Content-Security-Policy", policy), *headers])


def cut_page(
    environ: WSGIEnvironment,
    seconds: float,
    page: tuple[bytes, str] | None = None,
    cpu_seconds: float | None = None,
    where: Traceback | None = None,
    setting: str = "",
) -> AppAnswer:
    """The answer to a request that overran its deadline (behaviour.md 6): `page`, its body and MIME type, or ours.

    where: what the handler was at.
    """
    if page is None:
        answer = error_page(
            environ,
            500,
            "The request took too long",
            f"The app did not finish this request within {seconds:g} seconds, so it was ended, as App Engine does. "
            "A page that waits for news should use a channel instead of a long request.",
            detail=where,
            setting=setting,
            view="requests",
        )
    else:
        body, mime_type = page
        fields = [("Content-Type", mime_type), ("Content-Length", str(len(body))), ("Cache-Control", "no-cache")]
        answer = AppAnswer("500 Internal Server Error", fields, [body])
    answer.cpu_seconds, answer.cut = cpu_seconds, True
    return answer


def _is_developer(environ: WSGIEnvironment) -> bool:
    """Whether the visitor is on this machine, and not behind a tunnel or proxy that ends here, as far as that says."""
    named = [name.strip() for key in _PROXIES_SAY for name in environ.get(key, "").split(",")]
    forwarded = "HTTP_FORWARDED" in environ or not all(is_loopback(name) for name in named if name)
    return is_on_this_machine(environ) and not forwarded


def _plain(status: int, text: str, headers: Iterable[tuple[str, str]]) -> AppAnswer:
    return _answer(status, "text/plain", text, headers)


def _answer(status: int, kind: str, text: str, headers: Iterable[tuple[str, str]]) -> AppAnswer:
    body = text.encode("utf-8", "replace")
    return AppAnswer(
        f"{status} {HTTPStatus(status).phrase}",
        [
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *headers,
        ],
        [body],
    )


def _as_text(title: str, text: str, detail: str | Traceback | None, setting: str, here: bool) -> str:
    parts = [f"{title}.\n{text}"]
    if setting.startswith("--"):
        parts.append(f"To change this, start channel-emu with:\n    {setting}")
    if detail is not None:
        inside = detail.text if isinstance(detail, Traceback) else detail
        parts.append(inside.rstrip("\n") if here else ELSEWHERE)
    return "\n\n".join(parts) + "\n"


def _setting_lines(setting: str) -> Iterator[str]:
    if setting.startswith("--"):
        yield "<p>To change this, start channel-emu with</p>\n"
    if setting:
        yield f'<pre class="copy" tabindex="0">{escape(setting)}</pre>\n'


def _detail_lines(detail: str | Traceback, here: bool) -> Iterator[str]:
    if not here:
        yield f"<p>{escape(ELSEWHERE)}</p>\n"
    elif isinstance(detail, str):
        yield f'<pre tabindex="0">{escape(detail)}</pre>\n'
    else:
        yield from _traceback_lines(detail)


def _traceback_lines(traceback: Traceback) -> Iterator[str]:
    """The app's own frames in sight, those of libraries folded; with the exception before all."""
    if traceback.raised:
        yield f'<p class="raised">{escape(traceback.raised)}</p>\n'
    yield '<h2>Traceback</h2>\n<div class="traceback">\n'
    parts = traceback.parts()
    has_own = any(part.kind == "own" for part in parts)
    for part in parts:
        lines = f'<pre class="{part.kind}" tabindex="0">{escape(part.text)}</pre>'
        if part.kind == "library":
            opened = "" if has_own else " open"
            yield f"<details{opened}><summary>{_counted(part)}</summary>{lines}</details>\n"
        else:
            yield f"{lines}\n"
    yield "</div>\n"


def _counted(part: TracebackPart) -> str:
    return f"{part.frames} {'call' if part.frames == 1 else 'calls'} inside libraries"


def _request_lines(environ: WSGIEnvironment) -> Iterator[str]:
    """What was asked, as far as it is no secret."""
    target = environ.get("REQUEST_URI") or environ.get("PATH_INFO", "")
    asked = f"{environ.get('REQUEST_METHOD', '')} {target}"
    yield f'<h2>Request</h2>\n<p class="target">{_shown(asked, _LONGEST_TARGET)}</p>\n<dl>\n'
    for name, value in _headers(environ):
        yield f"<dt>{name}</dt><dd>{value}</dd>\n"
    yield "</dl>\n"


def _headers(environ: WSGIEnvironment) -> Iterator[tuple[str, str]]:
    keys = [*((name, f"HTTP_{name}") for name in _SHOWN), *((key, key) for key in ("CONTENT_TYPE", "CONTENT_LENGTH"))]
    for name, key in keys:
        if environ.get(key):
            value = "<i>not shown</i>" if name in _SECRET else _shown(str(environ[key]), _LONGEST_VALUE)
            yield name.replace("_", "-").title(), value


def _shown(text: str, longest: int) -> str:
    """What came in a request, in HTML: as UTF-8 where it is that, and as long as can be read."""
    text = text.encode("latin-1", "replace").decode("utf-8", "replace")
    return escape(text if len(text) <= longest else f"{text[:longest]}…")
