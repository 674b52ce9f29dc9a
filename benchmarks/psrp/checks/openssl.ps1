if (-not (Test-Path -LiteralPath $OpenSsl)) { throw "no $OpenSsl" }
