"""A broker driven at random against a simple model of what pages and the app must see.

The machine knows the contract of a broker (`broker.contract`) and what it is to be started, stopped and killed
(`kept.Emulator`): another implementation is put under it by a subclass that makes that one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from appengine_channel_emu.broker.contract import Broker, BrokerOptions
from appengine_channel_emu.broker.errors import SocketGone, TokenError, TokenTimedOut
from tests.broker.kept import Emulator
from tests.support.clocks import StoppableClock

CLIENT_IDS = ["ann", "böb", "a-b-c"]
BROWSERS = ["Chromium", "Firefox"]
MARGIN, NAVIGATION, LONGEST = 0.25, 0.3, 0.5
"""Seconds by which what a request sends to its own browser waits: after its answer, and at the longest."""
ATTACHED = 5
WINDOW = 60
GRACE = 2
EXAMPLES = 3000 if os.environ.get("SOAK") else 80


class Page:
    """What a page knows, and what it must have received in the end."""

    """Its moments are in seconds of the clock's `uptime`, but for those of messages, which are of the clock."""

    def __init__(self, client_id: str, token: str, socket: str, now: float, browser: str) -> None:
        self.client_id, self.token, self.socket, self.browser = client_id, token, socket, browser
        self.received: list[str] = []
        self.expected: list[str] = []
        self.known = True
        """Whether the broker knows its browser, which it learns anew after a restart."""
        self.held: dict[int, Held] = {}
        self.poll = None
        self.stream = None
        self.woken = False
        self.under_way: list[str] = []
        """What its stream has sent, and it has not got yet."""
        self.quiet_since = now
        self.saved = 0
        self.detached_at: float | None = None
        self.ended_at: float | None = None

    def end(self, at: float) -> None:
        """Its socket was closed or timed out at that moment."""
        self.ended_at = at
        if self.served:
            self.quiet_since = at

    @property
    def served(self) -> bool:
        """Whether a poll or a stream of it is there."""
        return self.poll is not None or self.stream is not None

    def wake(self) -> None:
        """Its stream may have something to say."""
        self.woken = True

    def change(self, poll=None, stream=None) -> None:
        """What served it does so no more, and says nothing."""
        self.poll, self.stream, self.woken, self.under_way = poll, stream, stream is not None, []

    def due(self, now: float) -> list[str]:
        """What it must have received by now: all up to the first message that is held."""
        held = [number for number, held in self.held.items() if not held.over(now)]
        return self.expected[: min(held, default=len(self.expected))]

    def detaches_at(self) -> float:
        """When it stops counting as attached, if it is not polled again."""
        ends = [at for at in (self.detached_at, self.ended_at) if at is not None]
        return min([*ends, self.quiet_since + ATTACHED])


class Request:
    """A request of the app's that a page's browser made."""

    def __init__(self, broker: Broker, browser: str, navigation: bool) -> None:
        self.broker, self.browser = broker, browser
        self.id = broker.app_requests.begin(browser, navigation)
        self.margin = NAVIGATION if navigation else MARGIN
        self.ended_at: float | None = None


class Held(NamedTuple):
    """Why a message waits; `answered` is whether the request had been, when it was sent."""

    request: Request
    sent_at: float
    answered: bool

    def over(self, now: float) -> bool:
        ended_at = self.request.ended_at
        return now >= self.sent_at + LONGEST or (ended_at is not None and now >= ended_at + self.request.margin)


