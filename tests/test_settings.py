"""Settings: three sources and their precedence, and what each bad value is told."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import typing
from pathlib import Path

import pytest

from appengine_channel_emu.environment import child_environ
from appengine_channel_emu.settings import BadSetting, Settings, add_flags, described, load, redis_password
from appengine_channel_emu.settings.table import TABLE


def parse(arguments: list[str], environ: dict[str, str], folder: Path) -> Settings:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    return load(vars(parser.parse_args(arguments)), environ, folder)


def refusal(arguments: list[str], environ: dict[str, str], folder: Path) -> str:
    with pytest.raises(BadSetting) as caught:
        parse(arguments, environ, folder)
    return str(caught.value)


def test_without_any_source_every_setting_has_its_default(tmp_path: Path) -> None:
    assert parse([], {}, tmp_path) == Settings()


def test_defaults_are_those_that_the_documents_promise() -> None:
    settings = Settings()
    assert (settings.host, settings.port) == ("localhost", 8080)
    assert (settings.request_deadline, settings.resume_window, settings.disconnect_after) == (30, 60, 2)
    assert (settings.backlog, settings.backlog_bytes) == (1000, 8 * 1024 * 1024)
    assert settings.max_request_size == 32 * 1024 * 1024
    assert (settings.tabs, settings.presence, settings.presence_encoding) == ("fanout", "auto", "auto")
    assert not settings.allow_remote_admin
    assert not settings.trust_appengine_headers
    assert not settings.presence_from_visitors


def test_a_flag_beats_a_variable_beats_the_file(tmp_path: Path) -> None:
    (tmp_path / "channel-emu.yaml").write_text("port: 1\nbacklog: 2\ntabs: split\n")
    environ = {"CHANNEL_EMU_PORT": "11", "CHANNEL_EMU_BACKLOG": "12"}
    settings = parse(["--port", "21"], environ, tmp_path)
    assert (settings.port, settings.backlog, settings.tabs) == (21, 12, "split")


def test_a_switch_that_the_file_turns_on_can_be_turned_off_by_a_flag(tmp_path: Path) -> None:
    (tmp_path / "channel-emu.yaml").write_text("quiet: yes\n")
    assert parse([], {}, tmp_path).quiet is True
    assert parse(["--no-quiet"], {}, tmp_path).quiet is False


def test_repeatable_settings_take_several_values_from_each_source(tmp_path: Path) -> None:
    flags = ["--allow-host", "a.test", "--allow-host", "B.test"]
    assert parse(flags, {}, tmp_path).allow_host == ("a.test", "b.test")
    environ = {"CHANNEL_EMU_ALLOW_HOST": "a.test, b.test"}
    assert parse([], environ, tmp_path).allow_host == ("a.test", "b.test")
    (tmp_path / "channel-emu.yaml").write_text("allow-host: [a.test, b.test]\nallow-origin: http://C.test:80\n")
    assert parse([], {}, tmp_path).allow_host == ("a.test", "b.test")
    assert parse([], {}, tmp_path).allow_origin == ("http://c.test",)


def test_config_names_another_file_and_its_paths_start_there(tmp_path: Path) -> None:
    (tmp_path / "conf" / "app").mkdir(parents=True)
    (tmp_path / "conf" / "one.yaml").write_text("app-dir: app\n")
    by_flag = parse(["--config", "conf/one.yaml"], {}, tmp_path)
    by_variable = parse([], {"CHANNEL_EMU_CONFIG": "conf/one.yaml"}, tmp_path)
    assert by_flag.app_dir == by_variable.app_dir == tmp_path / "conf" / "app"


@pytest.mark.parametrize("written", ["off", "Off", "'off'"])
def test_off_in_yaml_turns_the_deadline_off(tmp_path: Path, written: str) -> None:
    (tmp_path / "channel-emu.yaml").write_text(f"request-deadline: {written}\n")
    assert parse([], {}, tmp_path).request_deadline is None


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("--port", "0", 0),
        ("--host", "[::1]", "::1"),
        ("--host", "MyBox.", "mybox"),
        ("--request-deadline", "0.5", 0.5),
        ("--request-deadline", "10", 10.0),
        ("--disconnect-after", "0", 0.0),
        ("--backlog-bytes", "1MiB", 1024 * 1024),
        ("--max-request-size", "1000", 1000),
        ("--trusted-proxy", "*", "*"),
        ("--state-dir", "none", "none"),
        ("--allow-origin", "http://[::1]:3000", ("http://[::1]:3000",)),
        ("--python", sys.executable, sys.executable),
        ("app", "main:app", "main:app"),
    ],
)
def test_values_are_read(tmp_path: Path, flag: str, value: str, expected: object) -> None:
    arguments = [flag, value] if flag.startswith("--") else [value]
    attribute = flag.removeprefix("--").replace("-", "_")
    assert getattr(parse(arguments, {}, tmp_path), attribute) == expected


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--port", "eighty", "--port: 'eighty' is not a whole number; give one from 0 to 65535"),
        ("--port", "65536", "--port: 65536 is out of range; give a whole number from 0 to 65535"),
        ("--port", "-1", "--port: -1 is out of range"),
        ("--port", "8_080", "--port: '8_080' is not a whole number"),
        ("--port", "", "--port: '' is not a whole number"),
        ("--host", "localhost:9000", "give the name alone, and the port with --port"),
        ("--host", "http://x/", "is not a host name"),
        ("--request-deadline", "0", "give a number of seconds above 0, such as 30 or 0.5, or off"),
        ("--request-deadline", "nan", "is not a number of seconds"),
        ("--request-deadline", "1e400", "is not a number of seconds"),
        ("--resume-window", "9" * 400, "is out of range"),
        ("--disconnect-after", "-1", "give a number of seconds of 0 or more"),
        ("--backlog", "0", "give a whole number of 1 or more"),
        ("--backlog-bytes", "8 parsecs", "give a number of bytes, or one such as 8MiB"),
        ("--backlog-bytes", "100", "give at least 32767 bytes"),
        ("--tabs", "both", "--tabs: 'both' is not one of fanout, split, single"),
        ("--trusted-proxy", "proxy.test", "is not an IP address"),
        ("--allow-origin", "localhost:3000", "give one such as http://localhost:3000"),
        ("--allow-origin", "http://a.test/page", "is not an origin"),
        ("--allow-origin", "http://a.test:port", "is not an origin"),
        ("--app-dir", "nowhere", "--app-dir: there is no folder 'nowhere'"),
        ("--python", "python9.9", "there is no program 'python9.9' here"),
        ("--config", "missing.yaml", "missing.yaml: cannot be read: No such file or directory"),
    ],
)
def test_bad_values_are_told_what_to_give(tmp_path: Path, flag: str, value: str, said: str) -> None:
    assert said in refusal([flag, value], {}, tmp_path)


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("prot: 80", "channel-emu.yaml, line 1: there is no setting 'prot'; did you mean port?"),
        ("\nresume_window: 9", "line 2: there is no setting 'resume_window'; did you mean resume-window?"),
        ("zzz: 1", "line 1: there is no setting 'zzz'"),
        ("port: 80\nport: 81", "line 2: port stands here a second time"),
        ("# first\nport: [80]", "line 2, port: must be a plain value"),
        ("allow-host: [[a]]", "line 1, allow-host: must be a list of plain values"),
        ("port:", "line 1, port: has no value; leave the line out to get the default"),
        ("port: eighty", "line 1, port: 'eighty' is not a whole number"),
        ("quiet: perhaps", "line 1, quiet: 'perhaps' is neither on nor off"),
        ("- port", "must be lines of 'setting: value'"),
        ("port: [", "channel-emu.yaml, line 1: is not YAML"),
        ("? [a]\n: 1", "there is no setting"),
        ("port: !!python/object/apply:os.system ['true']", "must be a plain value"),
    ],
)
def test_mistakes_in_the_file_are_named_with_their_line(tmp_path: Path, yaml: str, said: str) -> None:
    (tmp_path / "channel-emu.yaml").write_text(yaml)
    assert said in refusal([], {}, tmp_path)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "channel-emu.yaml").write_bytes(b"port: \xff")
    assert "is not UTF-8 text" in refusal([], {}, tmp_path)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "channel-emu.yaml").write_text("# nothing yet\n")
    assert parse([], {}, tmp_path) == Settings()


def test_an_unknown_variable_names_the_nearest_known_one(tmp_path: Path) -> None:
    said = refusal([], {"CHANNEL_EMU_PROT": "80"}, tmp_path)
    assert said == "environment: there is no setting CHANNEL_EMU_PROT; did you mean CHANNEL_EMU_PORT?"


def test_a_bad_variable_is_named(tmp_path: Path) -> None:
    assert refusal([], {"CHANNEL_EMU_PORT": "x"}, tmp_path).startswith("CHANNEL_EMU_PORT: 'x' is not")


def test_the_cache_variable_is_no_unknown_setting(tmp_path: Path) -> None:
    assert parse([], {"CHANNEL_EMU_CACHE": "/anywhere", "OTHER": "1"}, tmp_path) == Settings()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        # Compose files and CI give every variable that they know, with or without a value.
        ("CHANNEL_EMU_PORT", ""),
        ("CHANNEL_EMU_PORT", "  "),
        ("CHANNEL_EMU_CONFIG", ""),
        ("CHANNEL_EMU_QUIET", ""),
        ("CHANNEL_EMU_ALLOW_HOST", ""),
        ("CHANNEL_EMU_PROT", ""),
        # Kubernetes, for services named channel-emu and channel-emu-api.
        ("CHANNEL_EMU_SERVICE_HOST", "10.0.0.7"),
        ("CHANNEL_EMU_SERVICE_PORT", "8080"),
        ("CHANNEL_EMU_SERVICE_PORT_HTTP_ALT", "8080"),
        ("CHANNEL_EMU_PORT", "tcp://10.0.0.7:8080"),
        ("CHANNEL_EMU_PORT", "udp://[fd00::7]:8080"),
        ("CHANNEL_EMU_PORT_8080_TCP", "tcp://10.0.0.7:8080"),
        ("CHANNEL_EMU_PORT_8080_TCP_PROTO", "tcp"),
        ("CHANNEL_EMU_PORT_8080_TCP_PORT", "8080"),
        ("CHANNEL_EMU_PORT_8080_TCP_ADDR", "10.0.0.7"),
        ("CHANNEL_EMU_PORT_53_UDP_ADDR", "10.0.0.7"),
        ("CHANNEL_EMU_API_SERVICE_HOST", "10.0.0.8"),
        ("CHANNEL_EMU_API_PORT", "tcp://10.0.0.8:80"),
        ("CHANNEL_EMU_API_PORT_80_TCP_ADDR", "10.0.0.8"),
        # Docker, for a link of that name.
        ("CHANNEL_EMU_NAME", "/web/channel_emu"),
        ("CHANNEL_EMU_ENV_PATH", "/bin"),
    ],
)
def test_a_variable_without_a_value_or_of_an_orchestrator_is_passed_over(
    tmp_path: Path, variable: str, value: str
) -> None:
    (tmp_path / "channel-emu.yaml").write_text("port: 8085\n")
    assert parse([], {variable: value}, tmp_path) == Settings(port=8085)


def test_what_looks_like_an_orchestrators_but_is_not_is_refused(tmp_path: Path) -> None:
    assert "CHANNEL_EMU_SERVICE_HOTS" in refusal([], {"CHANNEL_EMU_SERVICE_HOTS": "x"}, tmp_path)
    assert "'tcp' is not" in refusal([], {"CHANNEL_EMU_PORT": "tcp"}, tmp_path)


def test_a_value_that_another_overrides_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "channel-emu.yaml").write_text("port: eighty\nbacklog: many\n")
    environ = {"CHANNEL_EMU_PORT": "ninety", "CHANNEL_EMU_BACKLOG": "5"}
    settings = parse(["--port", "21"], environ, tmp_path)
    assert (settings.port, settings.backlog) == (21, 5)
    # An unknown name helps nobody, whoever overrides it.
    (tmp_path / "channel-emu.yaml").write_text("prot: 80\n")
    assert "did you mean port?" in refusal(["--port", "21"], {}, tmp_path)


def test_without_a_home_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2_000_000_001)
    assert Settings(app="main:app").state_folder() is None
    assert parse(["--state-dir", "here"], {}, tmp_path).state_folder() == tmp_path / "here"
    assert "names the home folder of nobody here" in refusal(["--state-dir", "~/here"], {}, tmp_path)
    assert "names the home folder of nobody here" in refusal(["--config", "~/x.yaml"], {}, tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert Settings(app="main:app").state_folder() is not None


def test_every_default_has_the_type_that_is_declared() -> None:
    hints = typing.get_type_hints(Settings)
    for field in dataclasses.fields(Settings):
        hint = hints[field.name]
        allowed = typing.get_args(hint) or (hint,)
        value = field.default
        named = value in allowed or any(value in typing.get_args(part) for part in allowed)
        plain = tuple(part for part in allowed if isinstance(part, type))
        is_tuple = typing.get_origin(hint) is tuple and isinstance(value, tuple)
        assert named or is_tuple or isinstance(value, plain), field.name


def test_help_names_every_setting_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    text = " ".join(parser.format_help().split())
    for name in TABLE:
        assert name in text
    assert "(default: 8080)" in text
    assert "(default: 32MiB)" in text


def test_state_has_a_folder_for_each_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    one = Settings(app="main:app", app_dir=tmp_path).state_folder()
    assert one is not None
    assert one.parent == tmp_path / "state" / "channel-emu"
    assert one == Settings(app="main:app", app_dir=tmp_path, port=9).state_folder()
    assert one != Settings(app="main:other", app_dir=tmp_path).state_folder()
    assert one != Settings(app="main:app", app_dir=tmp_path.parent).state_folder()


def test_state_can_be_kept_elsewhere_or_not_at_all(tmp_path: Path) -> None:
    assert parse(["--state-dir", "here"], {}, tmp_path).state_folder() == tmp_path / "here"
    assert parse(["--state-dir", "none"], {}, tmp_path).state_folder() is None


def test_a_relative_xdg_state_home_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = Settings(app="main:app").state_folder()
    assert folder is not None
    assert folder.is_relative_to(tmp_path / ".local" / "state" / "channel-emu")


URLS = ["redis://localhost", "redis://anna@localhost:6379/3", "rediss://redis.example:6380", "unix:///run/redis.sock"]


@pytest.mark.parametrize("url", URLS)
def test_the_url_of_a_redis(tmp_path: Path, url: str) -> None:
    assert parse(["--redis", url], {}, tmp_path).redis == url


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "unix://", "redis://localhost/app", "redis://"])
def test_what_is_no_url_of_a_redis_is_told_what_one_is(tmp_path: Path, url: str) -> None:
    assert "redis://HOST" in refusal(["--redis", url], {}, tmp_path)


def test_a_password_in_the_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    text = refusal(["--redis", "redis://anna:geheim@localhost"], {}, tmp_path)
    assert "CHANNEL_EMU_REDIS_PASSWORD" in text
    assert "geheim" not in text


def test_what_does_not_go_with_a_redis(tmp_path: Path) -> None:
    url = ["--redis", "redis://localhost"]
    assert "give fanout or single" in refusal([*url, "--tabs", "split"], {}, tmp_path)
    for flag in ("--redis-name", "--node-name"):
        assert "only with --redis URL" in refusal([flag, "staging"], {}, tmp_path)


def test_the_password_is_in_a_file_or_a_variable(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("geheim \nmore")
    url = ["--redis", "redis://localhost"]
    by_file = parse([*url, "--redis-password-file", "secret"], {}, tmp_path)
    by_variable = parse(url, {"CHANNEL_EMU_REDIS_PASSWORD": "other"}, tmp_path)
    assert redis_password(by_file, {}) == "geheim "
    assert redis_password(by_variable, {"CHANNEL_EMU_REDIS_PASSWORD": "other"}) == "other"
    assert redis_password(by_variable, {}) is None
    assert "geheim" not in str(described(by_file))
    with pytest.raises(BadSetting, match="leave one of both out"):
        redis_password(by_file, {"CHANNEL_EMU_REDIS_PASSWORD": "other"})
    (tmp_path / "secret").write_text("")
    with pytest.raises(BadSetting, match="write the password there"):
        redis_password(by_file, {})


def test_the_password_is_given_on_to_nobody() -> None:
    assert "CHANNEL_EMU_REDIS_PASSWORD" not in child_environ({"CHANNEL_EMU_REDIS_PASSWORD": "geheim"})
