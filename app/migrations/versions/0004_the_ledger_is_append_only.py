"""the ledger is append-only for whatever writes to the database, not for this program alone"""

from alembic import op

from app.core.migration import append_only_triggers

revision = '0004'
down_revision = '0003'


def upgrade() -> None:
    for statement in append_only_triggers('bounty_entries', op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == 'sqlite':
        for verb in ('update', 'delete'):
            op.execute(f'DROP TRIGGER bounty_entries_no_{verb}')
    else:
        op.execute('DROP TRIGGER bounty_entries_append_only ON bounty_entries')
        op.execute('DROP FUNCTION bounty_entries_append_only()')
