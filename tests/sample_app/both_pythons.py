"""The sample app's rules and handlers, as plain unittest: test_sample_app.py runs it under Python 2.7 and 3."""

from __future__ import unicode_literals

import io
import json
import logging
import os
import sys
import types
import unittest

try:
    from urllib.parse import urlencode
except ImportError:  # Python 2.7
    from urllib import urlencode

SAMPLE_APP = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'sample_app')


class FakeChannel(types.ModuleType):
    """Stands where google.appengine.api.channel does, and keeps what it is given."""

    def __init__(self):
        types.ModuleType.__init__(self, str('channel'))
        self.sent = []

    def create_channel(self, client_id):
        return 'token-of-' + client_id

    def send_message(self, client_id, message):
        self.sent.append((client_id, json.loads(message)))


def import_sample_app(channel):
    """The sample app's modules, imported afresh on top of `channel`; sys.modules is left as it was."""
    google, appengine, api = [types.ModuleType(str(name)) for name in ('google', 'appengine', 'api')]
    api.channel = channel
    stand_ins = {
        'google': google, 'google.appengine': appengine, 'google.appengine.api': api,
        'google.appengine.api.channel': channel,
    }
    names = list(stand_ins) + ['main', 'games', 'miniweb', 'strategies']
    before = dict((name, sys.modules.pop(name)) for name in names if name in sys.modules)
    sys.modules.update(stand_ins)
    sys.path.insert(0, SAMPLE_APP)
    try:
        import games
        import main
        return main, games
    finally:
        sys.path.remove(SAMPLE_APP)
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(before)


class Case(unittest.TestCase):
    def setUp(self):
        self.channel = FakeChannel()
        self.main, self.games = import_sample_app(self.channel)
        self.now = 1000000.0
        self.main.all_games.now = self.main.strategies.source.now = lambda: self.now
        self.main.strategies.start_thread = lambda target: None

    def request(self, method, path, query='', body=b'', length=None):
        answer = {}

        def start_response(status, headers):
            for name, value in headers:
                self.assertIs(type(name), str)
                self.assertIs(type(value), str)
            answer.update(status=int(status.split()[0]), headers=dict(headers))

        environ = {
            'REQUEST_METHOD': method, 'PATH_INFO': path, 'QUERY_STRING': str(query),
            'CONTENT_LENGTH': str(len(body)) if length is None else length,
            'wsgi.input': io.BytesIO(body),
        }
        answer['body'] = b''.join(self.main.app(environ, start_response)).decode('utf-8')
        return answer

    def post(self, path, **fields):
        encoded = urlencode([(name, value.encode('utf-8')) for name, value in sorted(fields.items())])
        return self.request('POST', path, body=encoded.encode('ascii'))

    def join(self, game='abcdefgh', visitor=''):
        return json.loads(self.post('/join', game=game, visitor=visitor)['body'])

    def page(self, game='abcdefgh'):
        """The secret of a page that has joined and whose socket is open."""
        secret = self.join(game)['visitor']
        self.post('/opened', game=game, visitor=secret)
        del self.channel.sent[:]
        return secret

    def act(self, path, secret, **fields):
        return self.post(path, game='abcdefgh', visitor=secret, **fields)

    def state(self):
        return self.channel.sent[-1][1]['state']


