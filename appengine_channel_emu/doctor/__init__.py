"""``channel-emu doctor``: what this machine has, and every use of the Channel API in an app. It runs nothing of it."""
