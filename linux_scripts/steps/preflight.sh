# ---- step: preflight -----------------------------------------------------------------------------------
# Refuses what cannot work, before anything is changed. It changes nothing itself.

step preflight 'this host can carry the notebook server'

preflight_test() {
    local should=x86_64 own='' program
    if [[ $NB_ARCHITECTURE == arm64 ]]; then should=aarch64; fi
    write_foreign_configuration
    if [[ $HOSTTYPE != "$should" ]]; then fail "the processor is $HOSTTYPE, and the inventory says architecture = \"$NB_ARCHITECTURE\". Correct the inventory"; fi
    if [[ $NB_SCOPE == user ]]; then user_preflight; return; fi
    if ((EUID)); then fail 'root rights are missing. Run this as root, or with sudo'; fi
    if [[ $NB_HOST == local ]]; then own='. A server of your own in user scope may do: scope = "user" for [hosts.local] in the inventory'; fi
    if [[ ! -d /run/systemd/system ]]; then fail "systemd does not run this host, and the notebook server is a unit of it$own"; fi
    for program in flock setsid setpriv sha256sum stat find getent useradd systemctl; do
        if [[ ! $(type -P "$program") ]]; then fail "the program $program is missing. Install the package that has it"; fi
    done

    read_system
    if [[ ! $PACKAGE_MANAGER ]]; then fail "this is ${SYSTEM_NAME:-an unknown system}; this script knows Debian, Ubuntu, openSUSE and SLES$own"; fi

    assert_notebook_folder_allowed
    assert_own_folders_safe
    assert_notebook_folder_safe
    assert_account "$SERVICE_USER" "$WORK_FOLDER"
    compare_space "${PROGRAMS%/*}"
    if [[ $RUN_TIME ]]; then compare_clocks; fi
    compare_port
}

user_preflight() {
    local program
    for program in flock setsid sha256sum stat; do
        if [[ ! $(type -P "$program") ]]; then fail "the program $program is missing. Install the package that has it"; fi
    done
    assert_notebook_folder_allowed
    assert_own_folders_safe
    assert_notebook_folder_safe
    compare_space "$HOME_FOLDER"
    compare_port
}

# An environment takes about 1.5 GB, and so do the distribution's packages. A new one is made beside the one in use.
compare_space() { # FOLDER
    local free folder=$1
    if [[ $NB_PACKAGES_SOURCE == distribution ]]; then
        if [[ -e /usr/bin/jupyter-notebook ]]; then return; fi
        folder=/usr
    else
        if [[ -e $LOCK_MARK ]]; then return; fi
        if [[ -d $PROGRAMS ]]; then folder=$PROGRAMS; fi
    fi
    free=$(stat --file-system --format='%a*%S' -- "$folder")
    free=$((free))
    if ((free < 2000000000)); then fail "only $((free / 1000000)) MB are free in $folder, and 2000 are needed. Make room"; fi
}

compare_port() {
    if is_listening "$NB_NOTEBOOK_PORT" && ! is_own_port "$REPLY"; then
        fail "port $NB_NOTEBOOK_PORT is taken by another program (ss --listening --tcp --processes shows it). Stop it, or choose another notebook.port in the inventory"
    fi
}

# Whether our server has one of these sockets. That it runs is not enough: it may listen on another port. Where
# the kernel does not tell, it is.
is_own_port() { # ' INODE...'
    local link pid=0 told=''
    if is_unit; then
        read_unit "$SERVICE_UNIT" MainPID
        pid=${UNIT[MainPID]:-0}
    else
        read_process "$PROCESS_FILE"
        pid=${PROCESS:-0}
    fi
    if ((pid == 0)); then return 1; fi
    while IFS= read -r link; do
        told=1
        if [[ $link == socket:* && "$1 " == *" ${link//[!0-9]/} "* ]]; then return 0; fi
    done < <(readlink -- "/proc/$pid/fd/"*)
    [[ ! $told ]]
}

# What other installations have left on this host to configure a Jupyter, an IPython or (in machine scope) pip and
# uv, and kernels that are not in the environment. The starter and the step packages see to it that none is used.
# One warning in a run.
write_foreign_configuration() {
    local place named=''
    local -i count=0
    local -a places=({/usr/local/etc,/etc}/jupyter/jupyter*_config.{py,json}
        {/usr/local/etc,/etc}/ipython/{*_config.{py,json},startup/*.{py,ipy}} /usr/local/share/jupyter/kernels/*)
    if [[ $FOREIGN_IS_TOLD ]]; then return; fi
    FOREIGN_IS_TOLD=1
    # Packages of the distribution have their own files here.
    if [[ $NB_PACKAGES_SOURCE != distribution ]]; then
        places+=({/usr/local/etc,/etc}/jupyter/jupyter*_config.d/*.json /usr/share/jupyter/kernels/*)
    fi
    if [[ $NB_SCOPE == user ]]; then
        places+=("$HOME_FOLDER"/.jupyter/jupyter*_config.{py,json} "$HOME_FOLDER"/.local/share/jupyter/kernels/*
            "$HOME_FOLDER"/.ipython/profile_default/{*_config.{py,json},startup/*.{py,ipy}})
    else
        places+=(/etc/{xdg/pip/,}pip.conf /etc/{xdg/,}uv/uv.toml)
    fi
    for place in "${places[@]}"; do
        if [[ ! -e $place || $place == */kernels/python3 ]]; then continue; fi
        count+=1
        if ((count <= 10)); then named+=", $place"; fi
    done
    if ((count > 10)); then named+=", ... ($count in all)"; fi
    if [[ $named ]]; then
        write_event warning text "configuration from other installations was found and is ignored: ${named:2}"
    fi
}
FOREIGN_IS_TOLD=''

preflight_apply() {
    fail 'preflight has nothing to change'
}

# A certificate that is made with a wrong clock is not valid yet, or not for long.
compare_clocks() {
    local theirs ours apart words
    theirs=$(date --utc --date="$RUN_TIME" +%s)
    printf -v ours '%(%s)T' -1
    apart=$((ours - theirs)) apart=${apart#-}
    if ((apart <= 300)); then return; fi
    printf -v words '%(%Y-%m-%dT%H:%M:%SZ)T' "$ours"
    words="this host's clock says $words, and the workstation's $RUN_TIME. Set the one that is wrong (on this host: timedatectl set-ntp true)"
    if ((apart > 86400)); then fail "$words, then run this again"; fi
    RUN_TIME=''   # told once
    write_event warning text "$words"
}

# Whether some program listens on the TCP port: state 0A in the kernel's own list. REPLY has the sockets' inodes.
is_listening() { # PORT
    local port file state at inode
    REPLY=''
    printf -v port %04X "$1"
    for file in /proc/net/tcp /proc/net/tcp6; do
        if [[ ! -r $file ]]; then continue; fi
        while read -r _ at _ state _ _ _ _ _ inode _; do
            if [[ $state == 0A && $at == *":$port" ]]; then REPLY+=" $inode"; fi
        done <"$file"
    done
    [[ $REPLY ]]
}
