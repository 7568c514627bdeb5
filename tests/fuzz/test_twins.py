"""The short path gives what the long one gives, and leaves what it leaves: differential fuzzing.

A second in make test, a minute in make test-slow, half an hour in make fuzz (FUZZ=1).
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from appengine_channel_emu.faults.gate import FaultGate
from appengine_channel_emu.server import short_path
from appengine_channel_emu.server.short_path import ShortPath
from appengine_channel_emu.web import short
from appengine_channel_emu.web.short import ShortAnswers
from tests.fuzz.rounds import FULL, fuzz
from tests.fuzz.scripts import scripts
from tests.fuzz.target import Defect
from tests.fuzz.twins import Twins

CORPUS = Path(__file__).parent / "corpus" / "twins"
SECONDS = 1800 if FULL else 60
SCRIPTS_A_MINUTE = 4_000


@pytest.fixture
def twins(monkeypatch):
    made = Twins(monkeypatch.setattr)
    yield made
    made.stop()


def test_the_corpus(twins):
    statuses = set()
    for path in sorted(CORPUS.iterdir()):
        seen = twins.feed(path.read_bytes())
        statuses.update(re.findall(rb"HTTP/1\.[01] (\d{3})", b"".join(data for step in seen[:-1] for data, _ in step)))
    # They come to what is to be compared.
    assert statuses >= {b"200", b"400", b"403", b"404", b"405", b"408", b"410", b"413", b"415", b"421"}


def test_generated_scripts(twins):
    fuzz(twins.feed, scripts(), seconds=0, examples=60)


@pytest.mark.slow
def test_generated_scripts_for_long(twins):
    fuzz(twins.feed, scripts(), SECONDS, examples=2_000 if FULL else 500, seeds=1)


POLL = b"GET /_ah/channel/poll?socket=SOCKET&after=0&wait=25 HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_an_answer_that_differs_is_noticed(twins):
    broker = twins.twins["short"].service.broker
    take = broker.take
    broker.take = lambda poll: broker.send_message("fuzz", "of one alone") and take(poll)
    with pytest.raises(Defect, match="of one alone"):
        twins.feed(POLL + b"--message--")


def test_a_state_that_differs_is_noticed(twins):
    broker = twins.twins["long"].service.broker
    send = broker.send_message
    broker.send_message = lambda name, text: (broker.note("more", "of one alone"), send(name, text))[1]
    with pytest.raises(Defect, match="events is on the short path"):
        twins.feed(b"--message--")


def test_time_that_differs_is_noticed(twins):
    twins.twins["short"].service.front.short_answers.longest_poll = 20.0
    with pytest.raises(Defect, match="step"):
        twins.feed(POLL.replace(b"wait=25", b"wait=24") + b"--wait--" * 45)


def test_a_count_and_digits_of_an_id_are_no_port(twins):
    twin = twins.twins["short"]
    port = twin.service.port
    seen = [f"at localhost:{port}", f"82bb55f2{port}4bfa", f":{port}/x".encode(), f"events_total {port}"]
    assert twin._without_port(seen) == ["at localhost:PORT", f"82bb55f2{port}4bfa", b":PORT/x", f"events_total {port}"]


class KeepsAlways(short_path.RequestParser):
    """Says of no connection that it ends with the request."""

    connection_close = property(lambda self: False, lambda self, value: None)


def first_alone(answer):
    """The short path with what follows the first request ignored."""
    return lambda path, data, address: answer(path, data[: data.find(b"\r\n\r\n") + 4], address)


RULES = {
    "the guard lets it in": (ShortAnswers, "admits", lambda self, environ: True),
    "no fault is in force": (FaultGate, "quiet", True),
    "none is asked for by a header": (short, "HEADER", "HTTP_NONE"),
    "the connection is kept": (short_path, "RequestParser", KeepsAlways),
    "a poll is alone in what came": (ShortPath, "answer", first_alone(ShortPath.answer)),
    "it is of HTTP/1.1": (short_path, "_POLL", re.compile(short_path._POLL.pattern.replace(rb"1\.1", rb"1\.[01]"))),
    "a User-Agent is plain": (short_path, "_is_plain", lambda value: True),
    "a send is JSON": (short, "is_json", lambda content_type: True),
}


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES)
def test_a_rule_that_is_dropped_is_missed(monkeypatch, rule):
    monkeypatch.setattr(*RULES[rule])
    twins = Twins(monkeypatch.setattr)
    found: list[Defect] = []

    def feed(data: bytes) -> None:
        try:
            if not found:
                twins.feed(data)
        except Defect as defect:
            found.append(defect)
        if found:
            # Whatever is tried again: what came before is part of what differs, such as heads that are remembered.
            raise found[0]

    try:
        with pytest.raises(Defect):
            # By their number, as a busy machine has fewer in its minute: they are always the same.
            fuzz(feed, scripts(), seconds=0, examples=SCRIPTS_A_MINUTE, seeds=1, shrink=False)
    finally:
        twins.stop()
