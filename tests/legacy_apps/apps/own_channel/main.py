"""A package of the app's own named `channel`, beside the API's module; threadsafe: false, CGI, jinja2."""

import os

import jinja2
import webapp2
from google.appengine.api import channel as channel_api
from google.appengine.api import memcache
from google.appengine.ext.webapp.util import run_wsgi_app

import channel.ids

TEMPLATES = jinja2.Environment(loader=jinja2.FileSystemLoader(os.path.dirname(__file__)), autoescape=True)


class Main(webapp2.RequestHandler):
    def get(self):
        client_id = channel.ids.new_id()
        client_ids = memcache.get('ids') or []
        memcache.set('ids', client_ids + [client_id])
        token = channel_api.create_channel(client_id)
        self.response.write(TEMPLATES.get_template('page.html').render(token=token))


class Say(webapp2.RequestHandler):
    def post(self):
        for client_id in memcache.get('ids') or []:
            channel_api.send_message(client_id, '{"text": "%s"}' % self.request.get('text'))


app = webapp2.WSGIApplication([('/', Main), ('/say', Say)])


def main():
    run_wsgi_app(app)


if __name__ == '__main__':
    main()
