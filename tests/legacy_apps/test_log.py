"""The log of an SDK app: of one request one line, behind what the app has logged in it."""

from __future__ import annotations

import re

import pytest

from tests.support.legacy import emulated
from tests.support.waiting import eventually

APP_YAML = """
application: logs
version: 1
runtime: python27
api_version: 1
threadsafe: true
inbound_services:
- channel_presence
handlers:
- url: /.*
  script: main.app
"""

MAIN = """
import logging
import webapp2
from google.appengine.api import channel, taskqueue

class Page(webapp2.RequestHandler):
    def get(self, number):
        logging.info('hello from %s', number)
        print 'printed in ' + number
        self.response.write(channel.create_channel('anna'))

class Task(webapp2.RequestHandler):
    def get(self):
        taskqueue.add(url='/task')

    def post(self):
        logging.info('hello from a task')

class Presence(webapp2.RequestHandler):
    def post(self, what):
        logging.info('%s is %s', self.request.get('from'), what)

app = webapp2.WSGIApplication([('/_ah/channel/(.*)/', Presence), ('/task', Task), ('/(.*)', Page)])
"""


@pytest.fixture
def app(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "app.yaml").write_text(APP_YAML)
    (tmp_path / "app" / "main.py").write_text(MAIN)
    return tmp_path / "app"


@pytest.mark.parametrize("level", ["info", pytest.param("debug", marks=pytest.mark.slow)])
def test_one_request_one_line(app, tmp_path, http, level):
    log = tmp_path / "log"
    with emulated(app, log, "--log-level", level) as emulator:
        for number in range(5):
            token = http.request("GET", f"{emulator.url}/{number}").data.decode()
        http.request("GET", f"{emulator.url}/task")
        http.request("GET", f"{emulator.url}/_ah/channel/open?channel={token}")
        eventually(log.read_text, lambda text: "anna is connected" in text and '"POST /task' in text)
    text = log.read_text()
    twice = re.findall(r'module\.py:\d+\] default: "(GET /\d|POST /_ah/channel/connected/)', text)
    assert (len(twice) > 0) == (level == "debug")
    # Who opens an address of the dev server's own gets round the emulator.
    assert "running at: http" not in text
    assert "API server" not in text
    words = re.findall(r"hello from \d|printed in \d|INFO +GET /\d", text)
    assert [re.sub(" +", " ", each) for each in words] == [
        each for number in range(5) for each in (f"hello from {number}", f"printed in {number}", f"INFO GET /{number}")
    ]
    # A task does not come through us, so that nobody else says it.
    assert "hello from a task" in text
