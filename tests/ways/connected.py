"""Is the page's socket still open?"""

from __future__ import annotations

from appengine_channel_emu.testing import ChannelClient
from tests.support.waiting import until
from tests.ways.stage import Stage
from tests.ways.way import SILENT, way

RESUME_WINDOW = 60


@way(
    "The page has closed its socket, or was left, a moment ago; the app has not heard of it yet.",
    log='WARNING dropped for "anna": its page has left, … s ago; the app is told 2 s after that.',
    says="its page has left",
)
def in_the_grace_time(stage: Stage) -> ChannelClient:
    page = stage.page()
    page.close()
    stage.send()
    return page


@way(
    "The page has closed its socket, or was left, and the app has been told.",
    log='WARNING dropped for "anna": its page has left',
    says="its page has left",
)
def after_close(stage: Stage) -> ChannelClient:
    page = stage.page()
    page.close()
    stage.advance(2)
    stage.wait_for("presence_sent")
    stage.send()
    return page


@way(
    "The page was left with messages that it had not fetched.",
    log='INFO closed for "anna": the page left; 2 unread messages are lost',
    says="2 unread messages",
)
def unread(stage: Stage) -> ChannelClient:
    opened = stage.ask("GET", f"/_ah/channel/open?channel={stage.token()}").json()
    stage.send()
    stage.send()
    stage.ask("POST", f"/_ah/channel/close?socket={opened['socket']}")
    return stage.page(opened=False)


@way(
    "The page has gone without a word (its machine sleeps, its network is down) for longer than `--resume-window`.",
    log='INFO closed for "anna": …--resume-window…1 unread message',
    says="--resume-window",
)
def vanished(stage: Stage) -> ChannelClient:
    page = stage.page()
    page.vanish()
    until(lambda: not stage.is_parked("anna"))
    stage.send()
    # As time itself does: what a test lets pass does not count against a page that was there a moment ago.
    stage.server.broker.clock.advance(5 + RESUME_WINDOW)
    return page


@way(
    "The token times out while the page is open: onerror 401 `Token+timed+out.`",
    log='WARNING dropped for "anna": …timed out',
    says="timed out",
)
def token_times_out(stage: Stage) -> ChannelClient:
    page = stage.page(token=stage.token(minutes=1))
    stage.advance(59)
    stage.advance(2)
    stage.send()
    return page


@way(
    "The clock was moved, and with it the token's two hours.",
    log='WARNING dropped for "anna": …timed out',
    says="The clock was advanced by",
    console="advanced by 2 h",
)
def moved_clock(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.advance(2 * 60 * 60)
    stage.send()
    return page


@way(
    "A newer page of the same client id has taken over: `--tabs=single`.",
    log='INFO closed for "anna": a newer socket of the client id was opened (--tabs=single)',
    says="--tabs=single",
    tabs="single",
)
def one_tab(stage: Stage) -> ChannelClient:
    page = stage.page("anna")
    stage.page("anna")
    stage.send("anna")
    return page


@way(
    "Another page of the same client id has it: `--tabs=split`.",
    log=SILENT,
    says="--tabs=split",
    tabs="split",
)
def split_tabs(stage: Stage) -> ChannelClient:
    pages = [stage.page("anna"), stage.page("anna")]
    stage.send("anna")
    until(lambda: any(page.messages for page in pages))
    return next(page for page in pages if not page.messages)


@way(
    "Two pages of the SDK's script share one token, and so their messages.",
    log=SILENT,
    says="share one token",
)
def shared_token(stage: Stage) -> ChannelClient:
    token = stage.token("anna")
    for command in ("connect", "connect"):
        stage.ask("GET", f"/_ah/channel/dev?command={command}&channel={token}")
    stage.send("anna")
    stage.ask("GET", f"/_ah/channel/dev?command=poll&channel={token}")
    return stage.page(token=token, opened=False)


@way(
    "The page does not fetch its messages, and its backlog is full: onerror 410 `Backlog+exceeded.`",
    log='WARNING dropped for "anna": …--backlog',
    says="--backlog",
    backlog=2,
)
def full_backlog(stage: Stage) -> ChannelClient:
    token = stage.token()
    stage.ask("GET", f"/_ah/channel/open?channel={token}")
    for _ in range(3):
        stage.send()
    return stage.page(token=token, opened=False)


@way(
    "Somebody has closed the socket on the console: onclose.",
    log='INFO closed for "anna": …by hand',
    says="by hand",
)
def closed_by_hand(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.ask("POST", "/_emu/sockets", json={"action": "close", "client_id": "anna"})
    stage.send()
    return page


@way(
    "The emulator was reset between the page's opening and the message: onerror 410 `Socket+gone.`",
    log='WARNING dropped for "anna": no channel of that name…reset',
    says="reset",
)
def reset_in_between(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.ask("POST", "/_emu/reset", json={})
    stage.send()
    until(lambda: page.closed)
    return page


@way(
    "The emulator was started anew and keeps nothing (`--state-dir none`): onerror 410 `Socket+gone.`",
    log="WARNING …before the emulator was started…--state-dir",
    says="--state-dir",
)
def restarted(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.restart()
    until(lambda: page.closed)
    stage.send()
    return page


WAYS = (
    in_the_grace_time,
    after_close,
    unread,
    vanished,
    token_times_out,
    moved_clock,
    one_tab,
    split_tabs,
    shared_token,
    full_backlog,
    closed_by_hand,
    reset_in_between,
    restarted,
)
