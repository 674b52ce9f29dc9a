# ---- step: text, a file that is new and one that was somebody else's; and an event longer than a fragment

Add-Step text 'the text files say what they should' -Test {
    Wait-Gate
    foreach ($name in 'new.txt', 'old.txt') {
        if (-not (Test-TextFile "$Ground\site\$name" 'ours')) { Difference "$Ground\site\$name" 'another text' 'ours' }
    }
} -Apply {
    . $WithGates
    'x' * 70000
    Set-TextFile "$Ground\site\new.txt" 'ours'
    Set-TextFile "$Ground\site\old.txt" 'ours'
}
