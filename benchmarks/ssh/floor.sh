# The floor: what the table at the head of this script says, looked at with as few programs as can be.
# One stat, one sha256sum, one dpkg-query, one systemctl, three openssl; the rest is bash.
# shellcheck shell=bash disable=SC2154 # the table is at the head
LC_ALL=C
declare -A is=()
paths=() files=() packages=()
for name in "${!should[@]}"; do
    case $name in
        access\ *) paths+=("${name#* }") ;;
        contents\ *) files+=("${name#* }") ;;
        package\ *) packages+=("${name#* }") ;;
        wheels\ *) wheels=${name#* } ;;
        user\ *) user=${name#* } ;;
        unit\ *) unit=${name#* } ;;
        certificate\ *) certificate=${name#* } ;;
        port\ *) port=${name#* } ;;
    esac
done

while read -r owner mode path; do is["access $path"]="$owner $mode"; done < <(stat --format='%U:%G %a %n' -- "${paths[@]}")
while read -r digest path; do is["contents $path"]=$digest; done < <(sha256sum -- "${files[@]}")
while read -r name version; do is["package $name"]=$version; done < <(dpkg-query --show --showformat='${Package} ${Version}\n' -- "${packages[@]}")
folders=("$wheels"/*.dist-info)
folders=("${folders[@]##*/}")
is["wheels $wheels"]=${folders[*]}
while IFS= read -r line; do
    if [[ $line == "$user:"* ]]; then is["user $user"]=$line; fi
done </etc/passwd
declare -A of=()
while IFS='=' read -r name value; do of[$name]=$value; done < <(systemctl show --property=ActiveState,UnitFileState -- "$unit")
is["unit $unit"]="${of[ActiveState]} ${of[UnitFileState]}"
if text=$(openssl x509 -in "$certificate" -noout -fingerprint -sha256 -checkend 2592000); then
    read -r line <<<"$text"
    is["certificate $certificate"]=${line#*=}
fi
line=$(timeout 10 openssl s_client -connect "127.0.0.1:$port" </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256)
is["port $port"]=${line#*=}

code=0
for name in "${!should[@]}"; do
    if [[ ${is[$name]-} != "${should[$name]}" ]]; then
        printf 'differs: %s\n' "$name"
        code=1
    fi
done
exit "$code"
