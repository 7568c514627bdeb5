"""What polls that are answered together share, and what they must not."""

from __future__ import annotations

import pytest

from tests.server.test_parking import Wire, open_busy_socket, open_socket, parked, poll_path, wire
from tests.support.waiting import until

__all__ = ["wire"]

KINDS = [
    ("1.1", "", "HTTP/1.1", None),
    ("1.1", "Connection: keep-alive\r\n", "HTTP/1.1", None),
    ("1.1", "Connection: close\r\n", "HTTP/1.1", "close"),
    ("1.0", "", "HTTP/1.0", "close"),
    ("1.0", "Connection: keep-alive\r\n", "HTTP/1.0", "Keep-Alive"),
]
"""Version and headers of a poll; version and Connection header of its answer."""


def test_each_of_many_answers_has_the_head_that_its_request_asks_for(service, wire):
    wires = [(wire(), kind) for kind in KINDS * 3]
    for number, (each, (version, headers, _, _)) in enumerate(wires):
        each.send(poll_path(open_socket(service, f"c{number}")), version=version, headers=headers)
    until(lambda: parked(service) == len(wires))
    for number in range(len(wires)):
        service.broker.send_message(f"c{number}", "x" * (1 + number % 2))
    for number, (each, (_, _, version, connection)) in enumerate(wires):
        status, headers, body = each.answer()
        assert (status, headers["Connection"]) == (f"{version} 200 OK", connection)
        assert headers["Transfer-Encoding"] is None
        assert body == b'{"messages":["%b"],"next":1}\n' % (b"x" * (1 + number % 2))
        assert headers["Date"].endswith(" GMT")


def test_early_heads_and_late_ones_are_not_mixed_up(service, wire):
    wires = [wire() for _ in range(6)]
    for number, each in enumerate(wires):
        each.send(poll_path(open_busy_socket(service, f"c{number}"), after=1) + "&early=1" * (number % 2))
    until(lambda: parked(service) == len(wires))
    for number, each in enumerate(wires):
        service.broker.send_message(f"c{number}", "x")
        status, headers = each.head()
        assert (status, headers["Connection"]) == ("HTTP/1.1 200 OK", None)
        if number % 2:
            assert headers["Content-Length"] is None
            body = each.chunks()
        else:
            assert headers["Transfer-Encoding"] is None
            body = each.file.read(int(headers["Content-Length"]))
        assert body == b'{"messages":["x"],"next":2}\n'


@pytest.mark.parametrize("proxy", ["127.0.0.1", "*"])
def test_a_poll_is_parked_behind_a_trusted_proxy(make_service, proxy):
    service = make_service(trusted_proxy=proxy)
    each = Wire(service)
    for number in range(2):
        forwarded = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: localhost\r\n"
        each.send(poll_path(open_socket(service)), headers=forwarded)
        until(lambda: parked(service) == 1)
        service.broker.send_message("bob", str(number))
        assert each.poll() == [str(number)]
    each.close()
