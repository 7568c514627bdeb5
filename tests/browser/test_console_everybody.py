"""The console for everybody: nothing that axe-core finds, every control by keyboard, on a phone and a large screen."""

from __future__ import annotations

import json
import os

import pytest
from playwright.sync_api import expect

from tests.browser.console_page import VIEWS, detail, go, newest, rows
from tests.browser.tab import Tab
from tests.support import parts

AXE = """async () => {
    const result = await axe.run(document, {resultTypes: ['violations']});
    return result.violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.target).join(', ')}`);
}"""

LONG = "bert@example.com/room-7/a-client-id-of-some-length"


@pytest.fixture
def busy(console, server):
    """A console with something in every part of it."""
    for client_id, transport in (("anna", "stream"), ("anna", "poll"), ("bert", "stream"), (LONG, "poll")):
        server.client(client_id, transport=transport).open()
    server.create_channel("carl")
    for number in range(9):
        turn = {"type": "move", "board": "XO X  O  "[number:] + "X", "turn": "anna" if number % 2 else "bert"}
        server.send_message("anna" if number % 2 else "bert", json.dumps(turn))
    server.send_message("bert", "It is your turn.")
    server.send_message(LONG, '{"type":"chat","from":"anna","text":"Shall we play again?"}')
    server.send_message("carl", '{"type":"welcome"}')
    server.send_message("Anna", '{"type":"chat","from":"bert","text":"hello"}')
    accounts = server._running.front.accounts
    for path, seconds, times, cut in (("/updates", 21.4, 9, True), ("/move", 0.04, 12, False), ("/", 0.2, 3, False)):
        for _ in range(times):
            accounts.add(path, held_seconds=seconds, cpu_seconds=0.02, cut=cut)
    server.faults.add("poll cut probability=0.05 client_id=bert")
    server.faults.add("app delay seconds=2 path=/updates*")
    expect(rows(console).filter(has_text="hello")).to_have_count(1)
    return console


def opened(page, server, view):
    """Go to `view`; MESSAGE and EVENT stand for numbers."""
    numbers = {"MESSAGE": newest(server), "EVENT": server.broker.events.last_number}
    for name, number in numbers.items():
        view = view.replace(name, str(number))
    go(page, view)
    expect(page.locator("main > section:visible")).to_have_count(1)
    if "/" in view:
        expect(detail(page).get_by_role("heading", level=2)).to_be_visible()
    if view == "api":
        expect(page.locator(".operation")).not_to_have_count(0)


PLACES = [*VIEWS.values(), "message/MESSAGE", "event/EVENT", "client/anna", "client/nobody", "message/999999"]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1366])
def test_axe_finds_no_violation_in_any_view(busy, server, scheme, width):
    axe = parts.need(parts.node_packages) / "axe-core" / "axe.min.js"
    busy.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    busy.set_viewport_size({"width": width, "height": 900})
    # As the browser's own tools do it: the page's policy lets no foreign script in.
    busy.evaluate(axe.read_text("utf-8"))
    for view in PLACES:
        opened(busy, server, view)
        if view == "api":
            busy.locator(".operation summary").nth(4).click()
        assert (view, busy.evaluate(AXE)) == (view, [])
        assert busy.evaluate("document.documentElement.scrollWidth <= innerWidth"), view


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_in_an_empty_console_or_a_dialog(console, scheme):
    axe = parts.need(parts.node_packages) / "axe-core" / "axe.min.js"
    console.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    console.evaluate(axe.read_text("utf-8"))
    for view in VIEWS.values():
        go(console, view)
        assert (view, console.evaluate(AXE)) == (view, [])
    go(console, "clock")
    console.get_by_role("button", name="Reset everything").click()
    expect(console.get_by_role("dialog")).to_be_visible()
    assert console.evaluate(AXE) == []


REACHED = """() => {
    const control = document.activeElement;
    if (control === document.body) return null;
    const name = control.getAttribute('aria-label') || (control.labels && control.labels.length
        ? control.labels[0].textContent : control.textContent.trim());
    const style = getComputedStyle(control);
    return [name, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2];
}"""

THERE = """() => [...document.querySelectorAll('a[href], button, input, select, textarea, summary')]
    .filter((control) => control.checkVisibility() && !control.disabled && !control.closest('.rows'))
    .filter((control) => !control.matches('.skip'))
    .map((control) => control.getAttribute('aria-label') || (control.labels && control.labels.length
        ? control.labels[0].textContent : control.textContent.trim()))"""


