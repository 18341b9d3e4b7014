from lumen.server.logs import safe


def cleaned(**event: object) -> dict[str, object]:
    return dict(safe(None, 'info', event))


def test_keys_and_passwords_do_not_reach_the_log():
    line = cleaned(
        event='refused sk_lumen_0123456789abcdefghijABCDEFGHIJ0123456789',
        header='Authorization: Bearer abc.def',
        database='postgresql://lumen:hunter2@db/lumen?sslmode=require&password=hunter3',
        nested={'upstream': ['https://user:hunter4@models/v1']},
    )
    assert '0123456789' not in str(line)
    assert 'abc.def' not in str(line)
    assert 'hunter' not in str(line)


def test_everything_else_is_left_as_it_is():
    line = {'event': 'settled 12 calls', 'calls': 12, 'url': 'http://127.0.0.1:8000/v1', 'at': '12:30:01'}
    assert cleaned(**line) == line
