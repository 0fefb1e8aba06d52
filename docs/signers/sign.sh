#!/usr/bin/env bash
# Signs a request to FlagShip with openssl. Prints its headers, for `curl -H @-`:
# SIGNING_KEY_ID=sig_... SIGNING_SECRET=... sign.sh POST URL [BODY_FILE [TYPE [IDEM_KEY]]]
set -euo pipefail
export LC_ALL=C

method=$1 url=${2%%#*} body=${3:-/dev/null} content_type=${4:-} idempotency_key=${5:-}

hmac() { openssl dgst -sha256 -mac HMAC -macopt "hexkey:$1" | sed 's/.* //'; }
unhex() { printf "$(printf %s "$1" | sed 's/../\\x&/g')"; }
lower() { printf %s "$1" | tr '[:upper:]' '[:lower:]'; }

rest=${url#*://}
query=""
if [[ $rest == *\?* ]]; then query=${rest#*\?}; fi
rest=${rest%%\?*}
host=${rest%%/*}
path=/
if [[ $rest == */* ]]; then path=/${rest#*/}; fi

timestamp=${SIGNING_TIMESTAMP:-$(date +%s)}
nonce=${SIGNING_NONCE:-$(openssl rand -hex 24)}
digest=$(openssl dgst -sha256 <"${body:-/dev/null}" | sed 's/.* //')
sorted=$(printf '%s\n' "$query" | tr '&' '\n' | sort | paste -sd '&' -)
canonical=$(printf '%s\n' BUILD-HMAC-SHA256-V2 "$SIGNING_KEY_ID" "$timestamp" "$nonce" \
  "$(printf %s "$method" | tr '[:lower:]' '[:upper:]')" "$(lower "$host")" "$path" "$sorted" \
  "$(lower "$content_type")" "$idempotency_key" "$digest")

zeros=0000000000000000000000000000000000000000000000000000000000000000
extracted=$(unhex "$SIGNING_SECRET" | hmac "$zeros")
key=$(printf 'v2%s\x01' "$SIGNING_KEY_ID" | hmac "$extracted")
signature=$(printf %s "$canonical" | hmac "$key")

printf '%s: %s\n' X-Key-Id "$SIGNING_KEY_ID" X-Timestamp "$timestamp" X-Nonce "$nonce" \
  X-Content-SHA256 "$digest" X-Signature "v2=$signature"
