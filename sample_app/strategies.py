"""Ways in which a page waits for news, side by side. Python 2.7 and 3.

The news is the time: every few seconds a thread of the app tells all pages what time it is, and they can say how late
they hear of it. It is a thread, as a task or the request of somebody else would be, since what a request sends to its
own browser waits until that has its answer.

Times are those of the app's clock, in milliseconds since 1970.
"""

import importlib
import json
import logging
import random
import threading
import time

from google.appengine.api import channel

import games
import miniweb

PAUSES = (3, 5, 2, 4, 6, 3, 2, 40)  # seconds between news; the last is longer than App Engine's deadline
FIRST_NEWS_SECONDS = 1
LOOK_SECONDS = 0.05
KEPT_NEWS = 50
MOST_FEEDS = 100
FORGET_SECONDS = 15  # a page that has not asked for so long has been left
WAYS = ('short', 'xhr', 'iframe', 'websocket', 'channel')


class Unknown(Exception):
    """The app does not know this page, or no longer; it has to say again what it waits for."""


class Feed(object):
    """One page: the client ids that it waits with, and when it has asked last."""

    def __init__(self, client_ids, now):
        self.client_ids = client_ids
        self.asked = now


class Source(object):
    """The news, and the pages that wait for it. `now` tells seconds since 1970."""

    def __init__(self, now=time.time):
        self.now = now
        self.due = 0.0  # when the next news comes, in seconds
        self._lock = threading.Lock()
        self._feeds = {}
        self._news = []
        self._step = 0
        self._runs = False

    def watch(self, name, client_ids):
        """A page waits: the first news comes at once, for all, so that nobody begins with the long silence."""
        with self._lock:
            self._forget()
            if name not in self._feeds and len(self._feeds) >= MOST_FEEDS:
                raise games.Full('too many pages look at this; try again in a minute')
            self._feeds[name] = Feed(client_ids, self.now())
            self._step = 0
            self.due = self.now() + FIRST_NEWS_SECONDS
            starts, self._runs = not self._runs, True
        if starts:
            try:
                start_thread(self._run)
            except Exception:
                self._runs = False
                raise

    def after(self, name, moment, asks):
        """What the page has not heard yet. `asks`: it does so now; a request that is held may outlive its page."""
        with self._lock:
            if name not in self._feeds:
                raise Unknown('this page is not known; it has to say again what it waits for')
            if asks:
                self._feeds[name].asked = self.now()
            return [each for each in self._news if each > moment]

    def publish(self):
        """Tell everybody what time it is."""
        with self._lock:
            moment = max([milliseconds(self.now())] + [each + 1 for each in self._news[-1:]])
            self._news = self._news[1 - KEPT_NEWS:] + [moment]
            everybody = [feed.client_ids for feed in self._feeds.values()]
            first = self._step
            self._step += 1
            # By chance, since news that came in step with the short polls would flatter them.
            self.due = self.now() + PAUSES[first % len(PAUSES)] + random.random()
        for client_ids in everybody:
            # Each way is the first to be sent to in its turn: the others wait for it.
            for place in range(len(client_ids)):
                self._send(client_ids[(first + place) % len(client_ids)], moment)

    def _send(self, client_id, moment):
        message = json.dumps({'news': moment, 'sent': milliseconds(self.now())})
        try:
            channel.send_message(client_id, message)
        except Exception:
            logging.exception('news could not be sent')

    def _run(self):
        while self._is_awaited():
            # Looks often: a page that comes makes the next news due sooner.
            time.sleep(max(0, min(LOOK_SECONDS, self.due - self.now())))
            if self.now() >= self.due:
                self.publish()

    def _is_awaited(self):
        with self._lock:
            self._forget()
            self._runs = bool(self._feeds)
            return self._runs

    def _forget(self):
        limit = self.now() - FORGET_SECONDS
        for name in [each for each, feed in self._feeds.items() if feed.asked < limit]:
            del self._feeds[name]


def start_thread(target):
    """Run something beside the requests."""
    if str is bytes:
        # Python 2.7's runtime holds a request's answer back until the threads that the request has started end.
        # Found by its name, so that whoever reads the sources sees that this app needs no SDK on Python 3.
        background_thread = importlib.import_module('google.appengine.api.background_thread')
        background_thread.start_new_background_thread(target, ())
    else:
        threading.Thread(target=target, daemon=True).start()


source = Source()


def milliseconds(seconds):
    """A time as pages have it."""
    return int(seconds * 1000)


def head_size(environ):
    """How many bytes a page's request has before its body, without its path; what proxies add does not count."""
    lines = ['GET  HTTP/1.1', '']
    for name, value in environ.items():
        if name.startswith('HTTP_') and not name.startswith('HTTP_X_'):
            lines.append('%s: %s' % (name[5:], value))
    return sum(len(line) + 2 for line in lines)


class Handler(miniweb.RequestHandler):
    """What all of them need: the page's feed."""

    def feed(self):
        name = self.request.get('feed')
        if not games.SECRET.match(name):
            raise miniweb.HTTPError(400, 'a feed has a name of 32 hexadecimal digits')
        return name

    def client_id(self, way):
        if way not in WAYS:
            raise miniweb.HTTPError(400, 'a way is one of ' + ', '.join(WAYS))
        return 'news.%s.%s' % (self.feed(), way)

    def news(self, asks):
        moment = self.request.get('after')
        if not moment.isdigit() or len(moment) > 15:
            raise miniweb.HTTPError(400, 'news comes after a time in milliseconds')
        try:
            return source.after(self.feed(), int(moment), asks)
        except Unknown as error:
            raise miniweb.HTTPError(410, str(error))

    def write_news(self, news):
        now = source.now()
        self.response.write_json({'news': news, 'now': milliseconds(now), 'due': milliseconds(source.due)})


class Join(Handler):
    """A page begins."""

    def post(self):
        self.response.write_json({'feed': games.new_secret(), 'head': head_size(self.request.environ)})


class Token(Handler):
    """The channel's whole share of the app's work but for the sending: a token."""

    def post(self):
        self.response.write_json({'token': channel.create_channel(self.client_id(self.request.get('way')))})


class Watch(Handler):
    """The page's sockets are open: news may come."""

    def post(self):
        client_ids = sorted(set(self.client_id(way) for way in self.request.get('ways').split()))
        now = source.now()
        try:
            source.watch(self.feed(), client_ids)
        except games.Full as error:
            raise miniweb.HTTPError(503, str(error))
        self.response.write_json({'now': milliseconds(now)})


class Poll(Handler):
    """Short polling: is there anything?"""

    def get(self):
        self.write_news(self.news(asks=True))


class Hold(Handler):
    """A long poll: the request is held until there is news, or until App Engine ends it."""

    def get(self):
        news = self.news(asks=False)
        while not news:
            # Apps did look again and again: the news could have come to any instance.
            time.sleep(LOOK_SECONDS)
            news = self.news(asks=False)
        self.write_news(news)


routes = [
    ('/strategies/join', Join),
    ('/strategies/token', Token),
    ('/strategies/watch', Watch),
    ('/strategies/poll', Poll),
    ('/strategies/hold', Hold),
]