class RulesTest(Case):
    def test_the_first_two_pages_play_and_the_third_watches(self):
        self.page(), self.page()
        third = self.page()
        self.assertEqual(self.act('/move', third, cell='0')['status'], 409)
        self.assertEqual(self.act('/rename', third, name='Eve')['status'], 200)
        self.assertEqual([v['mark'] for v in self.state()['visitors']], ['X', 'O', None])

    def test_a_row_wins_and_the_loser_cannot_go_on(self):
        x, o = self.page(), self.page()
        for secret, cell in ((x, '0'), (o, '3'), (x, '1'), (o, '4'), (x, '2')):
            self.assertEqual(self.act('/move', secret, cell=cell)['status'], 200)
        state = self.state()
        self.assertEqual((state['winner'], state['line'], state['over']), ('X', [0, 1, 2], True))
        self.assertEqual(state['score'], {'X': 1, 'O': 0, 'draw': 0})
        self.assertEqual(self.act('/move', o, cell='5')['status'], 409)

    def test_every_line_of_three_wins(self):
        for line in self.games.LINES:
            game = self.games.Game('abcdefgh', 0)
            x, o = game.join('x', 0), game.join('o', 0)
            others = [cell for cell in range(9) if cell not in line]
            for cell, answer in zip(line, others):
                game.play(x, cell, 0)
                if not game.over:
                    game.play(o, answer, 0)
            self.assertEqual((game.winner, game.line), ('X', list(line)))

    def test_a_full_board_without_a_line_is_a_draw(self):
        x, o = self.page(), self.page()
        for turn, cell in enumerate('012436587'):
            self.assertEqual(self.act('/move', (x, o)[turn % 2], cell=cell)['status'], 200)
        state = self.state()
        self.assertEqual((state['winner'], state['over'], state['score']['draw']), (None, True, 1))

    def test_out_of_turn_taken_and_impossible_cells_are_refused(self):
        x, o = self.page(), self.page()
        self.assertIn('not your turn', self.act('/move', o, cell='0')['body'])
        self.act('/move', x, cell='0')
        for cell in ('0', '9', '-1', '', 'x', '\u0661', '00'):
            self.assertEqual(self.act('/move', o, cell=cell)['status'], 409, cell)

    def test_the_next_round_is_opened_by_the_other_player(self):
        x, o = self.page(), self.page()
        self.assertEqual(self.act('/again', x)['status'], 409)
        for secret, cell in ((x, '0'), (o, '3'), (x, '1'), (o, '4'), (x, '2')):
            self.act('/move', secret, cell=cell)
        self.assertEqual(self.act('/again', o)['status'], 200)
        self.assertEqual((self.state()['turn'], self.state()['board']), ('O', [None] * 9))

    def test_a_seat_can_be_taken_a_minute_after_its_player_left(self):
        x, _, guest = self.page(), self.page(), self.page()
        self.post('/_ah/channel/disconnected/', **{'from': 'abcdefgh.' + x})
        self.now += 59
        self.assertEqual(self.act('/sit', guest)['status'], 409)
        self.now += 2
        self.assertEqual(self.act('/sit', guest)['status'], 200)
        marks = dict((v['number'], v['mark']) for v in self.state()['visitors'])
        self.assertEqual(marks, {2: 'O', 3: 'X'})

    def test_a_player_who_reloads_keeps_the_seat(self):
        x = self.page()
        self.page()
        again = self.join(visitor=x)
        self.assertEqual((again['visitor'], again['number']), (x, 1))


class ChannelsTest(Case):
    def test_a_page_gets_a_token_for_a_channel_of_its_own(self):
        one, two = self.join(), self.join()
        self.assertNotEqual(one['token'], two['token'])
        self.assertEqual(one['token'], 'token-of-abcdefgh.' + one['visitor'])

    def test_a_move_is_pushed_to_every_page_of_the_game_and_no_other(self):
        pages = [self.page(), self.page(), self.page()]
        self.page('zzzzzzzz')
        self.act('/move', pages[0], cell='4')
        receivers = [client_id for client_id, message in self.channel.sent]
        self.assertEqual(sorted(receivers), sorted('abcdefgh.' + secret for secret in pages))

    def test_what_is_pushed_holds_no_secret(self):
        x = self.page()
        self.page()
        self.act('/move', x, cell='4')
        self.act('/say', x, text='hello')
        self.assertNotIn(x, json.dumps([message for _, message in self.channel.sent]))

    def test_chat_is_pushed_as_it_was_written(self):
        x = self.page()
        text = '<b>"\u05e9\u05dc\u05d5\u05dd" & \u20ac\U0001f600</b>'
        self.act('/say', x, text=text)
        self.assertEqual(self.channel.sent[-1][1]['line']['text'], text)

    def test_chat_and_names_are_bounded(self):
        x = self.page()
        self.assertEqual(self.act('/say', x, text=' \n ')['status'], 409)
        self.act('/say', x, text='a\r\n\0b' + 'c' * 9999)
        text = self.channel.sent[-1][1]['line']['text']
        self.assertTrue(text.startswith('a bc'))
        self.assertEqual(len(text), 500)
        self.act('/rename', x, name='n' * 999)
        self.assertEqual(len(self.state()['visitors'][0]['name']), 24)
        for number in range(60):
            self.act('/say', x, text=str(number))
        chat = json.loads(self.act('/opened', x)['body'])['chat']
        self.assertEqual((len(chat), chat[-1]['text']), (50, '59'))

    def test_a_page_gets_what_was_said_while_it_connected(self):
        x = self.page()
        late = self.join()['visitor']
        self.act('/say', x, text='hello')
        answer = json.loads(self.act('/opened', late)['body'])
        self.assertEqual([line['text'] for line in answer['chat']], ['hello'])


