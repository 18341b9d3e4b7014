"""Every model, whether the client may use it and why, and what it used."""

from __future__ import annotations

from lumen_ui.components.last_time import LastTime
from lumen_ui.components.live_table import (
    Column,
    LiveTable,
    Show,
    cell,
    change,
    change_coins,
    change_tokens,
    figure,
)
from lumen_ui.components.markup import tag, text
from lumen_ui.components.state_badge import StateBadge, Tone
from lumen_ui.pages.client.open_client import OpenClient
from lumen_ui.pages.client.section import NothingHere, section
from lumen_ui.pages.client.view import ClientView, ModelRow

COLUMNS = (
    Column('Model'),
    Column('Access'),
    Column('Why'),
    Column('Requests', figures=True),
    Column('Tokens', figures=True),
    Column('Coins', figures=True),
    Column('Last used'),
)
BADGES: dict[str, tuple[str, str, Tone]] = {
    'allowed': ('Allowed', 'check_circle', 'good'),
    'needs acknowledgement': ('Needs acknowledgement', 'draw', 'quiet'),
    'blocked': ('Blocked', 'block', 'bad'),
    'removed': ('Removed', 'remove_circle_outline', 'quiet'),
}


def model_access(page: OpenClient) -> None:
    with section('Model access', 'Decided by the configuration. The first rule that speaks counts.'):
        table = LiveTable('Model access', COLUMNS, _build)
        nothing = NothingHere()

    def show(view: ClientView) -> None:
        table.show({model.name: model for model in view.models})
        nothing.show('' if view.models else 'No models are configured yet. An admin adds them to config.yaml.')

    page.on_change(show)


def _build(model: ModelRow) -> Show[ModelRow]:
    with tag('th', 'row-name', scope='row'):
        text('span', model.name)
    with tag('td'):
        badge = StateBadge()
    rule = cell(classes='rule')
    requests, tokens, spent = figure(), figure(), figure()
    with tag('td', 'nowrap'):
        last_used = LastTime(none='Never')

    def show(row: ModelRow) -> None:
        badge.show(*BADGES[row.access])
        change(rule, row.rule)
        usage = row.usage
        change(requests, f'{usage.requests if usage else 0:,}')
        change_tokens(tokens, usage.input_tokens if usage else 0, usage.output_tokens if usage else 0)
        change_coins(spent, usage.spent if usage else 0)
        last_used.show(usage.last_used_at if usage else None)

    return show
