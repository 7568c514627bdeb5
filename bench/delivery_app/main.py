"""A page with a channel, and a handler that sends it the time. Python 2.7 and 3."""

import time

from google.appengine.api import channel

PAGE = """<!DOCTYPE html><title>delivery</title><body><script src="/_ah/channel/jsapi"></script><script>
var usableAt = performance.now(), openedAt = 0, delays = [], opened = false, check = function () {};
function arrived(count) {
  return new Promise(function (resolve) {
    check = function () { if (delays.length >= count) { resolve(); } };
    check();
  });
}
new goog.appengine.Channel('%s').open({
  onopen: function () { openedAt = performance.now(); opened = true; },
  onmessage: function (message) {
    delays.push(performance.timeOrigin + performance.now() - 1000 * message.data);
    check();
  },
  onerror: function () {},
  onclose: function () {}
});
</script></body>"""


def app(environ, start_response):
    """`GET /` is the page; anything posted sends."""
    if environ["REQUEST_METHOD"] == "POST":
        channel.send_message("page", repr(time.time()))
        answer = "sent"
    else:
        answer = PAGE % channel.create_channel("page")
    start_response("200 OK", [("Content-Type", "text/html")])
    return [answer.encode("ascii")]
