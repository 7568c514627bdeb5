"""Run with: channel-emu exec -- pytest"""

import os

import scores

from appengine_channel_emu.testing import ChannelClient

EMULATOR = "http://" + os.environ["CHANNEL_EMULATOR_HOST"]


def test_everybody_hears_of_a_goal():
    with ChannelClient(EMULATOR, scores.invite("ann")) as ann, ChannelClient(EMULATOR, scores.invite("bob")) as bob:
        scores.goal(["ann", "bob", "nobody"], (1, 0))
        assert ann.receive() == bob.receive() == os.environ.get("EXPECTED_SCORE", "1:0")
