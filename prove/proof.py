"""What one case of a lane found, beside what is stated of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NOT_RUN = 'not run'


@dataclass(frozen=True, slots=True)
class Proof:
    """One case: `stated` is what must come of it, `found` its figures, `wrong` what was otherwise, a sentence each."""

    case: str
    on: str
    calls: int
    stated: str
    found: Mapping[str, int | float | str]
    wrong: tuple[str, ...]

    @property
    def not_run(self) -> str:
        """Why it was not; empty when it was."""
        return str(self.found.get(NOT_RUN, ''))


def not_run(case: str, on: str, stated: str, reason: str) -> Proof:
    """A case that this machine does not allow."""
    return Proof(case, on, calls=0, stated=stated, found={NOT_RUN: reason}, wrong=())


class Wrongs:
    """Gathers what is not as stated."""

    def __init__(self) -> None:
        self._said: list[str] = []

    def __call__(self, is_wrong: bool, what: str) -> None:
        """Note `what` when it is wrong."""
        if is_wrong:
            self._said.append(what)

    def add(self, said: list[str]) -> None:
        self._said += said

    @property
    def all(self) -> tuple[str, ...]:
        return tuple(self._said)
