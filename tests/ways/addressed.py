"""To which client id was it sent?"""

from __future__ import annotations

from appengine_channel_emu.testing import ChannelClient
from tests.ways.stage import Stage
from tests.ways.way import SILENT, way


@way(
    "The client id is written in another case.",
    log='WARNING dropped for "Anna": no channel of that name. Open: "anna"',
    console='Anna…No channel of that name. Open: "anna"',
    says='1 message was sent to "Anna", which is not "anna": upper and lower case differ.',
)
def another_case(stage: Stage) -> ChannelClient:
    page = stage.page("anna")
    stage.send("Anna")
    return page


@way(
    "The client id has white space around it.",
    log='WARNING dropped for "anna\\n": no channel of that name. Open: "anna"',
    console='"anna\\n"…No channel of that name. Open: "anna"',
    says='1 message was sent to "anna\\n", which is not "anna": the white space differs.',
)
def white_space(stage: Stage) -> ChannelClient:
    page = stage.page("anna")
    stage.send("anna\n")
    return page


@way(
    "The client id is in another normal form of Unicode: `Zoë` with one character or two for its last letter.",
    log='WARNING dropped for "Zoe\\u0308": no channel of that name. Open: "Zoë"',
    console='"Zoe\\u0308"…No channel of that name. Open: "Zoë"',
    says='1 message was sent to "Zoe\\u0308", which is not "Zoë": the same letters, written in another normal '
    "form of Unicode.",
)
def normal_form(stage: Stage) -> ChannelClient:
    page = stage.page("Zo\N{LATIN SMALL LETTER E WITH DIAERESIS}")
    stage.send("Zoe\N{COMBINING DIAERESIS}")
    return page


@way(
    "Two client ids are swapped, and the other page has it.",
    log=SILENT,
    view="Clients",
    says='A page of "anna" is open, and no message came for it. In that time went: 1 message to "bert".',
)
def swapped(stage: Stage) -> ChannelClient:
    page, other = stage.page("anna"), stage.page("bert")
    stage.send("bert")
    other.receive()
    return page


@way(
    "The app has no client id yet, and sends to the text `None`.",
    log='WARNING dropped for "None": no channel of that name, which looks like a value that the app does not '
    'have. Open: "anna"',
    console="No channel of that name, which looks like a value that the app does not have.",
    says='A page of "anna" is open, and no message came for it. In that time went: 1 message to "None" (dropped: '
    "no channel of that name, which looks like a value that the app does not have).",
)
def none_as_text(stage: Stage) -> ChannelClient:
    page = stage.page("anna")
    stage.send("None")
    return page


@way(
    "The client id is empty.",
    log='WARNING dropped for "": the client id is empty. Open: "anna"',
    console="The client id is empty.",
    says='In that time went: 1 message to "" (dropped: the client id is empty).',
)
def sent_to_nobody(stage: Stage) -> ChannelClient:
    page = stage.page("anna")
    stage.send("")
    return page


@way(
    "It was sent to a token instead of a client id, and the token is another app's.",
    log='WARNING dropped for "…": no channel of that name: it looks like a token that is not of this emulator. '
    'Open: "anna"',
    console="No channel of that name: it looks like a token that is not of this emulator.",
    says='In that time went: 1 message to "…" (dropped: no channel of that name: it looks like a token that is '
    "not of this emulator).",
)
def sent_to_a_foreign_token(stage: Stage) -> ChannelClient:
    page = stage.page("anna")
    stage.send(stage.another_emulator().token("anna"))
    return page


@way(
    "It was sent to a token instead of a client id, and the token has timed out.",
    log='WARNING dropped for "…": this token has timed out. Open: "anna"',
    console="This token has timed out.",
    says='In that time went: 1 message to "…" (dropped: this token has timed out).',
)
def sent_to_an_old_token(stage: Stage) -> ChannelClient:
    token = stage.token("anna", minutes=1)
    stage.pass_time(61)
    page = stage.page("anna")
    stage.send(token)
    return page


@way(
    "`create_channel` was never called for that client id.",
    log='WARNING dropped for "carl": no channel of that name. Open: "anna"',
    console='carl…No channel of that name. Open: "anna"',
    says='In that time went: 1 message to "carl" (dropped: no channel of that name).',
)
def never_created(stage: Stage) -> ChannelClient:
    page = stage.page("anna")
    stage.send("carl")
    return page


WAYS = (
    another_case,
    white_space,
    normal_form,
    swapped,
    none_as_text,
    sent_to_nobody,
    sent_to_a_foreign_token,
    sent_to_an_old_token,
    never_created,
)
