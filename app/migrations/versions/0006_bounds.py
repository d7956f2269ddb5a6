"""bounds: what a repetition resumes, when a revocation may be forgotten, agents by their last stored task

Revision ID: 0006
Revises: 0005
"""

from datetime import timedelta

import sqlalchemy as sa
from alembic import op

import app.core.database

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

KEPT = timedelta(days=400)
BATCH = 500
_agents = sa.table(
    'agents',
    sa.column('id', sa.String), sa.column('task_data', sa.JSON),
    sa.column('task_status', sa.String), sa.column('task_version', sa.BigInteger),
)
_revoked = sa.table(
    'revoked_tokens',
    sa.column('id', sa.BigInteger),
    sa.column('revoked_at', app.core.database.UtcDateTime), sa.column('expires_at', app.core.database.UtcDateTime),
)


def upgrade() -> None:
    op.add_column('idempotency_keys', sa.Column('resume', sa.JSON(), nullable=True))
    op.add_column('agents', sa.Column('task_status', sa.String(length=16), nullable=True))
    op.add_column('agents', sa.Column('task_version', sa.BigInteger(), nullable=True))
    op.add_column('revoked_tokens', sa.Column('expires_at', app.core.database.UtcDateTime(timezone=True), nullable=True))
    _fill_agents()
    _fill_revoked()
    op.drop_index('ix_agents_task_protocol_id', 'agents')
    op.create_index('ix_agents_task_protocol_id', 'agents', ['task_protocol_id', 'id'])
    op.create_index('ix_agents_task_status', 'agents', ['task_protocol_id', 'task_status', 'task_version'])
    op.create_index('ix_agents_task_version', 'agents', ['task_protocol_id', 'task_version'])
    op.create_index('ix_agent_tasks_closed_at', 'agent_tasks', ['closed_at'])
    op.create_index('ix_revoked_tokens_expires_at', 'revoked_tokens', ['expires_at'])


def _fill_agents() -> None:
    connection, last = op.get_bind(), ''
    page = sa.select(_agents.c.id, _agents.c.task_data).order_by(_agents.c.id).limit(BATCH)
    change = sa.update(_agents).where(_agents.c.id == sa.bindparam('agent'))
    change = change.values(task_status=sa.bindparam('status'), task_version=sa.bindparam('version'))
    while rows := connection.execute(page.where(_agents.c.id > last)).all():
        last = rows[-1].id
        known = [
            {'agent': row.id, 'status': row.task_data['status'], 'version': int(row.task_data['version'])}
            for row in rows if row.task_data
        ]
        if known:
            connection.execute(change, known)


def _fill_revoked() -> None:
    connection, last = op.get_bind(), 0
    page = sa.select(_revoked.c.id, _revoked.c.revoked_at).order_by(_revoked.c.id).limit(BATCH)
    change = sa.update(_revoked).where(_revoked.c.id == sa.bindparam('row'))
    change = change.values(expires_at=sa.bindparam('until'))
    while rows := connection.execute(page.where(_revoked.c.id > last)).all():
        last = rows[-1].id
        connection.execute(change, [{'row': row.id, 'until': row.revoked_at + KEPT} for row in rows])


def downgrade() -> None:
    op.drop_index('ix_revoked_tokens_expires_at', 'revoked_tokens')
    op.drop_index('ix_agent_tasks_closed_at', 'agent_tasks')
    op.drop_index('ix_agents_task_version', 'agents')
    op.drop_index('ix_agents_task_status', 'agents')
    op.drop_index('ix_agents_task_protocol_id', 'agents')
    op.create_index('ix_agents_task_protocol_id', 'agents', ['task_protocol_id'])
    for table, column in (
        ('revoked_tokens', 'expires_at'), ('agents', 'task_version'), ('agents', 'task_status'),
        ('idempotency_keys', 'resume'),
    ):
        op.drop_column(table, column)
