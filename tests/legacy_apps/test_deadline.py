"""The deadline inside the SDK's runtime, measured from outside (behaviour.md 6).

How soon after it the visitor has an answer is measured by bench/deadline.py.
"""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.legacy_apps.conftest import CRON_JOB, NOTES_DEADLINE, Watcher, page_at
from tests.support.waiting import eventually

PAGE = f"within {NOTES_DEADLINE:g} seconds"

TRIES = 4


def timed(http, url, **more):
    """Status, text and how long it took."""
    started = time.monotonic()
    answer = http.request("GET", url, **more)
    return answer.status, answer.data.decode(), time.monotonic() - started


def instance(http, notes):
    return http.request("GET", f"{notes.url}/environ").json()["instance"]


@pytest.mark.parametrize("how", ["sleep", pytest.param("spin", marks=pytest.mark.slow)])
def test_a_handler_that_can_be_interrupted_is(how, notes, http):
    """So its instance lives on, unless the machine is too busy to let it notice within half a second."""
    for _ in range(TRIES):
        before = instance(http, notes)
        status, text, held = timed(http, f"{notes.url}/slow/{how}")
        assert status == 500
        assert PAGE in text
        assert held >= NOTES_DEADLINE
        if instance(http, notes) == before:
            return
    pytest.fail(f"Each of {TRIES} requests has cost the instance.")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["swallow", "lock", "regex"])
def test_a_handler_that_goes_on_costs_its_instance(how, notes, http):
    """The error is caught and forgotten; a lock does not notice; a regular expression holds the interpreter."""
    before = instance(http, notes)
    status, text, held = timed(http, f"{notes.url}/slow/{how}")
    assert status == 500
    assert PAGE in text
    assert held >= NOTES_DEADLINE
    assert instance(http, notes) != before


def test_a_handler_that_catches_the_error_answers(notes, http):
    status, text, held = timed(http, f"{notes.url}/slow/catch")
    assert (status, text) == (503, "caught: The overall deadline for responding to the HTTP request was exceeded.")
    assert held >= NOTES_DEADLINE


@pytest.mark.slow
def test_the_other_requests_of_a_replaced_instance_end_in_peace(notes, http):
    """And the app is served meanwhile, by the new one."""
    before = instance(http, notes)
    watcher = Watcher(notes, http)
    url = f"{notes.url}/slow/swallow?watcher={watcher.client_id}"
    with ThreadPoolExecutor() as pool:
        stuck = pool.submit(timed, http, url)
        # Its deadline, and half a second before it is given up.
        watcher.wait_for("struck")
        neighbour = pool.submit(timed, http, f"{notes.url}/slow/some?seconds={NOTES_DEADLINE / 2}")
        status, text, held = stuck.result()
        assert (status, PAGE in text, held >= NOTES_DEADLINE) == (500, True, True)
        assert instance(http, notes) != before
        assert neighbour.result()[:2] == (200, "done")


@pytest.mark.slow
def test_each_cut_is_in_the_log_with_path_time_and_cpu(notes, http):
    timed(http, f"{notes.url}/slow/spin?for=ever")
    lines = [line for line in notes.log.read_text().splitlines() if "was cut at its deadline" in line]
    assert re.search(r"/slow/spin was cut at its deadline, after \d+\.\d s with \d+\.\d+ s of CPU", lines[-1])
    assert "Channel API" in lines[-1]


@pytest.mark.slow
def test_a_task_has_ten_minutes(notes, http):
    """It takes longer than a visitor's request may."""
    assert http.request("POST", f"{notes.url}/add?how=slow_task", fields={"text": "from a slow task"}).status == 200
    eventually(lambda: page_at(http, notes.url), lambda page: "from a slow task" in page)


@pytest.mark.slow
def test_cron_has_ten_minutes_too(notes, http):
    """Run by hand, on the page of the SDK's admin server."""
    assert http.request("GET", notes.url + CRON_JOB).status == 500
    cuts = notes.log.read_text().count("was cut at its deadline")
    admin = re.search(r"admin server .*: (http://\S+)", notes.log.read_text())[1]
    eventually(lambda: page_at(http, f"{admin}/cron"), lambda page: CRON_JOB in page)
    # The pages share a token; this one has it in a form.
    token = re.search(r'name="xsrf_token" value="(\w+)"', page_at(http, f"{admin}/memcache"))[1]
    answer = http.request("POST", f"{admin}/cron", fields={"url": CRON_JOB, "target": "", "xsrf_token": token})
    assert answer.status == 200
    assert notes.log.read_text().count("was cut at its deadline") == cuts
