"""What one process may serve: everything, the pages only, or the API only."""

from __future__ import annotations

from typing import Literal, get_args

Role = Literal['all', 'ui', 'gateway']
ROLES: tuple[Role, ...] = get_args(Role)
