"""The console's clients, their sockets and what can be done to them, and a page of the console's own."""

from __future__ import annotations

import re

import pytest
import urllib3
from playwright.sync_api import expect

from tests.browser.console_page import answer, clients, detail, go, newest, result, rows, visit
from tests.browser.page_app import told
from tests.support.waiting import LONG_ENOUGH, eventually

pytestmark = pytest.mark.slow


@pytest.fixture
def table(console):
    go(console, "clients")
    expect(console.get_by_text("No channel yet")).to_be_visible()
    return console


def test_a_row_for_each_client_id_with_its_sockets(table, server):
    server.client("anna").open()
    server.client("anna").open()
    server.create_channel("bert")
    expect(clients(table)).to_have_count(2)
    anna, bert = (clients(table).filter(has=table.get_by_role("link", name=name)) for name in ("anna", "bert"))
    expect(anna.get_by_role("row")).to_have_count(2)
    expect(anna).to_contain_text("connected")
    expect(anna).to_contain_text("in 120 min")
    expect(bert).to_contain_text("none open, 1 token")
    expect(bert).to_contain_text("not connected")
    expect(table.locator(".found:visible")).to_have_text("2 clients, 2 open sockets")


TRANSPORTS = {"anna": "WebSocket", "bert": "SDK's wire", "carl": "short or none", "dora": "long poll"}


@pytest.fixture
def time_stands_still(server):
    """Else a page between two polls is taken for one that has gone, on a busy machine."""
    server.broker.clock.freeze(True)
    yield
    server.broker.clock.freeze(False)


@pytest.mark.usefixtures("time_stands_still")
def test_how_messages_reach_each_socket(table, server):
    server.client("anna", transport="stream").open()
    server.client("dora").open()
    expect(clients(table)).to_have_count(2)
    urllib3.request("GET", f"{server.url}/_ah/channel/dev?command=connect&channel={server.create_channel('bert')}")
    urllib3.request("GET", f"{server.url}/_ah/channel/open?channel={server.create_channel('carl')}")
    for client_id, transport in TRANSPORTS.items():
        expect(clients(table).filter(has_text=client_id).locator(".transport")).to_have_text(transport)


@pytest.mark.parametrize(
    ("button", "asks", "outcome", "error"),
    [
        ("Close", True, "Closed", "Closed+by+the+server."),
        ("Expire", True, "Expired", "Token+timed+out."),
        ("Cut", False, "Cut", None),
    ],
)
def test_what_can_be_done_to_a_socket_and_what_came_of_it(table, server, button, asks, outcome, error):
    client = server.client("anna").open()
    table.get_by_role("button", name=f"{button} a socket of anna").click()
    if asks:
        answer(table, "Cancel")
        assert client.error is None
        table.get_by_role("button", name=f"{button} a socket of anna").click()
        answer(table, button)
    expect(result(clients(table))).to_contain_text(outcome)
    if error:
        expect(clients(table)).to_contain_text("none open")
        assert client.error.description == error
    else:
        server.send_message("anna", "still there")
        assert client.receive(timeout=LONG_ENOUGH) == "still there"


def test_the_keyboard_keeps_its_place_while_clients_come(table, server):
    server.client("bert").open()
    button = table.get_by_role("button", name="Cut a socket of bert")
    button.focus()
    for name in ("anna", "carl", "dora"):
        server.client(name).open()
        expect(clients(table).filter(has_text=name)).to_have_count(1)
    expect(button).to_be_focused()
    table.keyboard.press("Enter")
    expect(result(clients(table))).to_contain_text("Cut")


def test_searching_and_the_keys(table, server):
    for name in ("anna", "bert", "carl"):
        server.client(name).open()
    expect(clients(table)).to_have_count(3)
    keys, focused = table.keyboard, table.locator("*:focus")
    keys.press("/")
    keys.type("BER")
    expect(clients(table)).to_have_count(1)
    keys.press("Escape")
    expect(clients(table)).to_have_count(3)
    table.get_by_role("link", name="bert").focus()
    keys.press("k")
    expect(focused).to_have_text("anna")
    keys.press("j")
    expect(focused).to_have_text("bert")
    keys.press("Enter")
    expect(detail(table).get_by_role("heading", level=2)).to_have_text("bert")
    keys.press("Escape")
    expect(detail(table)).to_have_count(0)
    table.get_by_label("Search client ids").fill("nobody")
    expect(table.get_by_text("No client id matches")).to_be_visible()


