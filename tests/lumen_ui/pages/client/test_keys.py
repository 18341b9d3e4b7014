import ast
import json
import re
import shlex
from datetime import UTC, datetime

from playwright.sync_api import Page, expect

import models
from lumen.identity.keys import KeyRow, digest, keys_of, looks_valid, revoke_key
from tests.conftest import wait_until
from tests.lumen_ui.pages.client.conftest import Link, Visit, row
from tests.lumen_ui.pages.client.site import ADA, GRACE, KEY_SECRET, Site

DAY_US = 86_400_000_000
END_OF_2089 = 3_786_911_999_000_000


def keys(site: Site, client_id: int) -> list[KeyRow]:
    return site.act(keys_of, client_id, include_revoked=True)


def open_new_key(page: Page, name: str) -> None:
    page.get_by_role('button', name='New key').click()
    page.get_by_role('textbox', name='Name', exact=True).fill(name)


def choose_expiry(page: Page, choice: str) -> None:
    page.get_by_role('dialog').locator('.q-select').click()
    page.get_by_role('option', name=choice).click()


def test_a_key_is_shown_once_and_never_again(site: Site, visit: Visit) -> None:
    client_id = site.client(managed_by=(GRACE,))
    page = visit(client_id, GRACE)
    expect(page.get_by_text('No keys in use.')).to_be_visible()
    open_new_key(page, 'nightly run')
    page.keyboard.press('Enter')
    dialog = page.get_by_role('dialog', name='Key "nightly run" created')
    key = dialog.locator('.secret-key').inner_text()
    assert looks_valid(key)
    stored = site.write(lambda: models.ApiKey.get(models.ApiKey.account == client_id))
    assert stored.digest == digest(key, KEY_SECRET.encode())
    page.keyboard.press('Escape')
    page.mouse.click(5, 5)
    expect(dialog).to_be_visible()
    dialog.get_by_role('button', name='I have stored the key').click()
    expect(dialog).to_have_count(0)
    expect(row(page, 'API keys', 'nightly run')).to_contain_text(stored.hint)
    expect(page.get_by_role('button', name='New key')).to_be_focused()
    assert key not in page.content()
    assert key not in str(page.evaluate('[localStorage, sessionStorage].map((store) => JSON.stringify(store))'))
    page.reload()
    expect(row(page, 'API keys', 'nightly run')).to_be_visible()
    assert key not in page.content()
    assert key not in page.request.get(page.url).text()
    written = [path for path in site.folder.rglob('*') if path.is_file()]
    assert len(written) >= 3
    for path in written:
        assert key.encode() not in path.read_bytes(), path


def test_the_key_and_its_snippets_are_copied_ready_to_run(site: Site, visit: Visit) -> None:
    page = visit(site.client(), ADA, permissions=['clipboard-read', 'clipboard-write'])
    open_new_key(page, 'copied')
    page.get_by_role('button', name='Create').click()
    key = page.locator('.secret-key').inner_text()
    copied = {}
    for what in ('API key', 'curl', 'Python'):
        page.get_by_role('button', name=f'Copy {what}').click()
        expect(page.get_by_text(f'{what} copied')).to_be_visible()
        copied[what] = page.evaluate('navigator.clipboard.readText()')
    assert copied['API key'] == key
    words = shlex.split(copied['curl'].replace('\\\n', ''))
    assert words[1] == f'{site.address}/v1/chat/completions'
    assert f'Authorization: Bearer {key}' in words
    assert json.loads(words[-1])['model'] == 'echo'
    program = ast.parse(copied['Python'])
    texts = {node.value for node in ast.walk(program) if isinstance(node, ast.Constant)}
    assert {f'{site.address}/v1', key, 'echo'} <= texts


def test_copying_works_where_the_clipboard_interface_is_missing(site: Site, visit: Visit) -> None:
    page = visit(site.client(), ADA)
    page.evaluate('Object.defineProperty(navigator, "clipboard", {value: undefined})')
    open_new_key(page, 'plain http')
    page.get_by_role('button', name='Create').click()
    page.get_by_role('button', name='Copy API key').click()
    expect(page.get_by_text('API key copied')).to_be_visible()
    assert page.evaluate('getSelection().toString()') == page.locator('.secret-key').inner_text()


