"""Settings: checked at start, every fault reported at once, secrets never shown."""

import contextlib
import secrets
import ssl
from pathlib import Path

import kombu
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, make_url

from app.config import ConfigError, load_config
from app.config.checks import is_weak
from app.config.redis_addresses import cluster_nodes, parse_sentinel
from app.core.celery_config import broker
from app.core.redis_connection import connect_redis

KEY = secrets.token_hex(32)
GOOD = {"DATABASE_URL": "sqlite:////tmp/x.db", "REDIS_URL": "redis://127.0.0.1/0", "DASHBOARD_SIGNING_KEY": KEY}


def faults(**changes: str) -> dict[str, list[str]]:
    with pytest.raises(ConfigError) as error:
        load_config(GOOD | changes)
    for name in error.value.faults:
        assert name in str(error.value)
    return error.value.faults


def test_all_faults_are_reported_at_once() -> None:
    reported = faults(DASHBOARD_REST_PER_TOKEN="many", DASHBOARD_LOG_LEVEL="LOUD", DASHBOARD_SHUTDOWN_GRACE="x")
    assert set(reported) == {"DASHBOARD_REST_PER_TOKEN", "DASHBOARD_LOG_LEVEL", "DASHBOARD_SHUTDOWN_GRACE"}


def test_an_unreadable_setting_hides_no_other_fault(tmp_path: Path) -> None:
    reported = faults(
        DASHBOARD_SIGNING_KEY="short",
        DASHBOARD_ALLOWED_ORIGINS="abc",
        PAYOUT_URL="http://x",
        DASHBOARD_LOG_LEVEL="loud",
        DASHBOARD_TRUSTED_PROXIES="x",
        REDIS_URL="http://x",
        DASHBOARD_JWKS_URL_FILE=str(tmp_path / "missing"),
    )
    assert set(reported) == {
        "DASHBOARD_SIGNING_KEY", "DASHBOARD_ALLOWED_ORIGINS", "PAYOUT_SECRET", "PAYOUT_URL", "DASHBOARD_LOG_LEVEL",
        "DASHBOARD_TRUSTED_PROXIES", "REDIS_URL", "DASHBOARD_JWKS_URL",
    }  # fmt: skip


def test_networks_of_webhooks_are_read_or_refused() -> None:
    settings = load_config(GOOD | {"WEBHOOK_ALLOWED_NETWORKS": " 10.1.0.0/16, fd00:1::/32,127.0.0.1 "})

    assert [str(each) for each in settings.webhook_networks] == ["10.1.0.0/16", "fd00:1::/32", "127.0.0.1/32"]
    assert load_config(GOOD).webhook_networks == ()
    for listed in ("10.1.0.0/8", "intranet", "10.0.0.0/8 fd00::/8", "10.0.0.0/33"):
        assert list(faults(WEBHOOK_ALLOWED_NETWORKS=listed)) == ["WEBHOOK_ALLOWED_NETWORKS"]


def test_files_that_are_not_text_are_faults(tmp_path: Path) -> None:
    (tmp_path / "signing.key").write_bytes(b"\xff" * 32)
    given = {"DASHBOARD_HOME": str(tmp_path), "DASHBOARD_SIGNING_KEY": "", "PAYOUT_SECRET_FILE": "/bin/sh"}
    assert {"DASHBOARD_HOME", "PAYOUT_SECRET"} <= set(faults(**given))


def test_without_anything_the_missing_parts_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load_config({"DASHBOARD_HOME": str(tmp_path / "none")})
    assert set(error.value.faults) == {"DATABASE_URL", "REDIS_URL", "DASHBOARD_SIGNING_KEY"}


WEAK = [
    "short", "a" * 64, "changeme" * 2, "ab" * 32, "changeme-changeme-changeme-changeme", "correct-horse" * 4,
    "please-change-this-secret-signing-key", "Your_Secret_Password_Here-test-test-test",
    "secret example password 123" * 2,
]  # fmt: skip


@pytest.mark.parametrize("key", WEAK)
@pytest.mark.parametrize(
    "name",
    [
        "DASHBOARD_SIGNING_KEY",
        "DASHBOARD_PREVIOUS_SIGNING_KEY",
        "WEBHOOK_ENCRYPTION_KEY",
        "WEBHOOK_PREVIOUS_ENCRYPTION_KEY",
    ],
)
def test_a_weak_signing_key_is_refused_and_not_shown(name: str, key: str) -> None:
    reported = faults(**{name: key})
    assert list(reported) == [name]
    assert key not in str(reported)


