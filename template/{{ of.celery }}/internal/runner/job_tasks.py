"""One Celery task for each job of `internal/jobs`, called `jobs.KIND`."""

from internal.celery_app import app
from internal.runner.definitions import Definition
from internal.runner.records import Record
from internal.runner.registry import registry
from internal.runner.task import Call, RecordedTask, record_of, task_name


class JobTask(RecordedTask):
    """A task whose keyword arguments are the fields of a job."""

    abstract = True
    native = False
    ignore_result = True
    definition: type[Definition]

    @property
    def kind(self) -> str:
        """The job's kind."""
        return self.definition.kind

    def record(self, job_id: str, call: Call, queue: str = "") -> Record:
        """Return what is written of a job."""
        return record_of(job_id, self.definition(**call.kwargs))


for _kind, _definition in registry().kinds.items():
    app.register_task(
        type(
            _definition.__name__,
            (JobTask,),
            {"name": task_name(_kind), "definition": _definition, "__doc__": _definition.__doc__},
        )()
    )
