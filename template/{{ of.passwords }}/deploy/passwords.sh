#!/bin/sh
# Writes into .env a password for everything in compose.yaml that requires one and has none yet.
set -eu
cd "$(dirname "$0")/.."
touch .env
chmod 600 .env
[ -z "$(tail -c 1 .env)" ] || echo >>.env
names=$(sed -n 's/.*${\([A-Z_]*_PASSWORD\):?.*/\1/p' compose.yaml | sort -u)
for name in $names; do
    if ! grep -q "^$name=." .env; then
        echo "$name=$(openssl rand -hex 24)" >>.env
        echo "$name is in .env now."
    fi
done
