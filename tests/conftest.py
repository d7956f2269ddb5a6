"""Fixtures of the whole suite: Valkey, databases, the app in this process, running systems, JavaScript clients."""

import gc
import itertools
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from hypothesis import settings as hypothesis_settings

from app.config import Config, load_config
from tests.factories import make_agent, make_protocol
from tests.support import databases, servers
from tests.support.api import Api, InProcess
from tests.support.apps import make_app
from tests.support.machine_speed import slowdown
from tests.support.redis_clock import age_memory
from tests.support.seeds import SEED

pytest_plugins = [
    f"tests.support.{name}" for name in ("stack_fixtures", "process_fixtures", "browser_fixtures", "slow_files_first")
]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a background job: `up` would ignore it too
    signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis_settings.register_profile("suite", deadline=None, derandomize=False, print_blob=True)
hypothesis_settings.load_profile("suite")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # a quarter of the time of a collection, until it is finished
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(SEED)


def pytest_collection_finish() -> None:
    """Exempt modules and collected tests from garbage collection, which would visit them again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_report_header(config: pytest.Config) -> str:
    seed, factor = config.option.hypothesis_seed, slowdown()
    return f"random tests: TEST_SEED={SEED} --hypothesis-seed={seed}; this machine is {factor:.1f} times slower"


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Valkey]:
    server = servers.start_valkey(tmp_path_factory.mktemp("valkey"))
    yield server
    servers.stop_server(server)


DATABASES = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}
_database_numbers = itertools.cycle(range(1, servers.DATABASES))


@pytest.fixture
def redis_url(valkey: servers.Valkey) -> str:
    """An empty database of the server. All databases share their channels, so tests need unique protocol ids."""
    number = next(_database_numbers)
    with valkey.client(number) as client:
        client.flushdb()
        age_memory(client)
    return valkey.url(number)


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    server = servers.start_postgres()
    yield server
    servers.stop_server(server)


@pytest.fixture(scope="session")
def postgres_template(postgres: servers.Postgres, tmp_path_factory: pytest.TempPathFactory) -> str:
    return databases.postgres_template(postgres, tmp_path_factory.mktemp("postgres-template"))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return databases.sqlite_template(tmp_path_factory.mktemp("sqlite-template"))


@pytest.fixture(scope="session")
def spare_postgres(postgres: servers.Postgres, postgres_template: str) -> databases.SparePostgres:
    return databases.SparePostgres(postgres, postgres_template)


@pytest.fixture
def postgres_url(spare_postgres: databases.SparePostgres) -> Iterator[str]:
    """A migrated PostgreSQL database of the test's own."""
    with spare_postgres.lend() as url:
        yield url


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A migrated SQLite database of the test's own."""
    return databases.copy_sqlite(sqlite_template, tmp_path)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of `database_url` on both databases, or on those that its `database` marker names."""
    if "database_url" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("database")
        metafunc.parametrize("database_url", marker.args if marker else list(DATABASES), indirect=True)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated database of the test's own."""
    return request.getfixturevalue(DATABASES[request.param])


@pytest.fixture
def environment(tmp_path: Path, database_url: str, redis_url: str) -> dict[str, str]:
    """The settings as environment variables, also for processes that the test starts."""
    key = secrets.token_hex(32)
    return databases.environment(home=tmp_path, database_url=database_url, redis_url=redis_url, signing_key=key)


@pytest.fixture
def settings(environment: dict[str, str]) -> Config:
    return load_config(environment)


@pytest.fixture
def app(settings: Config) -> Iterator[Flask]:
    """The app in this process, without eventlet's patches and without sockets."""
    with make_app(settings) as made:
        yield made


@pytest.fixture
def api(app: Flask, settings: Config) -> Api:
    """The API of `app`, with callers of every role."""
    return Api(InProcess(app), settings.signing_key)


@pytest.fixture
def served_api(request: pytest.FixtureRequest) -> Api:
    """The API of `app` if the test uses `app`, otherwise that of the running system `stack`."""
    uses_app = {"app", "api"} & set(request.fixturenames)
    return request.getfixturevalue("api") if uses_app else request.getfixturevalue("stack").api


@pytest.fixture
def protocol_id(served_api: Api) -> str:
    """A new protocol: tests that share a running system have rooms of their own."""
    return make_protocol(served_api)


@pytest.fixture
def agent_id(served_api: Api) -> str:
    return make_agent(served_api)


@pytest.fixture
def in_context(app: Flask) -> Iterator[Flask]:
    """`app` with its context pushed, to call services directly."""
    with app.app_context():
        yield app


@pytest.fixture
def app_with(environment: dict[str, str]) -> Iterator[Callable[..., Api]]:
    """`app_with(DASHBOARD_REST_PER_TOKEN="5")`: the API of an app with these settings."""
    opened = []

    def make(**overrides: str) -> Api:
        settings = load_config(environment | overrides)
        opened.append(make_app(settings))
        return Api(InProcess(opened[-1].__enter__()), settings.signing_key)

    yield make
    for each in reversed(opened):
        each.__exit__(None, None, None)
