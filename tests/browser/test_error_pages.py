"""Pages of ours in a browser: readable, light and dark, on a phone, and with nothing that their own policy blocks."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.support import parts
from tests.support.emulator import RunningEmulator

AXE = """async () => {
    const result = await axe.run(document, {resultTypes: ['violations']});
    return result.violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.target).join(', ')}`);
}"""

MAIN = """
import json, time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(60)
    json.loads("{<b>" + 200 * "long " + 400 * "x")
"""

APP_YAML = """
runtime: python39
handlers:
- url: /broken
  script: broken.app
- url: /(slow|raises)
  script: main.app
"""

PAGES = ["/raises", "/broken", "/slow", "/nothing", "/_ah/login", "/_ah/channel/connected/"]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    app = tmp_path_factory.mktemp("app")
    for name, text in {"app.yaml": APP_YAML, "main.py": MAIN, "broken.py": "import not_there\n"}.items():
        (app / name).write_text(text)
    log = tmp_path_factory.mktemp("log") / "log"
    with RunningEmulator("--no-sdk", str(app), "--request-deadline", "0.5", log=log) as running:
        yield running


@pytest.fixture
def page(context):
    page = context.new_page()
    blocked = []
    page.on("console", lambda message: blocked.append(message.text) if "Content Security" in message.text else None)
    yield page
    assert blocked == []


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1366, 390])
def test_axe_finds_no_violation(emulator, page, scheme, width):
    axe = (parts.need(parts.node_packages) / "axe-core" / "axe.min.js").read_text("utf-8")
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    for path in PAGES:
        page.goto(emulator.url + path)
        expect(page.locator("h1")).to_be_visible()
        for library in page.locator("summary").all():
            library.click()
        page.evaluate(axe)
        assert (path, page.evaluate(AXE)) == (path, [])
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        # The style is in force, for both schemes.
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 28)"
        assert dark == (scheme == "dark"), path


def test_what_libraries_did_is_a_click_away_and_the_console_a_link(emulator, page):
    page.goto(f"{emulator.url}/raises")
    inside = page.locator("details pre").first
    expect(page.get_by_text("json.loads(").first).to_be_visible()
    expect(inside).to_be_hidden()
    page.locator("summary").first.click()
    expect(inside).to_be_visible()
    page.get_by_role("link", name="All requests, in the console").click()
    page.wait_for_url(f"{emulator.url}/_emu/#/requests")


def test_a_click_marks_the_whole_setting(emulator, page):
    page.goto(f"{emulator.url}/slow")
    page.locator(".copy").click()
    assert page.evaluate("getSelection().toString().trim()") == "--request-deadline 60"


def test_signing_in_and_out_by_the_page(emulator, page):
    page.goto(f"{emulator.url}/_ah/login?continue=/_ah/login")
    expect(page.get_by_role("button")).to_have_text(["Sign in"])
    page.get_by_label("E-mail").fill("ann@example.com")
    page.get_by_label("Sign in as administrator").check()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("You are signed in as ann@example.com.")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{emulator.url}/_ah/login")
    expect(page.get_by_text("You are not signed in.")).to_be_visible()
