"""The broker driven at random against a simple model of what pages and the app must see."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from appengine_channel_emu.broker.broker import Broker
from appengine_channel_emu.broker.clock import ManualClock
from appengine_channel_emu.broker.errors import SocketGone, TokenError, TokenTimedOut
from appengine_channel_emu.broker.store import SqliteStore
from tests.broker.kept import OtherProgram

CLIENT_IDS = ["ann", "böb", "a-b-c"]
ATTACHED = 5
WINDOW = 60
GRACE = 2
EXAMPLES = 3000 if os.environ.get("SOAK") else 150


class Page:
    """What a page knows, and what it must have received in the end."""

    """Its moments are in seconds of the clock's `uptime`."""

    def __init__(self, client_id: str, token: str, socket: str, now: float) -> None:
        self.client_id, self.token, self.socket = client_id, token, socket
        self.received: list[str] = []
        self.expected: list[str] = []
        self.poll = None
        self.quiet_since = now
        self.saved = 0
        self.detached_at: float | None = None
        self.ended_at: float | None = None

    def end(self, at: float) -> None:
        """Its socket was closed or timed out at that moment."""
        self.ended_at = at
        if self.poll is not None:
            self.quiet_since = at

    def detaches_at(self) -> float:
        """When it stops counting as attached, if it is not polled again."""
        ends = [at for at in (self.detached_at, self.ended_at) if at is not None]
        return min([*ends, self.quiet_since + ATTACHED])


