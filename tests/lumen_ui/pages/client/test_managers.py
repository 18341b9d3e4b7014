from playwright.sync_api import expect

from lumen.records import managers
from lumen.records.managers import ManagerRow
from tests.lumen_ui.pages.client.conftest import Link, Visit, row
from tests.lumen_ui.pages.client.site import ADA, ALAN, GRACE, Site


def managers_of(site: Site, client_id: int) -> list[ManagerRow]:
    return site.act(managers.managers_of, client_id)


def test_a_manager_is_found_as_one_types_and_chosen_by_keyboard(site: Site, visit: Visit) -> None:
    client_id = site.client('adopted')
    page = visit(client_id, ADA)
    expect(page.get_by_text('Nobody manages this client yet.')).to_be_visible()
    page.get_by_role('button', name='Add manager').click()
    field = page.get_by_role('combobox', name='Name or e-mail address')
    expect(field).to_be_focused()
    field.press_sequentially('grace')
    option = page.get_by_role('option', name='Grace Hopper')
    expect(option).to_be_visible()
    field.press('ArrowDown')
    expect(option).to_have_attribute('aria-selected', 'true')
    field.press('Enter')
    expect(field).to_have_value(GRACE)
    expect(page.get_by_text('Grace Hopper will manage this client.')).to_be_visible()
    field.press('Enter')
    expect(page.get_by_text('Grace Hopper manages "adopted" now and owns it')).to_be_visible()
    expect(row(page, 'Managers', 'Grace Hopper')).to_contain_text('Owner')
    assert [manager.email for manager in managers_of(site, client_id)] == [GRACE]


def test_a_manager_is_chosen_by_mouse_and_not_offered_twice(site: Site, visit: Visit) -> None:
    client_id = site.client(managed_by=(GRACE,))
    page = visit(client_id, GRACE)
    page.get_by_role('button', name='Add manager').click()
    field = page.get_by_role('combobox')
    field.press_sequentially('example.org')
    expect(page.get_by_role('option', name='Alan Turing')).to_be_visible()
    expect(page.get_by_role('option', name='Grace Hopper')).to_have_count(0)
    page.get_by_role('option', name='Alan Turing').click()
    expect(field).to_have_value(ALAN)
    page.get_by_role('button', name='Add', exact=True).click()
    expect(row(page, 'Managers', 'Alan Turing')).to_be_visible()


def test_a_new_address_becomes_a_manager_before_the_person_ever_signed_in(site: Site, visit: Visit) -> None:
    client_id = site.client(managed_by=(GRACE,))
    page = visit(client_id, ADA)
    page.get_by_role('button', name='Add manager').click()
    page.get_by_role('combobox').press_sequentially('New.Person@example.org')
    expect(page.get_by_text('New.Person@example.org is new here')).to_be_visible()
    page.get_by_role('combobox').press('Enter')
    expect(row(page, 'Managers', 'New.Person@example.org')).to_be_visible()


def test_what_is_no_address_and_who_manages_already_is_said_at_the_field(site: Site, visit: Visit) -> None:
    page = visit(site.client(managed_by=(GRACE,)), ADA)
    page.get_by_role('button', name='Add manager').click()
    field = page.get_by_role('combobox')
    for entered, said in (
        ('', 'Enter an e-mail address.'),
        ('nobody', 'Choose somebody from the list'),
        ('no body@x', 'This is not an e-mail address.'),
        (GRACE.upper(), 'Grace Hopper manages this client already.'),
    ):
        field.fill(entered)
        field.press('Enter')
        expect(page.get_by_role('dialog').get_by_role('alert')).to_contain_text(said)
        expect(field).to_have_value(entered)


def test_removing_asks_once_and_names_the_person_and_the_consequence(site: Site, visit: Visit) -> None:
    client_id = site.client('orphan', managed_by=(GRACE, ALAN))
    page = visit(client_id, ADA)
    page.get_by_role('button', name='Remove Grace Hopper').click()
    dialog = page.get_by_role('dialog', name='Remove Grace Hopper?')
    expect(dialog).to_contain_text('will not see this client any more')
    expect(dialog).to_contain_text('left without an owner')
    dialog.get_by_role('button', name='Remove').click()
    expect(page.get_by_text('Grace Hopper does not manage "orphan" any more')).to_be_visible()
    expect(row(page, 'Managers', 'Grace Hopper')).to_have_count(0)
    assert [manager.email for manager in managers_of(site, client_id)] == [ALAN]


def test_an_owner_who_leaves_is_led_away_from_the_page(site: Site, visit: Visit) -> None:
    client_id = site.client('left-behind', managed_by=(GRACE,))
    page = visit(client_id, GRACE)
    page.get_by_role('button', name='Leave Grace Hopper').click()
    dialog = page.get_by_role('dialog', name='Leave "left-behind"?')
    expect(dialog).to_contain_text('You will not see this client any more')
    dialog.get_by_role('button', name='Leave').click()
    page.wait_for_url(lambda address: not address.endswith(f'/clients/{client_id}'))
    assert managers_of(site, client_id) == []


