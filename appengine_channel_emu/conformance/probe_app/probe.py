"""Lists the presence posts it got at /channel-probe, and holds requests at /channel-probe/hold. Python 2.7 and 3."""

import json
import time

try:
    from urllib.parse import parse_qs
except ImportError:  # Python 2
    from urlparse import parse_qs

KEPT = 1000
HOLD_SECONDS = 40

posts = []


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path in ("/_ah/channel/connected/", "/_ah/channel/disconnected/"):
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode("utf-8")
        posts.append([path.split("/")[3], parse_qs(body).get("from", [""])[0]])
        del posts[:-KEPT]
        status, text = "200 OK", ""
    elif path == "/channel-probe":
        status, text = "200 OK", json.dumps(posts)
    elif path == "/channel-probe/hold":
        time.sleep(HOLD_SECONDS)
        status, text = "200 OK", ""
    else:
        status, text = "404 Not Found", ""
    start_response(status, [("Content-Type", "application/json")])
    return [text.encode("ascii")]
