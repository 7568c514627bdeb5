"""An app's whole story in one test, without a socket: what WebTest users write."""

from __future__ import annotations

import threading
from urllib.parse import parse_qs

import pytest
from webtest import TestApp

from appengine_channel_emu.testing import Emulator, NoMessage


class ChatApp:
    """A legacy app: makes tokens, greets who connects, notes who leaves."""

    def __init__(self):
        self.present = []
        self.broken = False

    def __call__(self, environ, start_response):
        from google.appengine.api import channel

        body = b""
        path = environ["PATH_INFO"]
        form = parse_qs(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode())
        if path == "/token":
            body = channel.create_channel("böb", duration_minutes=60).encode()
        elif path == "/say":
            channel.send_message("böb", form["text"][0])
        elif self.broken:
            raise RuntimeError("a broken presence handler")
        elif path == "/_ah/channel/connected/":
            self.present.append(form["from"][0])
            channel.send_message(form["from"][0], "welcome")
        elif path == "/_ah/channel/disconnected/":
            self.present.remove(form["from"][0])
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]


@pytest.fixture
def app():
    return ChatApp()


@pytest.fixture
def emulator(app):
    return Emulator(app)


def whole_story(app, emulator):
    visitor = TestApp(emulator)
    client = emulator.client(token=visitor.get("/token").text).open()
    assert app.present == ["böb"]
    assert client.receive() == "welcome"
    visitor.post("/say", {"text": "hello"})
    assert client.receive() == "hello"
    emulator.advance(60 * 60)
    assert (client.error.code, client.error.description) == (401, "Token+timed+out.")
    assert client.closed
    assert app.present == ["böb"]
    emulator.advance(2)
    assert app.present == []


def test_connect_presence_message_expiry_disconnect_without_a_thread_or_a_pause(app, emulator, monkeypatch):
    """All of it happens in the calls of the test itself; what that costs is measured by bench/plugin.py."""

    here = threading.get_ident()

    def failing(original):
        def fail(*arguments, **options):
            # Other threads, of what ran before in this process, may wait.
            assert threading.get_ident() != here, "nothing has to be waited for"
            return original(*arguments, **options)

        return fail

    monkeypatch.setattr(threading.Thread, "start", failing(threading.Thread.start))
    monkeypatch.setattr(threading.Condition, "wait", failing(threading.Condition.wait))
    whole_story(app, emulator)


def test_a_reload_and_a_second_tab_are_no_events(app, emulator):
    first = emulator.client("böb").open()
    second = emulator.client("böb").open()
    first.close()
    emulator.advance(60)
    second.close()
    emulator.advance(1.9)
    third = emulator.client("böb").open()
    emulator.advance(60)
    assert app.present == ["böb"]
    assert third.messages == []
    third.close()
    emulator.advance(2)
    assert app.present == []


def test_a_page_that_crashes_is_reported_after_seven_seconds(app, emulator):
    emulator.client("böb").open().vanish()
    emulator.advance(6.9)
    assert app.present == ["böb"]
    emulator.advance(0.1)
    assert app.present == []


def test_a_broken_presence_handler_is_an_event_and_no_error_of_the_page(app, emulator):
    app.broken = True
    client = emulator.client("böb").open()
    assert emulator.send_message("böb", "x").delivered_to == 1
    assert client.messages == ["x"]
    assert not client.closed
    (event,) = [event for event in emulator.broker.events.after(0) if event.kind == "presence_failed"]
    assert (event.client_id, event.detail["presence"], event.detail["status"]) == ("böb", "connected", 500)


def test_presence_can_be_multipart_for_java_apps():
    seen = []

    def app(environ, start_response):
        seen.append((environ["CONTENT_TYPE"], environ["wsgi.input"].read()))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return []

    Emulator(app, presence_encoding="multipart").client("a&b=c +ü").open()
    ((content_type, body),) = seen
    boundary = content_type.removeprefix("multipart/form-data; boundary=").encode()
    assert body == (
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="from"\r\n'
        b"Content-Type: text/plain; charset=UTF-8\r\n\r\na&b=c +\xc3\xbc\r\n--" + boundary + b"--\r\n"
    )


@pytest.mark.parametrize("client_id", ["a@b.example/res", "a b&c=d;e+f%41", "日本", "\x00", "x" * 256])
def test_the_client_id_arrives_as_the_app_gave_it(client_id):
    seen = []

    def app(environ, start_response):
        assert "HTTP_COOKIE" not in environ
        assert "HTTP_ORIGIN" not in environ
        seen.append(parse_qs(environ["wsgi.input"].read().decode("ascii"))["from"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return []

    Emulator(app).client(client_id).open()
    assert seen == [[client_id]]


def test_what_does_not_come_is_told_at_once(emulator):
    client = emulator.client("böb").open()
    assert client.receive() == "welcome"
    with pytest.raises(NoMessage, match=r"1 message arrived so far\."):
        client.receive(timeout=0)
    client.close()
    with pytest.raises(NoMessage, match="closed"):
        client.receive()


def test_the_server_apis_refusals_are_the_librarys(emulator):
    from google.appengine.api import channel

    with pytest.raises(channel.InvalidChannelClientIdError, match=r'"7" is not a string\.'):
        channel.create_channel(7)
    with pytest.raises(channel.InvalidChannelClientIdError, match="length 257 is greater than max length 256"):
        channel.create_channel("x" * 257)
    with pytest.raises(channel.InvalidChannelClientIdError, match="1 to 256 bytes"):
        channel.create_channel("")
    with pytest.raises(channel.InvalidMessageError, match="1 to 32767 bytes"):
        channel.send_message("x", "")


def test_an_asgi_application_is_refused_when_the_emulator_is_made():
    class Framework:
        async def __call__(self, scope, receive, send):
            pass

    for app in (Framework(), Framework().__call__):
        with pytest.raises(TypeError, match="ASGI application"):
            Emulator(app)
