from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumen.coins import Price
from lumen.config.reading import Loaded, read, read_text
from lumen.config.settings import Settings
from lumen.errors import ConfigurationError

ROOT = Path(__file__).parents[3]
MODEL = """
models:
  - name: {name}
    input_cost_per_million: {price}
    output_cost_per_million: 0.25
    context_window: 100
    max_output_tokens: 10
    endpoints: [{{url: "{url}"}}]
"""


def model(name: str = 'm', price: str = '1', url: str = 'http://127.0.0.1:1/v1') -> str:
    return MODEL.format(name=name, price=price, url=url)


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        read_text(text, {})
    return refused.value.message.splitlines()


def good(text: str, **environment: str) -> Loaded:
    return read_text(text, environment)


def test_the_sample_is_good_and_warns_of_nothing():
    loaded = read(ROOT / 'config.yaml', {})
    assert loaded.warnings == ()
    echo = loaded.settings.model('echo')
    assert echo is not None
    assert loaded.settings.app.database.url.get_secret_value() == 'sqlite:///data/lumen.db'
    assert len(loaded.settings.login.dev_users) == 3
    assert echo.price.cost(2, 1) >= 5_000_000, 'the shortest call moves a card with two decimals'


def test_a_fault_names_file_line_path_and_value():
    assert faults('version: 2\nclients:\n  research-bot:\n    refresh: -1\n') == [
        'config.yaml:4: clients.research-bot.refresh: must be 0 or more, got -1'
    ]


def test_every_fault_is_named_at_once_in_the_order_of_the_file():
    found = faults('app: {nam: x, theme: pink}\nlogn: {}\nclients:\n  bot: {max: many}\nadmins: me@example.org\n')
    assert found == [
        'config.yaml:1: app.nam: is not a key of this section (did you mean "name"?)',
        "config.yaml:1: app.theme: must be 'auto', 'light' or 'dark'",
        'config.yaml:2: logn: is not a key of this section (did you mean "login"?)',
        "config.yaml:4: clients.bot.max: must be a number of coins, got 'many'",
        'config.yaml:5: admins: must be a list',
    ]


