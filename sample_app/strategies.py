"""Three ways in which a page waits for news, side by side: short polling, a long poll, a channel. Python 2.7 and 3.

A page posts news to the app every few seconds and waits for it in all three ways at once, so that it can show what each
costs. News is a number that counts up.
"""

import json
import threading
import time

from google.appengine.api import channel

import games
import miniweb

MOST_FEEDS = 1000
FORGET_SECONDS = 3600
LOOK_SECONDS = 0.05

_lock = threading.Lock()
_feeds = {}


class Feed(object):
    """The news of one page: the number of the latest, and when it was last asked for."""

    def __init__(self):
        self.number = 0
        self.used = 0.0


def feed(name, now):
    """The feed of that name, made when there is none; feeds that nobody asks for are forgotten."""
    with _lock:
        if name not in _feeds:
            for old in [each for each, found in _feeds.items() if now - found.used > FORGET_SECONDS]:
                del _feeds[old]
            if len(_feeds) >= MOST_FEEDS:
                raise miniweb.HTTPError(503, 'too many pages look at this; try again in an hour')
            _feeds[name] = Feed()
        _feeds[name].used = now
        return _feeds[name]


def number(text):
    """A news number as a page sends it."""
    if not text.isdigit() or len(text) > 9:
        raise miniweb.HTTPError(400, 'news has a number')
    return int(text)


class Handler(miniweb.RequestHandler):
    """What all of them need: the page's feed."""

    def feed(self):
        name = self.request.get('feed')
        if not games.SECRET.match(name):
            raise miniweb.HTTPError(400, 'a feed has a name of 32 hexadecimal digits')
        return feed(name, time.time())


class Join(Handler):
    """A page begins: its feed, and a token for the channel."""

    def post(self):
        name = games.new_secret()
        feed(name, time.time())
        self.response.write_json({'feed': name, 'token': channel.create_channel('news.' + name)})


class News(Handler):
    """The page has news; the channel's share of the work is one call.

    A thread makes it, as a task or the request of somebody else would: what a request sends to its own browser waits
    until that has its answer, and here it is the channel that is measured.
    """

    def post(self):
        found = self.feed()
        found.number = max(found.number, number(self.request.get('number')))
        news = 'news.' + self.request.get('feed'), json.dumps({'number': found.number})
        sending = threading.Thread(target=channel.send_message, args=news)
        sending.start()
        sending.join()


class Poll(Handler):
    """Short polling: is there anything?"""

    def get(self):
        self.response.write_json({'number': self.feed().number})


class Hold(Handler):
    """A long poll: the request is held until there is news, or until App Engine ends it."""

    def get(self):
        found, after = self.feed(), number(self.request.get('after'))
        while found.number <= after:
            # Apps did look again and again: the news could have come to any instance.
            time.sleep(LOOK_SECONDS)
        self.response.write_json({'number': found.number})


routes = [
    ('/strategies/join', Join),
    ('/strategies/news', News),
    ('/strategies/poll', Poll),
    ('/strategies/hold', Hold),
]
