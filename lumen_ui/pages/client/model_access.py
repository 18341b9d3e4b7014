"""Every model, whether the client may use it and why, and what it used."""

from __future__ import annotations

from nicegui import ui

from lumen.identity.permissions import Action
from lumen_ui.components.last_time import LastTime
from lumen_ui.components.live_table import (
    Column,
    LiveTable,
    Show,
    change,
    change_coins,
    change_tokens,
    figure,
)
from lumen_ui.components.markup import set_attributes, tag, text
from lumen_ui.components.state_badge import StateBadge, Tone
from lumen_ui.pages.client.acknowledge import open_acknowledge
from lumen_ui.pages.client.open_client import OpenClient
from lumen_ui.pages.client.section import NothingHere, section
from lumen_ui.pages.client.view import ClientView, ModelRow

COLUMNS = (
    Column('Model'),
    Column('Access'),
    Column('Why'),
    Column('Health'),
    Column('Requests', figures=True),
    Column('Tokens', figures=True),
    Column('Coins', figures=True),
    Column('Last used'),
    Column('Actions', spoken_only=True),
)
HEALTH: dict[str | None, tuple[str, str, Tone]] = {
    'ok': ('Works', 'check_circle', 'good'),
    'degraded': ('Degraded', 'warning', 'bad'),
    'down': ('Down', 'error', 'bad'),
    'unknown': ('Unknown', 'radio_button_unchecked', 'quiet'),
    'disabled': ('Switched off', 'power_settings_new', 'quiet'),
    None: ('–', 'remove', 'quiet'),
}
BADGES: dict[str, tuple[str, str, Tone]] = {
    'allowed': ('Allowed', 'check_circle', 'good'),
    'needs acknowledgement': ('Needs acknowledgement', 'draw', 'quiet'),
    'acknowledged': ('Acknowledged', 'check_circle', 'good'),
    'blocked': ('Blocked', 'block', 'bad'),
    'removed': ('Removed', 'remove_circle_outline', 'quiet'),
}


def model_access(page: OpenClient) -> None:
    with section(
        'Model access',
        'Decided by the configuration. The first rule that speaks counts.',
        help_topic='configuring-clients',
    ):
        table = LiveTable('Model access', COLUMNS, lambda model: _build(page, model))
        nothing = NothingHere()

    def show(view: ClientView) -> None:
        table.show({model.name: model for model in view.models})
        nothing.show('' if view.models else 'No models are configured yet. An admin adds them to config.yaml.')

    page.on_change(show)


def _build(page: OpenClient, model: ModelRow) -> Show[ModelRow]:
    with tag('th', 'row-name', scope='row'):
        text('span', model.name)
    with tag('td', 'access'):
        badge = StateBadge()
        with tag('div', 'muted accepted') as accepted:
            by = text('span', '')
            accepted_at = LastTime(none='')
    with tag('td', 'why'):
        why, rule = text('div', ''), text('div', '', 'rule')
    with tag('td', 'nowrap'):
        health = StateBadge()
        with tag('div', 'muted accepted') as since:
            text('span', 'since ')
            since_at = LastTime(none='')
    requests, tokens, spent = figure(), figure(), figure()
    with tag('td', 'nowrap'):
        last_used = LastTime(none='Never')
    with tag('td', 'row-actions'):
        acknowledge = ui.button('Acknowledge').props('outline no-caps dense')
        set_attributes(acknowledge, aria_label=f'Acknowledge {model.name}')

    def open_dialog() -> None:
        with page.content:
            open_acknowledge(page, model.name)

    acknowledge.on_click(open_dialog)

    def show(row: ModelRow) -> None:
        badge.show(*BADGES[row.access])
        change(why, row.why)
        change(rule, row.rule)
        accepted.set_visibility(row.acceptance is not None)
        if row.acceptance:
            change(by, f'by {row.acceptance.by}, ')
            accepted_at.show(row.acceptance.at)
        health.show(*HEALTH[row.health.state if row.health else None])
        troubled = row.health is not None and row.health.state in ('down', 'degraded')
        since.set_visibility(troubled)
        since_at.show(row.health.since if row.health and troubled else None)
        acknowledge.set_visibility(row.access == 'needs acknowledgement' and page.view.may(Action.ACKNOWLEDGE))
        usage = row.usage
        change(requests, f'{usage.requests if usage else 0:,}')
        change_tokens(tokens, usage.input_tokens if usage else 0, usage.output_tokens if usage else 0)
        change_coins(spent, usage.spent if usage else 0)
        last_used.show(usage.last_used_at if usage else None)

    return show
