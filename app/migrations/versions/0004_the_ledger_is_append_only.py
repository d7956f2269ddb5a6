"""the ledger is append-only for whatever writes to the database, not for this program alone

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

VERBS = ('UPDATE', 'DELETE')


def upgrade() -> None:
    if op.get_bind().dialect.name == 'sqlite':
        for verb in VERBS:
            op.execute(
                f"CREATE TRIGGER bounty_entries_no_{verb.lower()} BEFORE {verb} ON bounty_entries "
                "BEGIN SELECT RAISE(ABORT, 'bounty_entries is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION bounty_entries_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'bounty_entries is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER bounty_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bounty_entries "
        "FOR EACH STATEMENT EXECUTE FUNCTION bounty_entries_append_only()"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == 'sqlite':
        for verb in VERBS:
            op.execute(f"DROP TRIGGER bounty_entries_no_{verb.lower()}")
        return
    op.execute("DROP TRIGGER bounty_entries_append_only ON bounty_entries")
    op.execute("DROP FUNCTION bounty_entries_append_only()")
