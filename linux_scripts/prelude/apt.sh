# ---- prelude: apt. It waits up to five minutes for another one to end, asks nothing, and keeps configuration
# ---- files that somebody changed.

# apt-get waits for dpkg's locks by itself (DPkg::Lock::Timeout), for these two it does not. At the first start
# of a cloud host its daily job holds them.
APT_LOCKS=(/var/lib/apt/lists/lock /var/cache/apt/archives/lock)
# Nothing asks. needrestart restarts nobody's services: it is suspended (from 3.0 on), and would only list them. What it
# has to say waits for the next run of apt that is not ours.
APT_ENVIRONMENT=(DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none APT_LISTBUGS_FRONTEND=none
    NEEDRESTART_SUSPEND=1 NEEDRESTART_MODE=l)

run_apt() { # [OPTION of run_program...] -- ARGUMENT...
    local try
    local -a options=()
    local -i failed=0
    while [[ $1 != -- ]]; do options+=("$1"); shift; done
    shift
    read_proxy
    for try in 1 2; do
        await_locks "${APT_LOCKS[@]}"
        failed=0 PROBLEM=''
        run_program --to-its-end "${options[@]}" "${PROXY[@]}" "${APT_ENVIRONMENT[@]}" \
            apt-get --quiet --yes -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" || failed=1
        if ((EXIT_CODE != 100)) || ! is_locked "${APT_LOCKS[@]}"; then break; fi   # another one came in between
    done
    return "$failed"
}

await_locks() { # FILE...
    local -i second
    for ((second = 0; second < 300; second++)); do
        if ! is_locked "$@"; then return; fi
        if ((second % 10 == 0)); then write_event progress what 'waiting for another package manager to end' done: "$second" total: 300 unit seconds; fi
        sleep 1
    done
}

# Whether a process holds a lock on one of these files: the kernel's own list names them by their inode.
is_locked() { # FILE...
    local where inode
    local -a inodes=()
    mapfile -t inodes < <(stat --format=%i -- "$@" 2>/dev/null || true)
    while read -r _ _ _ _ _ where _; do
        for inode in "${inodes[@]}"; do
            if [[ $where == *":$inode" ]]; then return 0; fi
        done
    done </proc/locks
    return 1
}

refresh_with_apt() {
    local -a interrupted=()
    # What an interrupted dpkg left is finished first: apt-get refuses to work before. One that runs is awaited.
    shopt -s nullglob
    interrupted=(/var/lib/dpkg/updates/[0-9]*)
    shopt -u nullglob
    if ((${#interrupted[@]})); then
        await_locks /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock
        run_program --to-its-end env "${APT_ENVIRONMENT[@]}" dpkg --configure -a --force-confdef --force-confold
    fi
    run_apt --accept '0 100' -- update
    if ((EXIT_CODE)); then write_event warning text 'apt-get update failed; going on with the lists of packages that are there'; fi
}

# Lines of a simulation: `Inst NAME (VERSION ...` for a new package, `Inst NAME [OLD] (VERSION ...` for a newer one.
read_new_packages_apt() { # NAME...
    local line plan=''
    while IFS= read -r line; do
        if [[ $line =~ ^Inst\ ([^ ]+)\ \( ]]; then plan+=" ${BASH_REMATCH[1]}"; fi
    done < <(apt-get --simulate --quiet --yes --no-install-recommends install -- "$@" 2>/dev/null)
    REPLY=$plan
}

install_with_apt() { # NAME...
    run_apt --todo 'The sources of packages are in /etc/apt' -- --no-install-recommends --no-remove install -- "$@"
}

read_removed_by_apt() { # NAME...
    local line plan=''
    while IFS= read -r line; do
        if [[ $line =~ ^(Remv|Purg)\ ([^ ]+)\  ]]; then plan+=" ${BASH_REMATCH[2]}"; fi
    done < <(apt-get --simulate --quiet --yes purge -- "$@" 2>/dev/null)
    wait "$!" || problem 'apt-get could not tell what would go along with these packages' || return
    REPLY=$plan
}

# What stays is for the system's own autoremove, when nothing needs it any more.
keep_with_apt() { # NAME...
    run_program apt-mark auto -- "$@"
}

# With their configuration files, but for those that were there before.
remove_with_apt() { # KEPT NAME...
    local kept=" $1 " name
    local -a purged=()
    shift
    for name in "$@"; do
        if [[ $kept != *" $name "* ]]; then purged+=("$name"); fi
    done
    if ((${#purged[@]} < $#)); then run_apt -- remove -- "$@" || return; fi
    if ((${#purged[@]})); then run_apt -- purge -- "${purged[@]}"; fi
}
