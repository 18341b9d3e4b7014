"""A choice of when something ends: never or at once, after a while, or at the end of a day."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from nicegui import events, ui

from lumen.errors import Invalid
from lumen_ui.components.dialog import FormDialog
from lumen_ui.components.markup import tag

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
ON_A_DATE = 'date'
ISO_DATE = re.compile(r'\d{4}-\d{2}-\d{2}')
MOST_FROM_UTC_SECONDS = 26 * 3600
# The browser knows where it is, and says so with the date: asking it later would take as long as the connection takes.
SAY_WHEN_IT_ENDS = """(event) => {
    const [year, month, day] = event.target.value.split("-").map(Number);
    emit(event.target.value, new Date(year, month - 1, day, 23, 59, 59).getTime());
}"""


@dataclass(frozen=True, slots=True)
class Ending:
    """`at` is microseconds since the epoch, `after` microseconds from now; neither says that there is none."""

    at: int | None = None
    after: int | None = None

    def moment(self, now: int) -> int | None:
        """In microseconds since the epoch. Within a transaction, whose time `now` is."""
        return self.at if self.after is None else now + self.after


class TimeChoice:
    """`after` are the choices that are a length of time, in microseconds by label; `at` those that are a moment, in
    microseconds since the epoch; `none` labels the one without end.

    `name` is the parameter that refusals of the date name.
    """

    def __init__(
        self,
        dialog: FormDialog,
        name: str,
        label: str,
        *,
        none: str,
        after: Mapping[str, int],
        at: Mapping[str, int] | None = None,
    ) -> None:
        self._name = name
        lengths = {label: Ending(after=length) for label, length in after.items()}
        moments = {label: Ending(at=moment) for label, moment in (at or {}).items()}
        endings = lengths | moments
        self._endings = {str(number): ending for number, ending in enumerate(endings.values())}
        choices = {'': none} | dict(zip(self._endings, endings, strict=True)) | {ON_A_DATE: 'Until a date …'}
        self._by_label = {label: key for key, label in choices.items()}
        self._choice = ui.select(choices, label=label, value='').props('outlined').classes('full-width')
        self._ends: tuple[object, object] = ('', None)
        with tag('div') as place:
            self._day = dialog.field(name, 'Works until the end of', takes_focus=False)
        self._day.props('type=date stack-label')
        place.bind_visibility_from(self._choice, 'value', value=ON_A_DATE)
        place.on('input', self._hear_when_it_ends, js_handler=SAY_WHEN_IT_ENDS)

    def choose(self, label: str) -> None:
        self._choice.value = self._by_label[label]

    def ending(self) -> Ending:
        """What was chosen. Raises Invalid for a date that is none."""
        if self._choice.value == ON_A_DATE:
            return Ending(at=self._end_of_day())
        return self._endings.get(self._choice.value or '', Ending())

    def _hear_when_it_ends(self, event: events.GenericEventArguments) -> None:
        self._ends = tuple(event.args) if isinstance(event.args, list) and len(event.args) == 2 else ('', None)

    def _end_of_day(self) -> int:
        """The last second of the entered day (`2027-01-31`) where the viewer is, as their browser said."""
        entered = self._day.value or ''
        said_of, milliseconds = self._ends
        try:
            if not ISO_DATE.fullmatch(entered) or said_of != entered or type(milliseconds) is not int:
                raise ValueError
            in_utc = datetime.combine(date.fromisoformat(entered), time(23, 59, 59), UTC).timestamp()
            if abs(milliseconds / 1000 - in_utc) > MOST_FROM_UTC_SECONDS:
                raise ValueError
        except ValueError:
            raise Invalid('Enter a date.', param=self._name) from None
        return milliseconds * 1000
