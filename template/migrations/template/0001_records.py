"""The tables of the template's own services."""

import sqlalchemy as sa
from alembic import op

revision = "template_0001"
down_revision = None
branch_labels = ("template",)
depends_on = None

COLUMNS = {
    "contacts": "email, name",
    "imports": "id, rows_done, updated_at",
    "deliveries": "message_id, delivered_at",
}


def upgrade() -> None:
    """Make the tables, with the rows of those that were made before there were migrations."""
    present = sa.inspect(op.get_bind()).get_table_names()
    earlier = [table for table in COLUMNS if table in present]
    for table in earlier:
        op.rename_table(table, f"earlier_{table}")
    op.create_table(
        "contacts",
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("email", name="pk_contacts"),
    )
    op.create_table(
        "imports",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("rows_done", sa.Integer(), nullable=False),
        sa.Column("rows_total", sa.Integer(), server_default="0", nullable=False),
        sa.Column("position", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("file_version", sa.String(), server_default="", nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name="pk_imports"),
    )
    op.create_table(
        "deliveries",
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column(
            "delivered_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("message_id", name="pk_deliveries"),
    )
    for table in earlier:
        columns = COLUMNS[table]
        op.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM earlier_{table}")
        op.drop_table(f"earlier_{table}")


def downgrade() -> None:
    """Drop the tables."""
    for table in COLUMNS:
        op.drop_table(table)
