# ---- prelude: system_checks ------------------------------------------------------------------------
# Refuse a host with the wrong system, rights, or clock.

assert_root() {
    met is-root 'the script is running as root'
    if [[ $EUID -ne 0 ]]; then
        fail not-root 'root privileges are required. Run nbserver, or this script, as root or with sudo'
    fi
}

assert_systemd() {
    met runs-systemd 'this host runs systemd'
    if [[ -d /run/systemd/system ]]; then return 0; fi
    if [[ $NB_HOST == local ]]; then
        fail no-systemd-locally 'the notebook server runs as a systemd unit, but this machine does not run systemd. '\
'Set scope = "user" for [hosts.local] in the inventory, which does not require systemd'
    fi
    fail no-systemd 'the notebook server runs as a systemd unit, but this host does not run systemd. Use a host that '\
'runs systemd'
}

assert_distribution() {
    met system-supported 'this host runs {name}' name "$SYSTEM_NAME"
    if [[ $PACKAGE_MANAGER ]]; then return 0; fi
    if [[ $NB_HOST == local ]]; then
        fail unsupported-system-locally 'this machine runs {name}, but machine scope supports only Debian, Ubuntu, '\
'openSUSE, and SLES. Set scope = "user" for [hosts.local] in the inventory' \
            name "${SYSTEM_NAME:-an unknown system}"
    fi
    fail unsupported-system 'this host runs {name}, but only Debian, Ubuntu, openSUSE, and SLES are supported. Use a '\
'host that runs one of these systems' \
        name "${SYSTEM_NAME:-an unknown system}"
}

# openSUSE MicroOS, SLE Micro, and other systems install packages only in a snapshot for the next boot.
assert_packages_installable() {
    met packages-installable '/usr is writable, so packages can be installed'
    read_mount /usr
    if [[ $MOUNT_OPTIONS != *,ro,* && ! -e /run/ostree-booted ]]; then return 0; fi
    fail system-read-only '{name} is a transactional or read-only system, so packages cannot be installed while it is '\
'running. Use a host with a writable /usr' \
        name "${SYSTEM_NAME:-this host}"
}

# A certificate from a host with a wrong clock is not valid yet, or expires too early. The workstation sends its time.
assert_clock() {
    local now host_time earliest latest
    local -i seconds
    if [[ ! $RUN_TIME ]]; then return 0; fi
    printf -v now '%(%s)T' -1
    printf -v earliest '%(%Y-%m-%dT%H:%M:%SZ)T' $((now - 300))
    printf -v latest '%(%Y-%m-%dT%H:%M:%SZ)T' $((now + 300))
    # Times in this form have the order of their texts. A finding has the seconds.
    if [[ ! $FINDING && $RUN_TIME > $earliest && $RUN_TIME < $latest ]]; then return 0; fi
    printf -v host_time '%(%Y-%m-%dT%H:%M:%SZ)T' "$now"
    seconds=$((now - $(date --utc --date="$RUN_TIME" +%s)))
    seconds=${seconds#-}
    met clock-right 'the clocks on this host and on the workstation differ by {seconds} s' seconds "$seconds"
    if ((seconds <= 300)); then return 0; fi
    if ((seconds > 86400)); then
        fail clock-wrong 'the clock on this host shows {host_time}, but the clock on the workstation shows '\
'{workstation_time}. Correct the wrong clock (on this host, run timedatectl set-ntp true), then try again' \
            host_time "$host_time" workstation_time "$RUN_TIME"
    fi
    warn clock-differs 'the clock on this host shows {host_time}, but the clock on the workstation shows '\
'{workstation_time}. Correct the wrong clock (on this host, run timedatectl set-ntp true)' \
        host_time "$host_time" workstation_time "$RUN_TIME"
    RUN_TIME=''                                    # the warning is reported once per run
}
