"""What `config.yaml` may say, typed and frozen. Every key of the file is a field here, under the same name.

The reader hands over text for every scalar (a name stays `123` or `on`, a coin is never a float); the types below turn
it into what is meant and say what is wrong with it.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from lumen.coins import Price
from lumen.config.endpoint import Endpoint, Identity
from lumen.config.fields import (
    ClientName,
    DatabaseAddress,
    Email,
    Line,
    Maximum,
    ModelName,
    Nanocoins,
    Network,
    OptionalEmail,
    OptionalWebAddress,
    Prose,
    Secret,
    UserHandle,
    WebAddress,
)
from lumen.config.frozen import Frozen
from lumen.config.login import Login
from lumen.config.places import distinct_places
from lumen.config.serving import Api, Budget, KeyLimits, RateLimiting

Access = Literal['allowed', 'blocked']
Theme = Literal['auto', 'light', 'dark']
MOST_AUDIO_SECONDS = 1_000_000


def _not_empty(endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    # Not a `min_length`: that counts the sound ones only, and would call a list empty that has a faulty one.
    if not endpoints:
        raise ValueError('must not be empty')
    return endpoints


class Pool(BaseModel):
    """A coin pool as configured, in nanocoins and nanocoins per hour. `max` None is unlimited, 0 is *no budget*."""

    model_config = ConfigDict(frozen=True)

    max: int | None
    refresh: int
    starting: int

    @property
    def is_unlimited(self) -> bool:
        return self.max is None

    @property
    def is_none(self) -> bool:
        return self.max == 0


class PoolFields(Frozen):
    """The three pool fields, each of which may be left out."""

    max: Maximum | None = None
    refresh: Nanocoins | None = None
    starting: Nanocoins | None = None


class ModelAccess(Frozen):
    default: Access | None = None
    allowed: frozenset[Line] = frozenset()
    blocked: frozenset[Line] = frozenset()


class DatabaseSettings(Frozen):
    url: DatabaseAddress = SecretStr('sqlite:///data/lumen.db')


class FooterLink(Frozen):
    label: Line
    url: WebAddress


class App(Frozen):
    name: Line = 'Lumen'
    tagline: Prose = ''
    url: OptionalWebAddress = ''
    secret_key: Secret | None = None
    encryption_key: Secret | None = None
    database: DatabaseSettings = DatabaseSettings()
    announcement: Prose = ''
    support_email: OptionalEmail = ''
    github_url: OptionalWebAddress = ''
    feature_url: OptionalWebAddress = ''
    institution: Line = ''
    institution_url: OptionalWebAddress = ''
    footer_links: tuple[FooterLink, ...] = ()
    theme: Theme = 'auto'
    trusted_proxies: tuple[Network, ...] = ()
    grace_seconds: float = Field(default=30, ge=0, le=86_400, allow_inf_nan=False)


Modality = Literal['text', 'image', 'audio', 'video', 'file', 'embeddings', 'scores']
"""What a model reads or answers with."""


class ModelDefaults(Frozen):
    access: Access = 'blocked'
    ack_message: Prose = ''


class Defaults(Frozen):
    models: ModelDefaults = ModelDefaults()
    tokens: PoolFields = PoolFields()


class Model(Frozen):
    name: ModelName
    access: Access | None = None
    needs_ack: bool = False
    ack_message: Prose = ''
    disabled: bool = False
    input_cost_per_million: Nanocoins
    output_cost_per_million: Nanocoins
    audio_cost_per_hour: Nanocoins | None = None
    description: Prose = ''
    context_window: int | None = Field(default=None, gt=0)
    max_output_tokens: int | None = Field(default=None, gt=0)
    max_image_tokens: int = Field(default=1500, gt=0)
    max_audio_seconds: int | None = Field(default=None, gt=0, le=MOST_AUDIO_SECONDS)
    input_modalities: tuple[Modality, ...] = ('text',)
    output_modalities: tuple[Modality, ...] = ('text',)
    fallbacks: tuple[ModelName, ...] = ()
    endpoints: Annotated[tuple[Endpoint, ...], AfterValidator(_not_empty)]

    @cached_property
    def price(self) -> Price:
        return Price(self.input_cost_per_million, self.output_cost_per_million)

    @cached_property
    def audio_price(self) -> Price:
        """What a call that sends audio costs: by its duration alone if that has a price, by its tokens otherwise."""
        return self.price if self.audio_cost_per_hour is None else Price(0, 0, self.audio_cost_per_hour)

    @cached_property
    def places(self) -> dict[Identity, str]:
        """What the database calls each of the endpoints that are not the same."""
        different = dict.fromkeys(endpoint.identity for endpoint in self.endpoints)
        return dict(zip(different, distinct_places(identity.url for identity in different), strict=True))


class GroupRule(Frozen):
    field: Line
    contains: Line | None = None
    equals: Line | None = None


class Group(PoolFields):
    rules: tuple[GroupRule, ...] = ()
    model_access: ModelAccess = ModelAccess()


class AccountEntry(PoolFields):
    """What the file says of one client or one user."""

    groups: tuple[Line, ...] = ()
    model_access: ModelAccess = ModelAccess()
    rate_limiting: KeyLimits = KeyLimits()


NO_ENTRY = AccountEntry()


class Settings(Frozen):
    """The whole file. Clients are found by case-folded name, users and admins by case-folded e-mail."""

    version: Literal['2'] = '2'
    app: App = App()
    login: Login = Login()
    admins: frozenset[Email] = frozenset()
    defaults: Defaults = Defaults()
    models: tuple[Model, ...] = ()
    groups: dict[Line, Group] = {}
    users: dict[UserHandle, AccountEntry] = {}
    clients: dict[ClientName, AccountEntry] = {}
    rate_limiting: RateLimiting = RateLimiting()
    budget: Budget = Budget()
    api: Api = Api()

    def is_admin(self, email: str) -> bool:
        return email.casefold() in self._admins

    def model(self, name: str) -> Model | None:
        return self._models.get(name)

    def entry(self, kind: str, handle: str) -> AccountEntry:
        """What the file says of the client or user: its own entry, else `clients.default`, else nothing.

        An empty entry (`{}`) of a client falls back to `clients.default` too.
        """
        return self._named(kind, handle)[1]

    def scope(self, kind: str, handle: str) -> str:
        """Where that entry stands in the file, for people: `clients.research-bot`, `clients.default`."""
        return self._named(kind, handle)[0]

    def groups_of(self, kind: str, handle: str) -> tuple[tuple[str, Group], ...]:
        return tuple((name, self.groups[name]) for name in self.entry(kind, handle).groups if name in self.groups)

    def pool(self, kind: str, handle: str) -> Pool:
        """The pool that the file gives to the client or user.

        Fields left out come from `defaults.tokens`, and what that leaves out is 0. A user without pool fields of their
        own gets the most generous pool among their groups.
        """
        key = kind, id(self.entry(kind, handle))  # the entries live as long as the settings
        found = self._pools.get(key)
        if found is None:
            found = self._pools[key] = self._pool(kind, handle)
        return found

    def limits(self, kind: str, handle: str) -> KeyLimits:
        """What each key of the client or user may use: what its own entry leaves out comes from `rate_limiting`."""
        entry = self.entry(kind, handle)
        found = self._limits.get(id(entry))
        if found is None:
            own = entry.rate_limiting
            stated = {name: getattr(own, name) for name in own.model_fields_set}
            usual = {name: getattr(self.rate_limiting, name) for name in KeyLimits.model_fields}
            found = self._limits[id(entry)] = KeyLimits(**(usual | stated))
        return found

    def _pool(self, kind: str, handle: str) -> Pool:
        entry = self.entry(kind, handle)
        own = _stated(entry)
        if kind == 'user' and not own:
            pools = [self._completed(_stated(group)) for _, group in self.groups_of(kind, handle) if _stated(group)]
            if pools:
                return max(pools, key=_generosity)
        return self._completed(own)

    def _named(self, kind: str, handle: str) -> tuple[str, AccountEntry]:
        if kind != 'client':
            return self._users.get(handle) or (f'users.{handle}', NO_ENTRY)
        return self._clients.get(handle) or self._default

    @cached_property
    def _admins(self) -> frozenset[str]:
        return frozenset(address.casefold() for address in self.admins)

    @cached_property
    def _models(self) -> dict[str, Model]:
        return {model.name: model for model in self.models}

    @cached_property
    def _clients(self) -> dict[str, tuple[str, AccountEntry]]:
        stated = ((name, entry) for name, entry in self.clients.items() if entry.model_fields_set)
        return {name.casefold(): (f'clients.{name}', entry) for name, entry in stated}

    @cached_property
    def _default(self) -> tuple[str, AccountEntry]:
        return 'clients.default', self.clients.get('default', NO_ENTRY)

    @cached_property
    def _pools(self) -> dict[tuple[str, int], Pool]:
        return {}

    @cached_property
    def _limits(self) -> dict[int, KeyLimits]:
        return {}

    @cached_property
    def decisions(self) -> dict[Any, Any]:
        """What `access.decide` found; as good as these settings."""
        return {}

    @cached_property
    def _users(self) -> dict[str, tuple[str, AccountEntry]]:
        return {email.casefold(): (f'users.{email}', entry) for email, entry in self.users.items()}

    def _completed(self, stated: dict[str, int | None]) -> Pool:
        return Pool(**({'max': 0, 'refresh': 0, 'starting': 0} | _stated(self.defaults.tokens) | stated))


def _stated(fields: PoolFields) -> dict[str, int | None]:
    return {name: getattr(fields, name) for name in ('max', 'refresh', 'starting') if name in fields.model_fields_set}


def _generosity(pool: Pool) -> tuple[bool, int, int, int]:
    return pool.is_unlimited, pool.max or 0, pool.refresh, pool.starting
