"""The nginx of examples/cluster/nginx.conf, in front of nodes of this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.support import parts
from tests.support.waiting import LONG_ENOUGH
from tests.support.wire import free_port, wait_for_port

EXAMPLE = parts.ROOT / "examples" / "cluster" / "nginx.conf"

# One process, which writes below the folder of the test alone.
_AROUND = """
daemon off; master_process off; pid nginx.pid; error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
{servers}
}}
"""


class Balancer:
    """nginx in front of the nodes at `ports`, two of them, for visitors (`url`) and for the app (`for_app`).

    Without `upgrades` it lacks the two lines that WebSockets need. Use it as a context manager.
    """

    def __init__(self, ports: tuple[int, int], folder: Path, upgrades: bool = True) -> None:
        self._command = [str(parts.need(parts.nginx)), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
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
        (folder / "nginx.conf").write_text(_AROUND.format(servers=servers))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Balancer:
        self._process = subprocess.Popen(self._command)
        wait_for_port(self.port)
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(LONG_ENOUGH)
