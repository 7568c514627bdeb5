"""Sign-in, from the visitor's side and from the side of another site's page."""

from __future__ import annotations

import os
import re
import stat
from urllib.parse import quote, urlencode

import pytest

from appengine_channel_emu.host.login import SignedInUser, SignIn, login_key, safe_goal, user_environ, way_to_the_form
from tests.host.conftest import ask as visit

OWN = "http://localhost:8080"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def sign_in():
    return SignIn(b"k" * 32)


def post(sign_in, path="/_ah/login", fields=None, **environ):
    body = urlencode({"email": "ann@example.com", **(fields or {})}).encode()
    return visit(sign_in.answer, path, "POST", body, FORM, **environ)


def cookie(got):
    """What the browser sends from then on."""
    [line] = got.header("Set-Cookie")
    return line.partition(";")[0]


def who(sign_in, cookie, **environ):
    return sign_in.user({"HTTP_COOKIE": cookie, "HTTP_HOST": "localhost:8080", **environ})


def test_signing_in_and_out(sign_in):
    got = post(sign_in, fields={"admin": "true", "continue": "/game?id=1"}, HTTP_ORIGIN=OWN)
    assert (got.status, got.header("Location")) == (302, ["/game?id=1"])
    assert re.search(r"; Path=/; HttpOnly; SameSite=Lax$", got.header("Set-Cookie")[0])
    assert who(sign_in, cookie(got)) == SignedInUser("ann@example.com", admin=True)
    page = visit(sign_in.answer, "/_ah/login", HTTP_COOKIE=cookie(got))
    assert "You are signed in as ann@example.com." in page.text
    for out in (
        visit(sign_in.answer, "/_ah/logout?continue=/bye"),
        visit(sign_in.answer, "/_ah/login?action=Logout&continue=/bye"),
    ):
        assert (out.status, out.header("Location")) == (302, ["/bye"])
        assert who(sign_in, cookie(out)) is None
        assert out.header("Set-Cookie")[0].endswith("Max-Age=0")


def test_without_the_tick_nobody_is_an_administrator(sign_in):
    assert who(sign_in, cookie(post(sign_in))) == SignedInUser("ann@example.com", admin=False)


@pytest.mark.parametrize(
    "email", ["", "ann", "@", "a@b\r\nSet-Cookie: x=y", "é@example.com", "a@" + "b" * 300, "<a>@b"]
)
def test_what_is_no_address_is_asked_for_again(sign_in, email):
    got = post(sign_in, fields={"email": email, "continue": "/next"})
    assert got.status == 400
    assert not got.header("Set-Cookie")
    assert "Give an e-mail address" in got.text
    assert 'value="/next"' in got.text


@pytest.mark.parametrize(
    "goal",
    [
        "//evil.example", "///evil.example", "/\\evil.example", "\\/evil.example", "http://evil.example/", "evil", "",
        "javascript:alert(1)", "/\t/evil.example", "/a\r\nSet-Cookie: a=b", "/a b", " //evil.example", "/\x00", "/a\\b",
    ],
)  # fmt: skip
def test_only_a_path_of_this_server_is_gone_to(sign_in, goal):
    assert safe_goal(goal) == "/"
    assert post(sign_in, fields={"continue": goal}).header("Location") == ["/"]
    assert visit(sign_in.answer, "/_ah/logout?continue=" + quote(goal)).header("Location") == ["/"]


@pytest.mark.parametrize("goal", ["/", "/a", "/a/b?c=d&e=f#g", "/a//b", "/%C3%A9", "/?continue=http://x.y/"])
def test_other_paths_stay_as_they_are(goal):
    assert safe_goal(goal) == goal


def test_a_goal_in_the_page_is_text(sign_in):
    page = visit(sign_in.answer, "/_ah/login?continue=" + quote('/"><script>alert(1)</script>')).text
    assert "<script" not in page


@pytest.mark.parametrize(
    "fields",
    [
        {"HTTP_ORIGIN": "http://evil.example"},
        {"HTTP_ORIGIN": "null"},
        {"HTTP_ORIGIN": "http://localhost:8081"},
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
        {"HTTP_SEC_FETCH_SITE": "same-site"},
        {"HTTP_REFERER": "http://evil.example/page"},
        # A form without a word of where it is.
        {"HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64)"},
    ],
)
def test_another_sites_page_can_sign_nobody_in_or_out(sign_in, fields):
    for path in ("/_ah/login", "/_ah/logout"):
        got = post(sign_in, path, **fields)
        assert got.status == 403
        assert not got.header("Set-Cookie")


