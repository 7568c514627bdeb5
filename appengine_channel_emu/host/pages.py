"""The pages a visitor gets when the app has no answer to give."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from http import HTTPStatus

from appengine_channel_emu.host.backend import AppAnswer

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{status} {title}</title>
<style>body {{ font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em }}
pre {{ background: #f3f3f3; padding: 1em; overflow: auto; font-size: 14px }}</style></head>
<body><h1>{title}</h1>
<p>{text}</p>
{detail}<p><small>Answered by the Channel API emulator, instead of the app.</small></p>
</body></html>
"""


def error_page(
    status: int,
    title: str,
    text: str,
    *,
    detail: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> AppAnswer:
    """A page of ours; everything given is shown as plain text.

    text:   what happened, and what to do about it.
    detail: preformatted, for instance a traceback.
    """
    page = _PAGE.format(
        status=status,
        title=escape(title),
        text=escape(text),
        detail=f"<pre>{escape(detail)}</pre>\n" if detail else "",
    ).encode("utf-8", "replace")
    return AppAnswer(
        f"{status} {HTTPStatus(status).phrase}",
        [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Length", str(len(page))),
            ("Cache-Control", "no-store"),
            ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
            ("X-Content-Type-Options", "nosniff"),
            *headers,
        ],
        [page],
    )
