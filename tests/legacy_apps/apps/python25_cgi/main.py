"""A shout box in the style of 2010: Python 2.5, webapp, CGI, simplejson from Django, templates."""

import os
import uuid

from google.appengine.api import channel
from google.appengine.ext import db, webapp
from google.appengine.ext.webapp import template
from google.appengine.ext.webapp.util import run_wsgi_app


class Listener(db.Model):
    since = db.DateTimeProperty(auto_now_add=True)


class Main(webapp.RequestHandler):
    def get(self):
        client_id = str(uuid.uuid4())
        Listener(key_name=client_id).put()
        path = os.path.join(os.path.dirname(__file__), 'page.html')
        self.response.out.write(template.render(path, {'token': channel.create_channel(client_id)}))


application = webapp.WSGIApplication([('/', Main)], debug=True)


def main():
    run_wsgi_app(application)


if __name__ == '__main__':
    main()
