# ---- prelude: new_server ---------------------------------------------------------------------------
# Check the packages of a new environment, and the server that runs from it.

# What the core packages are imported as. Only those in the lock are imported.
CORE_MODULES=(numpy=numpy matplotlib=matplotlib tornado=tornado.web pyzmq=zmq ipython=IPython
    ipykernel=ipykernel.kernelapp jupyter-server=jupyter_server.serverapp notebook=notebook)
IMPORT_WITH_PYTHON='
import importlib, sys

for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        sys.exit("error: import %s: %s: %s" % (name, type(error).__name__, error))
'
# Load the login page, and log in with a wrong password, as a browser would. Prints the status of both answers.
LOGIN_WITH_PYTHON='
import http.client, os, re, ssl, sys, urllib.parse

address, port = sys.argv[1], int(sys.argv[2])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode, context.minimum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2


def ask(method, body, headers):
    line = http.client.HTTPSConnection(address, port, timeout=30, context=context)
    line.request(method, "/login", body, {"Host": "localhost:%d" % port, **headers})
    answer = line.getresponse()
    cookies = answer.headers.get_all("Set-Cookie") or []
    line.close()
    return answer.status, [cookie.partition(";")[0] for cookie in cookies]


status, cookies = ask("GET", None, {})
print("Page=%d" % status, flush=True)
token = [cookie.partition("=")[2] for cookie in cookies if cookie.startswith("_xsrf=")]
form = urllib.parse.urlencode({"password": os.urandom(16).hex(), "_xsrf": "".join(token)})
headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": "; ".join(cookies)}
print("Wrong=%d" % ask("POST", form, headers)[0], flush=True)
'

# Import the core packages of the lock. For a whole machine, a user without rights does that.
check_imports() {
    local line pair
    local -a modules=()
    for pair in "${CORE_MODULES[@]}"; do
        for line in "${LOCK[@]}"; do
            if [[ $line == "${pair%%=*}=="* ]]; then modules+=("${pair#*=}"); fi
        done
    done
    if ((${#modules[@]} == 0)); then return 0; fi
    report_start importing-packages 'Importing the new packages'
    run_program --failure packages-not-importable \
        'the installed packages cannot be imported ({output}). Set a different packages.lock or python.version in the '\
'inventory, then try again' \
        env HOME=/nonexistent MPLCONFIGDIR=/nonexistent "${WITHOUT_RIGHTS[@]}" \
        "$NOTEBOOK_PYTHON" -I -B -c "$IMPORT_WITH_PYTHON" "${modules[@]}"
}

# This host has only the hash of the password, so it cannot log in. But a server that cannot compare passwords does not
# refuse a wrong one as it must: with 401.
check_login() {
    local line address=127.0.0.1 page='no answer' wrong='no answer'
    if [[ $NB_NOTEBOOK_IP != '*' ]]; then address=$NB_NOTEBOOK_IP; fi
    while IFS= read -r line; do
        case $line in
            Page=*) page=${line#*=} ;;
            Wrong=*) wrong=${line#*=} ;;
        esac
    done < <(timeout 90 "$NOTEBOOK_PYTHON" -I -c "$LOGIN_WITH_PYTHON" "$address" "$NB_NOTEBOOK_PORT" 2>/dev/null)
    if [[ $page == 200 && $wrong == 401 ]]; then return 0; fi
    read_service_commands
    fail login-broken 'nobody can log in to the server: the status of its login page is {page} (expected 200), and '\
'the status of a login with a wrong password is {wrong} (expected 401). Fix the error that the server log ({log}) '\
'shows, or set a different packages.lock in the inventory, then try again' \
        page "$page" wrong "$wrong" log "$LOG_COMMAND"
}
