#!/bin/sh
# Does what the real image's entrypoint does, as far as compose.yaml and the guides rely on it.
set -eu
if [ "$(id -u)" = 0 ]; then
    install --directory --owner postgres --group postgres --mode 700 "$PGDATA"
    exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # Whoever is in the container is let in without the password, as in the real one.
    printf '%s\n' "${POSTGRES_PASSWORD:?}" |
        initdb --username "$POSTGRES_USER" --pwfile /dev/stdin --auth trust --no-sync
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    echo "CREATE DATABASE \"$POSTGRES_USER\"" | postgres --single postgres
fi
exec "$@"
