"""The tests of a container, and those that compose.yaml runs in one."""

collect_ignore = ["game"]
