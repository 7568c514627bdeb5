"""Pages with a channel each, which note how long messages that hold the time took."""

from google.appengine.api import channel

PAGE = """<!DOCTYPE html><title>tab</title><link rel="icon" href="data:,"><body>
<script src="/_ah/channel/jsapi"></script><script>
var openedAt = 0, delays = [];
new goog.appengine.Channel('%s').open({
  onopen: function () { openedAt = performance.now(); },
  onmessage: function (message) { delays.push(Date.now() - 1000 * message.data); },
  onerror: function () {},
  onclose: function () {}
});
</script></body>"""


def app(environ, start_response):
    """`/?name=CLIENT_ID`: a page."""
    start_response("200 OK", [("Content-Type", "text/html")])
    return [(PAGE % channel.create_channel(environ["QUERY_STRING"].partition("=")[2])).encode("ascii")]
