"""How soon the console shows what there is, and what comes: with ten thousand events and five thousand channels.

    python bench/console.py [--visits 10] [--messages 30]

In Chromium. A visit is a fresh profile; its time runs from the navigation until the newest message has been painted.
Then messages come one at a time; theirs runs from before the call until the message has been painted.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from command_line import parser
from playwright.sync_api import Browser, sync_playwright
from report import Report

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from appengine_channel_emu.bench.measure import percentile
from tests.browser.engines import FLAGS
from tests.support import parts
from tests.support.emulator import RunningEmulator

CHANNELS = 5_000
EVENTS = 10_000
FIRST_MS = 500.0
NEW_MS = 100.0
PAUSE = 0.2
"""Seconds between two messages, so that each finds the console idle."""

# When a text was on the screen, in milliseconds since the epoch: once the frame after the one that drew it begins.
WATCH = """() => {
    window.painted = {};
    const look = () => {
        const row = document.querySelector('#rows .what');
        const text = row && row.textContent;
        if (!text || text in window.painted) return;
        window.painted[text] = 0;
        const note = () => { window.painted[text] = performance.timeOrigin + performance.now(); };
        requestAnimationFrame(() => setTimeout(note));
    };
    new MutationObserver(look).observe(document, {childList: true, subtree: true});
}"""


def main() -> int:
    """1 where a bar is missed."""
    made = parser(__doc__, "about a minute")
    made.add_argument("--visits", type=int, default=10)
    made.add_argument("--messages", type=int, default=30)
    options = made.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        emulator = RunningEmulator("--quiet", log=Path(folder) / "log")
        with emulator, sync_playwright() as playwright:
            fill(emulator)
            browser = playwright.chromium.launch(executable_path=parts.need(parts.headless_shell), args=FLAGS)
            first, new = measure(browser, emulator, options.visits, options.messages)
    report = Report()
    print(f"{EVENTS:,} events, {CHANNELS:,} channels; {options.visits} visits, {options.messages} messages")
    report.row("the newest message is on the screen, p50", percentile(sorted(first), 0.5), "ms", FIRST_MS)
    report.row("the newest message is on the screen, slowest", max(first), "ms", FIRST_MS)
    report.row("a new message is on the screen, p50", percentile(sorted(new), 0.5), "ms", NEW_MS)
    report.row("a new message is on the screen, p95", percentile(sorted(new), 0.95), "ms", NEW_MS)
    return int(bool(report.missed))


def fill(emulator: RunningEmulator) -> None:
    """As many channels, and as many events as are kept: half of them about tokens, half about messages."""
    names = [f"client-{number}" for number in range(CHANNELS)]
    for name in names:
        emulator.create_channel(name)
    for name in names:
        # One at a time: of one call to all of them few would have an event of their own.
        emulator.send(name, '{"type": "move", "board": "X O  X O ", "turn": "anna"}')
    found = emulator.get_json("/_emu/events?last=1")
    assert found["next"] >= EVENTS, found


def measure(browser: Browser, emulator: RunningEmulator, visits: int, messages: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each visit, and of each message that comes while the last page is open."""
    first, new = [], []
    for number in range(visits + 1):
        emulator.send("nobody", f"newest {number}")
        context = browser.new_context()
        page = context.new_page()
        page.add_init_script(f"({WATCH})()")
        began = 1000 * time.time()
        page.goto(f"{emulator.url}/_emu/")
        took = page.wait_for_function("text => window.painted[text]", arg=f"newest {number}").json_value() - began
        if number:
            # The first one warms the browser up.
            first.append(took)
        if number == visits:
            for each in range(messages):
                time.sleep(PAUSE)
                sent = 1000 * time.time()
                emulator.send("nobody", f"new {each}")
                found = page.wait_for_function("text => window.painted[text]", arg=f"new {each}")
                new.append(found.json_value() - sent)
        context.close()
    return first, new


if __name__ == "__main__":
    sys.exit(main())
