"""audit log that is only ever added to, revoked tokens

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

import app.core.database

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('audit_entries',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('at', app.core.database.UtcDateTime(timezone=True), nullable=False),
    sa.Column('action', sa.String(length=40), nullable=False),
    sa.Column('subject', sa.String(length=128), nullable=False),
    sa.Column('role', sa.String(length=16), nullable=False),
    sa.Column('token_id', sa.String(length=255), nullable=True),
    sa.Column('address', sa.String(length=64), nullable=True),
    sa.Column('request_id', sa.String(length=64), nullable=False),
    sa.Column('protocol_id', sa.String(length=64), nullable=True),
    sa.Column('target_id', sa.String(length=255), nullable=False),
    sa.Column('before', sa.JSON(), nullable=True),
    sa.Column('after', sa.JSON(), nullable=True),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('ix_audit_entries_protocol', 'audit_entries', ['protocol_id', 'id'])
    op.create_index('ix_audit_entries_subject', 'audit_entries', ['subject', 'id'])
    op.create_index('ix_audit_entries_target', 'audit_entries', ['target_id', 'id'])
    op.create_table('revoked_tokens',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), nullable=False),
    sa.Column('token_id', sa.String(length=255), nullable=True),
    sa.Column('subject', sa.String(length=128), nullable=True),
    sa.Column('reason', sa.String(length=500), nullable=False),
    sa.Column('revoked_by', sa.String(length=128), nullable=False),
    sa.Column('revoked_at', app.core.database.UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('id')
    )
    op.create_index('ix_revoked_tokens_token_id', 'revoked_tokens', ['token_id'])
    op.create_index('ix_revoked_tokens_subject', 'revoked_tokens', ['subject'])
    _make_append_only()


def _make_append_only() -> None:
    if op.get_bind().dialect.name == 'sqlite':
        for verb in ('UPDATE', 'DELETE'):
            op.execute(
                f"CREATE TRIGGER audit_entries_no_{verb.lower()} BEFORE {verb} ON audit_entries "
                "BEGIN SELECT RAISE(ABORT, 'audit_entries is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION audit_entries_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'audit_entries is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_append_only()"
    )


def downgrade() -> None:
    op.drop_table('revoked_tokens')
    op.drop_table('audit_entries')
    if op.get_bind().dialect.name != 'sqlite':
        op.execute('DROP FUNCTION audit_entries_append_only()')
