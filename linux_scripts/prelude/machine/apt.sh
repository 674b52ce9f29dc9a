# ---- prelude: apt ----------------------------------------------------------------------------------
# Run apt, without questions; configuration files that were changed are kept.

# It waits up to five minutes for another package manager. apt-get itself waits for dpkg's lock (DPkg::Lock::Timeout),
# but not for these two. The daily job of apt has them when a cloud host starts for the first time.
APT_LOCKS=(/var/lib/apt/lists/lock /var/cache/apt/archives/lock)
DPKG_LOCKS=(/var/lib/dpkg/lock-frontend /var/lib/dpkg/lock)
# needrestart must not restart services: it is suspended (version 3.0 and newer), or only lists them.
APT_ENVIRONMENT=(DEBIAN_FRONTEND=noninteractive APT_LISTCHANGES_FRONTEND=none APT_LISTBUGS_FRONTEND=none
    NEEDRESTART_SUSPEND=1 NEEDRESTART_MODE=l)
# What nothing needs any more stays, even if the host is configured to remove it with each installation.
KEEP_UNUSED=(-o APT::Get::AutomaticRemove=false)
APT_OPTIONS=(--quiet --yes "${KEEP_UNUSED[@]}" -o DPkg::Lock::Timeout=300
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold)

# Both of these functions replace the subshell that calls them by the program.
query_with_apt() { # NAME...
    exec dpkg-query --show --showformat='${db:Status-Abbrev} ${Package} ${Version}\n' -- "$@"
}

# REPLY: the packages that are unpacked (U) or half configured (F), so that apt and dpkg configure them when they run.
read_unfinished_by_apt() {
    local state name found=''
    while read -r state name; do
        if [[ $state == ?[UF]* ]]; then found+=" $name"; fi
    done < <(exec dpkg-query --show --showformat='${db:Status-Abbrev} ${Package}\n' 2>/dev/null)
    REPLY=$found
}

run_apt() { # [OPTION of run_program...] -- ARGUMENT...
    local try
    local -a options=()
    local -i failed=0
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift
    read_proxy
    for try in 1 2; do
        await_locks "${APT_LOCKS[@]}"
        failed=0 PROBLEM=''
        run_program --to-its-end "${options[@]}" "${PROXY[@]}" "${APT_ENVIRONMENT[@]}" \
            apt-get "${APT_OPTIONS[@]}" "$@" || failed=1
        # Code 100 is any error. If there is a lock now, another package manager started in the meantime.
        if ((EXIT_CODE != 100)) || ! is_locked "${APT_LOCKS[@]}"; then break; fi
    done
    return "$failed"
}

await_locks() { # FILE...
    local -i second
    for ((second = 0; second < 300; second++)); do
        if ! is_locked "$@"; then return 0; fi
        if ((second % 10 == 0)); then
            report_progress waiting-for-package-manager 'Waiting for another package manager to finish' \
                "$second" 300 seconds
        fi
        sleep 1
    done
}

# Whether a process has a lock on one of these files. /proc/locks names the file in its sixth field, as
# MAJOR:MINOR:INODE (proc_locks(5)).
is_locked() { # FILE...
    local file inode
    local -a inodes=()
    mapfile -t inodes < <(stat --format=%i -- "$@" 2>/dev/null || true)
    while read -r _ _ _ _ _ file _; do
        for inode in "${inodes[@]}"; do
            if [[ $file == *":$inode" ]]; then return 0; fi
        done
    done </proc/locks
    return 1
}

refresh_with_apt() {
    finish_interrupted_dpkg
    run_apt --accept '0 100' -- update
    if ((EXIT_CODE)); then
        error_text
        warn apt-update-failed 'apt-get update exited with code {exit_code}, so nbserver uses the existing package '\
'lists. Correct or remove the source in /etc/apt that caused this error: {output}' \
            exit_code "$EXIT_CODE" output "$REPLY"
    fi
}

# apt-get refuses to work until an interrupted dpkg is finished. A dpkg that still runs has its lock, and is awaited.
finish_interrupted_dpkg() {
    local -a interrupted=()
    shopt -s nullglob
    interrupted=(/var/lib/dpkg/updates/[0-9]*)
    shopt -u nullglob
    if ((${#interrupted[@]} == 0)); then return 0; fi
    await_locks "${DPKG_LOCKS[@]}"
    run_program --to-its-end env "${APT_ENVIRONMENT[@]}" dpkg --configure -a --force-confdef --force-confold
}

# REPLY: the packages that would be new. UPGRADED: those that would be upgraded. In a simulation, a new package is
# `Inst NAME (VERSION ...`, an upgrade is `Inst NAME [OLD-VERSION] (VERSION ...`.
read_new_packages_apt() { # NAME...
    local line plan=''
    local -i code=0
    OUTPUT=() UPGRADED=()
    while IFS= read -r line; do
        OUTPUT+=("$line")
        if [[ $line =~ ^Inst\ ([^ ]+)\ \( ]]; then
            plan+=" ${BASH_REMATCH[1]}"
        elif [[ $line =~ ^Inst\ ([^ ]+)\ \[([^ ]+)\]\ \(([^ ]+) ]]; then
            UPGRADED+=("${BASH_REMATCH[1]} (${BASH_REMATCH[2]} to ${BASH_REMATCH[3]})")
        fi
    done < <(apt-get --simulate --quiet --yes "${KEEP_UNUSED[@]}" --no-install-recommends install -- "$@" 2>&1)
    wait "$!" || code=$?
    if ((code)); then
        error_text
        fail apt-plan-failed 'apt-get cannot determine what to install for {packages}: {output}. Check the package '\
'sources in /etc/apt, then try again' packages "$*" output "$REPLY"
    fi
    REPLY=$plan
}

install_with_apt() { # NAME...
    run_apt --failure apt-install-failed 'could not install the packages ({program} exited with code {exit_code}): '\
'{output}. Check the package sources in /etc/apt and the free disk space, then run nbserver apply again' \
        -- --no-install-recommends --no-remove install -- "$@"
}

# REPLY: the packages that would be removed, these and others.
read_removed_by_apt() { # NAME...
    local line plan=''
    while IFS= read -r line; do
        if [[ $line =~ ^(Remv|Purg)\ ([^ ]+)\  ]]; then plan+=" ${BASH_REMATCH[2]}"; fi
    done < <(apt-get --simulate --quiet --yes "${KEEP_UNUSED[@]}" purge -- "$@" 2>/dev/null)
    wait "$!" ||
        problem apt-simulation-failed 'apt-get could not simulate the removal of {packages}. Run apt-get --simulate '\
'purge {packages}, fix the error that it shows, then try again' \
            packages "$*" || return "$?"
    REPLY=$plan
}

# apt's own autoremove removes these packages when nothing needs them any more.
keep_with_apt() { # NAME...
    run_program apt-mark auto -- "$@"
}

# BEFORE: the packages whose configuration files stay.
remove_with_apt() { # BEFORE NAME...
    local before=" $1 " name
    local -a purged=()
    shift
    finish_interrupted_dpkg || return "$?"
    for name in "$@"; do
        if [[ $before != *" $name "* ]]; then purged+=("$name"); fi
    done
    if ((${#purged[@]} < $#)); then run_apt -- remove -- "$@" || return "$?"; fi
    if ((${#purged[@]})); then run_apt -- purge -- "${purged[@]}"; fi
}
