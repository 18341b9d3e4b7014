import pytest

from lumen.errors import LumenError
from lumen.server.listening import address_of, listen


def test_port_0_takes_a_free_one():
    with listen('127.0.0.1', 0) as one, listen('127.0.0.1', 0) as other:
        assert one.getsockname()[1] != other.getsockname()[1]
        assert address_of(one) == f'http://127.0.0.1:{one.getsockname()[1]}'


def test_a_taken_port_is_refused_in_words():
    with listen('127.0.0.1', 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(LumenError, match=f'cannot listen on 127.0.0.1:{port}: address already in use'):
            listen('127.0.0.1', port)


def test_an_address_of_another_machine_is_refused_in_words():
    with pytest.raises(LumenError, match=r'cannot listen on 192\.0\.2\.1:0'):
        listen('192.0.2.1', 0)


def test_all_addresses_are_shown_as_this_machine():
    with listen('0.0.0.0', 0) as listener:  # noqa: S104 - nothing is served
        assert address_of(listener) == f'http://localhost:{listener.getsockname()[1]}'
