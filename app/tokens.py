"""Issuing tokens, and revoking them: each is a row until the token has expired, and an audit entry.

A revocation is announced to each process. An issued token is in its response alone: in no table and no log.
"""

from datetime import UTC, datetime
from typing import Any

from flask import current_app
from marshmallow import ValidationError, fields, validate, validates_schema
from sqlalchemy import or_, select, true
from sqlalchemy.orm import Session

from app.audit.service import SYSTEM, AuditAction, record_audit
from app.auth import revocation, tokens
from app.auth.authorization import current_principal, requires
from app.auth.issued_tokens import IssuedToken
from app.auth.permissions import Action, Role
from app.auth.revocation import MAX_REASON, RevokedToken
from app.core.database import transaction, utc_now
from app.core.errors import Conflict, InvalidInput, TokensIssuedElsewhere
from app.core.extensions import config, db
from app.core.pagination import Page, PageQuery, page_by_key, page_schema
from app.core.schemas import ID_PATTERN, CamelSchema, Choice, Name, NumberText, Reason, Timestamp, doc, is_identifier
from app.core.values import LATER, MOMENT, PROTOCOL
from app.http.rest import Blueprint, raises
from app.protocols.models import Protocol

blueprint = Blueprint("tokens", __name__, url_prefix="/api/v1/tokens", description="Issued and revoked tokens")

_SUBJECT = doc("The bearer's name, the token's `sub`; an agent's id for agents.", "owner-1")
_ROLE = doc("What the token permits.", "owner")
_PROTOCOLS = doc("Ids of the protocols that it grants, or `*` for all.", [PROTOCOL])
_TOKEN_ID = doc("The token's id, by which it is revoked.", "019a8f00-4b1c-7d30-9c55-2f6f1c0a9e04")
_EXPIRY = doc("When the token expires.", LATER)
_IS_GRANT = validate.Regexp(rf"\A(\*|{ID_PATTERN})\Z", error="Must be the id of a protocol, or `*`.")


class TokenCreate(CamelSchema):
    sub = Name(required=True, longest=tokens.MAX_SUBJECT_LENGTH, metadata=_SUBJECT)
    role = Choice(Role, required=True, metadata=_ROLE)
    protocols = fields.List(
        fields.String(validate=_IS_GRANT),
        required=True,
        validate=validate.Length(max=tokens.MAX_GRANTS),
        metadata=_PROTOCOLS,
    )
    ttl = fields.Integer(
        required=True,
        strict=True,
        validate=validate.Range(min=1, max=tokens.MAX_LIFE_SECONDS),
        metadata=doc("For how many seconds it is valid; at most 400 days.", 3600),
    )

    @validates_schema
    def _check_claims(self, data: dict[str, Any], **_: Any) -> None:
        if not tokens.is_claim_text(data["sub"], tokens.MAX_SUBJECT_LENGTH):
            raise ValidationError("Must be printable characters.", "sub")
        if data["sub"].strip().lower() == SYSTEM:
            raise ValidationError(f"Must not be {SYSTEM!r}: the audit log names the system's own jobs so.", "sub")
        if data["role"] == Role.AGENT and not is_identifier(data["sub"]):
            raise ValidationError("Must be the agent's id for the role agent.", "sub")
        if not data["protocols"] and data["role"] != Role.ADMIN:
            raise ValidationError("Must name a protocol, or `*`: the token would grant none.", "protocols")


