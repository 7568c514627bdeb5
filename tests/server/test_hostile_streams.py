"""What another site's page, or any client, can make of WebSockets, which browsers open without asking (SECURITY.md).

Each test plays the attacker with bytes on a connection. A browser cannot send all of them; other programs can.
"""

from __future__ import annotations

import pytest

from tests.support.emulator import RunningEmulator
from tests.support.wire import connect, rest

THEIRS = "Origin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n"
KEY = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    with RunningEmulator(log=tmp_path_factory.mktemp("emulator") / "log") as running:
        yield running


@pytest.fixture
def socket_id(emulator):
    """That of a page of the app's own."""
    opened = emulator.get_json(f"/_ah/channel/open?channel={emulator.create_channel('ann')}")
    return opened["socket"]


def ask(emulator, path, host=None, headers=THEIRS):
    """The connection, and the head of the answer."""
    head = f"GET {path} HTTP/1.1\r\nHost: {host or f'localhost:{emulator.port}'}\r\nUpgrade: websocket\r\n"
    made = connect(emulator.port)
    made.sendall(f"{head}Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n{KEY}{headers}\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += made.recv(1)
    return made, answer.decode("latin-1")


def status(emulator, path, host=None, headers=THEIRS):
    made, head = ask(emulator, path, host, headers)
    made.close()
    return int(head.split()[1])


def stream(socket_id):
    return f"/_ah/channel/stream?socket={socket_id}&after=0"


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example"])
def test_a_name_that_only_leads_here_gets_none(emulator, socket_id, host):
    assert status(emulator, stream(socket_id), f"{host}:{emulator.port}") == 421


def test_the_id_of_a_socket_is_all_that_counts(emulator, socket_id):
    """Neither where a page comes from nor what the browser adds of its own: cookies, or a password."""
    assert status(emulator, stream(socket_id)) == 101
    signed_in = THEIRS + f"Cookie: dev_appserver_login=ann; session={socket_id}\r\nAuthorization: Basic YW5uOg==\r\n"
    for guess in ("", "ann", socket_id[:-1], socket_id[:-1] + ("B" if socket_id[-1] == "A" else "A"), "*", "%00"):
        assert status(emulator, stream(guess), headers=signed_in) in (400, 410), guess


def test_a_token_opens_none(emulator):
    """It has been in the app's page, and perhaps in its address; the socket's id has not."""
    assert status(emulator, stream(emulator.create_channel("ann"))) == 410


@pytest.mark.parametrize("path", ["/_emu/events", "/_emu/messages", "/rpc_http", "/_ah/remote_api", "/_emu/clock"])
def test_what_acts_or_tells_is_no_stream(emulator, path):
    assert status(emulator, path) == 403


def test_no_extension_is_accepted_so_nothing_is_inflated(emulator, socket_id):
    """Compressed by deflate, 125 bytes become 128 KiB."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame\r\n"
    made, head = ask(emulator, stream(socket_id), headers=THEIRS + offer)
    with made:
        assert head.startswith("HTTP/1.1 101 ")
        assert "extensions" not in head.lower()
        made.sendall(b"\xc1\x85\x00\x00\x00\x00\x32\x04\x00\x00\x00")
        assert closing_code(made) == 1002


def closing_code(made):
    """That of the close frame which ends what comes."""
    received = rest(made)
    while received:
        opcode, size = received[0] & 15, received[1]
        if opcode == 8:
            return int.from_bytes(received[2:4], "big")
        received = received[2 + size :]
    return None


def test_they_count_as_connections(tmp_path):
    with RunningEmulator("--max-connections", "20", log=tmp_path / "log") as emulator:
        token = emulator.create_channel("ann")
        held = []
        while len(held) < 100:
            opened = emulator.get_json(f"/_ah/channel/open?channel={token}")
            made, head = ask(emulator, stream(opened["socket"]))
            held.append(made)
            if not head.startswith("HTTP/1.1 101 "):
                break
        assert len(held) <= 20
        assert head.split()[1] == "503"
        assert emulator.get_json("/_emu/health/live")
        for each in held:
            each.close()
