from playwright.sync_api import expect

from lumen.config.settings import Settings
from lumen.identity import sessions
from lumen.identity.permissions import Actor
from lumen.records import clients, managers
from tests.lumen_ui.pages.client.conftest import Visit
from tests.lumen_ui.pages.client.site import ADA, ALAN, GRACE, Site


def test_deactivating_asks_once_and_says_what_it_does(site: Site, visit: Visit) -> None:
    client_id = site.client('tired-bot', managed_by=(GRACE,))
    page = visit(client_id, GRACE)
    page.get_by_role('button', name='Deactivate').click()
    dialog = page.get_by_role('dialog', name='Deactivate "tired-bot"?')
    expect(dialog).to_contain_text('stops working at once. Calls in flight finish. Nothing is deleted')
    dialog.get_by_role('button', name='Cancel').click()
    expect(dialog).to_have_count(0)
    assert site.act(clients.get, client_id).active
    page.get_by_role('button', name='Deactivate').click()
    dialog.get_by_role('button', name='Deactivate').click()
    expect(page.get_by_text('Client "tired-bot" deactivated')).to_be_visible()
    expect(page.locator('.client-title')).to_contain_text('Deactivated')
    assert not site.act(clients.get, client_id).active
    expect(page.get_by_role('dialog')).to_have_count(0)
    page.get_by_role('button', name='Activate', exact=True).click()
    page.get_by_role('dialog').get_by_role('button', name='Activate', exact=True).click()
    expect(page.get_by_text('Client "tired-bot" activated')).to_be_visible()
    assert site.act(clients.get, client_id).active


def test_a_manager_who_is_not_the_owner_is_not_offered_what_they_may_not_do(site: Site, visit: Visit) -> None:
    page = visit(site.client(managed_by=(GRACE, ALAN)), ALAN)
    expect(page.get_by_role('button', name='New key')).to_be_visible()
    for name in ('Deactivate', 'Add manager', 'Remove Grace Hopper'):
        expect(page.get_by_role('button', name=name)).to_have_count(0)


def test_somebody_who_stops_being_a_manager_loses_the_page(site: Site, visit: Visit) -> None:
    client_id = site.client('lost-bot', managed_by=(GRACE, ALAN))
    page = visit(client_id, ALAN)
    page.get_by_role('button', name='New key').click()
    page.get_by_label('Name', exact=True).fill('too late')
    site.act(managers.remove_manager, client_id, site.people[ALAN])
    page.keyboard.press('Enter')
    expect(page.get_by_role('heading', name='You cannot see this client any more')).to_be_visible()
    expect(page.get_by_role('dialog')).to_have_count(0)
    expect(page.get_by_text('lost-bot')).to_have_count(0)
    assert site.act(clients.get, client_id).active
    site.act(managers.add_manager, client_id, ALAN)
    page.get_by_role('link', name='Try again').click()
    expect(page.get_by_role('heading', name='lost-bot', level=1)).to_be_visible()
    assert 'Traceback' not in site.log.read_text()


def test_an_owner_who_becomes_a_manager_is_refused(site: Site, visit: Visit) -> None:
    client_id = site.client(managed_by=(GRACE, ALAN))
    page = visit(client_id, GRACE)
    page.get_by_role('button', name='Deactivate').click()

    def demote(actor: Actor, *, settings: Settings) -> None:
        managers.remove_manager(actor, client_id, site.people[GRACE], settings=settings)
        managers.add_manager(actor, client_id, GRACE, settings=settings)

    site.act(demote)  # in one commit: between two, the page would find that she may not see it at all
    page.get_by_role('dialog').get_by_role('button', name='Deactivate').click()
    expect(page.get_by_text('You may not activate or deactivate this client.')).to_be_visible()
    expect(page.get_by_role('button', name='Add manager')).to_have_count(0)
    assert site.act(clients.get, client_id).active


def test_a_tab_that_was_signed_out_elsewhere_is_led_to_the_sign_in_page(site: Site, visit: Visit) -> None:
    client_id = site.client()
    page = visit(client_id, ADA)
    page.get_by_role('button', name='Deactivate').click()
    page.get_by_role('dialog').get_by_role('button', name='Deactivate').focus()
    cookie = next(cookie['value'] for cookie in page.context.cookies() if cookie['name'] == sessions.COOKIE)
    site.write(sessions.end, cookie)
    page.keyboard.press('Enter')
    page.wait_for_url('**/sign-in**')
    assert site.act(clients.get, client_id).active
