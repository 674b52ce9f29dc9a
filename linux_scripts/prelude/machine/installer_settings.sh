# ---- prelude: installer_settings -------------------------------------------------------------------
# Choose the settings of pip and uv: proxy, and trusted authorities.

# PROXY: the environment of pip and uv. Their other configuration is not used: its files are disabled and its variables
# removed. They trust the authorities that this host trusts; pip would prefer REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE.
read_package_environment() {
    unset "${!PIP_@}" "${!UV_@}" REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
    read_proxy
    PROXY+=(PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_NO_PROGRESS=1)
    PROXY+=(PIP_CONFIG_FILE=/dev/null PIP_ROOT_USER_ACTION=ignore UV_NO_CONFIG=1 UV_SYSTEM_CERTS=1)
    trust_authorities "${AUTHORITIES[@]}"
}

# REPLY: the version of the Python that the environment will have, such as 311, or '' if it is not installed yet.
read_future_python() {
    REPLY=''
    read_system
    choose_python
    if [[ ! -x $PYTHON ]]; then return 0; fi
    REPLY=$(exec readlink -e -- "$PYTHON")
    REPLY=${REPLY##*/python}
    REPLY=${REPLY//./}
    if [[ ! $REPLY =~ ^3[0-9]+$ ]]; then REPLY=''; fi
}
