"""Each use of the Channel API in a Python source is found, however it is imported; what only looks like one is not."""

# ruff: noqa: E501 (sources stand as they are)

from __future__ import annotations

import pytest

from tests.doctor.app_folder import places, seen, topics

STYLES = {
    "the module": "from google.appengine.api import channel\nchannel.create_channel(a)\nchannel.send_message(a, b)",
    "under another name": "from google.appengine.api import channel as c\nc.create_channel(a)\nc.send_message(a, b)",
    "its whole path": (
        "import google.appengine.api.channel\n"
        "google.appengine.api.channel.create_channel(a)\ngoogle.appengine.api.channel.send_message(a, b)"
    ),
    "its path under another name": "import google.appengine.api.channel as c\nc.create_channel(a)\nc.send_message(a, b)",
    "the functions": (
        "from google.appengine.api.channel import create_channel, send_message\ncreate_channel(a)\nsend_message(a, b)"
    ),
    "functions under other names": (
        "from google.appengine.api.channel import create_channel as c, send_message as s\nc(a)\ns(a, b)"
    ),
    "the module in the package": (
        "from google.appengine.api.channel import channel\nchannel.create_channel(a)\nchannel.send_message(a, b)"
    ),
    "through it": "from google.appengine.api import channel\nchannel.channel.create_channel(a)\nchannel.channel.send_message(a, b)",
    "the package": "from google.appengine import api\napi.channel.create_channel(a)\napi.channel.send_message(a, b)",
    "everything": "from google.appengine.api.channel import *\ncreate_channel(a)\nsend_message(a, b)",
    "over lines": (
        "from google.appengine.api import (memcache,  channel as c); x = 1\n"
        "token = c.create_channel(\n    a)\n; c.send_message(a, b)"
    ).replace("\n;", ";"),
    "an attribute of self": (
        "from google.appengine.api import channel\n"
        "class H:\n  def __init__(self):\n    self.push = channel\n"
        "  def get(self): self.push.create_channel(a)\n  def post(self): self.push.send_message(a, b)"
    ),
    "a name of its own": (
        "from google.appengine.api import channel\nmake, send = channel.create_channel, channel.send_message"
    ),
    "getattr": (
        "from google.appengine.api import channel\ngetattr(channel, 'create_channel')(a)\n"
        "getattr(channel, 'send_message')(a, b)"
    ),
    "in a function": "def f():\n  from google.appengine.api import channel\n  channel.create_channel(a)\n  channel.send_message(a, b)",
    "where it may be missing": (
        "try:\n  from google.appengine.api import channel\nexcept ImportError:\n  import fake as channel\n"
        "channel.create_channel(a)\nchannel.send_message(a, b)"
    ),
    "Python 2": (
        "from google.appengine.api import channel\nprint channel.create_channel(a)\n"
        "try: channel.send_message(a, b)\nexcept channel.Error, e: pass"
    ),
}

NO_USES = {
    "another service": "from google.appengine.api import xmpp\nxmpp.send_message('a@example.org', 'hello')",
    "a module of the app's own": "import channel\nchannel.create_channel(a)\nchannel.send_message(a, b)",
    "a parameter": "from google.appengine.api import channel\ndef f(room, channel=1):\n  room.send_message(a, b)",
    "a variable": "from google.appengine.api import channel\ndef f():\n  channel = Room()\n  channel.send_message(a, b)",
    "a comment": "from google.appengine.api import channel\n# channel.create_channel(a); channel.send_message(a, b)",
    "a text": "from google.appengine.api import channel\nHELP = 'channel.create_channel(a)'",
    "a docstring": "'''Load /_ah/channel/jsapi, then new goog.appengine.Channel(token).\n\nchannel.send_message(a, b)'''",
    "a definition": "def send_message(a, b): pass\ndef create_channel(a): pass\nsend_message(1, 2)\ncreate_channel(1)",
}


@pytest.mark.parametrize("style", STYLES)
def test_a_call_is_found_in_every_style_of_import(tmp_path, style):
    found = seen(tmp_path, {"main.py": STYLES[style]})
    assert len(places(found, "create_channel")) == 1
    assert len(places(found, "send_message")) == 1


