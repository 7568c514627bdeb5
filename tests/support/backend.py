"""A backend that a test makes its own of: it starts and stops at once, and answers everything with the same."""

from __future__ import annotations

from typing import Any

from appengine_channel_emu.host.backend import AppAnswer, AppDescription


class PlayedBackend:
    """See `Backend`. `text` is what it answers visitors with, status 200 what it answers posts with."""

    takes_presence = True
    presence_hint = None
    looks_for_app = False
    description = AppDescription("played app", "played")
    text = b""

    def share_sign_in(self, service: str, key: Any) -> None:
        pass

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def serve(self, environ: Any, request_id: str | None) -> AppAnswer:
        return ok(self.text)

    def post(self, path: str, body: bytes, content_type: str, timeout: float) -> int:
        return 200

    def why_unreachable(self) -> None:
        pass


def ok(text: bytes) -> AppAnswer:
    return AppAnswer("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(text)))], [text])
