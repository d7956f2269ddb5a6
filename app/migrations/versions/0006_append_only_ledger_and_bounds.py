"""append-only ledger; bounds: what a repetition resumes, when a revocation expires, agents by their last stored task"""

from datetime import timedelta

import sqlalchemy as sa
from alembic import op

from app.core.database import UtcDateTime
from app.core.migration import append_only_triggers

revision = '0006'
down_revision = '0003'

KEPT = timedelta(days=400)
BATCH = 500
# What of each table is unique, and so what a new row could push out: SQLite's REPLACE deletes without asking the
# triggers, while PostgreSQL replaces by UPDATE, which its triggers refuse. A rowid that is not given is -1 here.
UNIQUE = {
    'audit_entries': ('NEW.rowid > 0 AND rowid = NEW.rowid',),
    'bounty_entries': (
        'NEW.rowid > 0 AND rowid = NEW.rowid',
        'id = NEW.id',
        'protocol_id = NEW.protocol_id AND version = NEW.version',
        "change_type = 'PAYMENT_RELEASED' AND payment_id = NEW.payment_id AND NEW.change_type = 'PAYMENT_RELEASED'",
    ),
}


def upgrade() -> None:
    for statement in append_only_triggers('bounty_entries', op.get_bind().dialect.name):
        op.execute(statement)
    if op.get_bind().dialect.name == 'sqlite':
        for table, keys in UNIQUE.items():
            found = ' OR '.join(f'EXISTS (SELECT 1 FROM {table} WHERE {key})' for key in keys)
            op.execute(
                f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {found} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
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
    if op.get_bind().dialect.name == 'sqlite':
        for table, verb in (
            ('audit_entries', 'replace'), ('bounty_entries', 'replace'),
            ('bounty_entries', 'update'), ('bounty_entries', 'delete'),
        ):
            op.execute(f'DROP TRIGGER {table}_no_{verb}')
    else:
        op.execute('DROP TRIGGER bounty_entries_append_only ON bounty_entries')
        op.execute('DROP FUNCTION bounty_entries_append_only()')
