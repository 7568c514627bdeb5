"""A little app: it tells its visitors the score."""

from google.appengine.api import channel


def invite(name):
    """A token for `name`'s page."""
    return channel.create_channel(name)


def goal(names, score):
    """Tell everybody."""
    for name in names:
        channel.send_message(name, f"{score[0]}:{score[1]}")
