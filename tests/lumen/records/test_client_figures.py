from lumen.database import Database
from lumen.identity.permissions import COMMAND_LINE
from lumen.ledger.operations import place
from lumen.records import client_figures
from tests.conftest import Clock
from tests.lumen import factories
from tests.lumen.ledger.accounts import COIN, ask, open_client

HALF_FULL = factories.settings(clients={'default': {'max': '10', 'refresh': '2', 'starting': '5'}})


def test_the_balance_is_accrued_to_now_and_counts_the_coins_that_are_held(database: Database, clock: Clock):
    client = database.write_now(open_client, HALF_FULL)
    database.write_now(place, database.read_now(ask, *client), settings=HALF_FULL, process_id='test')
    clock.advance(hours=1)
    listed = database.read_now(client_figures.figures, COMMAND_LINE, settings=HALF_FULL)
    alone = database.read_now(client_figures.figures_of, COMMAND_LINE, client[0], settings=HALF_FULL)
    # 5 at the start, 1 of which is held for a call, and 2 by the hour.
    assert [figures.balance for figures in (*listed, alone)] == [7 * COIN, 7 * COIN]
