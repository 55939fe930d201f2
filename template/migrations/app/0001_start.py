"""Where your own migrations begin: those that Alembic makes with `--head app@head` follow."""

revision = "app_0001"
down_revision = None
branch_labels = ("app",)
depends_on = "template_0001"


def upgrade() -> None:
    """Change nothing: the template's tables are there."""


def downgrade() -> None:
    """Change nothing."""
