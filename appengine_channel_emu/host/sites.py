"""Whose page a request comes from, by what its browser says."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_BROWSERS = ("Mozilla/", "Opera/")
"""How every browser has begun its User-Agent, and hardly a program."""


def own_origin(environ: WSGIEnvironment) -> str:
    """The origin of a page of ours at the address that was asked; browsers leave a scheme's own port out."""
    scheme = environ.get("wsgi.url_scheme", "http")
    host = environ.get("HTTP_HOST", "").lower().removesuffix(":443" if scheme == "https" else ":80")
    return f"{scheme}://{host}"


def is_same_site(environ: WSGIEnvironment) -> bool:
    """Whether a request comes from no page at all, or from one of ours, as far as it says."""
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and origin.lower() != own_origin(environ):
        return False
    return environ.get("HTTP_SEC_FETCH_SITE", "none") in ("same-origin", "none")


def is_own_page(environ: WSGIEnvironment) -> bool:
    """Whether one of our pages sends it, or its user, or a program: a browser that says nothing is not believed.

    Browsers before about 2020 send neither header with a link, nor do today's to an address that is not `localhost` and
    has no TLS. They name the page, unless that page has asked them not to.
    """
    if not is_same_site(environ):
        return False
    if "HTTP_ORIGIN" in environ or "HTTP_SEC_FETCH_SITE" in environ:
        return True
    if "HTTP_REFERER" in environ:
        try:
            page = urlsplit(environ["HTTP_REFERER"])
        except ValueError:
            return False
        return f"{page.scheme}://{page.netloc}".lower() == own_origin(environ)
    return not environ.get("HTTP_USER_AGENT", "").startswith(_BROWSERS)
