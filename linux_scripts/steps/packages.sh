# ---- step: packages ------------------------------------------------------------------------------------
# NumPy, Matplotlib, Tornado, pyzmq, IPython, ipykernel and notebook with all they need.
# From wheels: in a virtual environment, exactly as the lock says, each with its hash. uv installs them, or pip
# where the inventory says so; uv itself comes from the lock too. The folder is named after the lock: another
# lock makes another environment beside the one in use.
# From the distribution, where the inventory says so: its own packages, as old as they are there.

ENVIRONMENT=$PROGRAMS/env-${NB_PACKAGES_LOCK_SHA256:0:8}
LOCK_MARK=$ENVIRONMENT/nbserver.lock               # written when all is there: the lock's hash, what was installed
NOTEBOOK_PACKAGES=()                               # of the distribution; none where wheels are used
NOTEBOOK_PYTHON=$ENVIRONMENT/bin/python            # the program that runs the server

step packages 'the packages of the notebook server are installed'

packages_test() {
    local name
    local -a lines=() folders=()
    choose_packages
    if ((${#NOTEBOOK_PACKAGES[@]})); then
        read_packages "${NOTEBOOK_PACKAGES[@]}"
        for name in "${NOTEBOOK_PACKAGES[@]}"; do
            if [[ ! ${PACKAGES[$name]} ]]; then difference "package $name" '' installed; fi
        done
        return
    fi
    if [[ -r $LOCK_MARK ]]; then mapfile -t lines <"$LOCK_MARK"; fi
    # The program is a link to the distribution's Python: when that one was replaced, it leads nowhere.
    if [[ ${lines[0]:-} != "$NB_PACKAGES_LOCK_SHA256" || ! -x $NOTEBOOK_PYTHON ]]; then difference packages '' "$ENVIRONMENT"; return; fi
    folders=("$ENVIRONMENT"/lib/python3.*/site-packages)
    for name in "${lines[@]:1}"; do
        if [[ ! -d ${folders[0]}/$name ]]; then difference "package ${name%.dist-info}" '' installed; fi
    done
}

packages_apply() {
    if ((${#NOTEBOOK_PACKAGES[@]})); then install_packages "${NOTEBOOK_PACKAGES[@]}"
    else make_environment
    fi
}

choose_packages() {
    if [[ $NB_PACKAGES_SOURCE != distribution ]]; then return; fi
    if [[ $NB_PYTHON_VERSION ]]; then fail 'packages.source = "distribution" comes with the Python that its packages were made for. Leave python.version out of the inventory'; fi
    NOTEBOOK_PYTHON=$PYTHON                        # of the step python
    case "$PACKAGE_MANAGER $SYSTEM_ID" in
        apt\ *) NOTEBOOK_PACKAGES=(jupyter-notebook python3-ipykernel python3-matplotlib python3-numpy) ;;
        *\ opensuse-tumbleweed) NOTEBOOK_PACKAGES=(python313-notebook python313-ipykernel python313-matplotlib python313-numpy) ;;
        *) fail "$SYSTEM_NAME has no packages of the notebook server. Choose packages.source = \"wheels\" in the inventory" ;;
    esac
}

make_environment() {
    local program line todo='If a package could not be fetched: check packages.index_url and downloads.proxy in the inventory. If one has no build for this Python: choose another python.version'
    local -a only=(--require-hashes --no-deps --only-binary :all:) mark=()

    add_missing_parents "$PROGRAMS"
    add_folder "$PROGRAMS" "$PROGRAM_OWNER" 755
    save_before folder "$ENVIRONMENT" ''
    rm -rf --one-file-system -- "$ENVIRONMENT"
    program=$(readlink -e -- "$PYTHON")             # python3 may be another one after an upgrade
    if [[ $NB_PACKAGES_INDEX_URL ]]; then only+=(--index-url "$NB_PACKAGES_INDEX_URL"); fi
    read_package_environment

    write_event progress what 'making the virtual environment'
    run_program "${PROXY[@]}" "$program" -I -m venv "$ENVIRONMENT"
    printf '%s\n' "${LOCK[@]}" >"$ENVIRONMENT/lock.txt"
    read_own_package_environment
    if [[ $NB_PACKAGES_INSTALLER == pip ]]; then
        write_event progress what 'installing packages with pip'
        run_program --todo "$todo" "${PROXY[@]}" "$NOTEBOOK_PYTHON" -I -m pip install --no-cache-dir "${only[@]}" --requirement "$ENVIRONMENT/lock.txt"
    else
        for line in "${LOCK[@]}"; do
            if [[ $line == uv==* ]]; then printf '%s\n' "$line"; fi
        done >"$ENVIRONMENT/uv-lock.txt"
        write_event progress what 'fetching uv'
        run_program --todo "$todo" "${PROXY[@]}" "$NOTEBOOK_PYTHON" -I -m pip install --no-cache-dir "${only[@]}" --requirement "$ENVIRONMENT/uv-lock.txt"
        write_event progress what 'installing packages with uv'
        run_program --todo "$todo" "${PROXY[@]}" "$ENVIRONMENT/bin/uv" pip install --python "$NOTEBOOK_PYTHON" \
            --cache-dir "$ENVIRONMENT/cache" --link-mode hardlink --compile-bytecode "${only[@]}" --requirement "$ENVIRONMENT/lock.txt"
        rm -rf -- "$ENVIRONMENT/cache"
    fi
    # Where SELinux is on, files get the labels of their place.
    if [[ -e /sys/fs/selinux/enforce && $(type -P restorecon) ]]; then run_program restorecon -R "$ENVIRONMENT"; fi

    mark=("$ENVIRONMENT"/lib/python3.*/site-packages/*.dist-info)
    printf '%s\n' "$NB_PACKAGES_LOCK_SHA256" "${mark[@]##*/}" >"$LOCK_MARK.new"
    mv -T -- "$LOCK_MARK.new" "$LOCK_MARK"
}

# PROXY: what Python's tools need to know of this host. Other configuration of theirs is not used: its files are
# switched off, its variables taken away. They trust the authorities that this host trusts.
# In user scope the user's own configuration holds: what is installed is fixed by its hash.
read_package_environment() {
    local file
    if [[ $NB_SCOPE == user ]]; then
        read_proxy
        PROXY+=(PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_PROGRESS_BAR=off UV_NO_PROGRESS=1)
        return
    fi
    unset "${!PIP_@}" "${!UV_@}"
    read_proxy
    PROXY+=(PIP_CONFIG_FILE=/dev/null PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore UV_NO_CONFIG=1 UV_NO_PROGRESS=1)
    for file in /etc/ssl/certs/ca-certificates.crt /etc/ssl/ca-bundle.pem; do
        if [[ -r $file ]]; then PROXY+=("PIP_CERT=$file" "SSL_CERT_FILE=$file"); return; fi
    done
}

# In user scope uv gets what the user's pip is configured for, which it does not read itself. Of a name the
# environment counts most, then pip's section install, then global; of two such lines the later one, because
# some releases of pip list every file. In machine scope there is nothing to read.
read_own_package_environment() {
    local line file name
    local -A own=() rank=() ranks=([global]=1 [install]=2 [:env:]=3)
    if [[ $NB_SCOPE != user ]]; then return; fi
    while IFS= read -r line; do
        if [[ ! $line =~ ^(global|install|:env:)\.([a-z-]+)=\'(.*)\'$ ]]; then continue; fi
        name=${BASH_REMATCH[2]}
        if ((${ranks[${BASH_REMATCH[1]}]} >= ${rank[$name]:-0})); then
            rank[$name]=${ranks[${BASH_REMATCH[1]}]}
            own[$name]=${BASH_REMATCH[3]//\\n/ }
        fi
    done < <("$NOTEBOOK_PYTHON" -I -m pip config list 2>/dev/null)
    if [[ ! $NB_PACKAGES_INDEX_URL ]]; then
        if [[ ${own[index-url]:-} ]]; then PROXY+=("UV_DEFAULT_INDEX=${own[index-url]}"); fi
        if [[ ${own[extra-index-url]:-} ]]; then PROXY+=("UV_INDEX=${own[extra-index-url]}" UV_INDEX_STRATEGY=unsafe-best-match); fi
        if [[ ${own[find-links]:-} ]]; then PROXY+=("UV_FIND_LINKS=${own[find-links]// /,}"); fi
    fi
    if [[ ! $NB_DOWNLOADS_PROXY && ${own[proxy]:-} ]]; then PROXY+=("http_proxy=${own[proxy]}" "https_proxy=${own[proxy]}"); fi
    for file in "${SSL_CERT_FILE:-}" "${own[cert]:-}" /etc/ssl/certs/ca-certificates.crt /etc/ssl/ca-bundle.pem; do
        if [[ -r $file ]]; then PROXY+=("SSL_CERT_FILE=$file"); return; fi
    done
}
