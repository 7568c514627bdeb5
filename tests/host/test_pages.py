"""Pages of ours where an app has no answer: what they show, and to whom."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from appengine_channel_emu.host.pages import ELSEWHERE, error_page
from appengine_channel_emu.host.tracebacks import Traceback
from appengine_channel_emu.host.visitors import SERVER_HINTS, ServerHints
from tests.host.conftest import ask, visit

BROWSER = {"HTTP_ACCEPT": "text/html,application/xhtml+xml,*/*;q=0.8"}

RAISES = """
    import json

    def read(text):
        return json.loads(text)

    def app(environ, start_response):
        read("{<b>")
"""


def page(*arguments, environ=(), **more):
    """An error page to a browser on this machine, or as `environ` says."""
    return ask(lambda seen: error_page(seen, *arguments, **more), **{**BROWSER, **dict(environ)})


def opened(html):
    """What is in sight of a page."""
    return re.sub(r"<details><summary>.*?</details>", "", html, flags=re.DOTALL)


class TestAnException:
    @pytest.fixture
    def backend(self, make_backend):
        return make_backend(RAISES)

    def test_the_apps_own_lines_are_in_sight_and_those_of_libraries_folded(self, backend):
        text = visit(backend, "/read?a=1&b=<", **BROWSER).text
        assert "JSONDecodeError: Expecting property name" in opened(text)
        assert "in read\n    return json.loads(text)" in opened(text)
        assert "json/decoder.py" in text
        assert "json/decoder.py" not in opened(text)
        assert "3 calls inside libraries" in text
        assert "host/runner/" not in text
        assert "GET /read?a=1&amp;b=&lt;" in text
        assert 'href="/_emu/#/requests"' in text

    def test_a_program_gets_it_as_text(self, backend):
        got = visit(backend)
        assert got.header("Content-Type") == ["text/plain; charset=utf-8"]
        assert got.text.startswith("The app raised an exception.\nThe app raised JSONDecodeError.\n\nTraceback (most")
        assert "    return json.loads(text)\n" in got.text

    @pytest.mark.parametrize(
        "environ",
        [
            {"REMOTE_ADDR": "192.168.1.7"},
            {"HTTP_X_FORWARDED_FOR": "192.168.1.7, 127.0.0.1"},
            {"HTTP_FORWARDED": "for=192.168.1.7"},
            {"HTTP_X_REAL_IP": "192.168.1.7"},
            {SERVER_HINTS: ServerHints(peer="192.168.1.9")},
        ],
        ids=["another machine", "a tunnel", "a tunnel by the standard", "nginx", "a trusted proxy elsewhere"],
    )
    @pytest.mark.parametrize("accept", [BROWSER, {}], ids=["html", "text"])
    def test_other_machines_are_told_where_to_look(self, backend, environ, accept):
        got = visit(backend, **accept, **environ)
        assert got.status == 500
        assert "The app raised JSONDecodeError." in got.text
        assert ELSEWHERE in got.text.replace("&#x27;", "'")
        for inside in ("json.loads", "main.py", "Expecting property", "/_emu/"):
            assert inside not in got.text

    def test_a_long_one_keeps_its_ends(self, make_backend):
        backend = make_backend(
            """
            def app(environ, start_response):
                raise ValueError("a" + "b" * 300_000 + "c\\udc80")
            """
        )
        got = visit(backend, **BROWSER)
        assert got.text.startswith("<!doctype html>")
        assert "main.py" in got.text
        assert "bc\\udc80" in got.text
        assert len(got.text) < 300_000


def test_an_import_that_fails_is_shown_like_an_exception(make_backend):
    got = visit(make_backend("import json\njson.loads('[')"), **BROWSER)
    assert "JSONDecodeError" in opened(got.text)
    assert "json.loads(&#x27;[&#x27;)" in opened(got.text)
    assert "json/decoder.py" not in opened(got.text)
    assert "json/decoder.py" in got.text


def test_a_request_that_was_cut_says_where_it_was_and_what_gives_it_longer(make_backend):
    backend = make_backend("import time\ndef app(environ, start_response):\n    time.sleep(60)  # here\n", 0.5)
    got = visit(backend, **BROWSER)
    assert got.cut
    assert "did not finish this request within 0.5 seconds" in got.text
    assert "time.sleep(60)  # here" in got.text
    assert '<pre class="copy" tabindex="0">--request-deadline 60</pre>' in got.text


def test_a_page_of_the_apps_for_that_is_left_alone(make_backend):
    backend = make_backend(
        "import time\ndef app(environ, start_response):\n    time.sleep(60)\n",
        0.5,
        timeout_page=(b"<p>too slow</p>", "text/html"),
    )
    assert visit(backend, **BROWSER).body == b"<p>too slow</p>"


def test_an_apps_own_error_page_is_left_alone(make_backend):
    backend = make_backend(
        """
        def app(environ, start_response):
            start_response("500 Internal Server Error", [("Content-Type", "text/html")])
            return [b"<h1>Sorry</h1>"]
        """
    )
    got = visit(backend, **BROWSER)
    assert (got.body, got.header("Content-Security-Policy")) == (b"<h1>Sorry</h1>", [])


def test_the_style_is_the_one_thing_that_a_page_may_use():
    got = page(404, "Not found", "There is nothing.")
    style = re.search("<style>(.*)</style>", got.text, re.DOTALL)[1]
    named = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert got.header("Content-Security-Policy") == [
        f"default-src 'none'; style-src 'sha256-{named}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ]
    assert "style=" not in got.text
    assert "<script" not in got.text
    assert got.header("X-Content-Type-Options") == ["nosniff"]
    assert got.header("Cache-Control") == ["no-store"]


def test_everything_in_it_is_text_and_no_secret_is_shown():
    evil = "<img src=x onerror=alert(1)>"
    sent = {"HTTP_USER_AGENT": evil, "REQUEST_URI": f"/{evil}", "HTTP_HOST": f'"{evil}', "CONTENT_TYPE": evil}
    secrets = {"HTTP_COOKIE": "session=secret", "HTTP_AUTHORIZATION": "Basic secret"}
    got = page(
        500, evil, evil, detail=Traceback(f"{evil}\nE: {evil}", "/app"), setting=evil, environ={**sent, **secrets}
    )
    assert "<img" not in got.text
    assert "secret" not in got.text
    for name in ("Cookie", "Authorization"):
        assert f"<dt>{name}</dt><dd><i>not shown</i></dd>" in got.text


def test_a_header_that_is_too_long_is_cut():
    assert len(page(404, "Not found", "x", environ={"HTTP_REFERER": "r" * 60_000}).text) < 10_000


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"HTTP_ACCEPT": "*/*"},
        {"HTTP_ACCEPT": "application/json"},
        # jQuery's: it puts what it gets into an alert, or into its page.
        {"HTTP_ACCEPT": "text/html, */*; q=0.01", "HTTP_X_REQUESTED_WITH": "XMLHttpRequest"},
        # Java's HttpURLConnection.
        {"HTTP_ACCEPT": "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"},
    ],
)
def test_scripts_and_programs_get_text(sent):
    got = ask(lambda environ: error_page(environ, 404, "Not found", "There is nothing.", setting="--x 1"), **sent)
    assert got.header("Content-Type") == ["text/plain; charset=utf-8"]
    assert got.body == b"Not found.\nThere is nothing.\n\nTo change this, start channel-emu with:\n    --x 1\n"


OWN = '  File "/app/main.py", line 3, in app\n    go()'
LIBRARY = '  File "/usr/lib/python3/json/decoder.py", line 9, in decode\n    raise E\n    ^^^^^^^'


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        (f"T:\n{OWN}\n{LIBRARY}\nE: x", ["words 0", "own 1", "library 1", "words 0"]),
        (f"T:\n{OWN}\n{OWN}\n  [Previous line repeated 9 more times]\nE", ["words 0", "own 2", "words 0"]),
        (f"T:\n{LIBRARY}\nE: x\n\nDuring\n\n{OWN}\nF", ["words 0", "library 1", "words 0", "own 1", "words 0"]),
        ('  File "/app/site-packages/x.py", line 1, in f', ["library 1"]),
        ('  File "<frozen importlib._bootstrap>", line 1, in f', ["library 1"]),
        ('  File "/app/main.py", line 1\n    def (\n        ^\nSyntaxError: invalid syntax', ["own 1", "words 0"]),
        (
            '  + Exception Group Traceback (most recent call last):\n  |   File "/app/a.py", line 1, in f\n'
            '  |     g()\n  | ExceptionGroup: x (1 sub-exception)\n  +-+---- 1 ----\n'
            '    |   File "/lib/a.py", line 1, in f\n    |     g()\n    | ValueError: y',
            ["words 0", "own 1", "words 0", "library 1", "words 0"],
        ),
        ("There is no module 'x'.", ["words 0"]),
        ("", []),
    ],
)  # fmt: skip
def test_a_traceback_in_parts(text, kinds):
    parts = Traceback(text, "/app").parts()
    assert [f"{part.kind} {part.frames}" for part in parts] == kinds
    assert "\n".join(part.text for part in parts) == text


@pytest.mark.parametrize(
    ("text", "raised"),
    [
        (f"Traceback (most recent call last):\n{OWN}\na.b.Error: what: it says", "a.b.Error: what: it says"),
        (f"Traceback (most recent call last):\n{OWN}\nKeyError", "KeyError"),
        (f"Traceback (most recent call last):\n{OWN}\nValueError: two\n  lines of it", "ValueError: two"),
        (f"Traceback (most recent call last):\n{OWN}\nValueError: two\nlines", "ValueError: two"),
        (f"Traceback (most recent call last):\nA\n\nTraceback (most recent call last):\n{OWN}\nB", "B"),
        ("There is no module 'x'.", ""),
    ],
)
def test_what_was_raised(text, raised):
    assert Traceback(text, "/app").raised == raised