@pytest.mark.slow
@pytest.mark.parametrize("view", PLACES)
def test_every_control_is_reached_by_the_tab_key_and_shows_it(busy, server, view):
    """The rows of the list are one stop, and its arrow keys the way through it (test_console.py)."""
    opened(busy, server, view)
    there = set(busy.evaluate(THERE))
    busy.locator("#skip").focus()
    reached, without = set(), []
    for _ in range(3 * len(there) + 40):
        name, is_outlined = busy.evaluate(REACHED) or (None, True)
        if name is not None:
            reached.add(name)
            if not is_outlined:
                without.append(name)
        if there <= reached:
            break
        busy.keyboard.press("Tab")
    assert there - reached == set()
    assert without == []


def test_the_way_past_the_tabs(console):
    console.keyboard.press("Tab")
    expect(console.get_by_role("link", name="Skip to the content")).to_be_focused()
    console.keyboard.press("Enter")
    expect(console.locator("#main")).to_be_focused()
    console.keyboard.press("Tab")
    expect(console.get_by_label("Search text")).to_be_focused()


def test_forms_and_dialogs_by_keyboard_alone(console, server):
    """A fault is added and removed, the clock advanced, everything reset, and no mouse touched."""
    keys = console.keyboard
    go(console, "faults")
    console.get_by_label("Stage").focus()
    keys.type("send")
    keys.press("Tab")
    keys.type("drop")
    keys.press("Tab")
    keys.press("Enter")
    remove = console.get_by_role("button", name="Remove fault send drop")
    expect(remove).to_be_visible()
    remove.focus()
    keys.press("Space")
    expect(remove).to_have_count(0)
    go(console, "clock")
    console.get_by_role("button", name="Advance by 10 minutes").focus()
    keys.press("Enter")
    expect(console.locator("#unreal")).to_contain_text("10 min")
    console.get_by_role("button", name="Reset everything").focus()
    keys.press("Enter")
    keys.press("Enter")
    expect(console.locator("#reset-result")).to_have_text("Everything is forgotten.")


PICTURES = parts.ROOT / "docs" / "images"

# Taken, and looked at, by hand: SCREENSHOTS=FOLDER pytest … -k pictures
if os.environ.get("SCREENSHOTS"):

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_screenshots(busy, server, scheme):
        """Each view at three widths."""
        busy.emulate_media(color_scheme=scheme)
        for width, height in ((390, 844), (1366, 768), (1920, 1080)):
            busy.set_viewport_size({"width": width, "height": height})
            for view in PLACES:
                opened(busy, server, view)
                busy.wait_for_timeout(300)
                name = view.replace("/", "-").lower()
                busy.screenshot(path=f"{os.environ['SCREENSHOTS']}/{name}-{width}-{scheme}.png")

    def test_pictures_of_the_documents(console, server, context):
        """A game between two real pages, and what the console makes of it."""
        for name in ("anna", "bert"):
            tab = Tab(context.new_page())
            tab.visit(f"{server.url}/page")
            tab.open(server.create_channel(name))
            tab.wait(1)
        board = ["-"] * 9
        for number, field in enumerate((4, 0, 2, 6, 3, 5, 1, 7)):
            board[field] = "XO"[number % 2]
            move = {"type": "move", "board": "".join(board), "turn": ("bert", "anna")[number % 2]}
            for name in ("anna", "bert"):
                server.send_message(name, json.dumps(move))
            console.wait_for_timeout(700)
        server.send_message("anna", '{"type": "chat", "from": "bert", "text": "A draw! Once more?"}')
        server.send_message("Anna", '{"type": "chat", "from": "bert", "text": "Are you there?"}')
        dropped = f"message/{newest(server)}"
        expect(rows(console).filter(has_text="Once more?")).to_contain_text("1 socket, acknowledged")
        for name, scheme, view in (
            ("light", "light", dropped),
            ("dark", "dark", "client/anna"),
            ("phone", "light", "messages"),
        ):
            console.emulate_media(color_scheme=scheme)
            console.set_viewport_size(
                {"width": 390, "height": 844} if name == "phone" else {"width": 1366, "height": 768}
            )
            go(console, view)
            console.wait_for_timeout(700)
            console.screenshot(path=str(PICTURES / f"console-{name}.png"))
