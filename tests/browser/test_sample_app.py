"""The sample app as two people use it."""

from __future__ import annotations

import contextlib
import re

import pytest
from playwright.sync_api import Page, expect

from appengine_channel_emu.host.app_kinds import python3_backend
from appengine_channel_emu.host.origins.instance import AppSpec
from appengine_channel_emu.host.proxy import ProxyBackend
from appengine_channel_emu.server.service import Service
from appengine_channel_emu.settings import Settings
from tests.support.browsers import WAIT
from tests.support.emulator import RunningEmulator
from tests.support.legacy import FORGETFUL, PlainSdk
from tests.support.parts import ROOT
from tests.support.waiting import until

TOKEN_SECONDS = 2 * 60 * 60


@pytest.fixture(scope="module")
def sample_app(tmp_path_factory):
    """For all tests that have a game of their own, and leave the app running."""
    with RunningEmulator("--no-sdk", "sample_app", log=tmp_path_factory.mktemp("app") / "log") as emulator:
        yield emulator


@pytest.fixture
def own_sample_app(tmp_path):
    """For one test alone."""
    with RunningEmulator("--no-sdk", "sample_app", log=tmp_path / "emulator.log") as emulator:
        yield emulator


@contextlib.contextmanager
def two_people(browser, url):
    """Two people at their own machines, at one game."""
    contexts = [browser.new_context() for _ in range(2)]
    for context in contexts:
        context.set_default_timeout(WAIT)
    first, second = (context.new_page() for context in contexts)
    first.goto(url)
    expect(first.locator("#status")).to_have_text("You are X. Waiting for a friend…")
    second.goto(first.url)
    expect(second.locator("#status")).to_have_text("You are O. Their turn.")
    yield first, second
    for context in contexts:
        context.close()


@pytest.fixture
def players(browser, sample_app):
    with two_people(browser, sample_app.url) as both:
        yield both


def play(page: Page, cell: int) -> None:
    """Play a cell, 0 to 8, as soon as it is this player's turn."""
    button = page.locator("#board button").nth(cell)
    expect(button).to_have_attribute("aria-disabled", "false")
    button.click()


def marks(page: Page) -> str:
    return "".join(
        button.get_attribute("data-mark") or "." for button in page.locator("#board button").element_handles()
    )


@pytest.mark.slow
def test_a_game_to_its_end_and_another(players):
    first, second = players
    for turn, cell in enumerate([4, 0, 2, 6, 3, 5, 1, 7, 8]):
        play(players[turn % 2], cell)
    for page in players:
        expect(page.locator("#status")).to_have_text("A draw.")
        expect(page.locator("#score")).to_have_text("X 0 · O 0 · draws 1")
    assert marks(first) == marks(second) == "OXXXXOOOX"
    second.click("#again")
    for turn, cell in enumerate([0, 4, 1, 8, 2]):
        play(players[(turn + 1) % 2], cell)
    expect(first.locator("#status")).to_have_text("You lose.")
    expect(second.locator("#status")).to_have_text("You win!")
    expect(first.locator("#score")).to_have_text("X 0 · O 1 · draws 1")


def test_they_chat_and_what_they_say_is_text(players):
    first, second = players
    second.fill("#name", "Grace")
    second.click("#rename button")
    expect(first.locator("#visitors")).to_contain_text("Grace")
    second.fill("#text", "<img src=x onerror=alert(1)> & שלום")
    second.press("#text", "Enter")
    for page in players:
        expect(page.locator("#chat li")).to_have_text("Grace: <img src=x onerror=alert(1)> & שלום")
        assert page.locator("#chat img").count() == 0


def test_who_is_here_follows_those_who_come_and_go(players):
    first, second = players
    second.close()
    expect(first.locator("#status")).to_have_text("You are X. O is away.")
    expect(first.locator("#visitors")).to_contain_text("away")


def test_a_reload_keeps_the_seat_and_the_game(players):
    first, second = players
    play(first, 4)
    second.reload()
    expect(second.locator("#status")).to_have_text("You are O. Your turn.")
    assert marks(second) == "....X...."
    expect(first.locator("#status")).to_have_text("You are X. Their turn.")


def test_a_third_visitor_watches(players, context):
    first, _ = players
    guest = context.new_page()
    guest.goto(first.url)
    expect(guest.locator("#status")).to_have_text("You are watching. X is to play.")
    play(first, 0)
    expect(guest.locator("#board button").first).to_have_attribute("data-mark", "X")


@pytest.mark.slow
@FORGETFUL
def test_all_this_holds_on_the_real_dev_server(browser, context, tmp_path):
    """Under Python 2.7: the app is the same, to the byte."""
    with PlainSdk(ROOT / "sample_app", tmp_path) as server:
        for test in (
            test_a_game_to_its_end_and_another,
            test_they_chat_and_what_they_say_is_text,
            test_who_is_here_follows_those_who_come_and_go,
            test_a_reload_keeps_the_seat_and_the_game,
            lambda players: test_a_third_visitor_watches(players, context),
        ):
            with two_people(browser, server.url) as players:
                test(players)


