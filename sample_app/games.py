"""The games: who sits where, whose turn it is, what was said. No web, no channels. Python 2.7 and 3.

Everything lives in memory, behind one lock, as an app with a single instance could afford.
"""

import base64
import binascii
import os
import re
import threading
import time

LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))
MARKS = ('X', 'O')

MAX_GAMES = 1000
MAX_VISITORS = 30
MAX_CHAT_LINES = 50
MAX_TEXT = 500
MAX_NAME = 24
FORGET_AFTER = 6 * 60 * 60  # seconds without any move, word or visitor
SEAT_KEPT = 60  # seconds for which a player who left keeps the seat

KEY = re.compile(r'[a-z2-7]{8}\Z')
SECRET = re.compile(r'[0-9a-f]{32}\Z')


class NotAllowed(Exception):
    """The rules forbid it; the text is for the visitor."""


class Unknown(Exception):
    """There is no such game or visitor; a page that asks must join (again)."""


class Full(Exception):
    """No room for another game or visitor."""


class Visitor(object):
    """One page (and its reloads) in one game. `secret` is known to that page alone."""

    def __init__(self, secret, number, now):
        self.secret = secret
        self.number = number
        self.name = u'Guest %d' % number
        self.mark = None
        self.here = False
        self.since = now

    def in_public(self):
        return {'number': self.number, 'name': self.name, 'mark': self.mark, 'here': self.here}


class Game(object):
    """One board, its visitors and its chat."""

    def __init__(self, key, now):
        self.key = key
        # Tells a page that this is not the game it knew: the app was restarted, and counts from 0 again.
        self.started = binascii.hexlify(os.urandom(8)).decode('ascii')
        self.version = 0
        self.touched = now
        self.visitors = {}
        self.chat = []
        self.score = {'X': 0, 'O': 0, 'draw': 0}
        self._numbers = 0
        self._lines = 0
        self._opening = 'X'
        self._clear()

    def join(self, secret, now):
        """The visitor with this secret, new or back again; the first two get the seats."""
        visitor = self.visitors.get(secret)
        if visitor is None:
            self._make_room()
            self._numbers += 1
            visitor = self.visitors[secret] = Visitor(secret, self._numbers, now)
        if visitor.mark is None and self.free_seats(now):
            self._seat(visitor, now)
        self._changed(now)
        return visitor

    def sit(self, visitor, now):
        """Give a guest a seat that is free."""
        if visitor.mark is not None:
            raise NotAllowed('You have a seat already.')
        if not self.free_seats(now):
            raise NotAllowed('Both seats are taken, or kept for a player who left a moment ago.')
        self._seat(visitor, now)
        self._changed(now)

    def free_seats(self, now):
        """Marks whose seat is empty, or was left a while ago."""
        kept = [v.mark for v in self.visitors.values() if v.here or now - v.since < SEAT_KEPT]
        return [mark for mark in MARKS if mark not in kept]

    def presence(self, visitor, here, now):
        """Note that a visitor came or went. True if that is news."""
        if visitor.here == here:
            return False
        visitor.here = here
        visitor.since = now
        self._changed(now)
        return True

    def play(self, visitor, cell, now):
        """Put the visitor's mark into `cell`, 0 to 8."""
        if visitor.mark is None:
            raise NotAllowed('You are watching this game.')
        if self.over:
            raise NotAllowed('This round is over.')
        if visitor.mark != self.turn:
            raise NotAllowed('It is not your turn.')
        if not 0 <= cell < 9 or self.board[cell] is not None:
            raise NotAllowed('That cell cannot be played.')
        self.board[cell] = visitor.mark
        self._judge()
        self._changed(now)

    def again(self, visitor, now):
        """Start the next round; the other player opens it."""
        if visitor.mark is None:
            raise NotAllowed('You are watching this game.')
        if not self.over:
            raise NotAllowed('This round is not over yet.')
        self._opening = _other(self._opening)
        self._clear()
        self._changed(now)

    def say(self, visitor, text, now):
        """Add a line to the chat and return it."""
        text = _one_line(text, MAX_TEXT)
        if not text:
            raise NotAllowed('Say something.')
        self._lines += 1
        line = {'number': self._lines, 'from': visitor.number, 'name': visitor.name, 'text': text}
        self.chat = (self.chat + [line])[-MAX_CHAT_LINES:]
        self.touched = now
        return line

    def rename(self, visitor, name, now):
        """Give the visitor another name."""
        name = _one_line(name, MAX_NAME)
        if not name:
            raise NotAllowed('A name needs at least one letter.')
        visitor.name = name
        self._changed(now)

    def state(self):
        """All that every visitor may know, ready for JSON. Never a secret."""
        visitors = sorted(self.visitors.values(), key=lambda visitor: visitor.number)
        return {
            'started': self.started,
            'version': self.version,
            'board': list(self.board),
            'turn': self.turn,
            'winner': self.winner,
            'line': self.line,
            'over': self.over,
            'score': dict(self.score),
            'visitors': [v.in_public() for v in visitors if v.here or v.mark],
        }

    @property
    def over(self):
        return self.winner is not None or None not in self.board

    def _clear(self):
        self.board = [None] * 9
        self.turn = self._opening
        self.winner = None
        self.line = None

    def _judge(self):
        for line in LINES:
            marks = set(self.board[cell] for cell in line)
            if len(marks) == 1 and None not in marks:
                self.winner = self.board[line[0]]
                self.line = list(line)
        if self.over:
            self.score[self.winner or 'draw'] += 1
        self.turn = None if self.over else _other(self.turn)

    def _seat(self, visitor, now):
        mark = self.free_seats(now)[0]
        for other in self.visitors.values():
            if other.mark == mark:
                other.mark = None
        visitor.mark = mark

    def _make_room(self):
        if len(self.visitors) < MAX_VISITORS:
            return
        gone = [v for v in self.visitors.values() if not v.here and v.mark is None]
        if not gone:
            raise Full('This game has all the guests it can take.')
        oldest = min(gone, key=lambda visitor: visitor.since)
        del self.visitors[oldest.secret]

    def _changed(self, now):
        self.version += 1
        self.touched = now