class PresenceTest(Case):
    def test_who_is_here_follows_presence(self):
        x, o = self.page(), self.page()
        self.post('/_ah/channel/disconnected/', **{'from': 'abcdefgh.' + o})
        self.assertEqual([v['here'] for v in self.state()['visitors']], [True, False])
        self.assertEqual([client_id for client_id, _ in self.channel.sent], ['abcdefgh.' + x])
        self.post('/_ah/channel/connected/', **{'from': 'abcdefgh.' + o})
        self.assertEqual([v['here'] for v in self.state()['visitors']], [True, True])

    def test_no_news_is_not_pushed(self):
        x = self.page()
        self.post('/_ah/channel/connected/', **{'from': 'abcdefgh.' + x})
        self.assertEqual(self.channel.sent, [])

    def test_client_ids_that_our_pages_did_not_create_are_ignored(self):
        self.page()
        for stranger in ('', 'x', 'abcdefgh', 'abcdefgh.', 'abcdefgh.' + '0' * 32, 'zzzzzzzz.x', '\u05e9@/:&'):
            for path in ('/_ah/channel/connected/', '/_ah/channel/disconnected/'):
                self.assertEqual(self.post(path, **{'from': stranger})['status'], 200)
        self.assertEqual(self.channel.sent, [])
        self.assertEqual(len(self.main.all_games), 1)


class MemoryTest(Case):
    def test_old_games_are_forgotten(self):
        self.page()
        self.now += 6 * 60 * 60 + 1
        self.page('zzzzzzzz')
        self.assertEqual(len(self.main.all_games), 1)

    def test_the_number_of_games_is_bounded(self):
        self.games.MAX_GAMES = 5
        last = self.page()
        for letter in 'cdefghij':
            self.now += 1
            self.page(letter * 8)
        self.assertEqual(len(self.main.all_games), 5)
        self.assertEqual(self.act('/move', last, cell='0')['status'], 410)

    def test_the_number_of_visitors_is_bounded(self):
        for _ in range(30):
            self.page()
        self.assertEqual(self.post('/join', game='abcdefgh')['status'], 503)

    def test_guests_who_left_make_room(self):
        for _ in range(40):
            self.join()
        self.assertEqual(len(self.main.all_games.open('abcdefgh').visitors), 30)

    def test_after_a_restart_a_page_joins_with_its_old_name(self):
        old = 'f' * 32
        self.assertEqual(self.act('/move', old, cell='0')['status'], 410)
        self.assertEqual(self.join(visitor=old)['visitor'], old)


class WebTest(Case):
    def test_the_front_page_leads_to_a_new_game(self):
        one, two = self.request('GET', '/'), self.request('GET', '/')
        self.assertEqual(one['status'], 302)
        self.assertNotEqual(one['headers']['Location'], two['headers']['Location'])
        path, _, query = one['headers']['Location'].partition('?')
        page = self.request('GET', path, query)
        self.assertEqual(page['status'], 200)
        self.assertIn('/_ah/channel/jsapi', page['body'])

    def test_a_key_that_is_no_key_is_not_echoed(self):
        answer = self.request('GET', '/', 'game=%22%3E%3Cscript%3E')
        self.assertEqual(answer['status'], 302)
        self.assertNotIn('script', answer['headers']['Location'])

    def test_static_files(self):
        for path, kind in (('/static/game.css', 'text/css'), ('/static/game.js', 'text/javascript')):
            answer = self.request('GET', path)
            self.assertEqual(answer['status'], 200)
            self.assertTrue(answer['headers']['Content-Type'].startswith(kind))
        self.assertEqual(self.request('GET', '/static/../main.py')['status'], 404)

    def test_head_has_no_body(self):
        answer = self.request('HEAD', '/static/game.js')
        self.assertEqual((answer['status'], answer['body']), (200, ''))
        self.assertNotEqual(answer['headers']['Content-Length'], '0')

    def test_what_cannot_be_served_is_refused(self):
        self.assertEqual(self.request('GET', '/nowhere')['status'], 404)
        self.assertEqual(self.request('GET', '/move')['status'], 405)
        self.assertEqual(self.request('DELETE', '/')['status'], 405)
        self.assertEqual(self.request('POST', '/join', length='many')['status'], 400)
        self.assertEqual(self.request('POST', '/join', length='99999999')['status'], 413)
        self.assertEqual(self.post('/join', game='no key')['status'], 410)
        self.assertEqual(self.request('POST', '/join', body=b'game=\xff%ff')['status'], 410)