@pytest.mark.parametrize("secret", ["x", "changeme", "payout-secret-key", "s3cr3t-" * 6, "8ccb8bc9359138c"])
def test_a_weak_payout_secret_is_refused_and_not_shown(secret: str) -> None:
    reported = faults(PAYOUT_URL="https://pay.example", PAYOUT_SECRET=secret)
    assert list(reported) == ["PAYOUT_SECRET"]
    assert f" {secret} " not in str(reported)


def test_under_dashboard_up_the_payout_secret_may_be_weak() -> None:
    fine = load_config(GOOD | {"PAYOUT_URL": "http://127.0.0.1:1", "PAYOUT_SECRET": "x", "DASHBOARD_UNDER_UP": "1"})
    assert fine.payout_secret == "x"


def test_generated_secrets_are_strong_enough() -> None:
    made = [make(32) for make in (secrets.token_hex, secrets.token_urlsafe) for _ in range(500)]
    assert not [each for each in made if is_weak(each, 32)]
    assert not [each for each in (secrets.token_hex(8) for _ in range(500)) if len(set(each)) > 7 and is_weak(each, 16)]


def test_a_payout_service_needs_a_secret_and_an_http_address() -> None:
    assert list(faults(PAYOUT_URL="https://pay.example")) == ["PAYOUT_SECRET"]
    assert list(faults(PAYOUT_URL="ftp://pay.example", PAYOUT_SECRET=KEY)) == ["PAYOUT_URL"]


def test_a_secret_may_come_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY + "\n", encoding="utf-8")
    given = {name: value for name, value in GOOD.items() if name != "DASHBOARD_SIGNING_KEY"}

    assert load_config(given | {"DASHBOARD_SIGNING_KEY_FILE": str(file)}).signing_key == KEY
    with pytest.raises(ConfigError) as error:
        load_config(given | {"DASHBOARD_SIGNING_KEY_FILE": str(tmp_path / "missing")})
    assert "DASHBOARD_SIGNING_KEY" in error.value.faults


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_a_postgresql_url_means_psycopg_3(scheme: str) -> None:
    settings = load_config(GOOD | {"DATABASE_URL": f"{scheme}://u:p@db/x"})
    assert settings.database_url == "postgresql+psycopg://u:p@db/x"


def test_settings_do_not_show_their_secrets() -> None:
    settings = load_config(GOOD | {"DATABASE_URL": "postgresql://u:hunter2@db/x"})
    assert KEY not in repr(settings)
    assert "hunter2" not in repr(settings)
    paying = {"PAYOUT_URL": "https://user:hunter2@pay.example/x", "PAYOUT_SECRET": KEY}
    assert "hunter2" not in repr(load_config(GOOD | paying))


BAD_ADDRESSES = {
    "REDIS_URL": [
        "http://hunter2", "notaurl", "redis://", "redis://:hunter2@h:port/0", "redis://h:99999/0", "redis://h/zero",
        "redis://:hunter2/x@h:1/0", "redis://h:0/0", "redis://h/0?socket_timeout=hunter2", "unix:///run/redis.sock",
        "sentinel://h:99999/svc", "redis://h/0?foo=hunter2", "redis://h/0?db=3", "redis://h/0?ssl_cert_reqs=none",
        "rediss://h/0?ssl_cert_reqs=hunter2", "redis://h /0", "redis://h\n/0", "valkey-cluster://h:1,i:2",
    ],
    "ROOMS_REDIS_URL": [
        "http://hunter2", "valkey-cluster://", "valkey-cluster://:hunter2@h:1,", "redis-cluster://h:1,i:x", "redis://h/zero",
        "redis-cluster://h:1/3", "valkey-cluster://h:99999", "valkey-cluster://h:1?ssl_ca_certs=/ca.pem", "rediss-cluster://h?x=1",
        "valkey-cluster://:hunter2@h :1", "cluster://h:1", "valkey-cluster://:hunter2#@h:1",
    ],
    "DATABASE_URL": [
        "foo://hunter2", "mysql://u:hunter2@h/x", "notaurl", "postgresql+psycopg2://u:hunter2@h/x", "postgresql://h",
        "postgresql://u:hunter2@h:port/x", "postgresql://h:99999/x", "postgresql://u:hunter2@[::1/x", "sqlite://x.db",
        "postgresql://h/x?hunter2=1", "postgresql://h/x?pgbouncer=true", "sqlite:////tmp/is?this/x.db", "sqlite:////a\nb",
    ],
    "PAYOUT_URL": [
        "https://", "https://:443/x", "https://h:99999", "http://[::1/x", "https://h ost/",
        "http://pay.example", "http://u:hunter2@10.0.0.7/pay", "http://localhost.example/pay", "http://[2001:db8::1]/",
    ],
    "DASHBOARD_JWKS_URL": ["http://id.example/jwks.json", "https://u:hunter2@id.example/k", "ftp://127.0.0.1/"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "url"), [(name, url) for name, urls in BAD_ADDRESSES.items() for url in urls])
