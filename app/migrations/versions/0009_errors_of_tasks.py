"""why a task failed; null for the tasks closed before"""

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'


def upgrade() -> None:
    op.add_column('agent_tasks', sa.Column('error', sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('agent_tasks') as tasks:
        tasks.drop_column('error')