@pytest.mark.parametrize(
    ('text', 'fault'),
    [
        ('a: [', '1: is not YAML'),
        ('a:\n\t- b', '2: is not YAML'),
        ('- 1', '1: must be a mapping'),
        ('app: {}\napp: {}', '2: app: stands here twice, first in line 1'),
        ('clients:\n  a: {max: 1}\n  A: {max: 2}', '3: clients.A: "A" is there already, as "a"'),
        ('clients: {bot: {max: -1}}', 'clients.bot.max: must be 0 or more, or -2 for unlimited, got -1'),
        ('clients: {bot: {starting: 0.0000000001}}', 'clients.bot.starting: has more than 9 decimals'),
        ('clients: {bot: {max: .inf}}', 'clients.bot.max: must be a number of coins'),
        ('clients: {"a/b": {max: 1}}', 'clients.a/b: is not the name of a client'),
        (
            'clients: {bot: {groups: [reserch]}}\ngroups: {research: {}}',
            'no group "reserch" (did you mean "research"?)',
        ),
        ('users: {bob: {max: 1}}', 'users.bob: must be an e-mail address'),
        ('admins: [bob]', 'admins[0]: must be an e-mail address'),
        ('version: 1', 'version: must be 2'),
        ('app: {github_url: "javascript:alert(1)"}', 'app.github_url: must be an http or https address'),
        ('app: {footer_links: [{label: x, url: "ftp://x"}]}', 'app.footer_links[0].url: must be an http'),
        ('app: {footer_links: [{label: x}]}', 'app.footer_links[0].url: is missing'),
        ('api: {max_body_mb: 0}', 'api.max_body_mb: must be more than 0'),
        ('api: {max_body_mb: lots}', 'api.max_body_mb: must be a whole number'),
        ('api: {consent: maybe}', 'api.consent: must be true or false'),
        ('budget: {wait_seconds: 1e400}', 'budget.wait_seconds: must be a number'),
        ('budget: {wait_seconds: -1}', 'budget.wait_seconds: must be 0 or more'),
        ('app: {name: [x]}', 'app.name: must be text'),
        ('app: x', 'app: must be a mapping'),
        ('version: !!python/object/apply:os.system ["x"]', 'version: has a tag that is not understood'),
        ('app: {database: {url: "mysql://x"}}', 'app.database.url: must start with sqlite:/// or postgresql://'),
        ('app: {nam: }', '1: app.nam: is not a key of this section'),
        ('app: {name: "a\\0"}', 'app.name: must not contain the control character U+0000'),
        ('app: {name: "\\ud800"}', 'app.name: must not contain the control character U+D800'),
        ('version: 2\napp: {name: "\0"}', '2: is not YAML: the character U+0000 may not stand here'),
        ('users: {" a@x.org": {}}', 'must be an e-mail address, without spaces around it'),
        ('users: {"a@x.org\\n": {}}', 'must be an e-mail address, without spaces around it'),
        ('groups: {"a\\nb": {}}', 'groups.a\\nb: must be a single line'),
        (model('"m\\n"'), 'models[0].name: must be a single line'),
        (model(f'"{"m" * 201}"'), 'models[0].name: must have at most 200 characters'),
        (model(url='http://h:99999/v1'), 'models[0].endpoints[0].url: must be an http or https address'),
        ('x: &a [*a]', 'contains itself'),
        ('users: {"a\\0b@c": {}}', 'users.a\\x00b@c: must not contain the control character U+0000'),
        ('app: {trusted_proxies: [proxy.example.org]}', 'app.trusted_proxies[0]: must be an IP address or a network'),
        ('app: {trusted_proxies: [10.0.0.0/8, "::1", 300.1.1.1]}', 'app.trusted_proxies[2]: must be an IP address'),
        ('? [a]\n: b', 'has a key that is not text'),
        ('admins: [a@b.c, ]\nlogin: {dev_users: [{email: x}]}', 'login.dev_users[0].name: is missing'),
        (model() + model()[8:], 'models[1].name: "m" is there already'),
        *(
            (model().replace('{url:', f'{{{given}, url:'), f'models[0].endpoints[0].{fault}')
            for given, fault in [
                ('weight: 0', 'weight: must be more than 0'),
                ('weight: .inf', 'weight: must be a number'),
                ('weight: 1000001', 'weight: must be 1,000,000 or less'),
                ('weight: much', 'weight: must be a number'),
                ('concurrency: 0', 'concurrency: must be more than 0'),
                ('concurrency: 1.5', 'concurrency: must be a whole number'),
                ('headers: [a]', 'headers: must be a mapping'),
                ('headers: {a: [b]}', 'headers.a: must be text'),
                ('headers: {a: "b\\nc: d"}', 'headers.a: must be a single line of printable ASCII characters'),
                ('headers: {a: é}', 'headers.a: must be a single line of printable ASCII characters'),
                ('headers: {a b: c}', 'headers.a…: is not the name of a header'),
                ('headers: {"": c}', 'headers.: is not the name of a header'),
                ('headers: {Host: x}', 'headers.Host: is a header that Lumen sends itself'),
                ('headers: {content-length: 1}', 'headers.content-length: is a header that Lumen sends itself'),
                ('headers: {Transfer-Encoding: x}', 'headers.Transfer-Encoding: is a header that Lumen sends itself'),
                ('headers: {x-a: 1, X-A: 2}', 'headers.X-A: "X-A" is there already, as "x-a"'),
                (
                    'api_key: k, headers: {Authorization: x}',
                    'headers.Authorization: stands beside the api_key, and only one of them can be sent',
                ),
            ]
        ),
        (model(url='ftp://x'), 'models[0].endpoints[0].url: must be an http or https address, or builtin:echo'),
        (
            'models: [{name: m, input_cost_per_million: 0, output_cost_per_million: 0, '
            'endpoints: [{url: "http://u:p@h/v1", api_key: k}]}]',
            'names a user beside the api_key',
        ),
        (model(url='builtin:eco'), 'no such built-in server; there is builtin:echo'),
        (
            model().replace('    context_window: 100\n', ''),
            'models[0].context_window: is missing: a model with a price',
        ),
        (
            model().replace('    max_output_tokens: 10\n', ''),
            'models[0].max_output_tokens: is missing: a model with a price',
        ),
        (
            model().replace('    context_window: 100\n', '    context_window: 100\n    audio_cost_per_hour: 0.36\n'),
            'models[0].max_audio_seconds: is missing: a model with a price',
        ),
        (model().replace('    output_cost_per_million: 0.25\n', ''), 'models[0].output_cost_per_million: is missing'),
        ('models: [{name: m, input_cost_per_million: 0, output_cost_per_million: 0, endpoints: []}]', 'not be empty'),
        ('rate_limiting:\n  limit: banana per minute', '2: rate_limiting.limit: must be a rate of one or more'),
        ('rate_limiting: {limit: 0 per minute}', '1: rate_limiting.limit: must be a rate of one or more'),
        ('rate_limiting: {limit: 5 per minute; 0 per hour}', 'rate_limiting.limit: must be a rate of one or more'),
        (
            'rate_limiting:\n  storage_url: nonsense',
            '2: rate_limiting.storage_url: must be an address such as memory://',
        ),
        ('rate_limiting: {storage_url: "http://x"}', '1: rate_limiting.storage_url: must be an address such as'),
        ('app:\n  support_email: nonsense', '2: app.support_email: must be an e-mail address'),
        (
            'login:\n  oauth2:\n    server_metadata_url: nonsense',
            '3: login.oauth2.server_metadata_url: must be an http or https address',
        ),
        (
            'login: {oauth2: {server_metadata_url: "https://x", redirect_uri: /back}}',
            '1: login.oauth2.redirect_uri: must be an http or https address',
        ),
        ('groups:\n  g:\n    rules:\n      - {field: f}', '4: groups.g.rules[0]: needs one of `contains` and `equals`'),
        ('groups: {g: {rules: [{field: f, contains: a, equals: b}]}}', '1: groups.g.rules[0]: needs one of'),
        (
            'clients:\n  bot:\n    model_access:\n      allowed: [a, m]\n      blocked:\n        - b\n        - m',
            '7: clients.bot.model_access.blocked[1]: "m" is in `allowed` too',
        ),
        ('users: {a@x.org: {model_access: {graylist: [m], blacklist: [m]}}}', 'blocked[0]: "m" is in `allowed` too'),
        ('groups: {g: {model_access: {allowed: [m], blocked: [m]}}}', '1: groups.g.model_access.blocked[0]: "m" is in'),
        (
            'login:\n  dev_users:\n    - {email: a@x.org, name: a}\n    - {email: A@X.org, name: b}',
            '4: login.dev_users[1].email: "A@X.org" is there already, as "a@x.org"',
        ),
        (
            model().replace('- name: m', '- name: m\n    access: allowd'),
            """4: models[0].access: must be 'allowed' or 'blocked' (did you mean "allowed"?)""",
        ),
        ('clients: {bot: {model_access: {default: Blocked}}}', '(did you mean "blocked"?)'),
    ],
)
def test_each_kind_of_fault_is_told_in_words(text: str, fault: str):
    assert any(fault in found for found in faults(text)), faults(text)


