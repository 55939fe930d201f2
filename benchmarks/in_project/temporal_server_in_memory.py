"""The generated project's development server, which keeps nothing on disk: `... PORT`."""

import os
import sys

from dev.engine import command

server = command(int(sys.argv[1]), "--headless", "--log-level", "error")
os.execv(server[0], server)
