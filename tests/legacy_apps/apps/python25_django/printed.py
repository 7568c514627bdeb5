from google.appengine.dist import use_library

use_library('django', '1.2')

from google.appengine.ext.webapp import template

print 'Content-Type: text/html; charset=utf-8'
print
print template.Template('<p>{{ entry }}</p>').render(template.Context({'entry': u'<caf\xe9>'})), 'printed'
