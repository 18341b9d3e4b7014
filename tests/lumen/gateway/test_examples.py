"""The requests in docs/api.md are taken as they stand there."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from lumen.config.settings import Settings
from lumen.gateway.echo import EchoOptions
from tests.lumen.gateway.conftest import Running, configured

TEXT = (Path(__file__).parents[3] / 'docs' / 'api.md').read_text()
EXAMPLES = [*re.findall(r"-d '(\{.+?\})'$", TEXT, re.MULTILINE), *re.findall(r'^```json\n(.+?)```', TEXT, re.M | re.S)]


@pytest.mark.parametrize('database_url', ['sqlite'], indirect=True)
def test_every_example_is_taken(run: Callable[[Settings], Running]):
    gateway = run(configured('builtin:echo', name='echo'))
    headers = {'authorization': f'Bearer {gateway.key}', 'content-type': 'application/json'}
    address = f'{gateway.address}/v1/chat/completions'
    for example in EXAMPLES:
        fails = 'status' in json.loads(example).get('echo', {})
        answer = httpx2.post(address, content=example, headers=headers, timeout=30)
        assert answer.status_code == (502 if fails else 200), f'{example}: {answer.text}'
    assert len(EXAMPLES) == 3


def test_the_examples_show_everything_that_the_echo_model_can_be_told():
    told = {name for example in EXAMPLES for name in json.loads(example).get('echo', {})}
    assert told == {field.name for field in dataclasses.fields(EchoOptions)}
