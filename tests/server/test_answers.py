"""What a client has not taken yet of its answers, also where the temporary folder is full."""

from __future__ import annotations

import errno
import os
import random
import socket

import pytest

from appengine_channel_emu.host.backend import AppAnswer
from appengine_channel_emu.server.answers import AnswerBuffer
from tests.support import wire
from tests.support.backend import PlayedBackend
from tests.support.waiting import LONG_ENOUGH, until

NO_ROOM = OSError(errno.ENOSPC, "No space left on device")


def no_file(*arguments, **options):
    raise NO_ROOM


@pytest.mark.parametrize("room", [0, 1, 3, None], ids=["no file", "one write", "three writes", "room"])
def test_everything_comes_out_as_it_went_in(monkeypatch, room):
    rng = random.Random(3)
    written = os.pwrite
    left = [room]

    def write(number, data, offset):
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                written(number, data[: len(data) // 2], offset)  # Half of it had room.
                raise NO_ROOM
        return written(number, data, offset)

    if room == 0:
        monkeypatch.setattr("tempfile.TemporaryFile", no_file)
    monkeypatch.setattr(os, "pwrite", write)
    buffer, expected, found = AnswerBuffer(2000), b"", b""
    for _ in range(500):
        data = rng.randbytes(rng.randrange(1500))
        expected += data
        buffer.append(data)
        for _ in range(rng.randrange(3)):
            part = buffer.get(rng.randrange(1, 1000))
            taken = rng.randrange(len(part) + 1)
            found += part[:taken]
            buffer.skip(taken, True)
        assert len(buffer) == len(expected) - len(found)
        assert bool(buffer) == (found != expected)
    while len(buffer):
        part = buffer.get(1000)
        found += part
        buffer.skip(len(part))
    assert found == expected
    buffer.close()
    assert len(buffer) == 0


def test_the_file_is_no_larger_than_what_has_waited_in_it():
    """A stream's client that falls behind again and again would fill the disk in the end."""
    buffer, data = AnswerBuffer(2000), bytes(range(250)) * 10
    for _ in range(20):
        buffer.append(data)
        assert os.fstat(buffer._file.fileno()).st_size == len(data)
        taken = b""
        while len(buffer):
            part = buffer.get(700)
            taken += part
            buffer.skip(len(part))
        assert taken == data
    buffer.close()


class LargeApp(PlayedBackend):
    text = b"x" * 8_000_000


def test_a_large_answer_comes_whole_where_there_is_no_room(make_service, monkeypatch):
    monkeypatch.setattr("tempfile.TemporaryFile", no_file)
    service = make_service(LargeApp())
    with (
        socket.create_connection(("127.0.0.1", service.port), timeout=LONG_ENOUGH) as sock,
        sock.makefile("rb") as file,
    ):
        sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        head, _, body = file.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == b"x" * 8_000_000


class LongApp(PlayedBackend):
    """Its answer is written in many blocks."""

    def serve(self, environ, request_id):
        return AppAnswer("200 OK", [("Content-Length", "8000000")], [b"x" * 50_000] * 160)


def test_a_thread_that_writes_for_a_slow_client_waits_for_it(make_service, monkeypatch):
    monkeypatch.setattr("appengine_channel_emu.server.acceptor.UNSENT_BYTES", 100_000)
    service = make_service(LongApp())
    sock = wire.connect(service.port, receive_buffer=4096)
    sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    until(lambda: service._slow_clients._watched)
    (channel,) = service._slow_clients._watched
    until(lambda: channel.total_outbufs_len > 100_000)
    assert channel.total_outbufs_len <= 150_000 + 1_000
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_000_000)
    assert len(wire.rest(sock).partition(b"\r\n\r\n")[2]) == 8_000_000
    sock.close()
