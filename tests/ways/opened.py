"""Has the page opened a socket?"""

from __future__ import annotations

from appengine_channel_emu.testing import ChannelClient
from tests.ways.stage import Stage
from tests.ways.way import way


@way(
    "It was sent before the page had opened its socket.",
    log='WARNING dropped for "anna": no page has opened this channel yet',
    console="No page has opened this channel yet.",
    says='1 message to "anna" was dropped: no page has opened this channel yet.',
)
def before_open(stage: Stage) -> ChannelClient:
    page = stage.page(opened=False)
    stage.send()
    return page.open()


@way(
    "The token is another app's, or another emulator's: onerror 401 `Invalid+token.`",
    says="A page came with \"…\": this token is not of this emulator: it is another app's, another emulator's, or "
    "of one whose state was not kept.",
)
def token_of_another_app(stage: Stage) -> ChannelClient:
    return stage.page(token=stage.another_emulator().token("anna"))


@way(
    "The token is the text `undefined`: the page's script has none yet.",
    says='A page came with the text "undefined" instead of a token. Look what its script makes of the app\'s answer.',
)
def undefined_token(stage: Stage) -> ChannelClient:
    return stage.page(token="undefined")


@way(
    "The token had timed out before the page opened: onerror 401 `Token+timed+out.`",
    says='A page came with "…": this token of "anna" has timed out. Have it ask the app for a new one when '
    "onerror says 401.",
)
def old_token(stage: Stage) -> ChannelClient:
    token = stage.token("anna", minutes=1)
    stage.pass_time(61)
    return stage.page(token=token)


@way(
    "A fault on request refuses the page: `open error error=Invalid+token.`",
    log='INFO A fault on request: open error. ["anna"]',
    view="Clients",
    says='A fault on request is in force: open error. It has happened to "anna" 1 time.',
    fault=("open error error=Invalid+token.",),
)
def fault_of_open(stage: Stage) -> ChannelClient:
    return stage.page("anna")


@way(
    "The client id has as many sockets as may be: onerror 429 `Too+many+sockets.`",
    says='A page of "anna" cannot open a socket: there are 1, and --max-sockets allows no more.',
    max_sockets=1,
)
def too_many_sockets(stage: Stage) -> ChannelClient:
    stage.page("anna")
    return stage.page("anna")


@way(
    "The page's address has a name that is not the emulator's: status 421.",
    says='GET /_ah/channel/open from 127.0.0.1 was refused with 421: its Host, "shop.test", is no name of this '
    "server. To allow it: --allow-host NAME.",
)
def page_under_another_name(stage: Stage) -> ChannelClient:
    token = stage.token("anna")
    stage.ask("GET", f"/_ah/channel/open?channel={token}", {"Host": "shop.test"})
    return stage.page(token=token, opened=False)


@way(
    "The page's Content-Security-Policy keeps the script out: `script-src 'none'`.",
    says="The Content-Security-Policy of /page blocks /_ah/channel/jsapi: script-src allows no script of …",
)
def script_kept_out(stage: Stage) -> ChannelClient:
    stage.app.page_policy = "script-src 'none'"
    page = stage.page("anna", opened=False)
    stage.ask("GET", "/page", {"Accept": "text/html"})
    stage.send()
    return page


WAYS = (
    before_open,
    token_of_another_app,
    undefined_token,
    old_token,
    fault_of_open,
    too_many_sockets,
    page_under_another_name,
    script_kept_out,
)
