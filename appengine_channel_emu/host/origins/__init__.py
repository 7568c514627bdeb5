"""Where requests go: each kind of app is one origin, which `host.proxy.ProxyBackend` asks."""
