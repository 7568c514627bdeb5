"""A proxy in front, such as one that speaks TLS: whom to believe about the visitor (`--trusted-proxy`)."""

from __future__ import annotations

from typing import Any


def proxy_options(proxy: str | None) -> dict[str, Any]:
    """Waitress's settings. Without a trusted proxy in front, X-Forwarded headers are the app's affair."""
    if proxy is None:
        return {"clear_untrusted_proxy_headers": False}
    return {
        "trusted_proxy": proxy,
        "trusted_proxy_headers": {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"},
        "clear_untrusted_proxy_headers": True,
    }