def test_a_double_click_makes_one_key(site: Site, visit: Visit) -> None:
    client_id = site.client()
    page = visit(client_id, ADA)
    open_new_key(page, 'once')
    page.get_by_role('button', name='Create').dblclick()
    expect(page.get_by_role('dialog', name='Key "once" created')).to_be_visible()
    page.get_by_role('button', name='I have stored the key').click()
    expect(page.get_by_role('dialog')).to_have_count(0)
    assert [key.name for key in keys(site, client_id)] == ['once']


def test_a_double_click_opens_one_dialog_which_stays(site: Site, visit: Visit) -> None:
    page = visit(site.client(), ADA)
    opener, dialog = page.get_by_role('button', name='New key'), page.get_by_role('dialog')
    opener.dblclick()
    page.get_by_role('textbox', name='Name', exact=True).fill('at once')
    page.keyboard.press('Enter')
    page.get_by_role('button', name='I have stored the key').click()
    expect(dialog).to_have_count(0)

    box = opener.bounding_box()
    opener.click()
    expect(dialog).to_be_visible()
    page.mouse.click(box['x'] + box['width'] / 2, box['y'] + box['height'] / 2)
    expect(page.get_by_role('textbox', name='Name', exact=True)).to_be_focused()
    page.keyboard.type('a little later')
    page.keyboard.press('Enter')
    expect(page.get_by_role('dialog', name='Key "a little later" created')).to_be_visible()
    page.get_by_role('button', name='I have stored the key').click()
    expect(dialog).to_have_count(0)


def test_a_bad_name_is_told_at_the_field_and_what_was_typed_stays(site: Site, visit: Visit) -> None:
    client_id = site.client()
    page = visit(client_id, ADA)
    open_new_key(page, '   ')
    page.keyboard.press('Enter')
    expect(page.get_by_role('dialog').get_by_role('alert')).to_contain_text('Enter a name for the key.')
    assert page.get_by_role('textbox', name='Name', exact=True).input_value() == '   '
    assert keys(site, client_id) == []


def test_a_key_expires_after_the_chosen_days(site: Site, visit: Visit) -> None:
    client_id = site.client()
    page = visit(client_id, ADA)
    for days in (30, 90, 365):
        open_new_key(page, f'for {days} days')
        choose_expiry(page, f'In {days} days')
        page.get_by_role('button', name='Create').click()
        page.get_by_role('button', name='I have stored the key').click()
        expect(page.get_by_role('dialog')).to_have_count(0)
        key = next(key for key in keys(site, client_id) if key.name == f'for {days} days')
        assert key.expires_at == key.created_at + days * DAY_US


WHERE_IT_OPENS = """async () => {
  const field = document.querySelector('.q-dialog .q-select'), seen = new Set();
  field.click();
  for (const begun = performance.now(); performance.now() - begun < 500; await new Promise(requestAnimationFrame)) {
    const menu = document.querySelector('.q-menu');
    if (menu?.style.visibility === 'visible')
      seen.add(Math.round(menu.getBoundingClientRect().top - field.getBoundingClientRect().bottom));
  }
  return [...seen];
}"""


def test_choices_open_where_they_stay(site: Site, visit: Visit) -> None:
    # They were measured as they had been before they were drawn, opened at the top, and moved from under the mouse.
    page = visit(site.client(), ADA, reduced_motion='reduce')
    open_new_key(page, 'patient')
    assert page.evaluate(WHERE_IT_OPENS) == [0]


def test_a_key_works_until_the_end_of_a_day_where_the_viewer_is(site: Site, visit: Visit) -> None:
    client_id = site.client()
    page = visit(client_id, ADA, timezone_id='Asia/Tokyo')
    open_new_key(page, 'until may')
    choose_expiry(page, 'Until a date')
    page.get_by_role('button', name='Create').click()
    expect(page.get_by_text('Enter a date.')).to_be_visible()
    page.locator('input[type=date]').fill('2020-05-01')
    page.get_by_role('button', name='Create').click()
    expect(page.get_by_text('The expiry must lie in the future.')).to_be_visible()
    page.locator('input[type=date]').fill('2090-05-01')
    page.get_by_role('button', name='Create').click()
    page.get_by_role('button', name='I have stored the key').click()
    expires_at = keys(site, client_id)[0].expires_at
    assert expires_at is not None
    assert datetime.fromtimestamp(expires_at / 1e6, UTC) == datetime(2090, 5, 1, 14, 59, 59, tzinfo=UTC)
    expect(row(page, 'API keys', 'until may')).to_contain_text('May 1, 2090')


