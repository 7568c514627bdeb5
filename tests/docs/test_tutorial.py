"""docs/tutorial.md, walked: its files written, its commands run, its pages opened, what it shows compared."""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import Any

import pytest
import urllib3
from playwright.sync_api import Browser, Page, expect

from tests.docs.documents import MARKDOWN, text_of
from tests.docs.terminal import DocumentTerminal, commands_of
from tests.support.browsers import WAIT
from tests.support.waiting import LONG_ENOUGH, eventually

DOCUMENT = "docs/tutorial.md"
SET_UP = "python3 -m venv"
"""The block that is not run: this run has an environment, and pip would want a network."""
PICTURE = "TUTORIAL_PICTURE"
"""Names the file that the picture of the tutorial is written to, where it is in the environment."""

_FILE = re.compile(r"(?:#|<!--) (at the end of )?([\w.]+)(?: -->)?\n")
_ADDRESS = re.compile(r"<(http://localhost:8080/\S*?)>")


class Walk:
    """One reader, at one terminal, with as many windows as there are."""

    def __init__(self, terminal: DocumentTerminal, browser: Browser) -> None:
        self._terminal = terminal
        self._browser = browser
        self._windows: dict[str, Page] = {}
        self.done: list[str] = []

    def take(self, text: str) -> None:
        """All that the text says, in order."""
        quoted = False
        for token in MARKDOWN.parse(text):
            if token.type == "fence":
                self._block(token.info, token.content)
            elif token.type in ("blockquote_open", "blockquote_close"):
                quoted = token.type == "blockquote_open"
            elif token.type == "inline" and quoted:
                for window in self._windows.values():
                    expect(window.locator("body")).to_contain_text(token.content)
                self.done.append(f"the pages say {token.content}")
            elif token.type == "inline":
                self._paragraph(token.content)

    def close(self) -> None:
        """Every window."""
        for name in list(self._windows):
            self._close(name)

    def _block(self, language: str, code: str) -> None:
        if language == "console":
            if SET_UP not in code:
                self._terminal.session(code)
                self.done += [command for command, _ in commands_of(code)]
            return
        named = _FILE.match(code)
        assert named, f"which file is this?\n{code}"
        path = self._terminal.folder / named[2]
        path.write_text((path.read_text("utf-8") + "\n\n" if named[1] else "") + code, "utf-8")
        self.done.append(f"{named[2]} {'goes on' if named[1] else 'is written'}")

    def _paragraph(self, text: str) -> None:
        for address in _ADDRESS.findall(text):
            if "_emu" not in address:
                self._open(address)
        if "images/tutorial.png" in text:
            self._talk()
        if text.startswith("Close"):
            self._close(*([each for each in self._windows if "ben" in each] if "Ben" in text else self._windows))
            self._read_on()

    def _open(self, address: str) -> None:
        window = self._browser.new_context(viewport={"width": 420, "height": 330}).new_page()
        window.set_default_timeout(WAIT)
        with window.expect_response(re.compile("/_ah/channel/open")) as opened:
            window.goto(self._terminal.here(address))
        assert opened.value.status == 200
        self._windows[address] = window
        self.done.append(f"{address} is opened")

    def _talk(self) -> None:
        for name, line in (("anna", "are you there?"), ("ben", "as you see")):
            (window,) = [window for address, window in self._windows.items() if name in address]
            window.get_by_label("What you say").fill(line)
            window.get_by_role("button").click()
            for each in self._windows.values():
                expect(each.locator("#said")).to_contain_text(f"{name}: {line}")
        self.done.append("anna and ben talk")
        if PICTURE in os.environ:
            self._picture(Path(os.environ[PICTURE]))

    def _picture(self, path: Path) -> None:
        """Both windows, side by side."""
        shots = [
            f"data:image/png;base64,{base64.b64encode(each.screenshot()).decode()}" for each in self._windows.values()
        ]
        page = self._browser.new_page(viewport={"width": 880, "height": 350})
        images = "".join(f'<img src="{shot}" style="border:1px solid #888;border-radius:6px">' for shot in shots)
        page.set_content(f'<body style="margin:0;display:flex;gap:16px;padding:8px;background:#e8e8e8">{images}')
        page.screenshot(path=path)
        page.close()

    def _read_on(self) -> None:
        """As a reader does: for longer than the two seconds after which the app hears that a page has gone."""
        url = f"{self._terminal.url}/_emu"
        eventually(lambda: self._get(f"{url}/status")["sockets"], lambda now: sum(now.values()) == len(self._windows))
        self._terminal.post("/_emu/clock", {"advance": 10})
        eventually(
            lambda: [each for each in self._get(f"{url}/channels")["channels"] if each["told"]],
            lambda told: len(told) == len(self._windows),
        )

    @staticmethod
    def _get(url: str) -> Any:
        return urllib3.request("GET", url, timeout=LONG_ENOUGH).json()

    def _close(self, *names: str) -> None:
        for name in names:
            window = self._windows.pop(name)
            # A context that is closed at once sends no beacon.
            window.goto("about:blank")
            window.context.close()


@pytest.mark.slow
def test_the_walk(tmp_path, browser):
    with DocumentTerminal(tmp_path / "chat") as terminal:
        walk = Walk(terminal, browser)
        try:
            walk.take(text_of(DOCUMENT))
        finally:
            walk.close()
    assert len([step for step in walk.done if "localhost" in step]) >= 4
    assert {"python -m pytest -q", "anna and ben talk", "the pages say Here: anna, ben"} <= set(walk.done)
