# ---- prelude: the user that the service runs as ---------------------------------------------------------
# A system user with a group of its own, who cannot log in and may do nothing else. Whoever can log in to the notebook
# can do what this user can: an account that can do more is refused, whoever made it and since whenever it can.

has_user() { # NAME
    getent passwd "$1" >/dev/null
}

has_group() { # NAME
    getent group "$1" >/dev/null
}

# Kind user: a system user with a group of its own, who cannot log in.
add_user() { # NAME HOME
    local -a options=(--user-group)
    if has_user "$1"; then return; fi
    save_before user "$1" ''
    if has_group "$1"; then options=(--no-user-group --gid "$1"); fi   # its group is there: a run was cut off
    run_program useradd --system "${options[@]}" --home-dir "$2" --no-create-home --shell /usr/sbin/nologin "$1"
}

restore_user() { # NAME
    if ((${#USER_IS_KEPT_FOR[@]})); then
        write_event warning text "the user $1 stays, because files in ${USER_IS_KEPT_FOR[*]} belong to it; another\
 user could get its number. When they are gone, or belong to somebody else, run undo again"
        LINE_STAYS=1
        return
    fi
    # 6: there is no such user; the group goes with its user on some systems and stays on others.
    run_program --accept '0 6' --todo 'End the processes of that user' userdel "$1" || return
    run_program --accept '0 6' groupdel "$1"
}

# Refuses an account that add_user would not have made, and what would keep add_user from making one.
compare_account() { # NAME HOME
    if has_user "$1"; then
        read_account_faults "$1" "$2"
        if [[ $REPLY ]]; then
            fail "the user $1 is not as nbserver makes it: $REPLY. Who can log in to the notebook could do what this\
 user can. Take that away (usermod, passwd --lock, gpasswd --delete $1 GROUP), or rename the user if it is\
 somebody else's (usermod --login), then run this again"
        fi
    elif has_group "$1" && ! has_record user "$1"; then
        fail "there is a group $1 without a user of that name. Remove it (groupdel $1), or rename it (groupmod\
 --new-name), then run this again"
    fi
}

# REPLY: what is different about the account, wherever its entries come from; '' where nothing is.
read_account_faults() { # NAME HOME
    local uid=0 gid=0 home='' shell='' twin='' group='' password='' groups='' name='' number faults=''
    IFS=: read -r _ _ uid gid _ home shell < <(getent passwd "$1") || true
    IFS=: read -r twin _ < <(getent passwd "$uid") || true      # the first one with this number
    IFS=: read -r group _ < <(getent group "$gid") || true
    IFS=: read -r _ password _ < <(getent shadow "$1") || true
    read -r _ groups < <(getent initgroups "$1") || true
    read_last_system_number
    if ((uid < 1 || uid > REPLY)); then
        faults+=", its number is $uid, and a system user's number is from 1 to $REPLY"
    fi
    if [[ $twin != "$1" ]]; then faults+=", its number is also that of ${twin:-another user}"; fi
    if [[ $group != "$1" ]]; then faults+=", its primary group is ${group:-$gid}, not $1"; fi
    for number in $groups; do
        if [[ $number == "$gid" ]]; then continue; fi
        name=''
        IFS=: read -r name _ < <(getent group "$number") || true
        faults+=", it is in the group ${name:-$number}"
    done
    if [[ $home != "$2" ]]; then faults+=", its home folder is $home, not $2"; fi
    case $shell in
        /usr/sbin/nologin | /sbin/nologin | /usr/bin/false | /bin/false) ;;
        *) faults+=", its shell is $shell, not /usr/sbin/nologin" ;;
    esac
    if [[ $password != '!'* && $password != '*'* ]]; then faults+=", it has a password, or no entry in /etc/shadow"; fi
    REPLY=${faults#, }
}

# The highest number of a system user.
read_last_system_number() {
    local file name value
    REPLY=999
    for file in /usr/etc/login.defs /etc/login.defs; do   # what the second one says counts
        if [[ ! -r $file ]]; then continue; fi
        while read -r name value _; do
            if [[ $name == SYS_UID_MAX && $value =~ ^[0-9]{1,9}$ ]]; then REPLY=$((10#$value)); fi
        done <"$file"
    done
}
