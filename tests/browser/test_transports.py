"""Every transport of our client, chosen by the page or by itself, on pages of every origin; and pages that mean ill."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

TRY = """async ([url, options]) => {
    try { const answer = await fetch(url, options); return `${answer.type} ${answer.status} ${await answer.text()}`; }
    catch (error) { return 'refused'; }
}"""


class Wire:
    """What `page` asks for: its polls, as (seconds to wait, in the emulator's frame?), and its streams' addresses."""

    def __init__(self, page):
        self.polls = []
        self.streams = []
        page.on("request", self._note)
        page.on("websocket", lambda stream: self.streams.append(stream.url))

    def _note(self, request):
        url = urlsplit(request.url)
        if url.path == "/_ah/channel/poll":
            self.polls.append((float(parse_qs(url.query)["wait"][0]), "/_ah/channel/frame#" in request.frame.url))

    def is_used(self, transport):
        """Whether it is the only one."""
        framed = {framed for _, framed in self.polls}
        long = any(wait > 0 for wait, _ in self.polls)
        return {
            "xhr": framed == {False} and long and not self.streams,
            "iframe": framed == {True} and not self.streams,
            "short": framed == {False} and not long and not self.streams,
            "websocket": not framed and self.streams,
        }[transport]

    def __repr__(self):
        return f"polls {self.polls}, streams {self.streams}"


@pytest.fixture
def wire(tab):
    return Wire(tab.page)


def receive(tab, emulator, count=3):
    """Open a socket, and send it messages one after another."""
    tab.open(emulator.create_channel("anna"))
    for number in range(count):
        tab.wait(1 + number)
        assert emulator.send("anna", f"{number} <ü> 😀") == 1
    assert [name for name, _ in tab.wait_for(1 + count)] == ["onopen"] + ["onmessage"] * count
    assert tab.texts() == [f"{number} <ü> 😀" for number in range(count)]


@pytest.mark.parametrize("transport", ["xhr", "iframe", pytest.param("short", marks=pytest.mark.slow), "websocket"])
class TestAsked:
    def test_by_the_address_of_the_script(self, tab, emulator, wire, transport):
        tab.visit(emulator.url, f"/_ah/channel/jsapi?transport={transport}")
        receive(tab, emulator)
        assert wire.is_used(transport), wire

    @pytest.mark.slow  # The sample app's page /strategies asks so, too.
    def test_by_the_page(self, tab, emulator, wire, transport):
        tab.visit(emulator.url)
        tab.page.evaluate("name => { goog.appengine.Socket.TRANSPORT = name; }", transport)
        receive(tab, emulator)
        assert wire.is_used(transport), wire

    def test_from_another_origin(self, tab, emulator, other_origin, wire, transport):
        tab.visit(other_origin, f"{emulator.url}/_ah/channel/jsapi?transport={transport}")
        receive(tab, emulator)
        assert wire.is_used(transport), wire

    @pytest.mark.parametrize(
        "attributes",
        [
            'src="data:text/html,<body></body>"',
            pytest.param('sandbox="allow-scripts" srcdoc="<p>"', marks=pytest.mark.slow),
        ],
    )
    def test_from_a_page_without_an_origin(self, tab, emulator, wire, transport, attributes):
        # As in a web view that was given its page as a text.
        tab.visit(emulator.url, script=None)
        tab.page.set_content(f"<iframe {attributes}></iframe>")
        tab.page = tab.page.frames[1]
        tab.page.add_script_tag(url=f"{emulator.url}/_ah/channel/jsapi?transport={transport}")
        assert tab.page.evaluate("self.origin") == "null"
        receive(tab, emulator)
        assert wire.is_used(transport), wire

    @pytest.mark.parametrize("script_first", [pytest.param(True, marks=pytest.mark.slow), False])
    def test_with_a_base_of_another_origin(self, tab, emulator, wire, transport, script_first):
        base = '<base href="http://other.example/x/">'
        # A script that waits for nothing runs when the base is there already, and its `src` is another one then.
        script = f'<script async src="{{}}/_ah/channel/jsapi?transport={transport}"></script>'
        head = script.format("") + base if script_first else base + script.format(emulator.url)
        tab.visit(f"{emulator.url}/?{urlencode({'head': head})}", script=None)
        tab.page.wait_for_function("() => window.goog")
        assert tab.page.evaluate("new URL('/x', document.baseURI).host") == "other.example"
        receive(tab, emulator)
        assert wire.is_used(transport), wire
        tab.close()
        assert emulator.presence(2) == [("connected", "anna"), ("disconnected", "anna")]

    def test_from_a_sandboxed_page(self, tab, emulator, wire, transport):
        tab.visit(f"{emulator.url}/sandbox", f"{emulator.url}/_ah/channel/jsapi?transport={transport}")
        receive(tab, emulator)
        assert wire.is_used(transport), wire

    @pytest.mark.slow
    def test_the_emulator_restarts(self, tab, serve, tmp_path, transport):
        emulator = serve(state_dir=tmp_path / "state")
        tab.visit(emulator.url, f"/_ah/channel/jsapi?transport={transport}")
        receive(tab, emulator)
        emulator.stop()
        emulator.start()
        emulator.send("anna", "after")
        tab.wait(5)
        assert tab.texts()[3:] == ["after"]

    def test_refusals(self, tab, emulator, transport):
        tab.visit(emulator.url, f"/_ah/channel/jsapi?transport={transport}")
        tab.open("no-such-token")
        error = ["onerror", {"code": 401, "description": "Invalid+token."}]
        assert tab.wait_for(2) == [error, ["onclose", {}]]
        assert tab.page.evaluate("document.querySelectorAll('iframe').length") == 0

    def test_closing_leaves_nothing_behind(self, tab, emulator, transport):
        tab.visit(emulator.url, f"/_ah/channel/jsapi?transport={transport}")
        receive(tab, emulator)
        tab.close()
        tab.wait(5)
        assert tab.page.evaluate("document.querySelectorAll('iframe').length") == 0
        assert emulator.presence(2) == [("connected", "anna"), ("disconnected", "anna")]


def stream_serves(tab, emulator):
    """Returns once it does, and no poll that was sent before it can arrive any more and take over from it."""
    emulator.wait_for_transport("stream")
    calls = len(tab.calls())
    emulator.send("anna", "hello")
    tab.wait(calls + 1)
    emulator.wait_for_transport("stream")


class TestByItself:
    def test_polls_first_and_then_a_stream(self, tab, emulator, wire):
        tab.visit(emulator.url)
        receive(tab, emulator)
        stream_serves(tab, emulator)
        assert wire.polls[0] == (25, False)
        polls = len(wire.polls)
        for number in range(4, 20):
            emulator.send("anna", str(number))
        tab.wait(21)
        assert tab.texts()[4:] == [str(number) for number in range(4, 20)]
        assert len(wire.polls) == polls

    def test_a_second_socket_begins_with_the_stream(self, tab, emulator, wire):
        tab.visit(emulator.url)
        tab.open(emulator.create_channel("anna"))
        stream_serves(tab, emulator)
        polls, streams = len(wire.polls), len(wire.streams)
        tab.open(emulator.create_channel("bert"), "second")
        tab.wait(1, "second")
        emulator.send("bert", "hello")
        assert tab.wait_for(2, "second")[1] == ["onmessage", {"data": "hello"}]
        assert (len(wire.polls), len(wire.streams)) == (polls, streams + 1), wire

    def test_polls_where_the_upgrade_is_refused(self, tab, server, wire):
        server.faults.add("stream error error=426")
        tab.visit(server.url)
        tab.open(server.create_channel("anna"))
        for number in range(10):
            tab.wait(1 + number)
            server.send_message("anna", str(number))
        tab.wait(11)
        assert tab.texts() == [str(number) for number in range(10)]
        assert tab.ready_state() == 1
        assert 1 <= len(wire.streams) < 8, wire

    @pytest.mark.slow
    def test_a_stream_that_is_cut_goes_on_by_polls_and_comes_back(self, tab, emulator, wire):
        tab.visit(emulator.url)
        tab.open(emulator.create_channel("anna"))
        sent = 0
        for _ in range(2):
            emulator.wait_for_transport("stream")
            for turn in range(6):
                emulator.send("anna", str(sent))
                sent += 1
                if turn == 2:
                    emulator.cut()  # The message may be on its way.
            tab.wait(1 + sent)
            while len(wire.streams) < 2:
                emulator.send("anna", str(sent))
                sent += 1
                tab.page.wait_for_timeout(20)  # It is tried again after a while.
        tab.wait(1 + sent)
        assert [name for name, _ in tab.calls()] == ["onopen"] + ["onmessage"] * sent
        assert tab.texts() == [str(number) for number in range(sent)]

    def test_an_iframe_where_the_page_may_not_ask(self, tab, emulator, wire):
        tab.visit(f"{emulator.url}/framed")
        receive(tab, emulator)
        assert {framed for _, framed in wire.polls} == {True}
        emulator.wait_for_transport("stream")  # In the frame.
        emulator.send("anna", "hello")
        tab.wait(5)
        assert tab.texts()[-1] == "hello"
        tab.close()
        assert emulator.presence(2)[-1] == ("disconnected", "anna")

    def test_short_polls_where_long_ones_are_cut(self, tab, server):
        short = []

        def cut_long_ones(route):
            short.append("wait=0" in route.request.url)
            if short[-1]:
                route.continue_()
            else:
                route.abort()

        server.faults.add("stream error error=503")
        tab.page.route("**/_ah/channel/poll?*", cut_long_ones)
        tab.visit(server.url)
        tab.page.evaluate("goog.appengine.Socket.POLLING_TIMEOUT_MS = 50")
        tab.open(server.create_channel("anna"))
        tab.wait(1)
        for number in range(50):
            server.send_message("anna", str(number))
            tab.wait(2 + number)
        assert tab.texts() == [str(number) for number in range(50)]
        assert short[-20:].count(False) <= 2  # Tried now and then.


class TestSendFromAnotherOrigin:
    """`send()` acts on the app, so another origin needs leave."""

    @pytest.mark.parametrize("allowed", [True, False])
    def test_with_and_without_allow_origin(self, request, tab, serve, other_origin, allowed):
        emulator = serve("--allow-origin", other_origin) if allowed else request.getfixturevalue("emulator")
        tab.visit(other_origin, f"{emulator.url}/_ah/channel/jsapi")
        tab.open(emulator.create_channel("anna"))
        tab.wait(1)
        # It "fails" for the page in any case, which may not read the app's answer, and does not ask.
        with tab.page.expect_event("requestfailed", lambda request: request.url.endswith("/receive")):
            assert tab.page.evaluate("sockets.socket.socket.send('hello')") is True
        if allowed:
            assert emulator.received()[0] == {"path": "receive", "key": "anna", "msg": "hello"}
        else:
            assert len(emulator.told(1)) == 1
        emulator.send("anna", "the channel lives on")
        tab.wait(2)


class TestConsole:
    """What production did not have is named once in the page's console."""

    @pytest.mark.parametrize("arguments", [[], ["--quiet"]])
    def test_notes_and_silence(self, request, tab, serve, arguments):
        emulator = serve(*arguments) if arguments else request.getfixturevalue("emulator")
        lines = []
        tab.page.on("console", lambda message: lines.append(message.text))
        tab.visit(emulator.url)
        tab.open(emulator.create_channel("anna"), "first")
        tab.wait(1, "first")
        assert lines == []
        for name in ("second", "third"):
            tab.open(emulator.create_channel(name), name)
            tab.wait(1, name)
            tab.page.evaluate("name => sockets[name].socket.send('x')", name)
            tab.page.evaluate(
                """token => {
                    const handler = new goog.appengine.Socket.Handler();
                    window.own = new goog.appengine.Channel(token).open(handler);
                }""",
                emulator.create_channel("own"),
            )
            tab.page.wait_for_function("own.readyState === 1")
        expected = ["second socket in a page", "send()", "Socket.Handler"]
        link = "See docs/browser-client.md#production"
        assert lines == (
            [] if arguments else [f"goog.appengine: production had no {each}. {link}" for each in expected]
        )


class TestHostilePage:
    """A page of another site that its user visits while the emulator runs, with a socket open in another tab."""

    @pytest.fixture(params=["another port", "another host", "null"])
    def hostile(self, request, context, tab, emulator, other_origin):
        tab.visit(emulator.url)
        tab.open(emulator.create_channel("anna"))
        tab.wait(1)
        page = context.new_page()
        urls = {
            "another port": other_origin,
            "another host": other_origin.replace("127.0.0.1", "localhost"),
            "null": f"{other_origin}/sandbox",
        }
        page.goto(urls[request.param])
        return page

    def test_it_can_neither_read_nor_act(self, tab, hostile, emulator):
        message = '{"client_id": "anna", "message": "x"}'
        for path, options in [
            ("/_emu/health", {}),
            ("/_emu/channels", {"body": '{"client_id": "anna"}'}),
            ("/_emu/channels", {"body": '{"client_id": "anna"}', "headers": {"Content-Type": "application/json"}}),
            ("/_emu/messages", {"body": message}),
            ("/_emu/messages", {"body": message, "mode": "no-cors"}),
            ("/_ah/channel/receive", {"body": "key=anna&msg=x", "mode": "no-cors"}),
            ("/_ah/channel/connected/", {"body": "from=anna", "mode": "no-cors"}),
            ("/rpc_http", {"body": "x", "mode": "no-cors"}),
        ]:
            method = {"method": "POST"} if options else {}
            answer = hostile.evaluate(TRY, [emulator.url + path, {**options, **method}])
            assert answer in ("refused", "opaque 0 "), path
        emulator.send("anna", "the only one")
        tab.wait(2)
        assert tab.texts() == ["the only one"]
        assert emulator.presence(1) == [("connected", "anna")]

    def test_it_gets_no_socket_without_a_token_and_no_message_without_a_socket(self, hostile, emulator):
        url = f"{emulator.url}/_ah/channel"
        assert hostile.evaluate(TRY, [f"{url}/open?channel=anna", {}]) == "cors 401 Invalid+token."
        assert hostile.evaluate(TRY, [f"{url}/poll?socket=anna&after=0", {}]) == "cors 410 Socket+gone."

    def test_the_frame_reads_nothing_for_it(self, hostile, emulator):
        script = """url => new Promise((resolve) => {
            const frame = document.body.appendChild(document.createElement('iframe'));
            const heard = [];
            window.addEventListener('message', (event) => {
                for (const path of ['/_emu/health', '../../_emu/health', 'close?socket=x', '/told?at_least=0',
                    'open?channel=x/../../../told', 'dev?command=connect&channel=x', 'stream?socket=x#',
                    'open?channel=none']) {
                    const channel = new MessageChannel();
                    channel.port1.onmessage = (event) => {
                        heard.push([path, event.data]);
                        if (path === 'open?channel=none') resolve(heard);
                    };
                    event.ports[0].postMessage(path, [channel.port2]);
                }
            });
            frame.src = url + '/_ah/channel/frame#mine';
        })"""
        heard = hostile.evaluate(script, emulator.url)
        assert heard == [["open?channel=none", [401, "Invalid+token.", "Invalid+token."]]]

    def test_it_cannot_put_itself_in_the_place_of_the_frame(self, hostile, emulator):
        """A page that has the app's page in a frame may navigate the frames in that."""
        token = emulator.create_channel("bert")
        hostile.evaluate(
            """url => {
                const frame = document.body.appendChild(document.createElement('iframe'));
                frame.sandbox = 'allow-scripts';
                frame.src = url + '/inner';
                return new Promise((resolve) => { frame.onload = resolve; });
            }""",
            emulator.url,
        )
        inner = hostile.frames[1]
        inner.add_script_tag(url=f"{emulator.url}/_ah/channel/jsapi?transport=iframe")
        # The emulator's frame never loads in time; another page stands there.
        hostile.route("**/_ah/channel/frame", lambda route: None)
        inner.evaluate("token => { window.socket = new goog.appengine.Channel(token).open(); }", token)
        page = """<script>
            for (const name of ['', '0.5', location.hash, document.referrer, window.name, null, undefined, {}]) {
                const channel = new MessageChannel();
                channel.port1.onmessage = (event) => { top.postMessage({stolen: event.data}, '*'); };
                parent.postMessage(name, '*', [channel.port2]);
            }
            top.postMessage('in place', '*');
        </script>"""
        heard = hostile.evaluate(
            """async (page) => {
                const heard = [];
                const placed = new Promise((resolve) => {
                    window.addEventListener('message', (event) => {
                        heard.push(event.data);
                        // What is stolen comes by then.
                        if (event.data === 'in place') setTimeout(() => resolve(heard), 200);
                    });
                });
                while (frames[0].length < 2) await new Promise((resolve) => setTimeout(resolve, 10));
                frames[0][frames[0].length - 1].location.replace('data:text/html,' + encodeURIComponent(page));
                return placed;
            }""",
            page,
        )
        assert heard == ["in place"]
