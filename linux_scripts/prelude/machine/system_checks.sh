# ---- prelude: system_checks ------------------------------------------------------------------------
# Refuse a host with the wrong system, rights, or clock.

assert_root() {
    if [[ $EUID -ne 0 ]]; then
        fail not-root 'root rights are missing. Run this as root, or with sudo'
    fi
}

assert_systemd() {
    if [[ -d /run/systemd/system ]]; then return; fi
    if [[ $NB_HOST == local ]]; then
        fail no-systemd-locally 'systemd does not run this host, but the notebook server is a systemd unit. '\
'Set scope = "user" for [hosts.local] in the inventory: in user scope, the server runs without systemd'
    fi
    fail no-systemd 'systemd does not run this host, but the notebook server is a systemd unit. '\
'Choose a host that runs systemd'
}

assert_distribution() {
    read_system
    if [[ $PACKAGE_MANAGER ]]; then return; fi
    if [[ $NB_HOST == local ]]; then
        fail unsupported-system-locally 'the system is {name}, but Debian, Ubuntu, openSUSE, and SLES are supported. '\
'Set scope = "user" for [hosts.local] in the inventory: user scope supports other systems' \
            name "${SYSTEM_NAME:-unknown}"
    fi
    fail unsupported-system 'the system is {name}, but Debian, Ubuntu, openSUSE, and SLES are supported. '\
'Choose a host with one of these' \
        name "${SYSTEM_NAME:-unknown}"
}

# openSUSE MicroOS, SLE Micro, and other systems install packages only in a snapshot for the next boot.
assert_packages_installable() {
    read_mount /usr
    if [[ $MOUNT_OPTIONS != *,ro,* && ! -e /run/ostree-booted ]]; then return; fi
    fail system-read-only '{name} is a transactional or read-only system: packages cannot be installed while it runs. '\
'Choose a host with a writable /usr' \
        name "${SYSTEM_NAME:-this host}"
}

# A certificate from a host with a wrong clock is not valid yet, or expires too early. The workstation sends its time.
assert_clock() {
    local now host_time
    local -i seconds
    if [[ ! $RUN_TIME ]]; then return; fi
    printf -v now '%(%s)T' -1
    printf -v host_time '%(%Y-%m-%dT%H:%M:%SZ)T' "$now"
    seconds=$((now - $(date --utc --date="$RUN_TIME" +%s)))
    seconds=${seconds#-}
    if ((seconds <= 300)); then return; fi
    if ((seconds > 86400)); then
        fail clock-wrong 'the clock of this host says {host_time}, and that of the workstation says '\
'{workstation_time}. Set the wrong one (on this host: timedatectl set-ntp true), then run this again' \
            host_time "$host_time" workstation_time "$RUN_TIME"
    fi
    warn clock-differs 'the clock of this host says {host_time}, and that of the workstation says '\
'{workstation_time}. Set the wrong one (on this host: timedatectl set-ntp true)' \
        host_time "$host_time" workstation_time "$RUN_TIME"
    RUN_TIME=''                                    # the warning is reported once per run
}
