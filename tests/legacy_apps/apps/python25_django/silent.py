"""Calls no `use_library`."""

import os

os.environ['DJANGO_SETTINGS_MODULE'] = 'settings'

from google.appengine.ext.webapp import template

import django

print 'Content-Type: text/html; charset=utf-8'
print
print template.render(os.path.join('templates', 'plain.html'), {
    'version': django.VERSION,
    'entry': u'<b>caf\xe9</b>',
})
