"""What a page's Content-Security-Policy does to the browser client is noted, with what to add."""

from __future__ import annotations

import pytest
from webtest import TestApp

from appengine_channel_emu.testing import Emulator
from appengine_channel_emu.web.page_policy import MOST_PATHS, PageOrigin, find_obstacle
from tests.support.policies import ALLOWED, BLOCKED, UNSURE

ORIGIN = PageOrigin("http", "localhost", "8080")
POLICY = "Content-Security-Policy"
PAGE = {"Accept": "text/html,*/*"}
BLOCKS = (POLICY, "script-src 'none'")


def obstacle(headers, origin=ORIGIN):
    words = {"origin": str(origin), "host": origin.host, "port": origin.port}
    return find_obstacle([header.format(**words) for header in headers], origin)


@pytest.mark.parametrize("case", ALLOWED, ids=lambda case: str(case.headers))
def test_a_policy_that_lets_the_browser_client_work(case):
    assert obstacle(case.headers) is None


@pytest.mark.parametrize("case", [*BLOCKED, *UNSURE], ids=lambda case: str(case.headers))
def test_a_policy_that_does_not(case):
    found = obstacle(case.headers)
    assert found.blocks == ("connections" if case.script else "script")
    assert found.sure is (case not in UNSURE)


@pytest.mark.parametrize(
    ("headers", "why", "advice"),
    [
        (["script-src 'none'"], "script-src allows no script of http://localhost:8080", "Add 'self' to script-src."),
        (["default-src 'none'"], "default-src allows no script of http://localhost:8080", "Add: script-src 'self'."),
        (["sandbox"], "it lets no script run (sandbox)", "Add allow-scripts to sandbox."),
        (
            ["script-src 'nonce-abc'"],
            "script-src asks for a nonce, which the page's script tag may lack",
            "Give the script tag of /_ah/channel/jsapi the policy's nonce. Or add 'self' to script-src.",
        ),
        (
            ["script-src 'nonce-abc' 'strict-dynamic'"],
            "script-src asks for a nonce, which the page's script tag may lack",
            "Give the script tag of /_ah/channel/jsapi the policy's nonce.",
        ),
        (
            ["connect-src 'none'; frame-src 'none'"],
            "connect-src allows no connection to http://localhost:8080, nor is a frame of it allowed",
            "Add 'self' to connect-src.",
        ),
    ],
)
def test_it_says_why_and_what_to_add(headers, why, advice):
    found = obstacle(headers)
    assert (found.why, found.advice) == (why, advice)


@pytest.mark.parametrize(
    ("origin", "source", "allowed"),
    [
        (PageOrigin("http", "localhost", "80"), "localhost", True),
        (PageOrigin("https", "app.test", "443"), "app.test", True),
        (PageOrigin("https", "app.test", "443"), "http://app.test", True),
        (PageOrigin("https", "app.test", "443"), "app.test:80", True),
        (PageOrigin("http", "app.test", "80"), "https://app.test", False),
        (PageOrigin("https", "app.test", "443"), "http:", True),
        (PageOrigin("https", "www.app.test", "443"), "*.app.test", True),
        (PageOrigin("https", "app.test", "443"), "*.app.test", False),
        (PageOrigin("http", "[::1]", "8080"), "[::1]:8080", True),
        (PageOrigin("http", "localhost", "8080"), "127.0.0.1:8080", False),
    ],
)
def test_sources_are_matched_as_browsers_do(origin, source, allowed):
    assert (find_obstacle([f"script-src {source}"], origin) is None) is allowed


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"HTTP_HOST": "LOCALHOST:8080", "wsgi.url_scheme": "http"}, "http://localhost:8080"),
        ({"HTTP_HOST": "[::1]:8080", "wsgi.url_scheme": "http"}, "http://[::1]:8080"),
        ({"HTTP_HOST": "[::1]", "wsgi.url_scheme": "http"}, "http://[::1]"),
        ({"HTTP_HOST": "app.test", "wsgi.url_scheme": "https"}, "https://app.test"),
    ],
)
def test_the_origin_is_the_one_that_was_asked(environ, text):
    assert str(PageOrigin.of(environ)) == text


