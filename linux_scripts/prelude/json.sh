# ---- prelude: json ---------------------------------------------------------------------------------
# Read and write JSON strings in bash alone.

# The bytes of $1 as a JSON string: what is not UTF-8 becomes U+FFFD.
json_string() { # TEXT
    local text=$1 out='' plain code
    local -i byte point more
    text=${text//\\/\\\\}
    text=${text//\"/\\\"}
    while :; do
        plain=${text%%[!\ -~]*}                    # all that is printable ASCII, at once
        out+=$plain
        text=${text:${#plain}}
        [[ $text ]] || break
        printf -v byte %d "'$text"
        byte=$((byte & 255))
        text=${text:1}
        if ((byte < 128)); then point=byte more=0
        elif ((byte >= 0xc2 && byte < 0xe0)); then point=$((byte & 31)) more=1
        elif ((byte >= 0xe0 && byte < 0xf0)); then point=$((byte & 15)) more=2
        elif ((byte >= 0xf0 && byte < 0xf5)); then point=$((byte & 7)) more=3
        else point=0xfffd more=0
        fi
        if ((more)); then
            utf8_tail "$text" "$point" "$more"
            if ((REPLY < 0)); then point=0xfffd
            else point=REPLY text=${text:more}
            fi
        fi
        if ((point >= 0x10000)); then
            printf -v code '\\u%04x\\u%04x' \
                $((0xd800 + (point - 0x10000 >> 10))) $((0xdc00 + (point - 0x10000 & 0x3ff)))
        else
            printf -v code '\\u%04x' "$point"
        fi
        out+=$code
    done
    REPLY="\"$out\""
}

# The code point whose first byte gave POINT and which has MORE bytes at the beginning of TEXT, or -1.
utf8_tail() { # TEXT POINT MORE
    local -i point=$2 i byte least
    for ((i = 0; i < $3; i++)); do
        byte=0
        if [[ ${1:i:1} ]]; then printf -v byte %d "'${1:i:1}"; fi
        byte=$((byte & 255))
        if ((byte >> 6 != 2)); then REPLY=-1; return 0; fi
        point=$((point << 6 | byte & 63))
    done
    least=$(($3 == 1 ? 0x80 : $3 == 2 ? 0x800 : 0x10000))
    if ((point < least || point > 0x10ffff || point >= 0xd800 && point < 0xe000)); then point=-1; fi
    REPLY=$point
}

# The text of a JSON string as json_string writes it, without its quotes.
json_text() { # STRING
    local rest=$1 out='' head byte
    local -i point low
    while [[ $rest == *\\* ]]; do
        head=${rest%%\\*}
        out+=$head
        rest=${rest:${#head}+1}
        if [[ $rest == u* ]]; then
            point=0x${rest:1:4}
            rest=${rest:5}
            if ((point >= 0xd800 && point < 0xdc00)) && [[ $rest == \\u* ]]; then
                low=0x${rest:2:4}
                rest=${rest:6}
                point=$((0x10000 + ((point & 0x3ff) << 10 | low & 0x3ff)))
            fi
            utf8_bytes "$point"
            out+=$REPLY
        else
            out+=${rest:0:1}
            rest=${rest:1}
        fi
    done
    REPLY=$out$rest
}

utf8_bytes() { # POINT
    local -i p=$1
    local octal
    if ((p < 0x80)); then printf -v octal '\\%03o' "$p"
    elif ((p < 0x800)); then printf -v octal '\\%03o' $((0xc0 | p >> 6)) $((0x80 | p & 63))
    elif ((p < 0x10000)); then printf -v octal '\\%03o' $((0xe0 | p >> 12)) $((0x80 | p >> 6 & 63)) $((0x80 | p & 63))
    else
        printf -v octal '\\%03o' $((0xf0 | p >> 18)) $((0x80 | p >> 12 & 63)) $((0x80 | p >> 6 & 63)) $((0x80 | p & 63))
    fi
    # shellcheck disable=SC2059 # the octal digits are the format
    printf -v REPLY "$octal"
}
