"""Was the message sent, and to this emulator?"""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from google.appengine.api import channel

from appengine_channel_emu.environment import python_path, variables
from appengine_channel_emu.testing import AmbiguousEmulator, ChannelClient, Emulator
from tests.support.wire import free_port
from tests.ways.stage import Stage
from tests.ways.way import SILENT, is_in, way

SENDS = "from google.appengine.api import channel; channel.send_message('anna', 'hello')"


@way(
    "Nothing was sent.",
    log=SILENT,
    view="Clients",
    says='A page of "anna" is open. No message was sent to it.',
)
def nothing_sent(stage: Stage) -> ChannelClient:
    return stage.page()


@way(
    "The app asks a port at which no emulator is: `RPCFailedError: the Channel API emulator does not answer at …`.",
    log=SILENT,
    view="Clients",
    says='A page of "anna" is open. No message was sent to it.',
)
def wrong_port(stage: Stage) -> ChannelClient:
    page = stage.page()
    # In a process of its own: where tests make emulators, the library finds them whatever the variable says.
    environ = os.environ | variables(f"127.0.0.1:{free_port()}") | {"PYTHONPATH": python_path(os.environ)}
    app = subprocess.run([sys.executable, "-c", SENDS], env=environ, capture_output=True, text=True, check=False)
    assert is_in("RPCFailedError: the Channel API emulator does not answer at …: …refused", app.stderr), app.stderr
    return page


@way(
    "A second emulator runs, and the app sends to that one, in whose log it is.",
    log='WARNING dropped for "anna": no channel of that name',
    view="Clients",
    says='A page of "anna" is open. No message was sent to it.',
)
def second_emulator(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.another_emulator().send("anna")
    return page


@way(
    "A test has two emulators, and a thread of the app's sends without saying to which: `AmbiguousEmulator`.",
    log=SILENT,
    view="Clients",
    says='A page of "anna" is open. No message was sent to it.',
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
    says='create_channel for "" was refused with INVALID_CHANNEL_KEY: A client id has 1 to 256 bytes of UTF-8; '
    "this one has 0.",
)
def empty_client_id(stage: Stage) -> ChannelClient:
    stage.ask("POST", "/_emu/channels", json={"client_id": ""})
    return stage.page()


@way(
    "`create_channel` was given a client id of more than 256 bytes.",
    says='create_channel for "annaanna…" was refused with INVALID_CHANNEL_KEY: A client id has 1 to 256 bytes of '
    "UTF-8; this one has 300.",
)
def long_client_id(stage: Stage) -> ChannelClient:
    stage.ask("POST", "/_emu/channels", json={"client_id": "anna" * 75})
    return stage.page()


@way(
    "The message is too long: `InvalidMessageError`.",
    says='send_message for "anna" was refused with BAD_MESSAGE: A message has 1 to 32767 bytes of UTF-8; this one '
    "has 32768.",
)
def oversized_message(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.send(message="x" * 32768)
    return page


@way(
    "The message is empty: `InvalidMessageError`.",
    says='send_message for "anna" was refused with BAD_MESSAGE: A message has 1 to 32767 bytes of UTF-8; this one '
    "has 0.",
)
def empty_message(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.send(message="")
    return page


@way(
    "A program sends JSON without saying so: status 415.",
    says='POST /_emu/messages from 127.0.0.1 was refused with 415: it came as "text/plain". Send JSON as '
    "application/json, and calls of rpc as application/octet-stream.",
)
def wrong_content_type(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.ask("POST", "/_emu/messages", {"Content-Type": "text/plain"}, body=b'{"client_id":"anna","message":"hello"}')
    return page


@way(
    "A program asks the emulator under a name that is not its own: status 421.",
    says='POST /_emu/messages from 127.0.0.1 was refused with 421: its Host, "emulator.test", is no name of this '
    "server. To allow it: --allow-host NAME.",
)
def wrong_host(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.ask("POST", "/_emu/messages", {"Host": "emulator.test"}, json={"client_id": "anna", "message": "hello"})
    return page


@way(
    "The page of another site sends: status 403.",
    says='POST /_emu/messages from 127.0.0.1 was refused with 403: a page of another site, "http://shop.test", '
    "asked for it, and only pages of this emulator may.",
)
def page_of_another_site(stage: Stage) -> ChannelClient:
    page = stage.page()
    headers = {"Origin": "http://shop.test"}
    stage.ask("POST", "/_emu/messages", headers, json={"client_id": "anna", "message": "hello"})
    return page


@way(
    "The app runs on another machine: status 403.",
    says="POST /_emu/messages from 192.0.2.7 was refused with 403: only programs on this machine may ask this. To "
    "allow others: --allow-remote-admin.",
    trusted_proxy="*",
)
def app_on_another_machine(stage: Stage) -> ChannelClient:
    page = stage.page()
    headers = {"X-Forwarded-For": "192.0.2.7"}
    stage.ask("POST", "/_emu/messages", headers, json={"client_id": "anna", "message": "hello"})
    return page


@way(
    "A fault on request loses it: `send drop`.",
    log='WARNING dropped for "anna": a fault on request (send drop)',
    console="A fault on request (send drop).",
    says='A fault on request is in force: send drop. It has happened to "anna" 1 time.',
    fault=("send drop",),
)
def fault_of_send(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.send()
    return page


@way(
    "A fault on request refuses the call: `send error error=INTERNAL_ERROR`; the app gets an exception.",
    log='INFO A fault on request: send error. ["anna"]',
    view="Clients",
    says='A fault on request is in force: send error. It has happened to "anna" 1 time.',
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
