"""The kinds of call: where each goes, what its body must be, the most that it can use, what its answer tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lumen.coins import Price
from lumen.config.settings import Model
from lumen.errors import LumenError
from lumen.gateway import audio, bounds, checks, errors, messages, rerank, responses, usage
from lumen.gateway.bounds import Bound
from lumen.gateway.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`path` is the same below our `/v1` and below an endpoint's address. The rest is how OpenAI's chat does it, unless
    it says otherwise.
    """

    path: str
    check: Callable[[dict[str, Any]], None]
    bound: Callable[[dict[str, Any], Model], Bound]

    price: Callable[[Model], Price] = lambda model: model.price
    """What it costs with a model."""

    reported: Callable[[dict[str, Any], Usage | None], Usage | None] = usage.reported
    """The usage in an answer or an event, of which some was reported before."""

    generated: Callable[[dict[str, Any]], int] = usage.generated_bytes
    """The bytes of text that one brings."""

    has_failed: Callable[[dict[str, Any]], bool] = usage.is_error
    """Whether one says that the model server failed."""

    generates: bool = True
    """Whether it writes tokens."""

    limits: tuple[str, ...] = ('max_tokens', 'max_completion_tokens')
    """The fields that bound what is written. The first is added where none is there."""

    adds: Mapping[str, Any] = field(default_factory=dict)
    """What every request says to the model server."""

    passes_on: Mapping[bytes, str] = field(default_factory=dict)
    """The headers of a caller that the model server gets, and what it gets when they say nothing that can be."""

    is_last: Callable[[dict[str, Any]], bool] | None = None
    """Whether an event is the last of a stream; None where `[DONE]` is, and usage has to be asked for."""

    ends_with_done: bool = False
    """Whether `[DONE]` is the last for some model servers all the same."""

    is_upload: bool = False
    """Whether its body is a form with a file."""

    is_text: Callable[[dict[str, Any]], bool] | None = None
    """Whether the whole answer that a body asks for may be a text, and no JSON; None where none may."""

    audio_us: Callable[[str], int | None] | None = None
    """How long the audio probably was of which such a text tells."""

    error_body: Callable[[LumenError], bytes] = errors.body
    error_event: Callable[[LumenError, int], bytes] = errors.event
    """How a stream of so many events says that it ends here."""


CHAT = Operation(path='/chat/completions', check=checks.chat, bound=bounds.of_chat)
COMPLETIONS = Operation(
    path='/completions', check=checks.completions, bound=bounds.of_completions, limits=('max_tokens',)
)
EMBEDDINGS = Operation(
    path='/embeddings',
    check=checks.embeddings,
    bound=bounds.of_embeddings,
    reported=usage.reported_input,
    generates=False,
)
RERANK = Operation(path='/rerank', check=rerank.check, bound=rerank.bound, reported=rerank.reported, generates=False)
RESPONSES = Operation(
    path='/responses',
    check=responses.check,
    bound=responses.bound,
    reported=responses.reported,
    generated=responses.generated,
    has_failed=responses.has_failed,
    limits=('max_output_tokens',),
    adds={'store': False},
    is_last=responses.is_last,
    error_event=responses.error_event,
)
MESSAGES = Operation(
    path='/messages',
    check=messages.check,
    bound=messages.bound,
    reported=messages.reported,
    generated=messages.generated,
    has_failed=messages.has_failed,
    limits=('max_tokens',),
    passes_on=messages.HEADERS,
    is_last=messages.is_last,
    error_body=messages.error_body,
    error_event=messages.error_event,
)
COUNT_TOKENS = Operation(
    path='/messages/count_tokens',
    check=messages.check_counted,
    bound=messages.bound_counted,
    reported=messages.reported_counted,
    has_failed=messages.has_failed,
    generates=False,
    passes_on=messages.HEADERS,
    error_body=messages.error_body,
)
TRANSCRIPTIONS = Operation(
    path='/audio/transcriptions',
    check=audio.check,
    bound=audio.bound,
    price=audio.price,
    reported=audio.reported,
    generated=audio.generated,
    limits=(),
    is_last=audio.is_last,
    ends_with_done=True,
    is_upload=True,
    is_text=audio.is_text,
    audio_us=audio.last_cue_us,
)
TRANSLATIONS = replace(TRANSCRIPTIONS, path='/audio/translations')
OPERATIONS = (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    RERANK,
    RESPONSES,
    MESSAGES,
    COUNT_TOKENS,
    TRANSCRIPTIONS,
    TRANSLATIONS,
)


@dataclass(frozen=True, slots=True)
class Route:
    """What is answered below `/v1`. `{id}` stands for the rest of a path, whatever that holds."""

    method: str
    path: str
    operation: Operation | None = None


ROUTES = (
    Route('GET', '/v1/models'),
    Route('GET', '/v1/models/{id}'),
    *(Route('POST', f'/v1{operation.path}', operation) for operation in OPERATIONS),
)

_EXACT = {route.path: route for route in ROUTES}
_PREFIXES = [(route.path.removesuffix('{id}'), route) for route in ROUTES if route.path.endswith('{id}')]


def route_of(path: str) -> tuple[Route | None, str]:
    """The route that answers at `path`, and what stands for its `{id}`."""
    if (route := _EXACT.get(path)) is not None:
        return route, ''
    return next(((route, path.removeprefix(start)) for start, route in _PREFIXES if path.startswith(start)), (None, ''))
