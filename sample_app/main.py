"""Tic-tac-toe for two, with chat, over App Engine's Channel API. Python 2.7 and 3.

A visitor of / gets a game of their own and a link to it; whoever opens the link is the other player, and
everybody after that watches. Every change goes to all pages of the game as a JSON message on their channels.
"""

import json
import os

from google.appengine.api import channel

import games
import miniweb
import strategies

FILES = {
    '/static/game.css': ('game.css', 'text/css; charset=utf-8'),
    '/static/game.js': ('game.js', 'text/javascript; charset=utf-8'),
    '/static/strategies.css': ('strategies.css', 'text/css; charset=utf-8'),
    '/static/strategies.js': ('strategies.js', 'text/javascript; charset=utf-8'),
    '/static/strategies-chart.js': ('strategies-chart.js', 'text/javascript; charset=utf-8'),
    '/static/strategies-meter.js': ('strategies-meter.js', 'text/javascript; charset=utf-8'),
}

all_games = games.Games()


class MainPage(miniweb.RequestHandler):
    """The page; without a game in its address, a new one."""

    def get(self):
        if not games.KEY.match(self.request.get('game')):
            self.redirect('/?game=' + games.new_key())
            return
        write_page(self.response, 'index.html')


class StrategiesPage(miniweb.RequestHandler):
    """The page that compares ways to wait for news."""

    def get(self):
        write_page(self.response, 'strategies.html')


class StaticFile(miniweb.RequestHandler):
    """Style and script of the page."""

    def get(self):
        name, content_type = FILES[self.request.path]
        self.response.headers['Content-Type'] = content_type
        self.response.write(_read(name))


class GameHandler(miniweb.RequestHandler):
    """What the page posts about its game. `act` runs under the lock and returns a message for everybody."""

    def post(self):
        try:
            with all_games.lock:
                game, visitor = self.who()
                message = self.act(game, visitor, all_games.now())
                client_ids = pages_of(game)
        except games.NotAllowed as error:
            raise miniweb.HTTPError(409, str(error))
        except games.Unknown as error:
            raise miniweb.HTTPError(410, str(error))
        except games.Full as error:
            raise miniweb.HTTPError(503, str(error))
        send(client_ids, message)

    def who(self):
        return all_games.find(self.request.get('game'), self.request.get('visitor'))


class Join(GameHandler):
    """A page comes, or comes back after its token has expired: it is told who it is and gets a token."""

    def post(self):
        GameHandler.post(self)
        self.answer['token'] = channel.create_channel(self.client_id)
        self.response.write_json(self.answer)

    def who(self):
        game = all_games.open(self.request.get('game'))
        secret = self.request.get('visitor')
        if not games.SECRET.match(secret):
            secret = games.new_secret()
        return game, game.join(secret, all_games.now())

    def act(self, game, visitor, now):
        self.client_id = client_id(game, visitor)
        self.answer = {'visitor': visitor.secret, 'number': visitor.number}
        return state_message(game)


class Opened(GameHandler):
    """The page's socket is open: what was sent before that, the page gets in the answer."""

    def act(self, game, visitor, now):
        game.presence(visitor, True, now)
        self.response.write_json({'state': game.state(), 'chat': game.chat})
        return state_message(game)


class Move(GameHandler):
    """A player plays a cell."""

    def act(self, game, visitor, now):
        cell = self.request.get('cell')
        if len(cell) != 1 or cell not in '012345678':
            raise games.NotAllowed('A cell is a number from 0 to 8.')
        game.play(visitor, int(cell), now)
        return state_message(game)


class Again(GameHandler):
    """A player starts the next round."""

    def act(self, game, visitor, now):
        game.again(visitor, now)
        return state_message(game)


class Sit(GameHandler):
    """A guest takes a free seat."""

    def act(self, game, visitor, now):
        game.sit(visitor, now)
        return state_message(game)


class Say(GameHandler):
    """Somebody says something."""

    def act(self, game, visitor, now):
        line = game.say(visitor, self.request.get('text'), now)
        return {'type': 'chat', 'line': line}


class Rename(GameHandler):
    """Somebody takes another name."""

    def act(self, game, visitor, now):
        game.rename(visitor, self.request.get('name'), now)
        return state_message(game)


class Presence(miniweb.RequestHandler):
    """App Engine reports that a client id has connected or disconnected."""

    here = None

    def post(self):
        key, _, secret = self.request.get('from').partition('.')
        with all_games.lock:
            try:
                game, visitor = all_games.find(key, secret)
            except games.Unknown:
                return  # not a client id of a page of ours
            now = all_games.now()
            if not game.presence(visitor, self.here, now):
                return
            client_ids = pages_of(game)
            message = state_message(game)
        send(client_ids, message)


class Connected(Presence):
    here = True


class Disconnected(Presence):
    here = False


def client_id(game, visitor):
    """The name of a page's channel."""
    return game.key + '.' + visitor.secret


def pages_of(game):
    """The client ids of all pages that show the game."""
    return [client_id(game, visitor) for visitor in game.visitors.values() if visitor.here]


def state_message(game):
    return {'type': 'state', 'state': game.state()}


def send(client_ids, message):
    """Push a message to pages. The lock is not held: a channel may be slow, a game may not."""
    text = json.dumps(message)
    for one in client_ids:
        channel.send_message(one, text)


def write_page(response, name):
    response.headers['Content-Security-Policy'] = (
        "script-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    )
    response.write(_read(name))


def _read(name):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'static', name), 'rb') as page:
        return page.read()


app = miniweb.WSGIApplication([
    ('/', MainPage),
    ('/strategies', StrategiesPage),
    ('/join', Join),
    ('/opened', Opened),
    ('/move', Move),
    ('/again', Again),
    ('/sit', Sit),
    ('/say', Say),
    ('/rename', Rename),
    ('/_ah/channel/connected/', Connected),
    ('/_ah/channel/disconnected/', Disconnected),
] + [(path, StaticFile) for path in FILES] + strategies.routes)