@pytest.mark.parametrize(
    ('said', 'price'),
    [
        ('', Price(500_000_000, 250_000_000)),
        ('    audio_cost_per_hour: 0\n', Price(0, 0)),
        ('    audio_cost_per_hour: 0.36\n    max_audio_seconds: 7200\n', Price(0, 0, 360_000_000)),
    ],
)
def test_audio_costs_by_the_hour_where_that_is_said_and_by_its_tokens_elsewhere(said: str, price: Price):
    text = model(price='0.5').replace('    context_window: 100\n', f'    context_window: 100\n{said}')
    (loaded,) = good(text).settings.models
    assert (loaded.price, loaded.audio_price) == (Price(500_000_000, 250_000_000), price)


def test_a_model_that_writes_nothing_that_costs_needs_no_limit_of_its_output():
    embedding = model().replace('    max_output_tokens: 10\n', '')
    loaded = good(embedding.replace('output_cost_per_million: 0.25', 'output_cost_per_million: 0'))
    assert loaded.settings.models[0].max_output_tokens is None


@pytest.mark.parametrize(
    'text',
    [
        'app: {secret_key: SECRET, secret_key: SECRET}',
        'app: {secret_key: [SECRET]}',
        'app: {secret_key: {SECRET: x}}',
        'app: {secret_key: "\\0SECRET"}',
        'app: {secret_key: !SECRET x}',
        'app: {secret_key: !SECRET!x y}',
        'app: {secret_key: *SECRET}',
        'app:\n  secret_key: &SECRET x\n  name: &SECRET y',
        'app:\n  secret_key: "SECRET',
        'app:\n  secret_key: SECRET: x',
        'app:\n  secret_key: `SECRET',
        'app:\n  secret_key:SECRET',
        'app: {database: SECRET}',
        'login: {oauth2: {client_secret: [SECRET]}}',
        'rate_limiting: {storage_url: [SECRET]}',
        'rate_limiting: {storage_url: "http://:SECRET@host"}',
        'rate_limiting: {storage_url: SECRET}',
        model().replace('{url:', '{headers: {x-a:SECRET}, url:'),
        model().replace('{url:', '{headers: {x-a: {SECRET: b}}, url:'),
        model().replace('{url:', '{headers: {x-a: "SECRET\\n"}, url:'),
        model().replace('{url:', '{headers: {x-a: SECRET, x-a: SECRET}, url:'),
        model().replace('{url:', '{headers: SECRET, url:'),
        model(url='ftp://user:SECRET@host'),
        model().replace('endpoints:', 'endpoints: SECRET #'),
    ],
)
def test_no_fault_quotes_a_secret(text: str):
    found = faults(text.replace('SECRET', 'hunter2hunter2'))
    assert found
    assert 'hunter2' not in '\n'.join(found)


