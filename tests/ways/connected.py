"""Is the page's socket still open?"""

from __future__ import annotations

from appengine_channel_emu.testing import ChannelClient
from tests.support.waiting import until
from tests.ways.stage import Stage
from tests.ways.way import SILENT, way

GRACE = 2
RESUME_WINDOW = 60
"""Seconds that a page may be away, before the app is told and before it is given up."""


@way(
    "The page has closed its socket, or was left, a moment ago; the app has not heard of it yet.",
    log='WARNING dropped for "anna": the page left, … ago. The app is told of it later (--disconnect-after)',
    console="The page left, … ago. The app is told of it later (--disconnect-after).",
    says='1 message to "anna" was dropped: the page left, … ago. The app is told of it later (--disconnect-after).',
    disconnect_after=60.0,
)
def in_the_grace_time(stage: Stage) -> ChannelClient:
    page = stage.page()
    page.close()
    stage.send()
    return page


@way(
    "The page has closed its socket, or was left, and the app has been told.",
    log='WARNING dropped for "anna": the page left, … ago',
    console="The page left, … ago.",
    says='1 message to "anna" was dropped: the page left, … ago.',
)
def after_close(stage: Stage) -> ChannelClient:
    page = stage.page()
    page.close()
    stage.pass_time(GRACE)
    stage.wait_for("presence_sent", 2)
    stage.send()
    return page


@way(
    "The page was left with messages that it had not fetched.",
    log='INFO closed for "anna": the page left; 2 unread messages are lost',
    view="Clients",
    says='2 messages to "anna" were lost: the socket had ended.',
)
def unread(stage: Stage) -> ChannelClient:
    opened = stage.ask("GET", f"/_ah/channel/open?channel={stage.token()}").json()
    stage.send()
    stage.send()
    stage.ask("POST", f"/_ah/channel/close?socket={opened['socket']}")
    return stage.page(opened=False)


@way(
    "The page has gone without a word (its machine sleeps, its network is down) for longer than `--resume-window`.",
    log='INFO closed for "anna": the page was not heard of within --resume-window; 1 unread message is lost',
    view="Clients",
    says='"anna" has no page any more. The page was not heard of within --resume-window.',
)
def vanished(stage: Stage) -> ChannelClient:
    page = stage.page()
    page.vanish()
    until(lambda: not stage.is_parked("anna"))
    stage.send()
    stage.pass_time(5 + RESUME_WINDOW)
    return page


@way(
    "The token times out while the page is open: onerror 401 `Token+timed+out.`",
    log='WARNING dropped for "anna": its token timed out, … ago',
    console="Its token timed out, … ago.",
    says='1 message to "anna" was dropped: its token timed out, … ago.',
)
def token_times_out(stage: Stage) -> ChannelClient:
    page = stage.page(token=stage.token(minutes=1))
    stage.pass_time(59)
    stage.pass_time(2)
    stage.send()
    return page


@way(
    "The clock was moved, and with it the token's two hours.",
    log="INFO The clock was advanced by 7200 s.",
    view="Clients",
    says="The clock was moved on by 7200 s by hand.",
)
def moved_clock(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.advance(2 * 60 * 60)
    stage.send()
    return page


@way(
    "A newer page of the same client id has taken over: `--tabs=single`.",
    log='INFO closed for "anna": a newer socket of the client id was opened (--tabs=single)',
    view="Clients",
    says='An older page of "anna" was closed … ago when a newer one came.',
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
    view="Clients",
    says='"anna" has 2 pages open, which share its messages (--tabs=split).',
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
    view="Clients",
    says='The page of "anna" has 1 of 1 message: it has said so.',
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
    log='WARNING dropped for "anna": a socket had more unread messages than the backlog allows',
    console="A socket had more unread messages than the backlog allows.",
    says='1 message to "anna" was dropped: a socket had more unread messages than the backlog allows.',
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
    log='WARNING dropped for "anna": its socket was closed by hand, … ago',
    console="Its socket was closed by hand, … ago.",
    says='1 message to "anna" was dropped: its socket was closed by hand, … ago.',
)
def closed_by_hand(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.ask("POST", "/_emu/sockets", json={"action": "close", "client_id": "anna"})
    stage.send()
    return page


@way(
    "The emulator was reset between the page's opening and the message: onerror 410 `Socket+gone.`",
    log="INFO The emulator was reset.",
    view="Clients",
    says="The emulator was reset … ago: pages that were open then have lost their channels.",
)
def reset_in_between(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.ask("POST", "/_emu/reset", json={})
    stage.send()
    until(lambda: page.closed)
    return page


@way(
    "The emulator was started anew and keeps nothing (`--state-dir none`): onerror 410 `Socket+gone.`",
    says="A page goes on with a socket that this emulator does not know: it was opened at another one, or before "
    "the start or the reset of this one. Load the page again.",
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
