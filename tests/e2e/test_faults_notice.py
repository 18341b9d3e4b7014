"""A configuration that is broken while it is in force: what admins see of it on the pages, and nobody else."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from tests.e2e.profiles import Profiles
from tests.e2e.serving import Server, wait_until
from tests.e2e.visiting import ADMIN, MANAGER, sign_in


def notice(page: Page) -> Locator:
    return page.get_by_role('status', name='Faults of the configuration')


def test_admins_see_the_faults_of_the_file_until_it_is_mended(page: Page, profiles: Profiles, server: Server):
    good = server.configuration.read_text()
    bad = 'clients:\n  "<b>bot</b>": {max: 1}\n' + ''.join(f'  bot{number}: {{max: -1}}\n' for number in range(6))
    server.json('client', 'create', 'bot')
    server.json('manager', 'add', 'bot', 'manager@example.org')
    sign_in(page, ADMIN, '/')
    expect(page.get_by_role('heading', name='Clients', level=1)).to_be_visible()
    expect(notice(page)).to_have_count(0)

    server.configuration.write_text(good.replace('clients:\n', bad))
    wait_until(lambda: 'the changed configuration is not used' in server.log.read_text(), seconds=5)
    for address in ('/clients', '/help'):
        page.goto(address)
        expect(notice(page)).to_contain_text('config.yaml has faults; what was in force stays:')
        expect(notice(page)).to_contain_text('clients.<b>bot</b>: is not the name of a client')
        expect(notice(page)).to_contain_text('clients.bot3.max: must be 0 or more, or -2 for unlimited, got -1')
        expect(notice(page)).to_contain_text('and 2 more, which the log names')
        expect(notice(page)).not_to_contain_text('bot4')
    expect(page.get_by_text('Welcome to the test')).to_be_visible()

    manager = profiles.take(server.address, color_scheme='dark').new_page()
    sign_in(manager, MANAGER, '/clients')
    expect(manager.get_by_role('heading', name='Clients', level=1)).to_be_visible()
    expect(manager.get_by_text('Welcome to the test')).to_be_visible()
    expect(notice(manager)).to_have_count(0)
    assert 'has faults' not in manager.content()

    server.configuration.write_text(good)
    wait_until(lambda: 'configuration reloaded' in server.log.read_text(), seconds=5)
    page.goto('/clients')
    expect(page.get_by_role('heading', name='Clients', level=1)).to_be_visible()
    expect(notice(page)).to_have_count(0)


def test_a_page_left_open_follows_the_faults_of_the_file(page: Page, profiles: Profiles, server: Server):
    good = server.configuration.read_text()
    server.json('client', 'create', 'bot')
    server.json('manager', 'add', 'bot', 'manager@example.org')
    sign_in(page, ADMIN, '/help')
    manager = profiles.take(server.address, color_scheme='dark').new_page()
    sign_in(manager, MANAGER, '/clients')
    expect(manager.get_by_role('heading', name='Clients', level=1)).to_be_visible()
    expect(page.get_by_role('heading', name='Help', level=1)).to_be_visible()
    for number in (-1, -3):
        server.configuration.write_text(good.replace('clients:\n', f'clients:\n  bot: {{max: {number}}}\n'))
        expect(notice(page)).to_contain_text(f'clients.bot.max: must be 0 or more, or -2 for unlimited, got {number}')
    assert 'has faults' not in manager.content()
    server.configuration.write_text(good)
    expect(notice(page)).to_have_count(0)


def test_who_is_no_admin_any_more_is_told_no_faults(page: Page, profiles: Profiles, server: Server):
    sign_in(page, ADMIN, '/help')
    expect(page.get_by_role('heading', name='Help', level=1)).to_be_visible()
    good = server.configuration.read_text().replace('admins: [admin@example.org]', 'admins: [manager@example.org]')
    server.configuration.write_text(good)
    wait_until(lambda: 'configuration reloaded' in server.log.read_text(), seconds=5)
    other = profiles.take(server.address, color_scheme='dark').new_page()
    sign_in(other, MANAGER, '/help')
    # The second time that the other is told, the first was long enough ago for this one.
    for number in (-1, -3):
        server.configuration.write_text(good.replace('clients:\n', f'clients:\n  bot: {{max: {number}}}\n'))
        expect(notice(other)).to_contain_text(f'got {number}')
    assert 'has faults' not in page.content()
