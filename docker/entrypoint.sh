#!/bin/sh
# Start Impasto in a container: the studio by default, or any other command of Impasto.
set -eu

if [ "${1:-studio}" != studio ]; then
    exec impasto "$@"
fi
[ $# -eq 0 ] || shift

# Other machines reach the studio, so it needs a token. It is created once, and printed only then: logs are kept.
if [ -z "${IMPASTO_TOKEN:-}" ]; then
    token_file="$IMPASTO_DATA/token"
    if ! mkdir -p "$IMPASTO_DATA" 2>/dev/null || ! [ -w "$IMPASTO_DATA" ]; then
        echo "impasto: user $(id -u) cannot write to $IMPASTO_DATA. Use a volume that this user owns." >&2
        exit 1
    fi
    if [ -s "$token_file" ]; then
        echo "the token is in $token_file"
    else
        (umask 077 && python -c 'import secrets; print(secrets.token_urlsafe(24))' >"$token_file.new")
        mv "$token_file.new" "$token_file"
        echo "the token, which is kept in $token_file: $(cat "$token_file")"
    fi
    IMPASTO_TOKEN=$(cat "$token_file")
    export IMPASTO_TOKEN
fi

exec impasto studio --host 0.0.0.0 --no-browser "$@"
