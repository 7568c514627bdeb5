"""Answers with what the Channel API did in each case, as JSON."""

import json
import sys

import cases


def app(environ, start_response):
    answer = {"python": sys.version_info[0], "cases": cases.outcomes()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode("ascii")]


if __name__ == "__main__":
    from wsgiref.simple_server import make_server

    make_server("127.0.0.1", int(sys.argv[1]), app).serve_forever()
