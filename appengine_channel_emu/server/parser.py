"""Waitress's request parser, with some things put right and some bounds added."""

from __future__ import annotations

from typing import Any

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.receiver import ChunkedReceiver
from waitress.utilities import RequestHeaderFieldsTooLarge

MOST_HEADERS = 200
"""Lines of a request's head; browsers send about twenty."""

LONGEST_CHUNK_LINE = 1024
LONGEST_TRAILER = 16 * 1024


class RequestParser(HTTPRequestParser):  # type: ignore[misc]
    """Joins repeated Cookie headers with "; " (RFC 6265, section 5.4; RFC 9113, 8.2.3), not with ", " as any other.

    Refuses what another server in front of us, or behind, might delimit in another way: a length beside chunks, chunks
    in HTTP/1.0, and versions that are neither 1.0 nor 1.1 (RFC 9112, section 6.1, on request smuggling). What Python
    cannot convert is refused too, where waitress would drop the connection: a Content-Length of thousands of digits, an
    address with half an IPv6 literal.
    """

    body_rcv: Any
    path = "/"
    """Of a request too broken to have one; waitress names it in its log."""

    def parse_header(self, header_plus: bytes) -> None:
        """See waitress; `header_plus` is the request line and the headers."""
        if header_plus.count(b"\r\n") > MOST_HEADERS:
            super().parse_header(b"GET / HTTP/1.0\r\n")
            self.error = RequestHeaderFieldsTooLarge(f"A request has at most {MOST_HEADERS} headers.")
            return
        try:
            super().parse_header(_with_one_cookie(header_plus))
        except ValueError as error:
            raise ParsingError("The address or Content-Length is malformed.") from error
        if self.version not in ("1.1", "1.0"):
            raise ParsingError("HTTP/1.0 and HTTP/1.1 are served.")
        if self.chunked:
            if "CONTENT_LENGTH" in self.headers:
                raise ParsingError("A body has either chunks or a Content-Length.")
            self.body_rcv = ChunkReader(self.body_rcv.getbuf())
        elif "TRANSFER_ENCODING" in self.headers:
            raise ParsingError("HTTP/1.0 knows no Transfer-Encoding.")


class ChunkReader(ChunkedReceiver):  # type: ignore[misc]
    """Waitress's reader of chunks, for which a line of theirs and a trailer may not be endless."""

    control_line: bytes
    trailer: bytes

    def received(self, s: bytes) -> int:
        """See waitress."""
        consumed: int = super().received(s)
        if len(self.control_line) > LONGEST_CHUNK_LINE or len(self.trailer) > LONGEST_TRAILER:
            self.control_line = self.trailer = b""
            self.error = RequestHeaderFieldsTooLarge("The chunks' own lines are too long.")
        return consumed


def _with_one_cookie(head: bytes) -> bytes:
    if head.lower().count(b"\r\ncookie:") < 2:
        return head
    lines = head.split(b"\r\n")
    cookies = [line for line in lines if line[:7].lower() == b"cookie:"]
    if any(line[:1] in (b" ", b"\t") for line in lines):
        return head  # Obsolete line folding: whose line it is, only the parser can tell.
    others = [line for line in lines if line[:7].lower() != b"cookie:"]
    joined = b"Cookie: " + b"; ".join(cookie[7:].strip(b" \t") for cookie in cookies)
    return b"\r\n".join([others[0], joined, *others[1:]])
