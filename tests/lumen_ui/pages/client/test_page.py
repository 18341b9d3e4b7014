import re
from itertools import count

from playwright.sync_api import Page, expect

import models
from lumen.identity.keys import revoke_key
from lumen.records import clients, managers
from tests.e2e.visiting import assert_shown_within_a_second
from tests.lumen_ui.pages.client.conftest import Visit, row
from tests.lumen_ui.pages.client.site import ADA, ALAN, GRACE, Site

ATTACK = '<img src=x onerror="window.broken=1">'


def card(page: Page, label: str) -> str:
    """The text of a card, without its label."""
    lines = page.locator('.card', has_text=label).inner_text().removeprefix(label).splitlines()
    return '\n'.join(filter(None, lines))


LINES = """() => [...document.querySelectorAll('.card-value')].map((value) => {
    const range = document.createRange();
    range.selectNodeContents(value);
    return range.getClientRects().length;
})"""
"""On how many lines the value of each card stands."""


def test_the_head_names_the_client_its_state_and_its_origin(site: Site, visit: Visit) -> None:
    page = visit(site.client('head-bot'), ADA)
    expect(page).to_have_title('head-bot · Lumen')
    expect(page.get_by_role('heading', level=1)).to_have_text('head-bot')
    expect(page.locator('.client-title')).to_contain_text('Active')
    expect(page.locator('.client-head')).to_contain_text(re.compile(r'Created just now by command line'))
    hover = page.locator('.client-head lumen-time').get_attribute('title')
    assert hover
    assert re.search(r'\d:\d\d:\d\d', hover)


def test_times_are_those_of_the_viewers_zone(site: Site, visit: Visit) -> None:
    client_id = site.client()
    zones = ('Asia/Tokyo', 'America/New_York')
    titles = [
        visit(client_id, ADA, timezone_id=zone).locator('.client-head lumen-time').get_attribute('title')
        for zone in zones
    ]
    assert titles[0] != titles[1]


def test_the_cards_show_two_decimals_and_tell_all_nine(site: Site, visit: Visit) -> None:
    client_id = site.client()
    key = site.key(client_id)
    site.call(client_id, key.id, tokens=1234)
    page = visit(client_id, ADA)
    assert card(page, 'Total Tokens Used') == '1,234\n1,234 input, 0 output'
    assert card(page, 'Coins Spent') == '1.23\nin 1 request'
    expect(page.get_by_title('1.234000000 coins').first).to_have_text('1.23')
    assert card(page, 'Coin Pool') == '58.77\nof 100.00'
    # In a good 41 hours: of the calendar, that is one day or two.
    assert card(page, 'Coin Refill') in ('1.00 / h\nFull tomorrow', '1.00 / h\nFull in 2 days')
    expect(page.get_by_role('meter', name='Coin pool')).to_have_attribute('aria-valuenow', '58')


def test_a_pool_without_bounds_says_unlimited_and_one_without_coins_no_budget(site: Site, visit: Visit) -> None:
    page = visit(site.client('boundless'), ADA)
    assert card(page, 'Coin Pool').startswith('Unlimited')
    expect(page.get_by_role('meter')).to_have_count(0)
    page = visit(site.client('penniless'), ADA)
    assert card(page, 'Coin Pool').startswith('No budget')


def test_figures_move_by_themselves_while_the_page_stays_as_it_is(site: Site, visit: Visit) -> None:
    client_id = site.client()
    key = site.key(client_id, 'worker')
    page = visit(client_id, ADA)
    worker = row(page, 'API keys', 'worker')
    revoke = worker.get_by_role('button', name='Revoke worker')
    revoke.focus()
    page.evaluate('window.kept = document.activeElement')
    request = site.hold(client_id, key.id, tokens=2000)
    expect(page.locator('.card', has_text='Coin Pool')).to_contain_text('2.00 held by calls in flight')
    site.settle(request, input_tokens=1500)
    expect(page.locator('.card', has_text='Coins Spent')).to_contain_text('1.50')
    expect(worker).to_contain_text('1,500')
    expect(row(page, 'Model access', 'echo')).to_contain_text('1,500')
    expect(page.locator('.card', has_text='Coin Pool')).not_to_contain_text('held')
    assert page.evaluate('window.kept === document.activeElement')


