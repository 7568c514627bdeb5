"""The tests of compose.yaml: a game of the sample app, by the addresses that its players' browsers use."""

import json
import os
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from appengine_channel_emu.testing import ChannelClient

EMULATOR = "http://" + os.environ["CHANNEL_EMULATOR_HOST"]
OPENER = build_opener(ProxyHandler({}))


def ask(path, **fields):
    return OPENER.open(EMULATOR + path, urlencode(fields).encode(), timeout=30).read()


def test_a_second_player_is_seen_by_the_first():
    game = OPENER.open(EMULATOR + "/", timeout=30).geturl().partition("=")[2]
    first = json.loads(ask("/join", game=game, visitor=""))
    with ChannelClient(EMULATOR, first["token"]) as page:
        ask("/opened", game=game, visitor=first["visitor"])
        second = json.loads(ask("/join", game=game, visitor=""))
        with ChannelClient(EMULATOR, second["token"]):
            ask("/opened", game=game, visitor=second["visitor"])
            # Each change is a message; without this one `receive` raises NoMessage.
            while players_in(page.receive(timeout=30)) < 2:
                pass


def players_in(message):
    return len(json.loads(message).get("state", {}).get("visitors", []))