def test_faults_between_keys_are_named_beside_those_of_keys():
    found = faults('app: {theme: pink}\nusers: {bob: {groups: [none]}}\n' + model(url='ftp://x'))
    assert [fault.split(': ')[1] for fault in found] == [
        'app.theme',
        'users.bob.groups[0]',
        'users.bob',
        'models[0].endpoints[0].url',
    ]


def test_names_are_text_even_where_yaml_reads_something_else():
    settings = good('clients:\n  123: {max: 1}\n  on: {max: 2}\n  1e3: {max: 3}\n' + model('2024-01-01')).settings
    assert settings.pool('client', '123').max == 10**9
    assert settings.pool('client', 'on').max == 2 * 10**9
    assert settings.pool('client', '1e3').max == 3 * 10**9
    assert settings.model('2024-01-01') is not None


def test_coins_are_decimals_and_never_floats():
    settings = good('clients: {bot: {max: 0.1, refresh: 0.000000001, starting: 1e2}}').settings
    pool = settings.pool('client', 'bot')
    assert (pool.max, pool.refresh, pool.starting) == (100_000_000, 1, 100 * 10**9)


@pytest.mark.parametrize('written', ['-2', '-2.0', '-2.00', '"-2.000000000"', '-2e0', '-20e-1', '" -2 "'])
def test_minus_two_is_unlimited_however_it_is_written(written: str):
    assert good(f'clients: {{bot: {{max: {written}}}}}').settings.pool('client', 'bot').is_unlimited


@pytest.mark.parametrize('written', ['-1', '-2.000000001', '-1.99', '-20', '--2', '-0.5'])
def test_no_other_negative_is_a_maximum(written: str):
    assert len(faults(f'clients: {{bot: {{max: {written}}}}}')) == 1


