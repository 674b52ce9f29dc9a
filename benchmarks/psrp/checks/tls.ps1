$protocol = [int][Net.ServicePointManager]::SecurityProtocol
if ($protocol -ne 0 -and -not ($protocol -band 3072)) { throw 'no TLS 1.2' }