def test_ownership_is_handed_over_and_the_page_follows(site: Site, visit: Visit) -> None:
    client_id = site.client('relay', managed_by=(GRACE, ALAN))
    page = visit(client_id, GRACE)
    expect(page.get_by_role('button', name='Make Grace Hopper the owner')).to_have_count(0)
    page.get_by_role('button', name='Make Alan Turing the owner').click()
    dialog = page.get_by_role('dialog', name='Make Alan Turing the owner?')
    expect(dialog).to_contain_text('You stay a manager, without these rights.')
    dialog.get_by_role('button', name='Make owner').click()
    expect(page.get_by_text('Alan Turing owns "relay" now')).to_be_visible()
    expect(row(page, 'Managers', 'Alan Turing')).to_contain_text('Owner')
    expect(row(page, 'Managers', 'Grace Hopper').locator('.badge')).to_be_hidden()
    # What an owner may do is gone from the page of who is none any more.
    for name in ('Add manager', 'Deactivate', 'Remove Alan Turing', 'Make Alan Turing the owner'):
        expect(page.get_by_role('button', name=name)).to_have_count(0)
    expect(page.get_by_role('button', name='Leave Grace Hopper')).to_be_visible()
    assert [manager.email for manager in managers_of(site, client_id) if manager.is_owner] == [ALAN]


def test_the_first_manager_need_not_be_the_owner(site: Site, visit: Visit) -> None:
    client_id = site.client('no-owner')
    page = visit(client_id, ADA)
    page.get_by_role('button', name='Add manager').click()
    owner = page.get_by_role('checkbox', name='Owner')
    expect(owner).to_be_checked()
    owner.click()
    page.get_by_role('combobox').fill(GRACE)
    page.get_by_role('button', name='Add', exact=True).click()
    expect(row(page, 'Managers', 'Grace Hopper')).to_be_visible()
    assert [manager.is_owner for manager in managers_of(site, client_id)] == [False]
    page.get_by_role('button', name='Add manager').click()
    expect(page.get_by_role('checkbox', name='Owner')).not_to_be_checked()


def test_a_dialog_that_became_old_deposes_nobody(site: Site, visit: Visit) -> None:
    client_id = site.client('raced')
    page = visit(client_id, ADA)
    page.get_by_role('button', name='Add manager').click()
    dialog = page.get_by_role('dialog')
    expect(dialog.get_by_role('checkbox', name='Owner')).to_be_checked()
    dialog.get_by_role('combobox').fill(ALAN)
    site.act(managers.add_manager, client_id, GRACE)
    dialog.get_by_role('button', name='Add', exact=True).click()
    expect(dialog.get_by_role('alert')).to_contain_text('Grace Hopper owns this client by now.')
    expect(dialog.get_by_role('checkbox')).to_have_count(0)
    dialog.get_by_role('button', name='Add', exact=True).click()
    expect(page.get_by_text('Alan Turing manages "raced" now', exact=True)).to_be_visible()
    assert [(row.email, row.is_owner) for row in managers_of(site, client_id)] == [(GRACE, True), (ALAN, False)]


def test_the_first_manager_owns_the_client_also_when_the_dialog_knew_an_owner(site: Site, visit: Visit) -> None:
    client_id = site.client('left', managed_by=(GRACE,))
    page = visit(client_id, ADA)
    page.get_by_role('button', name='Add manager').click()
    page.get_by_role('combobox').fill(ALAN)
    site.act(managers.remove_manager, client_id, site.people[GRACE])
    page.get_by_role('button', name='Add', exact=True).click()
    expect(page.get_by_text('Alan Turing manages "left" now and owns it')).to_be_visible()
    assert [(row.email, row.is_owner) for row in managers_of(site, client_id)] == [(ALAN, True)]


def test_enter_takes_whom_the_arrow_marked_before_the_server_could_say_so(site: Site, visit: Visit) -> None:
    client_id = site.client(managed_by=(GRACE,))
    page = visit(client_id, ADA)
    link = Link(page)
    page.get_by_role('button', name='Add manager').click()
    field = page.get_by_role('combobox')
    field.press_sequentially('alan')
    option = page.get_by_role('option', name='Alan Turing')
    expect(option).to_be_visible()
    link.hold()
    field.press('ArrowDown')
    field.press('Enter')
    assert option.get_attribute('aria-selected') == 'false', 'the answer is still on its way'
    link.let_go()
    expect(field).to_have_value(ALAN)
    expect(page.get_by_text('Choose somebody from the list, or')).to_have_count(0)
    field.press('Enter')
    expect(row(page, 'Managers', 'Alan Turing')).to_be_visible()