@pytest.mark.slow
def test_a_restart_of_app_and_emulator_is_survived(browser, own_sample_app):
    with two_people(browser, own_sample_app.url) as players:
        first, second = players
        play(first, 4)
        expect(second.locator("#status")).to_have_text("You are O. Your turn.")
        assert own_sample_app.stop() == 0
        own_sample_app.start()
        # The game was in the app's memory and tokens were not kept: the pages join again, to an empty board.
        for page in players:
            expect(page.locator("#board button").nth(4)).to_have_attribute("data-mark", "")
            expect(page.locator("#connection")).to_have_text("connected")
            expect(page.locator("#status")).to_have_text(re.compile("You are [XO]. (Your|Their) turn."))
            assert marks(page) == "." * 9


@pytest.mark.slow
def test_an_app_that_forgot_its_pages_is_joined_again_on_their_sockets(context, tmp_path):
    log, state = tmp_path / "emulator.log", tmp_path / "state"
    with RunningEmulator("sample_app", log=log, state_dir=state) as emulator:
        page = context.new_page()
        page.goto(emulator.url)
        expect(page.locator("#connection")).to_have_text("connected")
        emulator.stop()
        emulator.start()
        # Tokens and sockets are kept: the page hears of the restart only when it does something.
        play(page, 4)
        expect(page.locator("#board button").nth(4)).to_have_attribute("data-mark", "X")
        page.fill("#text", "Still here")
        page.press("#text", "Enter")
        expect(page.locator("#chat li")).to_have_text("Guest 1: Still here")


def test_a_page_whose_token_times_out_gets_another_and_goes_on(context):
    def sample_app(address: str) -> ProxyBackend:
        return python3_backend(AppSpec("main:app", ROOT / "sample_app", address), None)

    service = Service(Settings(port=0, state_dir="none"), sample_app)
    service.start()
    page = context.new_page()
    page.goto(service.url)
    expect(page.locator("#connection")).to_have_text("connected")
    service.broker.clock.advance(TOKEN_SECONDS + 1)
    until(lambda: [event.kind for event in service.broker.events.after(0)].count("socket_opened") == 2)
    expect(page.locator("#connection")).to_have_text("connected")
    play(page, 4)
    expect(page.locator("#board button").nth(4)).to_have_attribute("data-mark", "X")
    service.stop()


def test_a_page_that_cannot_say_that_it_is_open_tries_again(players, context):
    first, _ = players
    first.fill("#text", "Welcome")
    first.press("#text", "Enter")
    expect(first.locator("#chat li")).to_have_count(1)
    late = context.new_page()
    refused = []

    def refuse_once(route):
        if refused:
            route.continue_()
        else:
            refused.append(route.request.url)
            route.fulfill(status=500, body="the app failed")

    late.route("**/opened", refuse_once)
    late.goto(first.url)
    # What was said before comes with the answer to that request alone.
    expect(late.locator("#chat li")).to_have_text("Guest 1: Welcome")
    assert refused


def test_an_app_that_never_knows_the_page_is_not_asked_for_ever(context, sample_app):
    page = context.new_page()
    moves = []

    def forget(route):
        moves.append(route.request.url)
        route.fulfill(status=410, body="The app does not know this page.")

    page.route("**/move", forget)
    page.goto(sample_app.url)
    play(page, 4)
    expect(page.locator("#notice")).to_have_text("The app does not know this page.")
    assert len(moves) == 2


NOTE_CALLS = """() => {
    window.seen = [];
    const open = goog.appengine.Channel.prototype.open;
    goog.appengine.Channel.prototype.open = function (handlers) {
        seen.push(['open']);
        for (const name of ['onerror', 'onclose']) {
            const own = handlers[name];
            handlers[name] = function (event) {
                seen.push([name, event]);
                own.call(this, event);
            };
        }
        return open.call(this, handlers);
    };
}"""


def test_time_travel_past_the_tokens_reaches_the_pages_and_they_come_back_by_themselves(players, sample_app):
    first, second = players
    play(first, 4)
    for page in players:
        page.evaluate(NOTE_CALLS)
    # The sockets that the first journey has the pages open are those whose handlers are noted in the second.
    timed_out = [["onerror", {"code": 401, "description": "Token+timed+out."}], ["onclose", {}], ["open"]]
    for wanted in ([["open"]], timed_out):
        sample_app.advance(TOKEN_SECONDS)
        for page in players:
            page.wait_for_function("count => seen.length >= count", arg=len(wanted))
            expect(page.locator("#connection")).to_have_text("connected")
            assert page.evaluate("() => seen.splice(0)") == wanted
    play(second, 0)
    expect(first.locator("#status")).to_have_text("You are X. Your turn.")
    assert marks(first) == marks(second) == "O...X...."