def test_one_client_its_messages_and_why_they_do_not_come(console, server):
    server.client("anna").open()
    server.send_message("anna", "hello")
    server.send_message("Anna", "lost")
    go(console, "client/anna")
    opened = detail(console)
    expect(opened).to_contain_text("1 open socket, 1 valid token")
    expect(opened.get_by_role("list", name="Its latest messages").get_by_role("listitem")).to_have_count(1)
    expect(opened.locator(".findings")).to_contain_text('"Anna"')
    opened.get_by_role("textbox", name="Message").fill("from the console")
    opened.get_by_role("button", name="Send", exact=True).click()
    expect(result(opened).first).to_have_text("Sent to 1 socket.")
    expect(opened.get_by_role("list", name="Its latest messages").get_by_role("listitem")).to_have_count(2)
    go(console, "client/Anna")
    expect(opened).to_contain_text("There is no channel to this client id.")
    expect(opened.locator(".findings")).to_contain_text("No channel of that name", ignore_case=True)


def test_a_client_id_of_any_kind_has_an_address(console, server):
    for client_id in ("a/b?c=d#e", "100%", "%41", "שלום anna", "<b>", "__proto__", "..", "#/clients", "é" * 128):
        server.client(client_id).open()
        go(console, "clients")
        console.get_by_role("link", name=client_id, exact=True).click()
        expect(detail(console).get_by_role("heading", level=2)).to_have_text(client_id)
        expect(detail(console)).to_contain_text("1 open socket")


def test_messages_to_an_empty_client_id(console, server):
    server.send_message("anna", "hers")
    server.send_message("", "to nobody")
    rows(console).filter(has_text="to nobody").click()
    detail(console).get_by_role("link", name="(empty)").first.click()
    opened = detail(console)
    expect(opened.get_by_role("heading", level=2)).to_have_text("(empty)")
    expect(opened).to_contain_text("There is no channel to this client id.")
    expect(opened.locator(".findings")).to_contain_text("The client id is empty", ignore_case=True)
    latest = opened.get_by_role("list", name="Its latest messages").get_by_role("listitem")
    expect(latest).to_have_count(1)
    expect(latest).to_contain_text("to nobody")
    expect(result(opened)).to_have_count(0)


def test_that_a_page_has_fetched_its_messages_is_seen(table, server):
    """Of that there is no event."""
    client = server.client("anna").open()
    server.send_message("anna", "hello")
    unread = clients(table).locator("td[data-label=Unread]")
    expect(unread).to_have_text("1 (5 B)")
    assert client.receive(timeout=LONG_ENOUGH) == "hello"
    expect(unread).to_have_text("0")


def test_the_keyboard_keeps_its_place_while_sockets_go(table, server):
    first, _ = server.client("anna").open(), server.client("anna").open()
    rows_of_anna = clients(table).get_by_role("row")
    expect(rows_of_anna).to_have_count(2)
    link = table.get_by_role("link", name="anna")
    link.focus()
    first.close()
    expect(rows_of_anna).to_have_count(1)
    expect(link).to_be_focused()


def test_a_thousand_sockets_of_one_client_id(console, server):
    broker = server._running.broker
    token = server.create_channel("anna")
    for _ in range(1_000):
        broker.open(token)
    server.send_message("anna", "hello")
    go(console, "clients")
    expect(clients(console)).to_contain_text("and 995 more")
    go(console, "client/anna")
    expect(detail(console)).to_contain_text("1,000 open sockets")
    expect(detail(console)).to_contain_text("and 900 more sockets")
    go(console, f"message/{newest(server)}")
    expect(detail(console)).to_contain_text("and 900 more sockets")


# A page of your own


def open_page(console, client_id):
    console.get_by_label("Client id of your page").fill(client_id)
    console.get_by_role("button", name="Open", exact=True).click()


def wait_for_its_stream(server):
    """A page that has not come to wait yet is one that has gone, once the clock is advanced."""
    eventually(
        lambda: [socket.transport for socket in server.broker.control.channel("anna").sockets_shown],
        lambda transports: transports == ["stream"],
    )


