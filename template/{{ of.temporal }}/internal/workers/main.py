"""The worker's entry point: `python -m internal.workers.main`."""

import argparse
import os
import signal


def main() -> int:
    """Run the worker until SIGTERM or SIGINT, or only check it, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m internal.workers.main")
    parser.add_argument(
        "--check", action="store_true", help="check jobs and native code, without a server, and end"
    )
    parser.add_argument(
        "--queues",
        nargs="+",
        default=[],
        metavar="QUEUE",
        help="with --check: those that all workers of a deployment take together",
    )
    arguments = parser.parse_args()

    # Here, because it takes a second to load, in which the worker may be told to stop.
    from internal.runner import supervisor

    return supervisor.check(arguments.queues) if arguments.check else supervisor.run()


if __name__ == "__main__":
    for number in (signal.SIGTERM, signal.SIGINT):
        # Until the worker works, there is nothing that must be finished.
        signal.signal(number, lambda *_: os._exit(0))
    code = main()
    # Threads of the SDK may still run, and can crash an interpreter that ends in order.
    os._exit(code)
