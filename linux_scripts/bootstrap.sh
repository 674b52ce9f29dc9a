#!/usr/bin/env bash
# nbserver bootstrap: run the script that arrives on standard input, on a host over SSH or on this machine.
#   bash -p -c BOOTSTRAP nbserver LENGTH SHA256
#
# With -p, bash takes neither functions nor options from the environment. The bootstrap prints a line that begins with
# "nbserver ready" once bash runs it and can start programs, and skips the input up to a line "nbserver script". Then
# come LENGTH bytes of script, the lines of the envelope of the script, and a line "nbserver start". After a line
# "nbserver data NUMBER" in the envelope, that many bytes of data follow "nbserver start"; the script finds them in the
# file data next to it. An input that was cut off starts nothing. After a line "nbserver stream NUMBER", the script
# itself reads the data while it arrives, from descriptor 7, and notices if it was cut off. Closing the input stops it.
#
# The script runs in its own session and writes to a file, so it continues when the connection is lost. A line
# "nbserver stop" sends it SIGTERM. Its folder is accessible to its user only, and is removed when the script has ended.
# The folder is in memory, unless that is not possible, so that a full disk can be reported. The envelope is never in a
# file. This text has no single quote, because it is an argument in single quotes.
# csh cannot pass on a text of several lines: it runs each line, here too, and exit does not stop it. In csh, $#argv is
# the number of its arguments.
test "$#argv" = 0 && exec sh -c "exit 97"
set -euo pipefail
LC_ALL=C
unset BASH_ENV

die() { # TEXT
    printf "%s\n" "$1" >&2
    exit 1
}

[[ ${1-} =~ ^[1-9][0-9]{0,6}$ && ${2-} =~ ^[0-9a-f]{64}$ ]] ||
    die "usage: bash -p -c BOOTSTRAP nbserver LENGTH SHA256"

sum=$(sha256sum </dev/null) ||
    die "bash cannot start sha256sum"
printf "nbserver ready%s\n" "${BASH_VERSION:+ in bash}"
line=""
until [[ $line == "nbserver script" ]]; do
    IFS= read -r line ||
        die "the input does not begin with a script"
done
IFS= read -r -N "$1" script ||
    die "the input ended after ${#script} of $1 bytes of the script"
sum=$(printf "%s" "$script" | sha256sum)
[[ ${sum%% *} == "$2" ]] ||
    die "the SHA-256 of the script is ${sum%% *}, expected $2"

envelope=()
size=0
kind=data
while true; do
    IFS= read -r line ||
        die "the input ended before the end of the envelope"
    if [[ $line == "nbserver start" ]]; then break; fi
    if [[ $line =~ ^nbserver\ (data|stream)\ ([1-9][0-9]{0,8})$ ]]; then
        kind=${BASH_REMATCH[1]}
        size=${BASH_REMATCH[2]}
    else
        envelope+=("$line")
    fi
done

# All files are created in the working folder: somebody may move the folder, or replace a part of its path. If its disk
# has no space for the script and the data, the next parent is tried.
write_files() {
    printf "%s" "$script" >nbserver.sh || return 1
    if [[ $kind == data ]]; then head -c "$size" /dev/zero >data || return 1; fi
}
folder=""
for parent in "${TMPDIR-}" /dev/shm /tmp /var/tmp; do
    if [[ -d $parent && -w $parent ]] && folder=$(mktemp -d -p "$parent"); then
        cd -- "$folder"
        [[ -O . && $(stat -c %a .) == 700 && -z $(ls -A) ]] ||
            die "another user changed the new folder in TMPDIR. Set TMPDIR to a folder where only you can write"
        folder=$PWD
        if write_files 2>/dev/null; then break; fi
        cd /
        rm -rf -- "$folder"
        folder=""
    fi
    if [[ ${TMPDIR-} == "$parent" ]]; then unset TMPDIR; fi
done
[[ $folder ]] ||
    die "there is no temporary folder with free space in which $(id -un) can write, such as /tmp"

# shellcheck disable=SC2317 # the trap calls it
clean_up() {
    rm -rf -- "$folder"
}
trap clean_up EXIT

if [[ $kind == stream ]]; then
    exec 7<&0
else
    head -c "$size" >data ||
        die "the data could not be kept: the disk may be full"
    [[ $(stat -c %s data) == "$size" ]] ||
        die "the input ended before the end of the data"
fi
: >output
setsid bash -p ./nbserver.sh envelope < <(printf "%s\n" "${envelope[@]}") >>output 2>errors &
pid=$!
# Without a connection, the folder must be removed too. Before this line, the script would inherit the trap.
trap "" HUP INT TERM PIPE
exec 7<&-

exec 3<output
copy_output() {
    while IFS= read -r -N 65536 -u 3 part || [[ -n $part ]]; do
        printf "%s" "$part" 2>/dev/null || true
    done
}

line=""
while kill -0 "$pid" 2>/dev/null; do
    copy_output
    if [[ $kind == stream ]]; then
        sleep 0.05 # the rest of the input is data
        continue
    fi
    code=0
    IFS= read -r -t 0.05 part || code=$?
    line+=$part # the time may be over in the middle of a line
    if ((code == 0)); then
        if [[ $line == "nbserver stop" ]]; then
            kill -TERM "$pid" 2>/dev/null || true
        fi
        line=""
    elif ((code <= 128)); then
        sleep 0.2 # the input has ended, so read does not wait
    fi
done
code=0
wait "$pid" 2>/dev/null || code=$?
copy_output
cat errors >&2 || true
exit "$code"
