"""money: pools, vulnerabilities, payments"""

import sqlalchemy as sa
from alembic import op

from app.core.sql_types import MinorUnits, UtcDateTime

revision = '0002'
down_revision = '0001'


def upgrade() -> None:
    op.create_table('idempotency_keys',
    sa.Column('subject', sa.String(length=128), nullable=False),
    sa.Column('key', sa.String(length=255), nullable=False),
    sa.Column('fingerprint', sa.String(length=64), nullable=False),
    sa.Column('status', sa.Integer(), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('created_at', UtcDateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('subject', 'key', name='pk_idempotency_keys')
    )
    op.create_index('ix_idempotency_keys_created_at', 'idempotency_keys', ['created_at'])
    op.create_table('bounty_pools',
    sa.Column('protocol_id', sa.String(length=64), sa.ForeignKey('protocols.id'), primary_key=True),
    sa.Column('currency', sa.String(length=16), nullable=False),
    sa.Column('total_minor', MinorUnits(), nullable=False),
    sa.Column('reserved_minor', MinorUnits(), nullable=False),
    sa.Column('paid_minor', MinorUnits(), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.CheckConstraint('paid_minor >= 0', name='ck_bounty_pools_paid'),
    sa.CheckConstraint('reserved_minor >= 0', name='ck_bounty_pools_reserved'),
    sa.CheckConstraint('total_minor - reserved_minor - paid_minor >= 0', name='ck_bounty_pools_available')
    )
    op.create_table('vulnerabilities',
    sa.Column('id', sa.String(length=36), primary_key=True),
    sa.Column('protocol_id', sa.String(length=64), sa.ForeignKey('protocols.id'), nullable=False),
    sa.Column('title', sa.String(length=200), nullable=False),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('severity', sa.String(length=16), nullable=False),
    sa.Column('severity_rank', sa.SmallInteger(), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('bounty_minor', MinorUnits(), nullable=True),
    sa.Column('reserved_minor', MinorUnits(), nullable=False),
    sa.Column('agent_id', sa.String(length=64), nullable=True),
    sa.Column('filed_by', sa.String(length=128), nullable=False),
    sa.Column('decided_by', sa.String(length=128), nullable=True),
    sa.Column('rejection_reason', sa.Text(), nullable=True),
    sa.Column('payment_id', sa.String(length=36), nullable=True),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('created_at', UtcDateTime(timezone=True), nullable=False),
    sa.Column('updated_at', UtcDateTime(timezone=True), nullable=False),
    sa.CheckConstraint("status IN ('PENDING','CONFIRMED','REJECTED','PAID')", name='ck_vulnerabilities_status'),
    sa.CheckConstraint('reserved_minor >= 0', name='ck_vulnerabilities_reserved')
    )
    op.create_index('ix_vulnerabilities_protocol', 'vulnerabilities', ['protocol_id', 'id'])
    op.create_index('ix_vulnerabilities_severity', 'vulnerabilities', ['protocol_id', 'severity_rank', 'id'])
    op.create_index('ix_vulnerabilities_status', 'vulnerabilities', ['protocol_id', 'status', 'id'])
    op.create_table('bounty_entries',
    sa.Column('id', sa.String(length=36), primary_key=True),
    sa.Column('protocol_id', sa.String(length=64), sa.ForeignKey('bounty_pools.protocol_id'), nullable=False),
    sa.Column('version', sa.BigInteger(), nullable=False),
    sa.Column('change_type', sa.String(length=24), nullable=False),
    sa.Column('amount_minor', MinorUnits(), nullable=False),
    sa.Column('total_minor', MinorUnits(), nullable=False),
    sa.Column('reserved_minor', MinorUnits(), nullable=False),
    sa.Column('paid_minor', MinorUnits(), nullable=False),
    sa.Column('vulnerability_id', sa.String(length=36), nullable=True),
    sa.Column('payment_id', sa.String(length=36), nullable=True),
    sa.Column('reference', sa.String(length=200), nullable=True),
    sa.Column('actor', sa.String(length=128), nullable=False),
    sa.Column('created_at', UtcDateTime(timezone=True), nullable=False),
    sa.CheckConstraint('amount_minor > 0', name='ck_bounty_entries_amount'),
    sa.UniqueConstraint('protocol_id', 'version', name='uq_bounty_entries_version')
    )
    op.create_index('uq_bounty_entries_payment', 'bounty_entries', ['payment_id'], unique=True, sqlite_where=sa.text("change_type = 'PAYMENT_RELEASED'"), postgresql_where=sa.text("change_type = 'PAYMENT_RELEASED'"))
    op.create_table('payments',
    sa.Column('id', sa.String(length=36), primary_key=True),
    sa.Column('vulnerability_id', sa.String(length=36), sa.ForeignKey('vulnerabilities.id'), nullable=False),
    sa.Column('protocol_id', sa.String(length=64), sa.ForeignKey('protocols.id'), nullable=False),
    sa.Column('amount_minor', MinorUnits(), nullable=False),
    sa.Column('currency', sa.String(length=16), nullable=False),
    sa.Column('recipient', sa.String(length=128), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('failure_reason', sa.String(length=500), nullable=True),
    sa.Column('reference', sa.String(length=200), nullable=True),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('requested_by', sa.String(length=128), nullable=False),
    sa.Column('due_at', UtcDateTime(timezone=True), nullable=False),
    sa.Column('created_at', UtcDateTime(timezone=True), nullable=False),
    sa.Column('released_at', UtcDateTime(timezone=True), nullable=True),
    sa.CheckConstraint("status IN ('PENDING','PROCESSING','RELEASED','FAILED')", name='ck_payments_status'),
    sa.CheckConstraint('amount_minor > 0', name='ck_payments_amount'),
    sa.UniqueConstraint('vulnerability_id', name='uq_payments_vulnerability')
    )
    op.create_index('ix_payments_due', 'payments', ['due_at'], sqlite_where=sa.text("status IN ('PENDING','PROCESSING')"), postgresql_where=sa.text("status IN ('PENDING','PROCESSING')"))
    op.create_index('ix_payments_protocol', 'payments', ['protocol_id', 'id'])
    op.create_index('ix_payments_released', 'payments', ['protocol_id', 'released_at'])


def downgrade() -> None:
    for table in ('payments', 'bounty_entries', 'vulnerabilities', 'bounty_pools', 'idempotency_keys'):
        op.drop_table(table)
