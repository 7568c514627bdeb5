"""The console: every control does what it says, live, by keyboard, light and dark, and with ten thousand sockets."""

from __future__ import annotations

import os
from urllib.parse import quote

import pytest
import urllib3
from playwright.sync_api import Page, expect

from appengine_channel_emu.testing import ChannelServer
from tests.support import parts
from tests.support.waiting import LONG_ENOUGH, eventually

AXE = """async () => {
    const result = await axe.run(document, {resultTypes: ['violations']});
    return result.violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.target).join(', ')}`);
}"""


@pytest.fixture
def console(server, context):
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
    page.goto(f"{server.url}/_emu/")
    expect(page.locator("#summary")).to_have_text("0 open sockets, 0 channels")
    yield page
    assert errors == []


def rows(page: Page, name: str):
    return page.locator(f"#{name}-rows tr")


CONTROLS = {
    *("Skip to the channels", "Channels", "Send", "Clock", "Events", "Presence", "Requests", "Faults", "Production"),
    *("Search client ids", "Close a socket of anna", "Cut a socket of anna", "Expire a socket of anna"),
    *("Client id", "Message"),
    *("Advance by seconds", "Advance", "Advance two hours", "Freeze", "Reset everything"),
    "Show",
    *("Stage", "Action", "Seconds", "Error", "Probability", "Times", "Path", "Seed", "Add", "Remove fault poll cut"),
}
"""By their accessible names: links, channels, send box, clock, events, faults. The tests below drive each of them."""


def test_the_controls_are_those_that_are_tested(console, server):
    server.client("anna").open()
    server.faults.add("poll cut")
    expect(rows(console, "channel")).to_have_count(1)
    expect(rows(console, "fault")).to_have_count(1)
    names = console.evaluate(
        """() => [...document.querySelectorAll('a, button, input, select, textarea, [onclick]')].map((control) =>
            control.getAttribute('aria-label') || (control.labels && control.labels.length
                ? control.labels[0].textContent : control.textContent.trim()))"""
    )
    assert set(names) == CONTROLS


def test_links_lead_to_their_sections(console, server):
    names = ["Channels", "Send", "Clock", "Events", "Presence", "Requests", "Faults", "Production"]
    for name in names:
        link = console.get_by_role("navigation").get_by_role("link", name=name)
        link.click()
        target = console.locator(link.get_attribute("href"))
        expect(target).to_be_in_viewport()
        assert name.lower() in target.get_by_role("heading").inner_text().lower() or name in ("Production",)
    console.goto(f"{server.url}/_emu/")
    console.keyboard.press("Tab")
    expect(console.get_by_role("link", name="Skip to the channels")).to_be_focused()
    console.keyboard.press("Enter")
    expect(console.locator("#channels")).to_be_in_viewport()


def test_it_is_live(console, server):
    client = server.client("anna").open()
    expect(rows(console, "channel")).to_have_count(1)
    expect(rows(console, "channel")).to_contain_text("anna")
    expect(rows(console, "channel")).to_contain_text("attached")
    expect(rows(console, "channel")).to_contain_text("connected")
    expect(rows(console, "presence").first).to_contain_text("connected")
    server.send_message("Anna", "x")
    expect(rows(console, "event").first).to_contain_text("No channel was created for this client id.")
    client.close()
    expect(rows(console, "channel")).to_contain_text("none (1 token)")


TRANSPORTS = {"anna": "WebSocket", "bert": "SDK's wire", "carl": "short or none", "dora": "long poll"}


def test_how_messages_reach_each_socket(console, server):
    server.client("anna", transport="stream").open()
    expect(console.locator("#summary")).to_have_text("1 open socket, 1 channel")
    server.client("dora").open()
    urllib3.request("GET", f"{server.url}/_ah/channel/dev?command=connect&channel={server.create_channel('bert')}")
    urllib3.request("GET", f"{server.url}/_ah/channel/open?channel={server.create_channel('carl')}")
    for client_id, transport in TRANSPORTS.items():
        row = rows(console, "channel").filter(has_text=client_id)
        expect(row.locator("[data-name=transport]")).to_have_text(transport)


@pytest.mark.parametrize("width", [1200, 800])
def test_what_can_be_done_to_a_socket_is_in_sight(console, server, width):
    console.set_viewport_size({"width": width, "height": 900})
    server.client("bert@example.com/room-7/a-client-id-of-some-length").open()
    server.send_message("bert@example.com/room-7/a-client-id-of-some-length", "x" * 30_000)
    expect(rows(console, "channel")).to_contain_text("30000 B")
    for name in ("Close", "Cut", "Expire"):
        expect(rows(console, "channel").get_by_role("button", name=name)).to_be_in_viewport(ratio=1)


