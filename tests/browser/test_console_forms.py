"""The console's forms and reports: sending, the clock, faults, requests, production, the API, help."""

from __future__ import annotations

import subprocess

import pytest
from playwright.sync_api import expect

from tests.browser.console_page import answer, go, result
from tests.support.waiting import LONG_ENOUGH, eventually


def test_sending(console, server):
    go(console, "send")
    form = console.locator("#send-form")
    client = server.client("<b>anna</b>").open()
    form.get_by_label("Client id").fill("<b>anna</b>")
    form.get_by_label("Message", exact=True).fill("שלום <b>")
    expect(form.locator(".hint")).to_have_text("12 B")
    form.get_by_role("button", name="Send", exact=True).click()
    expect(result(form)).to_contain_text("Sent to 1 socket.")
    assert client.receive(timeout=LONG_ENOUGH) == "שלום <b>"
    form.get_by_label("Client id").fill("<B>anna</B>")
    form.get_by_role("button", name="Send", exact=True).click()
    expect(result(form)).to_contain_text("Dropped. No channel of that name. Near: <b>anna</b>")
    form.get_by_label("Message", exact=True).fill("x" * 32_768)
    expect(form.locator(".hint")).to_contain_text("more than")
    form.get_by_role("button", name="Send", exact=True).click()
    expect(result(form)).not_to_contain_text("Dropped")


def test_client_ids_are_offered(console, server):
    server.create_channel("anna")
    go(console, "send")
    expect(console.locator("#client-ids option")).to_have_attribute("value", "anna")


def test_the_clock_and_the_banner(console, server):
    client = server.client("anna").open()
    go(console, "clock")
    expect(console.locator("#clock-state")).to_have_text("It is the time of this machine.")
    expect(console.locator("#unreal")).to_be_hidden()
    console.get_by_label("Advance by seconds").fill("600")
    console.get_by_role("button", name="Advance", exact=True).click()
    expect(console.locator("#unreal")).to_contain_text("it was advanced by 10 min")
    assert client.error is None
    console.get_by_role("button", name="Advance by 2 hours").click()
    expect(console.locator("#unreal")).to_contain_text("it was advanced by 2 h 10 min")
    assert client.error.description == "Token+timed+out."
    console.get_by_role("button", name="Freeze").click()
    expect(console.locator("#clock-state")).to_contain_text("it stands still")
    console.get_by_role("button", name="Let it go").click()
    expect(console.get_by_role("button", name="Freeze")).to_have_attribute("aria-pressed", "false")
    go(console, "messages")
    expect(console.locator("#unreal")).to_contain_text("it was advanced by 2 h 10 min")


def test_a_reset_asks_first(console, server):
    client = server.client("anna").open()
    go(console, "clock")
    console.get_by_role("button", name="Reset everything").click()
    answer(console, "Cancel")
    assert server.broker.control.channel("anna") is not None
    console.get_by_role("button", name="Reset everything").click()
    console.keyboard.press("Escape")
    expect(console.get_by_role("dialog")).to_have_count(0)
    expect(console.get_by_role("button", name="Reset everything")).to_be_focused()
    console.keyboard.press("Enter")
    answer(console, "Reset everything")
    expect(console.locator("#reset-result")).to_have_text("Everything is forgotten.")
    assert client.closed


def fault_rows(page):
    return page.locator("#fault-rows tr")


def test_faults(console, server):
    go(console, "faults")
    expect(console.get_by_text("No fault is in force")).to_be_visible()
    form = console.locator("#fault-form")
    form.get_by_label("Stage").select_option("open")
    form.get_by_label("Action").select_option("error")
    expect(form.locator(".lead")).to_contain_text("a page opening its socket")
    form.get_by_label("Error").fill("Invalid+token.")
    form.get_by_label("Times").fill("2")
    form.get_by_role("button", name="Add").click()
    expect(fault_rows(console)).to_contain_text("open error Invalid+token.")
    assert server.client("anna").open().error.description == "Invalid+token."
    expect(fault_rows(console).get_by_role("cell").first).to_have_text("1")
    fault_rows(console).get_by_role("button", name="Remove fault").click()
    expect(console.get_by_text("No fault is in force")).to_be_visible()
    form.get_by_label("Error").fill("nonsense")
    form.get_by_role("button", name="Add").click()
    expect(console.locator("#fault-result")).to_contain_text("An error at open is one of")


