"""Windows hands a program one string; this is how the C runtime cuts it into arguments."""

from __future__ import annotations


def split_arguments(line: str) -> list[str]:
    """Cuts a command line as the Microsoft C runtime does (CommandLineToArgvW, without the program's name).

    2n backslashes before a quote are n backslashes and a quote that opens or closes; 2n+1 are n and a literal quote.
    """
    arguments: list[str] = []
    word: list[str] = []
    started = quoted = False
    position = 0
    while position < len(line):
        char = line[position]
        if char == "\\":
            end = position
            while end < len(line) and line[end] == "\\":
                end += 1
            count = end - position
            if end < len(line) and line[end] == '"':
                word.append("\\" * (count // 2))
                if count % 2:
                    word.append('"')
                    end += 1
            else:
                word.append("\\" * count)
            started, position = True, end
            continue
        if char == '"':
            if quoted and line[position + 1 : position + 2] == '"':
                word.append('"')
                position += 1
            else:
                quoted = not quoted
            started = True
        elif char in " \t" and not quoted:
            if started:
                arguments.append("".join(word))
            word, started = [], False
        else:
            word.append(char)
            started = True
        position += 1
    if started:
        arguments.append("".join(word))
    return arguments