def test_sending(console, server):
    client = server.client("<b>anna</b>").open()
    console.get_by_label("Client id", exact=True).first.fill("<b>anna</b>")
    console.get_by_role("textbox", name="Message").fill("שלום <b>")
    console.get_by_role("button", name="Send", exact=True).click()
    expect(console.locator("#send-result")).to_have_text("Sent to 1 socket.")
    assert client.receive(timeout=LONG_ENOUGH) == "שלום <b>"
    expect(rows(console, "channel").locator("th")).to_have_text("<b>anna</b>")
    console.get_by_label("Client id", exact=True).first.fill("nobody")
    console.get_by_role("button", name="Send", exact=True).click()
    expect(console.locator("#send-result")).to_have_text("Dropped: No channel was created for this client id.")


@pytest.mark.parametrize(
    ("button", "outcome"),
    [("Close", "Closed+by+the+server."), ("Expire", "Token+timed+out."), ("Cut", None)],
)
def test_ending_sockets(console, server, button, outcome):
    client = server.client("anna").open()
    console.get_by_role("button", name=f"{button} a socket of anna").click()
    if outcome:
        expect(rows(console, "event").filter(has_text="socket closed")).to_have_count(1)
        assert client.error.description == outcome
    else:
        expect(rows(console, "event").filter(has_text="socket cut")).to_have_count(1)
        server.send_message("anna", "still there")
        assert client.receive(timeout=LONG_ENOUGH) == "still there"


def test_the_clock_and_the_banner(console, server):
    client = server.client("anna").open()
    expect(console.locator("#unreal")).to_be_hidden()
    console.get_by_label("Advance by seconds").fill("600")
    console.get_by_role("button", name="Advance", exact=True).click()
    expect(console.locator("#unreal")).to_contain_text(
        "The time of this emulator is not real: it was advanced by 10 min"
    )
    assert client.error is None
    console.get_by_role("button", name="Advance two hours").click()
    expect(rows(console, "event").filter(has_text="timed out")).to_have_count(1)
    assert client.error.description == "Token+timed+out."
    console.get_by_role("button", name="Freeze").click()
    expect(console.get_by_role("button", name="Freeze")).to_have_attribute("aria-pressed", "true")
    expect(console.locator("#unreal")).to_contain_text("it stands still")
    console.get_by_role("button", name="Freeze").click()
    expect(console.get_by_role("button", name="Freeze")).to_have_attribute("aria-pressed", "false")


def test_faults(console, server):
    console.get_by_label("Stage").select_option("open")
    console.get_by_label("Action").select_option("error")
    console.get_by_label("Error").fill("Invalid+token.")
    console.get_by_label("Times").fill("2")
    console.get_by_role("button", name="Add").click()
    expect(rows(console, "fault")).to_contain_text("open error Invalid+token.")
    assert server.client("anna").open().error.description == "Invalid+token."
    expect(rows(console, "fault").locator("[data-name=happened]")).to_have_text("1")
    console.get_by_role("button", name="Remove fault").click()
    expect(rows(console, "fault")).to_have_count(0)
    assert server.client("anna").open().error is None
    console.get_by_label("Error").fill("nonsense")
    console.get_by_role("button", name="Add").click()
    expect(console.locator("#fault-result")).to_contain_text("An error at open is one of")


FAULTS = [
    ("poll", "delay", {"Seconds": "0.5", "Client id": "anna"}, {"seconds": 0.5, "client_id": "anna"}),
    ("send", "error", {"Error": "BAD_MESSAGE"}, {"error": "BAD_MESSAGE"}),
    ("app", "cut", {"Path": "/updates*", "Probability": "0.25", "Seed": "7"}, {"path": "/updates*", "seed": 7}),
    ("rpc", "duplicate", {"Times": "3"}, {"count": 3}),
    ("presence", "drop", {}, {"client_id": None, "count": None}),
    ("create", "drop", {"Client id": "<b>"}, {"client_id": "<b>"}),
]


@pytest.mark.parametrize(("stage", "action", "fields", "listed"), FAULTS)
def test_every_field_of_a_fault(console, server, stage, action, fields, listed):
    form = console.locator("#fault-form")
    form.get_by_label("Stage").select_option(stage)
    form.get_by_label("Action").select_option(action)
    for label, wanted in {"Seconds": "delay", "Error": "error"}.items():
        expect(form.get_by_label(label)).to_be_visible(visible=action == wanted)
    expect(form.get_by_label("Path")).to_be_visible(visible=stage == "app")
    expect(form.get_by_label("Client id")).to_be_visible(visible=stage != "app")
    for label, value in fields.items():
        form.get_by_label(label).fill(value)
    form.get_by_role("button", name="Add").click()
    expect(rows(console, "fault")).to_contain_text(f"{stage} {action}")
    (fault,) = server.faults.listed()
    assert fault | listed == fault


