"""`dashboard token`: prints a token signed with the running configuration's key."""

import hashlib

import click

from app.auth.permissions import Role
from app.auth.tokens import ALL_PROTOCOLS, MAX_SUBJECT_LENGTH, is_claim_text, issue
from app.config import load_config
from app.core.schemas import is_identifier


@click.command()
@click.option("--role", required=True, type=click.Choice([str(role) for role in Role]), help="what the token permits")
@click.option("--protocol", "protocols", multiple=True, help="protocol that it grants; repeatable, `*` grants all")
@click.option(
    "--sub",
    "subject",
    default="",
    show_default=False,
    help="the bearer's name; for agents the agent's id  [default: the role and its protocols, as owner@P1]",
)
@click.option("--ttl", default=3600, type=click.IntRange(1, 100 * 365 * 24 * 3600), help="seconds until it expires")
def token(role: str, protocols: tuple[str, ...], subject: str, ttl: int) -> None:
    """Print an access token."""
    for each in protocols:  # an id that no protocol can have would silently grant nothing
        if each != ALL_PROTOCOLS and not is_identifier(each):
            problem = f"{each!r} is not a protocol id: letters, digits and ._:- (at most 64), or `*`"
            raise click.BadParameter(problem, param_hint="'--protocol'")
    if subject and not is_claim_text(subject, MAX_SUBJECT_LENGTH):
        problem = f"must be at most {MAX_SUBJECT_LENGTH} printable characters, not all of them blank"
        raise click.BadParameter(problem, param_hint="'--sub'")
    subject = subject or _default_subject(Role(role), protocols)
    settings = load_config(offline=True)
    try:
        signed = issue(settings, subject=subject, role=Role(role), protocols=list(protocols), ttl_seconds=ttl)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(signed)


def _default_subject(role: Role, protocols: tuple[str, ...]) -> str:
    """Tell owners of different protocols apart: callers with the same subject share their Idempotency-Keys.

    An agent's subject is the agent's id, which contains no `@`.
    """
    named = sorted({each for each in protocols if each != ALL_PROTOCOLS})
    if role is Role.AGENT or not named:
        return str(role)
    subject = f"{role}@{','.join(named)}"
    if len(subject) <= MAX_SUBJECT_LENGTH:
        return subject
    return f"{role}@{hashlib.sha256(subject.encode()).hexdigest()[:32]}"
