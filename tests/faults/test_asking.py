"""How faults are asked for: by settings, JSON, fixture and header; by chance, count, client id and path; and nonsense.

The console is another way: tests/browser/test_console_forms.py.
"""

from __future__ import annotations

import argparse

import pytest
from webtest import TestApp

from appengine_channel_emu.faults import ACTIONS, STAGES, BadFault, Fault, Faults, Target, parse_fault
from appengine_channel_emu.settings import BadSetting, add_flags, load
from appengine_channel_emu.testing import ChannelServer
from appengine_channel_emu.web.api.messages import CreateChannelRequest, Request, Response, SendMessageRequest
from appengine_channel_emu.web.wsgi import ConnectionCut

NOBODY = Target()


@pytest.fixture
def http(emulator):
    return TestApp(emulator)


def rpc(http, client_id, message=None, **options):
    kind, method = (CreateChannelRequest, b"CreateChannel")
    fields = {"application_key": client_id.encode()}
    if message is not None:
        kind, method, fields = SendMessageRequest, b"SendChannelMessage", fields | {"message": message.encode()}
    call = Request(service_name=b"channel", method=method, request=kind(**fields).SerializeToString())
    headers = {"Content-Type": "application/octet-stream"} | options.pop("headers", {})
    return http.post("/rpc_http", call.SerializeToString(), headers, **options)


def settings_from(way, fault, folder):
    """The settings of a run that was asked for a fault by a flag, a variable or a file."""
    parser = argparse.ArgumentParser()
    add_flags(parser)
    if way == "file":
        (folder / "channel-emu.yaml").write_text(f"fault:\n  - {fault}\n")
    flags = ["--fault", fault] if way == "flag" else []
    environ = {"CHANNEL_EMU_FAULT": fault} if way == "variable" else {}
    return load(vars(parser.parse_args(flags)), environ, folder)


@pytest.mark.parametrize("way", ["flag", "variable", "file"])
def test_settings(way, tmp_path):
    settings = settings_from(way, "open error error=Invalid+token. count=1", tmp_path)
    with ChannelServer(fault=settings.fault) as server:
        assert server.client("anna").open().error.description == "Invalid+token."
        assert server.client("anna").open().error is None


@pytest.mark.parametrize("way", ["flag", "variable", "file"])
def test_nonsense_in_settings_is_an_error_at_the_start(way, tmp_path):
    with pytest.raises(BadSetting, match="stage is one of create, send, open"):
        settings_from(way, "pole cut", tmp_path)


def test_json_lists_counts_and_removes(emulator, http):
    first = http.post_json("/_emu/faults", {"stage": "poll", "action": "cut", "count": 2}).json["number"]
    http.post_json("/_emu/faults", {"stage": "open", "action": "error", "client_id": "zoe"})
    http.post_json("/_emu/faults", {"stage": "app", "action": "delay", "path": "/slow", "seconds": None})
    emulator.client("anna").open()
    listed = http.get("/_emu/faults").json["faults"]
    assert [(each["stage"], each["count"], each["happened"]) for each in listed] == [
        ("poll", 1, 1),
        ("open", None, 0),
        ("app", None, 0),
    ]
    assert [(each["error"], each["seconds"], each["path"]) for each in listed] == [
        (None, None, None),
        ("Token+timed+out.", None, None),
        (None, 1, "/slow"),
    ]
    assert len(http.delete(f"/_emu/faults?number={first}").json["faults"]) == 2
    assert http.delete(f"/_emu/faults?number={first}", status=404)
    assert http.delete("/_emu/faults").json["faults"] == []


def test_a_fixture_adds_removes_and_clears(emulator):
    number = emulator.faults.add(Fault("open", "error"))
    emulator.faults.add("poll error")
    assert [each["stage"] for each in emulator.faults.listed()] == ["open", "poll"]
    assert emulator.faults.remove(number)
    assert not emulator.faults.remove(number)
    assert emulator.client("anna").open().error is not None
    emulator.faults.clear()
    assert emulator.client("anna").open().error is None


def test_a_reset_takes_all_away(emulator, http):
    emulator.faults.add("open error")
    http.post_json("/_emu/reset", {})
    assert emulator.client("anna").open().error is None


def asked(text):
    return {"X-Channel-Emu-Fault": text}


def test_a_header_is_for_one_request(emulator, http):
    token = {"channel": emulator.create_channel("anna")}
    answer = http.get("/_ah/channel/open", token, asked("open error error=Invalid+token."), status=401)
    assert answer.status == "401 Invalid+token."
    assert http.get("/_ah/channel/open", token).status_int == 200