def test_a_page_of_your_own_asks_first(console, server):
    go(console, "send")
    open_page(console, "anna")
    expect(console.get_by_role("dialog")).to_contain_text("connected/")
    answer(console, "Cancel")
    expect(console.locator(".own-state")).to_have_text("No page of your own is open.")
    assert server.broker.control.channel("anna") is None


def test_make_a_channel_and_say_hello(console, server):
    """What an empty console tells to do, from its first link to the message that arrives."""
    told.clear()
    console.get_by_role("link", name="Make a channel and say hello").click()
    open_page(console, "anna")
    console.keyboard.press("Enter")
    expect(console.locator(".own-state")).to_have_text("Open: anna")
    eventually(lambda: [post["path"] for post in told], lambda paths: paths[:1] == ["connected"])
    expect(console.get_by_role("link", name="Your page: anna")).to_be_visible()
    expect(console.locator("#send-text")).to_be_focused()
    expect(console.locator("#send-client")).to_have_value("anna")
    console.keyboard.type("hello <b>")
    console.keyboard.press("Control+Enter")
    expect(console.locator("#received")).to_contain_text("hello <b>")
    expect(result(console.locator("#send-form"))).to_contain_text("Sent to 1 socket.")
    result(console.locator("#send-form")).get_by_role("link", name=f"Message {newest(server)}").click()
    expect(detail(console).locator("pre")).to_have_text("hello <b>")


def test_a_page_of_your_own_is_marked_as_such(console, server, context):
    go(console, "send")
    open_page(console, "anna")
    answer(console, "Open")
    expect(console.locator(".own-state")).to_have_text("Open: anna")
    other = context.new_page()
    visit(other, server.url, "clients")
    expect(clients(other)).to_contain_text("a console's page")
    go(other, "messages")
    expect(rows(other).filter(has_text="socket opened")).to_contain_text("Opened by console")
    go(console, "messages")
    server.send_message("anna", "while you look elsewhere")
    console.get_by_role("link", name="Your page: anna").click()
    expect(console.locator("#received")).to_contain_text("while you look elsewhere")
    console.get_by_role("button", name="Close the page").click()
    expect(console.locator(".own-state")).to_have_text(re.compile("^Closed: anna"))
    go(other, "clients")
    expect(clients(other)).to_contain_text("none open")
    expect(console.get_by_role("link", name="Your page: anna")).to_be_hidden()


def test_another_page_of_your_own_takes_the_place_of_the_first(console, server):
    go(console, "send")
    for name in ("anna", "bert"):
        open_page(console, name)
        answer(console, "Open")
        expect(console.locator(".own-state")).to_have_text(f"Open: {name}")
    eventually(lambda: server.broker.control.sockets_of("anna"), lambda ids: not ids)
    assert len(server.broker.control.sockets_of("bert")) == 1


def test_a_page_of_your_own_says_what_went_wrong(console, server):
    go(console, "send")
    open_page(console, "x" * 300)
    answer(console, "Open")
    expect(console.locator("#own-result")).not_to_be_empty()
    open_page(console, "anna")
    answer(console, "Open")
    expect(console.locator(".own-state")).to_have_text("Open: anna")
    wait_for_its_stream(server)
    server.advance(3 * 60 * 60)
    expect(console.locator("#own-result")).to_contain_text("401 Token timed out.")
    expect(console.locator(".own-state")).to_have_text("Closed: anna")


def test_a_page_of_your_own_stays_open_if_another_cannot_be(console, server):
    go(console, "send")
    open_page(console, "anna")
    answer(console, "Open")
    expect(console.locator(".own-state")).to_have_text("Open: anna")
    open_page(console, "x" * 300)
    answer(console, "Open")
    expect(console.locator("#own-result")).not_to_be_empty()
    expect(console.locator(".own-state")).to_have_text("Open: anna")
    assert len(server.broker.control.sockets_of("anna")) == 1


def test_what_went_wrong_with_one_page_is_not_told_of_the_next(console, server):
    go(console, "send")
    open_page(console, "anna")
    answer(console, "Open")
    expect(console.locator(".own-state")).to_have_text("Open: anna")
    wait_for_its_stream(server)
    server.advance(3 * 60 * 60)
    expect(console.locator("#own-result")).to_contain_text("401")
    go(console, "client/bert")
    detail(console).get_by_role("button", name="Open a page of your own").click()
    answer(console, "Open")
    expect(console.locator(".own-state")).to_have_text("Open: bert")
    expect(console.locator("#own-result")).to_be_empty()
