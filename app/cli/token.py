"""`dashboard token`: print a token signed with the running configuration's key."""

from typing import Any

import click

from app.auth.permissions import Role

DEFAULT_TTL_SECONDS = 3600
MAX_TTL_SECONDS = 100 * 365 * 24 * 3600
STAR = "*"


def _check_protocols(_ctx: click.Context, _option: Any, protocols: tuple[str, ...]) -> tuple[str, ...]:
    """A grant that is no id grants nothing, and nothing would say why."""
    from app.core.schemas import is_identifier

    for each in protocols:
        if each != STAR and not is_identifier(each):
            raise click.BadParameter(f"{each!r} is no protocol's id: letters, digits and ._:- (at most 64), or `*`")
    return protocols


def _check_subject(_ctx: click.Context, _option: Any, subject: str) -> str:
    from app.auth.tokens import MAX_SUBJECT_LENGTH, is_claim_text

    if subject and not is_claim_text(subject, MAX_SUBJECT_LENGTH):
        raise click.BadParameter(f"must be at most {MAX_SUBJECT_LENGTH} printable characters, not all of them blank")
    return subject


@click.command()
@click.option("--role", required=True, type=click.Choice([str(role) for role in Role]), help="what it may do")
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    callback=_check_protocols,
    help="protocol it may see; repeatable, `*` is all",
)
@click.option(
    "--sub",
    "subject",
    default="",
    callback=_check_subject,
    help="who it is; an agent's id for agents  [default: the role and its protocols, as owner@P1]",
)
@click.option(
    "--ttl",
    default=DEFAULT_TTL_SECONDS,
    type=click.IntRange(min=1, max=MAX_TTL_SECONDS),
    help="seconds until it expires",
)
def token(role: str, protocols: tuple[str, ...], subject: str, ttl: int) -> None:
    """Print an access token."""
    from app.auth.tokens import issue
    from app.config import load_config

    try:
        signed = issue(
            load_config(offline=True),
            subject=subject or _subject_of(Role(role), protocols),
            role=Role(role),
            protocols=list(protocols),
            ttl_seconds=ttl,
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(signed)


def _subject_of(role: Role, protocols: tuple[str, ...]) -> str:
    """Owners of different protocols are different people: whoever shares a subject shares its Idempotency-Keys.

    An agent's subject is an agent's id, which holds no `@`.
    """
    from app.auth.tokens import MAX_SUBJECT_LENGTH

    named = sorted({each for each in protocols if each != STAR})
    if role is Role.AGENT or not named:
        return str(role)
    subject = f"{role}@{','.join(named)}"
    return subject if len(subject) <= MAX_SUBJECT_LENGTH else f"{role}@{_digest(subject)}"


def _digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:32]