def test_a_pool_is_found_as_documented():
    settings = good(
        'defaults: {tokens: {max: 1, refresh: 2, starting: 3}}\n'
        'clients:\n  default: {max: 10, starting: 11}\n  Named: {max: -2}\n  empty: {}\n  nothing:\n'
        'groups: {rich: {max: 50}, richer: {max: -2}, poor: {max: 5}, plain: {}}\n'
        'users:\n  a@x.org: {groups: [poor, rich]}\n  b@x.org: {groups: [rich, richer]}\n'
        '  c@x.org: {max: 7, groups: [rich]}\n  d@x.org: {groups: [plain]}\n'
    ).settings

    def pool(kind: str, handle: str) -> tuple[int | None, int, int]:
        found = settings.pool(kind, handle)
        return found.max, found.refresh // 10**9, found.starting // 10**9

    coin = 10**9
    for name in ('anything', 'empty', 'nothing'):
        assert pool('client', name) == (10 * coin, 2, 11)
    assert pool('client', 'named') == (None, 2, 3)
    assert pool('user', 'a@x.org') == (50 * coin, 2, 3)
    assert pool('user', 'b@x.org')[0] is None
    assert pool('user', 'c@x.org')[0] == 7 * coin
    assert pool('user', 'd@x.org') == pool('user', 'z@x.org') == (coin, 2, 3)


def test_older_words_are_understood_with_a_warning():
    loaded = good(
        'clients: {bot: {model_access: {whitelist: [a], graylist: [m], blacklist: [b]}}}\n'
        + model().replace('- name: m', '- name: m\n    active: false')
    )
    access = loaded.settings.clients['bot'].model_access
    assert (access.allowed, access.blocked) == ({'a', 'm'}, {'b'})
    found = loaded.settings.models[0]
    assert (found.needs_ack, found.disabled) == (True, True)
    for word in ('whitelist', 'blacklist', 'graylist', 'active'):
        assert any(f'`{word}`' in warning for warning in loaded.warnings)


@pytest.mark.parametrize(('word', 'access'), [('whitelist', 'allowed'), ('blacklist', 'blocked')])
def test_older_words_are_understood_as_values_too(word: str, access: str):
    loaded = good(
        f'version: 2\ndefaults:\n  models:\n    access: {word}\n'
        f'clients: {{bot: {{model_access: {{default: {word}}}}}}}\n'
        + model().strip().replace('- name: m', f'- name: m\n    access: {word}')
    )
    settings = loaded.settings
    assert settings.defaults.models.access == settings.models[0].access == access
    assert settings.clients['bot'].model_access.default == access
    assert not settings.models[0].needs_ack
    for line in (4, 5, 8):
        assert f'config.yaml: line {line}: `{word}` is an older word for `{access}`' in loaded.warnings


@pytest.mark.parametrize('needs_ack', ['', '\n    needs_ack: off'])
@pytest.mark.parametrize(
    ('before', 'within'),
    [('', '\n    access: graylist'), ('clients: {bot: {model_access: {graylist: [m]}}}\n', '')],
)
def test_a_graylist_that_names_a_model_makes_it_need_an_acknowledgement(before: str, within: str, needs_ack: str):
    loaded = good(before + model().replace('- name: m', f'- name: m{needs_ack}{within}'))
    assert loaded.settings.models[0].needs_ack
    said = [warning for warning in loaded.warnings if 'is not followed: a `graylist` makes it true for "m"' in warning]
    assert len(said) == bool(needs_ack)
    assert all('line' in warning and '`needs_ack: off`' in warning for warning in said)


@pytest.mark.parametrize(
    'given',
    [
        'defaults: {models: {access: graylist}}',
        *(f'{kind}: {{a@x.org: {{model_access: {{default: graylist}}}}}}' for kind in ('groups', 'users')),
    ],
)
def test_a_graylist_of_all_models_leaves_those_that_say_otherwise(given: str):
    loaded = good(f'{given}\n{model()}{model("n")[8:]}    needs_ack: false\n')
    assert [found.needs_ack for found in loaded.settings.models] == [True, False]
    (said,) = [warning for warning in loaded.warnings if 'graylist' in warning]
    assert said == (
        'config.yaml: line 1: `graylist` is an older word for `allowed` '
        'and `needs_ack: true` on every model without a `needs_ack` of its own'
    )


@pytest.mark.parametrize('scheme', ['memory', 'redis', 'rediss', 'valkey', 'valkeys', 'redis+unix', 'async+redis'])
def test_counts_are_shared_wherever_the_library_can(scheme: str):
    text = f'rate_limiting: {{limit: "30 per minute; 500/hour", storage_url: "{scheme}://"}}'
    assert good(text).settings.rate_limiting.storage_url is not None
    assert good('app: {support_email: ""}\nrate_limiting: {limit: ""}').settings.rate_limiting.limit == ''


