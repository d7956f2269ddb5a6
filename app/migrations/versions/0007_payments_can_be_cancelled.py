"""payments: version, CANCELLED, another recipient; one payment per vulnerability among those not cancelled"""

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'

OLD = "status IN ('PENDING','PROCESSING','RELEASED','FAILED')"
NEW = "status IN ('PENDING','PROCESSING','RELEASED','FAILED','CANCELLED')"
NOT_CANCELLED = sa.text("status <> 'CANCELLED'")
# Refused at the first attempt, or by an answer that is about the payment itself (app/payments/gateway.py).
REFUSED = """
UPDATE payments SET unpaid_attempts = attempts WHERE status = 'FAILED' AND reference IS NULL AND (attempts = 1
OR failure_reason LIKE 'HTTP 400%' OR failure_reason LIKE 'HTTP 402%' OR failure_reason LIKE 'HTTP 410%'
OR failure_reason LIKE 'HTTP 422%')
"""


def upgrade() -> None:
    with op.batch_alter_table('payments') as payments:
        payments.add_column(sa.Column('version', sa.BigInteger(), server_default='1', nullable=False))
        payments.add_column(sa.Column('unpaid_attempts', sa.Integer(), server_default='0', nullable=False))
        payments.add_column(sa.Column('recipient_number', sa.Integer(), server_default='1', nullable=False))
        payments.drop_constraint('uq_payments_vulnerability', type_='unique')
        _replace_status_check(payments, NEW)
    op.create_index(
        'uq_payments_vulnerability', 'payments', ['vulnerability_id'], unique=True,
        sqlite_where=NOT_CANCELLED, postgresql_where=NOT_CANCELLED,
    )
    op.create_index('ix_payments_status', 'payments', ['protocol_id', 'status', 'id'])
    op.execute(REFUSED)


def _replace_status_check(payments, condition: str) -> None:
    payments.drop_constraint('ck_payments_status', type_='check')
    payments.create_check_constraint('ck_payments_status', condition)


def downgrade() -> None:
    op.execute("DELETE FROM payments WHERE status = 'CANCELLED'")  # moved no money; the audit log keeps them
    op.drop_index('ix_payments_status', 'payments')
    op.drop_index('uq_payments_vulnerability', 'payments')
    with op.batch_alter_table('payments') as payments:
        for column in ('version', 'unpaid_attempts', 'recipient_number'):
            payments.drop_column(column)
        _replace_status_check(payments, OLD)
        payments.create_unique_constraint('uq_payments_vulnerability', ['vulnerability_id'])
