"""Shared notes, in the style of 2012: webapp2, ndb, users, task queues, the Channel API."""

import cgi
import json
import os
import time

import webapp2
from google.appengine.api import channel, namespace_manager, users
from google.appengine.ext import deferred, ndb
from google.appengine.runtime import DeadlineExceededError

INSTANCE = os.urandom(8).encode('hex')

PAGE = u"""<!doctype html>
<html><head><title>Notes</title><link rel="stylesheet" href="/static/style.css"></head><body>
<p id="who">%(who)s</p><p id="state">waiting</p>
<form id="form"><input id="text" name="text"><button>Add</button></form><ul id="lines">%(notes)s</ul>
<p id="here"></p>
<script src="/_ah/channel/jsapi"></script>
<script>
var socket = new goog.appengine.Channel('%(token)s').open({
  onopen: function() { document.getElementById('state').textContent = 'open'; },
  onmessage: function(message) {
    var data = JSON.parse(message.data);
    if (data.here) { document.getElementById('here').textContent = data.here.join(' ') + ' from ' + data.from; return; }
    var item = document.createElement('li');
    item.textContent = data.text;
    document.getElementById('lines').appendChild(item);
  },
  onerror: function(error) { document.getElementById('state').textContent = 'error ' + error.code; },
  onclose: function() {}
});
document.getElementById('form').onsubmit = function() {
  var request = new XMLHttpRequest();
  request.open('POST', '/add?how=' + (location.search.substr(1) || 'now'));
  request.setRequestHeader('Content-Type', 'application/x-www-form-urlencoded');
  request.send('text=' + encodeURIComponent(document.getElementById('text').value));
  return false;
};
</script></body></html>"""


class Note(ndb.Model):
    text = ndb.TextProperty()
    at = ndb.DateTimeProperty(auto_now_add=True)


class Reader(ndb.Model):
    here = ndb.BooleanProperty(default=False)


def board():
    return ndb.Key('Board', 'all')


def tell(data):
    for reader in Reader.query(ancestor=board()):
        channel.send_message(reader.key.id(), json.dumps(data, sort_keys=True))


def add(text):
    Note(parent=board(), text=text).put()
    tell({'text': text})


def add_slowly(text):
    time.sleep(3)
    add(text)


class Main(webapp2.RequestHandler):
    def get(self):
        user = users.get_current_user()
        client_id = self.request.get('as') or os.urandom(8).encode('hex')
        Reader(parent=board(), id=client_id).put()
        notes = Note.query(ancestor=board()).order(Note.at)
        self.response.write(PAGE % {
            'who': user.nickname() if user else 'nobody',
            'token': channel.create_channel(client_id, 60),
            'notes': u''.join(u'<li>%s</li>' % cgi.escape(note.text) for note in notes),
        })


class Add(webapp2.RequestHandler):
    def post(self):
        text, how = self.request.get('text'), self.request.get('how')
        if how == 'later':
            deferred.defer(add, text)
        elif how == 'slow_task':
            deferred.defer(add_slowly, text)
        elif how == 'transaction':
            ndb.transaction(lambda: add(text))
        elif how == 'namespace':
            namespace_manager.set_namespace('elsewhere')
            readers = self.request.get_all('reader')
            for reader in readers:
                channel.send_message(reader, json.dumps({'text': text}))
        elif how == 'message':
            for reader in Reader.query(ancestor=board()):
                deferred.defer(channel.send_message, reader.key.id(), json.dumps({'text': text}))
        else:
            add(text)
        self.response.write('ok')


class Presence(webapp2.RequestHandler):
    def post(self, what):
        client_id = self.request.get('from')
        reader = Reader.get_or_insert(client_id, parent=board())
        reader.here = what == 'connected'
        reader.put()
        here = Reader.query(Reader.here == True, ancestor=board())
        tell({'here': sorted(each.key.id() for each in here), 'from': self.request.remote_addr})


class Private(webapp2.RequestHandler):
    def get(self):
        self.response.write('%s admin=%s' % (users.get_current_user(), users.is_current_user_admin()))


class Environ(webapp2.RequestHandler):
    def get(self):
        self.response.content_type = 'application/json'
        names = ('REMOTE_ADDR', 'SERVER_NAME', 'SERVER_PORT', 'DEFAULT_VERSION_HOSTNAME', 'HTTP_HOST', 'USER_IS_ADMIN',
                 'SERVER_SOFTWARE', 'wsgi.url_scheme')
        environ = dict((name, self.request.environ.get(name)) for name in names)
        environ['headers'] = sorted(name for name in self.request.environ if 'EMU' in name or 'FAKE' in name)
        environ['url'] = self.request.url
        environ['instance'] = INSTANCE
        environ['module'] = os.environ['CURRENT_MODULE_ID']
        environ['mood'] = os.environ.get('MOOD')
        self.response.write(json.dumps(environ))


class Slow(webapp2.RequestHandler):
    """Each way to take too long."""

    def get(self, how):
        if how == 'sleep':
            time.sleep(60)
        elif how == 'spin':
            while True:
                pass
        elif how == 'regex':
            import re
            re.match('(a+)+b', 'a' * 60)
        elif how == 'swallow':
            watcher = self.request.get('watcher')
            channel.send_message(watcher, 'started')
            while True:
                try:
                    time.sleep(60)
                except DeadlineExceededError:
                    channel.send_message(watcher, 'struck')
        elif how == 'lock':
            import threading
            lock = threading.Lock()
            lock.acquire()
            lock.acquire()
        elif how == 'catch':
            try:
                time.sleep(60)
            except DeadlineExceededError as error:
                self.response.set_status(503)
                self.response.write('caught: %s' % error)
        elif how == 'some':
            time.sleep(float(self.request.get('seconds')))
            self.response.write('done')


app = webapp2.WSGIApplication([
    ('/', Main),
    ('/add', Add),
    ('/_ah/channel/(connected|disconnected)/', Presence),
    ('/private', Private),
    ('/admin', Private),
    ('/(?:worker/)?environ', Environ),
    ('/slow/(.*)', Slow),
], debug=True)
