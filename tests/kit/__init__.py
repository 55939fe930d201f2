"""What tests, benchmarks and scripts share.

`repository`, `answers`, `ports`, `waiting`, `processes`, `terminal` and `web` need nothing but the
standard library. The files in `in_project/` run inside a generated project.
"""
