"""The compose stack, built and started once. Run by `make test-containers`, separately from the other tests."""

from collections.abc import Iterator

import pytest

from tests.containers.compose import Compose
from tests.containers.engine import Engine, engine
from tests.containers.images import make_images
from tests.containers.tools import NoEngineError

SHOWN_CHARACTERS = 12_000


@pytest.fixture(scope="session")
def container_engine() -> Iterator[Engine]:
    try:
        with engine() as running:
            make_images(running)
            yield running
    except NoEngineError as error:
        pytest.exit(f"this machine cannot run a container engine: {error}", returncode=3)


@pytest.fixture(scope="session")
def compose(container_engine: Engine) -> Iterator[Compose]:
    """The whole system, healthy."""
    stack = Compose(container_engine)
    stack.down()
    try:
        try:
            stack.up()
        except BaseException:
            print(stack("ps", "--all", check=False), stack.logs()[-SHOWN_CHARACTERS:])
            raise
        yield stack
    finally:
        stack.down()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    outcome = yield
    report = outcome.get_result()
    stack = getattr(item, "funcargs", {}).get("compose")
    if report.failed and stack is not None:
        report.sections.append(("containers", stack.logs()[-SHOWN_CHARACTERS:]))
