"""What runs here, in a few lines on standard error once it is ready: for people. Scripts read the ready line."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import sys

from appengine_channel_emu import __version__
from appengine_channel_emu.settings import Settings
from appengine_channel_emu.streams import one_line, takes_colour
from appengine_channel_emu.web.admin.status import About

_BOLD, _DIM, _CYAN, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[36m", "\x1b[0m"

_ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses of nobody (RFC 5737, RFC 3849): the way to them is the way to other machines."""

log = logging.getLogger("channel_emu")


def show(settings: Settings, about: About) -> None:
    """Write it once, unless the log is to have no such thing."""
    if settings.quiet or not log.isEnabledFor(logging.INFO):
        return
    if settings.log_format == "json":
        fields = {"app": about.app and about.app.name, "url": about.url, "state_dir": about.state_folder}
        log.info("Ready at %s", about.url, extra={"fields": fields})
    elif sys.stderr is not None:
        sys.stderr.write(banner(settings, about, colour=takes_colour(sys.stderr)))


def banner(settings: Settings, about: About, *, colour: bool) -> str:
    """The lines, with a blank one before and after."""
    rows = _rows(settings, about)
    width = max(len(label) for label, _ in rows)
    lines = [_styled(f"channel-emu {__version__}", _BOLD, colour)]
    for label, text in rows:
        style = _CYAN if text.startswith("http://") else ""
        lines.append(f"{_styled(label.ljust(width), _DIM, colour)}  {_styled(one_line(text), style, colour)}")
    return "\n" + "".join(f"  {line}\n" for line in lines) + "\n"


def _rows(settings: Settings, about: About) -> list[tuple[str, str]]:
    url = about.url or ""
    rows = [("app", _app(about)), ("address", url)]
    rows += [("network", address) for address in network_addresses(settings.host, url)]
    rows.append(("console", f"{url}/_emu/"))
    if about.app is not None:
        rows.append(("deadline", "off" if settings.request_deadline is None else f"{settings.request_deadline:g} s"))
    rows.append(
        (
            "state",
            _kept_in_redis(settings.redis_name, about.node) or about.state_folder or "nothing is kept over a restart",
        )
    )
    return rows


def _app(about: About) -> str:
    app = about.app
    if app is None:
        return "none (to run one: channel-emu serve APP)"
    python = f", Python {app.python}" if app.python else ""
    return f"{app.name} ({app.kind}{python})"


def _kept_in_redis(service: str | None, node: str | None) -> str | None:
    return None if node is None else f"in Redis, as {node} of {service}"


def network_addresses(host: str, url: str) -> list[str]:
    """Where other machines reach what listens on `host`, if that is every address; `url` is where this one does.

    Empty where there is no other machine to be seen, and where `url` itself says it.
    """
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
            name = _own_address(family)
            port = url.rpartition(":")[2]
            return [] if name is None else [f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"]
    return []


def _own_address(family: socket.AddressFamily) -> str | None:
    """The address of this machine on its way to others; nothing is sent."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_ELSEWHERE[family], 9))
            name = str(probe.getsockname()[0])
    except OSError:
        return None
    return None if ipaddress.ip_address(name.partition("%")[0]).is_loopback else name


def _styled(text: str, style: str, colour: bool) -> str:
    return f"{style}{text}{_PLAIN}" if colour and style else text
