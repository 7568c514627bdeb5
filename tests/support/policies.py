"""Content-Security-Policies, and what Chromium lets a page do under them; the origin is `http://localhost:PORT`."""

from __future__ import annotations

from typing import NamedTuple


class PolicyCase(NamedTuple):
    """`headers` of a page, in which `{origin}`, `{host}` and `{port}` stand for the emulator's.

    script: whether a plain script tag for the browser client runs. connected: whether that can ask the emulator, by
    itself or from the hidden iframe.
    """

    headers: tuple[str, ...]
    script: bool = True
    connected: bool = True


ALLOWED = (
    PolicyCase(("img-src 'none'",)),
    PolicyCase(("default-src 'self'",)),
    PolicyCase(("DEFAULT-SRC 'SELF'; object-src 'none'",)),
    PolicyCase(("default-src *",)),
    PolicyCase(("default-src http:",)),
    PolicyCase(("default-src {host}:{port}",)),
    PolicyCase(("default-src {origin}",)),
    PolicyCase(("default-src {origin}/_ah/channel/",)),
    PolicyCase(("script-src {origin}/_ah/channel/jsapi",)),
    PolicyCase(("script-src *:*",)),
    PolicyCase(("script-src {host}:*; connect-src 'self'",)),
    PolicyCase(("script-src 'self'; default-src 'none'; connect-src 'self'",)),
    PolicyCase(("script-src 'self'; default-src 'none'; frame-src 'self'",)),  # By the hidden iframe.
    PolicyCase(("script-src 'self'; connect-src 'none'; child-src 'self'; default-src 'none'",)),
    PolicyCase(("script-src 'self' 'nonce-abc'; connect-src 'self'",)),
    PolicyCase(("script-src-elem 'self'; script-src 'none'",)),
    PolicyCase(("script-src 'self'; script-src 'none'",)),  # The first of a name counts.
    PolicyCase(("sandbox allow-scripts; script-src 'self'",)),
    PolicyCase(("default-src 'self'", "script-src {origin}, connect-src *")),
)

BLOCKED = (
    PolicyCase(("default-src 'none'",), script=False, connected=False),
    PolicyCase(("script-src 'none'; connect-src 'self'",), script=False),
    PolicyCase(("script-src 'unsafe-inline' 'unsafe-eval'",), script=False),
    PolicyCase(("script-src https:",), script=False),
    PolicyCase(("script-src {host}",), script=False),  # Port 80.
    PolicyCase(("script-src elsewhere.test:{port}",), script=False),
    PolicyCase(("script-src {origin}/static/",), script=False),
    PolicyCase(("script-src",), script=False),
    PolicyCase(("script-src-elem 'none'; script-src 'self'",), script=False),
    PolicyCase(("default-src 'self'", "script-src 'none'"), script=False),
    PolicyCase(("default-src 'self', script-src 'none'",), script=False),
    PolicyCase(("script-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='",), script=False),
    PolicyCase(("sandbox; script-src 'self'",), script=False),
    PolicyCase(("script-src 'self'; default-src 'none'",), connected=False),
    PolicyCase(("connect-src 'none'; frame-src 'none'",), connected=False),
    PolicyCase(("connect-src https:; child-src {host}",), connected=False),
    PolicyCase(("connect-src 'none'", "frame-src 'none'"), connected=False),
)

UNSURE = (
    PolicyCase(("script-src 'nonce-abc'",), script=False),
    PolicyCase(("script-src 'nonce-abc' 'strict-dynamic' 'self'",), script=False),
    PolicyCase(("script-src 'self' 'strict-dynamic'",), script=False),
)
"""The page's own script tag may have the nonce; or another script may load ours."""