def test_what_a_command_changes_shows_in_an_open_page(site: Site, visit: Visit) -> None:
    client_id = site.client()
    key = site.key(client_id, 'doomed')
    site.key(client_id, 'kept')
    page = visit(client_id, ADA)
    site.act(managers.add_manager, client_id, GRACE)
    expect(row(page, 'Managers', 'Grace Hopper')).to_contain_text('Owner')
    site.act(revoke_key, key.id)
    expect(row(page, 'API keys', 'doomed')).to_have_count(0)
    site.act(clients.set_active, client_id, False)
    expect(page.locator('.client-title')).to_contain_text('Deactivated')
    expect(page.get_by_role('button', name='New key')).to_have_count(0)
    expect(row(page, 'API keys', 'kept')).to_contain_text('Paused')
    expect(row(page, 'API keys', 'kept')).not_to_contain_text('Active')
    reason = page.get_by_text('No key works while the client is deactivated.')
    expect(reason).to_be_visible()
    site.act(clients.set_active, client_id, True)
    expect(page.get_by_role('button', name='New key')).to_be_enabled()
    expect(reason).to_have_count(0)
    expect(row(page, 'API keys', 'kept')).to_contain_text('Active')


def test_what_a_command_changes_shows_within_a_second(site: Site, visit: Visit) -> None:
    client_id = site.client('renamed-0')
    page = visit(client_id, ADA)
    numbers = count(1)

    def rename() -> str:
        name = f'renamed-{next(numbers)}'
        site.act(clients.rename_client, client_id, name)
        return name

    assert_shown_within_a_second(page.get_by_role('heading', level=1), rename)


def test_every_model_is_listed_with_its_access_and_the_rule_that_decided(site: Site, visit: Visit) -> None:
    page = visit(site.client(), ADA)
    expect(row(page, 'Model access', 'echo')).to_contain_text(
        re.compile('Allowed.*clients.default.model_access.allowed')
    )
    expect(row(page, 'Model access', 'careful')).to_contain_text(
        re.compile(r'Needs acknowledgement.*models\.careful\.access')
    )
    expect(row(page, 'Model access', 'secretive')).to_contain_text(re.compile('Blocked.*clients.default'))


NO_CLIENTS = ('999999', 'abc', '0', '01', '-1', '1.5', '9' * 30, '9223372036854775808', '%F0%9F%A6%8A', '１')


def test_no_client_and_a_client_of_others_are_one_and_the_same_page(site: Site, visit: Visit) -> None:
    theirs = site.client('their-own', managed_by=(GRACE,))
    page = visit(theirs, ALAN)
    expect(page.get_by_role('heading', level=1)).to_have_text('There is nothing here')
    answer = page.request.get(f'/clients/{theirs}')
    assert answer.status == 404
    assert 'their-own' not in answer.text()
    for identifier in NO_CLIENTS:
        missing = page.request.get(f'/clients/{identifier}')
        assert missing.status == 404
        assert anonymous(missing.text()) == anonymous(answer.text()), identifier


def anonymous(html: str) -> str:
    """A page without what is drawn anew for each: its id, its nonce."""
    return re.sub(r"""[0-9a-f]{8}-[0-9a-f-]{27}|nonce=["'][^"']+["']""", '', html)


def test_whoever_is_not_signed_in_is_led_to_the_sign_in_page(site: Site, visit: Visit) -> None:
    page = visit(site.client(), ADA)
    page.context.clear_cookies()
    page.goto('/clients/1')
    assert '/sign-in?next=/clients/1' in page.url


def test_names_are_text_and_never_markup(site: Site, visit: Visit) -> None:
    client_id = site.client(managed_by=(ALAN,))
    site.key(client_id, ATTACK)
    evil = f'{ATTACK}{{{{7*7}}}}'
    site.write(lambda: models.Account.update(name=evil).where(models.Account.id == client_id).execute())
    site.write(lambda: models.Account.update(name=evil).where(models.Account.id == site.people[ALAN]).execute())
    try:
        page = visit(client_id, ADA)
        expect(page.get_by_role('heading', level=1)).to_have_text(evil)
        page.get_by_role('button', name=f'Remove {evil}').click()
        expect(page.get_by_role('dialog')).to_contain_text(evil)
        page.keyboard.press('Escape')
        expect(page.get_by_role('dialog')).to_have_count(0)
        page.get_by_role('button', name=f'Revoke {ATTACK}').click()
        page.get_by_role('button', name='Revoke', exact=True).click()
        expect(page.get_by_text(f'Key "{ATTACK}" revoked')).to_be_visible()
        assert page.evaluate('window.broken') is None
        assert page.locator('img[src=x]').count() == 0
    finally:
        site.write(
            lambda: models.Account.update(name='Alan Turing').where(models.Account.id == site.people[ALAN]).execute()
        )


