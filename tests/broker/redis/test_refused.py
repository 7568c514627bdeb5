"""A Redis that cannot be used is refused at the start, with what is wrong and what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from appengine_channel_emu.broker.redis.calls import RedisRefused
from appengine_channel_emu.broker.redis.handshake import check_info
from appengine_channel_emu.broker.redis.target import BadRedisTarget, RedisTarget
from tests.broker.redis.service import TestNode
from tests.support import parts

PASSWORD = "a secret that nobody reads"


def refusal(target: RedisTarget) -> str:
    with pytest.raises(RedisRefused) as refused:
        TestNode(target, "app", "A")
    return str(refused.value)


def test_a_schema_of_another_version_is_left_as_it_is(shared_redis, node):
    made = node("A")
    client, prefix = shared_redis.client(), made.broker.node.key
    made.create("ann")
    client.set(f"{prefix}schema", "99")
    keys = sorted(client.scan_iter(f"{prefix}*"))
    with pytest.raises(RedisRefused) as refused:
        node("B")
    assert "schema 99" in str(refused.value)
    assert "schema 1" in str(refused.value)
    assert "--redis-name" in str(refused.value)
    assert sorted(client.scan_iter(f"{prefix}*")) == keys
    client.set(f"{prefix}schema", "1")


def test_a_redis_that_evicts(own_redis):
    redis = own_redis("--maxmemory-policy", "allkeys-lru")
    text = refusal(redis.target)
    assert "allkeys-lru" in text
    assert "noeviction" in text


def test_a_wrong_password_and_none(own_redis):
    redis = own_redis(password=PASSWORD)
    wrong = refusal(RedisTarget(path=str(redis.path), password="wrong" + PASSWORD))
    assert "password was refused" in wrong
    assert "--redis-password-file" in wrong
    assert PASSWORD not in wrong
    assert "wants a password" in refusal(RedisTarget(path=str(redis.path)))
    node = TestNode(redis.target, "app", "A")
    node.open(node.create("ann"))
    node.broker.stop()


def test_a_replica(own_redis):
    redis = own_redis()
    redis.client().replicaof("127.0.0.1", "9")
    assert "replica" in refusal(redis.target)


def test_nobody_there(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        TestNode(RedisTarget(path=str(tmp_path / "none")), "app", "A")


@pytest.mark.parametrize(
    ("was", "would_be", "said"),
    [
        ("redis_version:7", "redis_version:6", "version 6"),
        ("redis_mode:standalone", "redis_mode:cluster", "Cluster"),
    ],
)
def test_what_a_redis_says_of_itself(shared_redis, was, would_be, said):
    """What this machine has no Redis for: what ours says, but for one word."""
    info = shared_redis.client().execute_command("INFO", "everything")
    text = "\r\n".join(f"{name}:{value}" for name, value in info.items())
    assert check_info(text, shared_redis.target)[0] == info["run_id"]
    assert was in text
    with pytest.raises(RedisRefused, match=said):
        check_info(text.replace(was, would_be), shared_redis.target)


def test_tls(own_redis, tmp_path, free_port):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command = [parts.need(parts.openssl), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *subject]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    files = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-auth-clients", "no"]
    own_redis("--tls-port", str(free_port), "--bind", "127.0.0.1", *map(str, files), password=PASSWORD)
    url = f"rediss://localhost:{free_port}/2"
    with pytest.raises(OSError, match=r"(?i)certificate"):
        TestNode(RedisTarget.parse(url, PASSWORD), "app", "A")
    node = TestNode(RedisTarget.parse(url, PASSWORD, str(certificate)), "app", "A")
    socket = node.open(node.create("ann"))
    for _ in range(3):
        node.send("ann", "x" * 30_000)
    assert [len(text) for text in node.read(socket, 0)] == [30_000] * 3
    node.broker.stop()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://redis.example", "redis://redis.example:6379"),
        ("redis://redis.example:7000/3", "redis://redis.example:7000/3"),
        ("rediss://app@[::1]:7000", "rediss://[::1]:7000"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2"),
    ],
)
def test_a_target_is_shown_without_its_password(url, shown):
    target = RedisTarget.parse(url, PASSWORD)
    assert str(target) == shown
    assert PASSWORD not in repr(target) + str(target)
    assert target.password == PASSWORD


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"redis://:{PASSWORD.replace(' ', '')}@redis.example", "does not belong in the URL"),
        ("redis.example:6379", "not the URL"),
        ("http://redis.example", "not the URL"),
        ("redis://redis.example/three", "number"),
        ("redis://redis.example:port", "not the URL"),
        ("unix://run/redis.sock", "three slashes"),
    ],
)
def test_a_url_that_names_no_redis(url, said):
    with pytest.raises(BadRedisTarget, match=said) as bad:
        RedisTarget.parse(url)
    assert PASSWORD.replace(" ", "") not in str(bad.value)


def test_without_redis_nothing_of_it_is_imported():
    """The server without `--redis` needs no further library, and starts no slower."""
    code = (
        "import sys, appengine_channel_emu.server.service;"
        "print([name for name in sys.modules if name.split('.')[0] in ('redis', 'hiredis') or '.redis' in name])"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
