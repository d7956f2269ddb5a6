"""issued tokens, and indexes of reservations, open vulnerabilities, unpaid payments and a vulnerability's payments"""

import sqlalchemy as sa
from alembic import op

from app.core.sql_types import UtcDateTime

revision = '0008'
down_revision = '0007'

PARTIAL_INDEXES = (
    ('ix_vulnerabilities_reserved', 'vulnerabilities', ['protocol_id', 'id'], 'reserved_minor > 0'),
    ('ix_vulnerabilities_open', 'vulnerabilities', ['protocol_id', 'status', 'severity'], "status IN ('PENDING','CONFIRMED')"),
    ('ix_payments_unpaid', 'payments', ['protocol_id', 'status'], "status IN ('PENDING','PROCESSING','FAILED')"),
)


def upgrade() -> None:
    op.create_table('issued_tokens',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), primary_key=True),
    sa.Column('token_id', sa.String(length=255), nullable=False),
    sa.Column('subject', sa.String(length=128), nullable=False),
    sa.Column('role', sa.String(length=16), nullable=False),
    sa.Column('protocols', sa.JSON(), nullable=False),
    sa.Column('issued_by', sa.String(length=128), nullable=False),
    sa.Column('issued_at', UtcDateTime(timezone=True), nullable=False),
    sa.Column('expires_at', UtcDateTime(timezone=True), nullable=False),
    )
    op.create_index('ix_issued_tokens_subject', 'issued_tokens', ['subject', 'id'])
    op.create_index('ix_issued_tokens_expires_at', 'issued_tokens', ['expires_at'])
    op.create_index('ix_payments_vulnerability', 'payments', ['vulnerability_id'])
    for name, table, columns, condition in PARTIAL_INDEXES:
        op.create_index(name, table, columns, sqlite_where=sa.text(condition), postgresql_where=sa.text(condition))


def downgrade() -> None:
    for name, table, _, _ in PARTIAL_INDEXES:
        op.drop_index(name, table)
    op.drop_index('ix_payments_vulnerability', 'payments')
    op.drop_table('issued_tokens')
