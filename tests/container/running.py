"""Runs an image as Docker would, by the kernel's own namespaces: processes, mounts and a network of its own.

The container's only way out is a pair of virtual interfaces to this machine, as Docker's bridge is: a request from here
comes from an address that is not loopback.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.container.recipe import Image
from tests.support import parts
from tests.support.waiting import LONG_ENOUGH, until

PORT = 8080

_containers = itertools.count()


def need_namespaces() -> None:
    """Skips the test where no root can be made or run: only root may, and not on every machine."""
    if os.geteuid() != 0:
        parts.lacking("only root can make and run the container's root")
    for name in ("mmdebstrap", "unshare", "nsenter", "setpriv", "ip"):
        if shutil.which(name) is None:
            parts.lacking(f"no {name} found: on Debian, apt install mmdebstrap util-linux iproute2")
    command = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "ip", "link", "set", "lo", "up"]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        parts.lacking("this machine lets nobody make namespaces for a container")


class Container:
    """`docker run` of an image. Use it as a context manager; what it writes goes to the file `log`.

    `mounts` are folders here by their path in it, read-only where that ends in `:ro`; a volume of the image's that is
    not among them is a copy, beside the log, of what the image has there. `arguments` replace the image's CMD. `user`
    is a uid, as of `docker run --user`.
    """

    def __init__(
        self,
        image: Image,
        log: Path,
        *,
        mounts: Mapping[str, Path],
        arguments: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        user: str = "",
    ) -> None:
        self._image = image
        self.log = log
        self._mounts = {**self._volumes(), **mounts}
        self._command = [*image.entrypoint, *(arguments or image.command)]
        self._environ = dict(environ or {})
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        number = (16 * os.getpid() + next(_containers)) % 16384
        self._interface = f"cemu{number}"
        net = f"198.18.{number // 64}.{number % 64 * 4}"
        stem, _, last = net.rpartition(".")
        self._here, self.address = f"{stem}.{int(last) + 1}", f"{stem}.{int(last) + 2}"
        self.url = f"http://{self.address}:{PORT}"

    def start(self) -> None:
        """Without a way in from here, for one that is to end by itself."""
        inside = self._image.inside(self._command, self._environ, self._user)
        script = "\n".join(["ip link set lo up", *self._image.mounting(self._mounts), f"exec {shlex.join(inside)}"])
        unshare = ["unshare", "--net", "--pid", "--mount", "--fork", "sh", "-ec", script]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(unshare, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def __enter__(self) -> Container:
        self.start()
        try:
            until(lambda: self._first is not None)
            self._connect()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._process is not None and self._process.poll() is None:
            # All that is in there ends with its first process.
            os.kill(self._first or self._process.pid, signal.SIGKILL)
            self._process.wait()
        # The kernel may keep it for minutes after its last process has ended. Not there if it could not be made.
        subprocess.run(["ip", "link", "delete", self._interface], capture_output=True, check=False)

    def exec(
        self, command: Sequence[str], environ: Mapping[str, str] | None = None, folder: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """`docker exec`."""
        inside = self._entering(command, environ, folder)
        return subprocess.run(inside, capture_output=True, text=True, timeout=LONG_ENOUGH, check=False)

    @contextlib.contextmanager
    def beside(self, command: Sequence[str], environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        """Another program in its network, as of a service with `network_mode: service:…`."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(self._entering(command, environ), stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def is_healthy(self) -> bool:
        """Whether the image's health check finds it so."""
        return self.exec(self._image.health).returncode == 0

    def wait_until_healthy(self) -> None:
        """Fails when it has ended instead."""
        until(lambda: self._process.poll() is not None or self.is_healthy())
        assert self._process.poll() is None, f"it has ended:\n{self.log.read_text()}"

    def processes(self) -> dict[int, tuple[int, str]]:
        """The user and the command line of each process in it, by its id there."""
        each = "stat -c '%n %u' $p; tr '\\0' ' ' <$p/cmdline; echo"
        listed = self.exec(["sh", "-c", f"for p in /proc/[0-9]*; do {each}; done"])
        lines = listed.stdout.splitlines()
        return {
            int(head.split()[0].rpartition("/")[2]): (int(head.split()[1]), command)
            for head, command in zip(lines[::2], lines[1::2], strict=True)
        }

    def stop(self) -> int:
        """`docker stop`, but that it waits for as long as it takes; the exit status."""
        os.kill(self._first, signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Until it has ended; the exit status."""
        return self._process.wait(LONG_ENOUGH)

    @property
    def _first(self) -> int | None:
        """The process that is number 1 in there."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0]) if children else None

    def _entering(self, command: Sequence[str], environ: Mapping[str, str] | None, folder: str = "") -> list[str]:
        inside = self._image.inside(command, {**self._environ, **(environ or {})}, self._user, folder)
        return ["nsenter", f"--target={self._first}", "--net", "--pid", "--mount", *inside]

    def _volumes(self) -> dict[str, Path]:
        made = {}
        for volume in self._image.volumes:
            source = self._image.root / volume.lstrip("/")
            made[volume] = Path(tempfile.mkdtemp(prefix="volume", dir=self.log.parent))
            found = source.stat()
            os.chown(made[volume], found.st_uid, found.st_gid)
            made[volume].chmod(found.st_mode)
        return made

    def _connect(self) -> None:
        first = str(self._first)

        def ip(*arguments: str, before: Sequence[str] = ()) -> None:
            done = subprocess.run([*before, "ip", *arguments], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{arguments}: {done.stderr}{self.log.read_text()}"

        ip("link", "add", self._interface, "type", "veth", "peer", "name", "eth0", "netns", first)
        ip("address", "add", f"{self._here}/30", "dev", self._interface)
        ip("link", "set", self._interface, "up")
        for arguments in (["address", "add", f"{self.address}/30", "dev", "eth0"], ["link", "set", "eth0", "up"]):
            ip(*arguments, before=["nsenter", f"--target={first}", "--net"])