def test_a_key_until_a_date_is_made_over_a_connection_however_slow(site: Site, visit: Visit) -> None:
    client_id = site.client()
    page = visit(client_id, ADA, timezone_id='America/Los_Angeles')
    link = Link(page)
    open_new_key(page, 'from afar')
    choose_expiry(page, 'Until a date')
    page.locator('input[type=date]').fill('2090-05-01')
    link.hold()
    page.get_by_role('button', name='Create').click()
    # Nothing that the server asks for gets an answer.
    wait_until(lambda: bool(page.evaluate('true') and keys(site, client_id)))
    link.let_go()
    expect(page.locator('.secret-key')).to_be_visible()
    expires_at = keys(site, client_id)[0].expires_at
    assert expires_at is not None
    assert datetime.fromtimestamp(expires_at / 1e6, UTC) == datetime(2090, 5, 2, 6, 59, 59, tzinfo=UTC)


def test_a_date_is_what_was_entered_also_when_a_script_says_otherwise(site: Site, visit: Visit) -> None:
    client_id = site.client()
    page = visit(client_id, ADA)
    open_new_key(page, 'forged')
    choose_expiry(page, 'Until a date')
    page.evaluate('Date.prototype.getTime = () => 4e12')
    page.locator('input[type=date]').fill('2090-05-01')
    page.get_by_role('button', name='Create').click()
    expect(page.get_by_text('Enter a date.')).to_be_visible()
    assert keys(site, client_id) == []


def test_revoking_asks_once_and_keeps_the_usage_to_be_seen(site: Site, visit: Visit) -> None:
    client_id = site.client()
    key = site.key(client_id, 'leaked')
    site.call(client_id, key.id, tokens=700)
    page = visit(client_id, ADA)
    page.get_by_role('button', name='Revoke leaked').click()
    dialog = page.get_by_role('dialog', name='Revoke "leaked"?')
    expect(dialog).to_contain_text('stops working at once')
    dialog.get_by_role('button', name='Revoke').click()
    expect(page.get_by_text('Key "leaked" revoked')).to_be_visible()
    leaked = row(page, 'API keys', 'leaked')
    expect(leaked).to_have_count(0)
    assert keys(site, client_id)[0].state == 'revoked'
    page.get_by_role('switch', name='Show revoked').click()
    expect(leaked).to_contain_text(re.compile('Revoked.*700'))
    expect(leaked.locator('.struck').first).to_have_css('text-decoration-line', 'line-through')
    expect(leaked.get_by_role('button')).to_have_count(0)


def test_an_expired_key_says_so(site: Site, visit: Visit) -> None:
    client_id = site.client()
    key = site.key(client_id, 'old')
    site.write(lambda: models.ApiKey.update(expires_at=1).where(models.ApiKey.id == key.id).execute())
    expect(row(visit(client_id, ADA), 'API keys', 'old')).to_contain_text('Expired')


def test_a_key_that_was_revoked_meanwhile_is_revoked_again_without_harm(site: Site, visit: Visit) -> None:
    client_id = site.client()
    key = site.key(client_id, 'twice')
    page = visit(client_id, ADA)
    page.get_by_role('button', name='Revoke twice').click()
    site.act(revoke_key, key.id)
    page.get_by_role('dialog').get_by_role('button', name='Revoke').click()
    expect(page.get_by_text('Key "twice" revoked')).to_be_visible()


