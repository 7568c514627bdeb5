"""How the browser client is served."""

from __future__ import annotations

import base64
import gzip
import hashlib
from pathlib import Path

import falcon.testing
import pytest

SCRIPT = Path(__file__).parents[2] / "js" / "goog_appengine_channel.js"
PATH = "/_ah/channel/jsapi"


def test_it_is_the_script(http):
    answer = http.get(PATH + "?v=1")
    assert answer.content_type == "text/javascript"
    assert answer.body == SCRIPT.read_bytes()


def test_it_is_gzipped_for_those_who_take_it(http):
    # WebTest would unpack it.
    answer = falcon.testing.simulate_get(http.app, PATH, host="localhost", headers={"Accept-Encoding": "gzip, br"})
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(answer.content) == SCRIPT.read_bytes()


def test_a_page_that_has_it_gets_304(http):
    for encoding in ("gzip", "identity"):
        etag = http.get(PATH, headers={"Accept-Encoding": encoding}).headers["ETag"]
        again = http.get(PATH, headers={"Accept-Encoding": encoding, "If-None-Match": f'"other", {etag}'})
        assert (again.status_int, again.body) == (304, b"")


def test_xpc_blank_is_an_empty_page(http):
    answer = http.get("/_ah/channel/xpc_blank")
    assert answer.content_type == "text/html"


def test_the_frame_may_be_framed_but_do_nothing_but_ask_us(http):
    answer = http.get("/_ah/channel/frame")
    policy = answer.headers["Content-Security-Policy"]
    assert answer.content_type == "text/html"
    assert "X-Frame-Options" not in answer.headers
    digest = base64.b64encode(hashlib.sha256(answer.html.script.string.encode()).digest()).decode()
    us = "'self' http://localhost https://localhost ws://localhost wss://localhost"
    assert policy.replace(":80", "") == f"default-src 'none'; script-src 'sha256-{digest}'; connect-src {us}"


@pytest.mark.parametrize("host", ["[::1]:8080", "127.0.0.1;sandbox", "a b"])
def test_a_host_that_a_policy_cannot_name_is_not_in_it(http, host):
    answer = http.get("/_ah/channel/frame", headers={"Host": host}, status="*")
    assert answer.headers.get("Content-Security-Policy", "connect-src 'self'").endswith("connect-src 'self'")