def test_search_filter_requests_notes_and_reset(console, server):
    first = server.client("anna").open()
    server.client("bert").open()
    server.client("anna").open()
    console.request.get(f"{server.url}/page")
    server.send_message("anna", "x")
    expect(rows(console, "channel")).to_have_count(3)
    expect(rows(console, "request")).to_contain_text("/page")
    expect(console.locator("#notes")).to_contain_text("One client id had two sockets open.")
    console.get_by_label("Search client ids").fill("BER")
    expect(rows(console, "channel")).to_have_count(1)
    expect(console.locator("#found")).to_have_text("1 found")
    for kind, count in (("socket", 3), ("presence", 2), ("fault", 0), ("message", 1)):
        console.get_by_label("Show").select_option(kind)
        expect(rows(console, "event")).to_have_count(count)
    console.once("dialog", lambda dialog: dialog.accept())
    console.get_by_role("button", name="Reset everything").click()
    expect(rows(console, "channel")).to_have_count(0)
    assert first.closed


def seen(page: Page) -> dict[str, str]:
    """What a console shows, less what tells the seconds."""
    tables = {name: rows(page, name).all_inner_texts() for name in ("event", "presence", "fault")}
    return tables | {
        "clients": page.locator("#channel-rows th").all_inner_texts(),
        "summary": page.locator("#summary").inner_text(),
        "unreal": page.locator("#unreal").inner_text(),
        "frozen": page.locator("#freeze").get_attribute("aria-pressed"),
    }


def test_two_consoles_agree(console, server, context):
    other = context.new_page()
    other.goto(f"{server.url}/_emu/")
    server.client("anna").open()
    server.send_message("anna", "x")
    console.get_by_role("button", name="Advance two hours").click()
    other.get_by_role("button", name="Freeze").click()
    other.get_by_role("button", name="Add").click()
    console.locator("#send-client").fill("bert")
    console.locator("#send-text").fill("x")
    console.get_by_role("button", name="Send", exact=True).click()
    for page in (console, other):
        expect(rows(page, "event").first).to_contain_text("bert")
        expect(rows(page, "fault")).to_have_count(1)
        expect(page.locator("#freeze")).to_have_attribute("aria-pressed", "true")
        expect(page.locator("#unreal")).to_contain_text("it was advanced by")
    eventually(lambda: [seen(page) for page in (console, other)], lambda both: both[0] == both[1])
    other.get_by_role("button", name="Freeze").click()


def test_the_time_held_is_a_chart(console, server):
    accounts = server._running.front.accounts
    # How long requests are really held is a busy machine's affair, too.
    accounts.add("/short", held_seconds=0.5, cpu_seconds=None, cut=False)
    accounts.add("/long", held_seconds=1.0, cpu_seconds=None, cut=False)
    accounts.add("/long", held_seconds=1.0, cpu_seconds=None, cut=False)
    server.send_message("nobody", "x")
    expect(rows(console, "request")).to_have_count(2)
    shares = (
        rows(console, "request")
        .locator("td.bar")
        .evaluate_all("bars => bars.map((bar) => bar.style.getPropertyValue('--share'))")
    )
    assert rows(console, "request").locator("th").all_inner_texts() == ["/long", "/short"]
    assert shares == ["100%", "25%"]


def test_left_open_for_a_day_it_does_not_grow(console, server):
    """Thousands of events, channels and paths go by; what the page holds stays what it was after the first of them."""
    broker = server._running.broker
    devtools = console.context.new_cdp_session(console)

    def size():
        devtools.send("HeapProfiler.collectGarbage")
        counted = devtools.send("Memory.getDOMCounters")
        return counted["nodes"], counted["jsEventListeners"], devtools.send("Runtime.getHeapUsage")["usedSize"]

    def busy_hour(number):
        for each in range(150):
            server.send_message(f"client-{number}-{each}", "x")
        for each in range(120):
            broker.close(broker.open(server.create_channel(f"client-{number}-{each}")).socket)
            urllib3.request("GET", f"{server.url}/{number}/{each}")
        server.send_message(f"end-{number}", "x")
        expect(rows(console, "event").filter(has_text=f"end-{number}")).to_have_count(1)

    sizes = []
    for number in range(5):
        busy_hour(number)
        sizes.append(size())
    assert rows(console, "event").count() <= 200
    assert rows(console, "presence").count() <= 200
    assert rows(console, "channel").count() <= 100
    assert rows(console, "request").count() <= 100
    nodes, listeners, heap = sizes[1]
    bounds = (nodes * 1.2, listeners * 1.2, heap * 1.2 + 500_000)
    # A table that is being drawn anew stands there twice for a moment; what has leaked stays.
    eventually(size, lambda last: all(had <= bound for had, bound in zip(last, bounds, strict=True)))


