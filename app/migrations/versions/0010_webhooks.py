"""webhooks and their deliveries"""

import sqlalchemy as sa
from alembic import op

from app.core.sql_types import UtcDateTime

revision = '0010'
down_revision = '0009'

PENDING = sa.text("status = 'PENDING'")
FINISHED = sa.text("finished_at IS NOT NULL")


def upgrade() -> None:
    op.create_table('webhooks',
    sa.Column('id', sa.String(length=36), primary_key=True),
    sa.Column('protocol_id', sa.String(length=64), sa.ForeignKey('protocols.id'), nullable=False),
    sa.Column('url', sa.String(length=2048), nullable=False),
    sa.Column('event_types', sa.JSON(), nullable=False),
    sa.Column('severities', sa.JSON(), nullable=True),
    sa.Column('description', sa.Text(), nullable=True),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('disabled_reason', sa.String(length=500), nullable=True),
    sa.Column('secret', sa.Text(), nullable=False),
    sa.Column('previous_secret', sa.Text(), nullable=True),
    sa.Column('previous_secret_expires_at', UtcDateTime(timezone=True), nullable=True),
    sa.Column('since_position', sa.BigInteger(), nullable=False),
    sa.Column('failing_since', UtcDateTime(timezone=True), nullable=True),
    sa.Column('consecutive_failures', sa.Integer(), nullable=False),
    sa.Column('next_allowed_at', UtcDateTime(timezone=True), nullable=True),
    sa.Column('created_by', sa.String(length=128), nullable=False),
    sa.Column('created_at', UtcDateTime(timezone=True), nullable=False),
    sa.CheckConstraint("status IN ('ENABLED','DISABLED','DELETED')", name='ck_webhooks_status')
    )
    op.create_index('ix_webhooks_protocol', 'webhooks', ['protocol_id', 'id'])
    op.create_table('webhook_cursors',
    sa.Column('protocol_id', sa.String(length=64), sa.ForeignKey('protocols.id'), primary_key=True),
    sa.Column('position', sa.BigInteger(), nullable=False)
    )
    op.create_table('webhook_deliveries',
    sa.Column('id', sa.String(length=36), primary_key=True),
    sa.Column('webhook_id', sa.String(length=36), sa.ForeignKey('webhooks.id'), nullable=False),
    sa.Column('position', sa.BigInteger(), nullable=True),
    sa.Column('event_type', sa.String(length=32), nullable=False),
    sa.Column('body', sa.Text(), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('attempts', sa.Integer(), nullable=False),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('next_attempt_at', UtcDateTime(timezone=True), nullable=True),
    sa.Column('lease_until', UtcDateTime(timezone=True), nullable=True),
    sa.Column('response_code', sa.Integer(), nullable=True),
    sa.Column('error', sa.String(length=500), nullable=True),
    sa.Column('duration_ms', sa.Integer(), nullable=True),
    sa.Column('history', sa.JSON(), nullable=False),
    sa.Column('created_at', UtcDateTime(timezone=True), nullable=False),
    sa.Column('finished_at', UtcDateTime(timezone=True), nullable=True),
    sa.CheckConstraint("status IN ('PENDING','SUCCEEDED','FAILED')", name='ck_webhook_deliveries_status')
    )
    op.create_index('uq_webhook_deliveries_event', 'webhook_deliveries', ['webhook_id', 'position'], unique=True)
    op.create_index('ix_webhook_deliveries_webhook', 'webhook_deliveries', ['webhook_id', 'id'])
    op.create_index('ix_webhook_deliveries_due', 'webhook_deliveries', ['webhook_id', 'next_attempt_at'], sqlite_where=PENDING, postgresql_where=PENDING)
    op.create_index('ix_webhook_deliveries_finished', 'webhook_deliveries', ['finished_at'], sqlite_where=FINISHED, postgresql_where=FINISHED)


def downgrade() -> None:
    for table in ('webhook_deliveries', 'webhook_cursors', 'webhooks'):
        op.drop_table(table)
