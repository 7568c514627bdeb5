"""Lets CGI scripts answer with what templates give them: text, and subclasses of it (Python 2.7).

A page that Django has rendered is of a type of its own, or Unicode. `wsgiref` refuses the one in the middle of an answer
that has begun, and `print` the other as soon as a letter is not ASCII.

And lets them call `reload(sys)`, which gave them `sys.setdefaultencoding` back, without losing the answer of the request
that they are first run for.
"""

import __builtin__
import cStringIO
import sys


class Answer(object):
    """What a script prints to."""

    def __init__(self):
        self._bytes = cStringIO.StringIO()
        self.softspace = 0
        """Whether `print` owes a space."""

    def write(self, data):
        self._bytes.write(plain(data))

    def writelines(self, lines):
        for line in lines:
            self.write(line)

    def __getattr__(self, name):
        return getattr(self._bytes, name)


class _Answers(object):
    """In place of the module that the runtime makes its answers with."""

    StringIO = Answer


def plain(data):
    """The bytes of `data`, text as UTF-8, of the very type `str`; whatever is neither, as it is."""
    if isinstance(data, unicode):
        data = data.encode("utf-8")
    return "".join((data,)) if isinstance(data, str) else data


def _keeping_streams(reload_module):
    """`reload`, but for `sys` it leaves the streams as they are: the new ones would be the process's."""

    def reload_and_keep(module):
        streams = sys.stdin, sys.stdout, sys.stderr
        try:
            return reload_module(module)
        finally:
            if module is sys:
                sys.stdin, sys.stdout, sys.stderr = streams

    return reload_and_keep


def install():
    """Called when the sandbox is closed."""
    from wsgiref import handlers

    from google.appengine.runtime import cgi

    cgi.cStringIO = _Answers
    __builtin__.reload = _keeping_streams(reload)
    write = handlers.BaseHandler.write
    handlers.BaseHandler.write = lambda handler, data: write(handler, plain(data))
    # Or every request would be given what the first one had and it has not, cookies included.
    handlers.BaseHandler.os_environ = {}
