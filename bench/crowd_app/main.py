"""The app behind the crowds: it remembers who came and went, and when, and sleeps on request."""

import json
import time
from urllib.parse import parse_qs

posts = []


def app(environ, start_response):
    path = environ["PATH_INFO"]
    query = parse_qs(environ["QUERY_STRING"])
    body = b""
    if path.startswith("/_ah/channel/"):
        form = parse_qs(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])).decode())
        posts.append((path.split("/")[3], form["from"][0], time.monotonic()))
    elif path == "/posts":
        body = json.dumps(posts).encode()
    elif path == "/sleep":
        time.sleep(float(query["seconds"][0]))
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