def test_a_header_means_what_the_text_means_elsewhere(emulator, http, told):
    page = emulator.client("anna").open()
    told.clear()
    body = {"client_id": "anna", "message": "x"}
    answer = http.post_json("/_emu/messages", body, headers=asked("send drop"))
    assert answer.json == {"delivered_to": 0, "reason": "A fault on request (send drop)."}
    assert http.post_json("/_emu/messages", body, headers=asked("send duplicate")).json == {"delivered_to": 1}
    assert page.messages == ["x", "x"]
    refused = rpc(http, "bert", headers=asked("create error error=BAD_MESSAGE"))
    assert Response.FromString(refused.body).application_error.code == 3
    rpc(http, "bert", headers=asked("rpc error error=502"), status=502)
    assert http.get("/page", headers=asked("app error error=503"), status=503)
    with pytest.raises(ConnectionCut):
        http.get("/page", headers=asked("app cut"))
    assert told == ["/page"]


def test_requests_of_other_stages_take_no_notice_of_a_header(emulator, http, told):
    headers = asked("poll cut")
    token = http.post_json("/_emu/channels", {"client_id": "anna"}, headers=headers).json["token"]
    socket = http.get("/_ah/channel/open", {"channel": token}, headers).json["socket"]
    assert http.get("/page", headers=headers).text == "app"
    with pytest.raises(ConnectionCut):
        http.get("/_ah/channel/poll", {"socket": socket, "after": 0, "wait": 0}, headers)


def test_the_app_does_not_see_the_header():
    seen = []

    def app(environ, start_response):
        seen.append(environ.get("HTTP_X_CHANNEL_EMU_FAULT"))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return []

    from appengine_channel_emu.testing import Emulator

    with Emulator(app) as emulator:
        TestApp(emulator).get("/page", headers=asked("poll cut"))
    assert seen == [None]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("open", "STAGE ACTION"),
        ("open error count=1", "seconds= or error= and nothing else"),
        ("open error probability=0.5", "seconds= or error= and nothing else"),
        ("open error client_id=anna", "seconds= or error= and nothing else"),
        ("presence drop", "the emulator's own"),
    ],
)
def test_nonsense_in_a_header_is_refused(http, text, says):
    answer = http.get("/page", headers=asked(text), status=400)
    assert answer.text.startswith("X-Channel-Emu-Fault: ")
    assert says in answer.text


def test_what_a_fault_answers_is_not_to_be_sniffed(http):
    answers = [
        http.get("/page", headers=asked("app"), status=400),
        http.get("/page", headers=asked("app error"), status=500),
        rpc(http, "anna", headers=asked("rpc error"), status=500),
        http.get("/_ah/channel/open", {"channel": "x"}, asked("open error error=500"), status=500),
    ]
    assert [answer.headers["X-Content-Type-Options"] for answer in answers] == ["nosniff"] * 4
    assert answers[-1].headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("path", ["/_ah/channel/open", "/_ah/channel/poll", "/_emu/channels", "/_emu/messages"])
def test_a_request_that_is_wrong_in_itself_meets_no_fault(emulator, http, path):
    for stage in ("open", "poll", "create", "send"):
        emulator.faults.add(f"{stage} cut count=1")
    ask = http.post_json if path.startswith("/_emu") else http.get
    assert ask(path, {}, status=400).text
    assert [each["happened"] for each in emulator.faults.listed()] == [0, 0, 0, 0]


def test_a_fault_that_refuses_one_of_many_client_ids_refuses_the_call(emulator, http):
    anna, bert = (emulator.client(name).open() for name in ("anna", "bert"))
    emulator.faults.add("send error client_id=bert count=1")
    body = {"client_ids": ["anna", "bert"], "message": "x"}
    assert http.post_json("/_emu/messages", body, status=400).json["error"]["name"] == "INTERNAL_ERROR"
    assert http.post_json("/_emu/messages", body | {"message": "y"}).json == {"delivered_to": 2}
    assert anna.messages == bert.messages == ["y"]


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_no_other_sites_page_can_ask_by_header(emulator, http, headers):
    token = {"channel": emulator.create_channel("anna")}
    answer = http.get("/_ah/channel/open", token, headers | asked("open drop"), status=400)
    assert "own programs and pages" in answer.text
    remote = TestApp(emulator, extra_environ={"REMOTE_ADDR": "192.0.2.7"})
    assert "own programs" in remote.get("/_ah/channel/open", token, asked("open drop"), status=400).text


def meets(call):
    """Whether a fault of the action cut, or an error, happens to the request."""
    try:
        return call().status_int >= 400
    except ConnectionCut:
        return True


def requests_of(emulator, http, client_id):
    """One request at each stage that belongs to `client_id`, in each way."""
    token = emulator.create_channel(client_id)
    socket = emulator.broker.open(token).socket
    message = {"message": "x"}
    return {
        "create": [
            lambda: http.post_json("/_emu/channels", {"client_id": client_id}),
            lambda: rpc(http, client_id),
        ],
        "send": [
            lambda: http.post_json("/_emu/messages", message | {"client_id": client_id}),
            lambda: http.post_json("/_emu/messages", message | {"client_id": token}),
            lambda: http.post_json("/_emu/messages", message | {"token": token}),
            lambda: http.post_json("/_emu/messages", message | {"client_ids": ["zoe", client_id]}),
            lambda: rpc(http, client_id, "x"),
            lambda: rpc(http, token, "x"),
        ],
        "open": [
            lambda: http.get("/_ah/channel/open", {"channel": token}),
            lambda: http.get("/_ah/channel/dev", {"command": "connect", "channel": token}),
        ],
        "poll": [
            lambda: http.get("/_ah/channel/poll", {"socket": socket, "after": 0, "wait": 0}),
            lambda: http.get("/_ah/channel/dev", {"command": "poll", "channel": token}),
        ],
        "rpc": [lambda: rpc(http, client_id), lambda: rpc(http, client_id, "x"), lambda: rpc(http, token, "x")],
    }


