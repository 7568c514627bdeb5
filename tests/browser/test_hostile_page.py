"""Another site's page in the developer's browser, and what it gets from a running emulator: nothing."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from playwright.sync_api import BrowserContext, Page

from appengine_channel_emu.web.guard import leads_to
from tests.browser.engines import EVIL
from tests.browser.page_emulator import PageEmulator
from tests.support.emulator import RunningEmulator
from tests.support.targets import disguised

# Each is a way in which a page can send without asking first, or take in what another site answers.
ATTACKS = """async (target) => {
    const body = '{"client_id": "victim", "message": "forged"}';
    const got = {};
    const attempt = async (name, action) => {
        try { got[name] = await action(); } catch (error) { got[name] = 'refused'; }
    };
    const simple = (path, type) => fetch(target + path, {
        method: 'POST', mode: 'no-cors', credentials: 'include', headers: {'Content-Type': type}, body,
    }).then((answer) => answer.type);
    for (const path of ['/_emu/messages', '/_emu/channels', '/_emu/reset', '/_emu/clock', '/_emu/faults'])
        for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data'])
            await attempt(`simple ${type} ${path}`, () => simple(path, type));
    await attempt('preflight', () => fetch(target + '/_emu/messages', {
        method: 'POST', headers: {'Content-Type': 'application/json'}, body,
    }).then((answer) => answer.text()));
    await attempt('delete', () => fetch(target + '/_emu/faults', {method: 'DELETE'}).then((answer) => answer.text()));
    await attempt('rpc', () => fetch(target + '/rpc_http', {
        method: 'POST', headers: {'Content-Type': 'application/octet-stream'}, body,
    }).then((answer) => answer.text()));
    await attempt('read', () => fetch(target + '/_emu/events').then((answer) => answer.text()));
    await attempt('settings', () => fetch(target + '/_emu/settings').then((answer) => answer.text()));
    await attempt('presence', () => fetch(target + '/_ah/channel/disconnected/', {
        method: 'POST', mode: 'no-cors', body: new URLSearchParams({from: 'victim'}),
    }).then((answer) => answer.type));
    await attempt('receive', () => fetch(target + '/_ah/channel/receive', {
        method: 'POST', mode: 'no-cors', body: new URLSearchParams({key: 'victim', msg: 'forged'}),
    }).then((answer) => answer.type));
    for (const path of ['/_emu/events', '/_ah/channel/stream', '/_ah/channel/stream?socket=victim&after=0', '/chat'])
        await attempt('websocket ' + path, () => new Promise((resolve, reject) => {
            const socket = new WebSocket(target.replace('http', 'ws') + path);
            socket.onopen = () => resolve('open');
            socket.onerror = reject;
        }));
    await attempt('script', () => new Promise((resolve, reject) => {
        const script = document.createElement('script');
        script.src = target + '/_emu/events';
        script.onload = () => resolve('loaded');
        script.onerror = reject;
        document.head.append(script);
    }));
    await attempt('frame', () => new Promise((resolve) => {
        const frame = document.createElement('iframe');
        frame.src = target + '/_emu/';
        frame.onload = () => resolve('refused');  // Where it led to, only the browser can tell.
        document.body.append(frame);
    }));
    return got;
}"""


class _Blank(http.server.BaseHTTPRequestHandler):
    """The other site: a page without anything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>another site</title><body>")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def other_port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Blank)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def attack(page: Page, origin: str, target: str) -> dict[str, str]:
    page.goto(origin)
    got: dict[str, str] = page.evaluate(ATTACKS, target)
    return got


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_page_of_another_origin_changes_and_learns_nothing(
    emulator: PageEmulator, page: Page, other_port: int, name: str
) -> None:
    """`localhost` on another port is the same site to a browser, and has the same cookies; 127.0.0.1 is another."""
    token = emulator.create_channel("victim")
    emulator.get_json(f"/_ah/channel/open?channel={token}")
    before = len(emulator.get_json("/_emu/events")["events"])
    target = f"http://localhost:{emulator.port}"
    got = attack(page, f"http://{name}:{other_port}/", target)
    # An opaque answer is one that the page cannot look into.
    assert {way: answer for way, answer in got.items() if answer not in ("refused", "opaque")} == {}
    assert got["simple text/plain /_emu/reset"] == "opaque", "it was not even asked"
    assert len(page.frames) == 2
    assert "channel-emu console" not in [frame.title() for frame in page.frames]
    assert emulator.presence(1) == [("connected", "victim")]
    new = emulator.get_json("/_emu/events")["events"][before:]
    assert {event["kind"] for event in new} <= {"presence_sent", "request_refused", "open_refused"}
    assert emulator.get_json("/_emu/channels")["channels"][0]["sockets"] == 1
    assert emulator.get_json("/_emu/faults")["faults"] == []


def test_a_page_with_a_token_may_use_its_channel_and_nothing_else(
    emulator: PageEmulator, page: Page, other_port: int
) -> None:
    token = emulator.create_channel("guest")
    page.goto(f"http://127.0.0.1:{other_port}/")
    status = page.evaluate(
        "(url) => fetch(url).then((answer) => answer.status)",
        f"http://localhost:{emulator.port}/_ah/channel/open?channel={token}",
    )
    assert status == 200
    with pytest.raises(Exception, match="Failed to fetch"):
        page.evaluate(
            "(url) => fetch(url, {credentials: 'include'}).then((answer) => answer.status)",
            f"http://localhost:{emulator.port}/_ah/channel/open?channel={token}",
        )