class BrokerMachine(RuleBasedStateMachine):
    make: ClassVar[Callable[..., Emulator]]
    """Starts a broker on a folder and a clock, with options, and with what posts presence."""

    make_clock: ClassVar[Callable[[], StoppableClock]] = StoppableClock

    tokens = Bundle("tokens")
    pages = Bundle("pages")
    requests = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = type(self).make_clock()
        self.told: defaultdict[str, list[bool]] = defaultdict(list)
        self.all_pages: list[Page] = []
        self.expires: dict[str, float] = {}
        self.sent = 0
        self.restarted_at = 0.0
        self.killed = False
        self.saved_tokens: set[str] = set()
        self.failing = False
        self.start()

    def start(self) -> None:
        # Of the former process nothing runs any more.
        self.clock._followers.clear()
        self.emulator = type(self).make(self.folder, self.clock, BrokerOptions(push_after_answer=MARGIN), self.post)
        self.broker: Broker = self.emulator.broker
        self.emulator.when_urgent(self.save)

    def post(self, client_id: str, connected: bool) -> None:
        self.told[client_id].append(connected)
        self.broker.presence_done(client_id, connected, 200)

    def save(self) -> bool:
        self.failing = not self.emulator.save()
        if self.failing:
            assert self.emulator.locked
            return False
        for page in self.all_pages:
            page.saved = len(page.expected)
        self.saved_tokens.update(self.expires)
        return True

    def teardown(self) -> None:
        self.clock.advance(LONGEST)
        for page in self.living():
            self.exchange(page)
            assert page.received == page.expected
        self.clock.advance(10_000)
        for told in () if self.killed else self.told.values():
            assert told == [index % 2 == 0 for index in range(len(told))]
            assert not told or not told[-1]
        self.emulator.unlock()
        assert self.emulator.stop()
        shutil.rmtree(self.folder)

    def holds(self, page: Page, request: Request) -> bool:
        """Whether what `request` sends waits for `page`: both must be known to this broker, not to a former one."""
        return request.broker is self.broker and page.known and page.browser == request.browser

    def living(self) -> list[Page]:
        """Pages whose socket is not gone."""
        now = self.clock.uptime()
        for page in self.all_pages:
            if page.ended_at is None and not page.served and now >= page.quiet_since + ATTACHED + WINDOW:
                page.ended_at = page.quiet_since + ATTACHED + WINDOW
            overdue = self.clock.now() - self.expires[page.token]
            if page.ended_at is None and overdue >= 0:
                page.end(now - overdue)
        return [page for page in self.all_pages if page.ended_at is None]

    def exchange(self, page: Page, lose: bool = False) -> None:
        """One poll of `page`, answered at once; a lost answer teaches it nothing."""
        poll = self.broker.poll(page.socket, len(page.received), page.browser)
        self.supersede(page)
        answer = self.broker.take(poll)
        self.broker.release(poll)
        page.detached_at, page.quiet_since, page.known = None, self.clock.uptime(), True
        assert answer.next - len(answer.messages) == len(page.received)
        if not lose:
            page.received += [message.text for message in answer.messages]

    def supersede(self, page: Page, poll=None, stream=None) -> None:
        """Something newer serves `page`, and says all that is said from here on."""
        older_poll, older_stream, woken = page.poll, page.stream, page.woken
        page.change(poll, stream)
        if older_poll is not None:
            assert older_poll.superseded
            assert older_poll.ready.is_set
            assert self.broker.take(older_poll).messages == []
        if older_stream is not None:
            assert older_stream.superseded
            assert woken
            assert self.broker.take_next(older_stream).messages == []
            self.broker.release(older_stream)

    @rule(target=tokens, client_id=st.sampled_from(CLIENT_IDS), minutes=st.integers(1, 3))
    def create(self, client_id: str, minutes: int) -> tuple[str, str]:
        made = self.broker.create_channel(client_id, minutes)
        assert made.expires == self.clock.now() + minutes * 60
        self.expires[made.token] = made.expires
        if not self.failing:
            self.saved_tokens.add(made.token)  # at once
        return client_id, made.token

    @rule(target=pages, token=tokens, browser=st.sampled_from(BROWSERS))
    def open(self, token: tuple[str, str], browser: str) -> Page:
        client_id, text = token
        if self.expires[text] <= self.clock.now():
            with pytest.raises(TokenError):
                self.broker.open(text)
            return multiple()
        opened = self.broker.open(text, browser=browser)
        assert opened.presence_sent.is_set
        assert (opened.client_id, opened.next) == (client_id, 0)
        page = Page(client_id, text, opened.socket, self.clock.uptime(), browser)
        self.all_pages.append(page)
        return page

    @initialize(target=pages)
    def first_page(self) -> Page:
        """So that most of what follows has a page to happen to."""
        return self.open(self.create(CLIENT_IDS[0], 3), BROWSERS[0])

    @rule(target=requests, page=pages, navigation=st.booleans(), answered=st.booleans())
    def page_posts(self, page: Page, navigation: bool, answered: bool) -> Request:
        """A page's request, in which the app sends to that page."""
        request = Request(self.broker, page.browser, navigation)
        self.send_in_request(request, page)
        if answered:
            self.answer(request)
        return request

    @rule(request=requests, page=pages)
    def send_in_request(self, request: Request, page: Page) -> None:
        self.send(page.client_id, False, (page.client_id, page.token), request)

    @rule(request=requests)
    def answer(self, request: Request) -> None:
        self.broker.app_requests.end(request.id)
        request.ended_at = request.ended_at or self.clock.now()

    @rule(seconds=st.sampled_from([0.125, 0.25, 0.375, 0.5]))
    def wait_a_moment(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(client_id=st.sampled_from(CLIENT_IDS), by_token=st.booleans(), token=tokens)
    def send(self, client_id: str, by_token: bool, token: tuple[str, str], request: Request | None = None) -> None:
        self.sent += 1
        text = f"message {self.sent}"
        target = client_id
        if by_token:
            client_id, target = token
        receivers = [page for page in self.living() if page.client_id == client_id]
        if by_token and self.expires[target] <= self.clock.now():
            receivers = []
        sent = self.broker.send_message(target, text, request and request.id)
        assert sent.delivered_to == len(receivers)
        for page in receivers:
            if request is not None and self.holds(page, request):
                page.held[len(page.expected)] = Held(request, self.clock.now(), request.ended_at is not None)
            page.expected.append(text)

    @rule(names=st.lists(st.sampled_from([*CLIENT_IDS, "zoe"])), token=tokens)
    def send_many(self, names: list[str], token: tuple[str, str]) -> None:
        """One message to several client ids; one of them may be named by a token, and by its name as well."""
        self.sent += 1
        text = f"message {self.sent}"
        client_id, name = token
        if self.expires[name] <= self.clock.now():
            client_id = name
        whom = {name: client_id} | {each: each for each in names}
        sent = self.broker.send_many(whom, text)
        assert list(sent) == list(whom)
        for name, client_id in whom.items():
            pages = [page for page in self.living() if page.client_id == client_id]
            assert sent[name].delivered_to == len(pages)
        for page in self.living():
            if page.client_id in whom.values():
                page.expected.append(text)

    @rule(page=pages, lose=st.booleans())
    def poll(self, page: Page, lose: bool) -> None:
        if page not in self.living():
            with pytest.raises((SocketGone, TokenTimedOut)):
                self.broker.poll(page.socket, len(page.received))
            return
        self.exchange(page, lose)
        assert lose or page.received == page.due(self.clock.now())

    @rule(page=pages, lose=st.booleans())
    def send_and_poll(self, page: Page, lose: bool) -> None:
        self.send(page.client_id, False, (page.client_id, page.token))
        self.poll(page, lose)

    @rule(page=pages)
    def park(self, page: Page) -> None:
        if page not in self.living():
            return
        self.supersede(page, poll=self.broker.poll(page.socket, len(page.received), page.browser))
        page.detached_at, page.known = None, True
        assert page.poll.ready.is_set == (page.received != page.due(self.clock.now()))

    @rule(page=pages)
    def answer_parked(self, page: Page) -> None:
        if page.poll is None or page not in self.living():
            return
        assert page.poll.ready.is_set == (page.received != page.due(self.clock.now()))
        page.received += [message.text for message in self.broker.take(page.poll).messages]
        assert page.received == page.due(self.clock.now())
        page.poll, page.quiet_since = None, self.clock.uptime()

    @rule(page=pages)
    def stream(self, page: Page) -> None:
        """A stream takes over."""
        if page not in self.living():
            with pytest.raises((SocketGone, TokenTimedOut)):
                self.broker.stream(page.socket, len(page.received), page.wake)
            return
        stream = self.broker.stream(page.socket, len(page.received), page.wake, page.browser)
        self.supersede(page, stream=stream)
        page.detached_at, page.known = None, True
        assert stream.sent == len(page.received)

    @rule(page=pages, arrives=st.booleans())
    def read_stream(self, page: Page, arrives: bool) -> None:
        """What the stream sends reaches the page, or is under way."""
        if page.stream is None:
            return
        if page not in self.living():
            with pytest.raises((SocketGone, TokenTimedOut)):
                self.broker.take_next(page.stream)
            return
        woken, page.woken = page.woken, False
        answer = self.broker.take_next(page.stream)
        page.under_way += [message.text for message in answer.messages]
        assert woken or not answer.messages
        assert answer.next == page.stream.sent == len(page.received) + len(page.under_way)
        assert page.received + page.under_way == page.due(self.clock.now())
        if arrives:
            page.received += page.under_way
            page.under_way = []

    @rule(page=pages, back=st.integers(0, 3))
    def acknowledge(self, page: Page, back: int) -> None:
        """The page says what it has, or what it had."""
        if page.stream is not None:
            self.broker.acknowledge(page.stream, max(0, len(page.received) - back))

    @rule(page=pages)
    def send_and_read_stream(self, page: Page) -> None:
        """So that streams carry much."""
        self.send(page.client_id, False, (page.client_id, page.token))
        self.read_stream(page, True)
        self.acknowledge(page, 0)

    @rule(page=pages)
    def vanish(self, page: Page) -> None:
        """Its connection is lost, with what was under way."""
        if page.served and page in self.living():
            self.broker.release(page.poll or page.stream)
            page.change()
            page.quiet_since = self.clock.uptime()

    @rule(page=pages, token=tokens)
    def resume(self, page: Page, token: tuple[str, str]) -> None:
        client_id, text = token
        living = page in self.living() and client_id == page.client_id
        try:
            opened = self.broker.open(text, (page.socket, len(page.received)), browser=page.browser)
        except TokenError:
            assert self.expires[text] <= self.clock.now()
            return
        assert (opened.socket == page.socket) == living
        if living:
            assert opened.next == len(page.received)
            page.token, page.detached_at, page.known = text, None, True
            if not page.served:
                page.quiet_since = self.clock.uptime()
        else:
            self.broker.close(opened.socket)
            closed = Page(client_id, text, opened.socket, self.clock.uptime(), page.browser)
            closed.ended_at = self.clock.uptime()
            self.all_pages.append(closed)
        self.save()

    @rule(page=consumes(pages))
    def close(self, page: Page) -> None:
        living = page in self.living()
        assert self.broker.close(page.socket) == living
        if living:
            page.end(self.clock.uptime())
            with pytest.raises(SocketGone):
                self.broker.poll(page.socket, 0)
        self.save()

    @rule(page=pages, browser=st.sampled_from(BROWSERS))
    def move(self, page: Page, browser: str) -> None:
        """The page goes on in another browser, as one that was resumed there."""
        if page in self.living():
            if page.browser != browser:
                page.browser, page.held = browser, {}
            self.poll(page, False)

    @rule(seconds=st.sampled_from([1, 2, 3, 5, 7, 30, 59, 66]))
    def advance(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.save()

    @rule(page=pages, streams=st.booleans(), seconds=st.sampled_from([ATTACHED + GRACE, WINDOW + ATTACHED + 1]))
    def stay(self, page: Page, streams: bool, seconds: int) -> None:
        """A page waits for longer than it could be away."""
        if streams:
            self.stream(page)
        else:
            self.park(page)
        self.advance(seconds)

    @rule(seconds=st.sampled_from([1, 3, 30, 200]))
    def stand_still(self, seconds: int) -> None:
        """The emulator is stopped, and goes on: no page could have reached it."""
        self.living()
        self.clock.stand_still(seconds)
        for page in self.all_pages:
            if page.ended_at is None and self.expires[page.token] <= self.clock.now():
                page.end(self.clock.uptime())
        self.save()

    @rule()
    def lock(self) -> None:
        """Another program has the file: no save succeeds."""
        self.emulator.lock()

    @rule()
    def unlock(self) -> None:
        """It lets go."""
        self.emulator.unlock()

    @rule()
    def restart(self) -> None:
        living = self.living()
        now = self.clock.uptime()
        for page in living:
            if not page.served and page.detached_at is None and now >= page.detaches_at():
                page.detached_at = page.detaches_at()
        saved = self.save()
        self.emulator.stop()
        self.come_back(living, saved and not self.emulator.locked)
        self.clock.advance(0)
        self.restarted_at = now

    @rule()
    def kill(self) -> None:
        """What was sent since the last save may be lost, unless a page has it; all else lives on."""
        living = self.living()
        self.emulator.kill()
        self.come_back(living, whole=False)

    def come_back(self, living: list[Page], whole: bool) -> None:
        """Start again; the pages in `living` go on, or are told that they cannot if saves had failed."""
        now = self.clock.uptime()
        self.unlock()
        self.start()
        self.killed = self.killed or not whole
        for page in living:
            page.change()
            page.quiet_since, page.known, page.held = now, False, {}
            if self.failing:
                page.end(now)
            elif not whole:
                del page.expected[max(len(page.received), page.saved) :]
        if self.failing:
            for token in self.expires.keys() - self.saved_tokens:
                self.expires[token] = 0.0
            assert [event for event in self.broker.events.after(0) if event.kind == "stale_start"]
        self.save()

    @invariant()
    def presence_is_what_pages_are(self) -> None:
        self.living()
        now = self.clock.uptime()
        for client_id in () if self.killed else CLIENT_IDS:
            pages = [page for page in self.all_pages if page.client_id == client_id]
            attached = any(page.ended_at is None and (page.served or now < page.detaches_at()) for page in pages)
            told = self.told[client_id]
            gone_since = max((page.detaches_at() for page in pages), default=now)
            if attached:
                assert told
                assert told[-1]
            elif told and now >= max(gone_since, self.restarted_at) + GRACE:
                # A restart gives a client id that had just gone its grace once more.
                assert not told[-1]


class EmbeddedMachine(BrokerMachine):
    make = Emulator


TestEmbeddedBroker = pytest.mark.soak(EmbeddedMachine.TestCase)
TestEmbeddedBroker.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
