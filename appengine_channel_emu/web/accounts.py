"""What each path of the app has cost: requests, time held, CPU, and how many were cut (behaviour.md 6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Lock

LARGEST_NUMBER_OF_PATHS = 1_000
"""Paths that are told apart; requests for further ones are counted together, under `(other)`."""


@dataclass(slots=True)
class Account:
    """One path; times in seconds. `cpu_seconds` counts only requests whose CPU is known."""

    path: str
    requests: int = 0
    held_seconds: float = 0.0
    cpu_seconds: float = 0.0
    cut: int = 0


class Accounts:
    """An account for each path."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._accounts: dict[str, Account] = {}

    def add(self, path: str, held_seconds: float, cpu_seconds: float | None, cut: bool) -> None:
        """Count one request."""
        with self._lock:
            if path not in self._accounts and len(self._accounts) >= LARGEST_NUMBER_OF_PATHS:
                path = "(other)"
            account = self._accounts.setdefault(path, Account(path))
            account.requests += 1
            account.held_seconds += held_seconds
            account.cpu_seconds += cpu_seconds or 0.0
            account.cut += cut

    def clear(self) -> None:
        """Start anew."""
        with self._lock:
            self._accounts.clear()

    def all(self) -> list[Account]:
        """Copies, most time held first."""
        with self._lock:
            accounts = [replace(account) for account in self._accounts.values()]
        return sorted(accounts, key=lambda account: -account.held_seconds)
