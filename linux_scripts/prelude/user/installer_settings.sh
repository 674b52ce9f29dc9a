# ---- prelude: installer_settings -------------------------------------------------------------------
# Choose the settings of pip and uv: index, proxy, and trusted authorities of this user.

# Packages come from where pip's own configuration says, and only these of its options are used. uv gets the same. All
# other configuration of pip and uv is ignored, because it could change what is installed, or where.
USED_OPTIONS=(index-url extra-index-url no-index find-links proxy cert client-cert trusted-host keyring-provider)

USED_VARIABLES=()                                  # PIP_INDEX_URL=... and so on, as this script received them
declare -A CONFIGURED=()                           # option -> value, of these options in pip's configuration
USED_FROM_PIP=() IGNORED_FROM_PIP=()               # the names of options that are used, or ignored
USED_AUTHORITIES=''                                # the file with authorities that programs of this user trust

# PROXY: the environment of pip and uv, until read_own_package_environment adds the user's settings.
read_package_environment() {
    local option name
    USED_VARIABLES=()
    for option in config-file "${USED_OPTIONS[@]}"; do
        name=PIP_${option^^}
        name=${name//-/_}
        if [[ ${!name:-} ]]; then USED_VARIABLES+=("$name=${!name}"); fi
    done
    USED_AUTHORITIES=${REQUESTS_CA_BUNDLE:-${CURL_CA_BUNDLE:-${SSL_CERT_FILE:-}}}
    unset "${!PIP_@}" "${!UV_@}" REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
    read_proxy
    PROXY+=(PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_NO_PROGRESS=1 PIP_PROGRESS_BAR=off)
    PROXY+=(PIP_CONFIG_FILE=/dev/null UV_NO_CONFIG=1 UV_SYSTEM_CERTS=1)
}

# Which Python the environment will have is not asked: nothing is far away from this machine.
read_future_python() {
    REPLY=''
}

# After create_environment, which brings the pip that reads the configuration.
read_own_package_environment() {
    read_pip_configuration
    USED_FROM_PIP=()
    if [[ ! $NB_PACKAGES_INDEX_URL && $NB_DOWNLOADS_SOURCE == direct ]]; then use_own_index; fi
    if [[ ! $NB_DOWNLOADS_PROXY ]]; then use_option proxy http_proxy https_proxy; fi
    use_option client-cert PIP_CLIENT_CERT SSL_CLIENT_CERT
    use_own_authorities
    if ((${#USED_FROM_PIP[@]})); then
        INSTALLER_SETTINGS+=", pip ${USED_FROM_PIP[*]}"
        note pip-settings-used 'nbserver uses these options from '\
'the pip configuration: {options}' options "${USED_FROM_PIP[*]}"
    fi
    if ((${#IGNORED_FROM_PIP[@]})); then
        note pip-settings-ignored 'nbserver ignores these options in the pip configuration: {options}' \
            options "${IGNORED_FROM_PIP[*]}"
    fi
}

# pip and uv separate several values by spaces; only the folders of UV_FIND_LINKS are separated by commas.
use_own_index() {
    use_option index-url PIP_INDEX_URL UV_DEFAULT_INDEX
    use_option extra-index-url PIP_EXTRA_INDEX_URL UV_INDEX
    if [[ ${CONFIGURED[extra-index-url]:-} ]]; then
        PROXY+=(UV_INDEX_STRATEGY=unsafe-best-match)   # as pip does: the version of the lock from any index
    fi
    use_option find-links PIP_FIND_LINKS
    if [[ ${CONFIGURED[find-links]:-} ]]; then PROXY+=("UV_FIND_LINKS=${CONFIGURED[find-links]// /,}"); fi
    use_option trusted-host PIP_TRUSTED_HOST UV_INSECURE_HOST
    use_option keyring-provider PIP_KEYRING_PROVIDER
    if [[ ${CONFIGURED[keyring-provider]:-} == subprocess ]]; then PROXY+=(UV_KEYRING_PROVIDER=subprocess); fi
    case ${CONFIGURED[no-index]:-} in
        1 | [Tt]rue | [Yy]es | [Oo]n | [Yy] | [Tt])
            USED_FROM_PIP+=(no-index)
            LOCK_OPTIONS+=(--no-index)
            ;;
    esac
}

use_option() { # OPTION VARIABLE...
    local value=${CONFIGURED[$1]:-} name
    if [[ ! $value ]]; then return 0; fi
    USED_FROM_PIP+=("$1")
    for name in "${@:2}"; do PROXY+=("$name=$value"); done
}

# pip and uv trust the same authorities: those of pip's configuration, of the user's environment, or of this host.
use_own_authorities() {
    trust_authorities "${CONFIGURED[cert]:-}" "$USED_AUTHORITIES" "${AUTHORITIES[@]}"
    if [[ $REPLY && $REPLY == "${CONFIGURED[cert]:-}" ]]; then USED_FROM_PIP+=(cert); fi
}

# CONFIGURED and IGNORED_FROM_PIP, from lines such as global.index-url='https://...'. A variable takes precedence over
# the section install, and that over the section global. Of two lines with the same name, the later one takes
# precedence, because some releases of pip list every file.
read_pip_configuration() {
    local line name text
    local -i rank
    local -A ranks=([global]=1 [install]=2 [:env:]=3) seen=()
    CONFIGURED=() IGNORED_FROM_PIP=()
    if ! text=$(list_pip_configuration 2>&1); then
        without_quoted_lines "$text"
        fail pip-configuration-unreadable \
            'pip cannot read its configuration: {output}. Correct the pip configuration '\
'file, then try again' output "${REPLY:0:500}"
    fi
    while IFS= read -r line; do
        if [[ ! $line =~ ^(global|install|:env:)\.([a-z-]+)=\'(.*)\'$ ]]; then continue; fi
        rank=${ranks[${BASH_REMATCH[1]}]}
        name=${BASH_REMATCH[2]}
        if [[ " ${USED_OPTIONS[*]} " != *" $name "* ]]; then
            if ((rank < 3)); then IGNORED_FROM_PIP+=("$name"); fi
            continue
        fi
        if ((rank >= ${seen[$name]:-0})); then
            seen[$name]=$rank
            CONFIGURED[$name]=${BASH_REMATCH[3]//\\n/ }
        fi
    done < <(printf '%s\n' "$text")
}

# REPLY: without what pip quotes from the file that it cannot read, which may have a password.
without_quoted_lines() { # TEXT
    local line
    local -a kept=()
    while IFS= read -r line; do
        if [[ $line != *([[:space:]])[\'\"]* && $line != *"]: "[\'\"]* && $line != *://* ]]; then kept+=("$line"); fi
    done < <(printf '%s\n' "$1")
    REPLY=${kept[*]}
}

# Variables instead of arguments, which everybody can read: an index may contain a password. The other variables
# override options in a file that would hide the list, a part of it, or prevent it: `user` and `global` are also options
# of `pip config`.
list_pip_configuration() {                        # in a subshell
    if ((${#USED_VARIABLES[@]})); then export "${USED_VARIABLES[@]?}"; fi
    export PIP_QUIET=0 PIP_LOG=/dev/null PIP_USER=0 PIP_GLOBAL=0 PIP_SITE=0 PIP_DISABLE_PIP_VERSION_CHECK=1
    exec "$NOTEBOOK_PYTHON" -I -m pip config list
}
