"""Has the page opened a socket?"""

from __future__ import annotations

from appengine_channel_emu.testing import ChannelClient
from tests.ways.stage import Stage
from tests.ways.way import SILENT, way


@way(
    "It was sent before the page had opened its socket.",
    log='WARNING dropped for "anna": a token was made, and no page has opened a socket with it yet.',
    says='1 message to "anna" was dropped: no page has opened',
)
def before_open(stage: Stage) -> ChannelClient:
    page = stage.page(opened=False)
    stage.send()
    return page.open()


@way(
    "The token is another app's, or another emulator's: onerror 401 `Invalid+token.`",
    log="WARNING open refused: the token … is not of this emulator",
    says="token…not of this emulator",
)
def token_of_another_app(stage: Stage) -> ChannelClient:
    return stage.page(token=stage.another_emulator().token("anna"))


@way(
    "The token is the text `undefined`: the page's script has none yet.",
    log='WARNING open refused: the token is the text "undefined"',
    says='the token is the text "undefined"',
)
def undefined_token(stage: Stage) -> ChannelClient:
    return stage.page(token="undefined")


@way(
    "The token had timed out before the page opened: onerror 401 `Token+timed+out.`",
    log="WARNING open refused: the token … has timed out",
    says="token…timed out",
)
def old_token(stage: Stage) -> ChannelClient:
    token = stage.token("anna", minutes=1)
    stage.advance(61)
    return stage.page(token=token)


@way(
    "A fault on request refuses the page: `open error error=Invalid+token.`",
    log=SILENT,
    says="open error…1 time",
    view="Faults",
    fault=("open error error=Invalid+token.",),
)
def fault_of_open(stage: Stage) -> ChannelClient:
    return stage.page("anna")


@way(
    "The client id has as many sockets as may be: onerror 429 `Too+many+sockets.`",
    log='WARNING open refused for "anna": … --max-sockets …',
    says="--max-sockets",
    max_sockets=1,
)
def too_many_sockets(stage: Stage) -> ChannelClient:
    stage.page("anna")
    return stage.page("anna")


@way(
    "The page's address has a name that is not the emulator's: status 421.",
    log="WARNING refused …shop.test…--allow-host shop.test",
    says="shop.test…--allow-host",
)
def page_under_another_name(stage: Stage) -> ChannelClient:
    token = stage.token("anna")
    stage.ask("GET", f"/_ah/channel/open?channel={token}", {"Host": "shop.test"})
    return stage.page(token=token, opened=False)


@way(
    "The page's Content-Security-Policy keeps the script out: `script-src 'none'`.",
    log="WARNING /page… Content-Security-Policy …script-src",
    says="Content-Security-Policy",
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
