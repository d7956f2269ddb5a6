"""audit log that is only ever added to, revoked tokens"""

import sqlalchemy as sa
from alembic import op

from app.core.sql_types import UtcDateTime
from app.core.migration import append_only_triggers

revision = '0003'
down_revision = '0002'


def upgrade() -> None:
    op.create_table('audit_entries',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), primary_key=True),
    sa.Column('at', UtcDateTime(timezone=True), nullable=False),
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
    )
    op.create_index('ix_audit_entries_protocol', 'audit_entries', ['protocol_id', 'id'])
    op.create_index('ix_audit_entries_subject', 'audit_entries', ['subject', 'id'])
    op.create_index('ix_audit_entries_target', 'audit_entries', ['target_id', 'id'])
    op.create_table('revoked_tokens',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), primary_key=True),
    sa.Column('token_id', sa.String(length=255), nullable=True),
    sa.Column('subject', sa.String(length=128), nullable=True),
    sa.Column('reason', sa.String(length=500), nullable=False),
    sa.Column('revoked_by', sa.String(length=128), nullable=False),
    sa.Column('revoked_at', UtcDateTime(timezone=True), nullable=False),
    )
    op.create_index('ix_revoked_tokens_token_id', 'revoked_tokens', ['token_id'])
    op.create_index('ix_revoked_tokens_subject', 'revoked_tokens', ['subject'])
    for statement in append_only_triggers('audit_entries', op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table('revoked_tokens')
    op.drop_table('audit_entries')
    if op.get_bind().dialect.name != 'sqlite':
        op.execute('DROP FUNCTION audit_entries_append_only()')
