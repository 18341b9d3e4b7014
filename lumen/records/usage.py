"""What was used, from the counters that settlements keep; never from the log of requests."""

from __future__ import annotations

from dataclasses import dataclass

from peewee import fn

import models
from lumen.config.settings import Settings
from lumen.database import tuples
from lumen.identity import permissions
from lumen.identity.permissions import Action, Actor


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """A client's use of one model. `spent` is nanocoins, `last_used_at` microseconds since the epoch."""

    requests: int
    input_tokens: int
    output_tokens: int
    spent: int
    last_used_at: int


def model_usage(actor: Actor, account_id: int, *, settings: Settings) -> dict[str, ModelUsage]:
    """The use of every model that the client ever called, by model name."""
    permissions.require(actor, Action.SEE_CLIENT, settings, account_id)
    usage = models.HourlyUsage
    query = (
        usage.select(
            usage.model,
            fn.sum(usage.requests),
            fn.sum(usage.input_tokens),
            fn.sum(usage.output_tokens),
            fn.sum(usage.spent),
            fn.max(usage.last_used_at),
        )
        .where(usage.account == account_id)
        .group_by(usage.model)
    )
    return {name: ModelUsage(*map(int, figures)) for name, *figures in tuples(query)}
