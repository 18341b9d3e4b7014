from tests.lumen.cli.conftest import Lumen

FIELDS = ['id', 'name', 'active', 'requests', 'input_tokens', 'output_tokens', 'coins_spent', 'balance']


def test_a_new_client_has_what_the_configuration_gives_it(lumen: Lumen):
    created = lumen.json('client', 'create', 'Research Bot')
    assert list(created) == FIELDS
    assert created == lumen.json('client', 'show', 'Research Bot')
    assert created | {'id': 0} == {
        'id': 0,
        'name': 'Research Bot',
        'active': True,
        'requests': 0,
        'input_tokens': 0,
        'output_tokens': 0,
        'coins_spent': '0.000000000',
        'balance': '7.500000000',
    }


def test_an_unlimited_client_has_no_balance(lumen: Lumen):
    assert lumen.json('client', 'create', 'boundless')['balance'] is None
    assert 'unlimited' in lumen('client', 'show', 'boundless').stdout


def test_names_are_found_regardless_of_case(lumen: Lumen):
    created = lumen.json('client', 'create', 'Research-Bot')
    assert lumen.json('client', 'show', 'rEsEaRcH-bOt') == created


def test_a_name_is_taken_regardless_of_case(lumen: Lumen):
    lumen.json('client', 'create', 'bot')
    refusal = lumen.refusal('client', 'create', 'BOT')
    assert refusal == {'message': 'There is already a client named "bot".', 'code': 'name_taken', 'param': 'name'}


def test_a_bad_name_is_refused_with_the_reason(lumen: Lumen):
    assert lumen.refusal('client', 'create', 'default')['param'] == 'name'
    result = lumen('client', 'create', 'a/b')
    assert result.exit_code == 1
    assert result.stdout == ''
    assert 'A name consists of letters' in result.stderr


def test_clients_are_listed_by_name(lumen: Lumen):
    assert lumen.json('client', 'list') == []
    assert 'no clients yet' in lumen('client', 'list').stdout
    made = [lumen.json('client', 'create', name) for name in ('pear', 'Apple', 'fig')]
    assert lumen.json('client', 'list') == [made[1], made[2], made[0]]
    lines = lumen('client', 'list').stdout.splitlines()
    assert [line.split()[0] for line in lines] == ['Name', 'Apple', 'fig', 'pear']


def test_a_client_is_deactivated_and_activated(lumen: Lumen):
    lumen.json('client', 'create', 'bot')
    assert lumen.json('client', 'deactivate', 'BOT')['active'] is False
    assert lumen.json('client', 'show', 'bot')['active'] is False
    assert lumen('client', 'activate', 'bot').stdout == 'Client "bot" active.\n'
    assert lumen.json('client', 'show', 'bot')['active'] is True


def test_a_client_that_does_not_exist_is_an_error(lumen: Lumen):
    for verb in ('show', 'activate', 'deactivate'):
        assert lumen.refusal('client', verb, 'nobody')['code'] == 'client_not_found'


def test_called_wrongly_is_exit_code_2(lumen: Lumen):
    assert lumen('client', 'show').exit_code == 2
    assert lumen('client', 'eat', 'bot').exit_code == 2
    assert lumen('client', 'show', '--json').exit_code == 2


def test_a_client_is_renamed_and_keeps_what_it_has(lumen: Lumen):
    made = lumen.json('client', 'create', 'bot')
    assert lumen.json('client', 'rename', 'BOT', 'Robot') == made | {'name': 'Robot'}
    assert lumen.refusal('client', 'show', 'bot')['code'] == 'client_not_found'
    lumen.json('client', 'create', 'other')
    assert lumen.refusal('client', 'rename', 'other', 'ROBOT')['code'] == 'name_taken'
    assert lumen.refusal('client', 'rename', 'other', 'default')['param'] == 'name'


def test_a_models_message_is_accepted_for_a_client(lumen: Lumen):
    lumen.json('client', 'create', 'bot')
    refused = lumen('client', 'acknowledge', 'bot', 'careful')  # nobody answers the question
    assert refused.exit_code == 130
    assert 'Be careful.' in refused.stderr
    assert [event['action'] for event in lumen.json('audit')] == ['client.created']
    assert lumen.json('client', 'acknowledge', 'bot', 'careful', '--yes')['model'] == 'careful'
    assert lumen.json('audit')[-1]['action'] == 'model.acknowledged'
    assert lumen.refusal('client', 'acknowledge', 'bot', 'echo', '--yes')['code'] == 'model_not_found'