FIRST_FRAME = """(url) => new Promise((resolve) => {
    const socket = new WebSocket(url);
    socket.onmessage = (event) => { resolve(event.data); };
    socket.onclose = () => { resolve('refused'); };
})"""


def test_a_websocket_takes_a_sockets_id_and_a_name_of_this_machine(
    emulator: PageEmulator, page: Page, other_port: int
) -> None:
    opened = emulator.get_json(f"/_ah/channel/open?channel={emulator.create_channel('guest')}")
    stream = f":{emulator.port}/_ah/channel/stream?after=0&socket="
    page.goto(f"http://{EVIL}:{other_port}/")
    assert page.evaluate(FIRST_FRAME, f"ws://{EVIL}{stream}{opened['socket']}") == "refused"
    assert page.evaluate(FIRST_FRAME, f"ws://localhost{stream}guess") == "refused"
    assert page.evaluate(FIRST_FRAME, f"ws://localhost{stream}{opened['socket']}") == '{"messages":[],"next":0}'


POST_ALL = """async (targets) => {
    const post = (url) => fetch(url, {method: 'POST', mode: 'no-cors', body: new URLSearchParams({from: 'victim'})});
    return (await Promise.all(targets.map((target) => post(target).then((answer) => answer.type, () => 'refused'))));
}"""


class _App(_Blank):
    """An app that runs already, and keeps the targets that reach it."""

    targets: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.targets.append(self.requestline.split()[1])
        self.do_GET()


def test_no_disguise_reaches_the_app_from_another_sites_page(tmp_path: Path, page: Page, other_port: int) -> None:
    """As the browser itself sends it: some slip through its own clean-up of addresses, others are made by it."""
    _App.targets.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _App) as app:
        threading.Thread(target=app.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{app.server_address[1]}"
        with RunningEmulator("--upstream", url, log=tmp_path / "log") as emulator:
            page.goto(f"http://127.0.0.1:{other_port}/")
            targets = [target for target in [*disguised(120), "//x/harmless"] if target.startswith("/")]
            got = page.evaluate(POST_ALL, [emulator.url + target for target in targets])
            assert len(got) > 100
            assert set(got) == {"opaque"}
            page.evaluate(
                """(action) => {
                    document.body.innerHTML = '<form method=post target=frame><input name=from value=victim></form>'
                        + '<iframe name=frame></iframe>';
                    document.querySelector('form').action = action;
                    return new Promise((resolve) => {
                        document.querySelector('iframe').onload = resolve;
                        document.querySelector('form').submit();
                    });
                }""",
                f"{emulator.url}//x/_ah/channel/connected/",
            )
        app.shutdown()
    # The browser makes harmless ones of a few.
    assert "//x/harmless" in _App.targets
    assert len(_App.targets) < 10
    assert [target for target in _App.targets if leads_to(target.partition("?")[0])] == []


SIGN_OUT = """async (target) => {
    const image = (url) => new Promise((resolve) => {
        const image = new Image();
        image.onload = image.onerror = resolve;
        image.src = url;
    });
    const frame = (url) => new Promise((resolve) => {
        const frame = document.createElement('iframe');
        frame.onload = resolve;
        frame.referrerPolicy = 'no-referrer';
        frame.src = url;
        document.body.append(frame);
    });
    for (const path of ['/_ah/logout?continue=/', '/_ah/login?action=logout']) {
        await fetch(target + path, {mode: 'no-cors', credentials: 'include', referrerPolicy: 'no-referrer'});
        await image(target + path);
        await frame(target + path);
    }
}"""

LINK = """
def app(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/html')])
    return [b'<!doctype html><a href="/_ah/logout?continue=/_ah/login">sign out</a>']
"""


def test_a_page_on_another_port_signs_nobody_out_and_the_apps_own_link_does(
    tmp_path: Path, page: Page, other_port: int
) -> None:
    (tmp_path / "app.yaml").write_text("runtime: python39\nhandlers:\n- url: /.*\n  script: main.app\n")
    (tmp_path / "main.py").write_text(LINK)
    with RunningEmulator(str(tmp_path), log=tmp_path / "log") as emulator:
        target = f"http://localhost:{emulator.port}"
        page.goto(f"{target}/_ah/login?continue=/")
        page.get_by_label("E-mail").fill("ann@example.com")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{target}/")
        page.goto(f"http://localhost:{other_port}/")
        page.evaluate(SIGN_OUT, target)
        # By a link that is followed, too.
        page.evaluate("(url) => { location.href = url; }", f"{target}/_ah/logout?continue=/")
        page.get_by_role("button", name="Sign out").wait_for()
        assert "You are signed in as ann@example.com." in page.content()
        page.goto(f"{target}/")
        page.get_by_role("link", name="sign out").click()
        page.wait_for_url(f"{target}/_ah/login")
        assert "You are not signed in." in page.content()


def test_dns_rebinding_leads_nowhere(emulator: PageEmulator, page: Page) -> None:
    """The attacker's own name, led to this machine: to the browser the emulator is then the attacker's own site."""
    for path in ("/", "/_emu/", "/_emu/events", "/_ah/channel/jsapi", "/_ah/login"):
        answer = page.goto(f"http://{EVIL}:{emulator.port}{path}")
        assert answer is not None
        assert answer.status == 421, path
