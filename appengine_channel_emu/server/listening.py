"""Listening: the sockets of a port, and who has it where it cannot be had."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path

LOCALHOST = "localhost"
_ATTEMPTS = 20


class CannotListen(Exception):
    """The port cannot be had; the text says who has it and what to do."""


def listen(host: str, port: int, flag: str = "--port") -> list[socket.socket]:
    """Bound stream sockets for `host`: for `localhost` 127.0.0.1 and, where it exists, ::1, on the same port.

    A browser may try either first; were one left to another server, pages would reach that one. Port 0 takes a
    free port. Raises `CannotListen`, which names `flag` as the cure.
    """
    if host != LOCALHOST:
        return [_bind(_resolve(host, port), port, flag)]
    for attempt in range(_ATTEMPTS):
        first = _bind((socket.AF_INET, ("127.0.0.1", port)), port, flag)
        bound = first.getsockname()[1]
        try:
            return [first, _bind((socket.AF_INET6, ("::1", bound)), bound, flag)]
        except _NoSuchAddress:
            return [first]
        except CannotListen:
            first.close()
            if port or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


class _NoSuchAddress(CannotListen):
    pass


def _resolve(host: str, port: int) -> tuple[int, tuple[object, ...]]:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise CannotListen(f"{host!r} is no address of this machine ({error}).") from None
    return family, tuple(address)


def _bind(target: tuple[int, tuple[object, ...]], port: int, flag: str) -> socket.socket:
    family, address = target
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _NoSuchAddress(f"This machine has no such address: {error}.") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        # Listening at once, so that two emulators started together cannot both believe they have the port.
        sock.listen(1024)
    except OSError as error:
        sock.close()
        raise _refusal(error, str(address[0]), port, flag) from None
    return sock


def _refusal(error: OSError, address: str, port: int, flag: str) -> CannotListen:
    if error.errno == errno.EADDRNOTAVAIL:
        return _NoSuchAddress(f"{address} is no address of this machine.")
    if error.errno == errno.EADDRINUSE:
        holder = _holder(address, port)
        return CannotListen(
            f"Port {port} on {address} is in use{f' by {holder}' if holder else ''}. "
            f"Stop that program, or choose another port with {flag} (0 takes a free one)."
        )
    if error.errno == errno.EACCES:
        return CannotListen(f"Port {port} is only for administrators; choose one from 1024 on with {flag}.")
    return CannotListen(f"Cannot listen on {address} port {port}: {error.strerror}.")


def _holder(address: str, port: int) -> str:
    """The name and process id of the program that listens on `address` and `port`, where Linux tells."""
    wanted = {f"{_in_table(each)}:{port:04X}" for each in (address, "0.0.0.0", "::")}
    inodes = {
        fields[9]
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for fields in _rows(Path(table))
        if fields[3] == "0A" and fields[1] in wanted
    }
    for link in Path("/proc").glob("[0-9]*/fd/*") if inodes else ():
        try:
            target = os.readlink(link)
            if target.startswith("socket:[") and target[8:-1] in inodes:
                process = link.parent.parent
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
        except OSError:
            continue
    return ""


def _in_table(address: str) -> str:
    """`address` as those tables have it: words of four bytes, each in the machine's order."""
    packed = socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address.partition("%")[0])
    words = [packed[at : at + 4] for at in range(0, len(packed), 4)]
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


def _rows(table: Path) -> list[list[str]]:
    try:
        return [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:
        return []