class NewTokenSchema(CamelSchema):
    token = fields.String(metadata=doc("The token; shown this once.", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJvIn0.c2ln"))
    jti = fields.String(metadata=_TOKEN_ID)
    expires_at = Timestamp(metadata=_EXPIRY)


class IssuedTokenSchema(CamelSchema):
    jti = fields.String(attribute="token_id", metadata=_TOKEN_ID)
    sub = fields.String(attribute="subject", metadata=_SUBJECT)
    role = Choice(Role, metadata=_ROLE)
    protocols = fields.List(fields.String(), metadata=_PROTOCOLS)
    issued_at = Timestamp(metadata=doc("When it was issued.", MOMENT))
    expires_at = Timestamp(metadata=_EXPIRY)
    issued_by = fields.String(metadata=doc("The admin who issued it.", "admin-1"))
    revoked = fields.Boolean(metadata=doc("Whether it was revoked, by itself or with its subject.", False))


class TokenQuery(PageQuery):
    sub = Name(load_default=None, longest=tokens.MAX_SUBJECT_LENGTH, metadata=doc("Only tokens of this subject."))


class Revocation(CamelSchema):
    """Either `jti`, for one token, or `subject`, for all tokens issued to it until now."""

    jti = Name(
        load_default=None, longest=tokens.MAX_TOKEN_ID_LENGTH, metadata=doc("The `jti` of one token.", "0f8c2d4e6a")
    )
    subject = Name(
        load_default=None, longest=tokens.MAX_SUBJECT_LENGTH, metadata=doc("All tokens of this `sub`.", None)
    )
    reason = Reason(MAX_REASON, metadata=doc("Why it is revoked.", "The laptop was lost."))
    expires_at = Timestamp(
        load_default=None,
        allow_none=True,
        metadata=doc(
            "The token's `exp`, if known: the revocation is deleted a day later. "
            "Otherwise it is kept for 401 days; no token is valid for more than 400.",
            LATER,
        ),
    )

    @validates_schema
    def _names_one(self, data: dict[str, Any], **_: Any) -> None:
        if (data["jti"] is None) == (data["subject"] is None):
            raise ValidationError("Name either a jti or a subject.", "jti")


class RevokedTokenSchema(CamelSchema):
    id = NumberText(metadata=doc("The revocation's number.", "3"))
    jti = fields.String(
        attribute="token_id",
        allow_none=True,
        metadata=doc("The token's `jti`; null for all tokens of `subject`.", "0f8c2d4e6a"),
    )
    subject = fields.String(allow_none=True, metadata=doc("The subject; null for a single token.", None))
    reason = fields.String(metadata=doc("Why it was revoked.", "The laptop was lost."))
    revoked_by = fields.String(metadata=doc("Who revoked it.", "admin-1"))
    revoked_at = Timestamp(metadata=doc("When it was revoked.", MOMENT))
    expires_at = Timestamp(allow_none=True, metadata=doc("When the revocation is no longer needed.", LATER))


@blueprint.post("")
@requires(Action.ISSUE_TOKEN)
@raises(TokensIssuedElsewhere, Conflict)
@blueprint.arguments(TokenCreate)
@blueprint.response(201, NewTokenSchema)
def issue_token(fields: dict[str, Any]) -> dict[str, Any]:
    """Issue a token

    The response is the only place that shows it. Its protocols must exist. Where an identity provider signs the tokens
    the request is refused with TOKENS_ISSUED_ELSEWHERE; with CONFLICT within seconds after all tokens of its subject
    were revoked.
    """
    signed, token = _sign(fields)
    now = utc_now()
    row = IssuedToken(
        token_id=token.token_id,
        subject=token.subject,
        role=token.role.value,
        protocols=sorted(token.protocols),
        issued_by=current_principal().subject,
        issued_at=now,
        expires_at=datetime.fromtimestamp(token.expires_at, UTC),
    )
    with transaction() as session:
        _check_protocols_exist(session, row.protocols)
        session.add(row)
        after = {"sub": row.subject, "role": row.role, "protocols": row.protocols, "expiresAt": row.expires_at}
        record_audit(session, AuditAction.TOKEN_ISSUED, row.token_id, after=after)
    return {"token": signed, "jti": row.token_id, "expires_at": row.expires_at}


def _sign(fields: dict[str, Any]) -> tuple[str, tokens.Principal]:
    """A token that this deployment accepts at once, and its claims. Raises Conflict, InvalidInput."""
    if config().jwks_url:
        raise TokensIssuedElsewhere
    grants, ttl = list(dict.fromkeys(fields["protocols"])), fields["ttl"]
    signed = tokens.issue(config(), subject=fields["sub"], role=Role(fields["role"]), protocols=grants, ttl_seconds=ttl)
    if len(signed) > tokens.MAX_TOKEN_LENGTH:
        message = f"Makes a token of more than {tokens.MAX_TOKEN_LENGTH} characters: name fewer, or `*`."
        raise InvalidInput(fields={"protocols": [message]})
    verifier: tokens.TokenVerifier = current_app.extensions["token_verifier"]
    token = verifier.verify(signed)
    if revocation.revocations().is_revoked(token):
        raise Conflict(f"All tokens of {token.subject!r} were revoked a moment ago: try again in a few seconds.")
    return signed, token


def _check_protocols_exist(session: Session, protocol_ids: list[str]) -> None:
    """Raises InvalidInput: a misspelled id would grant nothing, without a word."""
    named = set(protocol_ids) - {tokens.ALL_PROTOCOLS}
    unknown = sorted(named - set(session.scalars(select(Protocol.id).where(Protocol.id.in_(named)))))
    if unknown:
        raise InvalidInput(fields={"protocols": [f"There is no protocol {each!r}." for each in unknown[:20]]})


@blueprint.get("")
@requires(Action.ISSUE_TOKEN)
@blueprint.arguments(TokenQuery, location="query")
@blueprint.response(200, page_schema(IssuedTokenSchema))
def list_issued(query: dict[str, Any]) -> Page:
    """List the issued tokens, newest first

    Those issued by `POST /tokens` that have not expired for a day; never the tokens themselves.
    """
    sub = query.pop("sub")
    page = page_by_key(
        select(IssuedToken).where(IssuedToken.subject == sub if sub else true()), IssuedToken.id, **query
    )
    _mark_revoked(page.items)
    return page


def _mark_revoked(issued: list[IssuedToken]) -> None:
    """Set `revoked` by what the database says, which other processes know a second later."""
    ids, subjects = [each.token_id for each in issued], [each.subject for each in issued]
    row = RevokedToken
    query = select(row.token_id, row.subject, row.revoked_at).where(
        or_(row.token_id.in_(ids), row.subject.in_(subjects))
    )
    found = db.session.execute(query).all()
    revoked_ids = {each.token_id for each in found}
    for token in issued:
        times = [each.revoked_at for each in found if each.subject == token.subject]
        token.revoked = token.token_id in revoked_ids or any(token.issued_at <= at for at in times)


@blueprint.post("/revoke")
@requires(Action.REVOKE_TOKEN)
@blueprint.arguments(Revocation)
@blueprint.response(201, RevokedTokenSchema)
def revoke_token(fields: dict[str, Any]) -> RevokedToken:
    """Revoke a token, or all tokens of a subject

    Name one token by its `jti`, or a `subject` to revoke all tokens issued to it until now.
    """
    jti, subject, now = fields["jti"], fields["subject"], utc_now()
    row = RevokedToken(
        token_id=jti,
        subject=subject,
        reason=fields["reason"],
        revoked_by=current_principal().subject,
        revoked_at=now,
        expires_at=revocation.expiry_of(now, fields["expires_at"] if jti else None),
    )
    with transaction() as session:
        session.add(row)
        after = {"jti": jti, "subject": subject, "reason": row.reason}
        record_audit(session, AuditAction.TOKEN_REVOKED, jti or subject or "", after=after)
    revocation.announce()
    return row


@blueprint.get("/revoked")
@requires(Action.REVOKE_TOKEN)
@blueprint.arguments(PageQuery, location="query")
@blueprint.response(200, page_schema(RevokedTokenSchema))
def list_revoked(query: dict[str, Any]) -> Page:
    """List the revoked tokens, newest first

    Each is one token by its `jti`, or all tokens of a subject until then.
    """
    return page_by_key(select(RevokedToken), RevokedToken.id, **query)