OUTSIDE = """() => [...document.querySelectorAll('.table-scroll')].flatMap((table) => [
    ...(table.scrollWidth > table.clientWidth ? [table.ariaLabel] : []),
    ...[...table.querySelectorAll('button')].filter((it) => it.getBoundingClientRect().right > innerWidth),
])"""


WIDTHS = (721, 768, 1024, 1255, 1280)


def test_every_button_is_in_sight_however_wide_the_window(site: Site, visit: Visit) -> None:
    client_id = site.client(managed_by=(GRACE, ALAN))
    site.key(client_id, 'nightly run')
    page = visit(client_id, ADA)
    for width in WIDTHS:
        page.set_viewport_size({'width': width, 'height': 800})
        page.wait_for_function('(width) => innerWidth === width', arg=width)
        for button in ('Make Alan Turing the owner', 'Rotate nightly run', 'Acknowledge careful'):
            expect(page.get_by_role('button', name=button)).to_be_visible()
        assert page.evaluate('document.documentElement.scrollWidth') == width
        assert page.evaluate(OUTSIDE) == [], f'{width} px'


def test_figures_too_long_for_their_table_leave_its_buttons_in_sight(site: Site, visit: Visit) -> None:
    client_id = site.client()
    key = site.key(client_id, 'busy')
    most = 9 * 10**17
    used = models.ApiKey.update(requests=most, input_tokens=most, spent=most)
    site.write(used.where(models.ApiKey.id == key.id).execute)
    page = visit(client_id, ADA, viewport={'width': 1280, 'height': 800})
    expect(row(page, 'API keys', 'busy')).to_contain_text('900,000,000,000,000,000')
    assert page.evaluate(OUTSIDE) == ['API keys']


def test_a_narrow_window_shows_rows_whole_with_their_buttons(site: Site, visit: Visit) -> None:
    client_id = site.client(managed_by=(GRACE,))
    site.key(client_id)
    page = visit(client_id, ADA, viewport={'width': 375, 'height': 800})
    expect(page.get_by_role('button', name='Rotate ci')).to_be_visible()
    expect(page.get_by_role('button', name='Acknowledge careful')).to_be_visible()
    assert page.evaluate('document.documentElement.scrollWidth') == 375
    assert page.evaluate(OUTSIDE) == []
    # The headings are not seen, so each figure says what it is.
    requests = page.get_by_role('region', name='API keys').locator('[data-label=Requests]')
    assert requests.evaluate('(it) => getComputedStyle(it, "::before").content') == '"Requests "'
    page.set_viewport_size({'width': 1440, 'height': 800})
    page.wait_for_function('innerWidth === 1440')
    assert requests.evaluate('(it) => getComputedStyle(it, "::before").content') == 'none'


def test_no_number_on_a_card_breaks_within_its_digits(site: Site, visit: Visit) -> None:
    client_id = site.client()
    most = 123_456_789_012_345
    account = models.Account.update(input_tokens=most, spent=most * 1000, spent_unlimited=most * 1000)
    site.write(account.where(models.Account.id == client_id).execute)
    page = visit(client_id, ADA)
    expect(page.locator('.card', has_text='Total Tokens Used')).to_contain_text('123,456,789,012,345')
    expect(page.locator('.card', has_text='Coins Spent')).to_contain_text('123,456,789.01')
    for path in (f'/clients/{client_id}', '/clients'):
        page.goto(path)
        expect(page.locator('.card', has_text='Tokens Used')).to_contain_text('123,456,789,01')
        for width in (375, 760, 960, 1000, 1440):
            page.set_viewport_size({'width': width, 'height': 800})
            page.wait_for_function('(width) => innerWidth === width', arg=width)
            assert page.evaluate(LINES) == [1, 1, 1, 1], f'{path} {width} px'
