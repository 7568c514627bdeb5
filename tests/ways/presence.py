"""Was it to be sent when a page connects or leaves?"""

from __future__ import annotations

import threading

from appengine_channel_emu.testing import ChannelClient
from tests.ways.stage import Stage
from tests.ways.way import SILENT, way

APP_YAML = """
runtime: python39
handlers:
- url: /.*
  script: auto
"""
SOURCE = """
# POST /_ah/channel/connected/ is for a handler that greets.
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b""]
"""


@way(
    "The app has no handler of `/_ah/channel/connected/`, from which it would send.",
    log="WARNING POST /_ah/channel/connected/ from=anna: the app answered 404 in … ms",
    view="Clients",
    says='The app was not told of "anna" (connected). The app answered 404 to /_ah/channel/connected/.',
)
def no_handler(stage: Stage) -> ChannelClient:
    stage.app.connected = lambda client_id: 404
    page = stage.page()
    stage.wait_for("presence_failed")
    return page


@way(
    "The app's handler of `connected/` raises before it sends.",
    log="WARNING POST /_ah/channel/connected/ from=anna: the app's handler raised KeyError",
    view="Clients",
    says='The app was not told of "anna" (connected). The app\'s handler raised KeyError',
)
def handler_raises(stage: Stage) -> ChannelClient:
    stage.app.connected = lambda client_id: {}[client_id]
    page = stage.page()
    stage.wait_for("presence_failed")
    return page


@way(
    "The app's app.yaml does not list `channel_presence`, so the app is not told of pages.",
    log="WARNING app.yaml, line 4: a handler takes /_ah/channel/connected/, but the app is not told of clients "
    "that connect: app.yaml does not list channel_presence under inbound_services",
    view="Clients",
    says="The app is not told of its pages: app.yaml does not list channel_presence.",
)
def not_listed(stage: Stage) -> ChannelClient:
    stage.serve(APP_YAML, SOURCE)
    return stage.page()


@way(
    "The app is not to be told of pages: `--presence=never`.",
    log=SILENT,
    view="Clients",
    says="The app is not told of its pages: --presence=never.",
    presence="never",
)
def presence_off(stage: Stage) -> ChannelClient:
    return stage.page()


@way(
    "A page, or curl, posts to `/_ah/channel/connected/` itself: status 403.",
    says="POST /_ah/channel/connected/ from 127.0.0.1 was refused with 403: only the emulator tells the app who "
    "is present. To post it by hand: --presence-from-visitors.",
)
def posted_by_a_visitor(stage: Stage) -> ChannelClient:
    page = stage.page(opened=False)
    stage.ask("POST", "/_ah/channel/connected/", fields={"from": "anna"}, encode_multipart=False)
    return page


@way(
    "A fault on request: `presence drop`.",
    log="WARNING POST /_ah/channel/connected/ from=anna: a fault on request: the app was not told",
    view="Clients",
    says='A fault on request is in force: presence drop. It has happened to "anna" 1 time.',
    fault=("presence drop",),
)
def fault_of_presence(stage: Stage) -> ChannelClient:
    page = stage.page()
    stage.wait_for("presence_failed")
    return page


@way(
    "The app's handler of `connected/` has not answered yet.",
    log=SILENT,
    view="Clients",
    says='The app has not answered for … s: POST /_ah/channel/connected/ of "anna".',
)
def slow_handler(stage: Stage) -> ChannelClient:
    over = threading.Event()
    stage.at_the_end(over.set)
    stage.app.connected = lambda client_id: over.wait() and 200
    page = stage.page()
    stage.pass_time(12)
    return page


@way(
    "The clock stands still, so the app is not told that a page has left.",
    log="INFO The clock stands still.",
    view="Clients",
    says="The emulator's clock stands still.",
)
def frozen_clock(stage: Stage) -> ChannelClient:
    page, other = stage.page("anna"), stage.page("bert")
    stage.ask("POST", "/_emu/clock", json={"frozen": True})
    other.close()
    return page


WAYS = (
    no_handler,
    handler_raises,
    not_listed,
    presence_off,
    posted_by_a_visitor,
    fault_of_presence,
    slow_handler,
    frozen_clock,
)