class Games(object):
    """Every game, by its key. Use it, and all games in it, while holding `lock`."""

    def __init__(self, now=time.time):
        self.lock = threading.RLock()
        self.now = now
        self._games = {}

    def __len__(self):
        return len(self._games)

    def open(self, key):
        """The game with this key, made if there is none: a link outlives a restart of the app."""
        if not KEY.match(key):
            raise Unknown('That is not the link of a game.')
        game = self._games.get(key)
        if game is None:
            self._forget()
            game = self._games[key] = Game(key, self.now())
        return game

    def find(self, key, secret):
        """The game and the visitor that a page names; Unknown if it has to join first."""
        game = self._games.get(key)
        if game is None or secret not in game.visitors:
            raise Unknown('The app does not know this page; it has to join again.')
        return game, game.visitors[secret]

    def _forget(self):
        limit = self.now() - FORGET_AFTER
        oldest_first = sorted(self._games.values(), key=lambda game: game.touched)
        excess = len(oldest_first) - MAX_GAMES + 1
        for place, game in enumerate(oldest_first):
            if place < excess or game.touched < limit:
                del self._games[game.key]


def new_key():
    """The key of a new game: hard to guess, easy to send to a friend."""
    return base64.b32encode(os.urandom(5)).decode('ascii').lower()


def new_secret():
    """What a page is to call itself by."""
    return binascii.hexlify(os.urandom(16)).decode('ascii')


def _other(mark):
    return 'O' if mark == 'X' else 'X'


def _one_line(text, limit):
    printable = u''.join(character if character >= u' ' else u' ' for character in text)
    return u' '.join(printable.split())[:limit]
