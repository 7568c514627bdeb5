"""The engines that browsers are made of, each behind the same few commands: Chromium's, Firefox's, and Safari's WebKit.

Playwright's Chromium (`conftest.browser`) is for all other tests of pages. These here are whole browsers, as users have
them: hidden tabs are hidden, and a page that is left is kept for its user's return.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import WebDriverException

from tests.support import parts
from tests.support.waiting import LONG_ENOUGH, eventually, until

ENGINES = ("chromium", "firefox", "webkit")

EVIL = "evil.example"
"""A name that leads to this machine in Chromium."""

FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {EVIL} 127.0.0.1",
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
]
"""Of Chromium."""

SCRIPT = Path(__file__).with_name("puppet.js")

ADD_SCRIPT = """url => new Promise((resolve, reject) => {
    const script = document.createElement('script');
    script.onload = () => resolve(null);
    script.onerror = () => reject(new Error('there is no script at ' + script.src));
    script.src = url;
    document.head.appendChild(script);
})"""


EVALUATE = """const found = (0, eval)(`(${arguments[0]})`);
return typeof found === 'function' ? found(arguments[1]) : found;"""


class EngineError(Exception):
    """The browser could not do it; the text is the browser's."""


class EnginePage(ABC):
    """One tab: what the tests use of Playwright's `Page`, under the same names."""

    @abstractmethod
    def goto(self, url: str) -> None:
        """Visit `url`, and wait for its load event."""

    @abstractmethod
    def reload(self) -> None:
        """Load the page again."""

    @abstractmethod
    def evaluate(self, source: str, arg: Any = None) -> Any:
        """The value of the JavaScript expression, or of the function called with `arg`; of a promise, what it gives.

        Raises `EngineError`.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the tab, as its user would."""

    def add_script_tag(self, url: str) -> None:
        """Load a script into the page."""
        self.evaluate(ADD_SCRIPT, url)

    def go_back(self) -> None:
        """Return to the page before, and wait until it is there."""
        # Drivers wait for its load event, too, which does not come for a page that was kept.
        self.evaluate("() => { window.isLeft = true; setTimeout(() => history.back(), 0); }")
        until(self._is_another_page)

    def _is_another_page(self) -> bool:
        try:
            return not self.evaluate("window.isLeft")
        except EngineError:
            return False  # Between the two.

    def wait_for_function(self, source: str, arg: Any = None, timeout: float = 1000 * LONG_ENOUGH) -> None:
        """Return once the expression, or the function's result, is true. `timeout` in milliseconds."""
        # Asked from here: in a hidden page timers may sleep.
        eventually(lambda: self.evaluate(source, arg), bool, timeout / 1000)


class Engine(ABC):
    """A browser with a fresh profile. Use it as a context manager."""

    version: str

    @abstractmethod
    def new_page(self) -> EnginePage:
        """A new tab that its user sees."""

    @abstractmethod
    def new_tabs(self, count: int) -> list[EnginePage]:
        """Tabs of one window, of which its user sees a single one."""

    @abstractmethod
    def close(self) -> None:
        """End the browser, and all that belongs to it."""

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def launch(name: str) -> Engine:
    """One of `ENGINES`. Without it the test is skipped, or fails on CI."""
    if name == "webkit":
        return WebKit(*parts.need(parts.webkit))
    if name == "firefox":
        return Puppet(name, parts.need(parts.firefox), [])
    return Puppet("chrome", parts.need(parts.chromium), FLAGS)


