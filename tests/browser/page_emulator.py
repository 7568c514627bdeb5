"""`channel-emu serve` in front of the app of page_app.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.emulator import RunningEmulator
from tests.support.waiting import eventually

LONGEST_TOKEN = 24 * 60 * 60
"""Seconds."""


class PageEmulator(RunningEmulator):
    """One of them; `arguments` are those of `channel-emu serve`."""

    def __init__(self, *arguments: str, log: Path, state_dir: Path | str = "none") -> None:
        folder = str(Path(__file__).parent)
        super().__init__("--app-dir", folder, *arguments, "page_app:app", log=log, state_dir=state_dir)

    def told(self, at_least: int) -> list[dict[str, str]]:
        """The presence posts and pages' messages that the app got, as soon as there are so many."""
        return eventually(lambda: self.get_json(f"/told?at_least={at_least}"), lambda told: len(told) >= at_least)

    def received(self, at_least: int = 1) -> list[dict[str, str]]:
        """Pages' messages alone: a slow Chromium lets Google's script be disconnected meanwhile."""

        def ask() -> list[dict[str, str]]:
            return [post for post in self.told(0) if post["path"] == "receive"]

        return eventually(ask, lambda received: len(received) >= at_least)

    def presence(self, at_least: int) -> list[tuple[str, str | None]]:
        """What `told` says, each as (`connected` or `disconnected`, client id)."""
        return [(post["path"], post.get("from")) for post in self.told(at_least)]

    def wait_for_transport(self, name: str, client_id: str = "anna") -> None:
        """Return once the messages of the client's one socket take that way: `poll` or `stream`."""

        def ask() -> list[Any]:
            sockets = self.get_json(f"/_emu/channel?client_id={client_id}")["sockets_shown"]
            return [socket["transport"] for socket in sockets]

        eventually(ask, lambda transports: transports == [name])

    def cut(self, client_id: str = "anna") -> None:
        """Break the connection of the client's poll or stream."""
        self._post("/_emu/sockets", {"action": "cut", "client_id": client_id})

    def forget(self) -> None:
        """Forget everything that tests before have left, here and in the app, and what is still on its way to it."""
        # A channel goes with its last token, socket and presence post.
        eventually(self._channels_a_day_later, lambda channels: channels["total"] == 0)
        self.reset()
        self.post("/forget")

    def _channels_a_day_later(self) -> Any:
        self.advance(LONGEST_TOKEN)
        return self.get_json("/_emu/channels")
