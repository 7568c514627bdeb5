"""This folder is a project of its own: tests/test_verbs.py runs its tests, under `channel-emu exec`."""

import os

collect_ignore = [] if "CHANNEL_EMULATOR_HOST" in os.environ else ["test_scores.py"]
