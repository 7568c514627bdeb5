"""The variables that lead an app's server API to an emulator."""

from __future__ import annotations


def variables(address: str) -> dict[str, str]:
    """What the libraries of the languages read, `PYTHONPATH` apart; `address` is `host:port`."""
    host, _, port = address.rpartition(":")
    return {
        "CHANNEL_EMULATOR_HOST": address,
        "API_HOST": host,
        "API_PORT": port,
        # Go's library asks for this, and without it wants a metadata server (facts.md 2.3).
        "RUN_WITH_DEVAPPSERVER": "1",
    }
