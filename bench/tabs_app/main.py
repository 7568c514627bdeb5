"""Pages with a channel each, which say how soon it was open, and how long messages that hold the time took."""

from urllib.parse import parse_qs

from google.appengine.api import channel

PAGE = """<!DOCTYPE html><title>tab</title><link rel="icon" href="data:,"><body>
<script src="/_ah/channel/jsapi"></script><script>
function tell(milliseconds) { navigator.sendBeacon('%s', String(milliseconds)); }
new goog.appengine.Channel('%s').open({
  onopen: function () { tell(performance.now()); },
  onmessage: function (message) { tell(Date.now() - 1000 * message.data); },
  onerror: function () {},
  onclose: function () {}
});
</script></body>"""


def app(environ, start_response):
    """`/?name=CLIENT_ID&beacon=URL`: a page."""
    query = parse_qs(environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "text/html")])
    return [(PAGE % (query["beacon"][0], channel.create_channel(query["name"][0]))).encode("ascii")]
