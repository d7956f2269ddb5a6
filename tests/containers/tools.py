"""A container engine for machines without one: Debian's packages, unpacked into a cache and not installed.

Installing them would start a daemon with rules in the machine's firewall; unpacked they do nothing by themselves.
"""

import os
import subprocess
from pathlib import Path

from tests.support.machine_speed import patience

ENGINE_PACKAGES = ("docker.io", "containerd", "runc", "debootstrap")
# The name service of each container needs a rule inside that container; the host is not changed.
NAME_SERVICE_PACKAGES = (
    "iptables",
    "libip4tc2",
    "libip6tc2",
    "libmnl0",
    "libnetfilter-conntrack3",
    "libnfnetlink0",
    "libnftnl11",
    "libxtables12",
)
PLUGIN_PACKAGES = ("docker-compose", "docker-buildx")  # not in Debian 12, but the next release's run there
PLUGIN_RELEASE = "trixie"
SYSTEMD_LIBRARIES = (
    *("libapparmor1", "libaudit1", "libcap-ng0", "libip4tc2", "libkmod2", "libmount1", "libpam0g", "libseccomp2"),
    "libsystemd-shared",
)
MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
FETCH_SECONDS = 300


class NoEngineError(Exception):
    """This machine cannot run a container engine; the message says why."""


def cache() -> Path:
    """The folder that is kept between runs."""
    return Path(os.environ.get("CONTAINERS_CACHE", "/var/cache/dashboard-containers"))


def check_machine() -> None:
    if os.geteuid() != 0:
        raise NoEngineError("starting a container engine needs root; or start one yourself and set DOCKER_HOST")
    if not Path("/etc/debian_version").exists():
        raise NoEngineError("there is no Docker here, and it can be fetched on Debian alone")


def fetch_tools() -> Path:
    """The folder with the engine's files (`usr/bin`, `usr/sbin`, …). Raises NoEngineError."""
    check_machine()
    target = cache() / "tools"
    done = target / ".complete"
    if not done.exists():
        packages = cache() / "packages"
        packages.mkdir(parents=True, exist_ok=True)
        options = _other_release(packages / "apt")
        _run(["apt-get", "-qq", "update"], packages)
        _run(["apt-get", "-qq", "download", *ENGINE_PACKAGES, *NAME_SERVICE_PACKAGES], packages)
        _run(["apt-get", "-qq", *options, "update"], packages)
        _run(["apt-get", "-qq", *options, "download", *PLUGIN_PACKAGES], packages)
        for package in sorted(packages.glob("*.deb")):
            _run(["dpkg", "-x", str(package), str(target)], packages)
        for name in ("iptables", "ip6tables"):
            (target / "usr/sbin" / name).symlink_to("xtables-nft-multi")
        done.touch()
    return target


def fetch_promtool() -> Path:
    """The path of Prometheus's rule checker from Debian's package. Raises NoEngineError."""
    return _fetch_program("bin/promtool", "prometheus")


def fetch_kubectl() -> Path:
    """The path of Kubernetes's command line from Debian's package; the next release's, for its kustomize."""
    return _fetch_program("bin/kubectl", "kubectl", is_of_next_release=True)


def fetch_systemd_analyze() -> tuple[Path, Path]:
    """The path of systemd's checker of units, and of the folder with its libraries. Raises NoEngineError."""
    program = _fetch_program("bin/systemd-analyze", "systemd", *SYSTEMD_LIBRARIES)
    return program, program.parents[1] / "lib/x86_64-linux-gnu"


def fetch_pgbouncer() -> tuple[Path, Path]:
    """The path of PgBouncer, and of the folder with its libraries. Raises NoEngineError."""
    program = _fetch_program("sbin/pgbouncer", "pgbouncer", "libc-ares2", "libevent-2.1-7")
    return program, program.parents[1] / "lib/x86_64-linux-gnu"


def _fetch_program(program: str, package: str, *libraries: str, is_of_next_release: bool = False) -> Path:
    target = cache() / package
    path = target / "usr" / program
    done = target / ".complete"
    if not done.exists():
        packages = cache() / f"{package}-package"
        packages.mkdir(parents=True, exist_ok=True)
        options = _other_release(packages / "apt") if is_of_next_release else []
        name = f"{package}/{PLUGIN_RELEASE}" if is_of_next_release else package
        _run(["apt-get", "-qq", *options, "update"], packages)
        _run(["apt-get", "-qq", *options, "download", name, *libraries], packages)
        for each in sorted(packages.glob("*.deb")):
            _run(["dpkg", "-x", str(each), str(target)], packages)
        done.touch()
    return path


def _other_release(folder: Path) -> list[str]:
    """The apt options for another release in a separate folder."""
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    source = folder / "sources.list"
    source.write_text(f"deb [signed-by={KEYRING}] {MIRROR} {PLUGIN_RELEASE} main\n", encoding="utf-8")
    places = {
        "Dir::Etc::SourceList": source,
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
    }
    return [part for name, value in places.items() for part in ("-o", f"{name}={value}")]


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=patience(FETCH_SECONDS), check=False
    )
    if done.returncode:
        raise NoEngineError(f"`{' '.join(command)}` failed:\n{done.stderr[-2000:]}")
