# ---- prelude: tls ----------------------------------------------------------------------------------
# Read certificates with OpenSSL or Python, also the one that the server presents.

# Without openssl, Python's cryptography is used, which is a package of the notebook server.
# Both print `Fingerprint=HEX` and `notBefore=DATE`, and succeed if the certificate is valid for long enough.

READ_WITH_PYTHON='
import datetime, sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes

certificate = x509.load_pem_x509_certificate(open(sys.argv[1], "rb").read())
print("Fingerprint=" + certificate.fingerprint(hashes.SHA256()).hex())
print(certificate.not_valid_before_utc.strftime("notBefore=%b %d %H:%M:%S %Y GMT"))
seconds = datetime.timedelta(0, int(sys.argv[2]))
sys.exit(certificate.not_valid_after_utc <= datetime.datetime.now(datetime.timezone.utc) + seconds)
'
# Send two requests that a notebook server must refuse, each over a separate connection. Only the status of an answer is
# used, and only its beginning is read.
ASK_WITH_PYTHON='
import hashlib, os, re, signal, socket, ssl, sys

signal.alarm(20)  # seconds, after which the system ends this program
address, port = sys.argv[1], int(sys.argv[2])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode, context.minimum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2
request = "GET /api/kernels HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n" % port
token = "Authorization: token %s\r\n" % os.urandom(16).hex()
for number, header in enumerate(("", token)):
    with socket.create_connection((address, port), 10) as line, context.wrap_socket(line) as secure:
        if number == 0:
            print("Fingerprint=" + hashlib.sha256(secure.getpeercert(True)).hexdigest(), flush=True)
        secure.sendall((request + header + "\r\n").encode())
        answer = b""
        while b"\n" not in answer and len(answer) < 1024:
            part = secure.recv(1024)
            if not part:
                break
            answer += part
        status = re.match(rb"HTTP/1[.][01] ([0-9]{3})[ \r]", answer)
        print("Status=" + (status[1].decode() if status else "none"), flush=True)
'

has_openssl() {
    type -P openssl >/dev/null
}

# Print the fingerprint of a certificate file, and when the certificate begins. Whether it is valid for SECONDS more.
# The program replaces the subshell of the caller.
has_time_left() { # FILE SECONDS
    local -a options=(-noout -fingerprint -sha256 -startdate)
    if has_openssl; then exec openssl x509 -in "$1" "${options[@]}" -checkend "$2" 2>/dev/null; fi
    exec "$NOTEBOOK_PYTHON" -I -c "$READ_WITH_PYTHON" "$1" "$2" 2>/dev/null
}

# Whether a certificate is valid by now, or in five minutes: the clock may have been corrected a little. The lines are
# those of has_time_left.
has_begun() { # LINES
    local months=JanFebMarAprMayJunJulAugSepOctNovDec month start limit
    local -i now
    if [[ ! $1 =~ notBefore=([A-Z][a-z][a-z])\ +([0-9]+)\ ([0-9]+):([0-9]+):([0-9]+)\ ([0-9]{4})\ GMT ]]; then
        return 0
    fi
    month=${months%%"${BASH_REMATCH[1]}"*}
    printf -v start '%s%02d%02d%s%s%s' "${BASH_REMATCH[6]}" $((${#month} / 3 + 1)) $((10#${BASH_REMATCH[2]})) \
        "${BASH_REMATCH[@]:3:3}"
    printf -v now '%(%s)T' -1
    printf -v limit '%(%Y%m%d%H%M%S)T' $((now + 300))   # in UTC, as TZ says
    ((start <= limit))
}

# Print the fingerprint of the certificate of a port, and the status of its answers without a password and with a random
# token. Any certificate is accepted, because the caller compares it. No secret is sent. The program replaces the
# subshell of the caller.
print_shown() { # ADDRESS PORT
    exec "$NOTEBOOK_PYTHON" -I -c "$ASK_WITH_PYTHON" "$1" "$2" 2>/dev/null
}

# REPLY: SHA256:HEX, from `Fingerprint=HEX` or from openssl's `SHA256 Fingerprint=AA:BB:...`.
fingerprint_of() { # LINE
    REPLY=${1#*=}
    REPLY=${REPLY//:/}
    REPLY=SHA256:${REPLY,,}
}
