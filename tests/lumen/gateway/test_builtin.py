"""The built-in model server within the process."""

from __future__ import annotations

import asyncio
import json

from lumen.config.endpoint import Patience
from lumen.gateway.builtin import QUEUED_CHUNKS, BuiltinServer


async def test_a_stream_that_nobody_reads_any_more_ends_with_its_answer():
    before = asyncio.all_tasks()
    body = {'model': 'm', 'stream': True, 'messages': [{'role': 'user', 'content': 'word ' * 5000}]}
    answer = await BuiltinServer().post('/chat/completions', json.dumps(body).encode(), Patience(5, 5), [].append)
    (running,) = asyncio.all_tasks() - before
    while answer._messages.qsize() < QUEUED_CHUNKS:  # noqa: ASYNC110 - a queue has no event for it
        await asyncio.sleep(0)
    answer.close()
    done, _ = await asyncio.wait([running], timeout=5)
    assert done == {running}
