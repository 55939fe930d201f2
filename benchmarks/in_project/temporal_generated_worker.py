"""The generated project's worker, with one more workflow."""

from temporal_nothing import Nothing, do_nothing

from internal.workers import main, worker

worker.WORKFLOWS.append(Nothing)
worker.ACTIVITIES.append(do_nothing)
main.main()
