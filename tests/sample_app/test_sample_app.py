"""The sample app's own tests under both Pythons, and the app itself in process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from webtest import TestApp

from appengine_channel_emu.testing import Emulator
from tests.support import parts

HERE = Path(__file__).parent
MODULES = ("main", "games", "miniweb", "strategies")


@pytest.mark.parametrize("find", [parts.python27, lambda: Path(sys.executable)], ids=["2.7", "3"])
def test_rules_and_handlers(find):
    python = parts.need(find)
    cases = HERE / "both_pythons.py"
    done = subprocess.run([str(python), "-B", str(cases)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"Ran {cases.read_text('utf-8').count('    def test_')} tests" in done.stderr
    assert done.stderr.endswith("\nOK\n")


@pytest.fixture
def emulator(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE.parents[1] / "sample_app"))
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    holder = Emulator()  # makes google.appengine.api.channel importable
    import main

    holder = Emulator(main.app)
    yield holder
    for name in MODULES:
        sys.modules.pop(name, None)


def test_presence_of_client_ids_that_are_not_its_own_changes_nothing(emulator):
    """Another program's channels on the same emulator."""
    visitor = TestApp(emulator)
    key = visitor.get("/").headers["Location"].partition("=")[2]
    answer = visitor.post("/join", {"game": key}).json
    page = emulator.client(token=answer["token"]).open()
    before = len(page.messages)
    for stranger in ("somebody", f"{key}.{'0' * 32}", ".", "a.b.c"):
        emulator.client(stranger).open()
    assert len(page.messages) == before


def test_a_token_that_timed_out_is_replaced_by_joining_again(emulator):
    visitor = TestApp(emulator)
    key = visitor.get("/").headers["Location"].partition("=")[2]
    joined = visitor.post("/join", {"game": key}).json
    page = emulator.client(token=joined["token"]).open()
    emulator.advance(2 * 60 * 60)
    assert page.error.description == "Token+timed+out."
    again = visitor.post("/join", {"game": key, "visitor": joined["visitor"]}).json
    assert (again["visitor"], again["number"]) == (joined["visitor"], joined["number"])
    page = emulator.client(token=again["token"]).open()
    visitor.post("/opened", {"game": key, "visitor": joined["visitor"]})
    visitor.post("/say", {"game": key, "visitor": joined["visitor"], "text": "here again"})
    assert json.loads(page.messages[-1])["line"]["text"] == "here again"


def test_news_reaches_a_page_on_every_channel_that_it_has(emulator, monkeypatch):
    import strategies

    monkeypatch.setattr(strategies, "start_thread", lambda target: None)
    visitor = TestApp(emulator)
    feed = visitor.post("/strategies/join").json["feed"]
    ways = strategies.WAYS
    tokens = [visitor.post(f"/strategies/token?way={way}", {"feed": feed}).json["token"] for way in ways]
    pages = [emulator.client(token=token).open() for token in tokens]
    visitor.post("/strategies/watch", {"feed": feed, "ways": " ".join(ways)})
    strategies.source.publish()
    (moment,) = visitor.get("/strategies/poll", {"feed": feed, "after": "0"}).json["news"]
    assert [json.loads(page.receive())["news"] for page in pages] == [moment] * len(ways)
