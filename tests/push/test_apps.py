"""Each kind of app names the request that sends: the log of events says for how many sockets a message waits."""

from __future__ import annotations

import http.client
import json
import threading

import pytest

from tests.support.emulator import RunningEmulator
from tests.support.go import GoApp, build
from tests.support.legacy import emulated
from tests.support.push import APP
from tests.support.waiting import LONG_ENOUGH, eventually
from tests.support.wire import free_port

BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/120"}


class Page:
    """A page of `BROWSER` on the channel of `client_id`, and what else that browser asks."""

    def __init__(self, emulator, token_path, client_id="ann"):
        self.emulator = emulator
        self.after = 0
        token = self.ask(f"{token_path}?id={client_id}")
        self.socket = json.loads(self.ask(f"/_ah/channel/open?channel={token}"))["socket"]

    def ask(self, target, method="GET", headers=BROWSER):
        connection = http.client.HTTPConnection("127.0.0.1", self.emulator.port, timeout=LONG_ENOUGH)
        connection.request(method, target, headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        body = answer.read().decode()
        connection.close()
        return body

    def poll(self):
        """The next messages, once there are some."""
        return eventually(self._poll, bool)

    def _poll(self):
        answer = json.loads(self.ask(f"/_ah/channel/poll?socket={self.socket}&after={self.after}&wait=20"))
        self.after = answer["next"]
        return answer["messages"]

    def held(self):
        """Whether the last message waited for an answer."""
        return self.emulator.events("message_sent")[-1]["detail"].get("held", 0)


@pytest.fixture(scope="module")
def python3(tmp_path_factory):
    log = tmp_path_factory.mktemp("python3") / "log"
    # On a busy machine 1500 calls may take longer than a request has.
    with RunningEmulator("--no-sdk", "--request-deadline", "off", str(APP), log=log) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def one_at_a_time(tmp_path_factory):
    """Whose handlers run on the main thread."""
    folder = tmp_path_factory.mktemp("one")
    for each in APP.iterdir():
        if each.is_file():
            (folder / each.name).write_text(each.read_text().replace("threadsafe: true", "threadsafe: false"))
    with RunningEmulator("--no-sdk", "--state-dir", "none", str(folder), log=folder / "log") as emulator:
        yield emulator


@pytest.fixture(scope="module")
def sdk(tmp_path_factory):
    with emulated(APP, tmp_path_factory.mktemp("sdk") / "log") as emulator:
        yield emulator


@pytest.mark.parametrize(
    ("kind", "ways"),
    [
        ("python3", {"send": 1, "thread": 0, "process": 0}),
        ("one_at_a_time", {"send": 1, "thread": 0, "process": 0}),
        # The sandbox has no fork.
        pytest.param("sdk", {"send": 1, "thread": 0}, marks=pytest.mark.slow),
    ],
)
def test_the_handlers_thread_names_its_request_and_no_other_does(request, kind, ways):
    page = Page(request.getfixturevalue(kind), "/token")
    for way, held in [*ways.items()] * 2:
        for headers, waits in ((BROWSER, held), ({"User-Agent": "Firefox"}, 0)):
            page.ask(f"/{way}?id=ann&text={way}", "POST", headers)
            assert page.held() == waits, way
            # The next one would wait behind it.
            assert page.poll() == [way]


@pytest.mark.parametrize("kind", ["python3", "sdk"])
def test_a_handler_that_goes_on_is_heard_before_its_answer(request, kind):
    page = Page(request.getfixturevalue(kind), "/token", "progress")
    answered = threading.Event()
    asking = threading.Thread(target=lambda: (page.ask("/progress?id=progress&text=x", "POST"), answered.set()))
    asking.start()
    assert page.poll() == ["x"]
    assert not answered.is_set()
    page.ask("/go_on")
    asking.join(LONG_ENOUGH)
    assert answered.is_set()


def test_more_than_a_backlog_in_one_request(python3):
    page = Page(python3, "/token", "many")
    asking = threading.Thread(target=page.ask, args=("/many?id=many&text=1500", "POST"))
    asking.start()
    texts = []
    while len(texts) < 1500:
        texts += page.poll()
    asking.join()
    assert texts == [str(number) for number in range(1500)]


@pytest.mark.slow
def test_a_go_app_hands_its_ticket_back(tmp_path):
    port, program = free_port(), build()
    with RunningEmulator("--upstream", f"http://127.0.0.1:{port}", log=tmp_path / "log") as emulator:
        # Without an id of its own, or a ticket, the library panics (facts.md 2.3).
        app = GoApp(program, f"127.0.0.1:{emulator.port}", {}, port)
        try:
            app.wait()
            page = Page(emulator, "/create")
            page.ask("/send?id=ann&message=one", "POST")
            assert page.held() == 1
            page.ask("/send?id=ann&message=two", "POST", {"User-Agent": "Firefox"})
            assert page.held() == 0
            page.ask("/send?id=ann&message=three", "POST", {**BROWSER, "X-AppEngine-API-Ticket": "forged"})
            assert page.held() == 1
            texts = page.poll()
            while len(texts) < 3:
                texts += page.poll()
            assert texts[-3:] == ["one", "two", "three"]
        finally:
            app.stop()
