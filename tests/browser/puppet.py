"""Firefox and Chromium by puppeteer: browsers whose hidden tabs are hidden."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import parts

SCRIPT = Path(__file__).with_name("puppet.js")


class PuppetError(Exception):
    """The browser could not do it; the text is the browser's."""


class Puppet:
    """One browser, `chrome` or `firefox`, with a fresh profile. Use it as a context manager."""

    def __init__(self, name: str, executable: Path, flags: list[str]) -> None:
        environ = {**os.environ, "NODE_PATH": str(parts.need(parts.node_packages))}
        command = [str(parts.need(parts.node)), str(SCRIPT)]
        self._process = subprocess.Popen(
            command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self._count = 0
        self.version = self.do("launch", name=name, executable=str(executable), flags=flags)

    def __enter__(self) -> Puppet:
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            self.do("quit")
        finally:
            self._process.communicate()

    def do(self, what: str, **arguments: Any) -> Any:
        """One command of puppet.js; raises `PuppetError`."""
        self._count += 1
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"id": self._count, "do": what, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise PuppetError(f"{SCRIPT.name} has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise PuppetError(answer["error"])
        return answer["result"]

    def new_page(self) -> PuppetPage:
        """A new tab, in front."""
        return PuppetPage(self)


class PuppetPage:
    """What the tests use of Playwright's `Page`, under the same names."""

    def __init__(self, puppet: Puppet) -> None:
        self._puppet = puppet
        self._name = f"page {id(self)}"
        self._do("open")

    def _do(self, what: str, **arguments: Any) -> Any:
        return self._puppet.do(what, page=self._name, **arguments)

    def on(self, event: str, listener: Callable[..., None]) -> None:
        """Nothing: what goes wrong in the page shows in what it does."""

    def goto(self, url: str) -> None:
        """Visit `url`, and wait for its load event."""
        self._do("goto", url=url)

    def reload(self) -> None:
        """Load the page again."""
        self._do("reload")

    def add_script_tag(self, url: str) -> None:
        """Load a script into the page."""
        self._do("script", url=url)

    def evaluate(self, source: str, arg: Any = None) -> Any:
        """The value of the JavaScript expression, or of the function called with `arg`."""
        return self._do("evaluate", source=source, argument=arg)

    def wait_for_function(self, source: str, arg: Any = None, timeout: float | None = None) -> None:
        """Return once the expression, or the function's result, is true."""
        self._do("wait", source=source, argument=arg)

    def bring_to_front(self) -> None:
        """Hide the other tabs."""
        self._do("front")

    def close(self) -> None:
        """Close the tab."""
        self._do("close")
