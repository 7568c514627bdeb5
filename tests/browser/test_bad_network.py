"""Our browser client in Chromium while the network fails and the emulator restarts."""

from __future__ import annotations

import random

import pytest

from tests.browser.chaos_proxy import KINDS, REFUSED, STREAM_KINDS, ChaosProxy

pytestmark = pytest.mark.slow

MESSAGES = 1000
BATCH = 5
SCRIPTS = (
    "Grüße Ελληνικά Русский Հայերեն ქართული עברית العربية हिन्दी বাংলা தமிழ் ไทย "
    "ខ្មែរ አማርኛ ᏣᎳᎩ 中文 日本語 한국어 ᚠᛇᚻ 𐌰𐌱 😀👩‍👩‍👧"
)
SAMPLES = [
    "\0",
    "a\nb\r\n\tc",
    "<b>&amp;</b>",
    "</script>",
    "\u2028",
    '{"messages": []}',
    "'\"\\",
    " ",
    *SCRIPTS.split(),
]
SIZES = [1, 10, 10, 300, 300, 4000, 32767]


def make_messages(seed):
    """`MESSAGES` texts of 1 byte to 32,767 bytes of UTF-8, in every script."""
    chance = random.Random(seed)
    texts = list(SAMPLES)
    while len(texts) < MESSAGES:
        size = chance.randint(1, chance.choice(SIZES)) if len(texts) % 50 else 32767
        text = "".join(chance.choices(SAMPLES, k=size // 4 + 1)).encode()[:size].decode(errors="ignore")
        texts.append(text + "x" * (size - len(text.encode())))
    chance.shuffle(texts)
    return texts


def send_all(emulator, tab, texts, between=lambda number: None):
    for number, text in enumerate(texts):
        emulator.send("anna", text)
        if number % BATCH == 0:
            between(number)
            tab.wait(1 + number - 4 * BATCH)  # Within the socket's backlog.


@pytest.mark.parametrize(
    ("seed", "transport", "kinds"),
    [
        (1, "", KINDS),
        (2, "xhr", KINDS),
        (3, "websocket", (REFUSED, *STREAM_KINDS)),
    ],
)
def test_every_message_once_and_in_order_whatever_the_connection_does(tab, serve, tmp_path, seed, transport, kinds):
    emulator = serve(state_dir=tmp_path / "state")
    texts = make_messages(seed)
    with ChaosProxy(emulator.port, seed) as proxy:
        assert {len(text.encode()) for text in texts} >= {1, 32767}
        tab.visit(proxy.url, f"/_ah/channel/jsapi?transport={transport}")
        tab.open(emulator.create_channel("anna"))
        tab.wait_for(1)
        proxy.probability = 0.3

        def between(number):
            if number == MESSAGES // 2:
                assert emulator.stop() == 0
                emulator.start()

        send_all(emulator, tab, texts, between)
        calls = tab.wait_for(1 + MESSAGES)
    assert tab.texts() == texts
    assert {name for name, _ in calls} == {"onopen", "onmessage"}
    assert len(calls) == 1 + MESSAGES
    assert set(proxy.met) >= set(kinds), proxy.met
    assert not tab.errors


def test_a_restart_of_the_emulator_goes_unnoticed(tab, serve, tmp_path):
    emulator = serve(state_dir=tmp_path / "state")
    tab.visit(emulator.url)
    tab.open(emulator.create_channel("anna"))
    tab.wait_for(1)
    sent = []
    for turn in range(3):
        # The last of these may still be on their way to the page when the emulator stops.
        for number in range(20):
            sent.append(f"{turn}.{number}")
            assert emulator.send("anna", sent[-1]) == 1
        assert emulator.stop() == 0
        emulator.start()
    emulator.send("anna", "the last")
    calls = tab.wait_for(2 + len(sent))
    assert [name for name, _ in calls] == ["onopen"] + ["onmessage"] * (len(sent) + 1)
    assert tab.texts() == [*sent, "the last"]
    assert tab.ready_state() == 1


def test_a_page_opens_while_the_emulator_restarts(tab, serve, tmp_path):
    emulator = serve(state_dir=tmp_path / "state")
    tab.visit(emulator.url)
    token = emulator.create_channel("anna")
    emulator.stop()
    tab.open(token)
    with tab.page.expect_event("requestfailed"):
        pass
    emulator.start()
    assert tab.wait_for(1) == [["onopen", {}]]


NONSENSE = {
    "status 500": {"status": 500, "body": "broken"},
    "HTML": {"body": "<!DOCTYPE html><title>Sign in</title>", "content_type": "text/html"},
    "half a JSON": {"body": '{"messages":["wrong', "content_type": "application/json"},
    "a redirect to a login page": {"status": 302, "headers": {"Location": "/login?continue=x"}},
    "far too much": {"body": "x" * 2_000_000},
}


@pytest.mark.parametrize("path", ["open", "poll"])
def test_a_server_that_answers_nonsense_for_a_while(tab, emulator, path):
    answers = iter(NONSENSE.items())
    given = []

    def answer(route):
        name, fields = next(answers, ("", None))
        if fields is None:
            route.continue_()
        else:
            given.append(name)
            route.fulfill(**fields)

    tab.visit(emulator.url, "/_ah/channel/jsapi?transport=xhr")
    tab.page.route(f"**/_ah/channel/{path}?*", answer)
    tab.open(emulator.create_channel("anna"))
    tab.wait(1)
    for number in range(3):
        assert emulator.send("anna", str(number)) == 1
        tab.wait(2 + number)
    assert [name for name, _ in tab.calls()] == ["onopen"] + ["onmessage"] * 3
    assert tab.texts() == ["0", "1", "2"]
    assert given == list(NONSENSE)
    assert not tab.errors


@pytest.mark.parametrize("token", ["undefined", "null", "42", "{}", "[]", "''"])
def test_a_token_of_the_wrong_type(tab, emulator, token):
    tab.visit(emulator.url)
    tab.page.evaluate(f"() => {{ window.token = {token}; }}")
    tab.page.evaluate("""() => {
        window.calls = [];
        new goog.appengine.Channel(token).open({
            onerror: (error) => calls.push(`${error.code} ${error.description}`),
            onclose: () => calls.push('closed'),
        });
    }""")
    tab.page.wait_for_function("calls.length >= 2")
    assert tab.page.evaluate("calls") == ["401 Invalid+token.", "closed"]
