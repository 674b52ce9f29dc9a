# ---- prelude: deliveries ---------------------------------------------------------------------------
# Receive the wheels that the workstation sends (downloads.source = "push").

# Mode missing asks what this host has, and mode deliver brings the rest.
# The wheels are in DOWNLOADS, and those that are not complete in a folder in it. Only root has access, or in user scope
# the user. A wheel is accepted if the lock has its hash, and is used only if it has that hash: when it is complete, and
# again when it is installed. What the lock does not name is removed.

PARTIAL=$DOWNLOADS/partial
declare -A LOCKED=() LOCKED_HASHES=()              # of read_locked: 'NAME VERSION' -> 1, hash -> 'NAME VERSION'
declare -A RECEIVED=()                             # name in PARTIAL -> bytes that it must have now

MODES['missing']=report_missing
MODES['deliver']=receive_downloads
CHANGING_MODES+=(deliver)

read_locked() {
    local line word key
    for line in "${LOCK[@]}"; do
        read_spelling "${line%%==*}" "${line#*==}"
        key=$REPLY
        LOCKED[$key]=1
        for word in $line; do
            if [[ $word == --hash=sha256:* ]]; then LOCKED_HASHES[${word#*:}]=$key; fi
        done
    done
}

# REPLY: 'NAME VERSION' in one spelling: in names of files, other characters stand for some of them.
read_spelling() { # NAME VERSION...
    local name=${1%%\[*} version=${2%% *}
    name=${name,,}
    REPLY="${name//[-_.]/-} ${version//[-_+!]/.}"
}

# REPLY: 'NAME VERSION' of the package in a wheel, or ''.
read_wheel() { # NAME
    REPLY=''
    if [[ $1 =~ ^([A-Za-z0-9][A-Za-z0-9._]*)-([A-Za-z0-9._+!]+)-[A-Za-z0-9._+-]+\.whl$ && ${#1} -le 180 ]]; then
        read_spelling "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
    fi
}

# The part of a line of the envelope, in variables of the caller.
read_part() { # LINE
    split_words "$1"
    name='' sha256=${SPLIT[2]}
    if is_base64 "${SPLIT[0]}"; then name=$REPLY; fi
    size=$((10#${SPLIT[1]})) offset=$((10#${SPLIT[3]})) length=$((10#${SPLIT[4]}))
}

# Whether the lock has this wheel.
is_in_lock() { # NAME SHA256
    read_wheel "$1"
    [[ $REPLY && ${LOCKED_HASHES[$2]-} == "$REPLY" ]]
}

report_file() { # STATE NAME SIZE [SHA256]
    write_event file path "$2" sha256 "${4-}" size: "$3" state "$1"
}

# Mode missing: what this host has of the wheels that are offered, and which of them it needs.
report_missing() {
    local line name='' sha256='' size offset length python is_needed
    local -i has
    local -A hashes=() sizes=()
    read_locked
    if can_read_state; then read_present; fi
    RUN_STEP=packages                              # of its progress, if it reads all installed files
    compare_environment
    RUN_STEP=''
    is_needed=${#DIFFERENCES[@]}
    DIFFERENCES=()
    read_future_python
    python=$REPLY
    for line in "${PARTS[@]}"; do
        read_part "$line"
        has=${sizes[$name]-0}
        if ! is_in_lock "$name" "$sha256"; then
            report_file refused "${name:-?}" 0
        elif [[ ${hashes[$name]-} == "$sha256" ]]; then
            report_file present "$name" "$size" "$sha256"
        elif ((is_needed == 0)) || ! can_be_for "$name" "$python"; then
            report_file needless "$name" 0
        elif ((has > 0 && has <= size)); then
            report_file partial "$name" "$has"
        else
            report_file absent "$name" 0
        fi
    done
}

# What the folders have, in variables of the caller: hashes of complete files, and sizes of incomplete ones.
read_present() {
    local path word
    local -a complete=() partial=()
    for path in "$DOWNLOADS"/*.whl; do
        if [[ -f $path && ! -L $path ]]; then complete+=("$path"); fi
    done
    for path in "$PARTIAL"/*.whl; do
        if [[ -f $path && ! -L $path ]]; then partial+=("$path"); fi
    done
    if ((${#complete[@]})); then
        while read -r word path; do hashes[${path##*/}]=$word; done < <(print_wheel_hashes "${complete[@]}")
    fi
    if ((${#partial[@]})); then
        while read -r word path; do sizes[${path##*/}]=$word; done < <(exec stat --format='%s %n' -- "${partial[@]}")
    fi
}

# A line for each file: its hash and path. OpenSSL needs a quarter of sha256sum's time, but may not be installed yet.
print_wheel_hashes() { # PATH...
    if has_openssl; then
        exec openssl dgst -sha256 -r "$@"
    fi
    exec sha256sum -- "$@"
}

# Whether a wheel can be for this Python, such as 311. Nobody knows the version before Python is installed.
can_be_for() { # NAME PYTHON
    if [[ ! $2 || ! $1 =~ -cp3([0-9]+)-(cp3|abi3)[^-]*-[^-]+$ ]]; then return 0; fi
    if [[ ${BASH_REMATCH[2]} == abi3 ]]; then
        ((BASH_REMATCH[1] <= ${2#3}))
    else
        [[ ${BASH_REMATCH[1]} == "${2#3}" ]]
    fi
}

# Mode deliver: the data of all parts, one after the other, arrives on descriptor 7, which the bootstrap has opened.
receive_downloads() {
    local line
    if [[ $NB_DOWNLOADS_SOURCE != push || ! -e /dev/fd/7 ]]; then
        fail delivery-not-expected 'this script accepts no files from the workstation, because downloads.source in '\
'its settings is not "push". To send files, set downloads.source = "push" in the inventory, then run nbserver apply'
    fi
    read_locked
    add_download_folders
    for line in "${PARTS[@]}"; do receive_part "$line"; done
    exec 7<&-
    if ((${#RECEIVED[@]})); then settle_received; fi
}

# Only this script writes to the folders, so a link in them is as unexpected as any other file.
add_download_folders() {
    local path
    for path in "$DOWNLOADS" "$PARTIAL"; do
        hold_parent "$path"
        if [[ ! -e $path && ! -L $path ]]; then mkdir -m 700 -- "$HELD/${path##*/}"; fi
        hold_folder "$path"
    done
    for path in "$DOWNLOADS"/* "$DOWNLOADS"/.[!.]* "$PARTIAL"/* "$PARTIAL"/.[!.]*; do
        if [[ $path == "$PARTIAL" || (! -e $path && ! -L $path) ]]; then continue; fi
        read_wheel "${path##*/}"
        if [[ ! -f $path || -L $path || ! $REPLY || ! ${LOCKED[$REPLY]-} ]]; then
            hold_folder "${path%/*}"
            rm -rf --one-file-system -- "${HELD:?}/${path##*/}"
        fi
    done
    hold_folder "$PARTIAL"
}

# A part continues exactly where the file ends. The data of a part that is not kept is read, too.
receive_part() { # LINE
    local name='' size sha256='' offset length state='' target=/dev/null
    read_part "$1"
    if ! is_in_lock "$name" "$sha256"; then
        state=refused
    elif ((offset > 0)) && [[ $(exec stat --format=%s -- "$HELD/$name" 2>/dev/null) != "$offset" ]]; then
        state=conflict
    else
        target=$HELD/$name
        if ((offset == 0)); then rm -f -- "$target"; fi
    fi
    dd bs=256K count="$length" iflag=fullblock,count_bytes status=none <&7 >>"$target" ||
        problem file-not-written 'could not write {path}. Make sure that its disk is writable and has free space, '\
'then try again' path "$PARTIAL/$name" ||
        fail delivery-not-written 'could not save the files that the workstation sent: {cause}. Fix this '\
'error (for example, free some disk space), then run the command again'
    if [[ $state ]]; then
        report_file "$state" "${name:-?}" 0
    else
        RECEIVED[$name]=$((offset + length))
    fi
}

# Complete wheels with the right hash get their place. Incomplete ones are kept, also if the connection was lost: the
# next delivery sends the rest.
settle_received() {
    local line name='' size sha256='' offset length word path cut_off=''
    local -i has expected
    local -a stored=() paths=()
    local -A sizes=() hashes=()
    for name in "${!RECEIVED[@]}"; do paths+=("$HELD/$name"); done
    while read -r word path; do sizes[${path##*/}]=$word; done < <(exec stat --format='%s %n' -- "${paths[@]}")
    while read -r word path; do hashes[${path##*/}]=$word; done < <(print_wheel_hashes "${paths[@]}")
    for line in "${PARTS[@]}"; do
        read_part "$line"
        expected=${RECEIVED[$name]--1} has=${sizes[$name]-0}
        if ((expected < 0)); then continue; fi
        if ((has < expected)); then
            cut_off=1
        elif ((has < size)); then
            report_file incomplete "$name" "$has"
        elif [[ ${hashes[$name]} == "$sha256" ]]; then
            stored+=("$line")
        else
            rm -f -- "$HELD/$name"
            report_file damaged "$name" 0
        fi
    done
    if ((${#stored[@]})); then store_wheels "${stored[@]}"; fi
    if [[ $cut_off ]]; then
        fail delivery-cut-off 'the connection was lost before all files had arrived. Run the command again: it sends '\
'only the missing files'
    fi
}

# One mv for all: PARTIAL is the folder that was opened, so the folder above it is DOWNLOADS.
store_wheels() { # LINE...
    local line name='' size sha256='' offset length
    local -a paths=()
    for line; do
        read_part "$line"
        paths+=("$HELD/$name")
    done
    mv -f -t "$HELD/.." -- "${paths[@]}"
    for line; do
        read_part "$line"
        RUN_CHANGED=$((RUN_CHANGED + 1))
        report_file stored "$name" "$size" "$sha256"
    done
}

# The record does not name the folder: it is part of the state folder, and nothing was there before.
remove_downloads() {
    if [[ ! -e $DOWNLOADS && ! -L $DOWNLOADS ]]; then return 0; fi
    hold_folder "$STATE_FOLDER"
    rm -rf --one-file-system -- "${HELD:?}/${DOWNLOADS##*/}"
}
BEFORE_UNDO+=(remove_downloads)
