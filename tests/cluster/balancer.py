"""The nginx of examples/cluster/nginx.conf, in front of nodes of this machine."""

from __future__ import annotations

from pathlib import Path

from tests.support import parts
from tests.support.nginx import NginxProcess
from tests.support.wire import free_port

EXAMPLE = parts.ROOT / "examples" / "cluster" / "nginx.conf"


class Balancer(NginxProcess):
    """nginx in front of the nodes at `ports`, two of them, for visitors (`url`) and for the app (`for_app`).

    Without `upgrades` it lacks the two lines that WebSockets need. Use it as a context manager.
    """

    def __init__(self, ports: tuple[int, int], folder: Path, upgrades: bool = True) -> None:
        self.port, app_port = free_port(), free_port()
        self.url = f"http://localhost:{self.port}"
        self.for_app = f"127.0.0.1:{app_port}"
        servers = EXAMPLE.read_text("utf-8")
        for old, new in (
            ("emulator-a:8080", f"127.0.0.1:{ports[0]}"),
            ("emulator-b:8080", f"127.0.0.1:{ports[1]}"),
            ("listen 8080;", f"listen 127.0.0.1:{self.port};"),
            ("listen 8090;", f"listen {self.for_app};"),
            *([] if upgrades else [("proxy_set_header Upgrade $http_upgrade;", "")]),
        ):
            assert old in servers, old
            servers = servers.replace(old, new)
        super().__init__(servers, folder)
