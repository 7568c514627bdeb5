"""The server API, byte by byte: what each family of clients reads in an answer (facts.md 2.1 to 2.5)."""

from __future__ import annotations

import logging
import pickletools

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from webtest import TestApp

from appengine_channel_emu.broker.errors import ChannelServiceError
from appengine_channel_emu.testing import Emulator
from appengine_channel_emu.web.api import rpc
from tests.support.waiting import LONG_ENOUGH

OCTETS = {"Content-Type": "application/octet-stream"}
CALL_NOT_FOUND, PARSE_ERROR, TOO_LARGE = 1, 2, 5


def field(number, value):
    """One field on the wire, by hand: the classes under test have no say in it."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value):
    value &= 2**64 - 1
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def fields(data):
    """The fields of a message, by number."""
    found, at = {}, 0

    def read():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = read()
        value = read()
        if key & 7 == 2:
            found[key >> 3] = data[at : at + value]
            at += value
        else:
            found[key >> 3] = value
    return found


def request(service, method, body, **more):
    return field(2, service) + field(3, method) + field(4, body) + b"".join(more.values())


def create(client_id, *minutes, service=b"channel"):
    return request(service, b"CreateChannel", field(1, client_id) + b"".join(field(2, each) for each in minutes))


def send(client_id, message, service=b"channel"):
    return request(service, b"SendChannelMessage", field(1, client_id) + field(2, message))


def call(http, body, path="/rpc_http"):
    answer = http.post(path, body, headers=OCTETS)
    assert answer.status_int == 200
    assert answer.content_type == "application/octet-stream"
    return fields(answer.body)


def token_of(response):
    assert set(response) == {1}
    assert set(fields(response[1])) == {2}, "the token is field 2, and there is no other"
    return fields(response[1])[2].decode("ascii")


@pytest.mark.parametrize("service", [b"channel", b"xmpp"])
def test_create_and_send_under_both_names(http, emulator, service):
    token = token_of(call(http, create(b"bob", service=service)))
    client = emulator.client(token=token).open()
    assert call(http, send(b"bob", b"hello", service=service)) == {1: b""}
    assert call(http, send(token.encode(), b"by token", service=service)) == {1: b""}
    assert client.messages == ["hello", "by token"]


def test_the_duration_is_the_requests(http, emulator):
    client = emulator.client(token=token_of(call(http, create(b"bob", 1)))).open()
    emulator.advance(59)
    assert not client.closed
    emulator.advance(1)
    assert client.error.description == "Token+timed+out."


def test_fields_nobody_knows_and_tickets_of_any_kind_are_ignored(http):
    extra = field(5, b"some ticket") + field(6, b"trace") + field(99, b"later") + field(100, 7)
    assert token_of(call(http, create(b"bob") + extra))


def test_a_message_that_is_not_utf8_is_mended(http, emulator):
    client = emulator.client("bob").open()
    assert call(http, send(b"bob", b"caf\xe9")) == {1: b""}
    assert client.messages == ["caf�"]


def test_a_message_is_measured_in_the_bytes_sent(http, emulator):
    client = emulator.client("bob").open()
    assert call(http, send(b"bob", b"\xff" * 32767)) == {1: b""}
    assert len(client.receive()) == 32767


def test_a_send_to_nobody_succeeds_and_says_why_in_an_event(http, emulator):
    for client_id in (b"", b"nobody", b"x" * 300, b"\xff"):
        assert call(http, send(client_id, b"x")) == {1: b""}
    dropped = [event.text for event in emulator.broker.events.after(0) if event.kind == "message_dropped"]
    assert len(dropped) == 4
    assert "not UTF-8" in dropped[3]


@pytest.mark.parametrize(
    ("body", "code", "detail"),
    [
        (create(b""), 2, b"1 to 256 bytes"),
        (create(b"x" * 257), 2, b"257"),
        (create("é".encode() * 129), 2, b"258"),
        (create(b"caf\xe9"), 2, b"not UTF-8"),
        (create(b"x", 0), 4, b"1 to 1440"),
        (create(b"x", 1441), 4, b"1441"),
        (create(b"x", -1), 4, b"-1"),
        (send(b"x", b""), 3, b"1 to 32767 bytes"),
        (send(b"x", b"x" * 32768), 3, b"32768"),
        (send(b"\xff", b""), 3, b"1 to 32767 bytes"),
    ],
)
def test_limits_are_application_errors(http, body, code, detail):
    response = call(http, body)
    assert set(response) == {2, 3}, "no rpc_error: Go and Java would read that first"
    assert fields(response[3])[1] == code
    assert detail in fields(response[3])[2]
    assert pickled(response[2]) == ("ApplicationError", code)


def pickled(data):
    """The class and the first number of a pickle, read without running it."""
    found, number = None, None
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "GLOBAL":
            module, found = argument.split(" ")
            assert module == "google.appengine.runtime.apiproxy_errors"
        elif opcode.name == "INT":
            number = argument
        else:
            assert opcode.name in ("MARK", "STRING", "TUPLE", "REDUCE", "STOP")
            assert opcode.proto == 0
    return found, number


def test_every_error_of_the_service_has_its_pickle():
    assert set(rpc.REFUSALS) == {error.code for error in ChannelServiceError.__subclasses__()}
    # Java's enum knows 0 to 5 alone, and gives null for any other (facts.md 1.2).
    assert max(rpc.REFUSALS) <= 5


@pytest.mark.parametrize(
    ("body", "code", "exception", "detail"),
    [
        (request(b"memcache", b"Get", b""), CALL_NOT_FOUND, "CallNotFoundError", b"memcache.Get"),
        (request(b"channel", b"Nothing", b""), CALL_NOT_FOUND, "CallNotFoundError", b"channel.Nothing"),
        (request(b"xmpp", b"SendMessage", b""), CALL_NOT_FOUND, "CallNotFoundError", b"xmpp.SendMessage"),
        (request(b"", b"", b""), CALL_NOT_FOUND, "CallNotFoundError", b"."),
        (request(b"\xff\n'", b"x" * 9999, b""), CALL_NOT_FOUND, "CallNotFoundError", b"\\\\xff\\n'."),
        (b"", PARSE_ERROR, "ArgumentError", b"service_name, method, request"),
        (field(2, b"channel") + field(4, b""), PARSE_ERROR, "ArgumentError", b"no method"),
        (create(b"bob")[:-1], PARSE_ERROR, "ArgumentError", b"decoded"),
        (b"\xff" * 40, PARSE_ERROR, "ArgumentError", b"decoded"),
        (b"GET / HTTP/1.1\r\n", PARSE_ERROR, "ArgumentError", b"decoded"),
        (request(b"channel", b"CreateChannel", b""), PARSE_ERROR, "ArgumentError", b"application_key"),
        (request(b"channel", b"CreateChannel", field(1, 5)), PARSE_ERROR, "ArgumentError", b"application_key"),
        (request(b"channel", b"SendChannelMessage", field(1, b"x")), PARSE_ERROR, "ArgumentError", b"message"),
        (request(b"channel", b"SendChannelMessage", b"\x0a\xff"), PARSE_ERROR, "ArgumentError", b"decoded"),
        (send(b"x", b"x" * 2**20), TOO_LARGE, "RequestTooLargeError", b"1048576"),
        (create(b"x" * 2**21), TOO_LARGE, "RequestTooLargeError", b"1048576"),
        (b"\x12" * 2**20, PARSE_ERROR, "ArgumentError", b"decoded"),
    ],
)  # fmt: skip
def test_failures_are_said_in_every_field_that_some_client_reads(http, body, code, exception, detail):
    response = call(http, body)
    # Go, Java VM, Python VM read 5; PHP and remote_api_stub read 2, unless there is a 3.
    assert set(response) == {2, 5}
    assert fields(response[5])[1] == code
    assert detail in fields(response[5])[2]
    assert pickled(response[2]) == (exception, None)


def test_flush_succeeds_whatever_its_size(http):
    assert call(http, request(b"logservice", b"Flush", b"")) == {1: b""}
    assert call(http, request(b"logservice", b"Flush", b"x" * 2**21)) == {1: b""}


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json", ""])
@pytest.mark.parametrize("path", ["/rpc_http", "/_ah/remote_api"])
def test_another_content_type_is_refused(http, emulator, path, content_type):
    headers = {"Content-Type": content_type, "X-appcfg-api-version": "1"}
    answer = http.post(path, create(b"bob"), headers=headers, expect_errors=True)
    assert answer.status_int == 415
    assert [event.kind for event in emulator.broker.events.after(0)] == ["request_refused"]


@pytest.mark.parametrize("rtok", ["42", "007", "it's: {a: b}", "x" * 5000, "\u2028é\n", "[1, 2"])
@pytest.mark.parametrize("path", ["/rpc_http", "/_ah/remote_api"])
def test_the_probe_is_flow_style_yaml(http, path, rtok):
    answer = http.get(path, {"rtok": rtok})
    assert answer.content_type == "text/plain"
    assert answer.text.startswith("{")
    assert yaml.safe_load(answer.text) == {"app_id": "dev~channel-emu", "rtok": rtok}


def test_the_probe_without_a_token(http):
    assert yaml.safe_load(http.get("/rpc_http").text)["rtok"] == "0"


def test_other_methods(http):
    assert http.put("/rpc_http", b"", expect_errors=True).status_int == 405


class TestRemoteApi:
    HEADERS = OCTETS | {"X-appcfg-api-version": "1"}

    def test_it_speaks_the_same_protocol(self, http):
        answer = http.post("/_ah/remote_api", create(b"bob"), headers=self.HEADERS)
        assert token_of(fields(answer.body))

    def test_the_version_header_is_needed(self, http):
        assert http.post("/_ah/remote_api", create(b"bob"), headers=OCTETS, expect_errors=True).status_int == 403

    @pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "302 Found", "500 Internal Server Error"])
    def test_an_app_that_answers_there_keeps_it(self, status):
        seen = []

        def app(environ, start_response):
            seen.append(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            start_response(status, [("Content-Type", "text/plain"), ("Content-Length", "6")])
            return [b"the ", b"ap"]

        http = TestApp(Emulator(app))
        answer = http.post("/_ah/remote_api", b"body", headers=self.HEADERS, expect_errors=True)
        assert answer.status == status
        assert answer.body == b"the ap"
        assert seen == [b"body"]

    def test_an_app_that_does_not_know_it_leaves_it_to_us(self):
        closed = []

        class Body(list):
            def close(self):
                closed.append(True)

        def app(environ, start_response):
            environ["wsgi.input"].read()
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return Body([b"not here"])

        answer = TestApp(Emulator(app), lint=False).post("/_ah/remote_api", create(b"bob"), headers=self.HEADERS)
        assert token_of(fields(answer.body))
        assert closed == [True]


class TestApiPort:
    @pytest.fixture
    def port(self, emulator):
        return TestApp(emulator._front.api_port(), extra_environ={"REMOTE_ADDR": "::1"})

    @pytest.mark.parametrize("path", ["/", "/rpc_http", "/a/b?c=d", "/_ah/channel/poll"])
    def test_any_path(self, port, path):
        assert token_of(call(port, create(b"bob"), path))
        assert port.get(path).text.startswith("{app_id: ")

    @pytest.mark.parametrize("path", ["/", "/rpc_http", "/_ah/channel/jsapi"])
    @pytest.mark.parametrize(
        "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}]
    )
    def test_another_sites_page_gets_nowhere(self, port, emulator, path, headers):
        for answer in (
            port.post(path, create(b"bob"), headers=OCTETS | headers, expect_errors=True),
            port.get(path, headers=headers, expect_errors=True),
        ):
            assert answer.status_int in (403, 421)
        assert [event.kind for event in emulator.broker.events.after(0)] == ["request_refused"]

    def test_another_machine_is_refused(self, port):
        assert port.get("/", extra_environ={"REMOTE_ADDR": "192.168.1.7"}, expect_errors=True).status_int == 403

    def test_other_types_are_refused(self, port):
        assert (
            port.post("/", create(b"x"), headers={"Content-Type": "text/plain"}, expect_errors=True).status_int == 415
        )


NAMES = st.sampled_from([b"channel", b"xmpp", b"logservice"]) | st.binary(max_size=20)
METHODS = st.sampled_from([b"CreateChannel", b"SendChannelMessage", b"Flush"]) | st.binary(max_size=20)
INNER = st.binary(max_size=400) | st.lists(
    st.builds(field, st.integers(1, 3), st.binary(max_size=300) | st.integers(0, 2**32))
).map(b"".join)
BODIES = st.binary(max_size=2000) | st.builds(request, NAMES, METHODS, INNER)


@settings(max_examples=150, deadline=1000 * LONG_ENOUGH, suppress_health_check=[HealthCheck.too_slow])
@given(body=BODIES, cut=st.integers(0, 30))
def test_no_bytes_at_all_get_anything_but_a_response(body, cut):
    emulator = Emulator()
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logging.getLogger().addHandler(handler)
    try:
        response = call(TestApp(emulator), body[: len(body) - cut] if cut else body)
    finally:
        logging.getLogger().removeHandler(handler)
    assert set(response) in ({1}, {2, 3}, {2, 5})
    assert not [record for record in records if record.levelno > logging.INFO or record.exc_info]


TEXT = st.text(max_size=60) | st.sampled_from(["connect", "poll", "disconnect"])


@settings(max_examples=150, deadline=1000 * LONG_ENOUGH, suppress_health_check=[HealthCheck.too_slow])
@given(
    pairs=st.lists(
        st.tuples(st.sampled_from(["command", "channel", "client"]) | st.text(max_size=8), TEXT), max_size=5
    ),
    good_token=st.booleans(),
)
def test_no_query_at_all_breaks_the_dev_wire(pairs, good_token):
    emulator = Emulator()
    if good_token:
        pairs = [*pairs, ("channel", emulator.create_channel("bob"))]
    answer = TestApp(emulator).get("/_ah/channel/dev", pairs, expect_errors=True)
    assert answer.status_int in (200, 400, 401)