def test_what_is_probably_not_meant_is_warned_of():
    (first, *rest) = good('clients: {bot: {model_access: {allowed: [ecko]}}}\n' + model('echo')).warnings
    assert first == 'config.yaml:1: clients.bot.model_access.allowed: no model "ecko" (did you mean "echo"?)'
    assert any('nobody can sign in' in warning for warning in rest)


def test_the_environment_wins():
    settings = good(
        'app: {secret_key: from the file}\nlogin: {oauth2: {server_metadata_url: "https://x"}}',
        LUMEN_SECRET_KEY='from the environment',
        DATABASE_URL='postgresql://x/y',
        OAUTH2_CLIENT_ID='me',
    ).settings
    assert settings.app.secret_key is not None
    assert settings.app.secret_key.get_secret_value() == 'from the environment'
    assert settings.app.database.url.get_secret_value() == 'postgresql://x/y'
    assert settings.login.oauth2 is not None
    assert settings.login.oauth2.client_id is not None


def test_secrets_are_never_in_a_message_or_a_representation():
    secret = 'a-very-secret-thing'
    database = f'database: {{url: "postgresql://lumen:{secret}@127.0.0.1/lumen"}}'
    text = f'app: {{secret_key: {secret}, {database}}}\nbudget: {{wait_seconds: x}}'
    assert secret not in ''.join(faults(text))
    assert secret not in ''.join(faults(f'app: {{secret_key: [{secret}]}}'))
    assert secret not in repr(good(text.partition('\n')[0]).settings)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path):
    with pytest.raises(ConfigurationError, match='cannot be read'):
        read(tmp_path / 'none.yaml', {})
    (tmp_path / 'bad.yaml').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ConfigurationError, match='UTF-8'):
        read(tmp_path / 'bad.yaml', {})


def test_a_fault_of_the_environment_names_its_variable():
    with pytest.raises(ConfigurationError) as refused:
        read_text('app: {name: x}', {'LUMEN_SECRET_KEY': 'abc\n', 'DATABASE_URL': 'mysql://u:hunter2@h/db'})
    database, secret = refused.value.message.splitlines()
    assert database.startswith('config.yaml: app.database.url: must start with sqlite:///')
    assert database.endswith('(DATABASE_URL of the environment)')
    assert secret.startswith('config.yaml: app.secret_key: must be a single line')
    assert 'hunter2' not in database


def test_sections_with_nothing_in_them_are_left_out():
    keys = ''.join(f'{key}:\n' for key in Settings.model_fields if key != 'version')
    assert good(f'version: 2\n{keys}', LUMEN_SECRET_KEY='x').settings.app.name == 'Lumen'
    loaded = good('clients: {bot: {model_access: {whitelist: , allowed: }, max: }}\nversion: 2')
    assert loaded.settings.pool('client', 'bot').max == 0
    assert loaded.settings.clients['bot'].model_access.allowed == frozenset()


def test_texts_for_people_may_have_several_lines():
    settings = good(
        'app:\n  announcement: |\n    One.\n    Two.\n' + model() + '    ack_message: |\n      Mind\n'
    ).settings
    assert settings.app.announcement == 'One.\nTwo.\n'
    assert settings.models[0].ack_message == 'Mind\n'


def test_aliases_that_multiply_are_refused():
    lines = ['a: &a [x, x, x, x, x, x, x, x, x, x]']
    lines += [f'{chr(98 + i)}: &{chr(98 + i)} [{", ".join([f"*{chr(97 + i)}"] * 10)}]' for i in range(8)]
    assert any('unfolds to too much' in fault for fault in faults('\n'.join(lines)))


yaml_like = st.text(st.sampled_from('abmx:-[]{},&*!#|>\'"%@` \n0129.'), max_size=60)


@given(st.one_of(yaml_like, st.text(max_size=40)))
def test_any_text_is_settings_or_named_faults(text: str):
    with suppress(ConfigurationError):
        read_text(text, {})