def test_the_keyboard_keeps_its_place_while_things_change(console, server):
    server.client("anna").open()
    button = console.get_by_role("button", name="Cut a socket of anna")
    button.focus()
    for number in range(3):
        server.client(f"bert{number}").open()
        expect(rows(console, "channel")).to_have_count(2 + number)
    expect(button).to_be_focused()
    console.keyboard.press("Enter")
    expect(rows(console, "event").filter(has_text="socket cut")).to_have_count(1)


@pytest.mark.parametrize("count", [150, pytest.param(10_000, marks=pytest.mark.slow)])
def test_with_many_sockets_it_shows_a_hundred_and_finds_the_rest(console, server, count):
    broker = server._running.broker
    broker.clock.freeze(True)  # nobody polls them
    for number in range(count):
        broker.open(broker.create_channel(f"client-{number}").token)
    expect(console.locator("#summary")).to_have_text(f"{count} open sockets, {count} channels")
    expect(rows(console, "channel")).to_have_count(100)
    expect(console.locator("#found")).to_have_text(f"the first 100 of {count}")
    console.get_by_label("Search client ids").fill(f"client-{count - 1}")
    expect(rows(console, "channel")).to_have_count(1)
    assert console.locator("#event-rows tr").count() <= 200
    broker.clock.freeze(False)


def test_it_goes_on_when_the_emulator_comes_back(context, serve):
    emulator = serve()
    page = context.new_page()
    page.goto(f"{emulator.url}/_emu/")
    expect(page.locator("#summary")).to_have_text("0 open sockets, 0 channels")
    emulator.stop()
    expect(page.locator("#away")).to_be_visible()
    emulator.start()
    expect(page.locator("#away")).to_be_hidden()
    emulator.create_channel("anna")
    expect(rows(page, "channel")).to_contain_text("anna")


def busy(server, page):
    """A console with something in every part of it."""
    for client_id, transport in (("anna", "stream"), ("bert", "poll"), ("anna", "stream")):
        server.client(client_id, transport=transport).open()
    server.send_message("anna", "It is your turn.")
    server.send_message("Anna", "x")
    for path, times in (("/updates", 9), ("/", 3)):
        for _ in range(times):
            page.request.get(server.url + path)
    server.faults.add("poll cut probability=0.05 client_id=bert")
    server.advance(300)
    expect(rows(page, "fault")).to_have_count(1)
    expect(rows(page, "channel")).to_have_count(3)
    expect(rows(page, "request")).to_have_count(2)
    expect(page.locator("#unreal")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_violation(console, server, scheme, width):
    axe = parts.need(parts.node_packages) / "axe-core" / "axe.min.js"
    console.emulate_media(color_scheme=scheme)
    console.set_viewport_size({"width": width, "height": 900})
    busy(server, console)
    # As the browser's own tools do it: the page's policy lets no foreign script in.
    console.evaluate(axe.read_text("utf-8"))
    assert console.evaluate(AXE) == []
    assert console.evaluate("document.documentElement.scrollWidth <= innerWidth")
    if width == 1280 and os.environ.get("SCREENSHOTS"):
        console.screenshot(path=str(parts.ROOT / "docs" / "images" / f"console-{scheme}.png"), full_page=True)


def test_no_page_can_frame_it_and_no_foreign_script_runs_in_it(console, server, context):
    headers = context.request.get(f"{server.url}/_emu/").headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"


def test_what_others_write_is_text(console, server):
    """Client ids, messages and paths come from apps and visitors; the console shows them to the developer."""
    hostile = "<img src=x onerror=document.title='taken'>"
    server.client(hostile).open()
    server.send_message(hostile, f"<script>document.title='taken'</script>{hostile}")
    server.send_message(f"{hostile}\"'>", hostile)
    urllib3.request("GET", f"{server.url}/{quote(hostile)}?{quote(hostile)}", retries=False)
    expect(rows(console, "channel").locator("th")).to_have_text(hostile)
    console.reload()
    expect(rows(console, "channel").locator("th")).to_have_text(hostile)
    assert console.locator("img[src=x]").count() == 0
    expect(console).to_have_title("channel-emu console")


def test_without_an_app_the_front_page_leads_to_it(context):
    with ChannelServer() as server:
        page = context.new_page()
        page.goto(server.url)
        expect(page).to_have_title("channel-emu console")
        page.goto(f"{server.url}/_emu")
        expect(page).to_have_title("channel-emu console")
