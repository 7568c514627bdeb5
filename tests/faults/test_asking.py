"""Faults on request: each happens, and our client survives it; what makes no sense is refused."""

from __future__ import annotations

import time

import pytest
from webtest import TestApp

from appengine_channel_emu.faults import BadFault, Faults, parse_fault
from appengine_channel_emu.testing import ChannelServer, Emulator
from appengine_channel_emu.web.waiting import ConnectionCut

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def running():
    with ChannelServer() as server:
        yield server


@pytest.fixture
def server(running):
    yield running
    running.reset()


@pytest.fixture
def emulator():
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def told():
    return []


@pytest.fixture
def with_app(told):
    """An emulator in front of an app that notes its requests."""

    def app(environ, start_response):
        told.append(environ["PATH_INFO"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"app"]

    with Emulator(app) as emulator:
        yield emulator


def happened(emulator):
    return [event.text for event in emulator.broker.events.after(0) if event.kind == "fault"]


@pytest.mark.parametrize(
    "fault", ["poll delay seconds=0.1", "poll drop count=2", "poll cut probability=0.5 seed=1", "poll duplicate"]
)
def test_our_client_survives_trouble_with_polls_losing_and_doubling_nothing(server, fault):
    server.faults.add(fault)
    client = server.client("anna").open()
    sent = [str(number) for number in range(6)]
    for text in sent:
        assert server.send_message("anna", text).delivered_to == 1
        assert client.receive(timeout=10) == text
    assert client.messages == sent
    kinds = [event.kind for event in server._running.broker.events.after(0)]
    assert "fault" in kinds
    client.close()


@pytest.mark.parametrize("text", ["Token+timed+out.", "Invalid+token."])
@pytest.mark.parametrize("stage", ["open", "poll"])
def test_the_401s_reach_the_page_which_can_open_again(emulator, stage, text):
    emulator.faults.add(f"{stage} error error={text} count=1")
    client = emulator.client("anna").open()
    assert (client.error.code, client.error.description) == (401, text)
    assert client.open().error is None
    emulator.send_message("anna", "x")
    assert client.receive() == "x"
    assert happened(emulator) == [f"A fault on request: {stage} error."]


@pytest.mark.parametrize(
    ("name", "error"), [("INTERNAL_ERROR", "ApplicationError"), ("BAD_MESSAGE", "InvalidMessageError")]
)
@pytest.mark.parametrize("stage", ["create", "send"])
def test_the_apis_own_errors_are_raised_in_the_app(emulator, stage, name, error):
    from google.appengine.api import channel

    emulator.faults.add(f"{stage} error error={name} count=1")
    call = channel.create_channel if stage == "create" else lambda client_id: channel.send_message(client_id, "x")
    with pytest.raises(Exception, match="fault") as raised:
        call("anna")
    assert type(raised.value).__name__ == error
    call("anna")


def test_a_dropped_send_succeeds_and_the_message_is_lost(emulator):
    client = emulator.client("anna").open()
    emulator.faults.add("send drop count=1")
    assert emulator.send_message("anna", "lost").reason == "A fault on request."
    emulator.send_message("anna", "kept")
    assert client.messages == ["kept"]


def test_duplicates_arrive_twice(emulator):
    emulator.faults.add("send duplicate count=1")
    client = emulator.client("anna").open()
    TestApp(emulator).post_json("/_emu/messages", {"client_id": "anna", "message": "x"})
    assert client.messages == ["x", "x"]
    emulator.faults.add("open duplicate count=1")
    emulator.client("bert").open()
    assert emulator.broker.snapshots.channel("bert").sockets == 2
    emulator.faults.add("create duplicate count=1")
    TestApp(emulator).post_json("/_emu/channels", {"client_id": "carl"})
    assert emulator.broker.snapshots.channel("carl").tokens == 2


@pytest.mark.parametrize(("action", "tokens"), [("drop", 0), ("cut", 1)])
def test_a_lost_request_and_a_lost_answer(emulator, action, tokens):
    emulator.faults.add(f"create {action} count=1")
    http = TestApp(emulator)
    with pytest.raises(ConnectionCut):
        http.post_json("/_emu/channels", {"client_id": "anna"})
    assert len(emulator.broker.snapshots.client_ids()) == tokens
    http.post_json("/_emu/channels", {"client_id": "anna"})


@pytest.mark.parametrize(
    ("action", "posts", "status"), [("drop", 0, None), ("error", 0, 500), ("duplicate", 2, 200), ("cut", 1, None)]
)
def test_presence_goes_wrong_and_the_page_opens_all_the_same(with_app, told, action, posts, status):
    with_app.faults.add(f"presence {action} count=1")
    client = with_app.client("anna").open()
    assert told == ["/_ah/channel/connected/"] * posts
    (event,) = [event for event in with_app.broker.events.after(0) if event.kind.startswith("presence")]
    assert event.detail["status"] == status
    with_app.send_message("anna", "x")
    assert client.receive() == "x"
    client.close()
    with_app.advance(2)
    assert told[-1] == "/_ah/channel/disconnected/"


def test_the_apps_requests_go_wrong(with_app, told):
    http = TestApp(with_app)
    with_app.faults.add("app error error=503 count=1")
    assert http.get("/page", status=503).status == "503 A fault on request"
    with_app.faults.add("app duplicate count=1")
    assert http.post("/page", "body").text == "app"
    assert told == ["/page"] * 2
    for action in ("drop", "cut"):
        with_app.faults.add(f"app {action} count=1")
        with pytest.raises(ConnectionCut):
            http.get("/page")
    assert len(told) == 3
    with_app.faults.add("app delay seconds=0.2 count=1")
    started = time.monotonic()
    assert http.get("/page").text == "app"
    assert time.monotonic() - started >= 0.2


def test_rpc_goes_wrong(emulator):
    http = TestApp(emulator)
    emulator.faults.add("rpc error error=502 count=1")
    headers = {"Content-Type": "application/octet-stream"}
    assert http.post("/rpc_http", b"", headers, status=502)
    emulator.faults.add("rpc cut count=1")
    with pytest.raises(ConnectionCut):
        http.post("/rpc_http", b"", headers)
    assert http.post("/rpc_http", b"", headers).status_int == 200


def test_a_fault_can_be_meant_for_one_client_id(emulator):
    emulator.faults.add("open error client_id=anna")
    assert emulator.client("bert").open().error is None
    assert emulator.client("anna").open().error.code == 401


def test_a_seed_makes_the_same_trouble_again():
    def run(seed):
        faults = Faults()
        faults.add(f"poll cut probability=0.5 seed={seed}")
        return [faults.pick("poll", lambda: None) is not None for _ in range(50)]

    assert run(1) == run(1) != run(2)
    assert 10 < sum(run(1)) < 40


def test_one_request_only_by_a_header(emulator):
    http = TestApp(emulator)
    token = emulator.create_channel("anna")
    asked = {"X-Channel-Emu-Fault": "open error error=Invalid+token."}
    assert http.get("/_ah/channel/open", {"channel": token}, asked, status=401).status == "401 Invalid+token."
    assert http.get("/_ah/channel/open", {"channel": token}).status_int == 200


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_no_other_sites_page_can_ask_for_one(emulator, headers):
    http = TestApp(emulator)
    asked = headers | {"X-Channel-Emu-Fault": "open drop"}
    token = emulator.create_channel("anna")
    assert "own programs and pages" in http.get("/_ah/channel/open", {"channel": token}, asked, status=400).text
    remote = TestApp(emulator, extra_environ={"REMOTE_ADDR": "192.0.2.7"})
    asked = {"X-Channel-Emu-Fault": "open drop"}
    assert "own programs" in remote.get("/_ah/channel/open", {"channel": token}, asked, status=400).text


def test_listed_counted_and_removed(emulator):
    http = TestApp(emulator)
    first = http.post_json("/_emu/faults", {"stage": "poll", "action": "cut", "count": 2}).json["number"]
    http.post_json("/_emu/faults", {"stage": "open", "action": "error", "client_id": "zoe"})
    emulator.client("anna").open()
    listed = http.get("/_emu/faults").json["faults"]
    assert [(each["stage"], each["count"], each["happened"]) for each in listed] == [("poll", 1, 1), ("open", None, 0)]
    assert listed[1]["error"] == "Token+timed+out."
    assert len(http.delete(f"/_emu/faults?number={first}").json["faults"]) == 1
    assert http.delete(f"/_emu/faults?number={first}", status=404)
    assert http.delete("/_emu/faults").json["faults"] == []


def test_they_can_be_settings():
    with ChannelServer(fault=("open error count=1",)) as server:
        assert server.client("anna").open().error.code == 401
        assert server.client("anna").open().error is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("poll", "STAGE ACTION"),
        ("", "STAGE ACTION"),
        ("pol cut", "stage is one of create"),
        ("poll cutt", "action is one of delay"),
        ("poll delay seconds=-1", "0 to 60 seconds"),
        ("poll delay seconds=nan", "0 to 60 seconds"),
        ("poll cut probability=2", "from 0 to 1"),
        ("poll cut count=0", "1 or more"),
        ("poll cut count=x", "not a number"),
        ("poll cut cound=1", "'cound=1' is not known"),
        ("poll error error=BAD_MESSAGE", "one of Token+timed+out."),
        ("app cut client_id=anna", "no client id"),
        ("poll 'cut", "cannot be read"),
    ],
)
def test_nonsense_is_refused(text, says):
    with pytest.raises(BadFault) as raised:
        parse_fault(text)
    assert says in str(raised.value)
