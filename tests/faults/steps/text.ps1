# ---- step: text, a new file and one that existed before; and an event longer than a fragment ------------

Add-Step text 'The text files have their text' -Test {
    Wait-Gate
    foreach ($name in 'new.txt', 'old.txt') {
        if (-not (Test-TextFile "$Ground\site\$name" 'ours')) {
            Add-Difference file-content '{file}' 'another text' 'ours' @{ file = "$Ground\site\$name" }
        }
    }
} -Apply {
    . $WithGates
    'x' * 70000
    Set-TextFile "$Ground\site\new.txt" 'ours'
    Set-TextFile "$Ground\site\old.txt" 'ours'
}
