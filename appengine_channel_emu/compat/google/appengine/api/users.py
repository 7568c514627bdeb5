"""Who the visitor is: as much of App Engine's users API as a signed-in visitor needs (behaviour.md 8).

The emulator's front checks the visitor's cookie; what it found is in the request's environment (facts.md 9.2). Valid
in Python 2.7 and 3, with the standard library alone.
"""

import os

try:
    from urllib.parse import quote, urljoin, urlsplit
except ImportError:  # Python 2.7
    from urllib import quote
    from urlparse import urljoin, urlsplit

LOGIN_PATH = "/_ah/login"
LOGOUT_PATH = "/_ah/logout"
LONGEST_URL = 2048


class Error(Exception):
    """Base of this module's errors."""


class UserNotFoundError(Error):
    """Nobody is signed in and no e-mail address was given."""


class RedirectTooLongError(Error):
    """The address to come back to is too long."""


class NotAllowedError(Error):
    """The call is not one that can be served."""


class User(object):
    """A person with a Google account: the one who is signed in, or the one with this e-mail address."""

    def __init__(self, email=None, _auth_domain=None, _user_id=None, federated_identity=None, federated_provider=None):
        if email is None:
            email = os.environ.get("USER_EMAIL") or None
            _user_id = _user_id or os.environ.get("USER_ID") or None
        if not email:
            raise UserNotFoundError()
        self.__email = email
        self.__auth_domain = _auth_domain or os.environ.get("AUTH_DOMAIN") or "gmail.com"
        self.__user_id = _user_id
        self.__federated = federated_identity, federated_provider

    def nickname(self):
        """The e-mail address, without its domain if that is the app's own."""
        name, at, domain = self.__email.rpartition("@")
        return name if at and domain == self.__auth_domain else self.__email

    def email(self):
        return self.__email

    def user_id(self):
        """Text that stays the same for the person; None for a User made from an e-mail address."""
        return self.__user_id

    def auth_domain(self):
        return self.__auth_domain

    def federated_identity(self):
        return self.__federated[0]

    def federated_provider(self):
        return self.__federated[1]

    def _identity(self):
        return (self.__email, self.__auth_domain)

    def __eq__(self, other):
        return self._identity() == other._identity() if isinstance(other, User) else NotImplemented

    def __ne__(self, other):
        return not self == other

    def __lt__(self, other):
        return self._identity() < other._identity() if isinstance(other, User) else NotImplemented

    def __hash__(self):
        return hash(self._identity())

    def __str__(self):
        return self.nickname()

    def __repr__(self):
        parts = ["email=%r" % self.__email]
        if self.__user_id:
            parts.append("_user_id=%r" % self.__user_id)
        return "users.User(%s)" % ",".join(parts)


def get_current_user():
    """The `User` who sent this request, or None."""
    try:
        return User()
    except UserNotFoundError:
        return None


def is_current_user_admin():
    """Whether the visitor signed in as an administrator."""
    return os.environ.get("USER_IS_ADMIN", "0") == "1"


def create_login_url(dest_url=None, _auth_domain=None, federated_identity=None):
    """Where a visitor signs in, and is sent on to `dest_url` (default: the page of this request)."""
    if federated_identity:
        raise NotAllowedError("OpenID is not served; App Engine ended it in 2015.")
    return _url(LOGIN_PATH, _this_page() if dest_url is None else dest_url)


def create_logout_url(dest_url, _auth_domain=None):
    """Where a visitor is signed out, and sent on to `dest_url`."""
    return _url(LOGOUT_PATH, dest_url)


def _url(path, dest_url):
    if len(dest_url) > LONGEST_URL:
        raise RedirectTooLongError("A URL to come back to has at most %d characters." % LONGEST_URL)
    return "%s?continue=%s" % (path, quote(_bytes(_path_of(dest_url)), safe=""))


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode("utf-8")


def _path_of(dest_url):
    """The emulator sends visitors on within its own origin alone, so an address of this app becomes a path."""
    here = urljoin(_origin() + _this_page(), dest_url)
    parts = urlsplit(here)
    if "%s://%s" % (parts.scheme, parts.netloc) != _origin():
        return dest_url
    query = "?" + parts.query if parts.query else ""
    fragment = "#" + parts.fragment if parts.fragment else ""
    return (parts.path or "/") + query + fragment


def _this_page():
    query = os.environ.get("QUERY_STRING")
    # WSGI has the path's bytes as Latin-1 text in Python 3, and as they are in 2.7.
    path = os.environ.get("PATH_INFO") or "/"
    return quote(path if bytes is str else path.encode("latin-1")) + ("?" + query if query else "")


def _origin():
    host = os.environ.get("HTTP_HOST")
    if not host:
        host = "%s:%s" % (os.environ.get("SERVER_NAME", "localhost"), os.environ.get("SERVER_PORT", "80"))
    return "%s://%s" % ("https" if os.environ.get("HTTPS") == "on" else "http", host)
