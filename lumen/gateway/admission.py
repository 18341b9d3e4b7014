"""Letting a call in: its model, the account's access to it, and the coins that it could cost."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from lumen import access
from lumen.coins import Price
from lumen.config.endpoint import Endpoint
from lumen.config.settings import Model, Settings
from lumen.errors import Forbidden, InsufficientCoins, NotFound
from lumen.gateway import audio
from lumen.gateway import body as request_body
from lumen.gateway.bounds import Bound
from lumen.gateway.exchange import Exchange
from lumen.gateway.expectation import Expectation
from lumen.gateway.operations import Operation
from lumen.gateway.upload import Outgoing, Upload
from lumen.identity.keys import KeyIdentity
from lumen.ledger import Ask, Held, Ledger
from lumen.ledger.ledger import SettingsSource
from lumen.records import acknowledgements

DATE = re.compile(r'\d{4}-\d\d-\d\d')
"""What the headers that are passed on are: versions of an API."""


class Call(NamedTuple):
    """A call that was let in: coins are held. `body` is what the caller sent."""

    operation: Operation
    held: Held
    model: Model
    bound: Bound
    body: dict[str, Any]
    streamed: bool
    wants_usage: bool
    identity: KeyIdentity
    passed_on: tuple[tuple[str, str], ...]
    """Headers of the caller that the model server gets."""

    fallbacks: tuple[tuple[Model, Bound], ...]
    """The models that may answer when this one does not."""

    upload: Upload | None = None
    """What the caller sends, where that is a form with a file."""

    @property
    def price(self) -> Price:
        return self.operation.price(self.model)

    @property
    def can_be_sent_again(self) -> bool:
        return self.upload is None or self.upload.can_be_sent_again

    def fallen_back(self) -> Call:
        """The same call, to the first of them."""
        (model, bound), *others = self.fallbacks
        return self._replace(model=model, bound=bound, fallbacks=tuple(others))

    def content(self, endpoint: Endpoint) -> bytes | Outgoing:
        """What goes to the endpoint."""
        if self.upload is None:
            return request_body.dump(self.outgoing(endpoint))
        more = audio.ASKS_FOR_USAGE if self.streamed and endpoint.continuous_usage else {}
        return self.upload.to(endpoint.model or self.model.name, more)

    def outgoing(self, endpoint: Endpoint) -> dict[str, Any]:
        """The body with the endpoint's name of the model, its output bounded and, for streams, usage asked for."""
        body, held, operation = self.body, self.held, self.operation
        outgoing = body | {'model': endpoint.model or self.model.name}
        if operation.adds:
            outgoing |= operation.adds
        if not operation.generates:
            return outgoing
        is_named = False
        most = min(held.output_bound, self.bound.output)  # what is held may be for a fallback that writes more
        for name in operation.limits:
            if (stated := body.get(name)) is not None:
                outgoing[name] = min(stated, most)
                is_named = True
        if held.bounded_by_pool and not is_named:
            outgoing[operation.limits[0]] = most
        if self.streamed and operation.is_last is None:
            options = (body.get('stream_options') or {}) | {'include_usage': True}
            if endpoint.continuous_usage:
                options['continuous_usage_stats'] = True
            outgoing['stream_options'] = options
        return outgoing


