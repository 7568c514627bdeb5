"""The app behind the whole emulator: what a cut leaves behind, and presence."""

from __future__ import annotations

import logging
import re
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from appengine_channel_emu.host.app_kinds import python3_backend
from appengine_channel_emu.host.origins.instance import AppSpec
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from tests.support.waiting import LONG_ENOUGH, eventually, until


@pytest.fixture
def serve(tmp_path):
    """Serve an app with this source; settings as given."""
    services = []

    def start(source, **settings):
        (tmp_path / "main.py").write_text(textwrap.dedent(source))
        values = Settings(port=0, state_dir="none", **settings)

        def backend(address):
            return python3_backend(AppSpec("main:app", tmp_path, address), values.request_deadline)

        service = Service(values, backend)
        services.append(service)
        service.start()
        return service

    yield start
    for service in services:
        service.stop()


def get(service, target, **options):
    return urllib3.request("GET", service.url + target, timeout=LONG_ENOUGH, retries=False, **options)


def events(service, kind):
    return [event for event in service.broker.events.after(0) if event.kind == kind]


# The deadline


def test_a_cut_is_an_event_a_log_line_and_an_account(serve, caplog):
    service = serve(
        """
        import threading, time

        def app(environ, start_response):
            if environ["PATH_INFO"] == "/lock":
                threading.Lock().acquire() and threading.Event().wait()
            if environ["PATH_INFO"] == "/spin":
                while True:
                    pass
            start_response("200 OK", [])
            return [b"ok"]
        """,
        request_deadline=0.4,
    )
    with caplog.at_level(logging.WARNING, "channel_emu.event"):
        assert get(service, "/spin?a=secret").status == 500
        assert get(service, "/lock").status == 500
        assert get(service, "/").data == b"ok"
        eventually(lambda: events(service, "request_cut"), lambda found: len(found) == 2)
    spin, lock = [record.getMessage() for record in caplog.records if "was cut" in record.getMessage()]
    assert spin.startswith("/spin was cut at its deadline, after ")
    assert " s with 0." in spin
    assert "Channel API" in spin
    assert "secret" not in spin
    assert re.match(r"/lock was cut at its deadline, after \d\.\d s with 0\.0", lock)
    accounts = {account.path: account for account in service.front.accounts.all()}
    assert (accounts["/spin"].cut, accounts["/lock"].cut, accounts["/"].cut) == (1, 1, 0)
    assert accounts["/spin"].cpu_seconds > 5 * accounts["/lock"].cpu_seconds


def test_who_waits_too_long_for_a_thread_is_told(serve, monkeypatch, tmp_path):
    monkeypatch.setattr("appengine_channel_emu.server.threads.QUEUE_SECONDS", 0.5)
    service = serve(
        """
        import os, time

        def app(environ, start_response):
            if environ["PATH_INFO"] == "/wait":
                open("waiting", "w").close()
                while not os.path.exists("gate"):
                    time.sleep(0.01)
            start_response("200 OK", [])
            return [b"ok"]
        """,
        threads=1,
        request_deadline=LONG_ENOUGH,
    )
    with ThreadPoolExecutor() as pool:
        busy = pool.submit(get, service, "/wait")
        until((tmp_path / "waiting").exists)
        started = time.monotonic()
        refused = get(service, "/queued")
        assert time.monotonic() - started >= 0.5
        assert (refused.status, b"all busy" in refused.data) == (503, True)
        assert not busy.done()
        (tmp_path / "gate").touch()
        assert busy.result().data == b"ok"
    assert get(service, "/").data == b"ok"


# Presence

CHAT = """
    import json, threading
    from urllib.parse import parse_qs

    from google.appengine.api import channel

    told = []
    gate = threading.Event()

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        body = b""
        if path.startswith("/_ah/channel/"):
            form = parse_qs(environ["wsgi.input"].read().decode())
            names = ("REMOTE_ADDR", "REQUEST_METHOD", "HTTP_HOST", "CONTENT_TYPE", "HTTP_COOKIE", "HTTP_ORIGIN")
            told.append([path, form["from"][0], {name: environ.get(name) for name in names}])
            if form["from"][0] == "hanging":
                gate.wait()
            channel.send_message(form["from"][0], "welcome")
        elif path == "/told":
            body = json.dumps(told).encode()
        elif path == "/gate":
            gate.set()
        start_response("200 OK", [("Set-Cookie", "session=1; Path=/")])
        return [body]
"""


def opened(service, client_id):
    """The answer to `open`."""
    token = service.broker.create_channel(client_id).token
    answer = get(service, f"/_ah/channel/open?channel={token}", headers={"Cookie": "session=1"})
    assert answer.status == 200, answer.data
    return answer.json()


def test_the_app_is_told_as_it_was_on_the_real_servers(serve):
    service = serve(CHAT)
    client_id = "bob@example.com/ä &+%20"
    socket = opened(service, client_id)
    path, told_of, seen = get(service, "/told").json()[0]
    assert (path, told_of) == ("/_ah/channel/connected/", client_id)
    assert seen == {
        "REMOTE_ADDR": "0.1.0.10",
        "REQUEST_METHOD": "POST",
        "HTTP_HOST": service.address,
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "HTTP_COOKIE": None,
        "HTTP_ORIGIN": None,
    }
    # Sent from inside the handler, before the page could open.
    poll = get(service, f"/_ah/channel/poll?socket={socket['socket']}&after=0&wait=5").json()
    assert poll["messages"] == ["welcome"]
    assert [event.detail["status"] for event in events(service, "presence_sent")] == [200]


def test_a_handler_that_hangs_delays_no_page_for_long_and_nobody_else(serve):
    service = serve(CHAT, request_deadline=LONG_ENOUGH)
    opened(service, "hanging")
    # The page is there, and so are twenty others, while that handler still runs.
    for n in range(20):
        opened(service, f"client {n}")
    eventually(lambda: len(events(service, "presence_sent")), lambda count: count == 20)
    assert len(get(service, "/told").json()) == 21
    get(service, "/gate")
    eventually(lambda: len(events(service, "presence_sent")), lambda count: count == 21)


def test_a_handler_that_never_ends_is_cut_like_any_other(serve):
    service = serve(CHAT, request_deadline=0.5)
    opened(service, "hanging")
    failed = eventually(lambda: events(service, "presence_failed"), bool)
    assert failed[0].client_id == "hanging"
    assert "did not answer in time" in failed[0].text
    assert get(service, "/told").json() == []  # a new instance


@pytest.mark.parametrize("handler", ["raise ValueError('no')", "start_response('404 Not Found', []); return [b'']"])
def test_a_handler_that_fails_is_an_event_and_no_error_to_the_page(handler, serve):
    service = serve(f"def app(environ, start_response):\n    {handler}\n")
    assert opened(service, "bob")["client"] == "bob"
    status = 500 if "raise" in handler else 404
    failed = eventually(lambda: events(service, "presence_failed"), bool)
    assert (failed[0].detail["status"], failed[0].client_id) == (status, "bob")
