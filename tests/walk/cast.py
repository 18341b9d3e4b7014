"""Who tries everything: each role of the product, on a site that is really served, each try on a client of its own."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

import models
from lumen.database import now
from lumen.identity import people, sessions
from lumen.identity.keys import revoke_key
from lumen.identity.permissions import Role
from lumen.ledger import pools
from lumen.records import clients, managers
from lumen.records.history import PAGE_SIZE
from tests.lumen_ui.pages.client.site import ADA, Site

ADMIN = ADA
OWNER, MANAGER, OTHER, USER = (f'{name}@walk.example.org' for name in ('owner', 'manager', 'other', 'user'))
GONE, REMOVED, DEMOTED, LEFT, DISMISSED = (
    f'{name}@walk.example.org' for name in ('gone', 'removed', 'demoted', 'left', 'dismissed')
)
PERSON = 'person@walk.example.org'


@dataclass(frozen=True)
class Player:
    """`role` is theirs for the client that is tried on, `any_role` the best that they have for any client; None may
    do nothing at all. Who `loses` something owned the client while the page was opened, and not any more when they act.
    """

    name: str
    email: str | None
    role: Role | None
    any_role: Role | None
    loses: str = ''


PLAYERS = (
    Player('nobody', None, None, None),
    Player('user', USER, Role.USER, Role.USER),
    Player('manager of another client', OTHER, Role.USER, Role.MANAGER),
    Player('manager', MANAGER, Role.MANAGER, Role.MANAGER),
    Player('owner', OWNER, Role.OWNER, Role.MANAGER),
    Player('admin', ADMIN, Role.ADMIN, Role.ADMIN),
    Player('deactivated user', GONE, None, None),
    Player('manager just removed with the page still open', REMOVED, Role.USER, Role.USER, loses='client'),
    Player('manager who owned it when the page was opened', DEMOTED, Role.MANAGER, Role.MANAGER, loses='ownership'),
    Player('owner signed out with the page still open', LEFT, None, None, loses='session'),
    Player('owner deactivated with the page still open', DISMISSED, None, None, loses='account'),
)


class Stage:
    """The site with its people. `client` makes what is to be tried on."""

    def __init__(self, site: Site):
        self.site = site
        self._numbers = count(1)
        self._ids = {
            email: site.write(
                people.ensure_user, email, email.partition('@')[0].title(), site.configuration.current, 't'
            )
            for email in (ADMIN, OWNER, MANAGER, OTHER, USER, GONE, REMOVED, DEMOTED, LEFT, DISMISSED, PERSON)
        }
        site.client('walk elsewhere', managed_by=(OTHER, GONE))
        self._cookies = {email: site.write(sessions.start, user_id) for email, user_id in self._ids.items()}
        self._set_active(GONE, False)

    def client(self, player: Player, *, active: bool = True) -> int:
        """A client with an owner, a manager and a third person; whoever loses a role owns theirs until they do."""
        owner = player.email if player.loses else OWNER
        assert owner is not None
        if player.loses == 'account':
            self._set_active(owner, True)
        name = f'walk {next(self._numbers)}'
        client_id = self.site.client(name, managed_by=(owner, MANAGER, PERSON))
        old = self.site.key(client_id, 'an old key')
        self.site.write(_long_ago, client_id)
        self.site.act(revoke_key, old.id)
        self.site.key(client_id, 'the key')
        if not active:
            self.site.act(clients.set_active, client_id, False)
        return client_id

    def crowd(self, name: str, size: int, *managed_by: str) -> None:
        """So many clients called like that, every tenth of them deactivated."""
        self.site.write(self._crowd, name, size, managed_by)

    def _crowd(self, name: str, size: int, managed_by: tuple[str, ...]) -> None:
        settings, links = self.site.configuration.current, []
        for number in range(size):
            handle = f'{name} {number:03}'
            client_id = pools.new_account(models.CLIENT, handle, handle, '', ADMIN, settings=settings)
            if number % 10 == 0:
                models.Account.update(active=False).where(models.Account.id == client_id).execute()
            links += [(client_id, self._ids[email], now(), ADMIN) for email in managed_by]
        link = models.Manager
        link.insert_many(links, (link.client, link.user, link.added_at, link.added_by)).execute()

    def _set_active(self, email: str, active: bool) -> None:
        account = models.Account
        self.site.write(lambda: account.update(active=active).where(account.id == self._ids[email]).execute())

    def cookie(self, player: Player) -> str | None:
        if player.loses == 'session':
            return self.site.write(sessions.start, self._ids[LEFT])
        return self._cookies[player.email] if player.email else None

    def user_id(self, email: str) -> int:
        return self._ids[email]

    def take_away(self, player: Player, client_id: int, cookie: str | None) -> None:
        """What the player loses while the page is open."""
        if player.loses == 'client':
            self.site.act(managers.remove_manager, client_id, self._ids[REMOVED])
        elif player.loses == 'ownership':
            self.site.act(managers.hand_over, client_id, self._ids[MANAGER])
        elif player.loses == 'account':
            self._set_active(DISMISSED, False)
        elif player.loses == 'session' and cookie:
            self.site.write(sessions.end, cookie)

    def audited(self, after: int) -> list[tuple[str, str, int | None]]:
        return self.site.database.read_now(_since, after)

    def newest(self) -> int:
        return self.site.database.read_now(_newest)


def _long_ago(client_id: int) -> None:
    """So much happened since the client was made that its page does not show that any more."""
    event = {'at': now(), 'actor': ADMIN, 'via': 'page', 'action': 'key.created', 'account': client_id}
    models.AuditEvent.insert_many(
        [event | {'subject': '', 'before': '{}', 'after': '{}'} for _ in range(PAGE_SIZE)]
    ).execute()


def _newest() -> int:
    return max((event.id for event in models.AuditEvent.select(models.AuditEvent.id)), default=0)


def _since(last: int) -> list[tuple[str, str, int | None]]:
    event = models.AuditEvent
    query = event.select(event.actor, event.action, event.account).where(event.id > last).order_by(event.id)
    return list(query.tuples())
