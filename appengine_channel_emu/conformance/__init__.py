"""A conformance run against any server of the Channel API: `channel-emu check`."""
