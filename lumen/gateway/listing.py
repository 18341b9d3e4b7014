"""What `GET /v1/models` says of a model, in the fields that OpenAI's, vLLM's and OpenRouter's clients read."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from lumen.config.settings import Model
from lumen.records.health import Health

OWNER = 'lumen'
CREATED = 1_700_000_000
"""OpenAI's model objects state when a model was made; nobody knows, and clients insist on a number."""

PRICE_PLACES = 15
"""Prices are nanocoins a million tokens; what clients read is coins a token."""


def described(model: Model, health: Health) -> dict[str, Any]:
    """The model as an object of the list. `health` is Lumen's own."""
    inputs, outputs = list(model.input_modalities), list(model.output_modalities)
    return {
        'id': model.name,
        'object': 'model',
        'created': CREATED,
        'owned_by': OWNER,
        'max_model_len': model.context_window,
        'name': model.name,
        'description': model.description,
        'context_length': model.context_window,
        'architecture': {
            'modality': f'{"+".join(inputs)}->{"+".join(outputs)}',
            'input_modalities': inputs,
            'output_modalities': outputs,
        },
        'pricing': _pricing(model),
        'top_provider': {
            'context_length': model.context_window,
            'max_completion_tokens': model.max_output_tokens,
            'is_moderated': False,
        },
        'health': {'state': health.state, 'since': None if health.since is None else health.since // 1_000_000},
    }


def _pricing(model: Model) -> dict[str, str]:
    """Coins a token, and an hour of audio where that has a price of its own."""
    found = {
        'prompt': _coins_per_token(model.input_cost_per_million),
        'completion': _coins_per_token(model.output_cost_per_million),
    }
    if model.audio_cost_per_hour is not None:
        found['audio_per_hour'] = f'{Decimal(model.audio_cost_per_hour).scaleb(-9).normalize():f}'
    return found


def _coins_per_token(price: int) -> str:
    """Exactly, as a decimal number."""
    return f'{Decimal(price).scaleb(-PRICE_PLACES).normalize():f}' if price else '0'
