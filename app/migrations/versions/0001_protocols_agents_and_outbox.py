"""protocols agents and outbox"""

import sqlalchemy as sa
from alembic import op

from app.core.sql_types import UtcDateTime

revision = '0001'
down_revision = None


def upgrade() -> None:
    op.create_table('protocols',
    sa.Column('id', sa.String(length=64), primary_key=True),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('currency', sa.String(length=16), nullable=False),
    sa.Column('created_at', UtcDateTime(timezone=True), nullable=False)
    )
    op.create_table('agents',
    sa.Column('id', sa.String(length=64), primary_key=True),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('type', sa.String(length=16), nullable=False),
    sa.Column('created_at', UtcDateTime(timezone=True), nullable=False),
    sa.Column('task_protocol_id', sa.String(length=64), sa.ForeignKey('protocols.id'), nullable=True),
    sa.Column('task_data', sa.JSON(), nullable=True)
    )
    op.create_index('ix_agents_task_protocol_id', 'agents', ['task_protocol_id'])
    op.create_table('event_counters',
    sa.Column('protocol_id', sa.String(length=64), sa.ForeignKey('protocols.id'), primary_key=True),
    sa.Column('position', sa.BigInteger(), nullable=False)
    )
    op.create_table('outbox_events',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), primary_key=True),
    sa.Column('protocol_id', sa.String(length=64), sa.ForeignKey('protocols.id'), nullable=False),
    sa.Column('position', sa.BigInteger(), nullable=False),
    sa.Column('event_type', sa.String(), nullable=False),
    sa.Column('data_json', sa.Text(), nullable=False),
    sa.Column('request_id', sa.String(), nullable=False),
    sa.Column('created_at', UtcDateTime(timezone=True), nullable=False),
    sa.Column('published_at', UtcDateTime(timezone=True), nullable=True)
    )
    op.create_index('ix_outbox_published_at', 'outbox_events', ['published_at'])
    op.create_index('ix_outbox_unpublished', 'outbox_events', ['protocol_id', 'position'], sqlite_where=sa.text('published_at IS NULL'), postgresql_where=sa.text('published_at IS NULL'))
    op.create_index('uq_outbox_position', 'outbox_events', ['protocol_id', 'position'], unique=True)
    op.create_table('agent_tasks',
    sa.Column('id', sa.BigInteger().with_variant(sa.Integer(), 'sqlite'), primary_key=True),
    sa.Column('agent_id', sa.String(length=64), sa.ForeignKey('agents.id'), nullable=False),
    sa.Column('protocol_id', sa.String(length=64), sa.ForeignKey('protocols.id'), nullable=False),
    sa.Column('name', sa.String(length=200), nullable=False),
    sa.Column('status', sa.String(length=16), nullable=False),
    sa.Column('created_at', UtcDateTime(timezone=True), nullable=False),
    sa.Column('started_at', UtcDateTime(timezone=True), nullable=True),
    sa.Column('closed_at', UtcDateTime(timezone=True), nullable=True),
    sa.CheckConstraint("status IN ('QUEUED','RUNNING','COMPLETED','FAILED','SUPERSEDED')", name='ck_agent_tasks_status')
    )
    op.create_index('ix_agent_tasks_agent_status', 'agent_tasks', ['agent_id', 'status', 'id'])


def downgrade() -> None:
    for table in ('agent_tasks', 'outbox_events', 'event_counters', 'agents', 'protocols'):
        op.drop_table(table)