class TestThroughTheFront:
    """An app whose `headers` a test sets."""

    @pytest.fixture
    def headers(self):
        return [("Content-Type", "text/html; charset=utf-8"), BLOCKS]

    @pytest.fixture
    def emulator(self, headers):
        def app(environ, start_response):
            start_response("404 Not Found" if environ["PATH_INFO"] == "/missing" else "200 OK", list(headers))
            return [b"<!DOCTYPE html>"]

        with Emulator(app) as emulator:
            yield emulator

    @pytest.fixture
    def visitor(self, emulator):
        return TestApp(emulator)

    def events(self, emulator):
        return [event for event in emulator.broker.events.after(0) if event.kind == "csp_blocks"]

    def test_it_is_an_event_once_for_each_path(self, emulator, visitor):
        for path in ("/chat", "/chat", "/chat?again=1", "/other"):
            visitor.get(path, headers=PAGE)
        first, second = self.events(emulator)
        assert first.text == (
            "The Content-Security-Policy of /chat blocks /_ah/channel/jsapi: "
            "script-src allows no script of http://localhost:80. Add 'self' to script-src."
        ).replace(":80.", ".")
        assert first.client_id is None
        assert first.detail == {
            "path": "/chat",
            "blocks": "script",
            "sure": True,
            "why": "script-src allows no script of http://localhost",
            "advice": "Add 'self' to script-src.",
            "policy": "script-src 'none'",
        }
        assert second.detail["path"] == "/other"

    def test_it_explains_why_a_channel_was_never_opened(self, emulator, visitor, headers):
        visitor.get("/chat", headers=PAGE)
        emulator.create_channel("anna")
        emulator.send_message("anna", "hello")
        first, second, *_ = self.explained(visitor)
        assert first == {
            "kind": "csp_blocks",
            "text": "The Content-Security-Policy of /chat blocks /_ah/channel/jsapi: "
            "script-src allows no script of http://localhost.",
            "advice": "Add 'self' to script-src.",
            "time": first["time"],
        }
        assert second["kind"] == "not_opened"
        headers[1] = (POLICY, "script-src 'nonce-1'")
        visitor.get("/chat", headers=PAGE)
        assert [finding["kind"] for finding in self.explained(visitor)][:2] == ["not_opened", "csp_blocks"]
        # A page has loaded the script: whatever it is, it is not that.
        emulator.client("anna").open()
        assert "csp_blocks" not in [finding["kind"] for finding in self.explained(visitor)]

    def explained(self, visitor):
        return visitor.get("/_emu/explain", {"client_id": "anna"}).json["findings"]

    def test_what_may_have_a_nonce_may_be_blocked_and_the_nonce_is_not_told(self, emulator, visitor, headers):
        headers[1] = (POLICY, "script-src 'nonce-4711'; img-src *")
        visitor.get("/chat", headers=PAGE)
        headers[1] = (POLICY, "script-src 'nonce-4712'; img-src *")
        visitor.get("/chat", headers=PAGE)
        (event,) = self.events(emulator)
        assert "of /chat may block /_ah/channel/jsapi" in event.text
        assert event.detail["policy"] == "script-src 'nonce-…'; img-src *"

    def test_what_was_fixed_and_breaks_again_is_told_again(self, emulator, visitor, headers):
        visitor.get("/chat", headers=PAGE)
        headers[1] = (POLICY, "script-src 'self'")
        visitor.get("/chat", headers=PAGE)
        headers[1] = BLOCKS
        visitor.get("/chat", headers=PAGE)
        headers[1] = ("X-Nothing", "here")
        visitor.get("/chat", headers=PAGE)
        headers[1] = BLOCKS
        visitor.get("/chat", headers=PAGE)
        assert len(self.events(emulator)) == 3

    def test_a_reset_forgets_it(self, emulator, visitor):
        visitor.get("/chat", headers=PAGE)
        visitor.post_json("/_emu/reset", {})
        assert self.events(emulator) == []
        visitor.get("/chat", headers=PAGE)
        assert len(self.events(emulator)) == 1

    @pytest.mark.parametrize(
        "changed",
        [
            {1: (f"{POLICY}-Report-Only", "script-src 'none'")},
            {0: ("Content-Type", "application/json")},
            {0: ("X-Nothing", "here")},
            {1: ("X-Nothing", "here")},
        ],
    )
    def test_what_is_no_page_or_has_no_policy_is_not_looked_at(self, emulator, visitor, headers, changed):
        for index, header in changed.items():
            headers[index] = header
        visitor.get("/chat", headers=PAGE)
        assert self.events(emulator) == []

    @pytest.mark.parametrize(
        ("path", "asked"),
        [
            ("/missing", PAGE),
            ("/_ah/login", PAGE),
            ("/fragment", {"Accept": "*/*"}),
            ("/fragment", PAGE | {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}),
        ],
    )
    def test_what_becomes_no_document_of_the_apps_is_not_looked_at(self, emulator, visitor, path, asked):
        visitor.get(path, headers=asked, status="*")
        assert self.events(emulator) == []

    def test_thousands_of_paths_are_not_all_told_of(self, emulator, visitor):
        for number in range(MOST_PATHS + 10):
            visitor.get(f"/page/{number}", headers=PAGE)
        assert len(self.events(emulator)) == MOST_PATHS

    def test_an_odd_path_is_one_line_of_ascii(self, emulator, visitor):
        visitor.get("/%C3%A4%0Ab", headers=PAGE)
        (event,) = self.events(emulator)
        assert event.text.isascii()
        assert event.text.isprintable()
