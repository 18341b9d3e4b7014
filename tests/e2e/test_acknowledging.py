"""A model that asks for an acknowledgement, on a served installation: where the refusal leads, and what lifts it."""

import re

import openai
import pytest

from tests.e2e.serving import Server, wait_until


def embed(server: Server, key: str) -> openai.types.CreateEmbeddingResponse:
    with openai.OpenAI(base_url=f'{server.address}/v1', api_key=key, max_retries=0) as client:
        return client.embeddings.create(model='echo', input='hello there')


def is_served(server: Server, key: str) -> bool:
    try:
        return bool(embed(server, key).data)
    except openai.PermissionDeniedError:
        return False


def test_a_refused_call_leads_to_a_page_and_passes_within_a_second_of_the_acknowledgement(installation: Server):
    text = installation.configuration.read_text()
    asking = '  - name: echo\n    needs_ack: true\n    ack_message: Be kind.\n'
    installation.configuration.write_text(text.replace('  - name: echo\n', asking))
    installation.start()
    key = installation.new_key('bot')
    with pytest.raises(openai.PermissionDeniedError) as refused:
        embed(installation, key)
    assert refused.value.code == 'acknowledgement_required'
    address = re.search(r'https?://[^\s\'"]+', refused.value.message)
    assert address is not None
    assert address[0].startswith(f'{installation.address}/clients/')
    status, page = installation.get(address[0].removeprefix(installation.address))
    assert (status, 'Sign in' in page) == (200, True)
    installation.json('client', 'acknowledge', 'bot', 'echo', '--yes')
    wait_until(lambda: is_served(installation, key), seconds=1)
    assert installation.json('client', 'show', 'bot')['output_tokens'] == 0
    assert installation.json('check')['clean']
