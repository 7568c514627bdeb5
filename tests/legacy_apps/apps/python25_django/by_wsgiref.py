"""WSGI as it was run before there was `run_wsgi_app`; answers with what Django makes, in pieces."""

import Cookie
import os
import wsgiref.handlers

from google.appengine.dist import use_library

use_library('django', '1.2')

from google.appengine.ext.webapp import template


def application(environ, start_response):
    page = template.Template('<p>{{ entry }}</p>').render(template.Context({'entry': u'caf\xe9'}))
    start_response('200 OK', [('Content-Type', 'text/html; charset=utf-8')])
    # As libraries for sessions did it, and Python 2.7 no longer takes.
    cookies = Cookie.SimpleCookie()
    cookies.load(os.environ.get(u'HTTP_COOKIE', u''))
    return ['', page.encode('utf-8'), page, cookies.output(header='') or 'no cookie']


if __name__ == '__main__':
    wsgiref.handlers.CGIHandler().run(application)
