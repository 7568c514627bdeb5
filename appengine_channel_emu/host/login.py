"""Sign-in of Python 3 apps: `/_ah/login` and `/_ah/logout`, and who a visitor is (behaviour.md 5).

Anybody may sign in as anybody: it stands in for Google's sign-in on a developer's machine. What it keeps out is other
sites' pages, which can neither sign a visitor in nor forge the cookie nor use us to redirect elsewhere.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote_plus, urlsplit

from appengine_channel_emu.host.backend import AppAnswer
from appengine_channel_emu.host.pages import error_page, html_page
from appengine_channel_emu.private_files import open_plain, private_folder, set_aside, set_aside_unless_plain

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

LOGIN_PATH = "/_ah/login"
LOGOUT_PATH = "/_ah/logout"
COOKIE = "channel_emu_login"
LONGEST_FORM = 16 * 1024
KEY_BYTES = 32

log = logging.getLogger("channel_emu")

_BROWSERS = ("Mozilla/", "Opera/")
"""How every browser has begun its User-Agent, and hardly a program."""

_EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,189}")

_FORM = """<h1>Sign in</h1>
<p>{who}</p>
{problem}<form method="post" action="/_ah/login">
<p><label for="email">E-mail</label><br>
<input id="email" type="email" name="email" value="{email}" required autofocus autocomplete="email"></p>
<p><label><input type="checkbox" name="admin" value="true"{admin}> Sign in as administrator</label></p>
<input type="hidden" name="continue" value="{goal}">
<p><button name="action" value="login">{button}</button>{out}</p>
</form>
"""
_SIGN_OUT = '\n<button name="action" value="logout" formnovalidate>Sign out</button>'
_FOOTER = "The Channel API emulator's sign-in: any address will do, and no password is asked."


@dataclass(frozen=True)
class SignedInUser:
    """Somebody who is signed in."""

    email: str
    admin: bool = False

    @property
    def user_id(self) -> str:
        """21 digits, as Google's were, the same for an address whenever it signs in."""
        return "1" + f"{int(hashlib.sha256(self.email.lower().encode()).hexdigest(), 16) % 10**20:020d}"

    @property
    def nickname(self) -> str:
        return self.email.removesuffix("@gmail.com")


def user_environ(user: SignedInUser | None) -> dict[str, str]:
    """What the app reads of a visitor (facts.md 9.2); empty texts when nobody is signed in."""
    return {
        "AUTH_DOMAIN": "gmail.com",
        "USER_EMAIL": user.email if user else "",
        "USER_ID": user.user_id if user else "",
        "USER_IS_ADMIN": "1" if user and user.admin else "0",
        "USER_NICKNAME": user.nickname if user else "",
        "USER_ORGANIZATION": "",
    }


def login_key(folder: Path | None) -> bytes:
    """The key that signs cookies: kept in the state folder, so that visitors stay signed in over a restart.

    One of this run alone where there is no folder that is ours alone, or no key can be kept in it.
    """
    try:
        folder = private_folder(folder) if folder else None
    except OSError:
        # The store says so.
        folder = None
    if folder is not None:
        try:
            return _kept_key(folder / "login.key")
        except OSError as error:
            log.warning("Visitors have to sign in again after a restart: %s.", error)
    return secrets.token_bytes(KEY_BYTES)


