# ---- prelude: the distribution's packages: apt (Debian, Ubuntu) and zypper (openSUSE, SLES) ------------

SYSTEM_ID='' SYSTEM_LIKE='' SYSTEM_VERSION='' SYSTEM_NAME=''   # of /etc/os-release
PACKAGE_MANAGER=''                                 # apt, zypper, or '' where this script knows none
PACKAGES_ARE_FRESH=''
declare -A PACKAGES=()                             # name -> installed version, or '' for none
declare -A PACKAGE_TRACES=()                       # name -> 1 where anything of it is there, also half of it

read_system() {
    local name value
    while IFS='=' read -r name value || [[ $name ]]; do
        value=${value#[\"\']}
        value=${value%[\"\']}
        case $name in
            ID) SYSTEM_ID=$value ;;
            ID_LIKE) SYSTEM_LIKE=$value ;;
            VERSION_ID) SYSTEM_VERSION=$value ;;
            PRETTY_NAME) SYSTEM_NAME=$value ;;
        esac
    done </etc/os-release
    case " $SYSTEM_ID $SYSTEM_LIKE " in
        *' debian '* | *' ubuntu '*) PACKAGE_MANAGER=apt ;;
        *' suse '* | *' opensuse '* | *' sles '*) PACKAGE_MANAGER=zypper ;;
    esac
}

# What is installed of these names; one question for all of them.
read_packages() { # NAME...
    local state name version
    for name in "$@"; do PACKAGES[$name]='' PACKAGE_TRACES[$name]=''; done
    # Unknown names make the answer's exit code 1, and have no line that begins with "ii".
    while read -r state name version; do
        if [[ $state == ii ]]; then PACKAGES[$name]=$version; fi
        if [[ $state != ?n ]]; then PACKAGE_TRACES[$name]=1; fi
    done < <(
        case $PACKAGE_MANAGER in
            apt) dpkg-query --show --showformat='${db:Status-Abbrev} ${Package} ${Version}\n' -- "$@" 2>/dev/null || true ;;
            zypper) rpm --query --queryformat 'ii %{NAME} %{VERSION}-%{RELEASE}\n' -- "$@" 2>/dev/null || true ;;
        esac
    )
}

