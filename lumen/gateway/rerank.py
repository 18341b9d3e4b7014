"""`/v1/rerank`: which of some documents fit a query best. Cohere and Jina made its shape, vLLM and others speak it."""

from __future__ import annotations

from typing import Any

from lumen.config.settings import Model
from lumen.errors import Invalid
from lumen.gateway import bounds, checks
from lumen.gateway.bounds import TOKENS_PER_MESSAGE, Bound
from lumen.gateway.usage import Usage, is_count

APART = bounds.NOT_PROMPT | {'query', 'documents', 'top_n', 'return_documents'}
DOCUMENT = frozenset({'text'})


def check(body: dict[str, Any]) -> None:
    """Raises Invalid naming the first field that is missing or mistyped."""
    checks.names_model(body)
    if not isinstance(body.get('query'), str | dict) or not body['query']:
        raise Invalid('"query" must be a text.', param='query')
    documents = body.get('documents')
    if not isinstance(documents, list) or not 0 < len(documents) <= checks.MAX_INPUTS:
        raise Invalid(f'"documents" must be a list of 1 to {checks.MAX_INPUTS:,} documents.', param='documents')
    for number, document in enumerate(documents):
        if not isinstance(document, str | dict):
            raise Invalid('Each document must be a text or an object.', param=f'documents[{number}]')
    checks.integer(body, 'top_n', 1, checks.MAX_TOKENS)
    checks.bounded(body)


def bound(body: dict[str, Any], model: Model) -> Bound:
    """The bound of a checked request: the query is read with each of the documents, within the context window."""
    window = model.context_window or bounds.FREE_CONTEXT
    query, documents = body['query'], body['documents']
    more = bounds.bytes_of_text({name: value for name, value in body.items() if name not in APART})
    each = bounds.bytes_of_text(query) + more + 2 * TOKENS_PER_MESSAGE
    is_all_text = isinstance(query, str) and all(isinstance(item, str) or item.keys() <= DOCUMENT for item in documents)
    reads_more = not is_all_text or bounds.may_read_more(body)
    sizes = [bounds.bytes_of_text(document) for document in documents]
    return Bound(
        input=sum(window if reads_more else min(size + each, window) for size in sizes),
        output=0,
        choices=1,
        text_bytes=sum(sizes) + each * len(documents),
        images=0,
        reads_more=reads_more,
    )


def reported(found: dict[str, Any], before: Usage | None) -> Usage | None:
    """The usage in an answer: `usage` as embeddings have it or the total alone, or Cohere's `meta.tokens`."""
    usage, meta = found.get('usage'), found.get('meta')
    tokens = meta.get('tokens') if isinstance(meta, dict) else None
    candidates = [
        place.get(name)
        for place in (usage, tokens)
        if isinstance(place, dict)
        for name in ('prompt_tokens', 'total_tokens', 'input_tokens')
    ]
    read = next(filter(is_count, candidates), None)
    return None if read is None else Usage(read, 0)
