"""an entry of ledger or audit log cannot be replaced either"""

from alembic import op

revision = '0005'
down_revision = '0004'

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
    if op.get_bind().dialect.name != 'sqlite':
        return
    for table, keys in UNIQUE.items():
        found = ' OR '.join(f'EXISTS (SELECT 1 FROM {table} WHERE {key})' for key in keys)
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {found} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def downgrade() -> None:
    if op.get_bind().dialect.name == 'sqlite':
        for table in UNIQUE:
            op.execute(f'DROP TRIGGER {table}_no_replace')