def test_an_invalid_address_is_reported_without_its_password(name: str, url: str) -> None:
    reported = faults(**{name: url, "PAYOUT_SECRET": KEY})
    assert list(reported) == [name]
    assert "hunter2" not in str(reported)


GOOD_ADDRESSES = {
    "REDIS_URL": ["rediss://:p%2Fw@h.example:6380/15", "redis://h", "redis://[::1]:1/", "redis://h/0?health_check_interval=3",
        "rediss://h/0?ssl_cert_reqs=CERT_NONE", "rediss://h/0?ssl_ca_certs=/ca.pem&ssl_check_hostname=false",
    ],
    "ROOMS_REDIS_URL": [
        "valkey-cluster://h:1,i:2,j:3", "redis-cluster://me:p%2Fw@h", "rediss-cluster://h:1, i:2?ssl_ca_certs=/ca.pem",
        "valkeys-cluster://[::1]:7000/", "redis://h", "sentinel://s:1/svc/0",
    ],
    "DATABASE_URL": [
        "sqlite://", "sqlite:///relative.db", "postgresql:///local", "postgresql://u:p/w#?@h:5432/x?sslmode=require",
        "postgresql+psycopg://[::1]:5432/x", "postgresql:///x?host=/run/postgresql",
        "postgres://u:p@h:5432/x?sslmode=require&application_name=dash", "POSTGRES://h/x",
        "sqlite:////tmp/50%25 é#/x.db?timeout=5",
    ],
    "PAYOUT_URL": ["https://pay.example/x", "http://127.0.0.1:1/", "http://[::1]:1/", "http://localhost/pay"],
    "DASHBOARD_JWKS_URL": ["https://id.example/k", "http://127.0.0.1:1/k", "http://[::1]:1/k", "http://localhost/k"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "url"), [(name, url) for name, urls in GOOD_ADDRESSES.items() for url in urls])
def test_a_valid_address_is_accepted(name: str, url: str) -> None:
    load_config(GOOD | {name: url, "PAYOUT_SECRET": KEY})


@pytest.mark.parametrize("under_up", ["0", "1"])
def test_a_payout_url_over_plain_http_to_another_host_must_be_allowed(under_up: str) -> None:
    given = {"PAYOUT_URL": "http://pay.example", "PAYOUT_SECRET": KEY, "DASHBOARD_UNDER_UP": under_up}

    assert list(faults(**given)) == ["PAYOUT_URL"]
    assert load_config(GOOD | given | {"PAYOUT_ALLOW_HTTP": "1"}).payout_url == "http://pay.example"
    assert "PAYOUT_ALLOW_HTTP" in faults(**given, PAYOUT_ALLOW_HTTP="2")


TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=12)
ADDRESSES = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["redis://", "rediss://", "postgres://", "postgresql://", "sqlite://", "sqlite:///", ""]),
    st.one_of(TEXTS, st.just(""), st.sampled_from(["u:p@", ":p w@", "@"])),
    st.sampled_from(["h", "h:1", "[::1]:5", "h:99999", "", "h,i"]),
    st.one_of(st.sampled_from(["/0", "/x", "", "/a%41b?", "/x?sslmode=require"]), TEXTS),
    st.one_of(st.sampled_from(["", "?ssl_cert_reqs=CERT_REQUIRED", "?socket_timeout=1", "&db=1"]), TEXTS),
)


@settings(max_examples=300)
@given(ADDRESSES)
def test_an_accepted_address_is_valid_for_the_libraries(url: str) -> None:
    for name, reads in (
        ("DATABASE_URL", lambda read: make_url(read.database_url)),
        ("REDIS_URL", lambda read: (connect_redis(read.redis_url), kombu.Connection(broker(read.redis_url)[0]))),
    ):
        with contextlib.suppress(ConfigError):
            reads(load_config(GOOD | {name: url}))


def test_celery_checks_the_certificate_too_and_gets_only_options_it_supports() -> None:
    options = {
        "rediss://h/0": {"ssl_cert_reqs": ssl.CERT_REQUIRED},
        "rediss://h/0?ssl_cert_reqs=CERT_NONE": {"ssl_cert_reqs": ssl.CERT_NONE},
        "rediss://h/0?ssl_ca_certs=%2Fca.pem&socket_timeout=3": {
            "ssl_cert_reqs": ssl.CERT_REQUIRED,
            "ssl_ca_certs": "/ca.pem",
        },
        "redis://h/0?health_check_interval=3&client_name=x": False,
    }
    for url, tls in options.items():
        assert kombu.Connection(broker(load_config(GOOD | {"REDIS_URL": url}).redis_url)[0]).ssl == tls, url