class Admission:
    def __init__(self, ledger: Ledger, expectation: Expectation):
        self._ledger = ledger
        self._expectation = expectation

    async def admit(
        self,
        operation: Operation,
        body: dict[str, Any],
        exchange: Exchange,
        identity: KeyIdentity,
        configuration: SettingsSource,
        upload: Upload | None = None,
    ) -> Call:
        """Hold coins for a checked call. What was decided for one that waited is decided again before it starts.

        Raises NotFound (`model_not_found`), Forbidden (`acknowledgement_required`, `account_deactivated`,
        `no_budget`), InsufficientCoins or NotAuthenticated.
        """
        streamed = operation.generates and body.get('stream') is True
        settings = configuration.current
        model = self._allowed(settings, identity, body['model'], exchange)
        bound = operation.bound(body, model)
        others = self._fallbacks(settings, identity, model, operation, body) if model.fallbacks else ()

        def ask() -> Ask:
            most, dearest = _most(operation, model, bound, others) if others else (bound, None)
            return Ask(
                request_id=exchange.request_id,
                account_id=identity.account_id,
                key_id=identity.key_id,
                kind=identity.kind,
                handle=identity.handle,
                model=model.name,
                price=operation.price(model),
                input_bound=most.input,
                output_bound=most.output,
                choices=bound.choices,
                expected_input_tokens=self._expectation.input_tokens(model.name, bound),
                expected_output_tokens=self._expectation.output_tokens(model.name, bound),
                streamed=streamed,
                most_at_once=settings.limits(identity.kind, identity.handle).concurrency,
                dearest=dearest,
                audio_bound_us=most.audio_us,
                expected_audio_us=self._expectation.audio_us(model.name, bound, bound.upload_bytes)
                if bound.audio_us
                else 0,
            )

        def ask_anew() -> Ask:
            nonlocal settings, model, bound
            if configuration.current is not settings:
                settings = configuration.current
                model = self._allowed(settings, identity, body['model'], exchange)
                bound = operation.bound(body, model)
            return ask()

        held: Held | None = None
        if others:
            try:
                held = await self._ledger.hold(ask(), waits=False)
            except InsufficientCoins:
                others = ()  # what the pool can pay is the model that was asked for
        if held is None:
            held = await self._ledger.hold(ask(), ask_anew)
        wants_usage = streamed and (operation.is_last is not None or _wants_usage(body))
        passed_on = _passed_on(operation, exchange) if operation.passes_on else ()
        return Call(operation, held, model, bound, body, streamed, wants_usage, identity, passed_on, others, upload)

    def _allowed(self, settings: Settings, identity: KeyIdentity, name: str, exchange: Exchange) -> Model:
        model = find_model(settings, identity, name)
        if not _is_acknowledged(identity, model, settings):
            raise _acknowledgement_required(identity, model, settings, exchange)
        return model

    def _fallbacks(
        self, settings: Settings, identity: KeyIdentity, model: Model, operation: Operation, body: dict[str, Any]
    ) -> tuple[tuple[Model, Bound], ...]:
        """Those that the account may use, too, in the order of the file."""
        found = filter(None, map(settings.model, model.fallbacks))
        return tuple(
            (other, operation.bound(body, other))
            for other in found
            if access.decide(settings, identity.kind, identity.handle, other).is_allowed
            and _is_acknowledged(identity, other, settings)
        )


def _most(
    operation: Operation, model: Model, bound: Bound, others: Sequence[tuple[Model, Bound]]
) -> tuple[Bound, Price]:
    """The most that the model or one of the others may use, and at what price."""
    bounds = [bound, *(other for _, other in others)]
    prices = [operation.price(each) for each in (model, *(other for other, _ in others))]
    most = bound._replace(
        input=max(each.input for each in bounds),
        output=max(each.output for each in bounds),
        audio_us=max(each.audio_us for each in bounds),
    )
    return most, Price(*map(max, zip(*prices, strict=True)))


def find_model(settings: Settings, identity: KeyIdentity, name: str) -> Model:
    """The model, if the account may use it. Raises NotFound in the same words whether it is unknown or blocked."""
    model = settings.model(name)
    if model is None or not access.decide(settings, identity.kind, identity.handle, model).is_allowed:
        raise not_found(name)
    return model


def not_found(name: str) -> NotFound:
    """What is said of a model that there is not, or that one may not know of."""
    return NotFound(
        f'The model "{name[:200]}" does not exist or you do not have access to it.',
        code='model_not_found',
        param='model',
    )


def _wants_usage(body: dict[str, Any]) -> bool:
    options = body.get('stream_options')
    return isinstance(options, dict) and options.get('include_usage') is True


def _passed_on(operation: Operation, exchange: Exchange) -> tuple[tuple[str, str], ...]:
    given = dict(exchange.headers)
    said = {name: given.get(name, b'').decode('latin-1') for name in operation.passes_on}
    return tuple(
        (name.decode(), said[name] if DATE.fullmatch(said[name]) else usual)
        for name, usual in operation.passes_on.items()
    )


def _is_acknowledged(identity: KeyIdentity, model: Model, settings: Settings) -> bool:
    """Whether nothing has to be acknowledged before the model is used."""
    if not model.needs_ack or not settings.api.consent:
        return True
    digest = acknowledgements.digest_of(acknowledgements.message_of(settings, model))
    return (model.name, digest) in identity.accepted


def _acknowledgement_required(identity: KeyIdentity, model: Model, settings: Settings, exchange: Exchange) -> Forbidden:
    site = settings.app.url.rstrip('/') or exchange.site()
    return Forbidden(
        f'The model "{model.name}" must be acknowledged before it can be used, on the page of its client: '
        f'{site}/clients/{identity.account_id}',
        code='acknowledgement_required',
        param='model',
    )
