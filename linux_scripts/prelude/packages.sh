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
    # Unknown names make the answer's exit code 1. What is said of them begins with a longer word, if anything is.
    while read -r state name version; do
        if [[ $state == ii ]]; then PACKAGES[$name]=$version; fi
        if [[ ${#state} -le 3 && $state != ?n ]]; then PACKAGE_TRACES[$name]=1; fi
    done < <(
        case $PACKAGE_MANAGER in
            apt) dpkg-query --show --showformat='${db:Status-Abbrev} ${Package} ${Version}\n' -- "$@" 2>/dev/null || true ;;
            zypper) rpm --query --queryformat 'ii %{NAME} %{VERSION}-%{RELEASE}\n' -- "$@" 2>/dev/null || true ;;
        esac
    )
}

# Kind packages: what one installation brings, its dependencies too. Undo removes these and no others.
# `before` names those of them that had been there once and had left their configuration files.
install_packages() { # NAME...
    local name
    local -a missing=() new=()
    read_packages "$@"
    for name in "$@"; do
        if [[ ! ${PACKAGES[$name]} ]]; then missing+=("$name"); fi
    done
    if ((${#missing[@]} == 0)); then return; fi
    refresh_packages
    "read_new_packages_$PACKAGE_MANAGER" "${missing[@]}"
    if [[ $REPLY ]]; then
        for name in $REPLY; do new+=("$name"); done
        keep_installed "${new[@]}"
        save_before packages "$PACKAGE_MANAGER ${new[*]}" "${INSTALLED[*]}"
    fi
    write_event progress what "installing ${missing[*]}"
    "install_with_$PACKAGE_MANAGER" "${missing[@]}"
}

# Those that others need meanwhile stay, and what they need of the rest.
restore_packages() { # KEY BEFORE
    local name others
    local -a names=() going=() staying=()
    PACKAGE_MANAGER=${1%% *}
    read -r -a names <<<"${1#* }"
    keep_installed "${names[@]}"
    if ((${#INSTALLED[@]} == 0)); then return; fi
    names=("${INSTALLED[@]}")
    read_others "${names[@]}" || return
    others=$REPLY
    if [[ ! $others ]]; then
        "remove_with_$PACKAGE_MANAGER" "$2" "${names[@]}"
        return
    fi
    for name in "${names[@]}"; do
        read_others "$name" || return
        if [[ $REPLY ]]; then staying+=("$name"); else going+=("$name"); fi
    done
    if ((${#going[@]})); then read_others "${going[@]}" || return; fi
    if [[ $REPLY ]]; then staying=("${names[@]}") going=(); fi   # each could go, not all of them
    "keep_with_$PACKAGE_MANAGER" "${staying[@]}" || return
    write_event warning text "the packages ${staying[*]} stay, because$others came later and needs some of them"
    if ((${#going[@]})); then "remove_with_$PACKAGE_MANAGER" "$2" "${going[@]}"; fi
}

# REPLY: what would go along with these packages, beside what came with the same installation (INSTALLED).
read_others() { # NAME...
    local name others=''
    "read_removed_by_$PACKAGE_MANAGER" "$@" || return
    for name in $REPLY; do
        if [[ " ${INSTALLED[*]} " != *" $name "* ]]; then others+=" $name"; fi
    done
    REPLY=$others
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
