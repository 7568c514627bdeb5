"""Waitress's request parser, with two things put right."""

from __future__ import annotations

from waitress.parser import HTTPRequestParser, ParsingError


class RequestParser(HTTPRequestParser):  # type: ignore[misc]
    """Joins repeated Cookie headers with "; " (RFC 6265, section 5.4; RFC 9113, 8.2.3), not with ", " as any other.

    What Python cannot convert is refused, where waitress would drop the connection: a Content-Length of thousands of
    digits, an address with half an IPv6 literal.
    """

    def parse_header(self, header_plus: bytes) -> None:
        """See waitress; `header_plus` is the request line and the headers."""
        try:
            super().parse_header(_with_one_cookie(header_plus))
        except ValueError as error:
            raise ParsingError("The address or Content-Length is malformed.") from error


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
