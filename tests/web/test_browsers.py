"""Which requests are of one browser, and which are navigations."""

from __future__ import annotations

import pytest

from appengine_channel_emu.web.wsgi import LONGEST_AGENT, browser_of, is_navigation

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"


def asked(address, agent=CHROME):
    return browser_of({"REMOTE_ADDR": address, "HTTP_USER_AGENT": agent})


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "127.0.0.7", "::ffff:127.0.0.1"])
def test_this_machine_is_one_by_each_of_its_addresses(address):
    assert asked(address) == asked("127.0.0.1")


def test_an_address_is_the_same_however_it_is_written():
    assert asked("::ffff:10.0.0.7") == asked("10.0.0.7")
    assert asked("fe80::1%eth0") == asked("fe80:0::1")


def test_other_addresses_and_agents_are_other_browsers():
    addresses = ("127.0.0.1", "10.0.0.7", "10.0.0.8", "2001:db8::1")
    assert len({asked("127.0.0.1", "Firefox"), *(asked(address) for address in addresses)}) == 5


@pytest.mark.parametrize("environ", [{"REMOTE_ADDR": "127.0.0.1"}, {"REMOTE_ADDR": "127.0.0.1", "HTTP_USER_AGENT": ""}])
def test_without_an_agent_no_browser_is_known(environ):
    assert browser_of(environ) is None


def test_all_sockets_of_a_browser_refer_to_one_text():
    agents = ["".join([CHROME, "!"]) for _ in "12"]
    assert asked("127.0.0.1", agents[0]) is asked("127.0.0.1", agents[1])


def test_an_endless_agent_is_cut_short():
    assert len(asked("127.0.0.1", "x" * 60_000)) < LONGEST_AGENT + 50


@pytest.mark.parametrize(
    ("headers", "navigation"),
    [
        # A form into a frame, and a click, in browsers that say what they fetch for.
        ({"SEC_FETCH_MODE": "navigate", "SEC_FETCH_DEST": "iframe"}, True),
        ({"SEC_FETCH_MODE": "navigate", "SEC_FETCH_DEST": "document"}, True),
        # fetch and XMLHttpRequest, whatever they ask for.
        ({"SEC_FETCH_MODE": "cors", "SEC_FETCH_DEST": "empty", "ACCEPT": "*/*"}, False),
        ({"SEC_FETCH_MODE": "same-origin", "SEC_FETCH_DEST": "empty", "ACCEPT": "text/html, */*; q=0.01"}, False),
        ({"SEC_FETCH_MODE": "no-cors", "SEC_FETCH_DEST": "script"}, False),
        # Browsers that do not say so: Chromium on plain http, Internet Explorer, old Safari.
        ({"ACCEPT": "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"}, True),
        ({"ACCEPT": "text/html, application/xhtml+xml, */*"}, True),
        ({"ACCEPT": "*/*"}, False),
        ({"ACCEPT": "text/html, */*; q=0.01", "X_REQUESTED_WITH": "XMLHttpRequest"}, False),
        ({"ACCEPT": "application/json, text/javascript, */*; q=0.01"}, False),
        ({}, False),
    ],
)
def test_navigations(headers, navigation):
    assert is_navigation({f"HTTP_{name}": value for name, value in headers.items()}) == navigation
