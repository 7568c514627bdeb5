"""`/_emu/metrics`: the figures that a Prometheus gets, read by its own parser."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from webtest import TestApp

from appengine_channel_emu import __version__
from appengine_channel_emu.testing import Emulator

PATH = "/_emu/metrics"
GUIDE = Path(__file__).parents[2] / "docs" / "metrics.md"
DEADLINE = 30


def app(environ, start_response):
    """Says what its path says; presence is refused to nobody."""
    path = environ["PATH_INFO"]
    if path == "/slow":
        import time

        time.sleep(2 * DEADLINE)
    status = {"/missing": "404 Not Found", "/broken": "500 Internal Server Error"}.get(path, "200 OK")
    start_response(status, [("Content-Type", "text/plain")])
    return [b"ok"]


@pytest.fixture
def emulator():
    with Emulator(app) as emulator:
        yield emulator


def text(emulator):
    return TestApp(emulator).get(PATH).text


def scrape(emulator):
    """The value of each sample, by its name and labels as `name{label=value}`."""
    values = {}
    for family in text_string_to_metric_families(text(emulator)):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            key = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert key not in values, f"{key} is there twice"
            values[key.removeprefix("channel_emu_")] = sample.value
    return values


def test_what_happens_is_counted(emulator):
    page = emulator.client("anna").open()
    emulator.create_channel("bert")
    emulator.send_message("anna", "hello")
    assert page.receive() == "hello"
    emulator.send_message("Anna", "hello")
    emulator.send_message("bert", "hello")
    emulator.broker.control.cut(emulator.broker.control.sockets_of("anna")[0])
    emulator.faults.add("poll cut count=1")
    emulator.send_message("anna", "again")
    assert page.receive() == "again"
    seen = scrape(emulator)
    expected = {
        "channels": 2,
        "sockets{transport=poll}": 1,
        "sockets{transport=stream}": 0,
        "sockets{transport=sdk}": 0,
        "sockets{transport=none}": 0,
        "messages_sent_total": 2,
        "messages_dropped_total{reason=no_channel}": 1,
        "messages_dropped_total{reason=not_opened}": 1,
        "delivery_latency_seconds_count": 2,
        "connections_cut_total": 1,
        "faults_total": 1,
        "presence_posts_total{presence=connected,status=200}": 1,
        "streams_total": 0,
        "app_requests_cut_total": 0,
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert seen["polls_total"] >= 3
    assert seen["events_total"] >= seen["event_log_events"] > 0


def test_requests_of_the_app_are_counted_by_the_class_of_their_status(emulator):
    visitor = TestApp(emulator)
    for path, status in (("/", 200), ("/else", 200), ("/missing", 404), ("/broken", 500), ("/slow", 500)):
        visitor.get(path, status=status)
    seen = scrape(emulator)
    assert {key: value for key, value in seen.items() if key.startswith("app_requests_total")} == {
        "app_requests_total{status=2xx}": 2,
        "app_requests_total{status=4xx}": 1,
        "app_requests_total{status=5xx}": 2,
    }
    assert seen["app_requests_cut_total"] == 1


def test_presence_that_the_app_did_not_take():
    def refuses(environ, start_response):
        raise PermissionError("nobody may connect")

    with Emulator(refuses) as emulator:
        emulator.client("anna").open()
        emulator.faults.add("presence drop")
        emulator.client("bert").open()
        emulator.presence_errors.clear()
        seen = scrape(emulator)
    assert {key: value for key, value in seen.items() if key.startswith("presence")} == {
        "presence_posts_total{presence=connected,status=500}": 1,
        "presence_posts_total{presence=connected,status=none}": 1,
    }


def test_latency_is_a_histogram_from_a_millisecond_to_ten_seconds(emulator):
    page = emulator.client("anna").open()
    for seconds in (0, 0.004, 3, 100):
        emulator.send_message("anna", "hello")
        emulator.clock.advance(seconds)
        page.receive()
    seen = scrape(emulator)
    buckets = {
        float(le): value
        for key, value in seen.items()
        for le in re.findall(r"^delivery_latency_seconds_bucket\{le=(.*)\}$", key)
    }
    assert list(buckets) == sorted(buckets)
    assert list(buckets.values()) == sorted(buckets.values())
    assert {0.001, 0.005, 0.1, 1.0, 10.0, float("inf")} <= set(buckets)
    assert (buckets[0.001], buckets[0.005], buckets[1.0], buckets[5.0], buckets[float("inf")]) == (1, 2, 2, 3, 4)
    assert seen["delivery_latency_seconds_count"] == 4
    assert seen["delivery_latency_seconds_sum"] == pytest.approx(103.004)


def test_counts_go_on_over_a_reset(emulator):
    emulator.send_message("nobody", "hello")
    TestApp(emulator).get("/")
    before = scrape(emulator)
    TestApp(emulator).post_json("/_emu/reset", {})
    after = scrape(emulator)
    counters = [name for name in before if name.split("{")[0].endswith(("_total", "_count", "_sum"))]
    assert len(counters) > 10
    assert [name for name in counters if after[name] < before[name]] == []
    assert after["event_log_events"] == 1


def test_no_label_holds_what_somebody_made_up(emulator):
    emulator.client('an"na\\\n').open()
    emulator.send_message("secret-name", "secret text")
    TestApp(emulator).get("/secret-path")
    answer = text(emulator)
    assert not re.search(r"an.?na|secret", answer)


def test_it_keeps_to_the_format_and_to_the_conventions_for_names(emulator):
    emulator.client("anna").open()
    emulator.send_message("anna", "hello")
    TestApp(emulator).get("/")
    answer = TestApp(emulator).get(PATH)
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text.endswith("\n")
    kinds: dict[str, str] = {}
    helped: Counter[str] = Counter()
    for line in answer.text.splitlines():
        if line.startswith("# HELP "):
            name, _, words = line.removeprefix("# HELP ").partition(" ")
            helped[name] += 1
            assert words.endswith("."), line
        elif line.startswith("# TYPE "):
            name, kind = line.removeprefix("# TYPE ").split(" ")
            assert helped[name] == 1
            kinds[name] = kind
        else:
            found = re.fullmatch(r'([a-z_]+)(?:\{((?:[a-z]+="[^"\\]*",?)+)\})? (\+Inf|[-+.\de]+)', line)
            assert found, line
            family = re.sub(r"_(bucket|sum|count)$", "", found[1]) if found[1] not in kinds else found[1]
            assert family == name, "samples stand below their family"
    assert set(helped.values()) == {1}
    assert all(name.startswith("channel_emu_") for name in kinds)
    assert {name for name, kind in kinds.items() if kind == "counter"} == {n for n in kinds if n.endswith("_total")}
    assert kinds["channel_emu_delivery_latency_seconds"] == "histogram"
    assert f'channel_emu_build_info{{version="{__version__}",python="' in answer.text


def test_the_guide_lists_each_of_them(emulator):
    told = set(re.findall(r"^\| `(channel_emu_\w+)", GUIDE.read_text("utf-8"), re.MULTILINE))
    there = set(re.findall(r"^# TYPE (\w+)", text(emulator), re.MULTILINE))
    assert told == there


def test_it_is_guarded_as_the_admin_api_is(emulator):
    visitor = TestApp(emulator)
    assert visitor.get(PATH, extra_environ={"REMOTE_ADDR": "192.0.2.1"}, status=403)
    assert visitor.get(PATH, headers={"Origin": "http://elsewhere"}, status=403)
    assert visitor.get(PATH, headers={"Host": "elsewhere"}, status=421)
    assert visitor.get(PATH + "?x=1", status=400)
    assert visitor.post(PATH, status=405)
    assert visitor.head(PATH).headers["Content-Length"] == str(len(visitor.get(PATH).body))