class BrokerMachine(RuleBasedStateMachine):
    tokens = Bundle("tokens")
    pages = Bundle("pages")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.clock = ManualClock()
        self.told: defaultdict[str, list[bool]] = defaultdict(list)
        self.all_pages: list[Page] = []
        self.expires: dict[str, float] = {}
        self.sent = 0
        self.restarted_at = 0.0
        self.killed = False
        self.saved_tokens: set[str] = set()
        self.locked: OtherProgram | None = None
        self.failing = False
        self.start()

    def start(self) -> None:
        self.store = SqliteStore(self.folder)
        self.clock._followers.clear()  # the former broker's timers are gone with its process
        self.broker = Broker(self.clock, post_presence=self.post, state=self.store.load(), keep_changes=True)
        self.broker.when_urgent(self.save)

    def post(self, client_id: str, connected: bool) -> None:
        self.told[client_id].append(connected)
        self.broker.presence_done(client_id, connected, 200)

    def save(self) -> bool:
        try:
            while changes := self.broker.take_changes():
                self.store.save(changes)
        except OSError:
            assert self.locked
            self.broker.give_back_changes()
            self.failing = True
            return False
        self.failing = False
        for page in self.all_pages:
            page.saved = len(page.expected)
        self.saved_tokens.update(self.expires)
        return True

    def teardown(self) -> None:
        for page in self.living():
            self.exchange(page)
            assert page.received == page.expected
        self.clock.advance(10_000)
        for told in () if self.killed else self.told.values():
            assert told == [index % 2 == 0 for index in range(len(told))]
            assert not told or not told[-1]
        self.unlock()
        assert self.save()
        self.store.close(True)
        shutil.rmtree(self.folder)

    def living(self) -> list[Page]:
        """Pages whose socket is not gone."""
        now = self.clock.uptime()
        for page in self.all_pages:
            if page.ended_at is None and page.poll is None and now >= page.quiet_since + ATTACHED + WINDOW:
                page.ended_at = page.quiet_since + ATTACHED + WINDOW
            overdue = self.clock.now() - self.expires[page.token]
            if page.ended_at is None and overdue >= 0:
                page.end(now - overdue)
        return [page for page in self.all_pages if page.ended_at is None]

    def exchange(self, page: Page, lose: bool = False) -> None:
        """One poll of `page`, answered at once; a lost answer teaches it nothing."""
        poll = self.broker.poll(page.socket, len(page.received))
        answer = poll.take()
        poll.release()
        page.poll, page.detached_at, page.quiet_since = None, None, self.clock.uptime()
        assert answer.next - len(answer.messages) == len(page.received)
        if not lose:
            page.received += [message.text for message in answer.messages]

    @rule(target=tokens, client_id=st.sampled_from(CLIENT_IDS), minutes=st.integers(1, 3))
    def create(self, client_id: str, minutes: int) -> tuple[str, str]:
        made = self.broker.create_channel(client_id, minutes)
        assert made.expires == self.clock.now() + minutes * 60
        self.expires[made.token] = made.expires
        if not self.failing:
            self.saved_tokens.add(made.token)  # at once
        return client_id, made.token

    @rule(target=pages, token=tokens)
    def open(self, token: tuple[str, str]) -> Page:
        client_id, text = token
        if self.expires[text] <= self.clock.now():
            with pytest.raises(TokenError):
                self.broker.open(text)
            return multiple()
        opened = self.broker.open(text)
        assert opened.told.is_set
        assert (opened.client_id, opened.next) == (client_id, 0)
        page = Page(client_id, text, opened.socket, self.clock.uptime())
        self.all_pages.append(page)
        return page

    @rule(client_id=st.sampled_from(CLIENT_IDS), by_token=st.booleans(), token=tokens)
    def send(self, client_id: str, by_token: bool, token: tuple[str, str]) -> None:
        self.sent += 1
        text = f"message {self.sent}"
        target = client_id
        if by_token:
            client_id, target = token
        receivers = [page for page in self.living() if page.client_id == client_id]
        if by_token and self.expires[target] <= self.clock.now():
            receivers = []
        assert self.broker.send_message(target, text).delivered_to == len(receivers)
        for page in receivers:
            page.expected.append(text)

    @rule(page=pages, lose=st.booleans())
    def poll(self, page: Page, lose: bool) -> None:
        if page not in self.living():
            with pytest.raises((SocketGone, TokenTimedOut)):
                self.broker.poll(page.socket, len(page.received))
            return
        self.exchange(page, lose)
        assert lose or page.received == page.expected

    @rule(page=pages, lose=st.booleans())
    def send_and_poll(self, page: Page, lose: bool) -> None:
        self.send(page.client_id, False, (page.client_id, page.token))
        self.poll(page, lose)

    @rule(page=pages)
    def park(self, page: Page) -> None:
        if page not in self.living():
            return
        older, page.poll = page.poll, self.broker.poll(page.socket, len(page.received))
        page.detached_at = None
        assert older is None or (older.ready.is_set and older.take().messages == [])
        assert page.poll.ready.is_set == (page.received != page.expected)

    @rule(page=pages)
    def answer_parked(self, page: Page) -> None:
        if page.poll is None or page not in self.living():
            return
        assert page.poll.ready.is_set == (page.received != page.expected)
        page.received += [message.text for message in page.poll.take().messages]
        assert page.received == page.expected
        page.poll, page.quiet_since = None, self.clock.uptime()

    @rule(page=pages)
    def vanish(self, page: Page) -> None:
        if page.poll is not None and page in self.living():
            page.poll.release()
            page.poll, page.quiet_since = None, self.clock.uptime()

    @rule(page=pages, token=tokens)
    def resume(self, page: Page, token: tuple[str, str]) -> None:
        client_id, text = token
        living = page in self.living() and client_id == page.client_id
        try:
            opened = self.broker.open(text, resume=(page.socket, len(page.received)))
        except TokenError:
            assert self.expires[text] <= self.clock.now()
            return
        assert (opened.socket == page.socket) == living
        if living:
            assert opened.next == len(page.received)
            page.token, page.detached_at = text, None
            if page.poll is None:
                page.quiet_since = self.clock.uptime()
        else:
            self.broker.close(opened.socket)
            closed = Page(client_id, text, opened.socket, self.clock.uptime())
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

    @rule(seconds=st.sampled_from([1, 2, 3, 5, 7, 30, 59, 66]))
    def advance(self, seconds: int) -> None:
        self.clock.advance(seconds)
        self.save()

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
        if self.locked is None:
            self.store._database.execute("PRAGMA busy_timeout = 0").fetchall()
            self.locked = OtherProgram(self.folder)

    @rule()
    def unlock(self) -> None:
        """It lets go."""
        if self.locked is not None:
            self.locked.leave()
            self.locked = None

    @rule()
    def restart(self) -> None:
        living = self.living()
        now = self.clock.uptime()
        for page in living:
            if page.poll is None and page.detached_at is None and now >= page.detaches_at():
                page.detached_at = page.detaches_at()
        saved = self.save()
        self.store.close(saved)
        self.come_back(living, saved and self.locked is None)
        self.clock.advance(0)
        self.restarted_at = now

    @rule()
    def kill(self) -> None:
        """What was sent since the last save may be lost, unless a page has it; all else lives on."""
        living = self.living()
        self.store._database.close()
        os.close(self.store._lock)
        self.come_back(living, whole=False)

    def come_back(self, living: list[Page], whole: bool) -> None:
        """Start again; the pages in `living` go on, or are told that they cannot if saves had failed."""
        now = self.clock.uptime()
        self.unlock()
        self.start()
        self.killed = self.killed or not whole
        for page in living:
            page.poll, page.quiet_since = None, now
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
            attached = any(
                page.ended_at is None and (page.poll is not None or now < page.detaches_at()) for page in pages
            )
            told = self.told[client_id]
            gone_since = max((page.detaches_at() for page in pages), default=now)
            if attached:
                assert told
                assert told[-1]
            elif told and now >= max(gone_since, self.restarted_at) + GRACE:
                # A restart gives a client id that had just gone its grace once more.
                assert not told[-1]


TestBroker = pytest.mark.soak(BrokerMachine.TestCase)
TestBroker.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
