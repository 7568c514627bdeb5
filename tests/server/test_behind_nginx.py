"""Behind a real nginx, set up as docs/behind-a-proxy.md says (behaviour.md 5 and 11)."""

from __future__ import annotations

import contextlib
import http.client
import json
from urllib.parse import urlencode, urlsplit

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.backend import PlayedBackend, ok
from tests.support.nginx import Nginx, trusting
from tests.support.waiting import LONG_ENOUGH

VISITOR = "127.0.0.7"
"""Where a client of the tests comes from; all of 127.0.0.0/8 is this machine."""


class Mirror(PlayedBackend):
    """An app that answers what it knows of its visitor."""

    def serve(self, environ, request_id):
        names = ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST")
        return ok(json.dumps([environ.get(name) for name in names]).encode())


@pytest.fixture
def behind(make_service, tmp_path):
    """Makes an emulator and an nginx in front of it."""
    with contextlib.ExitStack() as running:

        def make(trusted_proxy=None, upgrades=True, **settings):
            service = make_service(Mirror(), trusted_proxy=trusted_proxy, **settings)
            return service, running.enter_context(Nginx(urlsplit(service.url).port, tmp_path, upgrades))

        yield make


def ask(nginx, path, method="GET", source=None, **headers):
    """Status, and the answer's JSON; None if it is something else."""
    made = http.client.HTTPSConnection(
        "127.0.0.1", nginx.port, timeout=LONG_ENOUGH, context=trusting(), source_address=source and (source, 0)
    )
    sent = {"Host": nginx.host} | {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        made.request(method, path, headers=sent)
        answer = made.getresponse()
        body = answer.read()
    finally:
        made.close()
    return answer.status, json.loads(body) if body[:1] in (b"{", b"[") else None


def open_socket(service, nginx):
    status, opened = ask(
        nginx, "/_ah/channel/open?" + urlencode({"channel": service.broker.create_channel("ann").token})
    )
    assert status == 200
    return opened


def stream(nginx, socket_id):
    url = f"wss://{nginx.host}/_ah/channel/stream?socket={socket_id}&after=0"
    return connect(url, ssl=trusting(), compression=None, open_timeout=LONG_ENOUGH)


def test_a_stream_comes_through(behind):
    service, nginx = behind(trusted_proxy="127.0.0.1")
    opened = open_socket(service, nginx)
    assert opened["stream"] is True
    with stream(nginx, opened["socket"]) as page:
        assert json.loads(page.recv(LONG_ENOUGH)) == {"messages": [], "next": 0}
        for number in range(1, 4):
            service.broker.send_message("ann", f"message {number}")
            assert json.loads(page.recv(LONG_ENOUGH)) == {"messages": [f"message {number}"], "next": number}
            page.send(str(number))


def test_without_its_two_lines_the_upgrade_is_refused_and_polls_come_through(behind):
    service, nginx = behind(trusted_proxy="127.0.0.1", upgrades=False)
    socket_id = open_socket(service, nginx)["socket"]
    with pytest.raises(InvalidStatus) as refused, stream(nginx, socket_id):
        pass
    assert refused.value.response.status_code == 426
    service.broker.send_message("ann", "hello")
    poll = f"/_ah/channel/poll?socket={socket_id}&after=0"
    assert ask(nginx, poll) == (200, {"messages": ["hello"], "next": 1})


@pytest.mark.parametrize(("upgrades", "status"), [(True, 410), (False, 426)])
def test_whether_upgrades_come_through_can_be_asked_with_any_client(behind, upgrades, status):
    """As the document does it with curl."""
    _, nginx = behind(trusted_proxy="127.0.0.1", upgrades=upgrades)
    wanted = {"Connection": "Upgrade", "Upgrade": "websocket"}
    wanted |= {"Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    assert ask(nginx, "/_ah/channel/stream?socket=none&after=0", **wanted)[0] == status


def test_a_trusted_one_says_who_the_visitor_is(behind):
    _, nginx = behind(trusted_proxy="127.0.0.1")
    assert ask(nginx, "/", source=VISITOR) == (200, [VISITOR, "https", nginx.host])


@pytest.mark.parametrize(("allowed", "status"), [(["dev.example.org"], 200), ([], 421)])
def test_its_name_must_be_allowed(behind, allowed, status):
    _, nginx = behind(trusted_proxy="127.0.0.1", allow_host=allowed)
    assert ask(nginx, "/", Host="dev.example.org")[0] == status


def test_what_the_visitor_says_of_itself_is_overwritten(behind):
    _, nginx = behind(trusted_proxy="127.0.0.1")
    said = {"X_Forwarded_For": "192.0.2.1", "X_Forwarded_Proto": "http", "X_Forwarded_Host": "evil.example"}
    assert ask(nginx, "/", source=VISITOR, **said) == (200, [VISITOR, "https", nginx.host])


def test_of_one_that_is_not_trusted_nothing_is_believed(behind):
    service, nginx = behind()
    assert ask(nginx, "/", source=VISITOR) == (200, ["127.0.0.1", "http", urlsplit(service.url).netloc])


def test_a_page_may_send_through_a_trusted_one_alone(behind):
    """To another the page is of another site: its address is https, and ours is not."""
    _, trusted = behind(trusted_proxy="127.0.0.1")
    assert ask(trusted, "/_ah/channel/receive", "POST", Origin=trusted.url)[0] == 200


def test_a_page_behind_one_that_is_not_trusted_is_of_another_site(behind):
    _, nginx = behind()
    assert ask(nginx, "/_ah/channel/receive", "POST", Origin=nginx.url)[0] == 403
