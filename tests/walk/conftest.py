"""A served site with the whole cast, once a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lumen_ui.pages.client.site import Site
from tests.walk.cast import Stage


@pytest.fixture(scope='module')
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    site = Site(tmp_path_factory.mktemp('walk'))
    yield Stage(site)
    site.stop()


@pytest.fixture
def unbroken(stage: Stage) -> Iterator[None]:
    """Nothing breaks on the server meanwhile."""
    before = len(stage.site.log.read_text())
    yield
    assert 'Traceback' not in stage.site.log.read_text()[before:]
