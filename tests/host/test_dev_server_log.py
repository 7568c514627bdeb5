"""The dev server's log on its way to ours: one request, one line."""

from __future__ import annotations

import contextlib
import logging
import os

import pytest

from appengine_channel_emu.host.origins.dev_server_log import DevServerLog

START = "INFO     2026-12-01 04:00:00,123 "


def line(request, status="200 5", module="default"):
    return f'{START}module.py:865] {module}: "{request} HTTP/1.1" {status}'


@pytest.fixture
def world(capsys):
    """`write`s as the dev server does; `log` is the log, and `shown` what has come through since it was asked last."""

    class World:
        def __init__(self):
            self.reading, self.writing = os.pipe()
            self.log = DevServerLog(self.reading)

        def write(self, *lines):
            os.write(self.writing, "".join(f"{each}\n" for each in lines).encode("utf-8", "surrogateescape"))

        def shown(self):
            return [each.removeprefix("dev_appserver | ") for each in capsys.readouterr().err.splitlines()]

        def ends(self):
            os.close(self.writing)
            self.log.pass_on()

    made = World()
    yield made
    with contextlib.suppress(OSError):
        made.ends()


def test_the_line_of_a_request_of_ours_goes_and_the_apps_own_are_there_before_its_end(world):
    with world.log.of_request("GET", "/a?b=%41"):
        world.write(f"{START}main.py:9] hello", "printed", line("GET /a?b=%41"))
    assert world.shown() == [f"{START}main.py:9] hello", "printed"]


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ("GET /~ann/%E4%b8%ad?q=~", "GET /%7Eann/%E4%B8%AD?q=~"),
        ("POST /_ah/channel/connected/", "POST /_ah/channel/connected/"),
        ("GET /a%20b", "GET /a%20b"),
        ("GET /a%3A//b", "GET /a%3A//b"),
    ],
)
def test_a_path_is_the_same_however_it_is_escaped(world, asked, written):
    with world.log.of_request(*asked.split(" ")):
        world.write(line(written, "404 -", "worker"))
    assert world.shown() == []


def test_of_what_did_not_go_through_us_the_line_stays(world):
    task = line("POST /task", "200 -")
    with world.log.of_request("GET", "/task"):
        world.write(task, line("GET /task"), line("GET /task"))
    world.write(line("GET /task"))
    world.ends()
    assert world.shown() == [task, line("GET /task"), line("GET /task")]


def test_of_two_that_are_called_the_same_each_line_goes(world):
    with world.log.of_request("GET", "/"):
        with world.log.of_request("GET", "/"):
            world.write(line("GET /"))
        world.write(line("GET /"))
    assert world.shown() == []


def test_an_apps_line_that_says_the_same_stays(world):
    theirs = f'{START}main.py:865] default: "GET / HTTP/1.1" 200 5'
    with world.log.of_request("GET", "/"):
        world.write(theirs, '"GET / HTTP/1.1" 200 5', line("GET /"))
    assert world.shown() == [theirs, '"GET / HTTP/1.1" 200 5']


def test_at_the_level_debug_all_are_there(world, caplog):
    caplog.set_level(logging.DEBUG, "channel_emu.sdk")
    with world.log.of_request("GET", "/"):
        world.write(line("GET /"))
    assert world.shown() == [line("GET /")]


def test_addresses_that_are_not_the_emulators_are_not_named(world):
    world.write(
        f"{START}api_server.py:282] Starting API server at: http://127.0.0.1:27787",
        f'{START}dispatcher.py:267] Starting module "default" running at: http://127.0.0.1:27756',
        f'{START}dispatcher.py:267] Starting module "worker" running at: http://127.0.0.1:27757',
        f'{START}module.py:1915] New instance for module "default" serving on:',
        "http://127.0.0.1:27756",
        "",
        "",
        "http://127.0.0.1:1234",
    )
    world.ends()
    assert world.shown() == [
        f'{START}dispatcher.py:267] Starting module "worker" running at: http://127.0.0.1:27757',
        "",
        "http://127.0.0.1:1234",
    ]


def test_its_last_words_are_kept_and_half_a_line_is_one(world):
    world.write("Traceback (most recent call last):", '  File "/sdk/x.py", line 1', "    boom()", "ImportError: \udcff")
    os.write(world.writing, b"and the e")
    world.ends()
    assert world.log.last_words() == "\ndev_appserver | ImportError: \ufffd\ndev_appserver | and the e"
    assert world.shown()[-1] == "and the e"