@pytest.mark.parametrize("what", NO_USES)
def test_what_only_looks_like_a_use_is_none(tmp_path, what):
    found = seen(tmp_path, {"main.py": NO_USES[what]})
    assert not topics(found) & {"create_channel", "send_message", "likely_call", "jsapi", "page_channel"}


def test_a_call_is_on_the_line_of_its_name(tmp_path):
    source = "from google.appengine.api import channel\ntoken = (channel\n  .create_channel(\n    client_id))\n"
    assert places(seen(tmp_path, {"main.py": source}), "create_channel") == {"main.py:3"}


def test_imports_lead_through_the_apps_own_modules(tmp_path):
    found = seen(
        tmp_path,
        {
            "common/__init__.py": "",
            "common/services.py": "from google.appengine.api import channel\nsend = channel.send_message\n",
            "common/inner.py": "from services import channel\nchannel.create_channel('beside, as in Python 2')\n",
            "common/relative.py": "from .services import channel as c\nc.create_channel('relative')\n",
            "a.py": "from common.services import channel, send\nchannel.create_channel(1)\nsend(1, 2)\n",
            "b.py": "from common.services import *\nchannel.create_channel(1)\nsend(1, 2)\n",
            "c.py": "import common.services as s\ns.channel.create_channel(1)\ns.send(1, 2)\n",
        },
    )
    assert places(found, "create_channel") == {
        "common/inner.py:2",
        "common/relative.py:2",
        "a.py:2",
        "b.py:2",
        "c.py:2",
    }
    assert places(found, "send_message") == {"common/services.py:2", "a.py:3", "b.py:3", "c.py:3"}


def test_what_is_deferred_is_told_apart(tmp_path):
    source = (
        "from google.appengine.api import channel\nfrom google.appengine.ext import deferred\n"
        "deferred.defer(channel.send_message, 'a', 'b', _countdown=2)\nmap(channel.send_message, ids, texts)\n"
    )
    found = seen(tmp_path, {"main.py": source})
    assert places(found, "send_deferred") == {"main.py:3"}
    assert places(found, "send_message") == {"main.py:4"}


def test_a_call_on_something_unknown_is_likely_one_where_the_sdk_is_imported(tmp_path):
    source = (
        "from google.appengine.api import channel\ndef f(services):\n  services.channel.send_message(1, 2)\n"
        "def g(channel):\n  channel.create_channel(1)\n"
    )
    found = seen(tmp_path, {"main.py": source})
    assert places(found, "likely_call") == {"main.py:3", "main.py:5"}
    assert not found.has("create_channel", "send_message")


@pytest.mark.parametrize(
    ("duration", "refused"),
    [
        ("0", True),
        ("1441", True),
        ("-5", True),
        ("1.5", True),
        ("1", False),
        ("1440", False),
        ("None", False),
        ("x", False),
    ],
)
def test_a_duration_that_the_api_refuses(tmp_path, duration, refused):
    source = f"from google.appengine.api import channel\nchannel.create_channel(a, duration_minutes={duration})\n"
    assert seen(tmp_path, {"main.py": source}).has("duration_refused") is refused


