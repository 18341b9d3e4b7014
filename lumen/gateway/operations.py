"""The kinds of call: where each goes, what its body must be, the most that it can use, what its answer reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lumen.config.settings import Model
from lumen.gateway import bounds, checks, usage
from lumen.gateway.bounds import Bound
from lumen.gateway.usage import Usage


@dataclass(frozen=True, slots=True)
class Operation:
    """`path` is the same below our `/v1` and below an endpoint's address. `generates` is whether it writes tokens."""

    path: str
    generates: bool
    check: Callable[[dict[str, Any]], None]
    bound: Callable[[dict[str, Any], Model], Bound]
    reported: Callable[[dict[str, Any]], Usage | None]


CHAT = Operation('/chat/completions', True, checks.chat, bounds.of_chat, usage.reported)
EMBEDDINGS = Operation('/embeddings', False, checks.embeddings, bounds.of_embeddings, usage.reported_input)


@dataclass(frozen=True, slots=True)
class Route:
    """What is answered below `/v1`. `{id}` stands for the rest of a path, whatever that holds."""

    method: str
    path: str
    operation: Operation | None = None


ROUTES = (
    Route('GET', '/v1/models'),
    Route('GET', '/v1/models/{id}'),
    *(Route('POST', f'/v1{operation.path}', operation) for operation in (CHAT, EMBEDDINGS)),
)

_EXACT = {route.path: route for route in ROUTES}
_PREFIXES = [(route.path.removesuffix('{id}'), route) for route in ROUTES if route.path.endswith('{id}')]


def route_of(path: str) -> tuple[Route | None, str]:
    """The route that answers at `path`, and what stands for its `{id}`."""
    if (route := _EXACT.get(path)) is not None:
        return route, ''
    return next(((route, path.removeprefix(start)) for start, route in _PREFIXES if path.startswith(start)), (None, ''))
