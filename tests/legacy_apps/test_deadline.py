"""The deadline inside the SDK's runtime, measured through the front door (behaviour.md 6)."""

from __future__ import annotations

import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.legacy_apps.conftest import Watcher, page_at
from tests.support.legacy import APPS, emulated
from tests.support.waiting import eventually

DEADLINE = 1.0
PAGE = "within 1 seconds"


WITHIN = 3.0
"""Seconds after the deadline in which the visitor is answered; the rule is one, on a machine that is not busy."""


def timed(http, url, **more):
    """Status, text and how long it took."""
    started = time.monotonic()
    answer = http.request("GET", url, **more)
    return answer.status, answer.data.decode(), time.monotonic() - started


def instance(http, notes):
    return http.request("GET", f"{notes.url}/environ").json()["instance"]


@pytest.mark.parametrize("how", ["sleep", "spin"])
def test_a_handler_that_can_be_interrupted_is(how, notes, http):
    """So its instance lives on."""
    before = instance(http, notes)
    status, text, held = timed(http, f"{notes.url}/slow/{how}")
    assert status == 500
    assert PAGE in text
    assert DEADLINE <= held < DEADLINE + WITHIN
    assert instance(http, notes) == before


@pytest.mark.parametrize("how", ["swallow", "lock", "regex"])
def test_a_handler_that_goes_on_costs_its_instance(how, notes, http):
    """The error is caught and forgotten; a lock does not notice; a regular expression holds the interpreter."""
    before = instance(http, notes)
    status, text, held = timed(http, f"{notes.url}/slow/{how}")
    assert status == 500
    assert PAGE in text
    assert DEADLINE <= held < DEADLINE + WITHIN
    assert instance(http, notes) != before


def test_a_handler_that_catches_the_error_answers(notes, http):
    status, text, held = timed(http, f"{notes.url}/slow/catch")
    assert (status, text) == (503, "caught: The overall deadline for responding to the HTTP request was exceeded.")
    assert DEADLINE <= held < DEADLINE + WITHIN


def test_the_other_requests_of_a_replaced_instance_end_in_peace(notes, http):
    """And the app is served meanwhile, by the new one."""
    watcher = Watcher(notes, http)
    url = f"{notes.url}/slow/swallow?watcher={watcher.client_id}"
    with ThreadPoolExecutor() as pool:
        stuck = pool.submit(timed, http, url)
        # Its deadline, and half a second before it is given up.
        watcher.wait_for("struck")
        neighbour = pool.submit(timed, http, f"{notes.url}/slow/some?seconds={DEADLINE * 0.65}")
        assert stuck.result()[0] == 500
        assert http.request("GET", f"{notes.url}/environ").status == 200
        assert neighbour.result()[:2] == (200, "done")


def test_each_cut_is_in_the_log_with_path_time_and_cpu(notes, http):
    timed(http, f"{notes.url}/slow/spin?for=ever")
    lines = [line for line in notes.log.read_text().splitlines() if "was cut at its deadline" in line]
    assert "/slow/spin was cut at its deadline, after 1." in lines[-1]
    assert "s of CPU" in lines[-1]
    assert "Channel API" in lines[-1]


def test_a_task_has_ten_minutes(notes, http):
    """It takes longer than a visitor's request may."""
    assert http.request("POST", f"{notes.url}/add?how=slow_task", fields={"text": "from a slow task"}).status == 200
    give_up = time.monotonic() + 20
    while "from a slow task" not in http.request("GET", notes.url).data.decode() and time.monotonic() < give_up:
        time.sleep(0.1)
    assert "from a slow task" in http.request("GET", notes.url).data.decode()


def test_cron_has_ten_minutes_too(tmp_path, http):
    """Run by hand, on the page of the SDK's admin server."""
    app = tmp_path / "app"
    shutil.copytree(APPS / "webapp2_ndb", app)
    job = "/slow/some?seconds=2"
    (app / "cron.yaml").write_text(f"cron:\n- description: slow\n  url: {job}\n  schedule: every 24 hours\n")
    with emulated(app, tmp_path / "log", "--request-deadline", "1") as emulator:
        assert http.request("GET", emulator.url + job).status == 500
        admin = re.search(r"admin server .*: (http://\S+)", emulator.log.read_text())[1]
        eventually(lambda: page_at(http, f"{admin}/cron"), lambda page: job in page)
        # The pages share a token; this one has it in a form.
        token = re.search(r'name="xsrf_token" value="(\w+)"', page_at(http, f"{admin}/memcache"))[1]
        answer = http.request("POST", f"{admin}/cron", fields={"url": job, "target": "", "xsrf_token": token})
        assert answer.status == 200
        assert emulator.log.read_text().count("was cut at its deadline") == 1
