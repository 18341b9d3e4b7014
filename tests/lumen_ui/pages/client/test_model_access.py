import base64
import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

import models
from lumen.records import acknowledgements, health
from lumen.records.acknowledgements import digest_of
from tests.lumen_ui.pages.client.conftest import Visit, row
from tests.lumen_ui.pages.client.site import ADA, CONFIGURATION, GRACE, Site

MESSAGE = 'Data leaves the house.'

# Whether something is drawn along the whole lower edge of a picture, apart from the bar that scrolls.
LOWEST_LINE = """async (encoded) => {
    const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const line = (row) => [...new Uint32Array(context.getImageData(0, row, width - 20, 1).data.buffer)];
    const drawn = (row) => line(row).every((pixel) => pixel !== 0xffffffff);
    return drawn(height - 1) || drawn(height - 2) ? "drawn" : "blank";
}"""

Say = Callable[[Page, str], None]


@pytest.fixture
def say(site: Site, visit: Visit) -> Iterator[Say]:
    """Changes the message of the model *careful*; the page is told when that is in force."""
    path = site.folder / 'config.yaml'

    def change(page: Page, message: str) -> None:
        text = CONFIGURATION.replace(MESSAGE, message).replace('allowed: [echo]', 'allowed: [echo, secretive]')
        path.write_text(text)
        expect(row(page, 'Model access', 'secretive')).to_contain_text('Allowed')

    yield change
    path.write_text(CONFIGURATION)
    expect(row(visit(site.client(), ADA), 'Model access', 'secretive')).to_contain_text('Blocked')


def test_a_manager_reads_the_message_and_acknowledges_it(site: Site, visit: Visit) -> None:
    client_id = site.client('careful-bot', managed_by=(GRACE,))
    page = visit(client_id, GRACE)
    careful = row(page, 'Model access', 'careful')
    expect(careful).to_contain_text('Needs acknowledgement')
    careful.get_by_role('button', name='Acknowledge careful').click()
    dialog = page.get_by_role('dialog', name='Acknowledge "careful"')
    expect(dialog).to_contain_text(MESSAGE)
    expect(dialog).to_contain_text('Your name and the time are recorded.')
    dialog.get_by_role('button', name='Acknowledge').click()
    expect(page.get_by_text('Model "careful" acknowledged for "careful-bot"')).to_be_visible()
    expect(careful).to_contain_text(re.compile(rf'Acknowledged.*by {re.escape(GRACE)}'))
    expect(careful.get_by_role('button')).to_have_count(0)
    accepted = site.write(acknowledgements.accepted, client_id)
    assert accepted[('careful', digest_of(MESSAGE))].by == GRACE
    expect(page.get_by_role('region', name='History')).to_contain_text('acknowledged the model "careful"')


def test_a_message_that_changed_asks_again(site: Site, visit: Visit) -> None:
    client_id = site.client()
    site.act(acknowledgements.acknowledge, client_id, 'careful', digest_of(MESSAGE))
    row_of = models.Acknowledgement
    page = visit(client_id, ADA)
    expect(row(page, 'Model access', 'careful')).to_contain_text('Acknowledged')
    # As if another text had been accepted, which is what a changed message comes to.
    older = digest_of('Data stays in the house.')
    site.write(lambda: row_of.update(message_digest=older).where(row_of.account == client_id).execute())
    page.reload()
    expect(row(page, 'Model access', 'careful')).to_contain_text('Needs acknowledgement')


def test_why_a_model_is_allowed_or_blocked_is_said_in_words_and_by_its_rule(site: Site, visit: Visit) -> None:
    page = visit(site.client(), ADA)
    expect(row(page, 'Model access', 'secretive')).to_contain_text('The entry for all clients has all models blocked')
    expect(row(page, 'Model access', 'secretive')).to_contain_text('clients.default.model_access.default')


def test_the_health_of_a_model_is_told(site: Site, visit: Visit) -> None:
    page = visit(site.client(), ADA)
    expect(row(page, 'Model access', 'secretive')).to_contain_text('Unknown')
    site.write(health.note, 'secretive', 'builtin:echo', False, 'timeout 504')
    expect(row(page, 'Model access', 'secretive')).to_contain_text(re.compile('Down.*since just now'))
    site.write(health.note, 'secretive', 'builtin:echo', True, '')
    expect(row(page, 'Model access', 'secretive')).to_contain_text('Works')


def test_a_long_message_is_read_by_keyboard_and_shows_that_more_follows(site: Site, visit: Visit, say: Say) -> None:
    page = visit(site.client(), ADA)
    say(page, 'Read all of this. ' * 170 + 'Then accept.')
    page.get_by_role('button', name='Acknowledge careful').click()
    message = page.get_by_role('region', name='Message of "careful"')
    expect(message).to_contain_text('Then accept.')
    hidden = 'element => element.scrollHeight - element.clientHeight - element.scrollTop'
    assert message.evaluate(hidden) > 100
    assert page.evaluate(LOWEST_LINE, base64.b64encode(message.screenshot()).decode()) != 'blank'
    message.focus()
    page.keyboard.press('End')
    page.wait_for_function(f'element => ({hidden})(element) < 2', arg=message.element_handle())
    assert page.evaluate(LOWEST_LINE, base64.b64encode(message.screenshot()).decode()) == 'blank'


def test_a_dialog_whose_message_changed_shows_the_new_one(site: Site, visit: Visit, say: Say) -> None:
    client_id = site.client()
    page = visit(client_id, ADA)
    page.get_by_role('button', name='Acknowledge careful').click()
    dialog = page.get_by_role('dialog', name='Acknowledge "careful"')
    expect(dialog).to_contain_text(MESSAGE)
    say(visit(client_id, ADA), 'Data leaves the country.')
    dialog.get_by_role('button', name='Acknowledge').click()
    expect(page.get_by_text('The message of this model has changed.')).to_be_visible()
    expect(dialog).to_contain_text('Data leaves the country.')
    expect(dialog).not_to_contain_text(MESSAGE)
    dialog.get_by_role('button', name='Acknowledge').click()
    expect(dialog).to_have_count(0)
    assert list(site.write(acknowledgements.accepted, client_id)) == [
        ('careful', digest_of('Data leaves the country.'))
    ]
