from playwright.sync_api import expect

from lumen.records import clients, managers
from tests.lumen_ui.pages.client.conftest import Visit
from tests.lumen_ui.pages.client.site import ADA, GRACE, Site


def test_what_was_done_to_the_client_is_told_newest_first_and_follows(site: Site, visit: Visit) -> None:
    client_id = site.client('remembered', managed_by=(GRACE,))
    page = visit(client_id, ADA)
    events = page.get_by_role('region', name='History').locator('tbody tr')
    expect(events).to_have_count(2)
    expect(events.first).to_contain_text(f'made {GRACE} the owner')
    expect(events.last).to_contain_text('created the client')
    site.act(managers.add_manager, client_id, ADA)
    expect(events.first).to_contain_text(f'made {ADA} a manager')
    page.get_by_role('button', name='Rename').click()
    name = page.get_by_role('textbox', name='Name', exact=True)
    expect(name).to_have_value('remembered')
    name.fill('default')
    name.press('Enter')
    expect(page.get_by_role('dialog').get_by_role('alert')).to_contain_text('is what the configuration calls')
    name.fill('remembered-well')
    name.press('Enter')
    expect(page.get_by_text('Client "remembered" is named "remembered-well" now')).to_be_visible()
    expect(page.get_by_role('heading', level=1)).to_have_text('remembered-well')
    expect(events.first).to_contain_text(f'{ADA}')
    expect(events.first).to_contain_text('renamed it from "remembered" to "remembered-well"')


def test_what_happened_longer_ago_is_shown_on_request(site: Site, visit: Visit) -> None:
    client_id = site.client('eventful-0')
    for number in range(1, 25):
        site.act(clients.rename_client, client_id, f'eventful-{number}')
    page = visit(client_id, ADA)
    events = page.get_by_role('region', name='History').locator('tbody tr')
    expect(events).to_have_count(20)
    expect(events.last).to_contain_text('"eventful-5"')
    page.get_by_role('button', name='Show older').click()
    expect(events).to_have_count(25)
    expect(events.last).to_contain_text('created the client')
    expect(page.get_by_role('button', name='Show older')).to_be_hidden()
    site.act(clients.rename_client, client_id, 'eventful-25')
    expect(events).to_have_count(26)


def test_only_admins_rename(site: Site, visit: Visit) -> None:
    page = visit(site.client(managed_by=(GRACE,)), GRACE)
    expect(page.get_by_role('button', name='Deactivate')).to_be_visible()
    expect(page.get_by_role('button', name='Rename')).to_have_count(0)
