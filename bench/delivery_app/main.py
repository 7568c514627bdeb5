"""A page with a channel, and a handler that sends it the time. Python 2.7 and 3."""

import time

from google.appengine.api import channel

PAGE = """<!DOCTYPE html><title>delivery</title><body><script src="/_ah/channel/jsapi"></script><script>
var usableAt = performance.now(), openedAt = 0, delays = [], opened = false;
function tell(path, what) {
  var xhr = new XMLHttpRequest();
  xhr.open('POST', path);
  xhr.send(what);
}
new goog.appengine.Channel('%s').open({
  onopen: function () { openedAt = performance.now(); opened = true; tell('/opened', 'yes'); },
  onmessage: function (message) {
    if (message.data === 'report') { tell('/report', JSON.stringify(delays)); return; }
    delays.push(performance.timeOrigin + performance.now() - 1000 * message.data);
  },
  onerror: function () {},
  onclose: function () {}
});
</script></body>"""

told = {"/opened": "", "/report": ""}


def app(environ, start_response):
    """`GET /` is the page, which tells /opened and /report; /send sends it the time, /ask has it report."""
    path, posted = environ["PATH_INFO"], environ["REQUEST_METHOD"] == "POST"
    answer = ""
    if path == "/send":
        channel.send_message("page", repr(time.time()))
    elif path == "/ask":
        channel.send_message("page", "report")
    elif path in told and posted:
        told[path] = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode("ascii")
    elif path in told:
        answer = told[path]
    else:
        answer = PAGE % channel.create_channel("page")
    start_response("200 OK", [("Content-Type", "text/html")])
    return [answer.encode("ascii")]
