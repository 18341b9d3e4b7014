"""The page that costs no memory: it says what the others say, and its style has effect under the policy of pages."""

from __future__ import annotations

import pytest
from starlette.requests import HTTPConnection

from lumen.config.settings import Settings
from lumen_ui import nonces
from lumen_ui.frugal_page import frugal_page


def page(*, cookie: str = '', nonce: str = 'n0nce', app: str = 'Lumen', theme: str = 'auto') -> str:
    settings = Settings.model_validate({'app': {'name': app, 'theme': theme}})
    headers = [(b'cookie', cookie.encode())] if cookie else []
    connection = HTTPConnection({'type': 'http', 'headers': headers, nonces.SCOPE_KEY: nonce})
    answer = frugal_page(connection, settings, 429, 'Too many pages', 'Wait a little, & try again.')
    assert answer.status_code == 429
    return bytes(answer.body).decode()


def test_it_says_what_was_refused_and_leads_back():
    text = page()
    assert '<h1>Too many pages</h1>\n<p>Wait a little, &amp; try again.</p>' in text
    assert '<a href="/">Go to the start page</a>' in text
    assert '<p>429</p>' in text


def test_every_style_carries_the_nonce_and_nothing_is_loaded():
    text = page()
    assert text.count('<style') == text.count('<style nonce="n0nce">') == 2
    assert '<script' not in text
    assert 'src=' not in text
    assert '<link' not in text


@pytest.mark.parametrize(
    ('cookie', 'theme', 'scheme'),
    [('', 'auto', 'light dark'), ('', 'dark', 'dark'), ('lumen_theme=light', 'dark', 'light')],
)
def test_it_is_as_light_or_dark_as_all_pages(cookie: str, theme: str, scheme: str):
    assert f'color-scheme: {scheme};' in page(cookie=cookie, theme=theme)


def test_a_name_from_the_configuration_is_shown_and_never_run():
    text = page(app='</title><script>alert(1)</script>')
    assert '<script' not in text
    assert '&lt;script&gt;' in text
