"""Games as their players see them, with pages and presence: copy this for an app of your own."""


def test_a_move_reaches_both_pages(join):
    first, second = join(), join()
    first.do('/move', cell='4')
    for player in (first, second):
        assert player.state()['board'][4] == 'X'


def test_out_of_turn_is_refused_and_nobody_hears_of_it(join):
    first, second = join(), join()
    first.messages(), second.messages()
    second.do('/move', cell='4', status=409)
    assert first.messages() == second.messages() == []


def test_what_is_said_arrives_once_and_in_order(join):
    first, second = join(), join()
    second.messages()
    for word in ('one', 'two', 'three'):
        first.do('/say', text=word)
    assert [message['line']['text'] for message in second.messages()] == ['one', 'two', 'three']


def test_a_closed_page_is_seen_after_two_seconds_and_a_reload_is_not(join, channel_clock):
    first, second = join(), join()
    first.messages()
    second.page.close()
    channel_clock.advance(1.9)
    second = join(second.secret)
    channel_clock.advance(60)
    assert all(visitor['here'] for visitor in first.state()['visitors'])
    second.page.close()
    channel_clock.advance(2)
    assert [visitor['here'] for visitor in first.state()['visitors']] == [True, False]


def test_a_crashed_page_is_seen_after_seven_seconds(join, channel_clock):
    first, second = join(), join()
    second.page.vanish()
    channel_clock.advance(6.9)
    assert all(visitor['here'] for visitor in first.state()['visitors'])
    channel_clock.advance(0.1)
    assert not all(visitor['here'] for visitor in first.state()['visitors'])


def test_after_two_hours_a_page_joins_again_and_keeps_its_seat(join, channel_clock):
    first, second = join(), join()
    first.do('/move', cell='4')
    channel_clock.advance(2 * 60 * 60)
    assert first.page.error.description == second.page.error.description == 'Token+timed+out.'
    first, second = join(first.secret), join(second.secret)
    second.do('/move', cell='0')
    assert first.state()['board'][:5] == ['O', None, None, None, 'X']


def test_a_channel_of_somebody_else_changes_nothing(join, channel_client):
    player = join()
    player.messages()
    for stranger in ('somebody', '.', 'a.b.c'):
        channel_client(stranger)
    assert player.messages() == []
