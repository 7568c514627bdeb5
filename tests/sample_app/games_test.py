"""The sample app's rules, as plain unittest: it runs under Python 2.7 and 3."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "sample_app"))

import games  # noqa: E402


class Clock(object):
    now = 1000.0

    def __call__(self):
        return self.now


class GameTest(unittest.TestCase):
    def setUp(self):
        self.clock = Clock()
        self.games = games.Games(self.clock)
        self.game = self.games.open(games.new_key())
        self.first, self.second, self.third = [self.join() for _ in range(3)]

    def join(self):
        visitor = self.game.join(games.new_secret(), self.clock.now)
        self.game.presence(visitor, True, self.clock.now)
        return visitor

    def play(self, *cells):
        for turn, cell in enumerate(cells):
            self.game.play((self.first, self.second)[turn % 2], cell, self.clock.now)

    def test_the_first_two_play_and_the_third_watches(self):
        self.assertEqual([self.first.mark, self.second.mark, self.third.mark], ["X", "O", None])
        self.assertRaises(games.NotAllowed, self.game.play, self.third, 0, 0)

    def test_a_win_is_seen(self):
        self.play(0, 3, 1, 4, 2)
        self.assertEqual((self.game.winner, self.game.line, self.game.over), ("X", [0, 1, 2], True))
        self.assertEqual(self.game.score, {"X": 1, "O": 0, "draw": 0})

    def test_a_draw_is_seen(self):
        self.play(4, 0, 2, 6, 3, 5, 1, 7, 8)
        self.assertEqual((self.game.winner, self.game.over), (None, True))

    def test_moves_against_the_rules_are_refused(self):
        self.play(0)
        for visitor, cell in ((self.first, 1), (self.second, 0), (self.second, 9), (self.second, -1)):
            self.assertRaises(games.NotAllowed, self.game.play, visitor, cell, 0)

    def test_the_loser_of_the_toss_opens_the_next_round(self):
        self.play(0, 3, 1, 4, 2)
        self.game.again(self.second, 0)
        self.assertEqual((self.game.turn, self.game.board), ("O", [None] * 9))

    def test_a_player_who_left_keeps_the_seat_for_a_minute(self):
        self.game.presence(self.first, False, self.clock.now)
        self.assertRaises(games.NotAllowed, self.game.sit, self.third, self.clock.now + 59)
        self.game.sit(self.third, self.clock.now + 60)
        self.assertEqual((self.first.mark, self.third.mark), (None, "X"))

    def test_what_others_see_holds_no_secret(self):
        state = repr(self.game.state())
        for visitor in (self.first, self.second, self.third):
            self.assertNotIn(visitor.secret, state)

    def test_chat_is_one_line_of_bounded_length(self):
        self.assertEqual(self.game.say(self.first, u" a\nb\0 c ", 0)["text"], u"a b c")
        self.assertEqual(len(self.game.say(self.first, u"x" * 9999, 0)["text"]), games.MAX_TEXT)
        self.assertRaises(games.NotAllowed, self.game.say, self.first, u" \n ", 0)

    def test_a_strangers_client_id_is_unknown(self):
        self.assertRaises(games.Unknown, self.games.find, self.game.key, games.new_secret())
        self.assertRaises(games.Unknown, self.games.find, "nothere", self.first.secret)
        self.assertRaises(games.Unknown, self.games.open, "../../etc")

    def test_old_games_are_forgotten(self):
        self.clock.now += games.FORGET_AFTER + 1
        self.games.open(games.new_key())
        self.assertEqual(len(self.games), 1)

    def test_the_number_of_games_is_bounded(self):
        for _ in range(games.MAX_GAMES + 50):
            self.clock.now += 1
            self.games.open(games.new_key())
        self.assertEqual(len(self.games), games.MAX_GAMES)

    def test_the_number_of_visitors_is_bounded(self):
        for _ in range(games.MAX_VISITORS - 3):
            self.join()
        self.assertRaises(games.Full, self.join)


if __name__ == "__main__":
    unittest.main()
