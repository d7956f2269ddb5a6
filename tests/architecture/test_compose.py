"""The networks, secrets and database roles of each service in `docker-compose.yml`."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
STACK: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
OURS = [name for name, service in SERVICES.items() if str(service["image"]).startswith("dashboard-realtime")]


def readers_of(volume: str) -> set[str]:
    return {name for name, each in SERVICES.items() if any(v.startswith(f"{volume}:") for v in each.get("volumes", []))}


def has_way_out(network: str) -> bool:
    settings = STACK["networks"][network] or {}
    masquerades = settings.get("driver_opts", {}).get("com.docker.network.bridge.enable_ip_masquerade") != "false"
    return not settings.get("internal") and masquerades


@pytest.mark.parametrize("service", SERVICES)
def test_only_workers_of_payments_and_webhooks_have_outbound_network_access(service: str) -> None:
    settings = SERVICES[service]
    ways_out = [each for each in settings.get("networks", []) if has_way_out(each)]

    assert settings.get("network_mode") == "none" or settings["networks"]
    assert ways_out == (["outside"] if service in ("worker-payments", "worker-webhooks") else [])


def test_only_payment_workers_can_read_the_payout_secret() -> None:
    assert readers_of("payout-secrets") == {"worker-payments", "secrets"}
    told = [
        name for name, each in SERVICES.items() if any(key.startswith("PAYOUT") for key in each.get("environment", {}))
    ]
    assert told == ["worker-payments"]


def test_only_the_migration_can_read_the_password_of_the_table_owner() -> None:
    assert readers_of("migration-secrets") == {"migrate", "secrets"}
    assert readers_of("postgres-secrets") == {"postgres", "roles", "secrets"}
    for name in set(OURS) - {"migrate", "secrets"}:
        assert SERVICES[name]["environment"]["DATABASE_URL_FILE"] == "/run/secrets/app/application_database_url"
        assert SERVICES[name]["depends_on"]["roles"] == {"condition": "service_completed_successfully"}


def test_the_proxy_shares_no_network_with_database_and_redis() -> None:
    assert not set(SERVICES["proxy"]["networks"]) & set(
        SERVICES["postgres"]["networks"] + SERVICES["valkey"]["networks"]
    )


def test_every_mounted_file_exists() -> None:
    mounted = {v.split(":")[0] for each in SERVICES.values() for v in each.get("volumes", []) if v.startswith("./")}

    assert mounted
    assert all((ROOT / path).exists() for path in mounted)


def test_the_override_for_a_cluster_gives_all_parts_the_rooms_of_three_primaries_with_replicas() -> None:
    override = yaml.safe_load((ROOT / "deploy/compose/valkey-cluster.yml").read_text(encoding="utf-8"))
    services = override["services"]
    nodes = services["valkey-cluster"]["environment"]["NODES"].split()
    assert len(nodes) == 6
    assert set(services["valkey-cluster"]["depends_on"]) == set(nodes)
    for name in set(OURS) - {"secrets"}:
        assert services[name]["environment"] == {"ROOMS_REDIS_URL_FILE": "/run/secrets/app/rooms_redis_url"}
    for name in set(OURS) - {"secrets", "migrate"}:
        assert "valkey-cluster" in services[name]["depends_on"], "nothing starts before there are rooms"
    data = [volume.split(":")[0] for name in nodes for volume in services[name]["volumes"] if volume.endswith(":/data")]
    assert set(data) == set(override["volumes"])
    assert len(data) == len(nodes)
    for name in nodes:
        assert services[name]["command"][-2:] == ["--cluster-announce-hostname", name]
        hardening = ("read_only", "user", "cap_drop", "security_opt", "networks")
        assert {key: services[name][key] for key in hardening} == {key: SERVICES["valkey"][key] for key in hardening}
    mounted = {v.split(":")[0] for each in services.values() for v in each.get("volumes", []) if v.startswith("./")}
    assert all((ROOT / path).exists() for path in mounted)
    secrets = (ROOT / "deploy/compose/make-secrets.sh").read_text(encoding="utf-8")
    assert "@" + ",".join(f"{name}:6379" for name in nodes[:3]) in secrets
