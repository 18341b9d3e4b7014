"""What is wrong with the configuration file as it is now, on every page of those who can mend it."""

from __future__ import annotations

from nicegui import ui

from lumen.errors import DatabaseUnavailable, NotAuthenticated
from lumen.identity import permissions
from lumen_ui.components.markup import tag, text
from lumen_ui.guard import Visitor

INTERVAL_SECONDS = 1.0
FAULTS_SHOWN = 5


class FaultsNotice:
    """Make one for an admin only. It asks who they are by now whenever it has something else to say."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor = visitor
        self._known: tuple[str, ...] = ()
        with tag('div', 'announcement', role='status', aria_label='Faults of the configuration') as self._element:
            ui.icon('report_problem').props('aria-hidden=true')
            self._text = text('p', '', 'announcement-text')
        self._show(visitor.services.configuration.faults)
        ui.timer(INTERVAL_SECONDS, self._follow, immediate=False)

    async def _follow(self) -> None:
        faults = self._visitor.services.configuration.faults
        if faults == self._known:
            return
        try:
            person = await self._visitor.read(permissions.load, self._visitor.actor, self._visitor.settings)
        except DatabaseUnavailable:
            return  # and ask again
        except NotAuthenticated:
            faults = ()
        else:
            faults = faults if person.is_admin else ()
        self._show(faults)

    def _show(self, faults: tuple[str, ...]) -> None:
        self._known = faults
        lines = [f'{faults[0].partition(":")[0]} has faults; what was in force stays:'] if faults else []
        lines += faults[:FAULTS_SHOWN]
        if len(faults) > FAULTS_SHOWN:
            lines.append(f'and {len(faults) - FAULTS_SHOWN} more, which the log names')
        self._text.text = '\n'.join(lines)
        self._element.set_visibility(bool(faults))