def test_rotating_shows_a_new_key_while_the_old_one_works_on(site: Site, visit: Visit) -> None:
    client_id = site.client('rotated')
    old = site.key(client_id, 'pipeline')
    page = visit(client_id, ADA, timezone_id='UTC')
    page.get_by_role('button', name='Rotate pipeline').click()
    dialog = page.get_by_role('dialog', name='Rotate "pipeline"')
    expect(dialog).to_contain_text(old.hint)
    dialog.get_by_role('button', name='Rotate').click()
    expect(page.get_by_role('dialog', name='Key "pipeline" created')).to_be_visible()
    shown = page.locator('.secret-key').inner_text()
    page.get_by_role('button', name='I have stored the key').click()
    rows = row(page, 'API keys', 'pipeline')
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text(re.compile('Active.*(tomorrow|in 2[34] hours)'))
    new, former = keys(site, client_id)
    assert new.hint.endswith(shown[-4:])
    assert former.id == old.id
    assert former.expires_at == new.created_at + DAY_US
    told = page.get_by_role('region', name='History').locator('tbody tr').first
    end = datetime.fromtimestamp(former.expires_at / 1_000_000, UTC)
    expect(told).to_contain_text(re.compile(rf'{old.hint} works on until {end:%b} {end.day}, {end.year}, \d+:\d\d'))
    assert told.locator('lumen-time').last.get_attribute('ms') == str(former.expires_at // 1000)


def _give_days(key_id: int, days: int) -> None:
    row = models.ApiKey
    row.update(expires_at=row.created_at + days * DAY_US).where(row.id == key_id).execute()


def test_the_new_key_expires_as_the_old_one_was_made_to(site: Site, visit: Visit) -> None:
    client_id = site.client()
    key = site.key(client_id, 'dated', expires_at=END_OF_2089)
    for name, days in (('for ninety', 90), ('for forty-five', 45)):
        site.write(_give_days, site.key(client_id, name).id, days)
    site.key(client_id, 'eternal')
    page = visit(client_id, ADA, timezone_id='UTC')
    for name, chosen in (
        ('dated', 'When the old one would'),
        ('for ninety', 'In 90 days'),
        ('for forty-five', 'In 45 days'),
        ('eternal', 'Never'),
    ):
        page.get_by_role('button', name=f'Rotate {name}').click()
        dialog = page.get_by_role('dialog', name=f'Rotate "{name}"')
        expect(dialog.locator('.q-select').last).to_contain_text(chosen)
        said = dialog.get_by_role('paragraph').filter(has_text='the old key would end on')
        expect(said).to_have_count(0 if chosen == 'Never' else 1)
        if name == 'dated':
            expect(said).to_contain_text('Dec 31, 2089')
        dialog.get_by_role('button', name='Rotate').click()
        page.get_by_role('button', name='I have stored the key').click()
    lives = {row.name: (row.expires_at, row.created_at) for row in reversed(keys(site, client_id)) if row.id > key.id}
    ends = {name: expires_at and expires_at - created_at for name, (expires_at, created_at) in lives.items()}
    assert ends.pop('dated') == END_OF_2089 - lives['dated'][1]
    assert ends == {'for ninety': 90 * DAY_US, 'for forty-five': 45 * DAY_US, 'eternal': None}


def test_rotating_without_grace_ends_the_old_key(site: Site, visit: Visit) -> None:
    client_id = site.client()
    site.key(client_id, 'leaky')
    page = visit(client_id, ADA)
    page.get_by_role('button', name='Rotate leaky').click()
    page.get_by_role('combobox', name='The old key works').click()
    page.get_by_role('option', name='Not any more').click()
    page.get_by_role('dialog').get_by_role('button', name='Rotate').click()
    page.get_by_role('button', name='I have stored the key').click()
    expect(row(page, 'API keys', 'leaky')).to_have_count(1)
    assert [key.state for key in keys(site, client_id)] == ['active', 'revoked']


def test_a_grace_of_more_than_thirty_days_is_refused_at_the_field(site: Site, visit: Visit) -> None:
    client_id = site.client()
    site.key(client_id, 'eternal')
    page = visit(client_id, ADA)
    page.get_by_role('button', name='Rotate eternal').click()
    page.get_by_role('combobox', name='The old key works').click()
    page.get_by_role('option', name='Until a date').click()
    page.locator('input[type=date]:visible').fill('2090-05-01')
    page.get_by_role('dialog').get_by_role('button', name='Rotate').click()
    expect(page.get_by_role('alert').filter(has_text='at most 30 more days')).to_be_visible()
    assert [key.state for key in keys(site, client_id)] == ['active']
