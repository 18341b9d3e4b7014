"""A time that may not have come: a moment that changes in place, or a word that stands for none."""

from __future__ import annotations

from lumen_ui.components.markup import set_attributes, tag, text
from lumen_ui.components.moment import moment


class LastTime:
    """Microseconds since the epoch, or None, which shows `none`."""

    def __init__(self, *, none: str) -> None:
        with tag('span'):
            self._none = text('span', none, 'muted')
            self._moment = moment(0)
            self._moment.set_visibility(False)

    def show(self, at: int | None) -> None:
        self._none.set_visibility(at is None)
        self._moment.set_visibility(at is not None)
        if at is not None and self._moment.props['ms'] != str(at // 1000):
            set_attributes(self._moment, ms=str(at // 1000))
