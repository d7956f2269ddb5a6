"""The compose stack of this release starts on the volumes of release 0.1: nothing is lost, and numbers do not go back.

The volumes have the files that 0.1's compose file made: its secrets, and the data of tests/release. Last of the folder,
since it replaces the stack of the other tests.
"""

import gzip
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.containers import flows
from tests.containers.compose import Compose
from tests.factories import deposit
from tests.release.data_of_0_1 import DATA, PROTOCOLS, RECIPIENTS, answers, differences, forget_age, unpack
from tests.support.js_client import JsClient
from tests.support.processes import until

OWNER_URL = "postgresql+psycopg://dashboard:of-the-owner@postgres:5432/dashboard"
PAYOUT_SECRET = "given-by-the-operator-of-release-0.1"
APP, SERVERS = 10001, 999  # the users that read the secrets


@dataclass(frozen=True)
class Upgrade:
    """What 0.1 answered, and its signing key."""

    before: dict[str, Any]
    key: str


@pytest.fixture(scope="module")
def upgrade(compose: Compose, tmp_path_factory: pytest.TempPathFactory) -> Upgrade:
    """The stack, healthy on the volumes of 0.1."""
    folder = tmp_path_factory.mktemp("of-0-1")
    before = unpack("postgresql", folder / "home")
    key = (folder / "home" / "signing.key").read_text(encoding="ascii").strip()
    (folder / "secrets.tar.gz").write_bytes(_secrets(key))
    (folder / "dump.sql").write_bytes(gzip.decompress((DATA / "postgresql" / "dump.sql.gz").read_bytes()))
    compose.down()
    # As docs/operating.md restores them.
    _feed(compose, "run --rm -T --entrypoint sh secrets -euc 'tar -C /secrets -xpz'", folder / "secrets.tar.gz")
    # Without the snapshot of the empty server: it was written by a newer Valkey, whose format this one cannot read.
    queue = "tar --strip-components=1 -xz redis; sed -i '/ type b$/d' appendonlydir/appendonly.aof.manifest"
    unpacking = f'run --rm -T --no-deps --workdir /data --entrypoint sh valkey -euc "{queue}"'
    _feed(compose, unpacking, DATA / "postgresql" / "home.tar.gz")
    compose("up", "--detach", "--wait", "postgres", seconds=120)
    psql = "exec -T postgres psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username=dashboard dashboard"
    _feed(compose, psql, folder / "dump.sql")
    compose.up()
    return Upgrade(before, key)


def _secrets(key: str) -> bytes:
    """The secrets as 0.1 kept them; two of them in places that this release has left."""
    files = {
        "app/signing_key": (APP, key), "app/database_url": (APP, OWNER_URL), "app/payout_secret": (APP, PAYOUT_SECRET),
        "app/redis_url": (APP, "redis://:of-valkey@valkey:6379/0"),
        "postgres/password": (SERVERS, "of-the-owner"),
        "valkey/password": (SERVERS, "of-valkey"), "valkey/password.conf": (SERVERS, "requirepass of-valkey"),
    }  # fmt: skip
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, (user, text) in files.items():
            member, content = tarfile.TarInfo(name), f"{text}\n".encode()
            member.uid, member.gid, member.mode, member.size = user, user, 0o400, len(content)
            archive.addfile(member, BytesIO(content))
    return packed.getvalue()


def _feed(compose: Compose, arguments: str, source: Path) -> None:
    compose.run_script("sh", "-euc", f'docker compose {arguments} < "$1"', "sh", str(source))


def test_what_was_settled_in_0_1_is_told_again_and_what_was_open_is_finished(
    upgrade: Upgrade, compose: Compose
) -> None:
    api, before = compose.api, upgrade.before
    [open_one] = [each for each in before["/protocols/vault/payments"]["items"] if each["status"] == "PENDING"]
    flows.until_released(api, open_one["id"], seconds=60)

    after = answers(api.viewer, api.admin)

    assert open_one["recipient"] == RECIPIENTS["open"]
    assert set(_changed(before, after)) == {open_one["id"], open_one["vulnerabilityId"]}
    pool, entries = after["/protocols/vault/pool"], after["/protocols/vault/pool/entries"]["items"]
    assert {name: pool[name] for name in ("total", "available", "reserved", "paid", "version")} == {
        "total": "1000.123456", "available": "947.623456", "reserved": "31.50", "paid": "21.00", "version": "10",
    }  # fmt: skip
    assert [each["paymentId"] for each in entries if each["version"] == "10"] == [open_one["id"]]
    assert after["/protocols/bridge/pool"] == before["/protocols/bridge/pool"]


def _changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The ids of all items of lists that are no longer what they were."""
    old, new = forget_age(before), forget_age(after)
    changed = []
    for path, answer in old.items():
        found = {each["id"]: each for each in new[path].get("items", [])}
        changed += [each["id"] for each in answer.get("items", []) if differences(each, found.get(each["id"], {}))]
    return changed


def test_events_of_the_rooms_go_on_from_the_numbers_of_0_1(upgrade: Upgrade, compose: Compose, js: JsClient) -> None:
    for protocol_id in PROTOCOLS:
        path, owner = f"/protocols/{protocol_id}/state", compose.api.owner
        last = int(upgrade.before[path]["seq"])
        assert int(owner.get(path).expect(200)["seq"]) >= last
        browser = flows.watch(compose, js, protocol_id)
        deposit(compose.api, protocol_id, "1")
        event = browser.wait_for_event("bounty_pool:updated", changeType="DEPOSIT")
        assert int(event.payload["seq"]) > last


def test_tokens_of_0_1_are_valid_unless_they_were_revoked(upgrade: Upgrade, compose: Compose) -> None:
    assert compose.exec("web", "cat", "/run/secrets/app/signing_key") == upgrade.key
    codes = [
        compose.api.as_("viewer", iat=int(1.79e9), exp=int(4e9), **claims).get("/protocols").status
        for claims in ({"jti": "kept"}, {"jti": "lost-token"}, {"sub": "former"})
    ]

    assert codes == [200, 401, 401]


def test_the_secrets_of_0_1_are_kept_where_only_their_readers_see_them(upgrade: Upgrade, compose: Compose) -> None:
    assert compose.exec("worker-payments", "cat", "/run/secrets/payout/payout_secret") == PAYOUT_SECRET
    assert not {"database_url", "payout_secret"} & set(compose.exec("web", "ls", "/run/secrets/app").split())
    users = "SELECT DISTINCT usename FROM pg_stat_activity WHERE client_addr IS NOT NULL"
    psql = ("psql", "--username=dashboard", "--tuples-only", "--no-align", "dashboard", "-c")
    assert compose.exec("postgres", *psql, users) == "dashboard_app"


def test_doctor_finds_no_fault_after_the_upgrade(upgrade: Upgrade, compose: Compose) -> None:
    def is_content() -> bool:
        try:
            return "FAIL" not in compose.exec("web", "dashboard", "doctor")
        except AssertionError:
            return False

    until(is_content, 30, "doctor finds no fault")
