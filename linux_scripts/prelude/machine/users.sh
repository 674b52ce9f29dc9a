# ---- prelude: users --------------------------------------------------------------------------------
# Create the user of the service, and refuse an account that could do more than it should.

# It is a system user with its own group, without login and without other rights. Everybody who can log in to the
# notebook can do what this user can. So an account that can do more is refused, even if nbserver created it and its
# rights were added later.

ACCOUNT_NUMBER='' ACCOUNT_GROUP='' ACCOUNT_HOME='' ACCOUNT_SHELL=''   # of the account that was read last
LINGER_FOLDER=/var/lib/systemd/linger              # has an empty file for each user that lingers
GOOD_ACCOUNT=''                                    # the user that this run has found to be as expected

has_user() { # NAME
    getent passwd "$1" >/dev/null
}

has_group() { # NAME
    getent group "$1" >/dev/null
}

# Kind user.
add_user() { # NAME HOME
    local -a options=(--user-group)
    if has_user "$1"; then return 0; fi
    GOOD_ACCOUNT=''
    save_before user "$1" ''
    if has_group "$1"; then options=(--no-user-group --gid "$1"); fi   # from a run that was interrupted
    run_program useradd --system "${options[@]}" --home-dir "$2" --no-create-home --shell /usr/sbin/nologin "$1"
}