class StrategiesTest(Case):
    def setUp(self):
        Case.setUp(self)
        self.source = self.main.strategies.source

    def watch(self, ways='xhr short'):
        """A page that waits in these ways; its feed."""
        feed = json.loads(self.post('/strategies/join')['body'])['feed']
        self.assertEqual(self.post('/strategies/watch', feed=feed, ways=ways)['status'], 200)
        return feed

    def ask(self, feed, after='0', path='poll'):
        answer = self.request('GET', '/strategies/' + path, urlencode([('feed', feed), ('after', after)]))
        return answer['status'] if answer['status'] != 200 else json.loads(answer['body'])['news']

    def test_news_comes_in_every_way(self):
        feed = self.watch()
        self.source.publish()
        moment = int(self.now * 1000)
        self.assertEqual(self.ask(feed), [moment])
        self.assertEqual(self.ask(feed, path='hold'), [moment])
        self.assertEqual(
            sorted(client_id for client_id, _ in self.channel.sent),
            ['news.%s.%s' % (feed, way) for way in ('short', 'xhr')],
        )
        self.assertEqual([message for _, message in self.channel.sent], [{'news': moment, 'sent': moment}] * 2)

    def test_no_two_pieces_of_news_are_one(self):
        feed = self.watch()
        self.source.publish()
        self.source.publish()
        first, second = self.ask(feed)
        self.assertEqual(second, first + 1)
        self.assertEqual(self.ask(feed, str(first)), [second])

    def test_each_way_is_sent_to_first_in_its_turn(self):
        self.watch()
        self.source.publish()
        self.source.publish()
        self.assertEqual(
            [client_id.split('.')[-1] for client_id, _ in self.channel.sent], ['short', 'xhr', 'xhr', 'short']
        )

    def test_a_channel_that_fails_does_not_end_the_news(self):
        feed = self.watch()
        self.channel.send_message = None
        logging.disable(logging.CRITICAL)
        self.source.publish()
        logging.disable(logging.NOTSET)
        self.assertEqual(len(self.ask(feed)), 1)

    def test_a_page_comes_and_the_series_begins_anew(self):
        self.watch()
        for _ in range(8):
            self.source.publish()
        self.assertGreaterEqual(self.source.due, self.now + 40)
        self.watch()
        self.assertEqual(self.source.due, self.now + 1)

    def test_a_page_that_no_longer_asks_is_forgotten(self):
        stays, leaves = self.watch(), self.watch()
        self.now += 10
        self.ask(stays)
        self.now += 10
        self.watch()
        self.source.publish()
        self.assertEqual((self.ask(leaves), len(self.ask(stays))), (410, 1))
        self.assertFalse([client_id for client_id, _ in self.channel.sent if leaves in client_id])

    def test_pages_and_news_are_bounded(self):
        for _ in range(99):
            self.watch()
        last = self.watch()
        self.assertEqual(self.post('/strategies/watch', feed='f' * 32, ways='xhr')['status'], 503)
        self.assertEqual(self.post('/strategies/watch', feed=last, ways='xhr xhr xhr')['status'], 200)
        for _ in range(60):
            self.source.publish()
        self.assertEqual(len(self.ask(last)), 50)
        self.assertEqual(len([client_id for client_id, _ in self.channel.sent if last in client_id]), 60)

    def test_what_is_no_feed_no_way_and_no_moment_is_refused(self):
        feed = self.watch()
        self.assertEqual([self.ask('f' * 32), self.ask('x')], [410, 400])
        self.assertEqual([self.ask(feed, after) for after in ('', '-1', 'x', '9' * 16)], [400] * 4)
        for ways in ('pigeon', 'xhr pigeon', '../../x'):
            self.assertEqual(self.post('/strategies/watch', feed=feed, ways=ways)['status'], 400)
            self.assertEqual(self.post('/strategies/token', feed=feed, way=ways)['status'], 400)
        token = json.loads(self.post('/strategies/token', feed=feed, way='iframe')['body'])['token']
        self.assertEqual(token, 'token-of-news.%s.iframe' % feed)


if __name__ == '__main__':
    unittest.main()
