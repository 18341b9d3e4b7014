"""The configuration in force: loaded at start, read again when the file changes, never replaced by a bad one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import structlog

from lumen.config.reading import read
from lumen.config.settings import Settings
from lumen.errors import ConfigurationError

log = structlog.get_logger()

Stamp = tuple[int, int, int] | None
"""When a file was written, its size and its inode; None when it is not there."""


class Configuration:
    """`current` is always good. `faults` are those of the file as it is now: empty when it is the one in force.

    Both, and `warnings`, are immutable and replaced as a whole: any thread may read them at any time.
    """

    def __init__(self, path: Path, environment: Mapping[str, str]):
        self.path = path
        self.current: Settings
        self.faults: tuple[str, ...] = ()
        self.warnings: tuple[str, ...] = ()
        self._environment = dict(environment)
        self._taken = self._seen = self._look()
        loaded = read(path, self._environment)
        self.current = _with_its_maps(loaded.settings)
        self.warnings = loaded.warnings
        for warning in self.warnings:
            log.warning('configuration', warning=warning)

    @classmethod
    def load(cls, path: Path, environment: Mapping[str, str]) -> Configuration:
        """Read the file for the first time. Raises ConfigurationError that names every fault."""
        return cls(path, environment)

    def reload_if_changed(self) -> bool:
        """Read the file again when it changed; whether new settings came into force.

        To be called again and again: a change is taken when two calls in a row see the file alike, as half a file may
        well be good YAML. A bad file is refused: what was in force stays, and `faults` says why. So is one that lost
        its `version` while the one in force has one, for then its beginning is not there. Reads the disk: not for the
        event loop.
        """
        stamp = self._look()
        is_settled = stamp == self._seen
        self._seen = stamp
        if stamp == self._taken or not is_settled:
            return False
        try:
            has_version = 'version' in self.current.model_fields_set
            loaded = read(self.path, self._environment, needs_version=has_version)
        except ConfigurationError as error:
            if self._look() == stamp:
                self._refuse(stamp, error)
            return False
        if self._look() != stamp:
            return False
        self._taken = stamp
        kept, restart = _keep_what_needs_a_restart(self.current, loaded.settings)
        self.current = _with_its_maps(kept)
        self.faults = ()
        self.warnings = loaded.warnings + restart
        for warning in self.warnings:
            log.warning('configuration', warning=warning)
        log.info('configuration reloaded', file=str(self.path))
        return True

    async def watch(self, interval_seconds: float = 1.0) -> None:
        """Look for changes until cancelled."""
        while True:
            await asyncio.sleep(interval_seconds)
            try:
                await asyncio.to_thread(self.reload_if_changed)
            except Exception:  # whatever it is, later changes must be seen
                log.exception('the configuration could not be looked at')

    def _refuse(self, stamp: Stamp, error: ConfigurationError) -> None:
        self._taken = stamp
        self.faults = tuple(error.message.splitlines())
        for fault in self.faults:
            log.error('the changed configuration is not used', fault=fault)

    def _look(self) -> Stamp:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino


def _with_its_maps(settings: Settings) -> Settings:
    """The settings after a first question of each kind, which takes long where many clients and users are named."""
    settings.model('')
    settings.is_admin('')
    settings.pool('client', '')
    settings.pool('user', '')
    return settings


def _keep_what_needs_a_restart(old: Settings, new: Settings) -> tuple[Settings, tuple[str, ...]]:
    warnings = []
    keep: dict[str, object] = {}
    for name in ('secret_key', 'encryption_key', 'database', 'grace_seconds'):
        before: object = getattr(old.app, name)
        if before != getattr(new.app, name):
            keep[name] = before
            warnings.append(f'app.{name} changed: that takes effect at the next start')
    return new.model_copy(update={'app': new.app.model_copy(update=keep)}), tuple(warnings)
