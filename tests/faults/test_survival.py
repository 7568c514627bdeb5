"""What goes wrong is survived: by the apps' libraries, as far as an app can, by presence, and by test clients.

Pages survive it too: tests/browser/test_faults.py.
"""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest

from tests.support import parts
from tests.support.waiting import LONG_ENOUGH

STUB = parts.ROOT / "appengine_channel_emu" / "compat" / "sdk"


@pytest.fixture
def channel(server, monkeypatch):
    """The apps' `google.appengine.api.channel`, which asks the server over HTTP."""
    from google.appengine.api import channel

    monkeypatch.setattr(channel.channel, "transport", transport_of_its_own(channel))
    monkeypatch.setenv("CHANNEL_EMULATOR_HOST", server.url.removeprefix("http://"))
    return channel


def transport_of_its_own(channel):
    """By HTTP, wherever the emulators of this process have led the library."""
    spec = importlib.util.spec_from_file_location("fresh_channel", channel.channel.__file__)
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    return fresh.transport


def outcome(call):
    """What an app sees: the class of the error, or `ok`."""
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return "ok"


CREATED = {
    "delay seconds=0.2": ("ok", 1),
    "error error=INTERNAL_ERROR": ("ApplicationError", 0),
    "error error=INVALID_CHANNEL_KEY": ("InvalidChannelClientIdError", 0),
    "error error=BAD_MESSAGE": ("InvalidMessageError", 0),
    "error error=INVALID_CHANNEL_TOKEN_DURATION": ("ApplicationError", 0),
    "error error=APPID_ALIAS_REQUIRED": ("AppIdAliasRequired", 0),
    "drop": ("RPCFailedError", 0),
    "cut": ("RPCFailedError", 1),
    "duplicate": ("ok", 2),
}


@pytest.mark.parametrize("fault", CREATED)
def test_create_channel(server, channel, happened, fault):
    server.faults.add(f"create {fault} count=1")
    seen, tokens = CREATED[fault]
    assert outcome(lambda: channel.create_channel("anna")) == seen
    listed = server._running.broker.control.channel("anna")
    assert (listed.tokens if listed else 0) == tokens
    assert happened(server._running.broker) == [f"create {fault.split()[0]}"]
    page = server.client(token=channel.create_channel("anna")).open()
    assert page.error is None
    page.close()


SENT = {
    "delay seconds=0.2": ("ok", 1),
    "error error=BAD_MESSAGE": ("InvalidMessageError", 0),
    "error error=INTERNAL_ERROR": ("ApplicationError", 0),
    "drop": ("ok", 0),
    "cut": ("RPCFailedError", 1),
    "duplicate": ("ok", 2),
}


@pytest.mark.parametrize("fault", SENT)
def test_send_message(server, channel, happened, fault):
    page = server.client("anna").open()
    server.faults.add(f"send {fault} count=1")
    seen, times = SENT[fault]
    assert outcome(lambda: channel.send_message("anna", "x")) == seen
    channel.send_message("anna", "the next")
    assert [page.receive(timeout=LONG_ENOUGH) for _ in range(times + 1)] == ["x"] * times + ["the next"]
    assert happened(server._running.broker) == [f"send {fault.split()[0]}"]
    page.close()


@pytest.mark.parametrize("action", ["drop", "cut"])
def test_the_library_says_whom_it_asked_in_vain(server, channel, action):
    server.faults.add(f"create {action} count=1")
    with pytest.raises(Exception, match=r"does not answer at \S+:\d+"):
        channel.create_channel("anna")


RPC = {
    "delay seconds=0.2": (["ok", "ok"], ["x"]),
    "error error=503": (["RPCFailedError", "RPCFailedError"], []),
    "drop": (["RPCFailedError", "RPCFailedError"], []),
    "cut": (["RPCFailedError", "RPCFailedError"], ["x"]),
    "duplicate": (["ok", "ok"], ["x", "x"]),
}

IN_THE_SDK = """
import sys
sdk, stub, address = sys.argv[1:]
sys.path[:0] = [sdk, stub]
import dev_appserver
dev_appserver.fix_sys_path()
import channel_stub
from google.appengine.api import apiproxy_stub_map, channel
apiproxy_stub_map.apiproxy.RegisterStub("channel", channel_stub._channel_stub(address, lambda: None))
import os
os.environ["SERVER_SOFTWARE"] = "Development/2.0"
for call in (lambda: channel.create_channel("bert"), lambda: channel.send_message("anna", "x")):
    try:
        call()
        print("ok")
    except Exception as error:
        print(type(error).__name__)
channel.create_channel("bert")
channel.send_message("anna", "the next")
"""


