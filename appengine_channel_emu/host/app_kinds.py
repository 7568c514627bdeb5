"""Which backend serves which kind of app."""

from __future__ import annotations

from appengine_channel_emu.host.app_checks import presence_hint
from appengine_channel_emu.host.app_yaml import AppConfig
from appengine_channel_emu.host.backend import ProxyBackend
from appengine_channel_emu.host.origins.dev_server import DevServerOrigin
from appengine_channel_emu.host.origins.dev_server_process import DevServerSpec
from appengine_channel_emu.host.origins.instance import AppSpec
from appengine_channel_emu.host.origins.instances import InstancesOrigin
from appengine_channel_emu.host.origins.upstream import UpstreamOrigin


def python3_backend(spec: AppSpec, deadline: float | None) -> ProxyBackend:
    """A Python 3 app, in instances of ours; `deadline` is in seconds, None for no limit."""
    return ProxyBackend(InstancesOrigin(spec, deadline), spec.address, deadline, timeout_page=spec.timeout_page)


def upstream_backend(url: str, address: str, deadline: float | None) -> ProxyBackend:
    """An app that runs at `url` already."""
    return ProxyBackend(UpstreamOrigin(url, address, deadline), address, deadline)


def sdk_backend(spec: DevServerSpec, config: AppConfig) -> ProxyBackend:
    """The legacy app of `config`, which the SDK's dev server runs as `spec` says."""
    return ProxyBackend(
        DevServerOrigin(spec),
        spec.address,
        spec.deadline,
        timeout_page=config.timeout_page,
        takes_presence=config.takes_presence,
        presence_hint=presence_hint(config),
    )
