"""Is it on its way, or in the page already?"""

from __future__ import annotations

from appengine_channel_emu.testing import ChannelClient
from appengine_channel_emu.testing.transports import AGENT
from appengine_channel_emu.web.wsgi import browser_of
from tests.support.waiting import LONG_ENOUGH, until
from tests.ways.stage import Stage
from tests.ways.way import SILENT, way


@way(
    "It waits behind the answer of the request that sent it, because the page made that request.",
    log=SILENT,
    view="Clients",
    says='1 message to "anna" waits for the answer of the request that sent it.',
)
def held(stage: Stage) -> ChannelClient:
    # For longer than half a second: until it has been looked at.
    stage.set("appengine_channel_emu.broker.app_requests.LONGEST_HOLD", LONG_ENOUGH)
    page = stage.page()
    browser = browser_of({"REMOTE_ADDR": "127.0.0.1", "HTTP_USER_AGENT": AGENT["User-Agent"]})
    request = stage.server.broker.app_requests.begin(browser, navigation=False)
    stage.send(request_id=request)
    return page


@way(
    "A fault on request loses the page's polls: `poll drop`.",
    log='INFO A fault on request: poll drop. ["anna"]',
    view="Clients",
    says='A fault on request is in force: poll drop. It has happened to "anna" … time',
    fault=("poll drop",),
)
def fault_of_poll(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.send()
    stage.wait_for("fault")
    return page


@way(
    "The page's handler has a mistyped name: `socket.onMessage` instead of `onmessage`. Or it raises.",
    log=SILENT,
    view="Clients",
    says="The page's script has it. The names of handlers are in lower case: onmessage, not onMessage.",
)
def mistyped_handler(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.send()
    page.receive()
    until(lambda: stage.acknowledged("anna"))
    return page


@way(
    "The page sends the wrong way: `socket.send()` goes to the app, which has no handler of `/_ah/channel/receive`.",
    log=SILENT,
    view="Clients",
    says="A page has used socket.send(): that goes to the app, never to other pages.",
)
def wrong_way(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.ask("POST", "/_ah/channel/receive", fields={"key": "anna", "msg": "hello"}, encode_multipart=False)
    return page


WAYS = (held, fault_of_poll, mistyped_handler, wrong_way)