def test_all_faults_are_removed_once_one_has_said_so(console, server):
    server.faults.add("poll cut")
    server.faults.add("send drop")
    go(console, "faults")
    expect(fault_rows(console)).to_have_count(2)
    console.get_by_role("button", name="Remove all").click()
    answer(console, "Cancel")
    assert len(server.faults.listed()) == 2
    console.get_by_role("button", name="Remove all").click()
    answer(console, "Remove all")
    expect(fault_rows(console)).to_have_count(0)
    assert server.faults.listed() == []


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
    go(console, "faults")
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
    expect(fault_rows(console)).to_contain_text(f"{stage} {action}")
    (fault,) = server.faults.listed()
    assert fault | listed == fault


def test_the_time_held_is_a_chart(console, server):
    go(console, "requests")
    expect(console.get_by_text("No request of your app yet")).to_be_visible()
    accounts = server._running.front.accounts
    # How long requests are really held is a busy machine's affair, too.
    accounts.add("/short", held_seconds=0.5, cpu_seconds=None, cut=False)
    accounts.add("/long", held_seconds=1.0, cpu_seconds=None, cut=True)
    accounts.add("/long", held_seconds=1.0, cpu_seconds=None, cut=False)
    rows = console.locator("#request-rows tr")
    expect(rows).to_have_count(2)
    assert rows.locator("th").all_inner_texts() == ["/long", "/short"]
    shares = rows.locator("td.bar").evaluate_all("bars => bars.map((bar) => bar.style.getPropertyValue('--share'))")
    assert shares == ["100%", "25%"]
    expect(rows.first).to_contain_text("2.00 s")


def test_what_production_would_have_done(console, server):
    go(console, "production")
    expect(console.get_by_text("Nothing so far that would have differed")).to_be_visible()
    server.client("anna").open()
    server.client("anna").open()
    expect(console.locator("#note-list")).to_contain_text("One client id had two sockets open.")
    expect(console.locator("#note-list")).to_contain_text("Source:")


def test_the_openapi_document_is_readable(console, server):
    go(console, "api")
    document = console.request.get(f"{server.url}/_emu/openapi.json").json()
    operations = [f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item]
    shown = console.locator(".operation > summary")
    expect(shown).to_have_count(len(operations))
    texts = shown.evaluate_all(
        "all => all.map((one) => [...one.children].slice(0, 2).map((part) => part.textContent).join(' '))"
    )
    assert texts == operations
    send = console.locator(".operation").filter(has_text="POST/_emu/messages")
    send.locator("summary").click()
    expect(send).to_contain_text("At most 32767 bytes of UTF-8.")
    expect(send).to_contain_text("curl -s")
    expect(send).to_contain_text("delivered_to: integer")


def test_each_command_of_the_api_is_one_that_works(console, server):
    server.client("anna").open()
    server.send_message("anna", "hello")
    go(console, "api")
    expect(console.locator(".operation")).not_to_have_count(0)
    commands = console.locator(".operation pre.payload").evaluate_all("all => all.map((one) => one.textContent)")
    assert len(commands) > 20
    for command in commands:
        asked = ["bash", "-c", f"{command} -o /dev/null -w '%{{http_code}}'"]
        status = subprocess.run(asked, capture_output=True, text=True, timeout=LONG_ENOUGH, check=True).stdout
        assert status in ("200", "404"), (command, status)


def test_help_has_the_address_and_leads_on(console, server):
    go(console, "help")
    expect(console.locator("main")).to_contain_text(server.url)
    links = console.locator(".questions a")
    addresses = eventually(lambda: links.evaluate_all("all => all.map((one) => one.getAttribute('href'))"), len)
    assert {"#/messages", "#/clients", "#/send", "#/faults"} <= set(addresses)
    expect(console.get_by_role("link", name="README.md")).to_be_visible()
    for link in console.locator("a[href^='/_emu/docs/']:visible").all():
        assert console.request.get(server.url + link.get_attribute("href")).text().startswith("# ")
