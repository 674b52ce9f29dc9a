"""A small script that speaks events as a real one does: it keeps them in a file, replays them, stops, and shows what it was given."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from nbserver.render.script import Script

EVENTS = 12
LONG = 5  # this event is longer than what is read at a time
_TEXT = r"""#!/usr/bin/env bash
set -euo pipefail
state=STATE
hash=$(sha256sum "$0")
mode='' run='' after=0 operator=''
while read -r name value rest; do
    case $name in mode | run | after | operator) printf -v "$name" '%s' "$value" ;; esac
done
exec </dev/null
file=$state/$run.jsonl
n=0
say() {
    local line
    n=$((n + 1))
    printf -v line '{"v":1,"n":%s,"time":"2026-11-22T00:00:00.0000000Z","step":"%s","event":"%s"%s}' "$n" "$1" "$2" "${3-}"
    printf '%s\n' "$line" >>"$file"
    printf '%s\n' "$line"
}
if [[ $mode == events ]]; then
    [[ -e $file ]] || { printf 'this host knows no run %s\n' "$run" >&2; exit 1; }
    exec 3<"$file"
    while true; do
        alive=0
        kill -0 "$(<"$state/$run.pid")" 2>/dev/null && alive=1
        while read -r line; do
            n=$((n + 1))
            ((n <= after)) || printf '%s\n' "$line"
        done <&3
        ((alive)) || exit 0
        sleep 0.05
    done
fi
printf '%s\n' "$run" >>"$state/applied"
printf '%s\n' "$$" >"$state/$run.pid"
trap 'say "" finished ",\"outcome\":\"stopped\",\"differs\":false,\"changed\":0,\"reboot\":false,\"fingerprint\":\"\""; exit 3' TERM
say '' started ",\"run\":\"$run\",\"mode\":\"$mode\",\"host\":\"HOST\",\"release\":\"0.1.0\",\"script_sha256\":\"${hash%% *}\",\"operator\":\"$(id -un) $(readlink /proc/self/fd/0)\""
while ((n < EVENTS - 1)); do
    if ((n + 1 == LONG)); then
        say one log ",\"text\":\"$(printf 'x%.0s' {1..9000})\""
    else
        say one unchanged
    fi
    while [[ -e $state/hold && $(<"$state/hold") == "$n" ]]; do : >"$state/held"; sleep 0.05; done
done
say '' finished ',"outcome":"ok","differs":true,"changed":1,"reboot":false,"fingerprint":""'
"""


def ran_as(line: str) -> list[str]:
    """The user who ran it, and what its children have for standard input: its first event has them as the operator."""
    return str(json.loads(line)["operator"]).split()


def small_script(host: str, state: Path) -> Script:
    """The script, with its files in `state`: RUN.jsonl, RUN.pid, `applied` (a line a run), `hold` (wait after that event), `held` (it waited)."""
    text = _TEXT.replace("STATE", str(state)).replace("HOST", host).replace("EVENTS", str(EVENTS)).replace("LONG", str(LONG))
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    return Script(host=host, parts=(text,), settings={}, steps=("one",), sha256=digest, body_sha256=digest)
