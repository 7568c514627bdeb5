"""The bodies of presence posts (facts.md 5.1 and 5.3)."""

from __future__ import annotations

import secrets
from typing import Literal
from urllib.parse import quote_plus

Encoding = Literal["urlencoded", "multipart"]

PRESENCE_ADDRESS = "0.1.0.10"
"""Where presence posts came from on the real servers (facts.md 5.1)."""


def encode_presence(client_id: str, encoding: Encoding) -> tuple[bytes, str]:
    """The body that says `from=<client id>`, and its content type.

    Percent-encoded, unlike the dev server's, so that the client id arrives as the app gave it. Java's parser reads
    `multipart` alone.
    """
    if encoding == "urlencoded":
        return b"from=" + quote_plus(client_id, safe="").encode("ascii"), "application/x-www-form-urlencoded"
    # Random, so that no client id can hold it.
    boundary = f"channel-emu-{secrets.token_hex(16)}"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="from"\r\n'
        f"Content-Type: text/plain; charset=UTF-8\r\n\r\n{client_id}\r\n--{boundary}--\r\n"
    )
    return body.encode("utf-8"), f"multipart/form-data; boundary={boundary}"