# Kind packages: what one installation brings, its dependencies too. Undo removes these and no others.
install_packages() { # NAME...
    local name
    local -a missing=()
    read_packages "$@"
    for name in "$@"; do
        if [[ ! ${PACKAGES[$name]} ]]; then missing+=("$name"); fi
    done
    if ((${#missing[@]} == 0)); then return; fi
    refresh_packages
    "read_new_packages_$PACKAGE_MANAGER" "${missing[@]}"
    if [[ $REPLY ]]; then save_before packages "$PACKAGE_MANAGER$REPLY" ''; fi
    write_event progress what "installing ${missing[*]}"
    "install_with_$PACKAGE_MANAGER" "${missing[@]}"
}

restore_packages() { # KEY
    local manager=${1%% *}
    local -a names=()
    read -r -a names <<<"${1#* }"
    PACKAGE_MANAGER=$manager
    "remove_with_$manager" "${names[@]}"
}

# The lists of packages, once a run.
refresh_packages() {
    if [[ $PACKAGES_ARE_FRESH ]]; then return; fi
    "refresh_with_$PACKAGE_MANAGER"
    PACKAGES_ARE_FRESH=1
}

# Only lower-case names of these variables count for all of the programs.
read_proxy() {
    PROXY=(env)
    if [[ $NB_DOWNLOADS_PROXY ]]; then PROXY=(env "http_proxy=$NB_DOWNLOADS_PROXY" "https_proxy=$NB_DOWNLOADS_PROXY"); fi
}
PROXY=(env)

# INSTALLED: of these names, those of which anything is there. What somebody removed meanwhile needs no removing.
keep_installed() { # NAME...
    local name
    INSTALLED=()
    read_packages "$@"
    for name in "$@"; do
        if [[ ${PACKAGE_TRACES[$name]} ]]; then INSTALLED+=("$name"); fi
    done
}
INSTALLED=()

# ---- apt. It waits up to five minutes for another one to end, asks nothing, and keeps configuration files
# ---- that somebody changed.

run_apt() { # [OPTION of run_program...] -- ARGUMENT...
    local -a options=()
    while [[ $1 != -- ]]; do options+=("$1"); shift; done
    shift
    read_proxy
    run_program --to-its-end "${options[@]}" "${PROXY[@]}" DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a APT_LISTCHANGES_FRONTEND=none \
        apt-get --quiet --yes -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

refresh_with_apt() {
    local -a interrupted=()
    # What an interrupted dpkg left is finished first: apt-get refuses to work before.
    shopt -s nullglob
    interrupted=(/var/lib/dpkg/updates/[0-9]*)
    shopt -u nullglob
    if ((${#interrupted[@]})); then run_program --to-its-end env DEBIAN_FRONTEND=noninteractive dpkg --configure -a --force-confdef --force-confold; fi
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

# What another package needs meanwhile stays, for the system's own autoremove.
remove_with_apt() { # NAME...
    local line others=''
    keep_installed "$@"
    if ((${#INSTALLED[@]} == 0)); then return; fi
    while IFS= read -r line; do
        if [[ $line =~ ^(Remv|Purg)\ ([^ ]+)\  && " ${INSTALLED[*]} " != *" ${BASH_REMATCH[2]} "* ]]; then others+=" ${BASH_REMATCH[2]}"; fi
    done < <(apt-get --simulate --quiet --yes purge -- "${INSTALLED[@]}" 2>/dev/null)
    if [[ $others ]]; then
        run_program apt-mark auto -- "${INSTALLED[@]}" || return
        write_event warning text "the packages ${INSTALLED[*]} stay, because$others came later and needs some of them; apt-get autoremove removes what nothing needs"
        return
    fi
    run_apt -- purge -- "${INSTALLED[@]}"
}

# ---- zypper. Its exit codes: 102 a reboot is needed, 103 it was itself updated and wants to run again,
# ---- 106 a repository was skipped, 107 a package's script failed, the package is installed. Source: man zypper.

run_zypper() { # ARGUMENT...
    local -i try
    read_proxy
    for try in 1 2; do
        run_program --to-its-end --accept '0 102 103 106 107' --todo 'What its exit codes mean is in: man zypper' \
            "${PROXY[@]}" ZYPP_LOCK_TIMEOUT=300 zypper --non-interactive "$@" || return
        case $EXIT_CODE in
            102) RUN_REBOOT=true ;;
            103) continue ;;
            106) write_event warning text 'zypper skipped a repository that could not be refreshed' ;;
            107) write_event warning text 'the script of a package failed; the package itself is installed' ;;
        esac
        return 0
    done
}

refresh_with_zypper() {
    run_zypper refresh
}

# The plan as XML, one <solvable> a line; those to be installed stand between <to-install> and </to-install>.
read_new_packages_zypper() { # NAME...
    local line plan='' inside=''
    while IFS= read -r line; do
        case $line in
            *'<to-install>'*) inside=1 ;;
            *'</to-install>'*) inside='' ;;
        esac
        if [[ $inside && $line =~ \<solvable\ type=\"package\"\ name=\"([^\"]+)\" ]]; then plan+=" ${BASH_REMATCH[1]}"; fi
    done < <(ZYPP_LOCK_TIMEOUT=300 zypper --non-interactive --xmlout --no-refresh install --dry-run --no-recommends -- "$@" 2>/dev/null)
    REPLY=$plan
}

install_with_zypper() { # NAME...
    run_zypper install --no-recommends --no-confirm -- "$@"
    # 102: a package that is now installed wants a reboot; 2: this zypper is too old to be asked.
    run_program --accept '0 2 102' env ZYPP_LOCK_TIMEOUT=300 zypper --non-interactive needs-rebooting
    if ((EXIT_CODE == 102)); then RUN_REBOOT=true; fi
}

remove_with_zypper() { # NAME...
    local line others='' inside=''
    keep_installed "$@"
    if ((${#INSTALLED[@]} == 0)); then return; fi
    while IFS= read -r line; do
        case $line in
            *'<to-remove>'*) inside=1 ;;
            *'</to-remove>'*) inside='' ;;
        esac
        if [[ $inside && $line =~ \<solvable\ type=\"package\"\ name=\"([^\"]+)\" && " ${INSTALLED[*]} " != *" ${BASH_REMATCH[1]} "* ]]; then others+=" ${BASH_REMATCH[1]}"; fi
    done < <(ZYPP_LOCK_TIMEOUT=300 zypper --non-interactive --xmlout --no-refresh remove --dry-run --no-clean-deps -- "${INSTALLED[@]}" 2>/dev/null)
    if [[ $others ]]; then
        write_event warning text "the packages ${INSTALLED[*]} stay, because$others came later and needs some of them"
        return
    fi
    run_zypper remove --no-clean-deps -- "${INSTALLED[@]}"
}
