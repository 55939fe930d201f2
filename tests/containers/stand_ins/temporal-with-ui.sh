#!/bin/sh
# Temporal's web UI exists only inside this program: serve it too, for the stand-in of the UI.
for argument; do
    shift
    [ "$argument" = --headless ] || set -- "$@" "$argument"
done
exec temporal "$@"
