"""What the admin API needs of a real server: cut connections, health while the app starts, a clock that goes."""

from __future__ import annotations

import socket
import threading

import pytest
import urllib3

from tests.support.waiting import LONG_ENOUGH, until


@pytest.fixture
def http():
    pool = urllib3.PoolManager(retries=False, timeout=LONG_ENOUGH)
    yield pool
    pool.clear()


def test_cutting_breaks_the_connection_of_a_parked_poll_and_the_socket_lives_on(service, http):
    opened = service.broker.open(service.broker.create_channel("bob").token)
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=LONG_ENOUGH)
    connection.sendall(
        f"GET /_ah/channel/poll?socket={opened.socket}&after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    )
    until(lambda: service.broker._sockets.get(opened.socket).receiver is not None)
    answer = http.request("POST", f"{service.url}/_emu/sockets", json={"action": "cut", "socket": opened.socket})
    assert answer.json() == {"sockets": 1}
    assert connection.recv(1000) == b""
    assert service.broker.send_message("bob", "still there").delivered_to == 1


def test_ready_only_once_the_app_is(make_service, slow_app, http):
    seen = {}
    started = threading.Event()

    def start():
        port = started_service[0].port
        for state in ("ready", "live"):
            answer = http.request("GET", f"http://127.0.0.1:{port}/_emu/health/{state}")
            seen[state] = (answer.status, answer.json()["status"])
        started.set()

    from appengine_channel_emu.server.service import Service
    from appengine_channel_emu.settings import Settings

    slow_app.start = start
    started_service = [Service(Settings(port=0, state_dir="none"), lambda address: slow_app)]
    try:
        started_service[0].start()
        assert seen == {"ready": (503, "not ready"), "live": (200, "live")}
        assert http.request("GET", f"{started_service[0].url}/_emu/health").status == 200
    finally:
        started_service[0].stop()


def test_the_settings_can_be_read(make_service, http):
    service = make_service(tabs="single")
    settings = http.request("GET", f"{service.url}/_emu/settings").json()["settings"]
    assert settings["tabs"] == "single"
    assert settings["request-deadline"] == 30.0


def test_a_frozen_clock_stands_still_until_it_is_let_go(service, http):
    def clock(body):
        return http.request("POST", f"{service.url}/_emu/clock", json=body).json()

    frozen = clock({"frozen": True})
    assert frozen["frozen"]
    assert clock({"advance": 60})["now"] == frozen["now"] + 60
    assert service.broker.clock.now() == service.broker.clock.now()
    going = clock({"frozen": False})
    assert not going["frozen"]
    assert going["now"] >= frozen["now"] + 60
