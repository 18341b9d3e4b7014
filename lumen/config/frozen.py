"""A section of `config.yaml`: what all of them have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra='forbid', hide_input_in_errors=True, protected_namespaces=())

    @model_validator(mode='before')
    @classmethod
    def _left_out(cls, given: Any) -> Any:
        """A key with nothing behind it is left out, but only one that is known: the others are faults."""
        if not isinstance(given, dict):
            return given
        return {key: value for key, value in given.items() if value is not None or key not in cls.model_fields}
