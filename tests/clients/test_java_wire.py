"""What Java's ChannelService needs of the wire: presence as multipart, read by a MIME parser (facts.md 5.3)."""

from __future__ import annotations

from email import message_from_bytes, policy

import pytest

from appengine_channel_emu.testing import Emulator
from appengine_channel_emu.web.channel.presence import encode_presence


def parts_of(body, content_type):
    message = message_from_bytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=policy.HTTP)
    assert message.is_multipart()
    assert not message.defects
    return list(message.iter_parts())


@pytest.mark.parametrize("client_id", ["ann", "a&b c+d=%41", "日本 ☃", "-" * 256, "--boundary\r\n\r\n", "\r\n", ""])
def test_one_part_called_from_holds_the_client_id(client_id):
    [part] = parts_of(*encode_presence(client_id, "multipart"))
    assert part.get_content_disposition() == "form-data"
    assert part.get_param("name", header="content-disposition") == "from"
    assert part.get_content_type() == "text/plain"
    assert part.get_content_charset() == "utf-8"
    assert part.get_payload(decode=True) == client_id.encode("utf-8")


def test_a_java_app_is_told_at_the_two_paths():
    posts = []

    def app(environ, start_response):
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        [part] = parts_of(body, environ["CONTENT_TYPE"])
        posts.append((environ["REQUEST_METHOD"], environ["PATH_INFO"], part.get_content()))
        start_response("200 OK", [])
        return []

    emulator = Emulator(app, presence_encoding="multipart")
    emulator.client("ann").open().close()
    emulator.advance(2)
    assert posts == [
        ("POST", "/_ah/channel/connected/", "ann"),
        ("POST", "/_ah/channel/disconnected/", "ann"),
    ]