class Puppet(Engine):
    """`chrome` or `firefox`, by puppeteer."""

    def __init__(self, name: str, executable: Path, flags: list[str]) -> None:
        environ = {**os.environ, "NODE_PATH": str(parts.need(parts.node_packages))}
        command = [str(parts.need(parts.node)), str(SCRIPT)]
        self._process = subprocess.Popen(
            command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        self._count = 0
        self.version = self.do("launch", name=name, executable=str(executable), flags=flags)

    def close(self) -> None:
        try:
            self.do("quit")
        finally:
            self._process.communicate()

    def do(self, what: str, **arguments: Any) -> Any:
        """One command of puppet.js; raises `EngineError`."""
        self._count += 1
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"id": self._count, "do": what, **arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise EngineError(f"{SCRIPT.name} has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise EngineError(answer["error"])
        return answer["result"]

    def new_page(self) -> PuppetPage:
        return PuppetPage(self)

    def new_tabs(self, count: int) -> list[EnginePage]:
        return [self.new_page() for _ in range(count)]  # Each hides the one before.


class PuppetPage(EnginePage):
    """A tab of a `Puppet`."""

    def __init__(self, puppet: Puppet) -> None:
        self._puppet = puppet
        self._name = f"page {id(self)}"
        self._do("open")

    def _do(self, what: str, **arguments: Any) -> Any:
        return self._puppet.do(what, page=self._name, **arguments)

    def goto(self, url: str) -> None:
        self._do("goto", url=url)

    def reload(self) -> None:
        self._do("reload")

    def evaluate(self, source: str, arg: Any = None) -> Any:
        return self._do("evaluate", source=source, argument=arg)

    def close(self) -> None:
        self._do("close")


class WebKit(Engine):
    """WebKitGTK's MiniBrowser by its WebDriver, without a profile, on a display of its own that nobody sees.

    A window shows its first tab and hides the others.
    """

    def __init__(self, driver: Path, browser: Path, display: Path) -> None:
        options = webdriver.WebKitGTKOptions()
        options.binary_location = str(browser)
        options.add_argument("--automation")
        with contextlib.ExitStack() as exits:
            home = exits.enter_context(tempfile.TemporaryDirectory(prefix="webkit-"))
            environ = os.environ | _webkit_environ(home) | {"DISPLAY": exits.enter_context(_running_display(display))}
            # A service that knows its driver's path keeps selenium from asking the network for one.
            service = webdriver.WebKitGTKService(str(driver), log_output=subprocess.DEVNULL, env=environ)
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # Of selenium, about itself.
                self.driver = webdriver.WebKitGTK(options, service)
            exits.callback(self.driver.quit)
            self.driver.set_script_timeout(LONG_ENOUGH)
            self.driver.set_page_load_timeout(LONG_ENOUGH)
            self._exits = exits.pop_all()
        self.version = f"WebKit/{self.driver.capabilities['browserVersion']}"
        self._first = self.driver.current_window_handle  # Stays: with its last window the browser ends.

    def close(self) -> None:
        self._exits.close()

    def new_page(self) -> WebKitPage:
        return WebKitPage(self.driver, self._first, "window")

    def new_tabs(self, count: int) -> list[EnginePage]:
        first = self.new_page()
        return [first, *(WebKitPage(self.driver, first.handle, "tab") for _ in range(count - 1))]


class WebKitPage(EnginePage):
    """A new window or tab (`kind`), opened from the one of the handle `opener`."""

    def __init__(self, driver: webdriver.WebKitGTK, opener: str, kind: str) -> None:
        self._driver = driver
        driver.switch_to.window(opener)
        driver.switch_to.new_window(kind)
        self.handle: str = driver.current_window_handle

    def goto(self, url: str) -> None:
        self._focused().get(url)

    def reload(self) -> None:
        self._focused().refresh()

    def evaluate(self, source: str, arg: Any = None) -> Any:
        try:
            return self._focused().execute_script(EVALUATE, source, arg)
        except WebDriverException as error:
            raise EngineError(error.msg) from error

    def close(self) -> None:
        self._focused().close()

    def _focused(self) -> webdriver.WebKitGTK:
        self._driver.switch_to.window(self.handle)
        return self._driver


def _webkit_environ(home: str) -> dict[str, str]:
    """Nothing of the user's, no graphics card, and as root no sandbox."""
    environ = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), home)
    environ |= {"GSETTINGS_BACKEND": "memory", "NO_AT_BRIDGE": "1", "LIBGL_ALWAYS_SOFTWARE": "1"}
    environ |= {"WEBKIT_DISABLE_COMPOSITING_MODE": "1", "WEBKIT_DISABLE_DMABUF_RENDERER": "1"}
    if os.geteuid() == 0:
        environ["WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS"] = "1"
    return environ


@contextlib.contextmanager
def _running_display(xvfb: Path) -> Iterator[str]:
    """The name of a new one."""
    ours, theirs = os.pipe()
    command = [str(xvfb), "-displayfd", str(theirs), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, pass_fds=[theirs], stderr=subprocess.DEVNULL) as process:
        os.close(theirs)
        try:
            with open(ours) as numbers:
                number = numbers.readline().strip()
            if not number:
                raise EngineError(f"{xvfb} has ended")
            yield f":{number}"
        finally:
            process.terminate()