BROWSER = {"HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux x86_64)"}
OTHER_PAGES = [
    {"HTTP_SEC_FETCH_SITE": "cross-site"},
    {"HTTP_SEC_FETCH_SITE": "same-site"},
    {"HTTP_ORIGIN": "null"},
    {"HTTP_REFERER": "http://evil.example/page"},
    {"HTTP_REFERER": "http://localhost:8081/"},
    {"HTTP_REFERER": "http://[x"},
    # A page can ask its browser not to name it, and an old browser says nothing else.
    BROWSER,
]
OWN_PAGES = [
    {"HTTP_SEC_FETCH_SITE": "same-origin"},
    {"HTTP_SEC_FETCH_SITE": "none"},
    {"HTTP_REFERER": f"{OWN}/game", **BROWSER},
    {"HTTP_REFERER": "http://localhost/game", "HTTP_HOST": "localhost:80", **BROWSER},
    {"HTTP_USER_AGENT": "curl/7.88.1"},
    {},
]


@pytest.mark.parametrize("fields", OTHER_PAGES)
@pytest.mark.parametrize("path", ["/_ah/logout?continue=/", "/_ah/login?action=logout", "/_ah/login?x&action=LOGOUT"])
def test_a_link_on_another_site_or_port_signs_nobody_out(path, fields, sign_in):
    got = visit(sign_in.answer, path, HTTP_COOKIE=cookie(post(sign_in)), **fields)
    assert got.status == 200
    assert not got.header("Set-Cookie")
    assert ">Sign out</button>" in got.text
    # Nobody is there to be signed out.
    assert "Sign out" not in visit(sign_in.answer, path, **fields).text


@pytest.mark.parametrize("fields", OWN_PAGES)
def test_an_apps_own_link_signs_out(fields, sign_in):
    for path in ("/_ah/logout?continue=/bye", "/_ah/login?continue=/bye&action=logout"):
        got = visit(sign_in.answer, path, **fields)
        assert (got.status, got.header("Location")) == (302, ["/bye"])
        assert got.header("Set-Cookie")[0].endswith("Max-Age=0")
    assert post(sign_in, **fields).header("Set-Cookie")


@pytest.mark.parametrize("path", ["/_ah/logout", "/_ah/login?action=logout"])
def test_head_signs_nobody_out(path, sign_in):
    got = visit(sign_in.answer, path, method="HEAD")
    assert (got.status, got.body, got.header("Set-Cookie")) == (200, b"", [])


ACTING = [
    "/_ah/logout",
    "/_ah/logout?continue=http://localhost:8080/",
    "/_ah/login?action=Logout",
    "/_ah/login?email=a%40b.c&admin=True&action=Login&continue=/x",
    "/_ah/login?email=a@b.c;%61ction=Login",
]


@pytest.mark.parametrize("path", ACTING)
def test_at_the_sdks_own_page_another_site_gets_no_further_than_the_form(path):
    def way(**fields):
        path_info, _, query = path.partition("?")
        return way_to_the_form({"PATH_INFO": path_info, "QUERY_STRING": query, "HTTP_HOST": "localhost:8080", **fields})

    for fields in OTHER_PAGES:
        assert way(**fields) == f"/_ah/login?continue=%2F{'x' if path.endswith('/x') else ''}"
    assert [way(**fields) for fields in OWN_PAGES] == [None] * len(OWN_PAGES)


def test_the_sdks_form_itself_is_for_everybody():
    for path in ("/_ah/login", "/", "/_ah/x"):
        environ = {"PATH_INFO": path, "QUERY_STRING": "continue=/x&reaction=1", "HTTP_SEC_FETCH_SITE": "cross-site"}
        assert way_to_the_form(environ) is None


def test_a_get_signs_nobody_in(sign_in):
    got = visit(sign_in.answer, "/_ah/login?email=ann@example.com&admin=true&action=Login")
    assert got.status == 200
    assert not got.header("Set-Cookie")


def test_the_page_cannot_be_framed(sign_in):
    got = visit(sign_in.answer, "/_ah/login")
    assert got.header("X-Frame-Options") == ["DENY"]
    (policy,) = got.header("Content-Security-Policy")
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert policy.endswith("; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")


