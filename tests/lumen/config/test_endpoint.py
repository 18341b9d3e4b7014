"""What an endpoint may say."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from lumen.config.endpoint import Endpoint, Tls


def test_a_file_that_is_not_there_is_a_fault_of_the_configuration(tmp_path: Path):
    with pytest.raises(ValidationError, match='cannot be read: No such file'):
        Tls(ca_file=str(tmp_path / 'nowhere.pem'))


def test_the_first_byte_is_waited_for_like_the_others_unless_it_says_otherwise():
    assert Endpoint(url='http://a', idle_timeout_seconds=7).patience == (7, 7)
    assert Endpoint(url='http://a', idle_timeout_seconds=7, first_byte_timeout_seconds=600).patience == (600, 7)
