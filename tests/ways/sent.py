"""Was the message sent, and to this emulator?"""

from __future__ import annotations

import threading

import pytest
from google.appengine.api import channel
from google.appengine.runtime import apiproxy_errors

from appengine_channel_emu.testing import AmbiguousEmulator, ChannelClient, Emulator
from tests.support.wire import free_port
from tests.ways.stage import Stage
from tests.ways.way import SILENT, way

NONE_SENT = 'No message to "anna" has been sent since …'


@way("Nothing was sent.", log=SILENT, says=NONE_SENT, view="Clients")
def nothing_sent(stage: Stage) -> ChannelClient:
    return stage.page()


@way(
    "The app asks a port at which no emulator is: `send_message` raises `RPCFailedError`, "
    "`No emulator answers at …: Connection refused.`",
    log=SILENT,
    says=NONE_SENT,
    view="Clients",
)
def wrong_port(stage: Stage) -> ChannelClient:
    page = stage.page()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHANNEL_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
        with pytest.raises(apiproxy_errors.RPCFailedError, match=r"127\.0\.0\.1:\d+.*refused"):
            channel.send_message("anna", "hello")
    return page


@way("A second emulator runs, and the app sends to that one.", log=SILENT, says=NONE_SENT, view="Clients")
def second_emulator(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.another_emulator().send("anna")
    return page


@way(
    "A test has two emulators, and a thread of the app's sends without saying to which: `AmbiguousEmulator`.",
    log=SILENT,
    says=NONE_SENT,
    view="Clients",
)
def thread_of_two_emulators(stage: Stage) -> ChannelClient:
    page, raised = stage.page(), []

    def work() -> None:
        try:
            channel.send_message("anna", "hello")
        except AmbiguousEmulator as error:
            raised.append(error)

    with stage.server.using(), Emulator():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert "leading()" in str(raised[0])
    return page


@way(
    "`create_channel` was given an empty client id.",
    log="WARNING create_channel was refused: a client id has 1 to 256 bytes of UTF-8; this one has 0.",
    says=NONE_SENT,
    console="create_channel was refused: a client id has 1 to 256 bytes of UTF-8; this one has 0.",
)
def empty_client_id(stage: Stage) -> ChannelClient:
    stage.ask("POST", "/_emu/channels", json={"client_id": ""})
    return stage.page()


@way(
    "`create_channel` was given a client id of more than 256 bytes.",
    log="WARNING create_channel was refused: a client id has 1 to 256 bytes of UTF-8; this one has 300.",
    says=NONE_SENT,
    console="create_channel was refused: a client id has 1 to 256 bytes of UTF-8; this one has 300.",
)
def long_client_id(stage: Stage) -> ChannelClient:
    stage.ask("POST", "/_emu/channels", json={"client_id": "anna" * 75})
    return stage.page()


@way(
    "The message is too long: `InvalidMessageError`.",
    log='WARNING send_message to "anna" was refused: a message has 1 to 32767 bytes of UTF-8; this one has 32768.',
    says='send_message to "anna" was refused: a message has 1 to 32767 bytes of UTF-8; this one has 32768.',
)
def oversized_message(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.send(message="x" * 32768)
    return page


@way(
    "The message is empty: `InvalidMessageError`.",
    log='WARNING send_message to "anna" was refused: a message has 1 to 32767 bytes of UTF-8; this one has 0.',
    says='send_message to "anna" was refused: a message has 1 to 32767 bytes of UTF-8; this one has 0.',
)
def empty_message(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.send(message="")
    return page


@way(
    "A program sends JSON without saying so: status 415.",
    log="WARNING refused …/_emu/messages…415…application/json",
    says="/_emu/messages…application/json",
)
def wrong_content_type(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.ask("POST", "/_emu/messages", {"Content-Type": "text/plain"}, body=b'{"client_id":"anna","message":"hello"}')
    return page


@way(
    "A program asks the emulator under a name that is not its own: status 421.",
    log="WARNING refused …emulator.test…--allow-host emulator.test",
    says="emulator.test…--allow-host",
)
def wrong_host(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.ask("POST", "/_emu/messages", {"Host": "emulator.test"}, json={"client_id": "anna", "message": "hello"})
    return page


@way(
    "The page of another site sends: status 403.",
    log="WARNING refused …http://shop.test…/_emu/messages",
    says="http://shop.test…/_emu/messages",
)
def page_of_another_site(stage: Stage) -> ChannelClient:
    page = stage.page()
    headers = {"Origin": "http://shop.test"}
    stage.ask("POST", "/_emu/messages", headers, json={"client_id": "anna", "message": "hello"})
    return page


@way(
    "The app runs on another machine: status 403.",
    log="WARNING refused …192.0.2.7…--allow-remote-admin",
    says="192.0.2.7…--allow-remote-admin",
    trusted_proxy="*",
)
def app_on_another_machine(stage: Stage) -> ChannelClient:
    page = stage.page()
    headers = {"X-Forwarded-For": "192.0.2.7"}
    stage.ask("POST", "/_emu/messages", headers, json={"client_id": "anna", "message": "hello"})
    return page


@way(
    "A fault on request loses it: `send drop`.",
    log='WARNING dropped for "anna": a fault on request (send drop).',
    says="a fault on request…send drop",
    fault=("send drop",),
)
def fault_of_send(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.send()
    return page


@way(
    "A fault on request refuses the call: `send error error=INTERNAL_ERROR`; the app gets an exception.",
    log=SILENT,
    says="send error…1 time",
    view="Faults",
    fault=("send error error=INTERNAL_ERROR",),
)
def fault_that_refuses(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.send()
    return page


WAYS = (
    nothing_sent,
    wrong_port,
    second_emulator,
    thread_of_two_emulators,
    empty_client_id,
    long_client_id,
    oversized_message,
    empty_message,
    wrong_content_type,
    wrong_host,
    page_of_another_site,
    app_on_another_machine,
    fault_of_send,
    fault_that_refuses,
)