def test_a_cookie_that_was_tampered_with_is_nobodys(sign_in):
    real = cookie(post(sign_in))
    name, _, value = real.partition("=")
    payload, _, signature = value.partition(".")
    admin = cookie(post(sign_in, fields={"admin": "true"})).partition("=")[2].partition(".")[0]
    for forged in (f"{admin}.{signature}", f"{payload}.", payload, ".", "", f"{payload}.é", f"x{value}", "\x00", '"'):
        assert who(sign_in, f"{name}={forged}") is None
    assert who(SignIn(b"another"), real) is None


def test_no_script_and_no_other_sites_form_gets_the_cookie(sign_in):
    (set_cookie,) = post(sign_in).header("Set-Cookie")
    assert {"HttpOnly", "SameSite=Lax"} <= {part.strip() for part in set_cookie.split(";")}
    assert "Domain" not in set_cookie


def test_emulators_on_other_ports_keep_their_own_visitors(sign_in):
    real = cookie(post(sign_in))
    assert "_8080=" in real
    assert who(sign_in, real, HTTP_HOST="localhost:8081") is None


@pytest.mark.parametrize("length", ["99999999", "-1", "x"])
def test_a_huge_form_is_not_read(sign_in, length):
    got = visit(sign_in.answer, "/_ah/login", "POST", CONTENT_LENGTH=length)
    assert got.status == 413


def test_other_methods(sign_in):
    assert visit(sign_in.answer, "/_ah/login", "DELETE").status == 405
    options = visit(sign_in.answer, "/_ah/login", "OPTIONS")
    assert (options.status, options.header("Allow")) == (200, ["GET, HEAD, OPTIONS, POST"])


def test_the_environ_of_a_visitor():
    environ = user_environ(SignedInUser("ann@gmail.com", admin=True))
    assert environ["USER_EMAIL"] == "ann@gmail.com"
    assert environ["USER_NICKNAME"] == "ann"
    assert re.fullmatch(r"1\d{20}", environ["USER_ID"])
    assert environ["USER_IS_ADMIN"] == "1"
    assert SignedInUser("Ann@Gmail.com").user_id == environ["USER_ID"]
    nobody = user_environ(None)
    assert (nobody["USER_EMAIL"], nobody["USER_ID"], nobody["USER_IS_ADMIN"]) == ("", "", "0")


def test_the_key_outlives_the_run_and_is_private(tmp_path):
    key = login_key(tmp_path / "state")
    assert login_key(tmp_path / "state") == key
    assert stat.S_IMODE((tmp_path / "state" / "login.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["login.key"]
    assert login_key(None) != login_key(None)


PLANTED = b"K" * 32


def planted(path):
    path.write_bytes(PLANTED)
    path.chmod(0o644)


THINGS = {
    "half a key": lambda path: path.write_bytes(b"half"),
    "nothing": lambda path: path.touch(),
    "more than a key": lambda path: path.write_bytes(b"K" * 33),
    "one that others could read": planted,
    "a pipe": os.mkfifo,
    "a folder": lambda path: path.mkdir(),
    "a link to a key": lambda path: (path.with_name("other").write_bytes(PLANTED), path.symlink_to("other")),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("thing", THINGS.values(), ids=THINGS)
def test_what_is_no_key_of_ours_is_set_aside_for_one(tmp_path, caplog, thing):
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    thing(folder / "login.key")
    key = login_key(folder)
    assert len(key) == 32
    assert key != PLANTED
    assert login_key(folder) == key
    assert len(list(folder.glob("login.key.unreadable-*"))) == 1
    assert len(caplog.records) == 1
    assert "sign in again" in caplog.text


@pytest.mark.parametrize("bits", [0o777, 0o1777, 0o770])
def test_a_key_in_a_folder_that_others_can_write_to_is_not_read(tmp_path, bits):
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "login.key").write_bytes(PLANTED)
    (folder / "login.key").chmod(0o600)
    folder.chmod(bits)
    key = login_key(folder)
    assert key != PLANTED
    # In one that our group alone can write to there is a private one, which keeps it.
    assert (login_key(folder) == key) == (bits == 0o770)


def test_a_key_that_cannot_be_kept_is_one_of_this_run(tmp_path, caplog, monkeypatch):
    def full(path, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.hardlink_to", full)
    folder = tmp_path / "state"
    assert login_key(folder) != login_key(folder)
    assert "No space left on device" in caplog.text
    assert list(folder.iterdir()) == []
