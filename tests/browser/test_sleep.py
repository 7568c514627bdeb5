"""A laptop that sleeps: the whole browser stands still for a minute, while its connections look alive."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

from tests.browser.tab import Tab

ASLEEP = 60.0
"""Seconds: more than the 40 + 5 + 2 after which the app knows that a page has gone (behaviour.md 4 and 5)."""

LONG, SHORT = 120, 5
"""Resume windows in seconds."""


@pytest.fixture
def asleep(browser):
    """Within its block no process of the browser does anything."""
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    (pid,) = [process["id"] for process in processes if process["type"] == "browser"]
    group = os.getpgid(pid)
    assert group != os.getpgid(0)

    @contextlib.contextmanager
    def stopped():
        os.killpg(group, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(group, signal.SIGCONT)

    return stopped


@pytest.mark.slow
def test_the_app_hears_that_pages_have_gone_and_they_go_on_or_end(context, serve, asleep):
    pages = []
    for window in (LONG, SHORT):
        emulator = serve("--resume-window", str(window))
        for transport in ("websocket", "xhr"):
            tab = Tab(context.new_page())
            tab.visit(emulator.url, f"/_ah/channel/jsapi?transport={transport}")
            tab.open(emulator.create_channel(transport))
            tab.wait(1)
            assert emulator.send(transport, "awake") == 1
            tab.wait(2)
            pages.append((emulator, window, transport, tab))
    with asleep():
        began = time.monotonic()
        for emulator in {emulator for emulator, *_ in pages}:
            gone = emulator.presence(4)[2:]
            assert sorted(gone) == [("disconnected", "websocket"), ("disconnected", "xhr")]
        heard = time.monotonic() - began
        for emulator, _, transport, _ in pages:
            emulator.send(transport, "while it sleeps")
        # What is tested is how long it stands still: a minute of the real time.
        time.sleep(max(0.0, ASLEEP - (time.monotonic() - began)))
    print(f"\nThe apps heard of it after {heard:.1f} s")
    assert heard < ASLEEP
    for emulator, window, transport, tab in pages:
        if window == LONG:
            tab.wait(3)
            assert emulator.send(transport, "awake again") == 1
            assert [name for name, _ in tab.wait_for(4)] == ["onopen", "onmessage", "onmessage", "onmessage"]
            assert tab.texts() == ["awake", "while it sleeps", "awake again"]
        else:
            assert [name for name, _ in tab.wait_for(4)] == ["onopen", "onmessage", "onerror", "onclose"]
    assert sorted(pages[0][0].presence(6)[4:]) == [("connected", "websocket"), ("connected", "xhr")]
    assert len(pages[-1][0].presence(4)) == 4
