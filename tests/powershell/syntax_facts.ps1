# Reads scripts from standard input, one a line (base64 of UTF-8), and writes what PowerShell's own parser makes of them:
#
#   ready                                      comes first: it has begun
#   script                                     begins a script, in the order of the input
#   error OFFSET MESSAGE                       a parse error
#   token OFFSET KIND                          a token that no syntax node tells of
#   node PARENT TYPE START END NAME=VALUE ...  a syntax node; nodes are numbered from 0, a parent comes before its children
#   alias NAME                                 at the end: an alias of this engine
#
# Fields are parted by tabs; values are percent-encoded; offsets are characters from the script's start.
$ErrorActionPreference = 'Stop'
$out = New-Object Text.StringBuilder
$tab = "`t"

# The properties that rules look at, by type of node.
$properties = @{
    StringConstantExpressionAst = 'Value', 'StringConstantType'
    CommandAst = @('InvocationOperator')
    CommandParameterAst = @('ParameterName')
    VariableExpressionAst = 'VariablePath', 'Splatted'
    MemberExpressionAst = 'Static', 'NullConditional'
    InvokeMemberExpressionAst = 'Static', 'NullConditional', 'GenericTypeArguments'
    IndexExpressionAst = @('NullConditional')
    BinaryExpressionAst = @('Operator')
    AssignmentStatementAst = @('Operator')
    UnaryExpressionAst = @('TokenKind')
    FunctionDefinitionAst = 'Name', 'IsFilter', 'IsWorkflow'
    ParameterAst = @('StaticType')
    TypeExpressionAst = @('TypeName')
    TypeConstraintAst = @('TypeName')
    ForEachStatementAst = @('Flags')
    SwitchStatementAst = @('Flags')
    PipelineAst = @('Background')
    ScriptBlockAst = @('CleanBlock')
}

[Console]::Out.Write("ready`n")
while ($null -ne ($line = [Console]::In.ReadLine())) {
    $text = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($line))
    $tokens = $errors = $null
    $tree = [Management.Automation.Language.Parser]::ParseInput($text, [ref]$tokens, [ref]$errors)
    [void]$out.Append("script`n")
    foreach ($found in $errors) {
        [void]$out.Append("error").Append($tab).Append($found.Extent.StartOffset).Append($tab).Append([Uri]::EscapeDataString($found.Message)).Append("`n")
    }
    $before = ''
    foreach ($token in $tokens) {
        $kind = [string]$token.Kind
        if ($kind -eq 'Pipe' -and $before -eq 'NewLine') { [void]$out.Append("token`t").Append($token.Extent.StartOffset).Append("`tLeadingPipe`n") }
        if ($kind -eq 'Number') { [void]$out.Append("token`t").Append($token.Extent.StartOffset).Append("`t").Append([Uri]::EscapeDataString("Number $($token.Text)")).Append("`n") }
        if ($kind -ne 'Comment') { $before = $kind }
    }
    $numbers = New-Object 'Collections.Generic.Dictionary[object,int]'
    foreach ($node in $tree.FindAll({ $true }, $true)) {
        $numbers[$node] = $numbers.Count
        $parent = -1
        if ($node.Parent) { $parent = $numbers[$node.Parent] }
        $type = $node.GetType().Name
        [void]$out.Append('node').Append($tab).Append($parent).Append($tab).Append($type).Append($tab).Append($node.Extent.StartOffset).Append($tab).Append($node.Extent.EndOffset)
        foreach ($name in $properties[$type]) {
            $value = $node.$name
            if ($value -is [bool] -and -not $value) { continue }
            $value = [string]$value
            if ($value) { [void]$out.Append($tab).Append($name).Append('=').Append([Uri]::EscapeDataString($value)) }
        }
        [void]$out.Append("`n")
    }
}
foreach ($alias in Get-Alias) { [void]$out.Append("alias`t").Append([Uri]::EscapeDataString($alias.Name)).Append("`n") }
[Console]::Out.Write($out.ToString())