def test_other_names_of_the_module(tmp_path):
    source = "from google.appengine.api import channel\ntry: f()\nexcept channel.InvalidMessageError: pass\n"
    assert places(seen(tmp_path, {"main.py": source}), "channel_name") == {"main.py:3"}


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("('/_ah/channel/connected/', H)", {"presence_handler"}),
        ("('/_ah/channel/(connected|disconnected)/', H)", {"presence_handler"}),
        ("(r'^_ah/channel/disconnected/$', 'views.gone')", {"presence_handler"}),
        ("('/_ah/channel/<what>/', H)", {"presence_handler"}),
        ("('/_ah/channel/.*', H)", {"presence_handler"}),
        ("('/_ah/channel/connected', H)", {"presence_handler", "presence_without_slash"}),
        ("('/_ah/channel/jsapi', H)", {"jsapi"}),
        ("('/channel/connected/', H)", set()),
        ("app.post('/_ah/channel/connected/', {'from': 'anna'})", set()),
    ],
)
def test_presence_handlers(tmp_path, route, expected):
    assert topics(seen(tmp_path, {"main.py": f"x = [{route}]\n"})) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("time.sleep(60)", "wait_long"),
        ("time.sleep(3)", "wait_sleep"),
        ("time.sleep(x)", "wait_sleep"),
        ("for i in y:\n  time.sleep(0.5)", "wait_sleep"),
        ("time.sleep(0.05)", None),
        ("while True:\n  if news():\n    break\n  time.sleep(1)", "wait_loop"),
        ("while 1:\n  look()", "wait_loop"),
        ("while True:\n  page = next()\n  if not page: break", None),
        ("while True:\n  for x in y:\n    break", "wait_loop"),
        ("def f():\n  while True:\n    yield x", None),
        ("def f():\n  while True:\n    return x", None),
        ("urlfetch.fetch(url)", "wait_fetch"),
        ("urllib2.urlopen(url)", "wait_fetch"),
        ("urllib.request.urlopen(url)", "wait_fetch"),
        ("requests.get(url)", "wait_fetch"),
        ("opener.open(url)", None),
    ],
)
def test_what_waits(tmp_path, source, expected):
    imports = "import time, urllib2, urllib.request, requests\nfrom google.appengine.api import urlfetch\n"
    found = topics(seen(tmp_path, {"main.py": imports + source}))
    assert found == ({expected} if expected else set())
    # Nothing that tests or libraries do holds a request.
    assert not topics(seen(tmp_path / "t", {"tests/test_main.py": imports + source}))
    assert not topics(seen(tmp_path / "v", {"lib/x-1.0.dist-info/RECORD": "", "lib/x.py": imports + source}))


def test_the_deadline_is_the_one_that_is_asked_for(tmp_path):
    from appengine_channel_emu.doctor.look import look

    (tmp_path / "main.py").write_text("import time\ntime.sleep(45)\n")
    assert look(tmp_path, 30.0).has("wait_long")
    assert not look(tmp_path, 60.0).has("wait_long")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from google.appengine.dist import use_library\nuse_library('django', '1.2')", "use_library"),
        ("from google.appengine.ext.webapp import template", "webapp_template"),
        ("from google.appengine.ext import webapp\nwebapp.template.register_template_library('x')", "webapp_template"),
        ("from google.appengine.ext.webapp.util import run_wsgi_app\nrun_wsgi_app(app)", "run_wsgi_app"),
        ("import wsgiref.handlers\nwsgiref.handlers.CGIHandler().run(app)", "run_wsgi_app"),
        ("from django.utils import simplejson", "simplejson"),
        ("from django.utils import simplejson as json", "simplejson"),
        ("from __future__ import with_statement", "with_statement"),
        ("from google.appengine.api import channel\nprint channel", "python2_source"),
        ("self.testbed.init_channel_stub()", "testbed"),
    ],
)
def test_idioms_of_python25_and_the_testbed(tmp_path, source, expected):
    assert expected in topics(seen(tmp_path, {"main.py": source}))


def test_a_page_in_a_string_is_found_on_its_own_lines(tmp_path):
    source = (
        "PAGE = '''<html>\n<script src=\"/_ah/channel/jsapi\"></script>\n"
        "<script>\nnew goog.appengine.Channel('%s').open();\n</script>'''\nx = f'<a>{1}</a>' '/_ah/channel/jsapi'\n"
    )
    found = seen(tmp_path, {"main.py": source})
    assert places(found, "jsapi") == {"main.py:2", "main.py:6"}
    assert places(found, "page_channel") == {"main.py:4"}


def test_lines_that_cannot_be_parsed_are_searched_as_text(tmp_path):
    source = (
        "from google.appengine.api import channel\n<<<<<<< HEAD\n"
        "x = [channel.create_channel(y) for y in a, b if\n# channel.send_message(a, b)\nchannel.send_message(a, b)\n"
    )
    found = seen(tmp_path, {"main.py": source})
    assert places(found, "create_channel") == {"main.py:3"}
    assert places(found, "send_message") == {"main.py:5"}
    assert found.has("not_python", "lines_not_python")
