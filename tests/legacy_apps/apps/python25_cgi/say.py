"""A second script, plain CGI."""

import cgi

from django.utils import simplejson
from google.appengine.api import channel

import main


def say():
    text = cgi.FieldStorage()['text'].value
    for listener in main.Listener.all():
        channel.send_message(listener.key().name(), simplejson.dumps({'text': text.decode('utf-8')}))
    print 'Content-Type: text/plain'
    print
    print 'ok'


if __name__ == '__main__':
    say()
