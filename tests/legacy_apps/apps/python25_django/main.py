"""A guest book in the style of 2011: Python 2.5, `use_library`, settings and filters of Django."""

import os
import sys

# Gives back what the start of Python takes away.
reload(sys)
sys.setdefaultencoding('utf-8')
os.environ['DJANGO_SETTINGS_MODULE'] = 'settings'

from google.appengine.dist import use_library

use_library('django', '1.2')

from google.appengine.api import channel
from google.appengine.ext import webapp
from google.appengine.ext.webapp import template
from google.appengine.ext.webapp.util import run_wsgi_app

import django
from django.conf import settings

webapp.template.register_template_library('common.filters')


class Main(webapp.RequestHandler):
    def get(self):
        self.response.out.write(template.render(os.path.join(os.path.dirname(__file__), 'templates', 'page.html'), {
            'version': django.VERSION,
            'title': settings.BOOK_TITLE,
            'entry': '<b>caf\xc3\xa9' + u'</b>',
            'token': channel.create_channel('guest'),
            'framework': webapp.RequestHandler.__module__,
            'runtime': os.environ['APPENGINE_RUNTIME'],
        }))


application = webapp.WSGIApplication([('/', Main)], debug=True)


def main():
    run_wsgi_app(application)


if __name__ == '__main__':
    main()
