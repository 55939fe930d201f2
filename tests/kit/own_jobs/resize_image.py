"""Pictures, made smaller in the background."""

from datetime import timedelta

from pydantic import BaseModel, Field

from internal.runner import Job, JobContext, Policy


class Resized(BaseModel):
    """What became of the picture."""

    file: str
    width: int


class ResizeImage(Job):
    """Resize an image."""

    kind = "resize-image"
    policy = Policy(timeout=timedelta(minutes=2), attempts=3, queue="slow")

    file: str = Field(examples=["a.png"])
    width: int = Field(gt=0, examples=[80])

    def run(self, ctx: JobContext) -> Resized:
        """Resize it, and report each line."""
        for line in range(100):
            ctx.report(line + 1, 100)
        return Resized(file=self.file, width=self.width)
