"""In browsers, a push does not overtake the answer of its own request; bench/answers.py counts more posts."""

from __future__ import annotations

import pytest

from tests.browser.engines import launch
from tests.support.emulator import RunningEmulator
from tests.support.push import APP, TRANSPORTS, Count, PushPage

POSTS = {"fetch": 6, "xhr": 3, "form": 3}
"""By way; a pause of each length comes at least once."""
AT_MOST = 0.03
"""Of messages, on a busy machine; without what is tested 55 to 100 % come first."""
ROUNDS = 6
"""So few posts prove nothing when a busy machine has let one more through: then there are some more."""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    log = tmp_path_factory.mktemp("push") / "emulator.log"
    with RunningEmulator("--no-sdk", str(APP), log=log) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def firefox():
    with launch("firefox") as puppet:
        yield puppet


@pytest.fixture(params=["chromium", pytest.param("firefox", marks=pytest.mark.slow)])
def new_page(request):
    return request.getfixturevalue({"chromium": "context", "firefox": "firefox"}[request.param]).new_page


@pytest.mark.slow
def test_no_message_comes_before_its_answer(new_page, emulator):
    counts = Count()
    for _ in range(ROUNDS):
        for transport in (*TRANSPORTS, ""):
            page = PushPage(new_page(), emulator.port, transport)
            for way, posts in POSTS.items():
                counts.add(page.measure(way, posts))
            page.page.close()
        if counts.share <= AT_MOST:
            break
    assert counts.share <= AT_MOST, f"{counts.first} of {counts.posts} messages came first"


def test_a_handler_that_reports_its_progress_is_seen_doing_so(new_page, emulator):
    page = PushPage(new_page(), emulator.port, "xhr")
    # The last comes behind the answer, if that is sooner than half a second.
    assert page.watch(4, 0.7).first >= 3
    page.page.close()
