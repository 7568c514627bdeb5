"""The broker on a Redis: any number of emulators are one service (behaviour.md 13).

Imported by whoever makes one, and by nothing else: it needs the extra `redis`.
"""
