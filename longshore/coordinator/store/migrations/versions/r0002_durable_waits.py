"""What durable waits keep: until when a workflow that is put away rests while facts for it come; which children
go on when their parent ends."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("run", sa.Column("rest_until", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("run", sa.Column("spared", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("run", "spared")
    op.drop_column("run", "rest_until")
