"""Kubernetes manifests: built with kustomize, valid against the API's schemas, and true to the compose stack."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.containers.tools import NoEngineError, fetch_kubectl
from tests.support.machine_speed import patience

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy/kubernetes/overlays/example"
OLDEST_VERSION, NEWEST_VERSION = "1.32", "1.34"


@pytest.fixture(scope="module")
def manifests() -> list[dict[str, Any]]:
    try:
        kubectl = fetch_kubectl()
    except NoEngineError as error:
        pytest.fail(f"no kubectl: {error}")
    done = subprocess.run([kubectl, "kustomize", EXAMPLE], capture_output=True, text=True, timeout=patience(120))
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def pods(manifests: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The pod templates by the name of their Deployment or Job."""
    kinds = ("Deployment", "Job")
    return {each["metadata"]["name"]: each["spec"]["template"] for each in manifests if each["kind"] in kinds}


def containers(pods: dict[str, dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, pod in pods.items():
        for container in pod["spec"]["containers"]:
            yield name, container


@pytest.mark.parametrize("version", [OLDEST_VERSION, NEWEST_VERSION])
def test_the_manifests_are_valid(manifests: list[dict[str, Any]], version: str) -> None:
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_each_process_runs_as_in_the_compose_stack(pods: dict[str, dict[str, Any]]) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    application = {name: each for name, each in services.items() if "dashboard-realtime" in each["image"]}
    arguments = {name: container.get("args") for name, container in containers(pods) if name != "proxy"}
    default = ["web", "--host", "0.0.0.0", "--port", "5000"]  # noqa: S104 - the image's command

    assert arguments == {name: each.get("command", default) for name, each in application.items() if name != "secrets"}


def test_containers_have_no_rights_and_cannot_write(pods: dict[str, dict[str, Any]]) -> None:
    for name, container in containers(pods):
        rights = container["securityContext"]
        assert rights["readOnlyRootFilesystem"], name
        assert rights["capabilities"] == {"drop": ["ALL"]}, name
        assert not rights["allowPrivilegeEscalation"], name
        assert pods[name]["spec"]["securityContext"]["runAsNonRoot"], name
        assert not pods[name]["spec"]["automountServiceAccountToken"], name


def test_secrets_are_files_and_only_their_readers_have_them(pods: dict[str, dict[str, Any]]) -> None:
    readers: dict[str, set[str]] = {}
    for name, pod in pods.items():
        for volume in pod["spec"]["volumes"]:
            if "secret" in volume:
                readers.setdefault(volume["secret"]["secretName"], set()).add(name)
    application = set(pods) - {"proxy"}

    assert readers == {
        "dashboard-app": application,
        "dashboard-payout": {"worker-payments"},
        "dashboard-migration": {"migrate"},
    }


def test_every_service_autoscaler_and_policy_selects_existing_pods(
    manifests: list[dict[str, Any]], pods: dict[str, dict[str, Any]]
) -> None:
    labels = [pod["metadata"]["labels"].items() for pod in pods.values()]
    selected = {"Service": ("selector",), "PodDisruptionBudget": ("selector", "matchLabels")}
    for manifest in manifests:
        name, spec = manifest["metadata"]["name"], manifest.get("spec", {})
        if manifest["kind"] == "HorizontalPodAutoscaler":
            assert spec["scaleTargetRef"]["name"] in pods
        elif manifest["kind"] in selected:
            wanted = spec
            for key in selected[manifest["kind"]]:
                wanted = wanted[key]
            assert any(wanted.items() <= each for each in labels), name
        elif manifest["kind"] == "NetworkPolicy":
            assert any(_matches(spec["podSelector"], dict(each)) for each in labels), name


def _matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    fits = selector.get("matchLabels", {}).items() <= labels.items()
    return fits and all(labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", []))
