"""A page in Chromium, and an unmodified Go app that sends to it."""

from __future__ import annotations

import json

import pytest

from tests.support.go import GoApp, build

pytestmark = pytest.mark.slow


def test_a_page_receives_what_a_go_app_sends(emulator, tab):
    app = GoApp(build(), emulator.url.removeprefix("http://"), {"RUN_WITH_DEVAPPSERVER": "1"})
    try:
        status, token = app.ask("/create", id="gopher")
        assert status == 200
        tab.visit(emulator.url)
        tab.open(token)
        tab.wait(1)
        assert app.ask("/send", id="gopher", message="héllo") == (200, "sent")
        assert app.ask("/send_json", id="gopher", message="x") == (200, "sent")
        tab.wait(3)
        assert tab.texts()[0] == "héllo"
        assert json.loads(tab.texts()[1]) == {"text": "x", "number": 7}
    finally:
        app.stop()
