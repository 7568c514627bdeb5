"""The app under test, and a player: what the tests of a real app would have too."""

import json
import os
import sys

import pytest
from webtest import TestApp

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))


@pytest.fixture
def channel_app():
    import main

    return main.app


@pytest.fixture
def visitor(channel_emulator):
    """A browser without a channel: plain requests."""
    return TestApp(channel_emulator)


@pytest.fixture
def game(visitor):
    """The key of a new game."""
    return visitor.get('/').headers['Location'].partition('=')[2]


class Player(object):
    """A page of the game, as game.js drives it."""

    def __init__(self, visitor, channel_client, game, secret=''):
        self._visitor = visitor
        self._game = game
        joined = visitor.post('/join', {'game': game, 'visitor': secret}).json
        self.secret = joined['visitor']
        self.page = channel_client(token=joined['token'])
        self.do('/opened')

    def do(self, path, status=None, **fields):
        fields.update(game=self._game, visitor=self.secret)
        return self._visitor.post(path, fields, status=status)

    def messages(self):
        """What the page was sent since the last call."""
        return [json.loads(text) for text in self.page.take_messages()]

    def state(self):
        """The newest state of the game that the page was sent."""
        return [message['state'] for message in self.messages() if message['type'] == 'state'][-1]


@pytest.fixture
def join(visitor, channel_client, game):
    """`join()` brings another player to the game, `join(secret)` one who was there before."""
    return lambda secret='': Player(visitor, channel_client, game, secret)
