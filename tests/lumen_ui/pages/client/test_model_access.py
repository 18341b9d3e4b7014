import re

from playwright.sync_api import expect

import models
from lumen.records import acknowledgements, health
from lumen.records.acknowledgements import digest_of
from tests.lumen_ui.pages.client.conftest import Visit, row
from tests.lumen_ui.pages.client.site import ADA, GRACE, Site

MESSAGE = 'Data leaves the house.'


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