@pytest.mark.parametrize("stage", ["create", "send", "open", "poll", "rpc"])
def test_by_client_id(emulator, http, stage):
    annas, berts = (requests_of(emulator, http, name)[stage] for name in ("anna", "bert"))
    emulator.faults.add(f"{stage} cut client_id=anna")
    assert [meets(request) for request in annas] == [True] * len(annas)
    assert [meets(request) for request in berts] == [False] * len(berts)


def test_presence_by_client_id(emulator, told):
    emulator.faults.add("presence drop client_id=anna")
    for name in ("anna", "bert"):
        emulator.client(name).open()
    assert told == ["/_ah/channel/connected/"]


def test_an_rpc_that_names_no_client_id_meets_faults_for_nobody_only(emulator, http):
    emulator.faults.add("rpc cut client_id=anna")
    headers = {"Content-Type": "application/octet-stream"}
    assert http.post("/rpc_http", b"nonsense", headers).status_int == 200
    emulator.faults.add("rpc cut count=1")
    assert meets(lambda: http.post("/rpc_http", b"nonsense", headers))


def test_the_app_by_path(emulator, http, told):
    emulator.faults.add("app error path=/slow")
    emulator.faults.add("app error error=503 path=/api/*")
    paths = ["/slow", "/slow/", "/slower", "/api/", "/api/x?y=1", "/api", "/"]
    assert [http.get(path, expect_errors=True).status_int for path in paths] == [500, 200, 200, 503, 503, 200, 200]


def test_by_count(emulator, http):
    emulator.faults.add("app cut count=2")
    assert [meets(lambda: http.get("/page")) for _ in range(4)] == [True, True, False, False]
    assert emulator.faults.listed() == []


def drawn(text, times=100):
    faults = Faults()
    faults.add(text)
    return [faults.pick("poll", NOBODY) is not None for _ in range(times)]


def test_by_probability_and_the_same_seed_makes_the_same_trouble():
    first = drawn("poll cut probability=0.3 seed=1")
    assert first == drawn("poll cut probability=0.3 seed=1") != drawn("poll cut probability=0.3 seed=2")
    assert 15 < sum(first) < 45
    assert sum(drawn("poll cut probability=0")) == 0
    assert sum(drawn("poll cut probability=1")) == 100


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_is_for_every_stage(stage, action):
    fault = parse_fault(f"{stage} {action}")
    assert (fault.seconds is not None) == (action == "delay")
    assert (fault.error is not None) == (action == "error")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("poll", "STAGE ACTION"),
        ("", "STAGE ACTION"),
        ("pol cut", "stage is one of create"),
        ("poll cutt", "action is one of delay"),
        ("poll delay seconds=-1", "0 to 60 seconds"),
        ("poll delay seconds=61", "0 to 60 seconds"),
        ("poll delay seconds=nan", "0 to 60 seconds"),
        ("poll cut seconds=1", "seconds= is for delay, not for cut"),
        ("poll cut error=500", "error= is for error, not for cut"),
        ("poll delay error=500", "error= is for error, not for delay"),
        ("poll cut probability=2", "from 0 to 1"),
        ("poll cut count=0", "1 or more"),
        ("poll cut count=x", "not a number"),
        ("poll cut cound=1", "'cound=1' is not known"),
        ("poll error error=BAD_MESSAGE", "one of Token+timed+out., Invalid+token., a status from 400 to 599"),
        ("poll error error=200", "a status from 400 to 599"),
        ("app error error=Invalid+token.", "an error at app is a status from 400 to 599"),
        ("create error error=500", "one of INTERNAL_ERROR"),
        ("app cut client_id=anna", "belong to no client id; use path=/"),
        ("poll cut path=/x", "path= is for app"),
        ("app cut path=x", "begins with /"),
        ("poll 'cut", "cannot be read"),
    ],
)
def test_nonsense_is_refused(http, text, says):
    with pytest.raises(BadFault) as raised:
        parse_fault(text)
    assert says in str(raised.value)


def test_nonsense_is_refused_over_json_too(http):
    body = {"stage": "app", "action": "cut", "client_id": "anna"}
    assert "use path=/" in http.post_json("/_emu/faults", body, status=409).text


def test_there_are_a_hundred_at_most(emulator):
    for _ in range(100):
        emulator.faults.add("poll cut")
    with pytest.raises(BadFault, match="remove some"):
        emulator.faults.add("poll cut")