@pytest.mark.parametrize("fault", RPC)
def test_googles_library_over_our_stub_in_the_sdk(server, happened, fault, tmp_path):
    script = tmp_path / "in_the_sdk.py"
    script.write_text(IN_THE_SDK)
    python, sdk = parts.need(parts.python27), parts.need(parts.sdk)
    page = server.client("anna").open()
    server.faults.add(f"rpc {fault} count=2")
    command = [str(python), str(script), str(sdk), str(STUB), server.url.removeprefix("http://")]
    said = subprocess.run(command, capture_output=True, text=True, timeout=LONG_ENOUGH, check=False, cwd=Path(tmp_path))
    seen, texts = RPC[fault]
    assert said.stdout.split() == seen, said.stderr
    assert [page.receive(timeout=LONG_ENOUGH) for _ in range(len(texts) + 1)] == [*texts, "the next"]
    assert happened(server._running.broker) == [f"rpc {fault.split()[0]}"] * 2
    page.close()


PRESENCE = {
    "delay seconds=3": (1, 200),
    "error": (0, 500),
    "error error=404": (0, 404),
    "drop": (0, None),
    "cut": (1, None),
    "duplicate": (2, 200),
}


@pytest.mark.parametrize("fault", PRESENCE)
def test_presence_goes_wrong_and_the_page_opens_all_the_same(emulator, told, happened, fault):
    emulator.faults.add(f"presence {fault} count=1")
    posts, status = PRESENCE[fault]
    began = emulator.clock.now()
    client = emulator.client("anna").open()
    assert told == ["/_ah/channel/connected/"] * posts
    (event,) = [event for event in emulator.broker.events.after(0) if event.kind.startswith("presence")]
    assert (event.detail["status"], event.time - began) == (status, 3 if fault.startswith("delay") else 0)
    assert happened(emulator.broker) == [f"presence {fault.split()[0]}"]
    emulator.send_message("anna", "x")
    assert client.receive(LONG_ENOUGH) == "x"
    client.close()
    emulator.advance(2)
    assert told[-1] == "/_ah/channel/disconnected/"


def test_a_presence_post_that_is_late_delays_no_other_page_and_its_own_by_a_second_at_most(server, told):
    server.faults.add(f"presence delay seconds={LONG_ENOUGH:g} client_id=anna count=1")
    with server.client("anna"), server.client("bert"):
        assert told == ["/_ah/channel/connected/"]


POLLS = ["delay seconds=0.1", "error error=500 count=3", "drop count=2", "cut probability=0.5 seed=1", "duplicate"]


@pytest.mark.parametrize("where", ["server", "emulator"])
@pytest.mark.parametrize("fault", POLLS)
def test_test_clients_lose_and_double_nothing(request, happened, where, fault):
    emulator = request.getfixturevalue(where)
    emulator.faults.add(f"poll {fault}")
    client = emulator.client("anna").open()
    sent = [str(number) for number in range(6)]
    for text in sent:
        assert emulator.send_message("anna", text).delivered_to == 1
        assert client.receive(timeout=LONG_ENOUGH) == text
    assert client.messages == sent
    broker = emulator.broker if where == "emulator" else emulator._running.broker
    assert f"poll {fault.split()[0]}" in happened(broker)
    client.close()


@pytest.mark.parametrize("text", ["Token+timed+out.", "Invalid+token."])
@pytest.mark.parametrize("stage", ["open", "poll"])
def test_the_401s_reach_the_client_which_can_open_again(emulator, happened, stage, text):
    emulator.faults.add(f"{stage} error error={text} count=1")
    client = emulator.client("anna").open()
    assert (client.error.code, client.error.description) == (401, text)
    assert client.open().error is None
    emulator.send_message("anna", "x")
    assert client.receive(LONG_ENOUGH) == "x"
    assert happened(emulator.broker) == [f"{stage} error"]


@pytest.mark.parametrize("stage", ["create", "send", "open", "poll", "presence", "app"])
def test_in_process_a_delay_passes_on_the_clock_and_takes_no_time(emulator, stage):
    from google.appengine.api import channel
    from webtest import TestApp

    emulator.faults.add(f"{stage} delay seconds=10 count=1")
    began = emulator.clock.now()
    client = emulator.client(token=channel.create_channel("anna")).open()
    channel.send_message("anna", "x")
    assert client.receive(LONG_ENOUGH) == "x"
    assert TestApp(emulator).get("/page").text == "app"
    assert emulator.clock.now() == began + 10
