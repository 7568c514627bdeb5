"""A web framework of one file, in the manner of google.appengine.ext.webapp. Python 2.7 and 3.

A handler is a class with a method for each HTTP method::

    class Hello(miniweb.RequestHandler):
        def get(self):
            self.response.write('Hello, ' + self.request.get('name', 'world'))

    app = miniweb.WSGIApplication([('/', Hello)])
"""

import json
import logging

try:
    from urllib.parse import parse_qs
except ImportError:  # Python 2.7
    from urlparse import parse_qs

MAX_BODY = 64 * 1024

REASONS = {
    200: 'OK',
    302: 'Found',
    400: 'Bad Request',
    403: 'Forbidden',
    404: 'Not Found',
    405: 'Method Not Allowed',
    409: 'Conflict',
    410: 'Gone',
    413: 'Request Entity Too Large',
    500: 'Internal Server Error',
    503: 'Service Unavailable',
}


class HTTPError(Exception):
    """Ends a request with `status` and a line of plain text."""

    def __init__(self, status, text):
        Exception.__init__(self, text)
        self.status = status
        self.text = text


class Request(object):
    """One request; `get` reads the query string and a form body alike."""

    def __init__(self, environ):
        self.environ = environ
        self.method = environ['REQUEST_METHOD']
        self.path = environ.get('PATH_INFO') or '/'
        self._fields = _parse(environ.get('QUERY_STRING', ''))
        if self.method == 'POST':
            self._fields.update(_parse(self._body()))

    def get(self, name, default=u''):
        """The text of the field `name`."""
        return self._fields.get(name, default)

    def _body(self):
        length = self.environ.get('CONTENT_LENGTH') or '0'
        if not length.isdigit():
            raise HTTPError(400, 'Content-Length is not a number')
        if int(length) > MAX_BODY:
            raise HTTPError(413, 'at most %d bytes, please' % MAX_BODY)
        body = self.environ['wsgi.input'].read(int(length))
        return body if str is bytes else body.decode('utf-8', 'replace')


class Response(object):
    """What the handler answers; whole, as App Engine sent responses."""

    def __init__(self):
        self.status = 200
        self.headers = {'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-cache'}
        self.body = b''

    def write(self, text):
        """Add text or bytes to the body."""
        self.body += text if isinstance(text, bytes) else text.encode('utf-8')

    def write_json(self, value):
        """Answer with `value` as JSON."""
        self.headers['Content-Type'] = 'application/json'
        self.write(json.dumps(value))


class RequestHandler(object):
    """Base class of handlers."""

    def __init__(self, request, response):
        self.request = request
        self.response = response

    def redirect(self, path):
        """Send the visitor to another path of this app."""
        self.response.status = 302
        self.response.headers['Location'] = path


class WSGIApplication(object):
    """Maps paths to handler classes: a list of (path, class), as webapp took it."""

    def __init__(self, routes):
        self.routes = dict(routes)

    def __call__(self, environ, start_response):
        response = Response()
        try:
            self._dispatch(Request(environ), response)
        except HTTPError as error:
            response = _plain(error.status, error.text)
        except Exception:
            logging.exception('a handler failed')
            response = _plain(500, 'the app failed; its log says why')
        # str() because WSGI wants native strings, and Python 2.7 may have unicode ones here.
        headers = sorted((str(name), str(value)) for name, value in response.headers.items())
        headers.append(('Content-Length', str(len(response.body))))
        start_response('%d %s' % (response.status, REASONS[response.status]), headers)
        return [b'' if environ['REQUEST_METHOD'] == 'HEAD' else response.body]

    def _dispatch(self, request, response):
        handler_class = self.routes.get(request.path)
        if handler_class is None:
            raise HTTPError(404, 'there is nothing at this path')
        handler = handler_class(request, response)
        name = 'get' if request.method == 'HEAD' else request.method.lower()
        method = getattr(handler, name, None) if name in ('get', 'post') else None
        if method is None:
            raise HTTPError(405, 'this path does not take %s' % request.method)
        method()


def _plain(status, text):
    response = Response()
    response.status = status
    response.headers['Content-Type'] = 'text/plain; charset=utf-8'
    response.write(text)
    return response


def _parse(query):
    fields = {}
    for name, values in parse_qs(query, keep_blank_values=True).items():
        value = values[-1]
        fields[name] = value.decode('utf-8', 'replace') if isinstance(value, bytes) else value
    return fields
