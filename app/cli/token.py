"""`dashboard token`: print a token signed with the running configuration's key."""

import click

from app.auth.permissions import Role

DEFAULT_TTL_SECONDS = 3600


@click.command()
@click.option("--role", required=True, type=click.Choice([str(role) for role in Role]), help="what it may do")
@click.option("--protocol", "protocols", multiple=True, help="protocol it may see; repeatable, `*` is all")
@click.option("--sub", "subject", default="", help="who it is; an agent's id for agents  [default: the role]")
@click.option("--ttl", default=DEFAULT_TTL_SECONDS, type=click.IntRange(min=1), help="seconds until it expires")
def token(role: str, protocols: tuple[str, ...], subject: str, ttl: int) -> None:
    """Print an access token."""
    from app.auth.tokens import issue
    from app.config import load_config

    try:
        signed = issue(
            load_config(offline=True),
            subject=subject or role,
            role=Role(role),
            protocols=list(protocols),
            ttl_seconds=ttl,
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(signed)