def _kept_key(path: Path) -> bytes:
    """The key at `path`, made where there is none that only we can have written and read. Raises OSError."""
    aside = set_aside_unless_plain(path, secret=True)
    if aside is None and path.exists():
        key = _read(path)
        if len(key) == KEY_BYTES:
            return key
        aside = set_aside(path)
    if aside is not None:
        log.warning("The sign-in key cannot be used and is set aside as %s. Visitors have to sign in again.", aside)
    made = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(open_plain(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
    try:
        # All of it or nothing, and never in the place of one that another emulator has just made.
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(made)
    finally:
        made.unlink()
    return _read(path)


def _read(path: Path) -> bytes:
    with os.fdopen(open_plain(path, os.O_RDONLY), "rb") as file:
        return file.read(KEY_BYTES + 1)


def safe_goal(goal: str) -> str:
    """Where to go after signing in: a path of this server's, or "/" for anything else.

    Browsers take `//host` and `/\\host` for another host, and drop control characters before they look.
    """
    if re.fullmatch(r"/(?![/\\])[^\\\x00-\x20\x7f]*", goal) is None:
        return "/"
    return quote(goal, safe="/?&=#%:@!$'()*+,;~-._[]")


def login_url(goal: str) -> str:
    """Where a visitor signs in and is sent on to `goal`, a path."""
    return f"{LOGIN_PATH}?continue={quote(goal, safe='')}"


def way_to_the_form(environ: WSGIEnvironment) -> str | None:
    """Where somebody is sent whom another site's page would sign in or out at the SDK's own `/_ah/login`, by a GET.

    None for all other requests. At the form it takes a click of the user's, which our own page sends.
    """
    path, query = environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", "")
    if not path.startswith((LOGIN_PATH, LOGOUT_PATH)):
        return None
    # Python 2 has two separators.
    names = {unquote_plus(field.partition("=")[0]) for field in re.split("[&;]", query)}
    acts = path.startswith(LOGOUT_PATH) or "action" in names
    return None if not acts or is_own_page(environ) else login_url(safe_goal(_first(parse_qs(query), "continue")))


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


class SignIn:
    """The pages and the cookie, signed with `key`, unless it is shared."""

    def __init__(self, key: bytes) -> None:
        self._key: Callable[[], bytes] = lambda: key
        self._mark: str | None = None

    def share(self, service: str, key: Callable[[], bytes]) -> None:
        """Whoever is signed in at another emulator of `service` is so here: they have the same key."""
        self._key = key
        self._mark = hashlib.sha256(service.encode()).hexdigest()[:12]

    @staticmethod
    def serves(path: str) -> bool:
        """Whether `path` is one of ours."""
        return path in (LOGIN_PATH, LOGOUT_PATH)

    def user(self, environ: WSGIEnvironment) -> SignedInUser | None:
        """Who sends this request; None if nobody is signed in or the cookie is not ours."""
        try:
            morsel = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(self._cookie_name(environ))
        except CookieError:
            return None
        payload, _, signature = (morsel.value if morsel else "").partition(".")
        if not payload or not hmac.compare_digest(signature.encode(), self._signature(payload).encode()):
            return None
        email, admin = json.loads(base64.urlsafe_b64decode(payload))
        return SignedInUser(email, admin)

    def answer(self, environ: WSGIEnvironment) -> AppAnswer:
        """Answer a request for one of our paths."""
        method = environ["REQUEST_METHOD"]
        if method in ("GET", "HEAD"):
            return self._get(environ)
        if method != "POST":
            status, allow = 200 if method == "OPTIONS" else 405, [("Allow", "GET, HEAD, OPTIONS, POST")]
            return error_page(environ, status, "Sign in", "Signing in takes GET and POST.", headers=allow)
        if not is_own_page(environ):
            text = "A page of another site may not sign you in or out, and this request does not say that it is ours."
            return error_page(environ, 403, "Refused", text)
        return self._post(environ)

    def _get(self, environ: WSGIEnvironment) -> AppAnswer:
        fields = parse_qs(environ.get("QUERY_STRING", ""), errors="replace", max_num_fields=None)
        goal = safe_goal(_first(fields, "continue"))
        logout = environ["PATH_INFO"] == LOGOUT_PATH or _first(fields, "action").lower() == "logout"
        # A page of another site, or of another port, may lead here; signing out then takes a click. HEAD does nothing.
        if logout and environ["REQUEST_METHOD"] == "GET" and is_own_page(environ):
            return self._go(environ, goal, None)
        return self._form(environ, goal)

    def _post(self, environ: WSGIEnvironment) -> AppAnswer:
        length = environ.get("CONTENT_LENGTH") or "0"
        if not length.isdigit() or int(length) > LONGEST_FORM:
            return error_page(environ, 413, "Too large", "This form is larger than any of ours.")
        body = environ["wsgi.input"].read(int(length)).decode("utf-8", "replace")
        fields = parse_qs(body, errors="replace")
        goal = safe_goal(_first(fields, "continue"))
        if environ["PATH_INFO"] == LOGOUT_PATH or _first(fields, "action").lower() == "logout":
            return self._go(environ, goal, None)
        email = _first(fields, "email").strip()
        if not _EMAIL.fullmatch(email):
            return self._form(environ, goal, "Give an e-mail address such as test@example.com.")
        return self._go(environ, goal, SignedInUser(email, _first(fields, "admin").lower() == "true"))

    def _go(self, environ: WSGIEnvironment, goal: str, user: SignedInUser | None) -> AppAnswer:
        value = self._cookie_value(user) if user else ""
        cookie = f"{self._cookie_name(environ)}={value}; Path=/; HttpOnly; SameSite=Lax"
        headers = [
            ("Location", goal),
            ("Set-Cookie", cookie if user else f"{cookie}; Max-Age=0"),
            ("Cache-Control", "no-store"),
            ("Content-Length", "0"),
        ]
        return AppAnswer("302 Found", headers)

    def _form(self, environ: WSGIEnvironment, goal: str, problem: str = "") -> AppAnswer:
        user = self.user(environ)
        form = _FORM.format(
            who=escape(f"You are signed in as {user.email}." if user else "You are not signed in."),
            problem=f'<p class="bad" role="alert">{escape(problem)}</p>\n' if problem else "",
            email=escape(user.email if user else "test@example.com"),
            admin=" checked" if user and user.admin else "",
            goal=escape(goal),
            button="Sign in as this user" if user else "Sign in",
            out=_SIGN_OUT if user else "",
        )
        status, alone = 400 if problem else 200, [("X-Frame-Options", "DENY")]
        answer = html_page(status, "Sign in", form, _FOOTER, alone, forms=True)
        if environ["REQUEST_METHOD"] == "HEAD":
            answer.body = []
        return answer

    def _cookie_value(self, user: SignedInUser) -> str:
        payload = base64.urlsafe_b64encode(json.dumps([user.email, user.admin]).encode()).decode()
        return f"{payload}.{self._signature(payload)}"

    def _signature(self, payload: str) -> str:
        return hmac.new(self._key(), b"login\0" + payload.encode("utf-8", "replace"), hashlib.sha256).hexdigest()

    def _cookie_name(self, environ: WSGIEnvironment) -> str:
        """With the service, or with the port: browsers send a cookie to all ports of a host, and several emulators may
        run."""
        if self._mark is not None:
            return f"{COOKIE}_{self._mark}"
        port = environ.get("HTTP_HOST", "").rpartition("]")[2].rpartition(":")[2]
        return f"{COOKIE}_{port if port.isascii() and port.isdigit() else environ.get('SERVER_PORT', '80')}"


def _first(fields: dict[str, list[str]], name: str) -> str:
    return fields.get(name, [""])[0]