BLANK = ["  {}", "{}\n", "\t{} \r\n"]


@pytest.mark.parametrize("blanks", BLANK)
def test_white_space_around_a_setting_is_ignored(blanks: str, tmp_path: Path) -> None:
    given = GOOD | {"DASHBOARD_TRUSTED_PROXIES": "2", "DASHBOARD_LOG_FORMAT": "json", "DASHBOARD_ALLOWED_ORIGINS": "*"}
    assert load_config({name: blanks.format(value) for name, value in given.items()}) == load_config(given)

    file = tmp_path / "url"
    file.write_text(blanks.format(GOOD["REDIS_URL"]), encoding="utf-8")
    from_file = load_config(given | {"REDIS_URL": blanks.format(""), "REDIS_URL_FILE": blanks.format(file)})
    assert from_file.redis_url == GOOD["REDIS_URL"]


@pytest.mark.parametrize("name", ["50%41", "50%", "a b", "is?this=1", "h#x", "ünï✓", "a+b&c"])
def test_the_embedded_database_is_in_its_folder_under_any_folder_name(name: str, tmp_path: Path) -> None:
    home = tmp_path / name
    home.mkdir()
    given = {each: GOOD[each] for each in ("REDIS_URL", "DASHBOARD_SIGNING_KEY")}
    url = load_config(given | {"DASHBOARD_HOME": str(home)}).database_url

    with create_engine(url).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE here (id INTEGER)")
    assert (home / "dashboard.db").stat().st_size > 0


def test_bytes_that_are_not_utf8_are_a_fault_of_their_setting(tmp_path: Path) -> None:
    home = tmp_path / "caf\udce9"
    home.mkdir()
    reported = faults(DASHBOARD_HOME=str(home), OTEL_SERVICE_NAME="caf\udce9", DASHBOARD_LOG_LEVEL="LOUD")
    assert set(reported) == {"DASHBOARD_HOME", "OTEL_SERVICE_NAME", "DASHBOARD_LOG_LEVEL"}


@pytest.mark.parametrize("url", ["sentinel://:hunter2@host/svc", "sentinel://:hunter2@host:1", "sentinel://:hunter2@"])
def test_a_sentinel_url_of_another_form_is_refused_and_its_password_not_shown(url: str) -> None:
    reported = faults(REDIS_URL=url)
    assert list(reported) == ["REDIS_URL"]
    assert "hunter2" not in str(reported)


def test_passwords_of_servers_and_of_sentinels_are_kept_apart() -> None:
    settings = load_config(
        GOOD | {"REDIS_URL": "sentinel://me:d%40ta@s1:1,s2:2/svc/3", "REDIS_SENTINEL_PASSWORD": "s@nt&nel"}
    )

    address = parse_sentinel(settings.redis_url)

    assert (address.sentinels, address.service, address.database) == ([("s1", 1), ("s2", 2)], "svc", 3)
    assert address.login == {"username": "me", "password": "d@ta"}
    assert address.sentinel_login == {"password": "s@nt&nel"}
    assert "d@ta" not in repr(address)
    assert address.broker_url() == "sentinel://me:d%40ta@s1:1/3;sentinel://me:d%40ta@s2:2/3"


def test_an_invalid_address_for_traces_or_crash_reports_is_refused() -> None:
    reported = faults(
        OTEL_EXPORTER_OTLP_ENDPOINT="collector:4317", OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf", SENTRY_DSN="hunter2"
    )
    assert set(reported) == {"OTEL_EXPORTER_OTLP_ENDPOINT", "SENTRY_DSN"}
    assert "hunter2" not in str(reported)
    assert set(faults(OTEL_EXPORTER_OTLP_PROTOCOL="grpc")) == {"OTEL_EXPORTER_OTLP_PROTOCOL"}


def test_the_rooms_are_in_the_one_redis_unless_another_is_named() -> None:
    assert load_config(GOOD).rooms_redis_url == GOOD["REDIS_URL"]
    named = load_config(GOOD | {"ROOMS_REDIS_URL": "valkey-cluster://me:p%40ss@h:7000,[::1]?client_name=x"})
    assert named.redis_url == GOOD["REDIS_URL"]
    assert cluster_nodes(named.rooms_redis_url) == [
        "redis://me:p%40ss@h:7000?client_name=x",
        "redis://me:p%40ss@[::1]?client_name=x",
    ]
    assert cluster_nodes("rediss-cluster://h:1,i:2") == ["rediss://h:1", "rediss://i:2"]
    assert "p%40ss" not in repr(named)


def test_a_cluster_for_celery_is_refused_with_the_setting_that_takes_it() -> None:
    assert "ROOMS_REDIS_URL" in str(faults(REDIS_URL="valkey-cluster://h:1"))