restore_user() { # NAME
    if ((${#USER_IS_KEPT_FOR[@]})); then
        warn user-stays 'the user {user} was kept, because files in {folders} belong to it. Remove these files or '\
'change their owner, then run nbserver undo again' \
            user "$1" folders "${USER_IS_KEPT_FOR[*]}"
        LINE_STAYS=1
        return "$?"
    fi
    end_lingering "$1" || return "$?"
    # 6: the user does not exist. On some systems, userdel removes its group too.
    run_program --accept '0 6' --failure user-not-removed \
        'could not remove the user ({program} exited with code {exit_code}): {output}. Fix this error (for example, '\
'stop the processes that this user runs), then try again' \
        userdel "$1" || return "$?"
    run_program --accept '0 6' groupdel "$1"
}

# Whether systemd runs programs of this user without a login (loginctl enable-linger). Before release 0.7.0, code in a
# notebook could switch that on, and so leave the unit.
is_lingering() { # NAME
    [[ -e $LINGER_FOLDER/$1 ]]
}

# Called before "||".
end_lingering() { # NAME
    if ! is_lingering "$1"; then return 0; fi
    read_account "$1"
    rm -f -- "$LINGER_FOLDER/$1" || return "$?"
    if [[ ! $ACCOUNT_NUMBER ]]; then return 0; fi
    run_program --accept '0 5' "${SYSTEMCTL[@]}" stop -- "user@$ACCOUNT_NUMBER.service"
}

# Refuse an account that add_user would not have created, or a group with its name.
assert_account() { # NAME HOME
    met account-usable 'the user {user} has the expected settings or can be created' user "$1"
    if [[ $GOOD_ACCOUNT == "$1" ]]; then return 0; fi
    read_account "$1"
    if [[ ! $ACCOUNT_NUMBER ]]; then
        assert_no_group "$1"
        return "$?"
    fi
    assert_account_number "$1"
    assert_account_number_unique "$1"
    if ! has_only_own_group "$1"; then
        assert_account_primary_group "$1"
        assert_account_groups "$1"
    fi
    assert_no_members "$1"
    assert_account_home "$1" "$2"
    assert_account_shell "$1"
    assert_account_locked "$1"
    GOOD_ACCOUNT=$1
}

assert_no_group() { # NAME
    if has_group "$1" && ! has_record user "$1"; then
        fail group-without-user 'the group {group} exists, but the user {group} does not. Run groupdel {group}, or '\
'rename the group with groupmod --new-name NEW_NAME {group}, then try again' \
            group "$1"
    fi
}

read_account() { # NAME
    ACCOUNT_NUMBER='' ACCOUNT_GROUP='' ACCOUNT_HOME='' ACCOUNT_SHELL=''
    IFS=: read -r _ _ ACCOUNT_NUMBER ACCOUNT_GROUP _ ACCOUNT_HOME ACCOUNT_SHELL < <(exec getent passwd "$1") || true
}

assert_account_number() { # NAME
    read_last_system_number
    if ((ACCOUNT_NUMBER < 1 || ACCOUNT_NUMBER > REPLY)); then
        fail account-number 'the user {user} has the user ID {number}, but a system user must have an ID from 1 to '\
'{last}. If a person uses this account, rename it with usermod --login NEW_NAME {user}; otherwise, run userdel '\
'{user}. Then try again' \
            user "$1" number "$ACCOUNT_NUMBER" last "$REPLY"
    fi
}

assert_account_number_unique() { # NAME
    local first=''
    IFS=: read -r first _ < <(exec getent passwd "$ACCOUNT_NUMBER") || true   # the first account with this number
    if [[ $first != "$1" ]]; then
        fail account-number-shared 'the users {user} and {other} have the same user ID ({number}) and therefore the '\
'same rights. Run usermod --uid NEW_ID {user} or userdel {user}, then try again' \
            user "$1" other "${first:-unknown}" number "$ACCOUNT_NUMBER"
    fi
}

# Members of the group could read the key of the server.
assert_no_members() { # NAME
    local members='' number=''
    IFS=: read -r _ _ number members < <(exec getent group "$1") || true
    if [[ ${members//"$1"/} == *[!,]* ]]; then
        fail account-group-members 'these users are in the group {group}, so they could read the private key of the '\
'notebook server: {members}. Remove each of them with gpasswd --delete USER {group}, then try again. To let them read '\
'notebooks, use access control lists (setfacl)' \
            group "$1" members "$members"
    fi
    if ! can_find_primary_member "$number" "$1"; then
        fail users-not-listed 'the users of this host could not be listed within 60 seconds, so other users whose '\
'primary group is {group} could not be found. If this host lists all users of a directory, turn that off (enumerate = '\
'false in sssd.conf), then try again' \
            group "$1"
    fi
    if [[ $REPLY ]]; then
        fail account-group-primary 'the primary group of the user {user} is {group}, so this user could read the '\
'private key of the notebook server. Run usermod --gid OTHER_GROUP {user}, then try again' \
            user "$REPLY" group "$1"
    fi
}

# Whether the user is in one group only, which has the same name.
has_only_own_group() { # NAME
    local groups=''
    read -r groups < <(exec id --groups --name -- "$1") || true
    [[ $groups == "$1" ]]
}

assert_account_primary_group() { # NAME
    local group=''
    IFS=: read -r group _ < <(exec getent group "$ACCOUNT_GROUP") || true
    if [[ $group != "$1" ]]; then
        fail account-primary-group 'the user {user} has the primary group {group}, expected {user}. Run usermod --gid '\
'{user} {user}, then try again' \
            user "$1" group "${group:-$ACCOUNT_GROUP}"
    fi
}

assert_account_groups() { # NAME
    local groups='' group number
    read -r _ groups < <(exec getent initgroups "$1") || true
    for number in $groups; do
        if [[ $number == "$ACCOUNT_GROUP" ]]; then continue; fi
        group=''
        IFS=: read -r group _ < <(exec getent group "$number") || true
        fail account-in-group 'the user {user} is in the group {group}, so everyone who can log in to the notebook '\
'server would have the rights of this group. Run gpasswd --delete {user} {group}, then try again' \
            user "$1" group "${group:-$number}"
    done
}

assert_account_home() { # NAME HOME
    if [[ $ACCOUNT_HOME != "$2" ]]; then
        fail account-home 'the user {user} has the home folder {home}, expected {expected}. If a person uses this '\
'account, rename it with usermod --login NEW_NAME {user}; otherwise, run usermod --home {expected} {user}. Then try '\
'again' \
            user "$1" home "$ACCOUNT_HOME" expected "$2"
    fi
}

assert_account_shell() { # NAME
    case $ACCOUNT_SHELL in
        /usr/sbin/nologin | /sbin/nologin | /usr/bin/false | /bin/false) return 0 ;;
    esac
    fail account-shell 'the user {user} has the login shell {shell}, expected /usr/sbin/nologin. Run usermod --shell '\
'/usr/sbin/nologin {user}, then try again' \
        user "$1" shell "$ACCOUNT_SHELL"
}

# In the second field of shadow(5), a password that begins with ! or * cannot be used.
assert_account_locked() { # NAME
    local name='' password=''
    IFS=: read -r name password _ < <(exec getent shadow "$1") || true
    if [[ -z $name ]]; then
        fail account-without-shadow 'the account {user} has no entry in /etc/shadow. Run pwconv, then try again' \
            user "$1"
    fi
    if [[ $password != '!'* && $password != '*'* ]]; then
        fail account-password 'the account {user} must be locked, but users can log in to it with a password. Run '\
'passwd --lock {user}, then try again' \
            user "$1"
    fi
}

# REPLY: the highest number of a system user.
read_last_system_number() {
    local file name value
    REPLY=999
    for file in /usr/etc/login.defs /etc/login.defs; do   # the second file takes precedence
        if [[ ! -r $file ]]; then continue; fi
        while read -r name value _; do
            if [[ $name == SYS_UID_MAX && $value =~ ^[0-9]{1,9}$ ]]; then REPLY=$((10#$value)); fi
        done <"$file"
    done
}
