if (-not (Test-Path -LiteralPath $Python)) { throw "no $Python" }
