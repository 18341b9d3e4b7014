from tests.lumen.cli.conftest import Lumen


def test_the_first_manager_is_the_owner(lumen: Lumen):
    lumen.json('client', 'create', 'bot')
    first = lumen.json('manager', 'add', 'BOT', 'Max@Example.org')
    assert first['owner'] is True
    assert first['email'] == 'Max@Example.org'
    assert lumen.json('manager', 'add', 'bot', 'uma@example.org')['owner'] is False


def test_nobody_is_added_twice(lumen: Lumen):
    lumen.json('client', 'create', 'bot')
    lumen.json('manager', 'add', 'bot', 'max@example.org')
    assert lumen.refusal('manager', 'add', 'bot', 'MAX@example.org')['code'] == 'already_manager'


def test_a_manager_is_removed_by_address(lumen: Lumen):
    lumen.json('client', 'create', 'bot')
    lumen.json('manager', 'add', 'bot', 'max@example.org')
    assert lumen('manager', 'remove', 'Bot', 'MAX@example.org').exit_code == 0
    assert lumen.refusal('manager', 'remove', 'bot', 'max@example.org')['code'] == 'manager_not_found'


def test_a_manager_is_named_by_their_own_address_however_it_was_typed(lumen: Lumen):
    lumen.json('client', 'create', 'bot')
    added = lumen.json('manager', 'add', 'bot', 'max@example.org')
    assert lumen.json('manager', 'add', 'bot', 'uma@example.org')['email'] == 'uma@example.org'
    told = {'client_id': added['client_id'], 'user_id': added['user_id'], 'email': 'max@example.org'}
    assert lumen.json('manager', 'owner', 'bot', ' MAX@example.org') == told
    assert lumen('manager', 'owner', 'bot', 'UMA@example.org').stdout == 'uma@example.org now owns "bot".\n'
    assert lumen.json('manager', 'remove', 'bot', 'Max@Example.org') == told
    assert lumen('manager', 'remove', 'bot', 'UMA@example.org').stdout == 'uma@example.org no longer manages "bot".\n'


def test_what_is_no_address_or_nobody_is_refused(lumen: Lumen):
    lumen.json('client', 'create', 'bot')
    assert lumen.refusal('manager', 'add', 'bot', 'max')['param'] == 'email'
    assert lumen.refusal('manager', 'remove', 'bot', 'max@example.org')['code'] == 'user_not_found'
    assert lumen.refusal('manager', 'add', 'nobody', 'max@example.org')['code'] == 'client_not_found'


def test_a_client_is_handed_over_and_its_managers_are_listed(lumen: Lumen):
    lumen.json('client', 'create', 'bot')
    assert lumen('manager', 'list', 'bot').stdout == 'Nobody manages "bot".\n'
    assert lumen.json('manager', 'add', 'bot', 'max@example.org', '--no-owner')['owner'] is False
    assert lumen.json('manager', 'add', 'bot', 'uma@example.org', '--owner')['owner'] is True
    lumen.json('manager', 'owner', 'bot', 'MAX@example.org')
    assert [(row['email'], row['owner']) for row in lumen.json('manager', 'list', 'BOT')] == [
        ('max@example.org', True),
        ('uma@example.org', False),
    ]
    assert lumen('manager', 'list', 'bot').stdout.splitlines()[0] == 'max@example.org  max (owner)'
    assert lumen.refusal('manager', 'owner', 'bot', 'nobody@example.org')['code'] == 'user_not_found'
