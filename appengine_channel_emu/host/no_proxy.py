"""Keeps what we start from asking a proxy for this machine (behaviour.md 12).

Where `http_proxy` is set, most HTTP clients send it requests for 127.0.0.1 too: a dev server's own calls between its
processes, and an app's calls to the emulator. `no_proxy` names the hosts that are spared; some clients read it in
capitals alone.
"""

from __future__ import annotations

from collections.abc import Mapping

# No "[::1]", which Python's urllib would want: httpx takes it for an error.
LOOPBACK = ("localhost", "127.0.0.1", "::1")
NAMES = ("no_proxy", "NO_PROXY")
PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")


def with_no_proxy(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with this machine, and the emulator's own address if it names one, among what no proxy is asked for.

    What stands there already stays; `*`, for every host, is left alone.
    """
    emulator = environ.get("CHANNEL_EMULATOR_HOST", "").rpartition(":")[0]
    ours = dict.fromkeys([*LOOPBACK, *filter(None, [emulator.strip("[]")])])
    made = dict(environ)
    for name, other in zip(NAMES, reversed(NAMES), strict=True):
        given = environ.get(name) or environ.get(other) or ""
        hosts = [host.strip() for host in given.split(",") if host.strip()]
        if "*" not in hosts:
            made[name] = ",".join(dict.fromkeys([*hosts, *ours]))
        else:
            # Clients know it alone, not in a list.
            made[name] = "*"
    return made
