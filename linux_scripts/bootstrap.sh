#!/usr/bin/env bash
# nbserver bootstrap, for hosts that are reached over SSH, and for this machine. It runs the script that comes on standard input:
#   bash -c BOOTSTRAP nbserver LENGTH SHA256
# It says "nbserver ready" and skips what comes before a line "nbserver script". Then come LENGTH bytes of script, the lines of
# the envelope of the script, and a line "nbserver start": an input that was cut off starts nothing. The script runs in a
# session of its own, with its output in a file, so it goes on when the connection is lost. A line "nbserver stop" sends it
# SIGTERM. The folder with its files is for its user only, in memory (unless TMPDIR says otherwise) so that a full disk can
# still be told, and is removed at its end. The envelope is never in a file.
set -euo pipefail
LC_ALL=C

die() {
    printf "%s\n" "$1" >&2
    exit 1
}

[[ ${1-} =~ ^[1-9][0-9]{0,6}$ && ${2-} =~ ^[0-9a-f]{64}$ ]] || die "usage: bash -c BOOTSTRAP nbserver LENGTH SHA256"
printf "nbserver ready\n"
line=""
until [[ $line == "nbserver script" ]]; do
    IFS= read -r line || die "the input does not begin with a script"
done
IFS= read -r -N "$1" script || die "the input ended after ${#script} of $1 bytes of the script"
sum=$(printf "%s" "$script" | sha256sum)
[[ ${sum%% *} == "$2" ]] || die "the SHA-256 of the script is ${sum%% *}, announced was $2"
envelope=()
while true; do
    IFS= read -r line || die "the input ended in the envelope"
    [[ $line != "nbserver start" ]] || break
    envelope+=("$line")
done

folder=$(mktemp -d -p "${TMPDIR:-/dev/shm}" 2>/dev/null) || folder=$(mktemp -d)
cd -- "$folder" # everything below happens inside, wherever somebody else may move the folder or what its path leads to
[[ -O . && $(stat -c %a .) == 700 && -z $(ls -A) ]] || die "its new folder in TMPDIR was changed by somebody else"
folder=$PWD
# shellcheck disable=SC2317 # the trap calls it
clean_up() {
    rm -rf -- "$folder"
}
trap clean_up EXIT
printf "%s" "$script" >nbserver.sh
: >output
setsid bash ./nbserver.sh envelope < <(printf "%s\n" "${envelope[@]}") >>output 2>errors &
pid=$!
trap "" HUP INT TERM PIPE # so it cleans up without a connection too; only now, because the script would inherit it

exec 3<output
copy_output() {
    while IFS= read -r -N 65536 -u 3 part || [[ -n $part ]]; do
        printf "%s" "$part" 2>/dev/null || true
    done
}
while kill -0 "$pid" 2>/dev/null; do
    copy_output
    code=0
    IFS= read -r -t 0.05 line || code=$?
    if ((code == 0)); then
        [[ $line != "nbserver stop" ]] || kill -TERM "$pid" 2>/dev/null || true
    elif ((code <= 128)); then
        sleep 0.2 # there is no more input, so read does not wait
    fi
done
code=0
wait "$pid" 2>/dev/null || code=$?
copy_output
cat errors >&2 || true
exit "$code"
