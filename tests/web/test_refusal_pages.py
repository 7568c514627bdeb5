"""What the guard refuses, and what no app is there for, as a browser shows it."""

from __future__ import annotations

import pytest
from webtest import TestApp

from appengine_channel_emu.broker.broker import EmbeddedBroker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.contract import BrokerOptions
from appengine_channel_emu.host.visitors import SERVER_HINTS, ServerHints
from appengine_channel_emu.web.admin.status import About
from appengine_channel_emu.web.front import Front, NoApp
from appengine_channel_emu.web.guard import WebOptions
from tests.support.visitor import THEIRS, EchoApp, visitor

BROWSER = {"Accept": "text/html,*/*;q=0.8"}


def no_app(about=None, **environ):
    front = Front(EmbeddedBroker(ManualClock(), BrokerOptions()), NoApp(), WebOptions(), about=about)
    extra = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost"} | environ
    return TestApp(front, extra_environ=extra, lint=False)


@pytest.mark.parametrize(
    ("client", "path", "more", "status", "title", "setting"),
    [
        (visitor(EchoApp()), "/", {"Host": "shop.example:80"}, 421, "not served here", "--allow-host shop.example"),
        (visitor(EchoApp()), "/", {"Host": "<b>"}, 421, "not served here", "--allow-host NAME"),
        (visitor(EchoApp()), "/_ah/channel/connected/", {}, 403, "Refused", "--presence-from-visitors"),
        (visitor(EchoApp(), REMOTE_ADDR="10.0.0.9"), "/_emu/", {}, 403, "Refused", "--allow-remote-admin"),
        (no_app(), "/game", {}, 404, "No app runs here", "channel-emu serve MODULE:APP"),
        (no_app(**{SERVER_HINTS: ServerHints(overdue=True)}), "/", {}, 503, "The app is busy", "--threads 64"),
    ],
)
def test_a_browser_gets_a_page_with_the_setting_and_others_the_text(client, path, more, status, title, setting):
    got = client.get(path, headers={**BROWSER, **more}, expect_errors=True)
    assert (got.status_int, got.content_type) == (status, "text/html")
    assert f"{title}</h1>" in got.text
    assert f'<pre class="copy" tabindex="0">{setting}</pre>' in got.text
    assert "style-src 'sha256-" in got.headers["Content-Security-Policy"]
    assert "<b>" not in got.text
    text = client.get(path, headers=more, expect_errors=True)
    assert (text.status_int, text.content_type) == (status, "text/plain")
    assert text.text.count("\n") == 1


def test_twice_as_many_threads_as_there_are_is_the_advice():
    client = no_app(About({"threads": 64}), **{SERVER_HINTS: ServerHints(overdue=True)})
    assert "--threads 128<" in client.get("/", headers=BROWSER, status=503).text


def test_another_sites_page_is_refused_in_a_page():
    got = visitor(EchoApp()).get("/_emu/", headers={**BROWSER, "Origin": THEIRS}, expect_errors=True)
    assert "A page of another site may not ask this." in got.text
    assert "copy" not in got.text.partition("</style>")[2]


@pytest.mark.parametrize(("address", "linked"), [("127.0.0.1", True), ("10.0.0.9", False)])
def test_the_console_is_linked_where_it_can_be_had(address, linked):
    got = visitor(EchoApp(), REMOTE_ADDR=address).get("/_ah/channel/connected/", headers=BROWSER, expect_errors=True)
    assert ('href="/_emu/#/messages"' in got.text) == linked


def test_head_has_no_body():
    got = no_app().head("/game", headers=BROWSER, expect_errors=True)
    assert (got.status_int, got.body) == (404, b"")
    assert int(got.headers["Content-Length"]) > 500
