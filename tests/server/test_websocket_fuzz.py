"""Streams of random frames, good and bad, in random pieces: what the server hears and says, judged by `websockets`."""

from __future__ import annotations

import os
import random
import struct

import pytest

from tests.server.played_page import BAD_FRAMES, BINARY, CLOSE, PING, PONG, TEXT, Client, frame, gone, page_of
from tests.support.waiting import LONG_ENOUGH, until

MORE = 2_000 if os.environ.get("SOAK") else 300
"""Streams."""

GOOD = 12
"""Frames at the most before the one that ends a stream."""


@pytest.fixture
def service(make_streams):
    return make_streams()


class Script:
    """What a client sends, what its page must hear, and what must come back before the close frame `code`."""

    def __init__(self, rng):
        self.data, self.texts, self.pongs = b"", [], []
        for _ in range(rng.randrange(GOOD)):
            self._add_good(rng)
        self.code = self._add_end(rng)

    def _add_good(self, rng):
        mask, kind = rng.randbytes(4), rng.choice([TEXT, TEXT, TEXT, PING, PONG])
        if kind == TEXT:
            text = str(rng.randrange(10 ** rng.choice([1, 3, 15, 125]))).encode()
            self.texts.append(text.decode())
            self.data += frame(TEXT, text, mask=mask)
        else:
            payload = rng.randbytes(rng.choice([0, 1, 4, 124, 125]))
            self.data += frame(kind, payload, mask=mask)
            if kind == PING:
                self.pongs.append((PONG, payload))

    def _add_end(self, rng):
        if rng.random() < 0.3:
            code = rng.choice([1000, 1001, 1003, 1011, 3000, 4999])
            self.data += frame(CLOSE, struct.pack("!H", code) + b"bye", mask=rng.randbytes(4))
        else:
            _, data, code = rng.choice(BAD_FRAMES)
            self.data += data
        # What is behind the end is read by nobody.
        self.data += rng.choice([b"", frame(TEXT, b"9"), rng.randbytes(20)])
        return code


def play(service, seed):
    rng = random.Random(seed)
    script = Script(rng)
    behind = rng.randrange(len(script.data)) if rng.random() < 0.3 else 0
    client = Client(service.port, behind=script.data[:behind], piece=rng.choice([None, None, 1, 7]))
    page = page_of(service)
    at = behind
    while at < len(script.data):
        size = rng.choice([1, 2, 5, 6, 7, 50, 1000])
        try:
            client.send(script.data[at : at + size])
        except ConnectionError:
            break
        at += size
    client.switched()
    said = client.rest()
    assert client.protocol.close_rcvd.code == script.code
    assert said[:-1] == script.pongs
    assert list(page.heard.queue) == script.texts
    assert page.ended.wait(LONG_ENOUGH)
    assert page.times_left == 1
    client.close()


@pytest.mark.parametrize("part", range(4))
def test_every_stream_of_frames_has_its_answer(service, part):
    for seed in range(part * 50, part * 50 + 50):
        play(service, seed)
    until(lambda: gone(service))


@pytest.mark.soak
def test_more_of_them(service):
    for seed in range(1_000, 1_000 + MORE):
        play(service, seed)
    until(lambda: gone(service))


def test_noise_ends_a_stream_and_never_the_server(service, caplog):
    rng = random.Random(7)
    for _ in range(150):
        client = Client(service.port)
        client.switched()
        page = page_of(service)
        for _ in range(rng.randrange(1, 6)):
            noise = bytearray(frame(rng.choice([TEXT, BINARY, PING, CLOSE]), rng.randbytes(rng.randrange(20))))
            for _ in range(rng.randrange(3)):
                noise[rng.randrange(len(noise))] ^= 1 << rng.randrange(8)
            try:
                client.send(bytes(noise))
            except ConnectionError:
                break
        client.close()
        assert page.ended.wait(LONG_ENOUGH)
        assert page.times_left == 1
    until(lambda: gone(service))
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
