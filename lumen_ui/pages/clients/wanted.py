"""What a viewer wants to see of the clients, as the page's address says it: to bookmark, to share, to go back to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from lumen.records import client_list

STATES: dict[str, bool | None] = {'all': None, 'active': True, 'deactivated': False}
MAX_SEARCH = 64
MAX_PAGE = 1_000_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """`page` counts from 0; in the address it counts from 1, as people do."""

    search: str = ''
    state: str = 'all'
    sort: str = 'name'
    descending: bool = False
    page: int = 0

    @classmethod
    def from_address(cls, parameters: Mapping[str, str]) -> Wanted:
        """Whatever the address says that makes sense; the usual for the rest."""
        state, sort, page = parameters.get('state', ''), parameters.get('sort', ''), parameters.get('page', '')
        return cls(
            search=parameters.get('q', '')[:MAX_SEARCH],
            state=state if state in STATES else 'all',
            sort=sort if sort in client_list.SORTS else 'name',
            descending=parameters.get('dir') == 'desc',
            page=min(max(int(page), 1), MAX_PAGE) - 1 if page.isascii() and page.isdigit() and len(page) < 9 else 0,
        )

    @property
    def address(self) -> str:
        """The page's address with what is not usual."""
        said = {
            'q': self.search,
            'state': self.state if self.state != 'all' else '',
            'sort': self.sort if self.sort != 'name' else '',
            'dir': 'desc' if self.descending else '',
            'page': str(self.page + 1) if self.page else '',
        }
        parameters = urlencode({name: value for name, value in said.items() if value})
        return f'/clients?{parameters}' if parameters else '/clients'

    @property
    def question(self) -> dict[str, Any]:
        """The keyword arguments of `client_list.rows`."""
        return {
            'search': self.search,
            'active': STATES[self.state],
            'sort': self.sort,
            'descending': self.descending,
            'page': self.page,
        }
