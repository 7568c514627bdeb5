"""What comes of each call of `use_library`, and of what else `google.appengine.dist` has; as JSON."""

import sys

from django.utils import simplejson
from google.appengine.dist import _library, httplib, py_zipimport, use_library


def outcome(*arguments):
    try:
        use_library(*arguments)
    except (ValueError, _library.UnacceptableVersionError), error:
        return '%s: %s' % (type(error).__name__, error)
    import django
    return 'Django %d.%d' % django.VERSION[:2]


found = [outcome('django', '1.2'), outcome('django', '1.3'), outcome('pylons', '1.0'), outcome('django', '1.4')]
for name in [name for name in sys.modules if name.startswith('django')]:
    del sys.modules[name]
found.append(outcome('django', '1.3'))
found += [httplib.OK, py_zipimport.zipimporter.__name__]
for name in ('yaml', 'webob', 'ipaddr', 'antlr3'):
    __import__(name)
print 'Content-Type: application/json'
print
print simplejson.dumps(found)
