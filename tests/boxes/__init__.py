r"""Machines in a box: what the end-to-end tests set up a notebook server on.

    windows.py          a Windows Server: a Wine prefix of its own, real PowerShell 7.4 for Windows, its task scheduler and virus scanner
    windows_image.py    the Windows that it is a copy of, made once and kept in the cache; server_settings.py says what it has
    winrm/              its WinRM service (WSMan and PSRP over HTTP and HTTPS, Basic, NTLM with message encryption)
    stand_ins/          what Wine lacks, loaded into each session before the client's first command
    virus_scanner.py    holds what is new in nbserver's folders, so that it cannot be renamed or replaced at once
    task_scheduler.py   starts and ends what scheduled tasks say, outside any session
    linux/              a Debian and an openSUSE-like host (its own words are in linux/__init__.py)
    windows_python.py   CPython for Windows; newer_python/ has what Wine lacks for 3.12 and newer
    mirror.py           a site's mirror: CPython and OpenSSL for Windows, a package index; it can misbehave

What is real: PowerShell, .NET, the registry, files, processes, TLS, msiexec (Wine's), CPython, pip, uv, wheels.

What stands in, with the parameters that scripts use and no others (a parameter more is an error, as it is a gap):
    acl.ps1             GetAccessControl, SetAccessControl and Create of files and folders, as Windows PowerShell has them; Get-Acl and
                        its Set-Acl, which fails on a protected list. SDDL is kept, nothing is enforced or inherited.
    net_security.ps1    New-, Get-, Set-, Remove-NetFirewallRule, Get-NetFirewallPortFilter and those of the other filters.
                        Nothing is filtered. The service MpsSvc can be stopped. IPv4 networks come back with a mask (192.0.2.0/255.255.255.0), as on Windows.
    scheduled_tasks.ps1 Register-, Unregister-, Export-, Get-, Start-, Stop-, Enable-, Disable-ScheduledTask, for tasks in the root folder.
                        The XML is written anew (task_xml.ps1): defaults are left out, others filled in, in the service's
                        order. A task that is started is queued for a moment. Accounts are not
                        switched; of all triggers only startup fires, by TaskScheduler.boot(). As on Windows, a task
                        that is unregistered while it runs goes on running: stop it first. One that is registered again
                        with -Force stays that of whoever registered it first. One with a stored password is
                        refused by Register-ScheduledTask, which gets none.
    cim.ps1             Get-CimInstance for Win32_OperatingSystem (boot_time.ps1), Win32_Service and Win32_Process. Processes,
                        their parents and command lines are real (native.ps1).
    services.ps1        Get-, Set-, Stop-Service. Services are the tests' own. One that others need is not stopped while they run.
    tcp_listeners.ps1   GetActiveTcpListeners of .NET, which takes Wine a quarter of a second.
    net_tcpip.ps1       Get-NetTCPConnection for listening sockets. Wine does not tell whose a socket is: a program says so itself.
    certificates.ps1    Export-PfxCertificate. Wine's certificate store is real, but hands out no key: one that may be exported stands
                        in C:\nbserver-test\certificates. The PFX is a real one.
    wsman.ps1           Get-WSManInstance for winrm/config/winrs and the endpoint; files in C:\nbserver-test set the limits.
State is kept below C:\nbserver-test and in C:\windows\system32\Tasks, so it outlives sessions and a snapshot sees it.
An administrator is always an administrator there; what ACLs, the firewall and accounts do, such a box cannot show.

Needed: Debian's wine64, xz-utils and wixl; NBSERVER_TEST_PWSH, the program that runs PowerShell for Windows;
NBSERVER_TEST_WINDOWS, a folder with OpenSSL for Windows; NBSERVER_TEST_CACHE (optional), where built files are kept.
"""
