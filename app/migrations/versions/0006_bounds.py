"""bounds: what a repetition resumes, when a revocation expires, agents by their last stored task"""

from datetime import timedelta

import sqlalchemy as sa
from alembic import op

from app.core.sql_types import UtcDateTime

revision = '0006'
down_revision = '0005'

KEPT = timedelta(days=400)
BATCH = 500


def upgrade() -> None:
    op.add_column('idempotency_keys', sa.Column('resume', sa.JSON(), nullable=True))
    op.add_column('agents', sa.Column('task_status', sa.String(length=16), nullable=True))
    op.add_column('agents', sa.Column('task_version', sa.BigInteger(), nullable=True))
    op.add_column('revoked_tokens', sa.Column('expires_at', UtcDateTime(timezone=True), nullable=True))
    _fill('agents', '', _last_task)
    _fill('revoked_tokens', 0, lambda row: {'expires_at': row.revoked_at + KEPT})
    op.drop_index('ix_agents_task_protocol_id', 'agents')
    op.create_index('ix_agents_task_protocol_id', 'agents', ['task_protocol_id', 'id'])
    op.create_index('ix_agents_task_status', 'agents', ['task_protocol_id', 'task_status', 'task_version'])
    op.create_index('ix_agents_task_version', 'agents', ['task_protocol_id', 'task_version'])
    op.create_index('ix_agent_tasks_closed_at', 'agent_tasks', ['closed_at'])
    op.create_index('ix_revoked_tokens_expires_at', 'revoked_tokens', ['expires_at'])


def _fill(name, last, values_of) -> None:
    """Update the rows of a table whose id follows `last`, in batches; `values_of(row)` may be None."""
    connection = op.get_bind()
    table = sa.Table(name, sa.MetaData(), autoload_with=connection)
    page = sa.select(table).order_by(table.c.id).limit(BATCH)
    change = sa.update(table).where(table.c.id == sa.bindparam('key'))
    while rows := connection.execute(page.where(table.c.id > last)).all():
        last = rows[-1].id
        if changed := [{'key': row.id, **values} for row in rows if (values := values_of(row))]:
            connection.execute(change, changed)


def _last_task(row) -> dict | None:
    task = row.task_data
    return {'task_status': task['status'], 'task_version': int(task['version'])} if task else None


def downgrade() -> None:
    for table, index in (
        ('revoked_tokens', 'ix_revoked_tokens_expires_at'), ('agent_tasks', 'ix_agent_tasks_closed_at'),
        ('agents', 'ix_agents_task_version'), ('agents', 'ix_agents_task_status'), ('agents', 'ix_agents_task_protocol_id'),
    ):
        op.drop_index(index, table)
    op.create_index('ix_agents_task_protocol_id', 'agents', ['task_protocol_id'])
    for table, column in (
        ('revoked_tokens', 'expires_at'), ('agents', 'task_version'), ('agents', 'task_status'),
        ('idempotency_keys', 'resume'),
    ):
        op.drop_column(table, column)
