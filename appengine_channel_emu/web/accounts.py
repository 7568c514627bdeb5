"""What the app's requests have cost, by path: the comparison of waiting requests with channels (behaviour.md 6)."""

from __future__ import annotations

from collections import Counter
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
    """What each path of the app has cost: time held, CPU, and requests that were cut (behaviour.md 6)."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._accounts: dict[str, Account] = {}
        self._answered: Counter[str] = Counter()

    def add(self, path: str, held_seconds: float, cpu_seconds: float | None, cut: bool, status: str = "200 OK") -> None:
        """Count one request, and its answer's `status`."""
        with self._lock:
            self._answered[f"{status[:1]}xx"] += 1
            if path not in self._accounts and len(self._accounts) >= LARGEST_NUMBER_OF_PATHS:
                path = "(other)"
            account = self._accounts.setdefault(path, Account(path))
            account.requests += 1
            account.held_seconds += held_seconds
            account.cpu_seconds += cpu_seconds or 0.0
            account.cut += cut

    def clear(self) -> None:
        """Start anew, but for `answered`."""
        with self._lock:
            self._accounts.clear()

    def answered(self) -> dict[str, int]:
        """How many requests the app has answered since the start, by class of status, such as `2xx`."""
        with self._lock:
            return dict(self._answered)

    def all(self) -> list[Account]:
        """Copies, most time held first."""
        with self._lock:
            accounts = [replace(account) for account in self._accounts.values()]
        return sorted(accounts, key=lambda account: -account.held_seconds)
