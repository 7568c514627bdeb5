"""nginx in front of the emulator, set up as docs/behind-a-proxy.md says."""

from __future__ import annotations

import re
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import parts
from tests.support.waiting import LONG_ENOUGH
from tests.support.wire import free_port, wait_for_port

if TYPE_CHECKING:
    from typing_extensions import Self

DOCUMENT = parts.ROOT / "docs" / "behind-a-proxy.md"
UPGRADE_LINES = ("proxy_set_header Upgrade $http_upgrade;", "proxy_set_header Connection $http_connection;")

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


class NginxProcess:
    """nginx with `servers`, which writes in `folder` alone. Use it as a context manager."""

    port: int

    def __init__(self, servers: str, folder: Path) -> None:
        self._command = [str(parts.need(parts.nginx)), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
        (folder / "nginx.conf").write_text(_AROUND.format(servers=servers))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command)
        wait_for_port(self.port)
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(LONG_ENOUGH)


class Nginx(NginxProcess):
    """The one of the document, on a free port, in front of `port` of this machine. Use it as a context manager.

    Without `upgrades` it lacks the two lines that WebSockets need. What it needs and writes is in `folder`.
    """

    def __init__(self, port: int, folder: Path, upgrades: bool = True) -> None:
        self.port = free_port()
        self.host = f"localhost:{self.port}"
        self.url = f"https://{self.host}"
        certificate, key = make_certificate(folder)
        server = _documented()
        for old, new in (
            ("listen 8443", f"listen 127.0.0.1:{self.port}"),
            ("http://127.0.0.1:8080", f"http://127.0.0.1:{port}"),
            ("/etc/ssl/dev.example.org.pem", str(certificate)),
            ("/etc/ssl/dev.example.org.key", str(key)),
            *([] if upgrades else [(line, "") for line in UPGRADE_LINES]),
        ):
            assert old in server, f"{DOCUMENT.name} has no {old!r}"
            server = server.replace(old, new)
        super().__init__(server, folder)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, signed by nobody, and its key, as files in `folder`."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = [str(parts.need(parts.openssl)), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=LONG_ENOUGH)
    return certificate, key


def trusting() -> ssl.SSLContext:
    """For clients that take any certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _documented() -> str:
    (block,) = re.findall(r"^```nginx\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return block
