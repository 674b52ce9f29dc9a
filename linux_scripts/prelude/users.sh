# ---- prelude: the user that the service runs as ---------------------------------------------------------

has_user() { # NAME
    getent passwd "$1" >/dev/null
}

# Kind user: a system user with a group of its own, who cannot log in.
add_user() { # NAME HOME
    if has_user "$1"; then return; fi
    save_before user "$1" ''
    run_program useradd --system --user-group --home-dir "$2" --no-create-home --shell /usr/sbin/nologin "$1"
}

restore_user() { # NAME
    # 6: there is no such user; the group goes with its user on some systems and stays on others.
    run_program --accept '0 6' --todo 'End the processes of that user' userdel "$1" || return
    run_program --accept '0 6' groupdel "$1"
}
