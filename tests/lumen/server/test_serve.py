from lumen.server.serve import _welcome
from tests.lumen import factories


def test_the_welcome_shows_what_would_steer_a_terminal():
    steering, shown = 'Lu\u202emen', r'Lu\u202emen'
    configured = factories.settings(
        app={'name': steering}, login={'dev_users': [{'email': factories.ADMIN, 'name': steering}]}
    )
    said = _welcome(configured, 'http://127.0.0.1:1', 'all')
    assert '\u202e' not in said
    assert f'{shown} is ready on http://127.0.0.1:1' in said
    assert f'sign in as "{shown}"' in said
