# nbserver 0.7.0: sets up a secured notebook server on the Windows host most
#
# By hand:
#   powershell -NoProfile -ExecutionPolicy Bypass -File most.ps1                reports differences, changes nothing
#   powershell -NoProfile -ExecutionPolicy Bypass -File most.ps1 -Mode check    reports what this host lacks
#   powershell -NoProfile -ExecutionPolicy Bypass -File most.ps1 -Mode status   reports how the server runs
#   powershell -NoProfile -ExecutionPolicy Bypass -File most.ps1 -Mode apply    makes the changes
#   powershell -NoProfile -ExecutionPolicy Bypass -File most.ps1 -Mode undo     restores the previous state
#   powershell -NoProfile -ExecutionPolicy Bypass -File most.ps1 -Mode rotate   revokes all access, sets a new password
#   powershell -NoProfile -ExecutionPolicy Bypass -File most.ps1 -Mode restart  restarts the server
#   powershell -NoProfile -ExecutionPolicy Bypass -File most.ps1 -Mode stop     stops the server
#   powershell -NoProfile -ExecutionPolicy Bypass -File most.ps1 -Mode rollback returns to the previous environment
#   powershell -NoProfile -ExecutionPolicy Bypass -File most.ps1 -Mode set-password        replaces the password
#   powershell -NoProfile -ExecutionPolicy Bypass -File most.ps1 -Mode rotate-certificate  replaces the certificate
# Exit codes: 0 success, 2 differences (test, status), 3 failed, 3010 Windows must restart: then apply again
# Requires Windows PowerShell 3.0 or newer, 64-bit, and administrator rights
# Downloads come from the URLs in the settings and from the package index
#
# Contents, by line. To follow a run, begin with main: it runs the steps, which use the prelude.
#   140  parameters             The mode for a run by hand.
#   145  settings               What differs from host to host: data, no code.
#   219  lock                   The Python packages, with versions and hashes.
#   224  welcome                The first notebook that users see, as JSON.
# Prelude, which the steps use:
#   456  run                    Check the language mode, and set the module path and the state of this run.
#   544  messages               Format messages: each has a sentence with named values, and a code that never changes.
#   634  hashes                 Compute SHA-256 hashes; this script uses no others.
#   672  events                 Report events: lines of JSON, which are the only output of this script.
#   774  findings               Report in mode check which requirements this host meets, one finding for each.
#   821  host_log               Write to the Windows event log which script changes this host.
#   853  kept_script            Save a copy of each script that changes this host.
#   873  envelope               Read the envelope: the only input of a run in addition to this script.
#   977  part_data              Keep the parts of files that were sent in the envelope, and their data.
#  1049  lock                   Allow only one run at a time to change this host.
#  1116  paths                  Refuse to change anything through a link, or outside of nbserver's folders at undo.
#  1208  held_files             Open, move, replace, and remove files that other programs may be using.
#  1351  access                 Set and check access lists: who may read and change a folder.
#  1427  places                 Set the folders of nbserver on this host, and who has access to them.
#  1464  record                 Record for undo the state of each thing before its first change, and restore it.
#  1579  registry               Read values in the registry.
#  1590  registry_values        Compare, set, and restore values in the registry.
#  1624  path_entries           Add, remove, and restore entries of the machine's PATH, and nothing else in it.
#  1744  files                  Create folders and write text files, so that undo can restore what was there before.
#  1842  state_folder           Create the folder with the data for undo, or refuse it if others have access to it.
#  1881  removal                Remove folders with all their contents, but never follow links in them.
#  1969  set_aside              Set a folder aside until another one has taken its place.
#  2021  path_access            Find other accounts that could replace a folder, or change an installed program in it.
#  2072  data_folder_names      Refuse a notebook.directory by its name: a folder of Windows, of nbserver, or of a user.
#  2129  data_folders           Give the service access to the notebook folder, and remove this access at undo.
#  2286  first_page             Put a first notebook into the notebook folder; if users change it, it is kept.
#  2383  starter                Define the Python program that starts the server, the same as on Linux.
#  2653  server_command         Define the command line of the server, and what it was started with.
#  2672  left_program           Stop a program that an interrupted run left running.
#  2741  programs               Run other programs until they exit, and report their output.
#  2919  openssl                Run openssl.exe, without loading anything from folders that others could create.
#  2951  web_requests           Send requests to web servers, and report why one did not respond.
#  3024  downloads              Download files into the cache, and check their hashes before they are used.
#  3192  sources                Download a program from one of several sources.
#  3270  delivered_programs     Use program files that the workstation has sent.
#  3301  reboots                Restart Windows when a change needs it, or report why it is not restarted.
#  3390  windows_version        Recognize the Windows version, and compare it with the inventory.
#  3466  foreign_configuration  Find configuration from other Jupyter installations, which the server does not use.
#  3522  foreign_places         Define where configuration from other installations may be on this host.
#  3536  package_environment    Choose the environment variables of pip and uv.
#  3611  package_configuration  Read no configuration of pip and uv: in machine scope, all of it is in the inventory.
#  3616  installer_failures     Explain the exit codes of installers.
#  3687  installers             Run installers and uninstallers, one at a time.
#  3732  msi_packages           Install packages of Windows Installer (.msi), and remove them.
#  3789  bundles                Install and remove bundles: setups of WiX, such as that of Python.
#  3869  inno_setup             Install and remove programs with a setup of Inno Setup, such as OpenSSL's.
#  3894  not_found              Distinguish a file that does not exist from one that cannot be read.
#  3901  tasks                  Register, stop, and remove scheduled tasks, which are recorded as XML.
#  3994  task_states            Disable scheduled tasks of other programs, and enable and start them in undo.
#  4032  closing_tasks          Restore a registry value at the next start if a run is cut off before that.
#  4074  installed_files        Compare files with those that were installed.
#  4227  running_server         Stop the server before its programs are replaced.
#  4328  firewall               Create, change, and restore a firewall rule, identified by its stable name.
#  4455  port_rules             Find and disable other firewall rules that open the notebook port.
#  4519  services               Disable Windows services of other programs, and enable and start them in undo.
#  4569  port_process           Find the program that listens on a TCP port, and what started it.
#  4604  port_owner             Find the service or task that uses a TCP port, and stop it.
#  4735  earlier_servers        Find what earlier notebook servers left in PATH, in the firewall, and in user profiles.
#  4782  der                    Read the few DER elements of a certificate that .NET does not decode.
#  4840  certificates           Read certificates from PEM files.
#  4857  own_certificate        Compare and replace a certificate that the host signs itself.
#  4941  certificate_rules      Refuse unsuitable certificates, by the same rules as the workstation.
#  5077  certificate_sources    Compare and install certificates that the host does not sign itself.
#  5204  certificate_store      Export certificate, key, and chain from the machine's certificate store.
#  5313  certificate_requests   Create certificate requests, and install what is issued for them.
#  5406  password_hash          Read the password hash that was sent, or keep the one that an earlier run set.
#  5424  unused_programs        Find what earlier runs installed and the current settings no longer use.
#  5471  dropped_settings       Find changes by earlier runs that the current settings no longer require.
#  5502  server_check           Ask the running server for its certificate, and send requests without the password.
#  5583  host_checks            Refuse a host because of its processor, policy, version, clock, or free space.
#  5726  program_checks         Find out in mode check whether this host can download the programs that it needs.
#  5770  download_checks        Find out in mode check whether this host can reach the package index or the mirror.
#  5894  rotation               Revoke all access: replace key and password, and move away what kernels wrote.
#  6062  rotated_keys           Refuse a rotation with a certificate that has the old key.
#  6120  new_server             Check the packages of a new environment, and the server that runs from it.
#  6205  switch                 Switch the server to another environment, and verify the server that runs from it.
#  6379  way_back               Restore the previous server after a failed upgrade or failed new settings.
#  6618  status                 Report the server, its versions, its certificate, and the last run: mode status.
#  6751  server_life            Restart or stop the installed server: modes restart and stop.
#  6856  restarted_server       Start the registered task again.
#  6913  rollback               Switch back to the environment from before the last upgrade: mode rollback.
#  7065  server_secrets         Replace only the password or the certificate: modes set-password and rotate-certificate.
#  7188  restored_key           Give the server the private key and the certificate of a backup: mode restore-key.
#  7230  delivered_files        Receive what a host downloads from the workstation: modes missing and deliver.
#  7393  notebook_files         List, receive, and send the files of the notebooks: modes list, push, pull.
#  7658  notebook_removal       Remove the notebooks before an undo, if all of them are in an archive.
#  7791  backup                 Send what a backup contains except notebooks: modes backup and backup-key.
#  7838  server_log             Send the log of the notebook server: mode logs.
#  7938  evidence               Report each run whose events this host has kept, and the hashes: mode evidence.
# Steps, in the order in which they run:
#  7970  preflight              Refuse a host on which the notebook server cannot work, before anything is changed.
#  8076  tls                    Let the downloads of this process use TLS 1.2; nothing on the host is changed.
#  8084  ie_esc                 Turn off IE Enhanced Security Configuration for administrators while other steps run.
#  8105  python                 Install Python from the publisher, or use one that is installed.
#  8284  vc_redist              Install the Visual C++ runtime, if the catalog says that OpenSSL needs it.
#  8345  openssl                Install OpenSSL in a separate folder, or as the publisher's package.
#  8488  packages               Install the packages of the lock in a virtual environment.
#  8700  certificate            Provide a certificate for the server; only administrators and it can read the key.
#  8734  notebook               Configure the server: HTTPS, one port, and a password, stored as an Argon2 hash.
#  8875  takeover               Use or replace what is already on the host if adopt = true; otherwise, refuse the host.
#  9083  service                Run the server as a scheduled task.
#  9236  firewall               Open the notebook port in the firewall, with one inbound rule.
#  9318  check                  Check that the server presents its certificate and refuses requests without a password.
#  9415  path                   Add the programs of the server to the PATH of the machine.
#  9444  cleanup                Remove or restore what earlier runs installed or changed and is no longer needed.
#  9494  main                   Run the steps in the mode of the envelope, and report the outcome.
# Not used with these settings:
#        prelude: certificate_sources   the host signs its certificate itself
#        prelude: certificate_store     the host signs its certificate itself
#        prelude: certificate_requests  the host signs its certificate itself
#        step: ie_esc                   skipped in the inventory
#        step: vc_redist                this OpenSSL does not need it
#        step: firewall                 skipped in the inventory
#        step: path                     skipped in the inventory

param(
    [ValidateSet('test', 'check', 'status', 'apply', 'undo', 'rotate', 'restart', 'stop', 'rollback', 'set-password', 'rotate-certificate', 'request')]
    [string]$Mode = 'test'
)

$Settings = ConvertFrom-Json '
{
 "adopt": false,
 "architecture": "arm64",
 "certificate": {
  "days": 90,
  "names": ["2001:db8::7", "www.example.com", "notebooks.example.com", "192.0.2.7"],
  "source": "host",
  "thumbprint": null
 },
 "downloads": {
  "mirror": null,
  "proxy": "http://proxy.example.com:3128",
  "source": "direct"
 },
 "firewall": {
  "remote_addresses": ["LocalSubnet", "192.0.2.0/24", "2001:db8::/32"]
 },
 "host": "most",
 "notebook": {
  "collaboration": false,
  "cull_idle_seconds": 28800,
  "directory": "D:\\notebooks",
  "interface": "lab",
  "ip": "192.0.2.7",
  "language": "en",
  "port": 8443,
  "session": 8
 },
 "openssl": {
  "executable": ["bin\\openssl.exe"],
  "kind": "zip",
  "sha256": "13550350a8681c84c861aac2e5b440161c2b33a3e4f302ac680ca5b686de48de",
  "size": 8,
  "sources": [
   {
    "executable": ["x64\\bin\\openssl.exe"],
    "kind": "zip",
    "sha256": "13550350a8681c84c861aac2e5b440161c2b33a3e4f302ac680ca5b686de48de",
    "size": null,
    "url": "https://other.example.com/openssl-3.5.98-arm64.zip",
    "version": "3.5.98"
   }
  ],
  "url": "https://mirror.example.com/openssl-3.5.99-arm64.zip",
  "version": "3.5.99"
 },
 "packages": {
  "index_url": "https://mirror.example.com/simple/",
  "installer": "pip",
  "lock_sha256": "b11a5422cc78b04e7664e2f3a0fad1e1fefa354d2e29eb72187befbd58fd9a87"
 },
 "path": {
  "entries": ["%ProgramFiles%\\nbserver\\tools", "D:\\outils \u00e9t\u00e9\\\u65e5\u672c"],
  "programs": false
 },
 "python": {
  "executable": ["python.exe"],
  "kind": "exe",
  "sha256": "c252c676087c49e6b94e95a273536b78921c28a5fc9f86d15d25392328247249",
  "size": 28799152,
  "sources": [],
  "url": "https://www.python.org/ftp/python/3.13.15/python-3.13.15-arm64.exe",
  "version": "3.13.15"
 },
 "reboot": "never",
 "release": "0.7.0",
 "scope": "machine",
 "skip": ["firewall", "ie_esc", "path"],
 "vc_redist": null,
 "windows": null
}
'

$Lock = @(
    'example-one==1.0 --hash=sha256:13550350a8681c84c861aac2e5b440161c2b33a3e4f302ac680ca5b686de48de'
    'example-two==2.0+site --hash=sha256:13550350a8681c84c861aac2e5b440161c2b33a3e4f302ac680ca5b686de48de'
)

$FirstPage = '
{
 "cells": [
  {
   "cell_type": "markdown",
   "id": "text-1",
   "metadata": {},
   "source": [
    "# Welcome\n",
    "\n",
    "This page is a *notebook*: text, code, and what the code computes. Click into a cell with code, and press\n",
    "**Shift+Enter** to run it. The menu *Run* > *Run All Cells* runs all of them.\n",
    "\n",
    "## A plot"
   ]
  },
  {
   "cell_type": "code",
   "execution_count": null,
   "id": "plot",
   "metadata": {},
   "outputs": [],
   "source": [
    "import numpy as np\n",
    "import matplotlib.pyplot as plt\n",
    "\n",
    "x = np.linspace(0, 4 * np.pi, 400)\n",
    "figure, axes = plt.subplots(figsize=(8, 4.5), dpi=100)\n",
    "axes.plot(x, np.sin(x) * np.exp(-x / 10), linewidth=2.5, label=\"sin(x) exp(-x/10)\")\n",
    "axes.plot(x, np.cos(x) * np.exp(-x / 10), linewidth=2.5, color=\"tab:red\", label=\"cos(x) exp(-x/10)\")\n",
    "axes.grid(True, alpha=0.3)\n",
    "axes.legend()\n",
    "plt.show()"
   ]
  },
  {
   "cell_type": "markdown",
   "id": "text-3",
   "metadata": {},
   "source": [
    "## A sound\n",
    "\n",
    "NumPy computes four notes. Press the play button to hear them."
   ]
  },
  {
   "cell_type": "code",
   "execution_count": null,
   "id": "sound",
   "metadata": {},
   "outputs": [],
   "source": [
    "from IPython.display import Audio, display\n",
    "\n",
    "rate = 8000\n",
    "time = np.arange(rate // 2) / rate\n",
    "\n",
    "\n",
    "def tone(frequency):\n",
    "    wave = sum(np.sin(2 * np.pi * frequency * k * time) / k for k in (1, 2, 3))\n",
    "    return wave * np.exp(-4 * time)\n",
    "\n",
    "\n",
    "notes = [262, 330, 392, 523]\n",
    "sound = np.concatenate([tone(note) for note in notes])\n",
    "display(Audio(sound, rate=rate))"
   ]
  },
  {
   "cell_type": "markdown",
   "id": "text-5",
   "metadata": {},
   "source": [
    "The spectrogram shows which frequencies sound when: each note has its pitch, and two overtones above it."
   ]
  },
  {
   "cell_type": "code",
   "execution_count": null,
   "id": "specgram",
   "metadata": {},
   "outputs": [],
   "source": [
    "figure, axes = plt.subplots(figsize=(8, 4.5), dpi=100)\n",
    "axes.specgram(sound, NFFT=512, Fs=rate, noverlap=384)\n",
    "axes.set_ylim(0, 2000)\n",
    "axes.set_xlabel(\"s\")\n",
    "axes.set_ylabel(\"Hz\")\n",
    "plt.show()"
   ]
  },
  {
   "cell_type": "markdown",
   "id": "text-7",
   "metadata": {},
   "source": [
    "With SciPy, the next cell measures the pitch of each note. SciPy is in the set of packages that is named `science`."
   ]
  },
  {
   "cell_type": "code",
   "execution_count": null,
   "id": "scipy",
   "metadata": {},
   "outputs": [],
   "source": [
    "try:\n",
    "    from scipy import signal\n",
    "except ImportError:\n",
    "    print(\"SciPy: not installed\")\n",
    "else:\n",
    "    for note, part in zip(notes, np.split(sound, len(notes))):\n",
    "        frequencies, power = signal.periodogram(part, rate)\n",
    "        print(f\"{note} Hz: {frequencies[power.argmax()]:.0f} Hz\")"
   ]
  },
  {
   "cell_type": "markdown",
   "id": "text-9",
   "metadata": {},
   "source": [
    "## A video\n",
    "\n",
    "Matplotlib draws the frames, and the browser plays them. No other program is needed."
   ]
  },
  {
   "cell_type": "code",
   "execution_count": null,
   "id": "video",
   "metadata": {},
   "outputs": [],
   "source": [
    "from IPython.display import HTML\n",
    "from matplotlib.animation import FuncAnimation\n",
    "\n",
    "figure, axes = plt.subplots(figsize=(6, 3), dpi=80)\n",
    "(line,) = axes.plot(x, np.sin(x))\n",
    "\n",
    "\n",
    "def move(step):\n",
    "    line.set_ydata(np.sin(x - 2 * np.pi * step / 20))\n",
    "    return [line]\n",
    "\n",
    "\n",
    "video = HTML(FuncAnimation(figure, move, frames=20, interval=60).to_jshtml(default_mode=\"loop\"))\n",
    "plt.close(figure)\n",
    "video"
   ]
  },
  {
   "cell_type": "markdown",
   "id": "text-11",
   "metadata": {},
   "source": [
    "## Another page in this one\n",
    "\n",
    "A frame shows any page that your browser can open. Here it is the list of files on this server."
   ]
  },
  {
   "cell_type": "code",
   "execution_count": null,
   "id": "frame",
   "metadata": {},
   "outputs": [],
   "source": [
    "from IPython.display import IFrame\n",
    "\n",
    "IFrame(\"/tree\", width=\"100%\", height=300)"
   ]
  },
  {
   "cell_type": "markdown",
   "id": "text-13",
   "metadata": {},
   "source": [
    "## Your files\n",
    "\n",
    "New notebooks and files that you upload are on the server, in the folder of this notebook. To upload a file, drag it\n",
    "into the list of files. *File* > *Save and Export Notebook As* > *HTML* makes a page that opens without a server."
   ]
  },
  {
   "cell_type": "code",
   "execution_count": null,
   "id": "folder",
   "metadata": {},
   "outputs": [],
   "source": [
    "from pathlib import Path\n",
    "\n",
    "print(Path.cwd())\n",
    "for file in sorted(Path.cwd().iterdir()):\n",
    "    print(\" \", file.name)"
   ]
  },
  {
   "cell_type": "markdown",
   "id": "text-15",
   "metadata": {},
   "source": [
    "## More packages\n",
    "\n",
    "Ask the administrator of this server to add a package to `packages.include` in the inventory of nbserver, and to run\n",
    "`nbserver lock` and `nbserver apply`.\n",
    "\n",
    "## This page is yours\n",
    "\n",
    "Change it as you like: nbserver never overwrites a page that somebody has changed, and never restores one that somebody\n",
    "has deleted."
   ]
  }
 ],
 "metadata": {
  "kernelspec": {
   "display_name": "Python 3 (ipykernel)",
   "language": "python",
   "name": "python3"
  },
  "language_info": {
   "name": "python"
  }
 },
 "nbformat": 4,
 "nbformat_minor": 5
}
'

# ==== body: to the end, the script is the same for every Windows host of a release with the same scope =
# Order: prelude (what the steps may use), steps (each has a Test and an Apply), main (runs the steps).

# ---- prelude: run ----------------------------------------------------------------------------------
# Check the language mode, and set the module path and the state of this run.

# True for a file, run by hand or by the bootstrap; false for the text of a remote pipeline.
$IsFile = "$($MyInvocation.MyCommand.CommandType)" -eq 'ExternalScript'

# If application control or the endpoint restricts the language of PowerShell, only commands and a few types work:
# enough to report it in two events, but not to hash this script. Nothing has been changed at this point.
if ("$($ExecutionContext.SessionState.LanguageMode)" -ne 'FullLanguage') {
    $Head = '{"v":1,"time":"' + [DateTime]::UtcNow.ToString('o') + '","step":"","n":'
    $Head + '1,"event":"failed","code":"restricted-language",' +
    '"values":{"mode":"' + $ExecutionContext.SessionState.LanguageMode + '"},' +
    '"text":"PowerShell runs in ' + $ExecutionContext.SessionState.LanguageMode + ' mode, and this script needs ' +
    'FullLanguage. Ask for an exception for this script in the application control policy of this host (WDAC or ' +
    'AppLocker). If only the endpoint is restricted, set configuration_name in the inventory to another endpoint"}'
    $Head + '2,"event":"finished","outcome":"failed","differs":false,"changed":0,"reboot":false,"fingerprint":""}'
    if ($IsFile) { exit 3 }
    return
}

# Commands come only from modules of Windows: PSModulePath may contain a folder that others can write to.
$ModulePath = $env:PSModulePath
$env:PSModulePath = "$PSHOME\Modules;$env:SystemRoot\System32\WindowsPowerShell\v1.0\Modules"

Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$Utf8 = New-Object Text.UTF8Encoding $false              # the encoding of every file that is written: no BOM
$Steps = New-Object Collections.ArrayList
$Run = @{
    Id = ''; Mode = ''; Operator = ''; After = 0; Restarts = 0; BootBefore = ''   # from the envelope
    Asks = $true                                         # for what is missing: a run without an envelope, by hand
    ClockAhead = [TimeSpan]::Zero                        # of this host, compared with the workstation
    Script = ''; Evidence = ''                           # hashes: of this script, and of what the sender keeps
    Thorough = $false; Repair = $false                   # whether to read all installed files, or to install them again
    Archived = ''                                        # hash of the archived notebooks that an undo removes
    Log = @{ Lines = 100; Since = '-'; Seconds = 0; Cursor = '-' }   # which lines of the server's log to send
    FormerSalt = ''; NewSalt = $false                    # which password hashes may be replaced: see step notebook
    Step = ''; Differences = $null                       # of the step that runs
    Events = 0; EventFile = ''; EventStream = $null; NotKept = $null; Pipeline = $null; Stopped = $false
    Ended = $false                                       # it has reverted its temporary changes, and reported its end
    Lock = $null; Owner = ''; Left = ''                 # the lock, its first line, and what a killed run left in it
    Boot = ''; Reboot = $false; Restarting = $false; Pending = ''
    Outcome = 'ok'; Changed = 0; Differs = $false; Fingerprint = ''
    Failure = $null; Installing = $false                 # why it failed; it has begun to install an environment
    StoppedEarly = $false; Answered = $false             # it stopped the server early, and the server had answered
    NewSettings = $false                                 # what the server reads when it starts differs
    RollbackBegun = $false                               # the server starts from its previous environment
    ExitCode = 0; Output = @()                           # of the last program
    ForeignNamed = $false
}

# Test reports what differs and changes nothing; Apply makes the changes. A bracket is applied before the other
# steps, only if one of them has work to do, and is undone when they are done or have failed.
function Add-Step {
    param([string]$Name, [string]$Title, [scriptblock]$Test, [scriptblock]$Apply, [switch]$Bracket)
    [void]$Steps.Add(@{ Name = $Name; Title = $Title; Test = $Test; Apply = $Apply; Bracket = [bool]$Bracket })
}

# What parts of the prelude do before a run, when it has begun, when a run that makes changes has started, before it
# finishes, before an undo, when Windows must restart, and after the other findings of a check: script blocks, by name.
$Hooks = @{
    BeforeRun = @(); Begun = @(); Started = @(); Finished = @(); BeforeUndo = @(); AtRestart = @(); Check = @()
}

function Add-Hook([string]$Name, [scriptblock]$Block) { $Hooks[$Name] += $Block }

function Invoke-Hook([string]$Name) {
    foreach ($hook in $Hooks[$Name]) { & $hook }
}

# What each mode of a run does: script blocks, by name. main has these, and parts of the prelude add others.
$Modes = @{ test = $null; check = $null; status = $null; apply = $null; undo = $null; events = $null }

# Whether this run may change the host. Other runs leave nothing on it. Parts of the prelude add modes.
$ChangingModes = @('apply', 'undo')

function Test-Change { $ChangingModes -contains $Run.Mode }

# Settings contain paths such as %ProgramFiles%\...; the host expands them.
function Expand-Path([string]$Path) {
    [Environment]::ExpandEnvironmentVariables($Path)
}

# Return the folder of the notebooks that the settings name, in the form that the server reports.
function Get-NotebookPath { (Expand-Path $Settings.notebook.directory).TrimEnd('\') }

# ---- prelude: messages -----------------------------------------------------------------------------
# Format messages: each has a sentence with named values, and a code that never changes.

# Return the text with each {name} replaced by the value of that name. Braces in a value are left as they are. A value
# may end with a period, such as a message of Windows; if the sentence ends there, one period is enough.
function Format-Message([string]$Text, [hashtable]$Values) {
    [regex]::Replace($Text, '\{([a-z0-9_]+)\}(\. )?', {
            param($match)
            $value = [string]$Values[$match.Groups[1].Value]
            $end = $match.Groups[2].Value
            if ($end -and $value.EndsWith('.', [StringComparison]::Ordinal)) { $value + ' ' } else { $value + $end }
        })
}

# Return an exception to throw. {cause} in the text stands for the message of another exception, $Cause.
function New-Failure {
    param([string]$Code, [string]$Text, [hashtable]$Values = @{}, [Exception]$Cause)
    if (-not $Cause) { return New-CodedException $Code $Text $Values }
    $failure = ConvertTo-Failure $Cause
    New-CodedException $Code $Text ($Values + @{ cause = $failure.Message }) $failure
}

function New-CodedException {
    param([string]$Code, [string]$Text, [hashtable]$Values, [Exception]$Inner)
    $exception = New-Object InvalidOperationException((Format-Message $Text $Values), $Inner)
    $exception.Data['code'] = $Code
    $exception.Data['text'] = $Text
    $exception.Data['values'] = $Values
    $exception
}

# Exceptions of .NET and of commands have no code: they get one.
function ConvertTo-Failure([Exception]$Exception) {
    if ($Exception.Data.Contains('code')) { return $Exception }
    $values = @{ error = $Exception.Message }
    if (Test-DiskFull $Exception) {
        return New-CodedException disk-full ('the disk is full: {error}. Free ' +
            'some disk space, then try again') $values $Exception
    }
    New-CodedException unexpected-error '{error}' $values $Exception
}

# Return the fields of an event that reports an exception.
function Get-FailureField([Exception]$Exception) {
    $failure = ConvertTo-Failure $Exception
    $fields = @{ code = $failure.Data['code']; values = $failure.Data['values']; text = $failure.Message }
    $cause = $failure.InnerException
    if ($cause -and $cause.Data.Contains('code')) {
        $fields.cause = @{ code = $cause.Data['code']; values = $cause.Data['values'] }
    }
    $fields
}

# ERROR_DISK_FULL and ERROR_HANDLE_DISK_FULL.
function Test-DiskFull([Exception]$Exception) { Test-WindowsError $Exception '80070070', '80070027' }

# Return whether Windows gave one of these codes as the reason. Its text is in its display language.
function Test-WindowsError([Exception]$Exception, [string[]]$Codes) {
    for ($inner = $Exception; $inner; $inner = $inner.InnerException) {
        $code = '{0:x8}' -f [Runtime.InteropServices.Marshal]::GetHRForException($inner)
        if ($Codes -contains $code) { return $true }
    }
    $false
}

# Report something that a person should read: a warning, or a note in the log.
function Write-Notice {
    param([ValidateSet('warning', 'log')][string]$Event, [string]$Code, [string]$Text, [hashtable]$Values = @{})
    if ($Finding.Name -and $Event -eq 'warning') {
        Write-Finding warning (New-CodedException $Code $Text $Values)
        return
    }
    Write-Event $Event @{ code = $Code; values = $Values; text = Format-Message $Text $Values }
}

# Report that a long action continues. $Unit is bytes, packages, or seconds; $Total may be unknown.
function Write-StepProgress {
    param([string]$Code, [string]$Text, [hashtable]$Values = @{}, $Done, $Total, [string]$Unit)
    $fields = @{ code = $Code; values = $Values; what = Format-Message $Text $Values }
    if ($null -ne $Done) { $fields.done = $Done; $fields.total = $Total; $fields.unit = $Unit }
    Write-Event progress $fields
}

# A step's Test calls this for each difference. $Is and $Should are words or values; $null means absent.
function Add-Difference {
    param([string]$Code, [string]$What, $Is, $Should, [hashtable]$Values = @{})
    $what = Format-Message $What $Values
    [void]$Run.Differences.Add(@{ code = $Code; values = $Values; what = $what; is = $Is; should = $Should })
}

# ---- prelude: hashes -------------------------------------------------------------------------------
# Compute SHA-256 hashes; this script uses no others.

# Return the SHA-256 of bytes, or of a stream from its position to its end, in lower-case hex. A host in FIPS mode
# refuses the managed class of .NET; this class calls Windows.
function Get-Sha256($Source) {
    $sha256 = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    try { Format-Hash $sha256.ComputeHash($Source) } finally { $sha256.Dispose() }
}

function Format-Hash([byte[]]$Hash) {
    $hex = [BitConverter]::ToString($Hash) -replace '-', ''
    $hex.ToLowerInvariant()
}

# Return the SHA-256 of the next bytes of a stream, at most $Most of them. Other accounts can make some files longer
# while this script reads them.
function Get-StartSha256([IO.Stream]$Stream, [long]$Most) {
    $buffer = New-Object byte[] 1048576
    $sha256 = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    try {
        while ($Most) {
            $size = $Stream.Read($buffer, 0, [Math]::Min($buffer.Length, $Most))
            if (-not $size) { break }
            [void]$sha256.TransformBlock($buffer, 0, $size, $null, 0)
            $Most -= $size
        }
        [void]$sha256.TransformFinalBlock($buffer, 0, 0)
        Format-Hash $sha256.Hash
    }
    finally { $sha256.Dispose() }
}

function Get-FileSha256([string]$Path) {
    $stream = [IO.File]::OpenRead($Path)
    try { Get-Sha256 $stream } finally { $stream.Close() }
}

# ---- prelude: events -------------------------------------------------------------------------------
# Report events: lines of JSON, which are the only output of this script.

# The number n increases by one per event, so that a reader notices a gap. Only runs that may change the
# host ($ChangingModes) write their events to a file on the host, before they send them.
function Write-Event([string]$Event, [hashtable]$Data = @{}) {
    $fields = [ordered]@{
        v = 1; n = $Run.Events + 1; time = [DateTime]::UtcNow.ToString('o'); step = $Run.Step; event = $Event
    }
    foreach ($name in $Data.Keys | Sort-Object) { $fields[$name] = $Data[$name] }
    $json = ConvertTo-AsciiJson (ConvertTo-Json $fields -Compress -Depth 4)
    if ($Run.EventFile -and -not $Run.NotKept) { Save-Event $json }
    $Run.Events++
    # A stopped pipeline accepts no output; the file has the event.
    if (-not $Run.Stopped) { $Run.Pipeline.WriteObject($json) }
}

# Anything else that a step outputs becomes a log event, so that it cannot be mistaken for an event.
filter Write-OtherOutput { Write-Event log @{ text = [string]$_ } }

# The file stays open until the run ends, so no other program can prevent the next event. After the first event that
# cannot be written, none is: those behind a torn line would be lost.
function Save-Event([string]$Json) {
    try {
        if (-not $Run.EventStream) {
            $Run.EventStream = New-Object IO.FileStream $Run.EventFile, 'Append', 'Write', 'Read', 1   # no buffer
        }
        $bytes = $Utf8.GetBytes($Json + "`n")
        $Run.EventStream.Write($bytes, 0, $bytes.Length)
    }
    catch {
        $Run.NotKept = New-Failure events-not-kept ('could not write the events of this run to {file}: {cause}. Fix ' +
            'this error (for example, free some disk space), then try again') @{
            file = $Run.EventFile
        } -Cause $_.Exception
    }
}

function Close-EventFile {
    if ($Run.EventStream) { $Run.EventStream.Close() }
    $Run.EventStream = $null
}

# The events on the host are evidence: without them, a run does not continue.
function Assert-EventsKept {
    if ($Run.NotKept) {
        throw $Run.NotKept
    }
}

# Return JSON that means the same in every encoding.
function ConvertTo-AsciiJson([string]$Json) {
    [regex]::Replace($Json, '[^\n\x20-\x7e]', { param($match) '\u{0:x4}' -f [int][char]$match.Value })
}

# Send what run $Run.Id wrote after event $After, and continue as long as that run holds the lock.
function Send-EventsAfter([int]$After) {
    $file = Join-Path $StateFolder "runs\$($Run.Id)\events.jsonl"
    if (-not (Test-Path -LiteralPath $file)) {
        throw (New-Failure no-such-run ('this host has no run "{run}". Check the run ID: it is the name of the run ' +
                'directory on the workstation') @{ run = $Run.Id })
    }
    $sent = $After
    do {
        # The lock is checked before the file is read, so that everything written before its release is read.
        $running = (Get-LockOwner) -cmatch "^run $([regex]::Escape($Run.Id)),"
        foreach ($line in @(Read-CompleteLine $file)) {
            $number = Get-EventNumber $line
            if ($number -le $sent) { continue }
            $Run.Pipeline.WriteObject($line)
            $sent = $number
        }
        if ($running) { [Threading.Thread]::Sleep(500) }
    } while ($running)
}

function Get-EventNumber([string]$Line) {
    if ($Line -cmatch '\A\{"v":1,"n":([0-9]{1,9}),') { [int]$Matches[1] } else { 0 }
}

# Return the lines that end with a line feed. A line that is still being written, or torn by a crash, does not.
function Read-CompleteLine([string]$File) {
    $stream = [IO.File]::Open($File, 'Open', 'Read', 'ReadWrite')
    try { $text = (New-Object IO.StreamReader($stream, $Utf8)).ReadToEnd() } finally { $stream.Close() }
    $text.Substring(0, $text.LastIndexOf([char]10) + 1).Split([char[]]"`n", [StringSplitOptions]::RemoveEmptyEntries)
}

# Return the last lines of a file that others can write, such as the server's log. Links are not followed, and
# only the last 16 KB are read.
function Read-LastLine([string]$File, [int]$Count) {
    if (@(Get-Link $File).Count) { return '(not read, because its path contains a link)' }
    $stream = [IO.File]::Open($File, 'Open', 'Read', 'ReadWrite, Delete')
    try {
        if ($stream.Length -gt 16384) { [void]$stream.Seek($stream.Length - 16384, 'Begin') }
        $bytes = New-Object byte[] 16384
        $size = $stream.Read($bytes, 0, $bytes.Length)
    }
    finally { $stream.Close() }
    $lines = $Utf8.GetString($bytes, 0, $size).Split([char[]]"`n", [StringSplitOptions]::RemoveEmptyEntries)
    $lines | Select-Object -Last $Count
}

# ---- prelude: findings -----------------------------------------------------------------------------
# Report in mode check which requirements this host meets, one finding for each.

# In mode check: the requirement that is being checked, what was reported about it, and the message if it is met.
$Finding = @{ Name = ''; State = ''; Found = $null }

# Make sure that a requirement is met: $Assert throws, or writes a warning, if it is not. In mode check, each
# requirement is a finding; in other modes, the first one that is not met stops the run.
function Assert-Requirement([string]$Name, [scriptblock]$Assert) {
    if ($Run.Mode -ne 'check') { & $Assert; return }
    $Finding.Name = $Name
    $Finding.State = ''
    Set-Found requirement-met 'this host meets the requirement'
    try {
        & $Assert
        if (-not $Finding.State) { Write-Finding ok $Finding.Found }
    }
    catch {
        if ($_.Exception.Data.Contains('code')) { Write-Finding failed $_.Exception }
        else {
            Write-Finding unknown (New-Failure check-failed 'could not check this requirement: {cause}' -Cause (
                    $_.Exception))
        }
    }
    finally { $Finding.Name = '' }
}

# What to report about a requirement that is met.
function Set-Found {
    param([string]$Code, [string]$Text, [hashtable]$Values = @{})
    $Finding.Found = New-CodedException $Code $Text $Values
}

# The first sentence of a message is what was found; the others are what to do.
function Write-Finding([string]$State, [Exception]$Message) {
    $Finding.State = $State
    $fields = Get-FailureField $Message
    $sentences = @($Message.Data['text'] -split '\. ', 2)
    $fields.name = $Finding.Name
    $fields.state = $State
    $fields.text = Format-Message $sentences[0] $fields.values
    $fields.todo = ''
    if ($sentences.Count -gt 1) { $fields.todo = Format-Message $sentences[1] $fields.values }
    if ($State -eq 'failed') { $Run.Outcome = 'failed' }
    Write-Event finding $fields
}

# ---- prelude: host_log -----------------------------------------------------------------------------
# Write to the Windows event log which script changes this host.

# Entries are in the log Application, with a source that stays after undo, as the entries do. PowerShell 7 has no
# Write-EventLog, so .NET writes them.
Add-Hook Started { Write-HostLog 'state=started' }
Add-Hook Finished {
    $reboot = if ($Run.Reboot) { 'true' } else { 'false' }
    Write-HostLog "state=finished outcome=$($Run.Outcome) changed=$($Run.Changed) reboot=$reboot"
}

function Write-HostLog([string]$State) {
    $operator = ConvertTo-AsciiJson (ConvertTo-Json $Run.Operator -Compress)
    $evidence = if ($Run.Evidence) { $Run.Evidence } else { 'none' }
    $text = "run=$($Run.Id) mode=$($Run.Mode) host=$($Settings.host) release=$($Settings.release) " +
    "script=$($Run.Script) evidence=$evidence $State operator=$operator"
    try { Write-LogEntry $text }
    catch {
        $failure = ConvertTo-Failure $_.Exception
        Write-Notice warning host-log-not-written ('could not write to the Windows event log: {error}. Check whether ' +
            'the EventLog service is running') @{ error = $failure.Message }
    }
}

# The only function that uses the event log: tests have a stand-in for it.
function Write-LogEntry([string]$Text) {
    if (-not [Diagnostics.EventLog]::SourceExists('nbserver')) {
        [Diagnostics.EventLog]::CreateEventSource('nbserver', 'Application')
    }
    [Diagnostics.EventLog]::WriteEntry('nbserver', $Text, 'Information', 1)
}

# ---- prelude: kept_script --------------------------------------------------------------------------
# Save a copy of each script that changes this host.

# A script is kept once, in the folder of the first run that used it: the events of each run have its hash.
Add-Hook Started {
    $name = "$($Run.Script).ps1"
    try {
        if (-not @(Get-ChildItem -Path (Join-Path $StateFolder "runs\*\$name")).Count) {
            Write-TextFile (Join-Path (Split-Path -Parent $Run.EventFile) $name) $ScriptText
        }
    }
    catch {
        $failure = ConvertTo-Failure $_.Exception
        Write-Notice warning script-not-kept ('could not save a copy of this script in {folder}: {error}. Fix this ' +
            'error (for example, free some disk space), then run nbserver apply again') @{
            folder = Split-Path -Parent $Run.EventFile; error = $failure.Message
        }
    }
}

# ---- prelude: envelope -----------------------------------------------------------------------------
# Read the envelope: the only input of a run in addition to this script.

# Secrets stay in $Secrets, and only .NET methods receive them: what is passed to a command can appear in the logs of
# Windows (module logging).
$Secrets = @{}

# Read the lines of the envelope: a name and one or two values, separated by a space. Operator and secrets are Base64.
# A line that does not match is not quoted in the message, because it may contain a secret.
function Read-Envelope {
    $Run.Mode = $Mode
    $Run.Asks = -not @($EnvelopeLines).Count
    $number = 0
    foreach ($line in $EnvelopeLines) {
        $number++
        if ((Add-PartLine $line) -or (Add-LogLine $line) -or (Add-ArchiveLine $line)) { continue }
        switch -CaseSensitive -Regex ([string]$line) {
            "^mode ($(@($Modes.Keys) -join '|'))\z" { $Run.Mode = $Matches[1]; break }
            '^run ([0-9A-Za-z-]{1,64})\z' { $Run.Id = $Matches[1]; break }
            '^operator ([^ ]*)\z' {
                $Run.Operator = $Utf8.GetString([Convert]::FromBase64String($Matches[1]))
                break
            }
            '^time ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\z' {
                $Run.ClockAhead = [DateTime]::UtcNow - (ConvertFrom-UtcTime $Matches[1])
                break
            }
            '^after ([0-9]{1,9})\z' { $Run.After = [int]$Matches[1]; break }
            '^boot-before ([0-9]{4}(-[0-9]{2}){2}T[0-9]{2}(:[0-9]{2}){2}Z)\z' { $Run.BootBefore = $Matches[1]; break }
            '^restarts ([0-9])\z' { $Run.Restarts = [int]$Matches[1]; break }
            '^former-salt ([A-Za-z0-9+/]{22})\z' { $Run.FormerSalt = $Matches[1]; break }
            '^new-salt yes\z' { $Run.NewSalt = $true; break }
            '^thorough yes\z' { $Run.Thorough = $true; break }
            '^repair yes\z' { $Run.Repair = $true; break }
            '^evidence ([0-9a-f]{64})\z' { $Run.Evidence = $Matches[1]; break }
            '^secret ([a-z][a-z0-9_.]*) ([^ ]*)\z' {
                $Secrets[$Matches[1]] = $Utf8.GetString([Convert]::FromBase64String($Matches[2]))
                break
            }
            default {
                throw (New-Failure envelope-line-unknown ('line {number} on standard input (the envelope) is not ' +
                        'valid. Correct it as described in docs/formats.md') @{ number = $number })
            }
        }
    }
    if (-not $Run.Id) { $Run.Id = New-RunId }
}

# Return whether the line is about the log of the server, and keep what it says.
function Add-LogLine([string]$Line) {
    $form = '^log ([0-9]{1,5}) (-|[0-9TZ:-]{20}) ([0-9]|[1-5][0-9]|60) (-|[A-Za-z0-9:;=]{1,500})\z'
    if ($Line -cnotmatch $form) { return $false }
    $Run.Log = @{ Lines = [int]$Matches[1]; Since = $Matches[2]; Seconds = [int]$Matches[3]; Cursor = $Matches[4] }
    $true
}

# Return whether the line is the hash of an archive, and keep it.
function Add-ArchiveLine([string]$Line) {
    if ($Line -cnotmatch '^archived ([0-9a-f]{64})\z') { return $false }
    $Run.Archived = $Matches[1]
    $true
}

function ConvertFrom-UtcTime([string]$Text) {
    [DateTime]::ParseExact($Text, "yyyy-MM-dd'T'HH:mm:ss'Z'",
        [Globalization.CultureInfo]::InvariantCulture, 'AssumeUniversal, AdjustToUniversal')
}

function New-RunId {
    [DateTime]::UtcNow.ToString("yyyyMMdd'T'HHmmss'Z'", [Globalization.CultureInfo]::InvariantCulture) + '-by-hand'
}

# A run by hand asks for what the envelope would contain. With an envelope, another program runs the script: nobody
# would answer, and the run would keep the lock.
function Request-Secret([string]$Name, [string]$Prompt) {
    if ($Secrets.ContainsKey($Name) -or -not $Run.Asks) { return }
    if ('apply', 'rotate', 'set-password' -notcontains $Run.Mode) { return }
    $typed = Read-Host -Prompt $Prompt -AsSecureString
    $Secrets[$Name] = (New-Object Net.NetworkCredential('', $typed)).Password
}

# Without a new secret, the secret that an earlier run wrote to a file is kept. $Pattern's first group matches it.
function Read-KeptSecret {
    param([string]$Name, [string]$File, [string]$Pattern)
    if ($Secrets.ContainsKey($Name)) { return }
    if (-not (Test-Path -LiteralPath $File) -or -not (Test-Record 'file' $File)) { return }
    $found = [regex]::Match([IO.File]::ReadAllText($File, $Utf8), $Pattern)
    if ($found.Success) { $Secrets[$Name] = $found.Groups[1].Value }
}

# Keep the text of a file as a secret.
function Read-SecretFile([string]$Name, [string]$Path) { $Secrets[$Name] = [IO.File]::ReadAllText($Path, $Utf8) }

# Return the part of a secret that is not secret, such as the salt of a hash. $Pattern's first group matches it.
function Get-SecretPart([string]$Name, [string]$Pattern) {
    if (-not $Secrets.ContainsKey($Name)) { return '' }
    [regex]::Match($Secrets[$Name], $Pattern).Groups[1].Value
}

# Return the text with @NAME@ replaced by the secret of that name.
function Expand-Secret([string]$Text, [string]$Name) {
    if ($Name) { $Text.Replace("@$Name@", $Secrets[$Name]) } else { $Text }
}

# ---- prelude: part_data ----------------------------------------------------------------------------
# Keep the parts of files that were sent in the envelope, and their data.

# PowerShell remoting sends the data as byte arrays after the envelope. A command shell sends text, so there the data is
# in lines of the envelope. A run begins when all of it has arrived: a lost connection leaves no run that waits.

$Parts = New-Object Collections.ArrayList                # parts of files
# The data of the parts in their order, the position in the first block, and how much the present part still has.
$PartData = @{ Blocks = New-Object Collections.Generic.Queue[byte[]]; Position = 0; Left = 0 }

# Return the lines of the envelope, and keep the byte arrays.
function Read-EnvelopeLine($Source) {
    foreach ($item in $Source) {
        if ($item -is [byte[]]) { $PartData.Blocks.Enqueue($item) } else { [string]$item }
    }
}

# Return whether the line is about files that are copied, and keep what it says.
function Add-PartLine([string]$Line) {
    if ($Line -cmatch '^part ([^ ]+) ([0-9]{1,15}) ([0-9a-f]{64}) ([0-9]{1,15}) ([0-9]{1,9}) (-|[0-9a-f]{64})\z') {
        [void]$Parts.Add(@{
                Path = $Utf8.GetString([Convert]::FromBase64String($Matches[1])); Size = [long]$Matches[2]
                Sha256 = $Matches[3]; Offset = [long]$Matches[4]; Length = [int]$Matches[5]; Before = $Matches[6]
            })
        return $true
    }
    if (-not $Line.StartsWith('data ', [StringComparison]::Ordinal)) { return $false }
    $PartData.Blocks.Enqueue([Convert]::FromBase64String($Line.Substring(5)))
    $true
}

function Start-PartData($Part) { $PartData.Left = $Part.Length }

# Write the rest of the data of this part to the stream, or skip it without a stream. Return whether there was enough.
function Copy-PartData([IO.Stream]$Stream) {
    while ($PartData.Left) {
        if (-not $PartData.Blocks.Count) { return $false }
        $block = $PartData.Blocks.Peek()
        $size = [Math]::Min($PartData.Left, $block.Length - $PartData.Position)
        if ($Stream) { $Stream.Write($block, $PartData.Position, $size) }
        $PartData.Left -= $size
        $PartData.Position += $size
        if ($PartData.Position -lt $block.Length) { continue }
        [void]$PartData.Blocks.Dequeue()
        $PartData.Position = 0
    }
    $true
}

# Write the data of a part to its place in the stream of a file, and close the stream. Return whether all of it was
# there, and the SHA-256 of the file if the file is now complete.
function Save-PartData([IO.Stream]$Stream, $Part) {
    $saved = @{ Arrived = $false; Sha256 = '' }
    try {
        $Stream.SetLength($Part.Offset)
        [void]$Stream.Seek($Part.Offset, 'Begin')
        $saved.Arrived = Copy-PartData $Stream
        if ($saved.Arrived -and $Stream.Length -ge $Part.Size) {
            $Stream.Flush($true)
            [void]$Stream.Seek(0, 'Begin')
            $saved.Sha256 = Get-Sha256 $Stream
        }
    }
    finally { $Stream.Close() }
    $saved
}

function Write-FileState {
    param([string]$State, [string]$Path, $Size = 0, [string]$Sha256 = '')
    Write-Event file @{ path = $Path; sha256 = $Sha256; size = $Size; state = $State }
}

# ---- prelude: lock ---------------------------------------------------------------------------------
# Allow only one run at a time to change this host.

# Take the lock. Windows releases it when the process that holds it exits, for whatever reason. Get-LockOwner in another
# process may have the file open for a moment, so the lock is tried for half a second.
function Enter-Lock {
    for ($try = 1; -not $Run.Lock; $try++) {
        try { $Run.Lock = [IO.File]::Open($LockFile, 'OpenOrCreate', 'ReadWrite', 'Read') }
        catch [IO.IOException] {
            if ($try -ge 6) {
                $failure = New-LockFailure $_.Exception
                throw $failure
            }
            [Threading.Thread]::Sleep(100)
        }
    }
    $Run.Left = (New-Object IO.StreamReader($Run.Lock, $Utf8)).ReadToEnd()
    $Run.Owner = "run $($Run.Id), mode $($Run.Mode), by '$($Run.Operator)', process $PID, " +
    "since $([DateTime]::UtcNow.ToString('o'))"
    Write-Lock ($Run.Left -replace '\A[^\n]*')
}

# Write who holds the lock, and what else is known about it: on a second line, the program that runs (left_program).
function Write-Lock([string]$More) {
    $bytes = $Utf8.GetBytes($Run.Owner + $More)
    $Run.Lock.SetLength(0)
    $Run.Lock.Write($bytes, 0, $bytes.Length)
    $Run.Lock.Flush()
}

function New-LockFailure([Exception]$Cause) {
    $owner = Get-LockOwner
    if ($owner) {
        return New-Failure run-in-progress ('another run is changing this host: {owner}. Wait for it to finish, then ' +
            'try again') @{ owner = $owner }
    }
    New-Failure lock-not-opened ('could not open {file}: {cause}. Fix this error (for example, close the program ' +
        'that is using this file), then try again') @{ file = $LockFile } -Cause $Cause
}

# A run that was refused while the program of a killed run was still there leaves the file as it found it.
function Exit-Lock {
    if (-not $Run.Lock) { return }
    $Run.Owner = $Run.Left
    Write-Lock
    $Run.Lock.Close()
    $Run.Lock = $null
}

# Return which run holds the lock, or nothing. Only a lock that cannot be taken has an owner: the text in the file may
# be of a run that was killed.
function Get-LockOwner {
    if (-not (Test-Path -LiteralPath $LockFile)) { return }
    try { [IO.File]::Open($LockFile, 'Open', 'ReadWrite', 'Read').Close() }
    catch [IO.IOException] {
        $stream = [IO.File]::Open($LockFile, 'Open', 'Read', 'ReadWrite')
        try { ((New-Object IO.StreamReader($stream, $Utf8)).ReadToEnd() -split "`n")[0] } finally { $stream.Close() }
    }
}

# Return the ID of the run that was cut off while it held the lock: a run that finishes empties the file.
function Get-CutOffRun {
    $text = ''
    if (Test-Path -LiteralPath $LockFile) { $text = [IO.File]::ReadAllText($LockFile, $Utf8) }
    if ($text -cmatch '\Arun ([0-9A-Za-z-]{1,64}),') { $Matches[1] } else { 'unknown' }
}

# ---- prelude: paths --------------------------------------------------------------------------------
# Refuse to change anything through a link, or outside of nbserver's folders at undo.

# The service account, and people who share a folder with it, could replace a folder in which this script works with a
# link: a junction that leads to a folder of Windows, for example.

# Return whether the path is in the folder, at any depth. Windows compares paths without regard to case.
function Test-Below([string]$Path, [string]$Folder) {
    $Path.StartsWith("$Folder\", [StringComparison]::OrdinalIgnoreCase)
}

# Return whether the path is what Windows calls a reparse point: a junction, a symbolic link, or a mounted volume.
function Test-Link([string]$Path) {
    if (-not [IO.File]::Exists($Path) -and -not [IO.Directory]::Exists($Path)) { return $false }
    [bool]([IO.File]::GetAttributes($Path) -band [IO.FileAttributes]::ReparsePoint)
}

# Return each link in the path: the path itself and the folders above it, up to the drive or to one of $TopFolders.
function Get-Link([string]$Path) {
    $current = $Path
    while ($TopFolders -notcontains $current) {
        $parent = Split-Path -Parent $current
        if (-not $parent) { return }   # the drive
        if (Test-Link $current) { $current }
        $current = $parent
    }
}

# This is called immediately before each change.
function Assert-NoLink([string]$Path) {
    foreach ($link in @(Get-Link $Path)) {
        throw (New-Failure link-in-path ('{path} was not changed, because {link} is a link (a junction, symbolic ' +
                'link, or mounted volume). Check where the link points, remove it, then try again') @{
                path = $Path; link = $link
            })
    }
}

# While a file in a folder is open, Windows refuses to rename that folder or a folder above it, or to turn one of them
# into a link. Return such a file; .Close() also deletes it. Older .NET accepts folders of at most 247 characters and
# files of at most 259, which leaves 11 for a name.
function Lock-Folder([string]$Path) {
    Assert-NoLink $Path
    $file = Join-Path $Path "nb-$([guid]::NewGuid().ToString().Substring(0, 8))"
    $lock = New-Object IO.FileStream $file, ([IO.FileMode]::CreateNew), ([IO.FileAccess]::Write),
    ([IO.FileShare]::None), 1, ([IO.FileOptions]::DeleteOnClose)
    try { Assert-NoLink $Path }
    catch { $lock.Close(); throw }
    $lock
}

# Return the folders above the path that do not exist, the outermost first.
function Get-MissingParent([string]$Path) {
    $missing = @()
    $parent = Split-Path -Parent $Path
    while ($parent -and -not (Test-Path -LiteralPath $parent)) {
        $missing = @($parent) + $missing
        $parent = Split-Path -Parent $parent
    }
    $missing
}

# ---- undo restores only these paths, whatever the record contains

function Test-KnownPath([string]$Path) {
    if ($Path -ne [IO.Path]::GetFullPath($Path)) { return $false }   # such as C:\ProgramData\nbserver\..\else
    foreach ($folder in $Programs, $StateFolder) {
        if ($Path -eq $folder -or (Test-Below $Path $folder)) { return $true }
    }
    $Path.TrimEnd('\') -eq (Get-NotebookPath)
}

# Return whether the folder has notebooks or the events of runs: undo removes no such folder with all its contents.
function Test-KeptFolder([string]$Path) {
    $folder = $Path.TrimEnd('\')
    if ($folder -eq $StateFolder) { return $true }
    foreach ($kept in (Get-NotebookPath), (Join-Path $StateFolder 'notebooks'), (Join-Path $StateFolder 'runs')) {
        if ($folder -eq $kept -or (Test-Below $folder $kept)) { return $true }
    }
    $false
}

function Assert-KnownPath([string]$Path) {
    if (-not (Test-KnownPath $Path)) {
        throw (New-Failure record-path-unknown ('{record}, the list of what undo restores, contains a line for ' +
                '{path}, which is not in an nbserver folder. Find out who added this line, remove it, then try ' +
                'again') @{
                path = $Path; record = $RecordFile
            })
    }
}

# ---- prelude: held_files ---------------------------------------------------------------------------
# Open, move, replace, and remove files that other programs may be using.

# A virus scanner opens each new file, for seconds or up to a minute. Meanwhile Windows refuses to write, move, replace,
# or remove the file, and to move the folders above it.

$HeldPatience = 60                                       # for how many seconds to try again
$StillHeld = @{}                                         # paths that were held to the end: this run does not wait again

# How Windows refuses it: access denied (a folder with an open file, or a file that is removed when it is closed),
# sharing and lock violations, folder not empty (a file in it is removed when it is closed), busy, the three errors of
# a replacement, and a file that is mapped. Source: "System Error Codes" on learn.microsoft.com.
$HeldCodes = '80070005', '80070020', '80070021', '80070091', '800700aa', '80070497', '80070498', '80070499', '800704c8'

# Programs of virus scanners, by the name of their process.
$Scanners = @{
    MsMpEng = 'Microsoft Defender Antivirus'; mcshield = 'McAfee or Trellix Endpoint Security'
    ccSvcHst = 'Symantec Endpoint Protection'; ekrn = 'ESET'; avp = 'Kaspersky'; NTRtScan = 'Trend Micro Apex One'
    CSFalconService = 'CrowdStrike Falcon'; SentinelAgent = 'SentinelOne'
}

# Replace a file by another one, in one operation. After a power failure, there is the old file or the new one.
function Move-Over([string]$New, [string]$Path) { Invoke-FileChange 'replace' $New $Path }

# Copy a file to a new one, which is on the disk before the record names it, or before the file that it restores.
function Copy-File([string]$From, [string]$Path) {
    [IO.File]::Copy($From, $Path)
    Invoke-FileChange 'flush' $Path
}

# Windows keeps what is written in memory at first, but it writes names of files to the disk in their order: the new
# name would be there with nothing or zeros in the file. Only a file that can be written can be flushed.
function Write-ThroughCache([string]$Path) {
    if ([IO.File]::GetAttributes($Path) -band [IO.FileAttributes]::ReadOnly) { return }
    $stream = [IO.File]::Open($Path, 'Open', 'ReadWrite', 'ReadWrite, Delete')
    try { $stream.Flush($true) } finally { $stream.Close() }
}

function Remove-SingleFile([string]$Path) {
    if (-not [IO.File]::Exists($Path)) { return }
    Clear-ReadOnly $Path
    Invoke-FileChange 'remove-file' $Path
}

# Windows does not remove what is read-only.
function Clear-ReadOnly([string]$Path) {
    $attributes = [IO.File]::GetAttributes($Path)
    if ($attributes -band [IO.FileAttributes]::ReadOnly) {
        [IO.File]::SetAttributes($Path, ($attributes -band -bnot [IO.FileAttributes]::ReadOnly))
    }
}

# Make one of the changes of Edit-Path, as soon as no other program prevents it. $With is what the change needs.
function Invoke-FileChange {
    param([string]$Change, [string]$Path, $With)
    $wait = @{ Path = $Path; Watch = [Diagnostics.Stopwatch]::StartNew(); Pause = 50; Reported = $false; Done = 0 }
    $codes = $HeldCodes
    if ($Change -eq 'remove-tree') { $codes += '80070002', '80070003' }   # not found: a program removed it meanwhile
    while ($true) {
        try {
            Edit-Path $Change $Path $With
            # Windows removes a file that a program has open only when that program closes it.
            if ($Change -ne 'remove-file' -or -not [IO.File]::Exists($Path)) { return }
            $cause = New-Failure file-still-open '{path} is still open in another program' @{ path = $Path }
        }
        catch {
            if (-not (Test-WindowsError $_.Exception $codes)) { throw }
            if ($Change -eq 'remove-tree') { Reset-Wait $wait $With.Count }
            $cause = $_.Exception
        }
        if ($StillHeld[$Path] -or $wait.Watch.Elapsed.TotalSeconds -ge $HeldPatience) {
            $StillHeld[$Path] = $true
            $failure = Get-HeldFailure $Path $cause
            throw $failure
        }
        Wait-Holder $wait
    }
}

# A replacement can fail halfway: Windows has then removed the old file, and the new one still has its own name.
function Edit-Path {
    param([string]$Change, [string]$Path, $With)
    switch ($Change) {
        'open' { $With.Stream = [IO.File]::Open($Path, 'OpenOrCreate', 'ReadWrite', 'Read') }
        'flush' { Write-ThroughCache $Path }
        'replace' {
            Write-ThroughCache $Path
            if ([IO.File]::Exists($With)) { [IO.File]::Replace($Path, $With, [NullString]::Value) }
            else { [IO.File]::Move($Path, $With) }
        }
        'move-folder' { [IO.Directory]::Move($Path, $With) }
        'remove-file' { [IO.File]::Delete($Path) }
        'remove-folder' { [IO.Directory]::Delete($Path, $false) }
        'remove-tree' { Remove-Tree $With }
    }
}

# Each file that could be removed since the last attempt restarts the time.
function Reset-Wait($Wait, [int]$Done) {
    if ($Done -eq $Wait.Done) { return }
    $Wait.Done = $Done
    $Wait.Pause = 50
    $Wait.Watch.Restart()
}

# The pauses grow from a twentieth of a second to five seconds. The wait is reported once, when it has taken a second.
function Wait-Holder($Wait) {
    if (-not $Wait.Reported -and $Run.Step -and $Wait.Pause -ge 800) {
        $Wait.Reported = $true
        Write-StepProgress waiting-for-holder 'Waiting for another program to release {path}' @{ path = $Wait.Path }
    }
    Start-Pause $Wait.Pause
    $Wait.Pause = [Math]::Min(2 * $Wait.Pause, 5000)
}

function Start-Pause([int]$Milliseconds) { [Threading.Thread]::Sleep($Milliseconds) }

# Return the name of what probably holds the path: a program that runs in this folder, or a virus scanner; or nothing.
function Get-Holder([string]$Path) {
    $processes = @(Get-Process)
    foreach ($process in $processes) {
        if ($process.Path -and (Test-Below $process.Path $Path)) { return $process.Path }
    }
    foreach ($process in $processes) {
        if ($Scanners.ContainsKey($process.Name)) { return $Scanners[$process.Name] }
    }
}

function Get-HeldFailure([string]$Path, [Exception]$Exception) {
    $values = @{ path = $Path; seconds = $HeldPatience; folder = Split-Path -Parent $Path }
    $holder = Get-Holder $Path
    if ($holder) {
        $values.program = $holder
        return New-Failure file-held-by ('could not open, move, replace, or remove {path} within {seconds} seconds: ' +
            '{cause}. {program} is probably using it. Stop {program}, or exclude {folder} from its scans, then ' +
            'try again') $values -Cause $Exception.GetBaseException()
    }
    New-Failure file-held ('could not open, move, replace, or remove {path} within {seconds} seconds: {cause}. ' +
        'Another program, such as a virus scanner, may be using it, or this account may not be allowed to change ' +
        'it. Stop that program, exclude {folder} from its scans, or grant the permission, then try again') `
        $values -Cause $Exception.GetBaseException()
}

# ---- prelude: access -------------------------------------------------------------------------------
# Set and check access lists: who may read and change a folder.

$AdministratorsOnly = 'D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)'   # in SDDL: full control for SYSTEM, administrators
$UserSid = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value

# Read the access list of a file or folder (without $Change), set it to $Change, or create the folder with $New. Get-Acl
# and Set-Acl are not used: Set-Acl also writes owner and group, which Windows allows only to administrators. Windows
# PowerShell has methods of the file for this, PowerShell 7 has another class.
function Use-AccessControl {
    param([string]$Path, $Change, [string]$Sections = 'Access', $New)
    $item = New-Object IO.DirectoryInfo $Path
    if (-not $New -and -not $item.Exists) { $item = New-Object IO.FileInfo $Path }
    $hasMethods = [bool]$item.PSObject.Methods['GetAccessControl']
    if ($New -and $hasMethods) { $item.Create($New) }
    elseif ($New) { [IO.FileSystemAclExtensions]::Create($item, $New) }
    elseif ($Change -and $hasMethods) { $item.SetAccessControl($Change) }
    elseif ($Change) { [IO.FileSystemAclExtensions]::SetAccessControl($item, $Change) }
    elseif ($hasMethods) { $item.GetAccessControl($Sections) }
    else { [IO.FileSystemAclExtensions]::GetAccessControl($item, $Sections) }
}

function Get-AccessSddl([string]$Path) {
    (Use-AccessControl $Path).GetSecurityDescriptorSddlForm('Access')
}

# Compare the entries. The flags before them (P: nothing is inherited; Windows adds AI and AR) only have to contain P.
function Test-Access([string]$Path, [string]$Sddl) {
    $is = Get-AccessSddl $Path
    $is -cmatch '^D:[A-Z]*P' -and ($is -creplace '^D:[A-Z]*', '') -eq ($Sddl -creplace '^D:[A-Z]*', '')
}

function Set-Access([string]$Path, [string]$Sddl) {
    $lock = Lock-Folder $Path
    try {
        $acl = Use-AccessControl $Path
        $acl.SetSecurityDescriptorSddlForm($Sddl, 'Access')
        Use-AccessControl $Path -Change $acl
    }
    finally { $lock.Close() }
}

# Create a folder with its owner and access list in one call: between two calls, another account could open it.
function New-ClosedFolder([string]$Path, [string]$Sddl) {
    Assert-NoLink $Path
    $security = New-Object Security.AccessControl.DirectorySecurity
    $security.SetSecurityDescriptorSddlForm("O:$StateOwner$Sddl")
    Use-AccessControl $Path -New $security
}

# ---- who else has access

$AnyRight = -bnot 0   # all 32 bits of an access mask are set

# Return a failure if an account that is not in $Allowed owns the path or has one of the rights, else nothing. With
# -SkipInheritOnly, entries that apply only to what is created in the folder do not count.
function Get-AccessFault {
    param([string]$Path, [string[]]$Allowed, [int]$Rights, [switch]$SkipInheritOnly)
    if (Test-Link $Path) { return New-Failure access-link '{path} is a link' @{ path = $Path } }
    $acl = Use-AccessControl $Path -Sections 'Owner, Access'
    $owner = $acl.GetOwner([Security.Principal.SecurityIdentifier]).Value
    if ($Allowed -notcontains $owner) {
        return New-Failure access-owner '{path} is owned by {owner}' @{ path = $Path; owner = $owner }
    }
    foreach ($entry in $acl.GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier])) {
        $account = $entry.IdentityReference.Value
        if ([string]$entry.AccessControlType -ne 'Allow' -or $Allowed -contains $account) { continue }
        if (-not ([int]$entry.FileSystemRights -band $Rights)) { continue }
        $inheritOnly = [int]$entry.PropagationFlags -band [int][Security.AccessControl.PropagationFlags]::InheritOnly
        if ($SkipInheritOnly -and $inheritOnly) { continue }
        $values = @{ account = $account; path = $Path }
        if ($Rights -eq $AnyRight) { return New-Failure access-granted '{account} has access to {path}' $values }
        return New-Failure access-to-change '{account} can modify {path} or its permissions' $values
    }
}

# ---- prelude: places -------------------------------------------------------------------------------
# Set the folders of nbserver on this host, and who has access to them.

$Programs = Join-Path $env:ProgramFiles 'nbserver'       # programs; only administrators can write
$StateFolder = Join-Path $env:ProgramData 'nbserver'     # only SYSTEM and administrators have access
$ServiceFolder = Join-Path $StateFolder 'service'        # configuration, certificate, key; the service reads
$WorkFolder = Join-Path $StateFolder 'work'              # the service reads and writes
$CacheFolder = Join-Path $StateFolder 'cache'            # downloads
$RecordFile = Join-Path $StateFolder 'record.jsonl'      # the previous state, for undo
$LockFile = Join-Path $StateFolder 'lock'                # locked while a run changes this host
$ServerLog = Join-Path $WorkFolder 'notebook.log'
$TopFolders = @()                                        # links are refused in the whole path, up to the drive

# The kinds in the record whose keys are paths in these folders.
$PathKinds = 'folder', 'access', 'file', 'msi', 'bundle', 'inno'

# ---- accounts, as security identifiers (SIDs)

# The server is a scheduled task of LOCAL SERVICE. Other services use that account too, but the task's process also has
# a SID that no other process has, and only this SID gets access. It consists of S-1-5-87 and the SHA-1 of the task's
# name in upper case; `schtasks /showsid /tn nbserver` shows it.
$ServiceSid = 'S-1-5-87-930827800-2675213412-4068685239-1410473313-2291456054'
$LocalService = 'S-1-5-19'
$Trusted = 'S-1-5-18', 'S-1-5-32-544'   # SYSTEM and administrators: undo may act on what they wrote
# The service TrustedInstaller, which owns the files of Windows.
$TrustedInstaller = 'S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464'
$OwnerRights = 'S-1-3-4'                # stands for the owner of the folder, whoever that is

# ---- access lists in SDDL

# SY is SYSTEM, BA administrators; FA full control, 0x1200a9 read and execute, 0x1301bf modify.

$ServiceReads = $AdministratorsOnly + "(A;OICI;0x1200a9;;;$ServiceSid)"
$ServiceWrites = $AdministratorsOnly + "(A;OICI;0x1301bf;;;$ServiceSid)"
$StateAccess = $AdministratorsOnly
$StateOwner = 'BA'

# ---- prelude: record -------------------------------------------------------------------------------
# Record for undo the state of each thing before its first change, and restore it.

# A line has a step, a kind, a key, and the state before. Every function that changes something calls Save-Before
# first. $Restore has one script block per kind, which restores that state. Undo goes through the record backwards.
$Restore = @{}
$RegistryValues = @()                                    # those that steps change, as KEY|NAME: undo restores no other

# A line that is already in the record stays as it is, or is replaced with -Replace, in one write.
function Save-Before {
    param([string]$Kind, [string]$Key, $Before, [switch]$Replace)
    if (-not $Replace -and (Test-Record $Kind $Key)) { return }
    $others = @(Read-Record | Where-Object { $_.kind -ne $Kind -or $_.key -ne $Key })
    Write-Record ($others + @{ v = 1; step = $Run.Step; kind = $Kind; key = $Key; before = $Before })
}

# A replacement that fails halfway can leave only the new file. In one that was not written to its end, the last line is
# left out: what it is about has not been changed yet.
function Read-Record {
    if (Test-Path -LiteralPath $RecordFile) { $lines = [IO.File]::ReadAllLines($RecordFile, $Utf8) }
    elseif (Test-Path -LiteralPath "$RecordFile.new") { $lines = @(Read-CompleteLine "$RecordFile.new") }
    else { return }
    for ($i = 0; $i -lt $lines.Count; $i++) {
        if ($lines[$i].Trim()) { ConvertFrom-RecordLine $lines[$i] ($i + 1) }
    }
}

# With an incomplete record, undo would restore the wrong things. So nothing is done.
function ConvertFrom-RecordLine([string]$Text, [int]$Number) {
    $line = ''
    try { $line = ConvertFrom-Json $Text } catch { $line = '' }
    $version = if ($null -ne $line -and $line.PSObject.Properties['v']) { $line.v } else { 1 }
    if (($version -is [int] -or $version -is [long]) -and $version -gt 1) {
        throw (New-Failure record-newer ('line {number} of {path}, the list of what undo restores, has format ' +
                'version {version}: a newer release of nbserver wrote it. Upgrade nbserver on the workstation, then ' +
                'try again') @{
                number = $Number; path = $RecordFile; version = $version
            })
    }
    foreach ($name in 'step', 'kind', 'key', 'before') {
        if ($null -ne $line -and $line.PSObject.Properties[$name]) { continue }
        throw (New-Failure record-damaged ('line {number} of {path}, the list of what undo restores, is not valid. ' +
                'Restore this file from a backup, or correct the line, then try again') @{
                number = $Number; path = $RecordFile
            })
    }
    $line
}

function Test-Record([string]$Kind, [string]$Key) {
    foreach ($line in @(Read-Record)) {
        if ($line.kind -eq $Kind -and $line.key -eq $Key) { return $true }
    }
    $false
}

# Restore one thing, then remove its line from the record.
function Undo-Line($Line) {
    if (-not $Restore.ContainsKey($Line.kind)) {
        throw (New-Failure unknown-kind ('this nbserver release cannot undo changes of the kind "{kind}", which ' +
                'another release made on this host. Run nbserver undo with that release') @{ kind = $Line.kind })
    }
    if ($PathKinds -contains $Line.kind) { Assert-KnownPath $Line.key }
    Assert-KnownName $Line
    & $Restore[$Line.kind] $Line.key $Line.before
    Remove-Line $Line
    Write-Event restored @{ kind = $Line.kind; what = $Line.key }
}

function Remove-Line($Line) {
    Write-Record @(Read-Record | Where-Object { $_.kind -ne $Line.kind -or $_.key -ne $Line.key })
}

# Whatever the record contains, undo restores only registry values and tasks that this script can have changed, runs
# only programs from folders where it puts them, and keeps what is not for undo to remove.
function Assert-KnownName($Line) {
    $isKnown = switch ($Line.kind) {
        'registry' { $RegistryValues -contains $Line.key }
        'task' { $Line.key -cmatch '\A(nbserver|nbserver-close-[a-z0-9_]+)\z' }
        'msi' { (Split-Path -Parent $Line.key) -eq $CacheFolder }
        'bundle' { (Split-Path -Parent $Line.key) -eq $CacheFolder }
        'inno' { (Split-Path -Parent $Line.key) -eq $Programs }
        'folder' { -not (Test-KeptFolder $Line.key) }
        default { $true }
    }
    if ($isKnown) { return }
    throw (New-Failure record-name-unknown ('{record}, the list of what undo restores, contains a line that nbserver ' +
            'did not write ({kind} {key}). Find out who added this line, remove it, then try again') @{
            kind = $Line.kind; key = $Line.key; record = $RecordFile
        })
}

function Write-Record($Lines) {
    $text = -join @($Lines | ForEach-Object { (ConvertTo-Json $_ -Compress -Depth 6) + "`n" })
    Write-TextFile $RecordFile $text
}

# Replace a text file as a whole, in UTF-8 without BOM. Only events (appended) and the first page (bytes) are written
# elsewhere. The new file replaces the old file at once, so a run that is killed leaves one of the two, never a part.
function Write-TextFile {
    param([string]$Path, [string]$Text, [string]$Secret)
    Assert-NoLink "$Path.new"
    Assert-NoLink $Path
    $existed = Test-Path -LiteralPath $Path
    try {
        [IO.File]::WriteAllText("$Path.new", (Expand-Secret $Text $Secret), $Utf8)
        Move-Over "$Path.new" $Path
    }
    catch {
        # If Windows has removed the old file, the new one is all that is left.
        if (-not $existed -or (Test-Path -LiteralPath $Path)) { Remove-SingleFile "$Path.new" }
        throw
    }
}

# ---- prelude: registry -----------------------------------------------------------------------------
# Read values in the registry.

# Return the value and its type, or nothing if it does not exist. Variables in a REG_EXPAND_SZ value stay unexpanded.
function Get-RegistryValue([string]$Path, [string]$Name) {
    if (-not (Test-Path -LiteralPath $Path)) { return }
    $key = Get-Item -LiteralPath $Path
    if ($key.GetValueNames() -notcontains $Name) { return }
    @{ value = $key.GetValue($Name, $null, 'DoNotExpandEnvironmentNames'); type = [string]$key.GetValueKind($Name) }
}

# ---- prelude: registry_values ----------------------------------------------------------------------
# Compare, set, and restore values in the registry.

function Compare-RegistryValue {
    param([string]$Path, [string]$Name, $Should)
    $is = $null
    $found = Get-RegistryValue $Path $Name
    if ($found) { $is = $found.value }
    if ($found -and [string]::Equals([string]$is, [string]$Should)) { return }
    Add-Difference registry-value '{key}\{name}' $is $Should @{ key = $Path; name = $Name }
}

# The record has an "=" before each value. Without it, ConvertFrom-Json would convert text that looks like a date.
function Set-RegistryValue {
    param([string]$Path, [string]$Name, $Value, [string]$Type)
    $before = Get-RegistryValue $Path $Name
    if ($before) { $before = @{ type = $before.type; value = @($before.value | ForEach-Object { "=$_" }) } }
    Save-Before 'registry' "$Path|$Name" $before
    Set-ItemProperty -LiteralPath $Path -Name $Name -Value $Value -Type $Type
}

$Restore.registry = {
    param($Key, $Before)
    $path, $name = $Key -split '\|', 2
    if (-not $Before) {
        if (Get-RegistryValue $path $name) { Remove-ItemProperty -LiteralPath $path -Name $name }
        return
    }
    $value = @($Before.value | ForEach-Object { $_.Substring(1) })   # without the "="
    if ($Before.type -eq 'Binary') { $value = [byte[]]$value }
    elseif ($Before.type -ne 'MultiString') { $value = $value[0] }
    Set-ItemProperty -LiteralPath $path -Name $name -Value $value -Type $Before.type
}

# ---- prelude: path_entries -------------------------------------------------------------------------
# Add, remove, and restore entries of the machine's PATH, and nothing else in it.

$MachineEnvironment = 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Environment'

function Get-MachinePath {
    $path = Get-RegistryValue $MachineEnvironment Path
    if ($path) { return $path }
    @{ value = ''; type = 'ExpandString' }
}

function Set-MachinePath([string]$Value, [string]$Type) {
    Set-ItemProperty -LiteralPath $MachineEnvironment -Name Path -Value $Value -Type $Type
}

# ---- entries that this script adds

function Test-PathEntry([string]$Entry) {
    $entries = @((Get-MachinePath).value -split ';' | ForEach-Object { (Expand-Path $_).TrimEnd('\') })
    $entries -contains $Entry.TrimEnd('\')
}

function Add-PathEntry([string]$Entry) {
    $path = Get-MachinePath
    Save-Before 'path_entry' $Entry $null
    Set-MachinePath ($path.value + ';' + $Entry) $path.type
}

# Return the lines of the record for entries that an earlier run added and these settings no longer have.
function Get-ObsoletePathEntry([string[]]$Wanted) {
    @(Read-Record | Where-Object { $_.kind -eq 'path_entry' -and $Wanted -notcontains $_.key })
}

$Restore.path_entry = {
    param($Entry)
    $path = Get-RegistryValue $MachineEnvironment Path
    if (-not $path) { return }
    $appended = ';' + [regex]::Escape($Entry) + '(?=;|$)'
    Set-MachinePath ([regex]::Replace($path.value, $appended, '')) $path.type
}

# ---- entries of other programs that this script removes, and undo restores

# Windows compares paths without regard to case.
function Test-SameEntry([string]$One, [string]$Other) {
    [string]::Equals($One, $Other, [StringComparison]::OrdinalIgnoreCase)
}

function Get-PathWithout([string]$Path, [string]$Entry) {
    @($Path.Split([char[]]';') | Where-Object { -not (Test-SameEntry $_ $Entry) }) -join ';'
}

# The record keeps the whole PATH, because undo needs the neighbors of the entry.
function Remove-PathEntry([string]$Entry) {
    $path = Get-MachinePath
    Save-Before 'path_removal' $Entry ([string]$path.value)
    Set-MachinePath (Get-PathWithout $path.value $Entry) $path.type
}

# Return $Path, the PATH of today, with the entry as often as in $Before, the PATH before the removal. Other entries
# that were added or removed since then stay as they are.
function Join-PathEntry {
    param([string]$Path, [string]$Entry, [string]$Before)
    if ([string]::Equals($Path, (Get-PathWithout $Before $Entry))) { return $Before }   # nothing else has changed
    $now = New-Object Collections.Generic.List[string]
    if ($Path) { $now.AddRange($Path.Split([char[]]';')) }
    $then = $Before.Split([char[]]';')
    $missing = (Get-EntryCount $then $Entry) - (Get-EntryCount $now.ToArray() $Entry)
    for ($i = 0; $i -lt $then.Count -and $missing -gt 0; $i++) {
        if (-not (Test-SameEntry $then[$i] $Entry)) { continue }
        $now.Insert((Get-EntryPlace $now.ToArray() $then $i), $then[$i])
        $missing--
    }
    $now.ToArray() -join ';'
}

function Get-EntryCount([string[]]$Entries, [string]$Entry) {
    @($Entries | Where-Object { Test-SameEntry $_ $Entry }).Count
}

# Return the index in $Now at which to insert the entry that had the index $Index in $Then: the same index if all
# entries before it are the same, else after its nearest previous neighbor, else before its nearest next neighbor, else
# the end.
function Get-EntryPlace {
    param([string[]]$Now, [string[]]$Then, [int]$Index)
    if (Test-SameBeginning $Now $Then $Index) { return $Index }
    for ($i = $Index - 1; $i -ge 0; $i--) {
        $found = @(Find-PathEntry $Now $Then[$i])
        if ($found.Count) { return $found[$found.Count - 1] + 1 }
    }
    for ($i = $Index + 1; $i -lt $Then.Count; $i++) {
        $found = @(Find-PathEntry $Now $Then[$i])
        if ($found.Count) { return $found[0] }
    }
    $Now.Count
}

function Test-SameBeginning {
    param([string[]]$One, [string[]]$Other, [int]$Count)
    if ($One.Count -lt $Count) { return $false }
    for ($i = 0; $i -lt $Count; $i++) {
        if (-not [string]::Equals($One[$i], $Other[$i])) { return $false }
    }
    $true
}

# Return each index at which exactly this text is. Empty entries are not found: they do not identify a place.
function Find-PathEntry([string[]]$Entries, [string]$Text) {
    if (-not $Text) { return }
    for ($i = 0; $i -lt $Entries.Count; $i++) {
        if ([string]::Equals($Entries[$i], $Text)) { $i }
    }
}

$Restore.path_removal = {
    param($Entry, $Before)
    $path = Get-MachinePath
    Set-MachinePath (Join-PathEntry $path.value $Entry $Before) $path.type
}

# ---- prelude: files --------------------------------------------------------------------------------
# Create folders and write text files, so that undo can restore what was there before.

# Create a folder that undo removes with everything in it, and set its access list.
function Add-Folder([string]$Path, [string]$Sddl) {
    if (-not (Test-Path -LiteralPath $Path)) {
        Save-Before 'folder' $Path $null
        if ($Sddl) { New-ClosedFolder $Path $Sddl }
        else {
            Assert-NoLink $Path
            [void](New-Item -ItemType Directory -Path $Path)
        }
    }
    if (-not $Sddl -or (Test-Access $Path $Sddl)) { return }
    if (-not (Test-Record 'folder' $Path)) { Save-Before 'access' $Path (Get-AccessSddl $Path) }
    Set-Access $Path $Sddl
}

function Compare-Folder([string]$Path, [string]$Sddl) {
    if (-not (Test-Path -LiteralPath $Path)) {
        Add-Difference folder-missing '{path}' $null 'a folder' @{ path = $Path }
    }
    elseif ($Sddl -and -not (Test-Access $Path $Sddl)) {
        Add-Difference folder-access 'access list of {path} (SDDL)' (Get-AccessSddl $Path) $Sddl @{ path = $Path }
    }
}

$Restore.access = {
    param($Path, $Before)
    if (Test-Path -LiteralPath $Path) { Set-Access $Path $Before }
}

# ---- text files. With $Secret, @NAME@ in the text stands for the secret of that name

# Return whether the file has this text. Without the secret, as in a test that is run by hand, and with -Around, only
# the text around the secret is compared.
function Test-TextFile {
    param([string]$Path, [string]$Text, [string]$Secret, [switch]$Around)
    if (-not (Test-Path -LiteralPath $Path)) { return $false }
    $is = [IO.File]::ReadAllText($Path, $Utf8)
    if (-not $Secret -or ($Secrets.ContainsKey($Secret) -and -not $Around)) {
        return [string]::Equals($is, (Expand-Secret $Text $Secret))
    }
    $start, $end = $Text -csplit [regex]::Escape("@$Secret@"), 2
    $is.StartsWith($start, [StringComparison]::Ordinal) -and $is.EndsWith($end, [StringComparison]::Ordinal)
}

# A file that is as it should be is not written again: its new time would restart the server.
function Set-TextFile {
    param([string]$Path, [string]$Text, [string]$Secret)
    Save-FileBefore $Path
    $known = -not $Secret -or $Secrets.ContainsKey($Secret)
    if ($known -and (Test-TextFile $Path $Text $Secret)) { return }
    Write-TextFile $Path $Text $Secret
}

# Keep a copy of the file for undo. The record has only the path of the copy, never the text of a file.
function Save-FileBefore([string]$Path) {
    if (Test-Record 'file' $Path) { return }
    Assert-NoLink $Path
    $before = $null
    if (Test-Path -LiteralPath $Path) {
        $before = Join-Path $StateFolder ('before\' + [guid]::NewGuid().ToString())
        New-ClosedFolder (Split-Path $before) $StateAccess
        Copy-File $Path $before
    }
    Save-Before 'file' $Path $before
}

$Restore.file = {
    param($Path, $Before)
    Assert-NoLink "$Path.new"
    Assert-NoLink $Path
    if ($Before) {
        Assert-KnownPath $Before
        Assert-NoLink $Before
    }
    # A run that was killed while it wrote the file leaves its new file.
    Remove-SingleFile "$Path.new"
    if (-not $Before) { Remove-SingleFile $Path; return }
    Copy-Over $Before $Path
}

# The copy keeps the time of the file, which says whether the server was started after it.
function Copy-Over([string]$From, [string]$Path) {
    Assert-NoLink "$Path.new"
    Assert-NoLink $Path
    Remove-SingleFile "$Path.new"                        # of a run that was killed
    [IO.File]::Copy($From, "$Path.new")
    Move-Over "$Path.new" $Path
}

# Remove the copies when the record has no lines left: an undo that was interrupted still needs them.
function Remove-FileCopy {
    $copies = Join-Path $StateFolder 'before'
    if (-not @(Read-Record).Count -and (Test-Path -LiteralPath $copies)) { Remove-Folder $copies }
}

# ---- prelude: state_folder -------------------------------------------------------------------------
# Create the folder with the data for undo, or refuse it if others have access to it.

# The folder is for the accounts in $Trusted. If other accounts have access, it is refused.
function Initialize-StateFolder {
    if (-not (Test-Path -LiteralPath $StateFolder)) { New-StateFolder }
    Assert-StateFolder
}

function New-StateFolder {
    try { New-ClosedFolder $StateFolder $StateAccess }
    catch {
        throw (New-Failure state-folder-not-created ('could not create {path}: {cause}. Fix this error (for example, ' +
                'use an account that can write to {parent}), then try again') @{
                path = $StateFolder; parent = Split-Path -Parent $StateFolder
            } -Cause $_.Exception)
    }
    if (@(Get-ChildItem -LiteralPath $StateFolder -Force).Count) {
        throw (New-Failure state-folder-filled ('another account created {path} and put files in it while nbserver ' +
                'was creating it. Find out who created these files, remove the ' +
                'folder, then try again') @{ path = $StateFolder })
    }
}

function Assert-StateFolder {
    Set-Found state-folder-closed 'only trusted accounts have access to {path}' @{
        path = $StateFolder
    }
    Assert-NoLink $StateFolder
    $fault = Get-AccessFault $StateFolder $Trusted $AnyRight
    if ($fault) {
        throw (New-Failure state-folder-untrusted ('the folder {path} contains the data for undo, but is not safe to ' +
                'use: {cause}. As an administrator, copy the files that you want to keep, remove the folder, then ' +
                'try again') @{
                path = $StateFolder
            } -Cause $fault)
    }
}

# ---- prelude: removal ------------------------------------------------------------------------------
# Remove folders with all their contents, but never follow links in them.

# A link in a folder is removed as a link. Remove-Item -Recurse is not used: it follows some links, and then removes
# what they lead to.

function Remove-Folder([string]$Path) {
    Assert-NoLink $Path
    Invoke-FileChange 'remove-tree' $Path @{ Path = $Path; Count = 0; Watch = [Diagnostics.Stopwatch]::StartNew() }
}

$Restore.folder = { param($Path) Remove-Folder $Path }

# An environment has tens of thousands of files, so a removal that takes more than 5 seconds is reported every 5.
function Write-RemovalProgress($Removal) {
    if (-not $Run.Step -or $Removal.Watch.ElapsedMilliseconds -lt 5000) { return }
    Write-StepProgress removing-folder 'Removing {path} ({count} files and folders removed)' @{
        path = $Removal.Path; count = $Removal.Count
    }
    $Removal.Watch.Restart()
}

# Remove the deepest folders first. A stack instead of recursion: a notebook can nest folders at any depth. This is
# called again after a failure, because a program that is exiting may still create files.
function Remove-Tree($Removal) {
    if (-not (Test-Path -LiteralPath $Removal.Path)) { return }
    $pending = New-Object Collections.Generic.Stack[string]
    $pending.Push($Removal.Path)
    while ($pending.Count) {
        $folder = $pending.Peek()
        $subfolders = @(Remove-FolderContent $folder $Removal)
        foreach ($subfolder in $subfolders) {
            if ($folder -eq $Removal.Path) { $pending.Push($subfolder) }
            else { $pending.Push((Move-LongPath $subfolder $Removal.Path)) }
        }
        if ($subfolders.Count) { continue }
        [void]$pending.Pop()
        Clear-ReadOnly $folder
        [IO.Directory]::Delete($folder, $false)
        $Removal.Count++
    }
}

# Older .NET accepts paths of at most 259 characters, so a folder with a long path is first moved to the top.
function Move-LongPath([string]$Folder, [string]$Top) {
    if ($Folder.Length -le 150) { return $Folder }
    $moved = Join-Path $Top ([guid]::NewGuid().ToString().Substring(0, 8))
    [IO.Directory]::Move($Folder, $moved)
    $moved
}

# Remove the files and links in a folder, and return its subfolders. Where accounts other than administrators can
# write, the folder is locked meanwhile, so that nobody can replace it.
function Remove-FolderContent([string]$Folder, $Removal) {
    $lock = $null
    if ($Folder -ne $Programs -and -not (Test-Below $Folder $Programs)) { $lock = Lock-Folder $Folder }
    try {
        foreach ($item in (New-Object IO.DirectoryInfo $Folder).GetFileSystemInfos()) {
            $path = $item.FullName
            if ($lock -and $path -eq $lock.Name) { continue }
            $isFolder = [bool]($item.Attributes -band [IO.FileAttributes]::Directory)
            $isLink = [bool]($item.Attributes -band [IO.FileAttributes]::ReparsePoint)
            if ($isFolder -and -not $isLink) { $path; continue }
            if ($isLink) { Remove-Link $path $isFolder }
            else {
                Clear-ReadOnly $path
                [IO.File]::Delete($path)
            }
            $Removal.Count++
            Write-RemovalProgress $Removal
        }
    }
    finally { if ($lock) { $lock.Close() } }
}

function Remove-Link([string]$Path, [bool]$IsFolder) {
    if ($IsFolder) { [IO.Directory]::Delete($Path, $false) } else { [IO.File]::Delete($Path) }
}

# Remove a folder for people's files, but only if it is empty.
function Remove-DataFolder([string]$Path) {
    if (@(Get-ChildItem -LiteralPath $Path -Force).Count) {
        Write-Notice warning folder-kept '{path} was kept, because it contains files' @{ path = $Path }
        return
    }
    Invoke-FileChange 'remove-folder' $Path
}

# ---- prelude: set_aside ----------------------------------------------------------------------------
# Set a folder aside until another one has taken its place.

# What is installed again may be all that works. So its folder only gets another name, and it is in use again if the new
# one cannot be completed. If a run is killed meanwhile, the next apply does that. The step cleanup removes the folder.

$AsideName = '\A(.+\\(?:env|python|openssl)-[^\\]+)\.replaced\z'   # in the record

function Move-Aside([string]$Folder) {
    Assert-NoLink $Folder
    Save-Before 'folder' "$Folder.replaced" $null
    if (Test-Path -LiteralPath "$Folder.replaced") { Remove-Folder "$Folder.replaced" }
    Invoke-FileChange 'move-folder' $Folder "$Folder.replaced"
}

# Return whether a folder was set aside, and nothing has taken its place. An environment is complete if it has its mark.
function Test-Aside([string]$Folder) {
    $mark = if ((Split-Path -Leaf $Folder) -clike 'env-*') { '\nbserver.lock' } else { '' }
    (Test-Path -LiteralPath "$Folder.replaced$mark") -and -not (Test-Path -LiteralPath "$Folder$mark")
}

function Restore-Aside([string]$Folder) {
    if (Test-Path -LiteralPath $Folder) {
        Stop-ProcessBelow $Folder
        Remove-Folder $Folder
    }
    Assert-NoLink "$Folder.replaced"
    Invoke-FileChange 'move-folder' "$Folder.replaced" $Folder
    Remove-Line @{ kind = 'folder'; key = "$Folder.replaced" }
    Write-Event restored @{ kind = 'folder'; what = $Folder }
}

# Called before an apply. A run that was killed has stopped the server.
function Restore-EveryAside {
    foreach ($line in @(Read-Record)) {
        if ($line.kind -ne 'folder' -or $line.key -cnotmatch $AsideName) { continue }
        $folder = $Matches[1]
        if ((Split-Path -Parent $folder) -ne $Programs -or -not (Test-Aside $folder)) { continue }
        $Run.Step = $line.step
        Restore-Aside $folder
        $environment = Get-ServerEnvironment
        if ($environment, (Get-BaseFolder $environment) -contains $folder) { $Run.StoppedEarly = $true }
    }
}

# Stop the server before what it runs is replaced. If this run fails, it starts the server again.
function Stop-ServerEarly {
    if (Test-AnswerAsSaved) { $Run.Answered = $true }
    $Run.StoppedEarly = $true
    Stop-Server
}

# ---- prelude: path_access --------------------------------------------------------------------------
# Find other accounts that could replace a folder, or change an installed program in it.

# Rights as bits of an access mask. .NET has no names for the generic rights; source: "ACCESS_MASK" on
# learn.microsoft.com.
$GenericWrite = 0x40000000
$GenericAll = 0x10000000
$DeleteRight = [int][Security.AccessControl.FileSystemRights]::Delete
$DeleteContentRight = [int][Security.AccessControl.FileSystemRights]::DeleteSubdirectoriesAndFiles
$OwnershipRights = [int][Security.AccessControl.FileSystemRights]'ChangePermissions, TakeOwnership'

# Return a failure if an account that is not in $Allowed could replace the folder with another folder: if it may delete
# or rename the folder or a folder above it, change its permissions, or take ownership. The right to add folders, which
# Windows gives everybody on a drive, is harmless. Folders that do not exist yet are skipped.
function Get-PathFault([string]$Path, [string[]]$Allowed) {
    $current = $Path
    while ($current) {
        $parent = Split-Path -Parent $current
        $rights = $GenericAll -bor $OwnershipRights
        if ($parent) { $rights = $rights -bor $DeleteRight }   # a drive cannot be deleted or renamed
        if ($current -ne $Path) { $rights = $rights -bor $DeleteContentRight }
        if (Test-Path -LiteralPath $current) {
            $fault = Get-AccessFault $current $Allowed $rights -SkipInheritOnly
            if ($fault) { return $fault }
        }
        $current = $parent
    }
}

# ---- who can change an installed program

# Rights by which an account can change a folder or what is in it.
$ChangingRights = [int][Security.AccessControl.FileSystemRights](
    'WriteData, AppendData, DeleteSubdirectoriesAndFiles, Delete, ChangePermissions, TakeOwnership'
) -bor $GenericWrite -bor $GenericAll
$CreatorOwner = 'S-1-3-0'   # whoever creates a file; only the accounts below can

# Return why other accounts than SYSTEM, administrators, TrustedInstaller, and $Also could change a program in this
# folder, or nothing. The folder, its content, the folder of its packages, and the folders above it are checked.
function Get-ProgramFault([string]$Folder, [string[]]$Also = @()) {
    $allowed = $Trusted + $TrustedInstaller + $CreatorOwner + $Also
    $inside = @($Folder) + @(Get-ChildItem -LiteralPath $Folder -Force | ForEach-Object { $_.FullName })
    $packages = Join-Path $Folder 'Lib\site-packages'
    if (Test-Path -LiteralPath $packages) { $inside += $packages }
    foreach ($path in $inside) {
        $fault = Get-AccessFault $path $allowed $ChangingRights
        if ($fault) { return $fault }
    }
    Get-PathFault $Folder $allowed
}

# ---- prelude: data_folder_names --------------------------------------------------------------------
# Refuse a notebook.directory by its name: a folder of Windows, of nbserver, or of a user.

# Return a failure if the service must not get access to a folder of this name, else nothing.
function Get-FolderNameFault([string]$Folder) {
    $fault = Get-FolderSyntaxFault $Folder
    if ($fault) { return $fault }
    $fault = Get-ProfileFault $Folder
    if ($fault) { return $fault }
    if (Test-SystemFolder $Folder) { return New-Failure folder-of-windows ('the folder belongs to Windows or to ' +
            'installed programs') }
    $notebooks = Join-Path $StateFolder 'notebooks'
    if ($Folder -eq $notebooks -or (Test-Below $Folder $notebooks)) { return }
    if ($Folder -eq $StateFolder -or (Test-Below $Folder $StateFolder)) {
        New-Failure folder-of-nbserver 'in {state}, only {notebooks} can be used for notebooks' @{
            state = $StateFolder; notebooks = $notebooks
        }
    }
}

# C:\\Windows, C:/Windows, and short names such as C:\PROGRA~1 are other names of folders that are refused. The names
# below are compared with the form in which Windows writes a path.
function Get-FolderSyntaxFault([string]$Folder) {
    if ($Folder -match '~\d|[. ](\\|$)') {
        return New-Failure folder-name-ambiguous ('the path must not contain a short name such as PROGRA~1 or a name ' +
            'that ends with a period or space')
    }
    if ($Folder -cmatch '\A[A-Za-z]:\z') {
        return New-Failure folder-is-drive 'the path must not be the root of a drive'
    }
    if ($Folder -cnotmatch '\A[A-Za-z]:\\[^:]+\z' -or $Folder -ne [IO.Path]::GetFullPath($Folder)) {
        New-Failure folder-name-form 'expected a path with a drive letter and without / or .., such as D:\notebooks'
    }
}

function Get-ProfileFault([string]$Folder) {
    $profiles = @("$env:SystemDrive\Users")
    if ($env:PUBLIC) { $profiles += Split-Path -Parent $env:PUBLIC }
    if ($profiles + $env:ProgramData -contains $Folder) {
        return New-Failure folder-of-others 'the folder contains subfolders that belong to other programs or users'
    }
    if ($profiles -contains (Split-Path -Parent $Folder)) {
        New-Failure folder-is-profile 'the folder must not be a user profile'
    }
}

function Test-SystemFolder([string]$Folder) {
    $drive = [IO.Path]::GetPathRoot($Folder)
    $system = @($env:SystemRoot, $env:ProgramFiles, ${env:ProgramFiles(x86)})
    $system += 'System Volume Information', '$Recycle.Bin', 'Recovery', 'Boot', 'EFI' | ForEach-Object { "$drive$_" }
    foreach ($name in $system) {
        if (-not $name) { continue }
        if ($Folder -eq $name -or (Test-Below $Folder $name)) { return $true }
    }
    $false
}

# ---- prelude: data_folders -------------------------------------------------------------------------
# Give the service access to the notebook folder, and remove this access at undo.

# The accounts that already have access keep it. Undo removes such a folder only if it is empty; what the service
# created in it then belongs to administrators.

function Test-ServiceGrant([string]$Path) {
    if (-not (Test-Path -LiteralPath $Path)) { return $false }
    (Get-AccessSddl $Path) -cmatch "\(A;OICI(ID)?;0x1301bf;;;$ServiceSid\)"
}

# This is called in preflight, and immediately before each change to the folder.
function Assert-DataFolder([string]$Path) {
    Set-Found data-folder-safe 'only trusted accounts can replace {path}' @{ path = $Path }
    $folder = $Path.TrimEnd('\')
    $fault = Get-FolderNameFault $folder
    if (-not $fault -and -not [IO.Directory]::Exists([IO.Path]::GetPathRoot($folder))) {
        $fault = New-Failure folder-drive-missing 'this host has no drive {drive}' @{ drive = $folder.Substring(0, 2) }
    }
    if ($fault) {
        throw (New-Failure data-folder-refused ('{path} cannot be used for notebooks: {cause}. Set ' +
                'notebook.directory in the inventory to another folder') @{
                path = $Path
            } -Cause $fault)
    }
    Assert-NoLink $folder
    # $UserSid is the account of this run: preflight has verified that it is an administrator, so it gains nothing.
    $allowed = $Trusted + $TrustedInstaller + $ServiceSid + $OwnerRights + $UserSid
    if (Test-Path -LiteralPath $folder) {
        $acl = Use-AccessControl $folder -Sections 'Owner'
        $allowed += $acl.GetOwner([Security.Principal.SecurityIdentifier]).Value
    }
    $fault = Get-PathFault $folder $allowed
    if ($fault) {
        throw (New-Failure data-folder-replaceable ('{path} cannot be used for notebooks, because other accounts ' +
                'could replace it: {cause}. Make sure that only administrators own this folder and can delete it ' +
                'or change its permissions, or set notebook.directory in the inventory to another folder') @{
                path = $Path
            } -Cause $fault)
    }
}

# Undo restores a folder that the settings may name, which may be an earlier notebook.directory, or a folder above the
# present one, whatever the record contains.
function Assert-RecordedFolder([string]$Path) {
    if ((Test-KnownPath $Path) -or (Test-NotebookPath $Path)) { return }
    $fault = Get-FolderNameFault $Path.TrimEnd('\')
    if ($fault) {
        throw (New-Failure record-folder-refused ('{record}, the list of what undo restores, contains a line for the ' +
                'notebook folder {path}, but this path cannot be a notebook folder: {cause}. Find out who added this ' +
                'line, remove it, then try again') @{
                path = $Path; record = $RecordFile
            } -Cause $fault)
    }
}

function Add-DataFolder([string]$Path) {
    Assert-DataFolder $Path
    if (-not (Test-Path -LiteralPath $Path)) { New-DataFolder $Path }
    if (Test-ServiceGrant $Path) { return }
    Save-Before 'grant' $Path $null
    Add-Grant $Path
}

# A new folder is for administrators and the service: what it would inherit from a drive's root lets everybody replace
# it.
function New-DataFolder([string]$Path) {
    foreach ($parent in @(Get-MissingParent $Path)) {
        Save-Before 'data_folder' $parent $null
        New-ClosedFolder $parent $AdministratorsOnly
    }
    Save-Before 'data_folder' $Path $null
    Save-Before 'grant' $Path $null
    New-ClosedFolder $Path $ServiceWrites
    $fault = Get-AccessFault $Path ($Trusted + $ServiceSid) $AnyRight
    if ($fault) {
        throw (New-Failure data-folder-race ('another account created {path} while nbserver was creating it: ' +
                '{cause}. Remove this folder, then run nbserver apply again') @{ path = $Path } -Cause $fault)
    }
}

function Add-Grant([string]$Path) {
    $lock = Lock-Folder $Path
    try {
        $acl = Use-AccessControl $Path
        $service = New-Object Security.Principal.SecurityIdentifier $ServiceSid
        $acl.AddAccessRule((New-Object Security.AccessControl.FileSystemAccessRule(
                    $service, 'Modify', 'ContainerInherit, ObjectInherit', 'None', 'Allow')))
        Use-AccessControl $Path -Change $acl
    }
    finally { $lock.Close() }
}

# The content of the folder comes before the folder itself: Windows then passes the new list of the folder on to files
# and folders that have other owners.
$Restore.grant = {
    param($Path)
    Assert-RecordedFolder $Path
    if (-not (Test-Path -LiteralPath $Path)) { return }
    $lock = Lock-Folder $Path                            # others may have got rights there: they only lose the service
    try {
        $left = @(Remove-GrantBelow $Path $lock.Name)
        Remove-Grant $Path
    }
    finally { $lock.Close() }
    if ($left.Count) {
        throw (New-Failure grant-not-removed ('could not remove the service''s access to {count} of the files and ' +
                'folders in {path}. First error: {cause}') @{ count = $left.Count; path = $Path } -Cause $left[0])
    }
}

# Remove the entries of the service from the access list. What the service created gets administrators as its owner,
# and the access list of the folder that contains it.
function Remove-Grant([string]$Path) {
    $acl = Use-AccessControl $Path -Sections 'Owner, Access'
    $before = $acl.GetSecurityDescriptorSddlForm('Owner, Access')
    if ($ServiceSid, $LocalService -contains $acl.GetOwner([Security.Principal.SecurityIdentifier]).Value) {
        $acl.SetSecurityDescriptorSddlForm('O:BAD:AI', 'Owner, Access')
    }
    else { $acl.PurgeAccessRules((New-Object Security.Principal.SecurityIdentifier $ServiceSid)) }
    if ($acl.GetSecurityDescriptorSddlForm('Owner, Access') -ne $before) { Use-AccessControl $Path -Change $acl }
}

# Call Remove-Grant for everything in the folder, at any depth, but not for what links lead to. Return a failure for
# each file or folder that keeps an entry.
function Remove-GrantBelow([string]$Path, [string]$Except) {
    $watch = [Diagnostics.Stopwatch]::StartNew()
    $folders = New-Object Collections.Generic.Stack[string]
    $folders.Push($Path)
    while ($folders.Count) {
        $folder = $folders.Pop()
        try { $items = (New-Object IO.DirectoryInfo $folder).GetFileSystemInfos() }
        catch { New-GrantFailure $folder $_.Exception; continue }
        foreach ($item in $items) {
            if ($item.FullName -eq $Except) { continue }
            if ($item.Attributes -band [IO.FileAttributes]::ReparsePoint) { continue }
            try { Remove-Grant $item.FullName } catch { New-GrantFailure $item.FullName $_.Exception }
            if ($item.Attributes -band [IO.FileAttributes]::Directory) { $folders.Push($item.FullName) }
        }
        if ($watch.ElapsedMilliseconds -lt 5000) { continue }
        Write-StepProgress removing-access 'Removing the service''s access to {path}' @{ path = $folder }
        $watch.Restart()
    }
}

function New-GrantFailure([string]$Path, [Exception]$Cause) {
    New-Failure grant-kept 'nbserver did not change the permissions of {path}: {cause}' @{ path = $Path } -Cause $Cause
}

$Restore.data_folder = {
    param($Path)
    Assert-RecordedFolder $Path
    if (-not (Test-Path -LiteralPath $Path)) { return }
    Assert-NoLink $Path
    Remove-DataFolder $Path
}

# ---- prelude: first_page ---------------------------------------------------------------------------
# Put a first notebook into the notebook folder; if users change it, it is kept.

# Kind first_page: the record has the states of this file that are not somebody's work: absent, and the SHA-256 of each
# text that this script wrote. In any other state the file stays as it is, even at undo. Once the file is written,
# absent is no longer in the record: a file that somebody deletes is not created again.

$FirstPageName = 'Welcome.ipynb'
$LongestFirstPage = 1048576                              # bytes
$FirstPageNotes = @{ Refused = $false }                  # this run could not write it, and does not try again

function Get-FirstPagePath { Join-Path (Expand-Path $Settings.notebook.directory) $FirstPageName }

function Get-FirstPage { $FirstPage -replace "`r|\A\s+", '' }

# Return "absent", the SHA-256 of the file, or "other" for what this script did not write: a folder, a link, a file that
# cannot be read, or one that is too long, which is not read.
function Get-FirstPageState([string]$Path) {
    if ((Test-Link $Path) -or [IO.Directory]::Exists($Path)) { return 'other' }
    if (-not [IO.File]::Exists($Path)) { return 'absent' }
    try { $stream = [IO.File]::Open($Path, 'Open', 'Read', 'ReadWrite, Delete') }
    catch { return 'other' }
    try {
        if ($stream.Length -gt $LongestFirstPage) { return 'other' }
        Get-StartSha256 $stream $LongestFirstPage
    }
    finally { $stream.Close() }
}

function Get-FirstPageRecord([string]$Path) {
    foreach ($line in @(Read-Record)) {
        if ($line.kind -eq 'first_page' -and $line.key -eq $Path) { return $line.before -split ' ' }
    }
    'absent'
}

# Return the state of the file if it has another text than this script, and nobody has changed it; or nothing.
function Get-DueFirstPage([string]$Path) {
    if (-not (Get-FirstPage) -or $FirstPageNotes.Refused) { return }
    $state = Get-FirstPageState $Path
    if ($state -ceq 'other' -or $state -ceq (Get-Sha256 $Utf8.GetBytes((Get-FirstPage)))) { return }
    if (@(Get-FirstPageRecord $Path) -ccontains $state) { $state }
}

function Compare-FirstPage {
    $path = Get-FirstPagePath
    if (Get-DueFirstPage $path) {
        Add-Difference first-page '{path}' 'missing or outdated' 'as in this script' @{ path = $path }
    }
}

# The server can do without this file, so a failure is a warning: notebooks can make their folder unusable.
function Add-FirstPage {
    $path = Get-FirstPagePath
    $state = Get-DueFirstPage $path
    if (-not $state) { return }
    $bytes = $Utf8.GetBytes((Get-FirstPage))
    $hash = Get-Sha256 $bytes
    Save-Before 'first_page' $path "$state $hash" -Replace
    try { Write-FirstPage $path $bytes }
    catch {
        $FirstPageNotes.Refused = $true
        $failure = ConvertTo-Failure $_.Exception
        Write-Notice warning first-page-not-written ('could not write {path}: {error}. The server works without this ' +
            'file. To create the file, fix this error, then run nbserver apply again') @{
            path = $path; error = $failure.Message
        }
        return
    }
    Save-Before 'first_page' $path $hash -Replace
}

# The service may write in this folder, so the folder is locked, and the new file must not exist before.
function Write-FirstPage([string]$Path, [byte[]]$Bytes) {
    $lock = Lock-Folder (Split-Path -Parent $Path)
    try {
        Remove-SingleFile "$Path.new"
        $file = New-Object IO.FileStream "$Path.new", ([IO.FileMode]::CreateNew), ([IO.FileAccess]::Write)
        try { $file.Write($Bytes, 0, $Bytes.Length) } finally { $file.Close() }
        Assert-NoLink $Path
        if ([IO.File]::Exists($Path)) { Clear-ReadOnly $Path }
        Move-Over "$Path.new" $Path
    }
    finally { $lock.Close() }
}

$Restore.first_page = {
    param($Path, $Before)
    $folder = Split-Path -Parent $Path
    Assert-RecordedFolder $folder
    if ((Split-Path -Leaf $Path) -ne $FirstPageName -or -not (Test-Path -LiteralPath $folder)) { return }
    $state = Get-FirstPageState $Path
    if ($state -ceq 'absent' -or $state -ceq 'other' -or ($Before -split ' ') -cnotcontains $state) { return }
    $lock = Lock-Folder $folder
    try { Remove-SingleFile $Path } finally { $lock.Close() }
}

# ---- prelude: starter ------------------------------------------------------------------------------
# Define the Python program that starts the server, the same as on Linux.

# It is a file next to the configuration. Only the accounts in $Trusted can write to that folder.
# The option -I in its command makes Python import modules from nowhere else.

$StarterFile = Join-Path $ServiceFolder 'serve.py'

$Starter = @'
# Start the notebook server: python -I serve.py CONFIGURATION WORK [LOG]
#
# Only CONFIGURATION and the packages of this Python, in their own folders, configure the server and its kernels. Other
# configuration of Jupyter, IPython, pip, and uv is ignored, whether it is for all users or for one. If the server would
# still not do what CONFIGURATION says, it does not start.
# The server and its kernels write to the folder WORK. LOG is a file for the log where no system service keeps it.
import errno
import importlib.util
import json
import os
import shutil
import socket
import sys
import threading
import time

configuration, work = sys.argv[1:3]
folder = os.path.dirname(configuration)
own_configuration = os.path.join(sys.prefix, "etc", "jupyter")
own_data = os.path.join(sys.prefix, "share", "jupyter")
with open(configuration, encoding="utf-8") as file:
    settings = json.load(file)
os.chdir(folder)                                    # before 2022, Jupyter read configuration from its working folder

LARGEST_LOG = 20_000_000                            # bytes


class Log:
    """The file for the log. When it is large, its text moves to LOG.before: the server may run for months."""

    def __init__(self, path, mode):
        self.path = path
        self.lock = threading.RLock()
        self.file = open(path, mode, buffering=1, encoding="utf-8")

    def write(self, text):
        with self.lock:
            if self.file.tell() > LARGEST_LOG:
                try:
                    shutil.copyfile(self.path, self.path + ".before")
                except OSError:
                    pass                            # without space, only the new text is kept
                self.file.seek(0)
                self.file.truncate()
            return self.file.write(text)

    def __getattr__(self, name):
        return getattr(self.file, name)


if len(sys.argv) > 3:
    log = sys.argv[3]
    mode = "w"
    try:
        if os.path.exists(log):
            os.replace(log, log + ".before")
    except OSError:                                 # Windows renames no file that another program shows
        mode = "a"
    sys.stdout = sys.stderr = Log(log, mode)
    # Kernels inherit the file descriptors 0 to 2. A program without a console has none that they could use.
    for descriptor in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), descriptor)

# ---- environment variables, which kernels and terminals inherit

ignored = "JUPYTER", "JPY_", "IPYTHON", "PYTHON", "OPENSSL_", "PIP_", "UV_", "MPL", "MATPLOTLIB"
for name in list(os.environ):
    if name.upper().startswith(ignored):
        del os.environ[name]
os.environ.update(
    JUPYTER_CONFIG_DIR=folder,
    JUPYTER_DATA_DIR=os.path.join(work, "data"),
    JUPYTER_RUNTIME_DIR=os.path.join(work, "runtime"),
    JUPYTERLAB_DIR=os.path.join(own_data, "lab"),
    JUPYTERLAB_SETTINGS_DIR=os.path.join(work, "settings"),
    JUPYTERLAB_WORKSPACES_DIR=os.path.join(work, "workspaces"),
    IPYTHONDIR=os.path.join(work, "ipython"),
    MPLCONFIGDIR=os.path.join(work, "matplotlib"),
    PIP_CONFIG_FILE=os.devnull,
    UV_NO_CONFIG="1",
    PYTHONUTF8="1",
)
if os.name == "nt":
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"

# ---- wait for the address: when a host starts, a fixed one may come later than the server

address = settings["ServerApp"]["ip"]
reported = False
while address != "*":
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.bind((address, 0))
        break
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            break                                   # the server reports it
    if not reported:
        reported = True
        print(f"The notebook server waits until this host has the address {address}", file=sys.stderr, flush=True)
    time.sleep(1)

# ---- folders in which Jupyter finds configuration, kernel specifications, and extensions

from jupyter_core import paths


def data_path(*subfolders):
    return [os.path.join(own_data, *subfolders)]


def configuration_path():
    return [folder, own_configuration]


# Other modules import these names, so they are replaced before any of these modules is imported.
paths.jupyter_path = data_path
paths.jupyter_config_path = configuration_path
paths.SYSTEM_JUPYTER_PATH[:] = [own_data]
paths.SYSTEM_CONFIG_PATH[:] = [own_configuration]

from jupyter_client.kernelspec import KernelSpecManager

# IPython reads the configuration of the machine, and no setting prevents it. Python searches the working folder first;
# without sys.path[0], imports of the kernel itself do not search it, and imports in a notebook still do.
KERNEL = (
    "import sys; del sys.path[0]; "
    "from IPython.core import application; application.SYSTEM_CONFIG_DIRS.clear(); "
    "from ipykernel.kernelapp import launch_new_instance; launch_new_instance(exec_lines={lines})"
)

# In an environment that belongs to administrators, %pip and !pip say what to do, in place of a permission error.
NO_PACKAGES = (
    "Packages cannot be installed from a notebook, because the environment belongs to an administrator. "
    "Ask the administrator to add the package to packages.include in the inventory, then to run nbserver lock and "
    "nbserver apply"
)
SAY_SO = [
    "setattr(get_ipython(), \"system\", lambda command, run=get_ipython().system: print({text!r}) "
    "if __import__(\"re\").match({pattern!r}, command) else run(command))",
    "(lambda run: run and get_ipython().register_magic_function(lambda line: print({text!r}) "
    "if __import__(\"re\").match({pattern!r}, {name!r} + \" \" + line) else run(line), \"line\", {name!r}))"
    "(get_ipython().find_line_magic({name!r}))",
]
PATTERN = r"\s*(.*\bpy\S* +-m +)?(pip[0-9.]*|uv +pip|conda|mamba|micromamba) +(-\S+ +)*(un)?install\b"
closed = not os.access(sys.prefix, os.W_OK) or sys.prefix.startswith(os.environ.get("PROGRAMFILES", "|"))
lines = []
if closed:
    names = ("system", "pip", "uv", "conda", "mamba", "micromamba")
    lines = [SAY_SO[name != "system"].format(name=name, text=NO_PACKAGES, pattern=PATTERN) for name in names]


class OwnKernels(KernelSpecManager):
    """The kernels that are installed with this Python, in folders that no kernel can write to."""

    def _kernel_dirs_default(self):
        return data_path("kernels")

    def get_kernel_spec(self, kernel_name):
        found = super().get_kernel_spec(kernel_name)
        if "ipykernel_launcher" in found.argv:      # its arguments are -m ipykernel_launcher
            at = found.argv.index("ipykernel_launcher")
            found.argv[at - 1 : at + 1] = ["-c", KERNEL.format(lines=lines)]
        return found


# ---- what the pages do not offer, because it cannot work or asks another host

NO_EXTENSIONS = {"extension_manager": "readonly", "news_url": None}
HIDDEN = ["@jupyterlab/apputils-extension:announcements", "@jupyterlab/extensionmanager-extension"]
EXPORTERS = {                                       # exporters of nbconvert, and what they need
    "LatexExporter": shutil.which("pandoc"),
    "RSTExporter": shutil.which("pandoc"),
    "ASCIIDocExporter": shutil.which("pandoc"),
    "PDFExporter": shutil.which("pandoc") and shutil.which("xelatex"),
    "WebPDFExporter": importlib.util.find_spec("playwright"),
    "QtPDFExporter": importlib.util.find_spec("PyQtWebEngine"),
    "QtPNGExporter": importlib.util.find_spec("PyQtWebEngine"),
}
own = {name: {"enabled": False} for name, needed in EXPORTERS.items() if not needed}
own["LabApp"] = NO_EXTENSIONS
# The account of a service has no trash that anybody could open or empty, and cannot create one on another disk. In
# user scope, it is that of the user.
if closed:
    own["FileContentsManager"] = {"delete_to_trash": False, "always_delete_dir": True}
# Whether several people can edit a notebook at the same time (the package jupyter-collaboration).
own["YDocExtension"] = {"disable_rtc": "YDocExtension" not in settings}


def hide_extensions(handler, page):
    page["disabledExtensions"] = [*page.get("disabledExtensions", []), *HIDDEN]
    return page


# ---- create the server, which does not serve yet

if importlib.util.find_spec("notebook.app"):        # notebook 7
    from jupyter_server.auth.authorizer import AllowAllAuthorizer
    from jupyter_server.auth.identity import PasswordIdentityProvider
    from jupyter_server.auth.login import LoginFormHandler
    from jupyter_server.serverapp import ServerApp
    from traitlets.config import Config

    extensions = ["notebook"]
    if not os.path.isdir(os.path.join(own_configuration, "jupyter_server_config.d")):
        # Packages of a Linux distribution enable their extensions in folders of the machine, which are ignored.
        extensions += ["jupyter_lsp", "jupyter_server_terminals", "jupyterlab", "notebook_shim"]
    enabled = {name: True for name in extensions if importlib.util.find_spec(name)}
    first = "lab" if settings["ServerApp"].get("default_url") == "/lab" else "notebook"
    server = ServerApp.instance(
        config=Config(own),
        jpserver_extensions=enabled,
        kernel_spec_manager_class=OwnKernels,
        tornado_settings={"page_config_hook": hide_extensions},
    )
    server.initialize(argv=[], starter_extension=first)
    identity = server.identity_provider
    sections = {"ServerApp": server, "IdentityProvider": identity, "PasswordIdentityProvider": identity}
    classes = [
        ("the identity provider", type(identity), PasswordIdentityProvider),
        ("the login handler", getattr(identity, "login_handler_class", None), LoginFormHandler),
        ("the authorizer", type(server.authorizer), AllowAllAuthorizer),
    ]
else:                                               # notebook 6
    from notebook.auth.login import LoginHandler
    from notebook.notebookapp import NotebookApp

    class Server(NotebookApp):
        nbextensions_path = property(lambda self: data_path("nbextensions"))

    server = Server.instance(kernel_spec_manager_class=OwnKernels)
    server.initialize(argv=[])
    sections = {"NotebookApp": server}
    classes = [("the login handler", server.login_handler_class, LoginHandler)]
sections["MappingKernelManager"] = server.kernel_manager
classes.append(("the kernel specification manager", type(server.kernel_spec_manager), OwnKernels))

# ---- compare the configuration with the values of the server, and with those that it uses to answer requests

answering = server.web_app.settings
differs = [what for what, found, expected in classes if found is not expected]
for section, owner in sections.items():
    for name, expected in settings.get(section, {}).items():
        if name == "ip" and expected == "*":
            expected = ""
        if getattr(owner, name, None) != expected or answering.get(name, expected) != expected:
            differs.append(section + "." + name)
        if name in ("root_dir", "notebook_dir") and server.contents_manager.root_dir != expected:
            differs.append("the folder of the contents manager")
if differs:
    names = ", ".join(differs)
    print(
        f"The notebook server does not start, because its effective configuration differs from {configuration}: "
        f"{names}. Remove other Jupyter configuration from {folder} and {own_configuration}, then run nbserver apply",
        file=sys.stderr,
    )
    sys.exit(78)                                    # EX_CONFIG: starting it again would not help
os.chdir(work)
server.start()
'@ -replace "`r", ''

# ---- prelude: server_command -----------------------------------------------------------------------
# Define the command line of the server, and what it was started with.

# Return the times of the files that the server reads when it starts. They are in the description of the task, so a
# server that was started before a change is noticed and started again. Nothing secret is derived from these files.
function Get-ServiceState {
    $times = foreach ($file in $ConfigurationFile, $StarterFile, $CertificateFile, (Get-LockMark)) {
        if (-not (Test-Path -LiteralPath $file)) { 'none' }
        else { (Get-Item -LiteralPath $file).LastWriteTimeUtc.ToString('u') }
    }
    "nbserver: secured notebook server. Files of $($times -join ', ')"
}

function Get-ServerArgument { '-I', $StarterFile, $ConfigurationFile, $WorkFolder, $ServerLog }

function Format-ServerArgument {
    @(Get-ServerArgument | ForEach-Object { Format-Argument $_ }) -join ' '
}

# ---- prelude: left_program -------------------------------------------------------------------------
# Stop a program that an interrupted run left running.

# Windows releases the lock of a run that is killed, for example because memory is short. Its program continues, and
# would change the same files as the next run. So the second line of the lock file names it while it runs.
$EndedPrograms = 'python.exe', 'uv.exe', 'openssl.exe'   # others, such as installers, are not interrupted
$LeftSeconds = 300

Add-Hook Started { Stop-LeftProgram }

# Return the text that names a process: its ID, and when it started.
function Get-ProgramMark($Process) { "program $($Process.Id) $($Process.StartTime.ToUniversalTime().Ticks)" }

# Return the program, then what it has started, at any depth. Windows reuses process IDs, so the times count as well.
# Win32_Process rounds start times to microseconds, so times within one second count as equal.
function Get-LeftProcess([int]$Id, [long]$Started) {
    $second = 10000000
    $all = @(Get-CimInstance -ClassName Win32_Process | Where-Object {
            $_.CreationDate -and $_.CreationDate.ToUniversalTime().Ticks -gt $Started - $second
        })
    $program = @($all | Where-Object { $_.ProcessId -eq $Id })
    if ($program -and $program[0].CreationDate.ToUniversalTime().Ticks -gt $Started + $second) { return }
    $ids = @($Id)
    for ($i = 0; $i -lt $ids.Count; $i++) {
        $ids += @($all | Where-Object { $_.ParentProcessId -eq $ids[$i] -and $ids -notcontains $_.ProcessId } |
                ForEach-Object { [int]$_.ProcessId })
    }
    $below = @($all | Where-Object { $_.ProcessId -ne $Id -and $ids -contains $_.ProcessId })
    # If it has exited, another process may have had its ID: only programs of these kinds are certainly its own.
    if ($program) { $program + $below } else { $below | Where-Object { $EndedPrograms -contains $_.Name } }
}

# $Run.Left is kept until no program is left: until then, this run may not change anything.
function Stop-LeftProgram {
    if ("$($Run.Left)" -cmatch '\Arun ([0-9A-Za-z-]{1,64}),[^\n]*\nprogram ([0-9]{1,10}) ([0-9]{1,19})\z') {
        Wait-LeftProgram $Matches[1] ([int]$Matches[2]) ([long]$Matches[3])
    }
    $Run.Left = ''
}

function Wait-LeftProgram {
    param([string]$RunId, [int]$Id, [long]$Started)
    for ($second = 0; $second -lt $LeftSeconds; $second++) {
        $left = @(Get-LeftProcess $Id $Started)
        if (-not $left.Count) { return }
        if (-not $second) { Write-LeftProgram $RunId $left[0] }
        if ($EndedPrograms -contains $left[0].Name) { $left | ForEach-Object { Stop-LeftProcess $_.ProcessId } }
        Start-Pause 1000
    }
    throw (New-Failure left-program-runs ('run {run} was interrupted, and a program that it started is still ' +
            'running (process {id}). Wait for this program to finish, or stop it, then try again') @{
            run = $RunId; id = $left[0].ProcessId
        })
}

function Write-LeftProgram([string]$RunId, $Process) {
    Write-Notice warning waiting-for-left-program ('run {run} was interrupted, but a program that it started is ' +
        'still running (process {id}). Waiting for it to exit') @{ run = $RunId; id = $Process.ProcessId }
}

function Stop-LeftProcess([int]$Id) {
    try { (Get-Process -Id $Id -ErrorAction Stop).Kill() }
    catch {
        $values = @{ id = $Id; reason = "$_" }
        if (Get-Process -Id $Id -ErrorAction SilentlyContinue) { return }   # Wait-LeftProgram reports it
        Write-Notice log process-gone 'process {id} had already exited: {reason}' $values
    }
}

# ---- prelude: programs -----------------------------------------------------------------------------
# Run other programs until they exit, and report their output.

$RestSeconds = 5                                         # for which a program's output is read after it has exited

Add-Hook Started { Remove-TemporaryFolder }              # of a run that was cut off
Add-Hook Finished { Remove-TemporaryFolder }

# Quote one argument of a command line by the rules of Windows: backslashes before a quote are doubled.
function Format-Argument([string]$Text) {
    if ($Text -match '^[^\s"]+$') { return $Text }
    $escaped = [regex]::Replace($Text, '(\\*)"', '$1$1\"')
    '"' + [regex]::Replace($escaped, '(\\+)$', '$1$1') + '"'
}

# Return the processes whose programs are in the folder, at any depth.
function Get-ProcessBelow([string]$Folder) {
    Get-Process | Where-Object { $_.Path -and (Test-Below $_.Path $Folder) }
}

function Stop-ProcessBelow([string]$Folder) {
    foreach ($process in @(Get-ProcessBelow $Folder)) { Stop-OneProcess $process }
}

# A process that exits by itself meanwhile is no failure. One that Windows protects, for example, cannot be stopped.
function Stop-OneProcess($Process) {
    $reason = ''
    try { $Process.Kill() } catch { $reason = "$_" }
    try { $ended = $Process.WaitForExit(10000) }
    catch { $ended = -not @(Get-Process -Id $Process.Id -ErrorAction SilentlyContinue).Count }
    $values = @{ id = $Process.Id; reason = $reason }
    if ($ended -and $reason) { Write-Notice log process-gone 'process {id} had already exited: {reason}' $values }
    elseif ($ended) { return }
    elseif ($reason) {
        Write-Notice warning process-not-killed ('process {id} could not be stopped, and is still running: ' +
            '{reason}') $values
    }
    else {
        Write-Notice warning process-not-exited 'process {id} did not exit within 10 seconds after it was stopped' @{
            id = $Process.Id
        }
    }
}

# Run a program until it exits, and report its output as log events, line by line. If the exit code is not in
# $Accept, the step fails with $Code and $Text. Its values are {program}, {exit_code}, {output} (the errors in the
# output, or its last lines), and those in $Values. With -Quiet, for a program that answers a question, the output goes
# to $Run.Output. A variable in $Environment whose value is $null is removed.
function Invoke-Program {
    param(
        [string]$File, [string[]]$Arguments, [hashtable]$Environment = @{}, [int[]]$Accept = @(0), [switch]$Quiet,
        [string]$Code = 'program-failed',
        [string]$Text = '{program} exited with code {exit_code}: {output}',
        [hashtable]$Values = @{}
    )
    $name = Split-Path -Leaf $File
    $process = [Diagnostics.Process]::Start((New-ProgramStart $File $Arguments $Environment))
    try {
        if ($Run.Lock) { Write-Lock "`n$(Get-ProgramMark $process)" }
        $process.StandardInput.Close()
        $Run.Output = @(Read-ProgramOutput $process $name -Quiet:$Quiet)
        while (-not $process.WaitForExit(500)) { continue }
        $Run.ExitCode = $process.ExitCode
    }
    finally {
        if (-not $process.HasExited) { $process.Kill() }   # this run was stopped
        if ($Run.Lock) { Write-Lock }
        $process.Dispose()
    }
    if ($Accept -notcontains $Run.ExitCode) {
        throw (New-Failure $Code $Text ($Values + @{
                    program = $name; exit_code = $Run.ExitCode; output = Get-ErrorText $Run.Output
                }))
    }
}

function New-ProgramStart {
    param([string]$File, [string[]]$Arguments, [hashtable]$Environment)
    $start = New-Object Diagnostics.ProcessStartInfo
    $start.FileName = $File
    $start.Arguments = @($Arguments | ForEach-Object { Format-Argument $_ }) -join ' '
    $start.WorkingDirectory = $StateFolder
    $start.UseShellExecute = $false
    $start.CreateNoWindow = $true
    $start.RedirectStandardInput = $true
    $start.RedirectStandardOutput = $true
    $start.RedirectStandardError = $true
    $start.StandardOutputEncoding = $Utf8
    $start.StandardErrorEncoding = $Utf8
    # Variables of another OpenSSL may name a file that others can write, and that file can name a DLL to load.
    # Python loads OpenSSL too, so they are removed for every program.
    foreach ($name in @($start.EnvironmentVariables.Keys)) {
        if ($name.ToUpperInvariant() -cmatch '^OPENSSL_') { $start.EnvironmentVariables.Remove($name) }
    }
    if ($Run.Lock) {
        foreach ($name in 'TEMP', 'TMP') { $start.EnvironmentVariables[$name] = Get-TemporaryFolder }
    }
    foreach ($name in $Environment.Keys) {
        if ($null -eq $Environment[$name]) { $start.EnvironmentVariables.Remove($name) }
        else { $start.EnvironmentVariables[$name] = $Environment[$name] }
    }
    $start
}

# Return a folder for the temporary files of programs, which a run that may change the host has while it runs. That of
# SYSTEM is C:\Windows\Temp: every user may create files in it, and even in the folders that a program creates in it.
function Get-TemporaryFolder {
    $folder = Join-Path $StateFolder 'temp'
    if (-not (Test-Path -LiteralPath $folder)) { New-ClosedFolder $folder $StateAccess }
    $folder
}

# What a killed run left running may still use it.
function Remove-TemporaryFolder {
    $folder = Join-Path $StateFolder 'temp'
    if ($Run.Left -or -not (Test-Path -LiteralPath $folder)) { return }
    try { Remove-Folder $folder }
    catch {
        Write-Notice log temporary-folder-kept 'could not remove {path}, which the next run removes: {reason}' @{
            path = $folder; reason = "$_"
        }
    }
}

# Return the lines of output and errors, in the order in which they arrive: with -Quiet all, else the last 50. What the
# program has started may keep the output open for as long as it runs: after the program has exited, the output is read
# until nothing has arrived for half a second and $RestSeconds are over.
function Read-ProgramOutput {
    param($Process, [string]$Name, [switch]$Quiet)
    $lines = New-Object Collections.Generic.Queue[string]
    $readers = $Process.StandardOutput, $Process.StandardError
    $pending = [Threading.Tasks.Task[]]@($readers[0].ReadLineAsync(), $readers[1].ReadLineAsync())
    $open = 2
    $rest = $null
    while ($open) {
        $i = [Threading.Tasks.Task]::WaitAny($pending, 500)
        if (-not $rest -and $Process.HasExited) { $rest = [Diagnostics.Stopwatch]::StartNew() }
        if ($i -lt 0) {
            if ($rest -and $rest.Elapsed.TotalSeconds -ge $RestSeconds) { break }
            continue
        }
        $line = $pending[$i].Result
        if ($null -eq $line) {
            $open--
            $pending[$i] = (New-Object Threading.Tasks.TaskCompletionSource[string]).Task   # never completes
            continue
        }
        $pending[$i] = $readers[$i].ReadLineAsync()
        if (-not $line.Trim()) { continue }
        $lines.Enqueue($line.Trim())
        if ($Quiet) { continue }
        if ($lines.Count -gt 50) { [void]$lines.Dequeue() }
        Write-Event log @{ text = $line; program = $Name }
        # What uv does next takes the longest, and it says so only at the end.
        if ($Name -ceq 'uv.exe' -and $line -cmatch '^Installed ') {
            Write-StepProgress compiling-modules 'Compiling the Python modules'
        }
    }
    $lines.ToArray()
}

# Return what explains a failure, in at most 800 characters: everything from the first line that says ERROR, and the
# last warning before it, which often has the reason. Without such a line: the last eight lines.
function Get-ErrorText([string[]]$Lines) {
    $warning = @()
    $errors = @()
    foreach ($line in $Lines) {
        if ($errors.Count -or $line -cmatch '^([Ee]rror|ERROR|[Ff]atal)\b') { $errors += $line }
        elseif ($line -cmatch '^WARNING') { $warning = @($line) }
    }
    $shown = $warning + $errors
    if (-not $errors.Count) { $shown = @($Lines | Select-Object -Last 8) }
    $text = $shown -join ' / '
    if (-not $text) { return '(none)' }
    if ($text.Length -gt 800) { $text = $text.Substring(0, 800) + '...' }
    $text
}

# ---- prelude: openssl ------------------------------------------------------------------------------
# Run openssl.exe, without loading anything from folders that others could create.

# The build of openssl.exe fixes folders for its configuration, modules, and engines; they need not exist, and anybody
# may be able to create them. It opens files in the code page of the host, which may lack characters of a path: paths
# relative to the working directory have only ASCII characters.
function Invoke-OpenSsl {
    param(
        [string[]]$Arguments, [hashtable]$Environment = @{}, [int[]]$Accept = @(0), [switch]$Quiet,
        [string]$Code = 'openssl-failed',
        [string]$Text = 'openssl exited with code {exit_code}: {output}'
    )
    $openssl = Get-OpenSsl
    Assert-OpenSslClosed $openssl
    $folder = Split-Path -Parent $openssl
    $relative = @($Arguments | ForEach-Object { $_.Replace("$StateFolder\", '') })
    $closed = $Environment + @{ OPENSSL_CONF = 'NUL'; OPENSSL_MODULES = $folder; OPENSSL_ENGINES = $folder }
    Invoke-Program $openssl $relative $closed -Accept $Accept -Quiet:$Quiet -Code $Code -Text $Text
}

# An OpenSSL outside of nbserver's folders may be where others can write, such as below C:\. It runs with administrator
# rights, and creates the private key.
function Assert-OpenSslClosed([string]$Path) {
    if ((Test-Below $Path $Programs) -or -not (Test-Path -LiteralPath $Path)) { return }
    $fault = Get-ProgramFault (Split-Path -Parent $Path)
    if (-not $fault) { return }
    throw (New-Failure openssl-unsafe ('{path} would run with administrator rights, but other accounts can change ' +
            'it: {cause}. Allow only SYSTEM and administrators to write to its folder, then try again') @{
            path = $Path
        } -Cause $fault)
}

# ---- prelude: web_requests -------------------------------------------------------------------------
# Send requests to web servers, and report why one did not respond.

# Return the login of this name, or $null if the envelope has none.
function Get-Login([string]$Name) {
    if (-not $Secrets.ContainsKey($Name)) { return }
    $found = [regex]::Match($Secrets[$Name], '\A([^:]*):(.*)\z')
    $login = New-Object Net.NetworkCredential
    $login.UserName = [Uri]::UnescapeDataString($found.Groups[1].Value)
    $login.Password = [Uri]::UnescapeDataString($found.Groups[2].Value)
    $login
}

function New-WebRequest([string]$Url, [long]$From) {
    $request = [Net.WebRequest]::Create($Url)
    $request.Timeout = 60000
    $request.ReadWriteTimeout = 60000
    $request.UserAgent = 'nbserver'
    if ($Settings.downloads.proxy) {
        $request.Proxy = New-Object Net.WebProxy $Settings.downloads.proxy
        $request.Proxy.Credentials = Get-Login 'downloads.proxy_login'
    }
    if ($From) { $request.AddRange($From) }
    $request
}

# Return the WebException in an exception: PowerShell wraps what a method throws. Without one, return the innermost.
function Get-WebException([Exception]$Exception) {
    while ($Exception.InnerException -and -not ($Exception -is [Net.WebException])) {
        $Exception = $Exception.InnerException
    }
    $Exception
}

# Return the status of the answer; 0 if there was none.
function Get-HttpStatus([Exception]$Exception) {
    $inner = Get-WebException $Exception
    if ($inner -is [Net.WebException] -and $inner.Response) { [int]$inner.Response.StatusCode } else { 0 }
}

# Return why a request failed. If the clock of a host is wrong, it trusts no certificate; Windows does not mention it.
function Get-WebFailure([Exception]$Exception) {
    $status = Get-HttpStatus $Exception
    $web = Get-WebException $Exception
    if ($status) {
        return New-Failure http-status 'the server responded with HTTP status {status} ({description})' @{
            status = $status; description = [string]$web.Response.StatusCode
        }
    }
    for ($inner = $web; $inner; $inner = $inner.InnerException) {
        if ($inner -is [Security.Authentication.AuthenticationException]) {
            return New-Failure tls-certificate-refused ('this host does not trust the server''s TLS certificate: ' +
                '{error}. The clock on this host shows {time}. If this time is wrong, correct the clock; otherwise, ' +
                'import the certificate of the CA that issued it, if you trust this CA') @{
                error = $inner.Message; time = [DateTime]::UtcNow.ToString('u')
            }
        }
    }
    New-Failure no-answer 'the server did not respond: {error}' @{ error = $web.Message }
}

# Old .NET offers only TLS 1.0 by default. The value 0 means "what Windows chooses", which includes TLS 1.2 where it
# exists. The number is a set of flags, one per protocol. Only this process is changed.
function Enable-Tls12 {
    $protocols = [int][Net.ServicePointManager]::SecurityProtocol
    if ($protocols -eq 0 -or ($protocols -band $Tls12)) { return }
    try { [Net.ServicePointManager]::SecurityProtocol = $protocols -bor $Tls12 }
    catch {
        throw (New-Failure no-tls-1-2 ('.NET Framework on this host does not support TLS 1.2, which downloads ' +
                'require. Install .NET Framework 4.5 or newer, then try again'))
    }
}

# ---- prelude: downloads ----------------------------------------------------------------------------
# Download files into the cache, and check their hashes before they are used.

$LargestDownload = 1000000000                            # bytes, if the catalog does not have the size
$SlowestDownload = @{ Bytes = 61440; Seconds = 60 }      # a server must send so many bytes in each minute

# Return the path in the cache: the first 16 digits of the hash, a hyphen, and the file name in the URL.
function Get-CachedFile($Download) {
    Join-Path $CacheFolder ($Download.sha256.Substring(0, 16) + '-' + (Get-DownloadName $Download))
}

function Get-DownloadName($Download) { Split-Path -Leaf ([Uri]$Download.url).AbsolutePath }

# Make sure that the file is in the cache, complete and with the hash of the catalog; fail otherwise. A file that is
# downloaded has the suffix .part until its hash is checked.
function Save-Download($Download) {
    $file = Get-CachedFile $Download
    Add-Folder $CacheFolder
    if (Test-Path -LiteralPath $file) {
        if ((Get-FileSha256 $file) -eq $Download.sha256) { return }
        Remove-SingleFile $file
    }
    if (Test-Push) { Move-DeliveredProgram $Download "$file.part" }
    else { Receive-Download $Download "$file.part" }
    Assert-Download $Download "$file.part"
    Move-Over "$file.part" $file
}

# Try three times. An answer that the request was wrong (status 4xx) stays the same, and so does the size of a file.
function Receive-Download($Download, [string]$Part) {
    for ($try = 1; ; $try++) {
        $status = 0
        try {
            $failure = Receive-File $Download.url $Part $Download.size
            if (-not $failure) { return }
        }
        catch [Net.WebException], [IO.IOException] {
            if (Test-DiskFull $_.Exception) {
                Remove-SingleFile $Part
                throw
            }
            $failure = Get-WebFailure $_.Exception
            $status = Get-HttpStatus $_.Exception
        }
        $isTooLarge = $failure.Data['code'] -ceq 'download-too-large'
        if ($isTooLarge) { Remove-SingleFile $Part }
        if ($try -ge 3 -or $isTooLarge -or ($status -ge 400 -and $status -lt 500)) {
            throw (New-Failure download-failed ('could not download {url}: {cause}. Check this host''s network ' +
                    'connection and downloads.proxy in the inventory, or add a mirror URL to a site catalog') @{
                    url = $Download.url
                } -Cause $failure)
        }
        Write-Notice warning download-interrupted ('the download of {url} was interrupted ({reason}) and is being ' +
            'resumed') @{
            url = $Download.url; reason = $failure.Message
        }
        [Threading.Thread]::Sleep(1000 * $try)
    }
}

function Assert-Download($Download, [string]$Part) {
    $actual = Get-FileSha256 $Part
    if ($actual -eq $Download.sha256) { return }
    $size = (Get-Item -LiteralPath $Part).Length
    Remove-SingleFile $Part
    throw (New-Failure download-wrong-hash ('{url} does not match the catalog: expected SHA-256 {expected}, got ' +
            '{actual} ({size} bytes). The downloaded file was deleted. Check whether a proxy replaces this file. ' +
            'Before you change the catalog, compare the hash with the publisher''s') @{
            url = $Download.url; expected = $Download.sha256; actual = $actual; size = $size
        })
}

# Continue an earlier attempt: ask only for the bytes that are missing. Status 206 is the answer with these bytes, any
# other answer has the whole file. Status 416 means that there are no more bytes: the file is complete, or its hash is
# wrong. Return a failure if the connection was closed too early, or if too much or too little arrives.
function Receive-File {
    param([string]$Url, [string]$File, $Size)
    $done = 0
    if (Test-Path -LiteralPath $File) { $done = (Get-Item -LiteralPath $File).Length }
    $request = New-WebRequest $Url $done
    try { $response = $request.GetResponse() }
    catch [Net.WebException] {
        if ((Get-HttpStatus $_.Exception) -eq 416) { return }
        throw
    }
    try {
        if ([int]$response.StatusCode -eq 206) { $out = [IO.File]::Open($File, 'Append', 'Write', 'Read') }
        else {
            $done = 0
            $out = [IO.File]::Open($File, 'Create', 'Write', 'Read')
        }
        try { Copy-Response $Url $response $out $done $Size }
        finally { $out.Close() }
    }
    finally { $request.Abort() }                 # a server may send without end; Close could wait for it
}

# $Done is how many bytes the file has already; $Size is its size in the catalog, if known. Progress is reported every
# second.
function Copy-Response {
    param([string]$Url, $Response, [IO.Stream]$Out, [long]$Done, $Size)
    $length = $Response.ContentLength            # of this answer; -1 if the server does not send it
    $end = $Done + $length
    $total = $Size
    if (-not $total -and $length -gt 0) { $total = $end }
    $name = Split-Path -Leaf $Url
    $in = $Response.GetResponseStream()
    $buffer = New-Object byte[] 1048576
    $time = [Diagnostics.Stopwatch]::StartNew()
    $reported = 0
    $minute = @{ Bytes = 0; Time = [Diagnostics.Stopwatch]::StartNew() }
    while (($count = $in.Read($buffer, 0, $buffer.Length)) -gt 0) {
        $Done += $count
        $failure = Get-DownloadFault $Done $Size $minute $count
        if ($failure) { return $failure }
        $Out.Write($buffer, 0, $count)
        if ($time.Elapsed.TotalSeconds -lt $reported + 1) { continue }
        $reported = $time.Elapsed.TotalSeconds
        Write-StepProgress downloading 'Downloading {file}' @{ file = $name } -Done $Done -Total $total -Unit bytes
    }
    if ($length -gt 0 -and $Done -lt $end) {
        New-Failure connection-closed 'the connection was closed after {done} of {total} bytes' @{
            done = $Done; total = $end
        }
    }
}

# Return a failure if the server sends more than the file has, or next to nothing. $Minute is what has arrived in the
# current minute, without the last $Count bytes.
function Get-DownloadFault {
    param([long]$Done, $Size, [hashtable]$Minute, [int]$Count)
    $limit = $LargestDownload
    if ($Size) { $limit = $Size }
    if ($Done -gt $limit) {
        return New-Failure download-too-large 'the file is larger than {limit} bytes, so nbserver discarded it' @{
            limit = $limit
        }
    }
    $Minute.Bytes += $Count
    if ($Minute.Time.Elapsed.TotalSeconds -lt $SlowestDownload.Seconds) { return }
    if ($Minute.Bytes -lt $SlowestDownload.Bytes) {
        return New-Failure download-slow 'the server sent only {size} bytes in a minute' @{ size = $Minute.Bytes }
    }
    $Minute.Bytes = 0
    $Minute.Time.Restart()
}

# Unpack a download next to the folder whose place it takes. It has the suffix .new.
function Expand-Download($Download, [string]$Folder) {
    if (Test-Path -LiteralPath "$Folder.new") { Remove-Folder "$Folder.new" }
    Write-StepProgress unpacking 'Unpacking {folder}' @{ folder = Split-Path -Leaf $Folder }
    try { Expand-Zip (Get-CachedFile $Download) "$Folder.new" }
    catch {
        Remove-Folder "$Folder.new"              # a part of it would keep a full disk full
        throw
    }
}

function Expand-Zip([string]$File, [string]$Folder) {
    Add-Type -AssemblyName System.IO.Compression.FileSystem
    [IO.Compression.ZipFile]::ExtractToDirectory($File, $Folder)
}

function Complete-Download([string]$Folder) {
    Save-Before 'folder' $Folder $null
    Invoke-FileChange 'move-folder' "$Folder.new" $Folder
}

# ---- prelude: sources ------------------------------------------------------------------------------
# Download a program from one of several sources.

# An entry of the catalog may have other sources: other URLs, each with its own hash, and perhaps another version of the
# program. They are tried in order. The settings of the program are those of the source that is used.
$Sources = @{}
$SourceFailures = 'download-failed', 'download-wrong-hash'

Add-Hook BeforeRun {
    foreach ($name in 'python', 'openssl', 'vc_redist') {
        if (Get-Setting $name) { Select-Source $name }
    }
}

# Use the source that is installed, according to its file list; if there is none, the first one.
function Select-Source([string]$Name) {
    $all = @($Settings.$Name) + @($Settings.$Name.sources)
    $installed = @()
    if ($all.Count -gt 1) { $installed = @($all | Where-Object { Test-InstalledFrom "$Name-$($_.version)" $_.sha256 }) }
    $Settings.$Name = @($installed + $all)[0]
    $Sources[$Name] = @($Settings.$Name) + @($all | Where-Object { $_.sha256 -ne $Settings.$Name.sha256 })
}

# A workstation sends the file of one source, which may be any of them.
function Get-UsableSource([string]$Name) {
    $all = @($Sources[$Name])
    if (-not (Test-Push)) { return $all }
    $arrived = @($all | Where-Object { Test-DeliveredProgram $_ })
    @($arrived + $all)[0]
}

function Save-Program([string]$Name) {
    $left = @(Get-UsableSource $Name)
    $failure = $null
    while ($true) {
        $source, $left = $left
        if ($failure) { Write-NextSource $Name $source $failure }
        try { Save-Download $source }
        catch {
            $failure = ConvertTo-Failure $_.Exception
            if (-not $left -or $SourceFailures -notcontains $failure.Data['code']) { throw }
            continue
        }
        $Settings.$Name = $source
        if ($failure) { Write-SourceUsed $Name $source }
        return
    }
}

function Write-NextSource {
    param([string]$Name, $Source, [Exception]$Failure)
    Write-Notice warning next-source 'trying {url} for {program}, because the previous source failed: {reason}' @{
        reason = $Failure.Message; program = $Name; url = $Source.url
    }
}

function Write-SourceUsed([string]$Name, $Source) {
    Write-Notice log source-used '{program} {version} was downloaded from {url} (SHA-256 {sha256})' @{
        program = $Name; version = $Source.version; url = $Source.url; sha256 = $Source.sha256
    }
}

# Report whether a source answers: one is sufficient.
function Assert-SourceAnswer([string]$Name) {
    $left = @($Sources[$Name])
    while ($true) {
        $source, $left = $left
        try { return Assert-UrlAnswer $source.url }
        catch { if (-not $left) { throw } }
    }
}

# Return whether a file list is about a download with this hash.
function Test-InstalledFrom([string]$Name, [string]$Source) {
    $list = Get-FileList $Name
    (Test-Path -LiteralPath $list) -and @([IO.File]::ReadAllLines($list, $Utf8))[0] -eq $Source
}

# ---- prelude: delivered_programs -------------------------------------------------------------------
# Use program files that the workstation has sent.

# A file moves to the cache, where a download would be, when its program is installed. Any source is accepted.
function Get-DeliveredProgram {
    foreach ($download in @($Sources['python']) + @($Sources['openssl']) + @($Sources['vc_redist'])) {
        if (-not $download) { continue }
        @{ Name = Get-DownloadName $download; Sha256 = $download.sha256; Cached = Get-CachedFile $download }
    }
}

# Return whether the file of this source has arrived, or is in the cache.
function Test-DeliveredProgram($Download) {
    foreach ($file in (Get-DeliveredFile (Get-DownloadName $Download)), (Get-CachedFile $Download)) {
        if ([IO.File]::Exists($file) -and (Get-FileSha256 $file) -eq $Download.sha256) { return $true }
    }
    $false
}

function Move-DeliveredProgram($Download, [string]$Part) {
    $file = Get-DeliveredFile (Get-DownloadName $Download)
    Assert-NoLink $file
    if (-not [IO.File]::Exists($file)) {
        throw (New-Failure delivery-missing ('{path} is missing. Run nbserver apply, which sends this file from the ' +
                'workstation, or copy the file to this path, then try again') @{
                path = $file
            })
    }
    Move-Over $file $Part
}

# ---- prelude: reboots ------------------------------------------------------------------------------
# Restart Windows when a change needs it, or report why it is not restarted.

# If Windows waits for a reboot ($Run.Reboot), nothing more is changed before it has restarted: the run stops. With
# reboot = "if-needed", the script restarts Windows if the workstation will continue the run afterwards.

$BootFormat = "yyyy-MM-dd'T'HH:mm:ss'Z'"

# Return when Windows started, in UTC; empty if it does not report it.
function Get-BootTime {
    try {
        $boot = (Get-CimInstance -ClassName Win32_OperatingSystem).LastBootUpTime
        $boot.ToUniversalTime().ToString($BootFormat, [Globalization.CultureInfo]::InvariantCulture)
    }
    catch { '' }
}

# Windows calculates when it started from its clock: if the clock is corrected, the time differs by some seconds.
function Test-SameBoot([string]$One, [string]$Other) {
    $times = foreach ($text in $One, $Other) {
        [DateTime]::ParseExact($text, $BootFormat, [Globalization.CultureInfo]::InvariantCulture)
    }
    [Math]::Abs(($times[0] - $times[1]).TotalSeconds) -lt 30
}

# Note when Windows started. A run that continues after a restart waits until Windows has restarted. While Windows
# starts, it may not report its boot time yet.
function Read-BootTime {
    if ('apply', 'request' -contains $Run.Mode) { $Run.Boot = Get-BootTime }
    if (-not $Run.BootBefore) { return }
    if (-not $Run.Boot -or (Test-SameBoot $Run.Boot $Run.BootBefore)) { $Run.Outcome = 'waiting' }
}

Add-Hook BeforeRun { Read-BootTime }
Add-Hook AtRestart { Complete-BeforeRestart }

# Finish a run that stops for a reboot. $Run.Restarts is how often the workstation will still continue this run; a run
# by hand has nothing that continues it. If one restart was not enough, another one is not either.
function Complete-BeforeRestart {
    $Run.Step = ''
    if ($Run.BootBefore -and -not $Run.Changed) { Write-StillPending; return }
    if ($Settings.reboot -ne 'if-needed') { return }
    if (-not $Run.Boot) {
        Write-Notice warning boot-time-unknown ('could not determine when Windows last started, so nbserver did not ' +
            'restart it. Restart Windows yourself, then try again')
    }
    elseif (-not $Run.Restarts -and $Run.BootBefore) {
        Write-Notice warning restarts-used-up ('Windows must restart again, but this run has reached its restart ' +
            'limit. Restart Windows, then try again')
    }
    elseif (-not $Run.Restarts) {
        Write-Notice warning no-restart-by-hand ('Windows must restart, but a script that you run by hand does not ' +
            'restart it. Restart Windows, then run the script again')
    }
    else {
        Restart-Windows
        $Run.Restarting = $true
    }
}

function Write-StillPending {
    $key = $Run.Pending.Trim([char[]]' ()')
    if ($key) {
        Write-Notice warning reboot-still-pending ('Windows must restart again ({key}), although it has just ' +
            'restarted. Find and fix what keeps requiring a restart, such as an update that fails at every start, ' +
            'then try again') @{ key = $key }
    }
    else {
        Write-Notice warning reboot-still-needed ('Windows must restart again, although it has just restarted. Find ' +
            'out why an installer keeps requiring a restart, fix the cause, then try again')
    }
}

# Restart in ten seconds, which leaves time for the last event of this run. The reason p:4:2 means: planned, the
# installation of an application. Two exit codes are not failures of shutdown.exe: with 1115
# (ERROR_SHUTDOWN_IN_PROGRESS), Windows already restarts; with 1190 (ERROR_SHUTDOWN_IS_SCHEDULED), it is unknown when.
function Restart-Windows {
    Write-Notice warning restarting 'Windows will restart in ten seconds. This run will continue after the restart'
    $shutdown = Join-Path $env:SystemRoot 'System32\shutdown.exe'
    $comment = 'nbserver: an installer requires a restart'
    Invoke-Program $shutdown @('/r', '/t', '10', '/d', 'p:4:2', '/c', $comment) -Accept 0, 1115, 1190 `
        -Code restart-failed -Text ('could not restart Windows ({program} exited with code {exit_code}): {output}. ' +
        'Restart Windows yourself, then try again')
    if ($Run.ExitCode -eq 1190) {
        throw (New-Failure restart-already-scheduled ('a restart or shutdown of Windows is already scheduled. Wait ' +
                'for it, or cancel it with shutdown /a, then try again'))
    }
}

# ---- prelude: windows_version ----------------------------------------------------------------------
# Recognize the Windows version, and compare it with the inventory.

# What the inventory calls a release, and its lowest version. Sources: "Operating System Version" and "Windows Server
# release information" on learn.microsoft.com.
$WindowsVersions = @{
    '2012' = '6.2'; '2012r2' = '6.3'; '2016' = '10.0.14393'; '2019' = '10.0.17763'; '2022' = '10.0.20348'
    '2025' = '10.0.26100'; '10' = '10.0'; '11' = '10.0.22000'
}
$WindowsKey = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'

# Return the version of this Windows. Windows reports an older one to a program whose manifest does not name a newer
# release, so the registry takes precedence if its version is higher. Windows 8.1 and older have "6.3" in one value.
function Get-WindowsVersion([version]$Reported) {
    $values = @{}
    $names = 'CurrentMajorVersionNumber', 'CurrentMinorVersionNumber', 'CurrentVersion', 'CurrentBuildNumber'
    foreach ($name in $names) {
        $found = Get-RegistryValue $WindowsKey $name
        if ($found) { $values[$name] = [string]$found.value }
    }
    $release = $values['CurrentVersion']
    if ($values['CurrentMajorVersionNumber']) {
        $release = "$($values['CurrentMajorVersionNumber']).$($values['CurrentMinorVersionNumber'])"
    }
    $registry = "$release.$($values['CurrentBuildNumber'])" -as [version]
    if ($registry -and $registry -gt $Reported) { $registry } else { $Reported }
}

# Return "Client", "Server", or "Server Core"; or nothing if this Windows does not have the value.
function Get-InstallationType {
    $type = Get-RegistryValue $WindowsKey 'InstallationType'
    if ($type) { [string]$type.value }
}

# Return what the inventory calls this release, or nothing if it is older than all of them.
function Get-WindowsName([version]$Is, [string]$Type) {
    $names = '2025', '2022', '2019', '2016', '2012r2', '2012'
    if ($Type -eq 'Client') { $names = '11', '10' }
    foreach ($name in $names) { if ($Is -ge [version]$WindowsVersions[$name]) { return $name } }
}

# Return a failure if this Windows is older than the inventory says. $Should is the setting windows, or empty.
function Get-WindowsFault {
    param([version]$Is, [string]$Type, [string]$Should)
    $lowest = '10.0'
    if ($Should) { $lowest = $WindowsVersions[$Should] }
    if ($Is -ge [version]$lowest) { return }
    $name = Get-WindowsName $Is $Type
    if (-not $name) {
        return New-Failure windows-too-old ('this host runs Windows version {is}, which is too old. Use Windows 10, ' +
            'Windows Server 2012, or newer') @{ is = [string]$Is }
    }
    if ($Should) { return New-OlderWindowsFailure $Is $name $Should }
    if ($name -eq '2012') {
        return New-Failure windows-2012-not-set ('this host runs Windows version {is}, but windows is not set in the ' +
            'inventory, so Windows 10, Windows Server 2016, or newer is required. Set windows = "2012" and ' +
            'accept_end_of_life = true in the inventory') @{ is = [string]$Is }
    }
    New-Failure windows-not-set ('this host runs Windows version {is}, but windows is not set in the inventory, so ' +
        'Windows 10, Windows Server 2016, or newer is required. Set windows = "{name}" in the inventory') @{
        is = [string]$Is; name = $name
    }
}

function New-OlderWindowsFailure {
    param([version]$Is, [string]$Name, [string]$Should)
    $values = @{ is = [string]$Is; name = $Name; should = $Should; lowest = $WindowsVersions[$Should] }
    if ($Name -eq '2012') {
        return New-Failure windows-older-2012 ('this host runs Windows version {is}, but windows = "{should}" in the ' +
            'inventory requires version {lowest} or newer. Set windows = "{name}" and accept_end_of_life = true in ' +
            'the inventory') $values
    }
    New-Failure windows-older ('this host runs Windows version {is}, but windows = "{should}" in the inventory ' +
        'requires version {lowest} or newer. Set windows = "{name}" in the inventory') $values
}

# ---- prelude: foreign_configuration ----------------------------------------------------------------
# Find configuration from other Jupyter installations, which the server does not use.

# Return the files and variables that could configure Jupyter or IPython, or the installation of packages. The step
# packages and the program that starts the server make sure that none of them is used.
function Get-ForeignConfiguration {
    Get-ForeignFile
    Get-ForeignVariable
}

# Return files of the machine and of the account that runs the server. Folders that cannot be read are left out.
function Get-ForeignFile {
    $account = Get-ServerProfile
    $places = @(
        @{ Folder = "$env:ProgramData\jupyter"; Name = '*' }
        @{ Folder = "$env:ProgramData\ipython"; Name = '*' }
        @{ Folder = "$account\.jupyter"; Name = '*_config.*' }
        @{ Folder = "$account\AppData\Roaming\jupyter"; Name = '*_config.*' }
        @{ Folder = "$account\.ipython\profile_default"; Name = '*_config.*' }
        @{ Folder = "$account\.ipython\profile_default\startup"; Name = '*.py' }
    )
    foreach ($place in $places + @(Get-IgnoredPackageFile)) {
        if (-not [IO.Directory]::Exists($place.Folder)) { continue }
        try { [IO.Directory]::GetFileSystemEntries($place.Folder, $place.Name) }
        catch [UnauthorizedAccessException] { continue }
    }
}

# Return the names of variables. A value may be a secret, and is not returned.
function Get-ForeignVariable {
    foreach ($target in $VariableTargets) {
        foreach ($name in [Environment]::GetEnvironmentVariables($target).Keys) {
            if ($name.ToUpperInvariant() -cmatch $IgnoredVariables) { "the variable $name" }
        }
    }
}

# Write one warning per run, with at most ten names.
function Write-ForeignConfiguration {
    if ($Run.ForeignNamed) { return }
    $Run.ForeignNamed = $true
    Set-Found no-foreign-configuration 'no configuration from other installations was found'
    $found = @(Get-ForeignConfiguration | Sort-Object)
    if (-not $found.Count) { return }
    $names = @($found | Select-Object -First 10) -join ', '
    if ($found.Count -le 10) {
        Write-Notice warning foreign-configuration ('nbserver ignores configuration ' +
            'that it did not install: {names}') @{ names = $names }
        return
    }
    Write-Notice warning much-foreign-configuration ('nbserver ignores configuration that it did not install: ' +
        '{names}, and {more} more') @{
        names = $names; more = $found.Count - 10
    }
}

# ---- prelude: foreign_places -----------------------------------------------------------------------
# Define where configuration from other installations may be on this host.

$IgnoredVariables = '^(JUPYTER|IPYTHON|PYTHON|OPENSSL_|PIP_|UV_)'
$VariableTargets = @('Machine')

# The server runs as LOCAL SERVICE.
function Get-ServerProfile { "$env:SystemRoot\ServiceProfiles\LocalService" }

function Get-IgnoredPackageFile {
    @{ Folder = "$env:ProgramData\pip"; Name = 'pip.ini' }
    @{ Folder = "$env:ProgramData\uv"; Name = 'uv.toml' }
}

# ---- prelude: package_environment ------------------------------------------------------------------
# Choose the environment variables of pip and uv.

# The options of pip that are used (only in user scope), and whether wheels from elsewhere replace any index.
$PackageSource = @{ Used = @(); NoIndex = $false }

# Return the names of the settings that decide where packages come from, for a message.
function Get-SourceSetting {
    $names = 'packages.index_url, downloads.proxy'
    if (Test-Mirror) { $names = 'downloads.mirror, downloads.proxy' }
    if (Test-Push) { $names = 'downloads.bundle' }
    if ($PackageSource.Used) { $names += ", pip $($PackageSource.Used -join ' ')" }
    $names
}

# Return variables for Invoke-Program, which removes those with the value $null. Configuration files and variables of
# pip and uv are turned off, because they could change what is installed, or where. Set-PackageConfiguration adds what
# is used of them. Python ignores PYTHONUTF8 with -I, so it also gets -X utf8: what it prints must not depend on the
# code page of the host.
function Get-PackageEnvironment {
    $environment = @{}
    foreach ($name in [Environment]::GetEnvironmentVariables().Keys) {
        if ($name.ToUpperInvariant() -cmatch '^(PIP|UV)_') { $environment[$name] = $null }
    }
    foreach ($name in 'PYTHONUTF8', 'PIP_NO_INPUT', 'PIP_DISABLE_PIP_VERSION_CHECK', 'UV_NO_PROGRESS', 'UV_NO_CONFIG') {
        $environment[$name] = '1'
    }
    $environment.PIP_CONFIG_FILE = 'nul'   # in lower case: pip compares it with Python's name of the null device
    Set-HostAuthority $environment
    Set-PackageConfiguration $environment
    if ($Settings.downloads.proxy) {
        $environment.HTTP_PROXY = Get-AddressWithLogin $Settings.downloads.proxy 'downloads.proxy_login'
        $environment.HTTPS_PROXY = $environment.HTTP_PROXY
    }
    if (Test-Mirror) { Set-WheelSource $environment (Get-MirrorPage) }
    elseif (Test-Push) { Set-WheelSource $environment (Get-DeliveredAddress) }
    elseif ($Settings.packages.index_url) {
        $environment.PIP_INDEX_URL = Get-AddressWithLogin $Settings.packages.index_url 'packages.index_login'
        $environment.UV_DEFAULT_INDEX = $environment.PIP_INDEX_URL
    }
    $environment
}

function Test-Mirror { $Settings.downloads.source -eq 'mirror' }

# Return the folder as a URL: pip would divide a path at its spaces, and uv at its commas.
function Get-DeliveredAddress { ([Uri]$DeliveredFolder).AbsoluteUri.Replace(',', '%2C') }

function Get-MirrorPage { "$($Settings.downloads.mirror)/wheels.html" }

# The page of a mirror, or the folder of the delivered files, replaces every index.
function Set-WheelSource([hashtable]$Environment, [string]$Address) {
    $Environment.PIP_FIND_LINKS = $Address
    $Environment.UV_FIND_LINKS = $Address
    $PackageSource.NoIndex = $true
}

# Return the URL with the login of this name, if the envelope has one. Only variables of programs may have it, because
# everybody can read arguments.
function Get-AddressWithLogin([string]$Address, [string]$Name) {
    if (-not $Secrets.ContainsKey($Name)) { return $Address }
    $begin = $Address.IndexOf('://', [StringComparison]::Ordinal) + 3
    $Address.Insert($begin, '@').Insert($begin, $Secrets[$Name])
}

# pip and uv trust the authorities that Windows trusts, such as that of a company's proxy. pip 24.2 and newer do so
# with Python 3.10 and newer; from 23.3 on, they can (https://pip.pypa.io/en/stable/topics/https-certificates/).
function Set-HostAuthority([hashtable]$Environment) {
    $Environment.UV_SYSTEM_CERTS = '1'
    $library = Join-Path (Split-Path -Parent (Get-Python)) 'Lib\site-packages\pip\_vendor\truststore'
    if ([version]$Settings.python.version -ge [version]'3.10' -and (Test-Path -LiteralPath $library)) {
        $Environment.PIP_USE_FEATURE = 'truststore'
    }
}

# ---- prelude: package_configuration ----------------------------------------------------------------
# Read no configuration of pip and uv: in machine scope, all of it is in the inventory.

function Set-PackageConfiguration([hashtable]$Environment) { return }

# ---- prelude: installer_failures -------------------------------------------------------------------
# Explain the exit codes of installers.

# Windows Installer; bundles (Python, Visual C++) have the same exit codes.
# Source: "Windows Installer error messages" on learn.microsoft.com.
$InstallerExitCodes = 1602, 1603, 1618, 1625, 1638
# Inno Setup. Source: "Setup Exit Codes" on jrsoftware.org.
$InnoExitCodes = 1, 2, 3, 4, 5, 6, 7, 8

# Return the failure that an exit code of Windows Installer stands for.
function Get-InstallerFailure([string]$Name, [int]$ExitCode) {
    $values = @{ installer = $Name; exit_code = $ExitCode }
    $logs = @{ installer = $Name; exit_code = $ExitCode; folder = Get-InstallerLogFolder }
    switch ($ExitCode) {
        1602 { New-Failure installer-cancelled ('{installer} was canceled (exit code {exit_code}). Try again, and ' +
            'let the installer finish') $values }
        1603 {
            New-Failure installer-failed ('{installer} failed (exit code {exit_code}). If there is a log in ' +
                '{folder}, fix the error that it shows, then try again') $logs
        }
        1618 {
            New-Failure installer-busy ('{installer} could not start (exit code {exit_code}), because another ' +
                'installer is running on this host. Wait for it to finish, then try again') $values
        }
        1625 {
            New-Failure installer-forbidden ('a policy on this host forbids {installer} (exit code {exit_code}). Ask ' +
                'the administrator who manages this policy for an exception, then try again') $values
        }
        1638 {
            New-Failure installer-other-version ('{installer} cannot replace the version that is already installed ' +
                '(exit code {exit_code}). Uninstall that version, or set it in the inventory, then try again') $values
        }
    }
}

# Return the failure that an exit code of Inno Setup stands for.
function Get-InnoFailure([string]$Name, [int]$ExitCode) {
    $values = @{ installer = $Name; exit_code = $ExitCode }
    $logs = @{ installer = $Name; exit_code = $ExitCode; folder = Get-InstallerLogFolder }
    switch ($ExitCode) {
        1 { New-Failure installer-not-started ('{installer} could not start (exit code {exit_code}). Restart ' +
                'Windows, then try again') $values }
        2 {
            New-Failure installer-cancelled-early ('{installer} was canceled before it changed anything (exit code ' +
                '{exit_code}). Try again, and let the installer finish') $values
        }
        3 {
            New-Failure installer-failed-early ('{installer} failed before it changed anything, possibly because ' +
                'the host is low on memory (exit code {exit_code}). Close other programs, then try again') $values
        }
        4 {
            New-Failure installer-failed ('{installer} failed (exit code {exit_code}). If there is a log in ' +
                '{folder}, fix the error that it shows, then try again') $logs
        }
        5 {
            New-Failure installer-stopped ('{installer} was canceled or could not write a file (exit code ' +
                '{exit_code}). If there is a log in {folder}, fix the error that it shows, then try again') $logs
        }
        6 { New-Failure installer-killed ('{installer} was stopped by a debugger (exit code {exit_code}). Close the ' +
                'debugger, then try again') $values }
        7 {
            New-Failure installer-cannot-continue ('{installer} cannot continue on this host (exit code ' +
                '{exit_code}). If there is a log in {folder}, fix the error that it shows, then try again') $logs
        }
        8 {
            New-Failure installer-needs-restart ('{installer} cannot continue until Windows restarts (exit code ' +
                '{exit_code}). Restart Windows, then try again') $values
        }
    }
}

# ---- prelude: installers ---------------------------------------------------------------------------
# Run installers and uninstallers, one at a time.

$InstallerPatience = 300                                 # for how many seconds to wait for another installer

function Get-InstallerLogFolder { Join-Path $StateFolder "runs\$($Run.Id)" }
function Get-InstallerLog([string]$Name) { Join-Path (Get-InstallerLogFolder) "$Name.log" }

# While an installer runs, a mark is next to its file. An installer that was cut off leaves the mark, and perhaps a part
# of its files: then the step runs it again.
function Test-CutOff([string]$File) { Test-Path -LiteralPath "$File.running" }

# $Program runs the file; by default, the file itself is the program. `catch`, not `finally`: when the run is stopped,
# the mark must stay, because the installer may be half done.
function Invoke-Installer {
    param([string]$File, [string[]]$Arguments, [string]$Program = $File, [switch]$Inno)
    Write-TextFile "$File.running" ''
    try { Invoke-Setup $Program $Arguments (Split-Path -Leaf $File) -Inno:$Inno }
    catch {
        Remove-SingleFile "$File.running"
        throw
    }
    Remove-SingleFile "$File.running"
}

# Run an installer or an uninstaller until it exits. $Name is what messages call it, and $Accept has further exit codes
# that are not failures. Exit code 1618 means that another installer runs: try again every five seconds. Exit codes 3010
# and 1641 mean that Windows must restart.
function Invoke-Setup {
    param([string]$Program, [string[]]$Arguments, [string]$Name, [int[]]$Accept = @(), [switch]$Inno)
    $explained = if ($Inno) { $InnoExitCodes } else { $InstallerExitCodes }
    for ($waited = 0; ; $waited += 5) {
        Invoke-Program $Program $Arguments -Accept (@(0, 1618, 1641, 3010) + $Accept + $explained)
        if ($Run.ExitCode -ne 1618 -or $waited -ge $InstallerPatience) { break }
        Write-StepProgress waiting-for-installer 'Waiting for another installer to finish' `
            -Done $waited -Total $InstallerPatience -Unit seconds
        [Threading.Thread]::Sleep(5000)
    }
    if ($Run.ExitCode -eq 3010 -or $Run.ExitCode -eq 1641) { $Run.Reboot = $true; return }
    if ($Run.ExitCode -eq 0 -or $Accept -contains $Run.ExitCode) { return }
    $failure = Get-InstallerFailure $Name $Run.ExitCode
    if ($Inno -and $Run.ExitCode -ne 1618) { $failure = Get-InnoFailure $Name $Run.ExitCode }
    throw $failure
}

# ---- prelude: msi_packages -------------------------------------------------------------------------
# Install packages of Windows Installer (.msi), and remove them.

$MsiExec = Join-Path $env:SystemRoot 'System32\msiexec.exe'
$MsiProducts = 'HKLM:\SOFTWARE\Classes\Installer\Products'

# The file stays in the cache, where undo finds it. If it was deleted, Windows has its own copy, which is enough to
# remove what the package installed.
function Install-Msi([string]$File) {
    Save-Before 'msi' $File $null
    Invoke-Installer $File @('/i', $File, '/qn', '/norestart', '/l*v', (Get-InstallerLog 'msi')) $MsiExec
}

# Return the code of the product that was installed from a file of this name, as {GUID}; or nothing.
function Get-ProductCode([string]$File) {
    if (-not (Test-Path -LiteralPath $MsiProducts)) { return }
    foreach ($name in @(Get-ChildItem -LiteralPath $MsiProducts | ForEach-Object { $_.PSChildName })) {
        if ($name -cnotmatch '\A[0-9A-F]{32}\z') { continue }
        $package = Get-RegistryValue "$MsiProducts\$name\SourceList" PackageName
        if ($package -and $package.value -eq (Split-Path -Leaf $File)) { ConvertFrom-PackedGuid $name }
    }
}

# The key of a product is its code in packed form: the 32 hexadecimal digits of the GUID's 16 bytes, in the order in
# which Windows stores them, with the two digits of each byte swapped. The byte 0x1A is written as A1.
function ConvertFrom-PackedGuid([string]$Name) {
    $bytes = New-Object byte[] 16
    for ($i = 0; $i -lt 16; $i++) {
        $first = $Name[2 * $i]
        $second = $Name[2 * $i + 1]
        $bytes[$i] = [Convert]::ToByte("$second$first", 16)
    }
    "{$(New-Object Guid (, $bytes))}"
}

# Exit code 1605 means that the product is not installed. Windows does not know a product whose installation was cut
# off, and would leave its files: such an installation is completed first.
$Restore.msi = {
    param($File)
    Assert-NoLink $File
    $name = Split-Path -Leaf $File
    $product = $File
    if (-not (Test-Path -LiteralPath $File)) {
        $product = Get-ProductCode $File
        if (-not $product) {
            Write-Notice log already-removed ('nothing was uninstalled, because the installer {path} no longer ' +
                'exists and the program that it installed was already removed') @{
                path = $File
            }
            return
        }
    }
    elseif (Test-CutOff $File) { Install-Msi $File }
    Write-StepProgress removing-program 'Removing {program}' @{ program = $name }
    Invoke-Setup $MsiExec @('/x', $product, '/qn', '/norestart') $name -Accept 1605
}

# ---- prelude: bundles ------------------------------------------------------------------------------
# Install and remove bundles: setups of WiX, such as that of Python.

# Python's setup registers itself for the account that runs it (HKCU), although it installs for the whole machine.
# Sources: issue 218 of python/release-tools, and issue 148148 of python/cpython.
$OwnUninstallKey = 'HKCU:\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall'
$UninstallKeys = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall',
'HKLM:\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall', $OwnUninstallKey

# $Before is the version that the bundle replaces, if any.
function Install-Bundle {
    param([string]$File, [string[]]$Arguments, $Before)
    Save-Before 'bundle' $File $Before
    Invoke-Installer $File $Arguments
}

# Return whether a bundle with this name for other bundles (its provider key) is registered for this account.
function Test-OwnBundle([string]$Provider) {
    if (-not (Test-Path -LiteralPath $OwnUninstallKey)) { return $false }
    foreach ($key in @(Get-ChildItem -LiteralPath $OwnUninstallKey)) {
        $found = Get-RegistryValue "$OwnUninstallKey\$($key.PSChildName)" BundleProviderKey
        if ($found -and $found.value -eq $Provider) { return $true }
    }
    $false
}

# Return the copy of itself that an installed bundle keeps, for its removal; or nothing. That of an account is in a
# folder of the account, which must be the one of this run: preflight has verified that it is an administrator.
function Get-BundleCopy([string]$Name) {
    foreach ($root in $UninstallKeys) {
        if (-not (Test-Path -LiteralPath $root)) { continue }
        foreach ($key in @(Get-ChildItem -LiteralPath $root)) {
            $copy = Get-RegistryValue "$root\$($key.PSChildName)" BundleCachePath
            if (-not $copy -or (Split-Path -Leaf $copy.value) -ne $Name) { continue }
            if (-not (Test-Path -LiteralPath $copy.value)) { continue }
            $folder = Split-Path -Parent $copy.value
            if ($root -eq $OwnUninstallKey -and (Get-ProgramFault $folder $UserSid)) { continue }
            return [string]$copy.value
        }
    }
}

# Return the program that removes a bundle: its file in the cache or, if that was deleted, its own copy. Return nothing
# if there is nothing to remove, or if the copy may be a newer one that another program installed: under a file name
# without a version, such as VC_redist.x64.exe, Windows keeps the newest.
function Get-BundleRemoval([string]$File) {
    if (Test-Path -LiteralPath $File) { return $File }
    $name = (Split-Path -Leaf $File) -creplace '\A[0-9a-f]{16}-', ''   # the cache adds the beginning of its hash
    $copy = Get-BundleCopy $name
    if (-not $copy) {
        Write-Notice log already-removed ('nothing was uninstalled, because the installer {path} no longer exists ' +
            'and the program that it installed was already removed') @{
            path = $File
        }
        return
    }
    if ($name -match '\d+\.\d+\.\d+') { return $copy }
    Write-Notice warning newer-bundle-kept ('undo did not uninstall the program that {path} installed, because ' +
        'another installer may have replaced it with a newer version ({copy}) that other programs need. If no ' +
        'program needs it, uninstall it in Settings > Apps') @{
        path = $File; copy = $copy
    }
}

# Exit code 1605 means that the bundle is not installed.
$Restore.bundle = {
    param($File, $Before)
    Assert-NoLink $File
    $name = Split-Path -Leaf $File
    if ($Before) {
        Write-Notice warning replaced-version-kept ('{program} replaced version {version}, which undo cannot ' +
            'restore, so the newer version is kept') @{ program = $name; version = $Before }
        return
    }
    $program = Get-BundleRemoval $File
    if (-not $program) { return }
    Write-StepProgress removing-program 'Removing {program}' @{ program = $name }
    Invoke-Setup $program @('/uninstall', '/quiet', '/norestart') $name -Accept 1605
}

# ---- prelude: inno_setup ---------------------------------------------------------------------------
# Install and remove programs with a setup of Inno Setup, such as OpenSSL's.

# The options are in "Setup Command Line Parameters" on jrsoftware.org; with RESTARTEXITCODE=3010, the setup reports a
# necessary restart as Windows Installer does. The task copytobin keeps the DLLs of OpenSSL in its folder; by default,
# they are copied to System32, for every process of this host. Source: pull request 13203 of actions/runner-images.
function Install-Inno([string]$File, [string]$Folder) {
    Save-Before 'inno' $Folder $null
    $arguments = '/VERYSILENT', '/SUPPRESSMSGBOXES', '/NORESTART', '/RESTARTEXITCODE=3010', '/SP-', '/TASKS=copytobin',
    "/DIR=$Folder", "/LOG=$(Get-InstallerLog 'inno')"
    Invoke-Installer $File $arguments -Inno
}

# The setup has its uninstaller in the folder.
$Restore.inno = {
    param($Folder)
    Assert-NoLink $Folder
    $uninstaller = Join-Path $Folder 'unins000.exe'
    if (Test-Path -LiteralPath $uninstaller) {
        Write-StepProgress removing-program 'Removing {program}' @{ program = Split-Path -Leaf $Folder }
        Invoke-Program $uninstaller @('/VERYSILENT', '/SUPPRESSMSGBOXES', '/NORESTART')
    }
    Remove-Folder $Folder
}

# ---- prelude: not_found ----------------------------------------------------------------------------
# Distinguish a file that does not exist from one that cannot be read.

# Return whether a command failed because what it was asked for does not exist. Any other error, such as access that is
# denied, does not mean that.
function Test-NotFound($Record) { [string]$Record.CategoryInfo.Category -eq 'ObjectNotFound' }

# ---- prelude: tasks --------------------------------------------------------------------------------
# Register, stop, and remove scheduled tasks, which are recorded as XML.

$TaskFiles = "$env:SystemRoot\System32\Tasks"           # Windows keeps each task in a file

# Return the task, or nothing if it does not exist. $Folder is its path, such as \. Windows looks for it among the tasks
# of all programs, so an error can be about another one, which is damaged (issue 3182 of crc-org/crc). An error says
# nothing about a task that was returned, or that has no file. Unregister-ScheduledTask would look in the same way, so
# it gets the task itself.
function Find-Task([string]$Name, [string]$Folder = '\') {
    $problems = @()
    $task = Get-ScheduledTask -TaskName $Name -TaskPath $Folder -ErrorAction SilentlyContinue -ErrorVariable problems
    if ($task) { return $task }
    if (-not [IO.File]::Exists("$TaskFiles$Folder$Name")) { return }
    foreach ($problem in $problems) {
        if ($problem.FullyQualifiedErrorId -clike 'CmdletizationQuery_NotFound*') { continue }   # only its file is left
        throw (New-Failure task-not-read ('Windows could not read the scheduled task {task}: {cause}. The reason may ' +
                'be a damaged task of another program. Delete or repair the task that Task Scheduler (taskschd.msc) ' +
                'reports as damaged, then try again') @{ task = "$Folder$Name" } -Cause $problem.Exception)
    }
}

# Return the XML of a task, or nothing.
function Get-TaskXml([string]$Name) {
    if (-not (Find-Task $Name)) { return }
    [string](Export-ScheduledTask -TaskName $Name -TaskPath '\' -ErrorAction Stop)
}

# Return the text of an element such as Actions/Exec/Command; or nothing. The prefix of its namespace varies.
function Get-TaskText([xml]$Xml, [string]$Path) {
    $steps = @($Path -split '/' | ForEach-Object { "*[local-name()='$_']" })
    $node = $Xml.SelectSingleNode('/*/' + ($steps -join '/'))
    if ($node) { $node.InnerText }
}

# Return true if Windows keeps a password for the task. It cannot be read, and the task cannot be registered without it.
function Test-StoredPassword([xml]$Xml) {
    'Password', 'InteractiveTokenOrPassword' -contains (Get-TaskText $Xml 'Principals/Principal/LogonType')
}

function Set-Task([string]$Name, [string]$Xml) {
    Save-Before 'task' $Name (Get-TaskXml $Name)
    Register-NewTask $Name $Xml
}

# A task that is replaced (-Force) keeps its access list, which whoever registered it has chosen: an existing task is
# removed first. If another one is registered between the two commands, the second one fails. If Windows refuses the new
# task, the previous one is registered again.
function Register-NewTask([string]$Name, [string]$Xml) {
    $previous = Get-TaskXml $Name
    if ($previous) { Unregister-ScheduledTask -InputObject (Find-Task $Name) -Confirm:$false -ErrorAction Stop }
    try { [void](Register-ScheduledTask -TaskName $Name -TaskPath '\' -Xml $Xml -ErrorAction Stop) }
    catch {
        if ($previous -and -not (Get-TaskXml $Name)) {
            [void](Register-ScheduledTask -TaskName $Name -TaskPath '\' -Xml $previous -ErrorAction Stop)
        }
        throw
    }
}

$Restore.task = {
    param($Name, $Before)
    if ($Before) {
        Register-NewTask $Name $Before
        return
    }
    if (-not (Get-TaskXml $Name)) { return }
    Stop-Task $Name
    Unregister-ScheduledTask -InputObject (Find-Task $Name) -Confirm:$false -ErrorAction Stop
}

# To stop a task that does not run is not an error. Source: [MS-TSCH] 3.2.5.4.12, SchRpcStop. Kernels can outlive their
# server: if the task runs a program in our folder, every process whose program is there is stopped.
function Stop-Task([string]$Name) {
    Stop-ScheduledTask -TaskName $Name -TaskPath '\' -ErrorAction Stop
    if ((Get-TaskXml $Name) -clike "*<Command>$Programs\*") { Stop-ProcessBelow $Programs }
}

# Undo starts with the newest change. What a task runs may be newer than the task: tasks are stopped first, and the
# server's is disabled, because its second trigger would start the server again.
function Stop-RecordedTask {
    foreach ($line in @(Read-Record)) {
        if ($line.kind -eq 'task' -and $line.key -ne 'nbserver' -and (Get-TaskXml $line.key)) { Stop-Task $line.key }
    }
    Stop-Server
}

Add-Hook BeforeUndo { Stop-RecordedTask }

function Protect-Xml([string]$Text) {
    [Security.SecurityElement]::Escape($Text)
}

# ---- prelude: task_states --------------------------------------------------------------------------
# Disable scheduled tasks of other programs, and enable and start them in undo.

# The record has only whether the task is enabled and whether it runs, so undo needs no password. The name of a task
# contains its folder: \FOLDER\NAME.

# Return the task, or nothing if it does not exist.
function Get-NamedTask([string]$FullName) {
    $start = $FullName.LastIndexOf([char]'\') + 1
    Find-Task $FullName.Substring($start) $FullName.Substring(0, $start)
}

function Save-TaskState([string]$FullName) {
    $state = [string](Get-NamedTask $FullName).State
    Save-Before 'task_state' $FullName @{ Enabled = $state -ne 'Disabled'; Running = $state -eq 'Running' }
}

# The task is disabled first, so that nothing starts it again.
function Disable-Task([string]$FullName) {
    Save-TaskState $FullName
    $task = Get-NamedTask $FullName
    [void](Disable-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath -ErrorAction Stop)
    Stop-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath -ErrorAction Stop
}

$Restore.task_state = {
    param($FullName, $Before)
    $task = Get-NamedTask $FullName
    if (-not $task) { return }                           # it was removed since
    $state = [string]$task.State
    if ($Before.Enabled -and $state -eq 'Disabled') {
        [void](Enable-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath -ErrorAction Stop)
    }
    if ($Before.Running -and $state -ne 'Running') {
        Start-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath -ErrorAction Stop
    }
}

# ---- prelude: closing_tasks ------------------------------------------------------------------------
# Restore a registry value at the next start if a run is cut off before that.

# A bracket changes a value only while other steps run. If the run is cut off, for example by a power failure, nothing
# restores the value until undo. So while the bracket is open, a task that runs when Windows starts has two commands:
# one restores the value, the other removes the task. The commands are literal; no file is involved.
function Add-ClosingTask([string]$Path, [string]$Name) {
    $before = Get-RegistryValue $Path $Name
    if (-not $before -or $before.type -ne 'DWord') {
        throw (New-Failure value-not-dword ('{path}\{name} is not a DWORD value, so nbserver could not restore it ' +
                'after a restart. Set skip = ["ie_esc"] in the inventory to leave it unchanged') @{
                path = $Path; name = $Name
            })
    }
    $task = "nbserver-close-$($Run.Step)"
    $key = Protect-Xml ($Path -creplace '^HKLM:', 'HKLM')
    $value = Protect-Xml $Name
    Set-Task $task @"
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>nbserver: restores $value if the run is cut off</Description></RegistrationInfo>
  <Triggers><BootTrigger><Enabled>true</Enabled></BootTrigger></Triggers>
  <Principals>
    <Principal id="Author"><UserId>S-1-5-18</UserId><RunLevel>HighestAvailable</RunLevel></Principal>
  </Principals>
  <Settings>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>%SystemRoot%\System32\reg.exe</Command>
      <Arguments>add "$key" /v "$value" /t REG_DWORD /d $($before.value) /f</Arguments>
    </Exec>
    <Exec>
      <Command>%SystemRoot%\System32\schtasks.exe</Command>
      <Arguments>/delete /tn "$task" /f</Arguments>
    </Exec>
  </Actions>
</Task>
"@
}

# ---- prelude: installed_files ----------------------------------------------------------------------
# Compare files with those that were installed.

# Right after an installation of Python, OpenSSL, or an environment, a list of its files is written into the state
# folder, where only administrators can write. The first line is the SHA-256 of the download or the lock. The second
# line has the number of files, their size, and a checksum of their times. The other lines have size, time, SHA-256,
# and path of a file. Each test compares the first two lines, and only if they differ, each file. A thorough test also
# reads all files and compares the hashes. This script does all of it: an altered Python could hide its own changes.

$FileLists = Join-Path $StateFolder 'installed'
$DamageCodes = 'files-changed', 'files-missing', 'files-other-content', 'other-download'

function Get-FileList([string]$Name) { Join-Path $FileLists "$Name.txt" }

# Return the files in the folder, at any depth. No link is followed. Python writes into folders __pycache__ whenever an
# administrator runs it, so they only count with -Caches: in an environment, whose modules are all compiled.
function Get-InstalledFile([string]$Folder, [switch]$Caches) {
    $pending = New-Object Collections.Generic.Stack[IO.DirectoryInfo]
    $pending.Push([IO.DirectoryInfo]$Folder)
    while ($pending.Count) {
        $current = $pending.Pop()
        $current.GetFiles()
        foreach ($inner in $current.GetDirectories()) {
            if ($inner.Attributes -band [IO.FileAttributes]::ReparsePoint) { continue }
            if ($Caches -or $inner.Name -ne '__pycache__') { $pending.Push($inner) }
        }
    }
}

function Get-FileSummary([IO.FileInfo[]]$Files) {
    $size = [long]0
    $times = [long]0
    foreach ($file in $Files) {
        $size += $file.Length
        $times += $file.LastWriteTimeUtc.Ticks % 1000000007
    }
    "$($Files.Count) $size $times"
}

function Write-FileList {
    param([string]$Name, [string]$Folder, [string]$Source, [switch]$Caches)
    Write-StepProgress listing-files 'Listing the installed files in {path}' @{ path = $Folder }
    $files = @(Get-InstalledFile $Folder -Caches:$Caches)
    $lines = foreach ($file in $files) {
        "$($file.Length) $($file.LastWriteTimeUtc.Ticks) $(Get-FileSha256 $file.FullName) $($file.FullName)"
    }
    Add-Folder $FileLists
    $text = (@($Source, (Get-FileSummary $files)) + @($lines)) -join "`n"
    Write-TextFile (Get-FileList $Name) "$text`n"
}

function Remove-FileList([string]$Name) {
    $list = Get-FileList $Name
    if (Test-Path -LiteralPath $list) { Remove-SingleFile $list }
}

function Compare-InstalledFile {
    param([string]$Name, [string]$Folder, [string]$Source, [switch]$Caches)
    $list = Get-FileList $Name
    if (-not (Test-Path -LiteralPath $list)) {
        Add-Difference files-not-listed 'list of the installed files in {path}' $null 'a complete list' @{
            path = $Folder
        }
        return
    }
    $lines = [IO.File]::ReadAllLines($list, $Utf8)
    if ($lines[0] -ne $Source) {
        Add-Difference other-download (
            'SHA-256 of the download or lock that {path} was installed from') $lines[0] $Source @{ path = $Folder }
        return
    }
    $files = @(Get-InstalledFile $Folder -Caches:$Caches)
    if ($Run.Thorough) {
        Write-StepProgress reading-files 'Comparing the hashes of the installed files in {path}' @{ path = $Folder }
    }
    elseif ((Get-FileSummary $files) -eq $lines[1]) { return }
    Compare-EachFile $Folder $lines $files
}

function Compare-EachFile {
    param([string]$Folder, [string[]]$Lines, [IO.FileInfo[]]$Files)
    $listed = New-Object 'Collections.Generic.Dictionary[string,string]' ([StringComparer]::OrdinalIgnoreCase)
    for ($i = 2; $i -lt $Lines.Count; $i++) {
        $fields = $Lines[$i] -split ' ', 4
        $listed[$fields[3]] = $fields[0..2] -join ' '
    }
    $changed = New-Object Collections.Generic.List[string]
    $other = New-Object Collections.Generic.List[string]
    $added = New-Object Collections.Generic.List[string]
    foreach ($file in $Files) {
        $path = $file.FullName
        if (-not $listed.ContainsKey($path)) { $added.Add($path); continue }
        $size, $ticks, $sha256 = $listed[$path] -split ' '
        [void]$listed.Remove($path)
        if ("$($file.Length) $($file.LastWriteTimeUtc.Ticks)" -ne "$size $ticks") { $changed.Add($path) }
        elseif ($Run.Thorough -and (Get-FileSha256 $path) -ne $sha256) { $other.Add($path) }
    }
    Add-ChangedFile $changed @($listed.Keys)
    Add-OtherContent $other
    if ($added.Count) { Write-AddedFile $Folder $added }
}

function Add-ChangedFile([string[]]$Changed, [string[]]$Missing) {
    if ($Changed.Count) {
        Add-Difference files-changed 'installed files ({count}), such as {path}' 'changed' 'as installed' @{
            count = $Changed.Count; path = $Changed[0]
        }
    }
    if ($Missing.Count) {
        Add-Difference files-missing 'installed files ({count}), such as {path}' $null 'as installed' @{
            count = $Missing.Count; path = $Missing[0]
        }
    }
}

function Add-OtherContent([string[]]$Paths) {
    if (-not $Paths.Count) { return }
    Add-Difference files-other-content ('content of installed files ' +
        '({count}), such as {path}') 'changed' 'as installed' @{
        count = $Paths.Count; path = $Paths[0]
    }
}

# ---- an installation without a list, of an earlier release

# Add a difference for files that do not have the hashes that the packages themselves have in their files RECORD. They
# have lines PATH,sha256=HASH,SIZE, whose hash is in the alphabet of URLs and without padding (PEP 376, PEP 427).
function Compare-RecordedHash([string]$Packages) {
    Write-StepProgress reading-files 'Comparing the hashes of the installed files in {path}' @{ path = $Packages }
    $changed = New-Object Collections.Generic.List[string]
    foreach ($folder in [IO.Directory]::GetDirectories($Packages, '*.dist-info')) {
        $record = Join-Path $folder 'RECORD'
        if (-not (Test-Path -LiteralPath $record)) { continue }
        foreach ($line in [IO.File]::ReadAllLines($record, $Utf8)) {
            if ($line -cnotmatch '^"?(.+?)"?,sha256=([A-Za-z0-9_-]{43}),\d*$') { continue }
            $path = [IO.Path]::GetFullPath((Join-Path $Packages $Matches[1]))
            $bytes = [Convert]::FromBase64String(($Matches[2] -replace '-', '+' -replace '_', '/') + '=')
            $sha256 = ([BitConverter]::ToString($bytes) -replace '-', '').ToLowerInvariant()
            if (-not (Test-Path -LiteralPath $path) -or (Get-FileSha256 $path) -ne $sha256) { $changed.Add($path) }
        }
    }
    Add-OtherContent $changed
}

# ---- what an Apply does about it

function Test-Difference([string[]]$Codes) {
    [bool]@($Run.Differences | Where-Object { $Codes -contains $_.code }).Count
}

# Return whether only the list is missing.
function Test-OnlyUnlisted { $Run.Differences.Count -eq 1 -and (Test-Difference files-not-listed) }

# ---- prelude: running_server -----------------------------------------------------------------------
# Stop the server before its programs are replaced.

# The task is disabled, because its second trigger would start the server again. The step service registers it again.
function Stop-Server {
    if (-not (Test-Record 'task' 'nbserver') -or -not (Get-TaskXml 'nbserver')) { return }
    [void](Disable-ScheduledTask -TaskName 'nbserver' -TaskPath '\' -ErrorAction Stop)
    Stop-Task 'nbserver'
}

# ---- right after Windows has started, the task does not run yet, and then the server does not listen yet. A test waits
# for both, because neither is a difference. With other settings, the server need not listen on this port at all

$YoungSeconds = 90                                       # how old Windows or the server is then, at most

function Wait-YoungTask {
    $boot = Get-BootTime
    if (-not $boot) { return }
    $started = [DateTime]::ParseExact($boot, $BootFormat, [Globalization.CultureInfo]::InvariantCulture,
        'AssumeUniversal, AdjustToUniversal')
    for ($second = 0; ([DateTime]::UtcNow - $started).TotalSeconds -lt $YoungSeconds; $second++) {
        if ($second -ge $YoungSeconds -or [string](Find-Task 'nbserver').State -ne 'Ready') { return }
        if ($second % 10 -eq 5) {
            Write-StepProgress waiting-for-task 'Waiting for the scheduled task {task}' @{ task = 'nbserver' }
        }
        Start-Pause 1000
    }
}

function Wait-YoungServer {
    $port = $Settings.notebook.port
    for ($second = 0; $second -lt $YoungSeconds; $second++) {
        if ($ServiceTask.Started -or $Run.NewSettings -or (Test-PortListening $port)) { return }
        if (-not (Test-YoungServer)) { return }
        if ($second % 10 -eq 5) {
            Write-StepProgress waiting-for-server 'Waiting for the server on TCP port {port}' @{
                port = $port
            } -Done $second -Total $YoungSeconds -Unit seconds
        }
        Start-Pause 1000
    }
}

# The server is older than its kernels.
function Test-YoungServer {
    if (-not (Test-ServerRunning)) { return $false }
    $first = Get-ProcessBelow $Programs | Sort-Object -Property StartTime | Select-Object -First 1
    [bool]$first -and ([DateTime]::UtcNow - $first.StartTime.ToUniversalTime()).TotalSeconds -lt $YoungSeconds
}

# Return how the server runs, for mode status. A task that Windows is about to start is Queued.
function Get-ServiceStatus {
    $task = Find-Task 'nbserver'
    if (-not $task) { return @{ state = 'absent'; by = 'none'; start = 'none'; since = '' } }
    $found = @{ state = 'stopped'; by = 'task'; start = 'automatic'; since = '' }
    $state = [string]$task.State
    if ($state -eq 'Disabled') { $found.start = 'disabled' }
    if ($state -eq 'Queued') { $found.state = 'starting' }
    if ($state -eq 'Running') {
        $found.state = 'running'
        $process = Get-PortProcess $Settings.notebook.port | Where-Object {
            $_.ExecutablePath -and (Test-Below $_.ExecutablePath $Programs)
        } | Select-Object -Last 1
        if ($process) { $found.since = Format-UtcTime $process.CreationDate }
    }
    $found
}

# Return the environment that the task names; if there is no task, the one that these settings choose.
function Get-ServerEnvironment {
    $program = Get-ServerProgram
    if (Test-Below $program $Programs) { return Get-EnvironmentOf $program }
    Get-EnvironmentFolder
}

# Return the program that the task runs; '' if there is no task.
function Get-ServerProgram {
    $xml = Get-TaskXml 'nbserver'
    if ($xml) { return [string](Get-TaskText ([xml]$xml) 'Actions/Exec/Command') }
    ''
}

# Return whether what runs in a notebook can install packages into the environment.
function Test-NotebookInstall { $false }

# Only a warning, once per run and folder: kernels of the site may have been installed into the environment.
$AddedReported = @{}

function Write-AddedFile([string]$Folder, [string[]]$Paths) {
    if ($AddedReported[$Folder]) { return }
    $AddedReported[$Folder] = $true
    $values = @{ folder = $Folder; count = $Paths.Count; path = $Paths[0] }
    if ($Folder -eq (Get-EnvironmentFolder)) {
        Write-Notice warning files-added ('{folder} contains files that nbserver did not install ({count}), such as ' +
            '{path}. Check where they came from. To remove them, run nbserver apply --repair') $values
        return
    }
    Write-Notice warning program-files-added ('{folder} contains files that nbserver did not install ({count}), such ' +
        'as {path}. Check where they came from. If nothing needs them, remove them') $values
}

# ---- prelude: firewall -----------------------------------------------------------------------------
# Create, change, and restore a firewall rule, identified by its stable name.

# Display names are localized and need not be unique.

# While the service does not run, its commands report an error for every rule, which does not name the service.
function Test-FirewallRunning {
    $service = Get-Service -Name MpsSvc -ErrorAction SilentlyContinue
    $service -and [string]$service.Status -eq 'Running'
}

function Assert-FirewallRunning {
    if (Test-FirewallRunning) { return }
    throw (New-Failure firewall-stopped ('the Windows firewall service (MpsSvc) is not running, so firewall rules ' +
            'can be neither read nor changed. Start the service (Start-Service MpsSvc), or, if another firewall ' +
            'protects this host, set skip = ["firewall"] in the inventory'))
}

# The filters that restrict a rule in addition to its ports and remote addresses, and their values in a rule without.
$RuleFilters = @{
    Program = 'Any'; Service = 'Any'; LocalAddress = 'Any'; RemotePort = 'Any'; InterfaceType = 'Any'
    InterfaceAlias = 'Any'; LocalUser = 'Any'; RemoteUser = 'Any'; RemoteMachine = 'Any'
    Authentication = 'NotRequired'; Encryption = 'NotRequired'
}

# The display name of a rule that this script has created. An adopted rule keeps the name that it has.
$OwnDisplayName = '^nbserver: notebook server, TCP \d+$'

# Return the rule, or nothing if it does not exist.
function Find-FirewallRule([string]$Name) {
    try { Get-NetFirewallRule -Name $Name -ErrorAction Stop }
    catch { if (-not (Test-NotFound $_)) { throw } }
}

# Return the properties of a rule as text; or nothing.
function Get-FirewallRule([string]$Name) {
    $rule = Find-FirewallRule $Name
    if (-not $rule) { return }
    $port = Get-NetFirewallPortFilter -AssociatedNetFirewallRule $rule -ErrorAction Stop
    $address = Get-NetFirewallAddressFilter -AssociatedNetFirewallRule $rule -ErrorAction Stop
    $application = Get-NetFirewallApplicationFilter -AssociatedNetFirewallRule $rule -ErrorAction Stop
    $service = Get-NetFirewallServiceFilter -AssociatedNetFirewallRule $rule -ErrorAction Stop
    $type = Get-NetFirewallInterfaceTypeFilter -AssociatedNetFirewallRule $rule -ErrorAction Stop
    $interface = Get-NetFirewallInterfaceFilter -AssociatedNetFirewallRule $rule -ErrorAction Stop
    $security = Get-NetFirewallSecurityFilter -AssociatedNetFirewallRule $rule -ErrorAction Stop
    @{
        DisplayName = [string]$rule.DisplayName
        Enabled = [string]$rule.Enabled; Direction = [string]$rule.Direction
        Action = [string]$rule.Action; Profile = [string]$rule.Profile
        Protocol = [string]$port.Protocol
        LocalPort = @($port.LocalPort | ForEach-Object { [string]$_ })
        RemotePort = @($port.RemotePort | ForEach-Object { [string]$_ })
        LocalAddress = @($address.LocalAddress | ForEach-Object { ConvertTo-NetworkPrefix $_ } | Sort-Object)
        RemoteAddress = @($address.RemoteAddress | ForEach-Object { ConvertTo-NetworkPrefix $_ } | Sort-Object)
        Program = [string]$application.Program; Service = [string]$service.Service
        InterfaceType = [string]$type.InterfaceType
        InterfaceAlias = @($interface.InterfaceAlias | ForEach-Object { [string]$_ })
        LocalUser = [string]$security.LocalUser; RemoteUser = [string]$security.RemoteUser
        RemoteMachine = [string]$security.RemoteMachine
        Authentication = [string]$security.Authentication; Encryption = [string]$security.Encryption
    }
}

# Return the filters that must change, as parameters. Filters that are right already are not written.
function Get-FilterChange($Is, [hashtable]$Should) {
    $changes = @{}
    foreach ($filter in $Should.Keys) {
        if (($Is[$filter] -join ', ') -ne ($Should[$filter] -join ', ')) { $changes[$filter] = $Should[$filter] }
    }
    $changes
}

# Return an address in one form: Windows reports 192.0.2.0/24 as 192.0.2.0/255.255.255.0, and 192.0.2.7/32 as 192.0.2.7.
# The length of a prefix is the number of ones in its mask: 255.255.255.0 in binary has 24.
function ConvertTo-NetworkPrefix([string]$Address) {
    $network, $length = $Address -split '/', 2
    if ($length -match '^\d+\.\d+\.\d+\.\d+$') {
        $binary = -join @($length -split '\.' | ForEach-Object { [Convert]::ToString([int]$_, 2) })
        $length = [string]$binary.Replace('0', '').Length
    }
    $isIPv4 = $network -notmatch ':'
    $isOneAddress = ($isIPv4 -and $length -eq '32') -or $length -eq '128'
    if (-not $length -or $isOneAddress) { $network } else { "$network/$length" }
}

function Set-FirewallRule {
    param([string]$Name, [string]$DisplayName, [hashtable]$Rule)
    $before = Get-FirewallRule $Name
    Save-Before 'firewall_rule' $Name $before
    if (-not $before) {
        [void](New-NetFirewallRule -Name $Name -DisplayName $DisplayName -Group 'nbserver' @Rule -ErrorAction Stop)
        return
    }
    $wide = Get-FilterChange $before $RuleFilters
    if ($before.DisplayName -cmatch $OwnDisplayName) { $wide.NewDisplayName = $DisplayName }
    Set-NetFirewallRule -Name $Name @Rule @wide -ErrorAction Stop
}

# In undo, the settings cannot leave the firewall out.
function Assert-FirewallRestorable {
    if (Test-FirewallRunning) { return }
    throw (New-Failure firewall-stopped-undo ('the Windows firewall service (MpsSvc) is not running, so firewall ' +
            'rules cannot be restored. Start the service (Set-Service MpsSvc -StartupType Automatic; Start-Service ' +
            'MpsSvc), then run nbserver undo again'))
}

# Earlier releases did not record the filters and the display name, and did not change them.
$Restore.firewall_rule = {
    param($Name, $Before)
    Assert-FirewallRestorable
    $is = Get-FirewallRule $Name
    if (-not $Before) {
        if ($is) { Remove-NetFirewallRule -Name $Name -ErrorAction Stop }
        return
    }
    if (-not $is) { return }                             # somebody has removed it since
    $recorded = @{}
    foreach ($filter in $RuleFilters.Keys) {
        if ($Before.PSObject.Properties[$filter]) { $recorded[$filter] = $Before.$filter }
    }
    $narrow = Get-FilterChange $is $recorded
    if ($Before.PSObject.Properties['DisplayName']) { $narrow.NewDisplayName = $Before.DisplayName }
    Set-NetFirewallRule -Name $Name -Enabled $Before.Enabled -Direction $Before.Direction -Action $Before.Action `
        -Profile $Before.Profile -Protocol $Before.Protocol -LocalPort $Before.LocalPort `
        -RemoteAddress $Before.RemoteAddress @narrow -ErrorAction Stop
}

# ---- prelude: port_rules ---------------------------------------------------------------------------
# Find and disable other firewall rules that open the notebook port.

# Return the port filters for TCP. Without any, Windows reports an error.
function Get-TcpFilter {
    try { Get-NetFirewallPortFilter -Protocol TCP -ErrorAction Stop }
    catch { if (-not (Test-NotFound $_)) { throw } }
}

# Return the enabled inbound rules that allow connections to this TCP port. Alone is true if a rule opens no other port.
# All port filters are read at once: to read them rule by rule takes seconds on a server. Rules of a policy are not
# included.
function Get-OtherPortRule([int]$Port) {
    $alone = @{}                                         # name of a rule -> whether it opens no other port
    foreach ($filter in Get-TcpFilter) {
        $ports = @($filter.LocalPort | ForEach-Object { [string]$_ })
        $matching = @($ports | Where-Object { Test-PortRange $_ $Port })
        if (-not $matching.Count) { continue }
        $alone[[string]$filter.InstanceID] = $ports.Count -eq 1 -and $ports[0] -eq [string]$Port
    }
    foreach ($name in $alone.Keys | Sort-Object) {
        if ($name -eq 'nbserver') { continue }
        # A filter may belong to a rule that is not in the firewall.
        $rule = Find-FirewallRule $name
        if (-not $rule) { continue }
        $isEnabled = [string]$rule.Enabled -eq 'True'
        if ($isEnabled -and [string]$rule.Direction -eq 'Inbound' -and [string]$rule.Action -eq 'Allow') {
            @{ Name = $name; DisplayName = [string]$rule.DisplayName; Alone = $alone[$name] }
        }
    }
}

# Return true if a port of a rule, such as 9999 or 9000-9999, includes this one. "Any" does not name a port.
function Test-PortRange([string]$Range, [int]$Port) {
    if ($Range -match '^(\d+)-(\d+)$') { [int]$Matches[1] -le $Port -and [int]$Matches[2] -ge $Port }
    else { $Range -eq [string]$Port }
}

# Only whether the rule is enabled changes, and only that is recorded.
function Disable-FirewallRule([string]$Name) {
    $rule = Get-NetFirewallRule -Name $Name -ErrorAction Stop
    Save-Before 'firewall_rule_state' $Name ([string]$rule.Enabled)
    Set-NetFirewallRule -Name $Name -Enabled False -ErrorAction Stop
}

# Return the lines of the record about rules that were disabled for another port than this one.
function Get-ReleasedRuleLine([int]$Port) {
    foreach ($line in @(Read-Record | Where-Object { $_.kind -eq 'firewall_rule_state' })) {
        $rule = Find-FirewallRule $line.key
        if (-not $rule) { continue }
        $filter = Get-NetFirewallPortFilter -AssociatedNetFirewallRule $rule -ErrorAction Stop
        $ports = @($filter.LocalPort | ForEach-Object { [string]$_ })
        if (-not @($ports | Where-Object { Test-PortRange $_ $Port }).Count) { $line }
    }
}

# A rule that was removed since is not an error.
$Restore.firewall_rule_state = {
    param($Name, $Before)
    Assert-FirewallRestorable
    if (-not (Find-FirewallRule $Name)) { return }
    Set-NetFirewallRule -Name $Name -Enabled $Before -ErrorAction Stop
}

# ---- prelude: services -----------------------------------------------------------------------------
# Disable Windows services of other programs, and enable and start them in undo.

# Names, start modes, and states are the same in every display language. Display names are not used.

function Get-WindowsService([string]$Name) {
    Get-CimInstance -ClassName Win32_Service | Where-Object { $_.Name -eq $Name }
}

# Return the services that run and need this one, directly or not. While one runs, Windows does not stop this one.
function Get-RunningDependent([string]$Name) {
    foreach ($dependent in (Get-Service -Name $Name).DependentServices) {
        if ([string]$dependent.Status -ne 'Stopped') { $dependent.Name }
    }
}

# Win32_Service calls a delayed automatic start "Auto". Set-Service of Windows PowerShell has no delayed start, and
# changes it to one without delay, so undo writes the value itself.
function Get-ServiceKey([string]$Name) { "HKLM:\SYSTEM\CurrentControlSet\Services\$Name" }

function Test-Delayed([string]$Name) {
    $delayed = Get-RegistryValue (Get-ServiceKey $Name) 'DelayedAutostart'
    [bool]($delayed -and $delayed.value)
}

# The service is disabled first, so that nothing starts it again.
function Disable-Service([string]$Name) {
    $service = Get-WindowsService $Name
    $before = @{ StartMode = [string]$service.StartMode; State = [string]$service.State }
    if ($service.StartMode -eq 'Auto' -and (Test-Delayed $Name)) { $before.Delayed = $true }
    Save-Before 'service' $Name $before
    Write-StepProgress stopping-service 'Stopping the service {service}' @{ service = $Name }
    Set-Service -Name $Name -StartupType Disabled
    Stop-Service -Name $Name
}

$Restore.service = {
    param($Name, $Before)
    $service = Get-WindowsService $Name
    if (-not $service) { return }                        # it was removed since
    if ($service.StartMode -ne $Before.StartMode) {
        $type = @{ Auto = 'Automatic'; Manual = 'Manual'; Disabled = 'Disabled' }[$Before.StartMode]
        Set-Service -Name $Name -StartupType $type
    }
    if ($Before.PSObject.Properties['Delayed'] -and -not (Test-Delayed $Name)) {
        Set-ItemProperty -LiteralPath (Get-ServiceKey $Name) -Name 'DelayedAutostart' -Value 1 -Type DWord
    }
    if ($Before.State -eq 'Running' -and $service.State -ne 'Running') { Set-Service -Name $Name -Status Running }
}

# ---- prelude: port_process -------------------------------------------------------------------------
# Find the program that listens on a TCP port, and what started it.

# Return the addresses and ports on which programs listen. The table of connections can change while it is read, and
# reading it then fails: it is read up to 5 times.
function Get-TcpListener {
    for ($try = 1; $true; $try++) {
        try { return [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties().GetActiveTcpListeners() }
        catch { if ($try -ge 5) { throw } }
        Start-Pause 100
    }
}

function Test-PortListening([int]$Port) {
    [bool]@(Get-TcpListener | Where-Object { $_.Port -eq $Port }).Count
}

# Return the process that listens, its parent, the parent of that, and so on; nothing if Windows does not report it.
# Windows reuses process IDs: a "parent" that started later than its child is another process.
function Get-PortProcess([int]$Port) {
    try {
        $connections = @(Get-NetTCPConnection -LocalPort $Port -State Listen -ErrorAction Stop)
        $id = [int]$connections[0].OwningProcess
    }
    catch { return }
    $child = $null
    for ($depth = 0; $id -gt 0 -and $depth -lt 10; $depth++) {
        $process = Get-CimInstance -ClassName Win32_Process -Filter "ProcessId = $id"
        if (-not $process -or ($child -and $process.CreationDate -gt $child.CreationDate)) { return }
        $process
        $child = $process
        $id = [int]$process.ParentProcessId
    }
}

# ---- prelude: port_owner ---------------------------------------------------------------------------
# Find the service or task that uses a TCP port, and stop it.

# Return what uses the port. Kind is what must be stopped to free it:
#   service    the services in Services
#   task       the scheduled tasks in Tasks
#   process    only the process itself, because neither a service nor a task runs it
#   nothing    nothing that this script may stop: a part of Windows, a program that a service such as an SSH server
#              has started, or an unknown process
# Process is the process that listens, and Text describes it.
function Get-PortOwner([int]$Port) {
    $owner = @{ Kind = 'nothing'; Text = ''; Process = $null; Services = @(); Tasks = @() }
    $processes = @(Get-PortProcess $Port)
    if (-not $processes.Count) { return $owner }
    $owner.Process = $processes[0]
    $owner.Text = "$($processes[0].Name), process $($processes[0].ProcessId)"
    $path = $processes[0].ExecutablePath
    if (-not $path -or (Test-Below $path $env:SystemRoot)) {
        $owner.Text += ', a part of Windows'
        return $owner
    }
    $processes = @(Select-BelowWindows $processes)
    if (Add-OwnerService $owner $processes) { return $owner }
    Add-OwnerTask $owner $processes
    if (-not $owner.Tasks.Count) { $owner.Kind = 'process' }
    $owner
}

# Return the processes up to the first one that Windows starts services and tasks with.
function Select-BelowWindows([object[]]$Processes) {
    foreach ($process in $Processes) {
        if ('svchost.exe', 'services.exe' -contains $process.Name) { return }
        $process
    }
}

# Find the nearest process that is a service, and return true if there is one. The service must be stopped if it listens
# itself, or if it is a wrapper that is configured to run a program between it and the port. Another service has started
# the program in its own way, as an SSH server does, and is not stopped.
function Add-OwnerService([hashtable]$Owner, [object[]]$Processes) {
    $running = @(Get-CimInstance -ClassName Win32_Service | Where-Object { $_.ProcessId -gt 0 })
    $below = @()                                         # the processes between the port and the service
    foreach ($process in $Processes) {
        $services = @($running | Where-Object { $_.ProcessId -eq $process.ProcessId })
        foreach ($service in $services) {
            if (-not $below.Count -or (Test-WrappedProgram $service.Name $below)) {
                $Owner.Kind = 'service'
                $Owner.Services += $service.Name
                $Owner.Text += ", service '$($service.Name)'"
            }
            else { $Owner.Text += ", below service '$($service.Name)'" }
        }
        if ($services.Count) { return $true }
        $below += $process
    }
    $false
}

# Wrappers such as NSSM and srvany run any program as a service. They read its path from Parameters\Application.
function Test-WrappedProgram([string]$Service, [object[]]$Processes) {
    $key = "HKLM:\SYSTEM\CurrentControlSet\Services\$Service\Parameters"
    $application = Get-RegistryValue $key Application
    if (-not $application) { return $false }
    $path = (Expand-Path ([string]$application.value)).Trim('"')
    [bool]@($Processes | Where-Object { $_.ExecutablePath -eq $path }).Count
}

# An error can be about a damaged task, which does not run.
function Add-OwnerTask([hashtable]$Owner, [object[]]$Processes) {
    $running = Get-ScheduledTask -ErrorAction SilentlyContinue | Where-Object { [string]$_.State -eq 'Running' }
    foreach ($task in @($running)) {
        if (-not (Test-TaskProgram $task $Processes)) { continue }
        $name = "$($task.TaskPath)$($task.TaskName)"
        $Owner.Kind = 'task'
        $Owner.Tasks += $name
        $Owner.Text += ", scheduled task '$name'"
    }
}

# Return true if one of the processes runs the program of the task with its arguments. Its command line may name the
# program even if its own executable is another one, such as an interpreter.
function Test-TaskProgram($Task, [object[]]$Processes) {
    foreach ($action in @($Task.Actions | Where-Object { $_.PSObject.Properties['Execute'] -and $_.Execute })) {
        $program = (Expand-Path $action.Execute).Trim('"')
        $arguments = Expand-Path $action.Arguments
        foreach ($process in $Processes) {
            $isProgram = $process.ExecutablePath -eq $program -or (Test-CommandLine $process $program)
            if ($isProgram -and (Test-CommandLine $process $arguments)) { return $true }
        }
    }
    $false
}

function Test-CommandLine($Process, [string]$Text) {
    ([string]$Process.CommandLine).IndexOf($Text, [StringComparison]::OrdinalIgnoreCase) -ge 0
}

# Stop what runs the program, so that undo can start it again; then wait up to ten seconds until the port is free. A
# program that outlives its service or task by five seconds is stopped.
function Stop-PortOwner([int]$Port) {
    $owner = Get-PortOwner $Port
    if ($owner.Kind -eq 'nothing') { return }
    foreach ($name in $owner.Services) { Disable-Service $name }
    foreach ($name in $owner.Tasks) { Disable-Task $name }
    if ($owner.Kind -eq 'process') {
        Write-Notice warning process-stopped ('nbserver stopped {program} (process {process}). Undo cannot start it ' +
            'again, because it is neither a service nor a scheduled task. If you need it, start it yourself: ' +
            '{path}') @{
            program = $owner.Process.Name; process = $owner.Process.ProcessId; path = $owner.Process.ExecutablePath
        }
    }
    for ($try = 0; $try -lt 20 -and (Test-PortListening $Port); $try++) {
        if ($try -eq 10) {
            Write-StepProgress waiting-for-port 'Waiting for TCP port {port} to become free' @{ port = $Port }
        }
        if ($owner.Kind -eq 'process' -or $try -eq 10) {
            Stop-Listener $Port $owner.Process
        }
        [Threading.Thread]::Sleep(500)
    }
}

# Stop the process if it still listens on the port. Windows reuses process IDs, so the times count as well. A process
# that exits by itself meanwhile is not an error.
function Stop-Listener([int]$Port, $Process) {
    $now = @(Get-PortProcess $Port)
    if (-not $now.Count -or $now[0].ProcessId -ne $Process.ProcessId) { return }
    if ($now[0].CreationDate -ne $Process.CreationDate) { return }
    Stop-Process -Id $Process.ProcessId -Force -ErrorAction SilentlyContinue
}

# ---- prelude: earlier_servers ----------------------------------------------------------------------
# Find what earlier notebook servers left in PATH, in the firewall, and in user profiles.

# The folders that the tutorial of 2013 added to PATH.
$TutorialFolder = New-Object Text.RegularExpressions.Regex (
    '^[A-Z]:\\(Python\d\d(\\Scripts)?|OpenSSL-Win(32|64)\\bin)$', 'IgnoreCase, CultureInvariant')

# Return the entries of PATH that are before those of nbserver, and hide its python.exe or openssl.exe: the folders of
# the tutorial, and of an earlier nbserver.
function Get-HidingPathEntry {
    if ($Settings.skip -contains 'path') { return }
    $path = Get-RegistryValue $MachineEnvironment Path
    if (-not $path) { return }
    $recorded = Read-Record | Where-Object { $_.kind -eq 'path_entry' } | ForEach-Object { $_.key }
    $ours = @(@(Get-WantedPathEntry) + @($recorded) | Where-Object { $_ } | ForEach-Object { $_.TrimEnd('\') })
    $found = @()
    foreach ($entry in ([string]$path.value).Split([char[]]';')) {
        $folder = (Expand-Path $entry).Trim().Trim('"').TrimEnd('\')
        if ($ours -contains $folder) { break }
        if ($found -contains $entry) { continue }
        if ((Test-Below $folder $Programs) -or $TutorialFolder.IsMatch($folder)) {
            $found += $entry
            $entry
        }
    }
}

# Return the other rules of the firewall that open the notebook port.
function Get-OpenPortRule {
    if ($Settings.skip -notcontains 'firewall') { Get-OtherPortRule $Settings.notebook.port }
}

# Return the profiles of earlier notebook servers, of all users and of the accounts of Windows.
function Get-EarlierProfile {
    $list = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList'
    if (-not (Test-Path -LiteralPath $list)) { return }
    foreach ($key in Get-ChildItem -LiteralPath $list) {
        $user = Get-RegistryValue "$list\$($key.PSChildName)" ProfileImagePath
        if (-not $user) { continue }
        foreach ($name in '.ipython', '_ipython') {
            # Join-Path would fail if the profile is on a drive that does not exist any more.
            $folder = "$((Expand-Path $user.value).TrimEnd('\'))\$name\profile_nbserver"
            if ([IO.Directory]::Exists($folder)) { $folder }
        }
    }
}

# ---- prelude: der ----------------------------------------------------------------------------------
# Read the few DER elements of a certificate that .NET does not decode.

# DER (ITU-T X.690) writes every value as an element of three parts: a tag of one byte that says what it is, the length
# of the value in bytes, and the value. The value of a SEQUENCE consists of elements again.
#
# The length (X.690, 8.1.3) is one byte if it is at most 127. Otherwise, the first byte is 128 plus the number of bytes
# that follow, and these are the length, most significant byte first: 82 01 F4 means 500, in two bytes.

# Return the tag of the element that begins at $Position, and where its value starts and where it ends: $End is the
# position of the first byte after it.
function Read-DerElement([byte[]]$Bytes, [int]$Position) {
    $start = $Position + 2
    $length = [int]$Bytes[$Position + 1]
    if ($length -gt 127) {
        $lengthBytes = $length - 128
        $length = 0
        for ($i = 0; $i -lt $lengthBytes; $i++) { $length = 256 * $length + $Bytes[$start + $i] }
        $start += $lengthBytes
    }
    @{ Tag = $Bytes[$Position]; Start = $start; End = $start + $length }
}

# Return the DNS names and IP addresses in the extension for subject alternative names. .NET returns them as text in the
# display language of Windows. The extension is a SEQUENCE of names (RFC 5280, 4.2.1.6). Of its kinds of names, two are
# for servers: dNSName, tag [2] (0x82), in ASCII; and iPAddress, tag [7] (0x87), as 4 or 16 bytes. An IP address that is
# a dNSName is returned with the prefix DNS: because it is not valid for that address.
function Read-AlternativeName([byte[]]$Extension) {
    $dnsName = 0x82
    $ipAddress = 0x87
    $position = (Read-DerElement $Extension 0).Start
    while ($position -lt $Extension.Length) {
        $name = Read-DerElement $Extension $position
        $value = New-Object byte[] ($name.End - $name.Start)
        [Array]::Copy($Extension, $name.Start, $value, 0, $value.Length)
        if ($name.Tag -eq $dnsName) {
            $text = $Utf8.GetString($value).ToLowerInvariant()
            $address = $null
            $isAddress = $text -match '^[0-9.]+$|:' -and [Net.IPAddress]::TryParse($text, [ref]$address)
            if ($isAddress) { "DNS:$address" } else { $text }
        }
        elseif ($name.Tag -eq $ipAddress) { (New-Object Net.IPAddress (, $value)).ToString() }
        $position = $name.End
    }
}

# Return the length of an RSA key in bits: that of its modulus. The key is a SEQUENCE of two numbers, of which the
# modulus is the first (RFC 8017, A.1.1). DER puts a zero byte before a number whose first bit is set, because it would
# be negative otherwise (X.690, 8.3): zero bits at the beginning do not count.
function Get-ModulusBits([byte[]]$PublicKey) {
    $sequence = Read-DerElement $PublicKey 0
    $modulus = Read-DerElement $PublicKey $sequence.Start
    $first = $modulus.Start
    while ($first -lt $modulus.End - 1 -and $PublicKey[$first] -eq 0) { $first++ }
    $bitsOfFirstByte = [Convert]::ToString($PublicKey[$first], 2).Length
    $bitsOfFirstByte + 8 * ($modulus.End - $first - 1)
}

# ---- prelude: certificates -------------------------------------------------------------------------
# Read certificates from PEM files.

# Return the certificates of a PEM file, in its order. What .NET reads from a file with several certificates depends on
# its version, so each one is read separately.
function Read-Certificate([string]$Path) {
    $text = [IO.File]::ReadAllText($Path, $Utf8)
    $pattern = '-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----'
    foreach ($match in [regex]::Matches($text, $pattern)) {
        $bytes = [Convert]::FromBase64String($match.Groups[1].Value)
        New-Object Security.Cryptography.X509Certificates.X509Certificate2 (, $bytes)
    }
}

# Return SHA256: and 64 hexadecimal digits, the form in which the workstation pins a certificate.
function Get-Fingerprint($Certificate) { 'SHA256:' + (Get-Sha256 $Certificate.RawData) }

# ---- prelude: own_certificate ----------------------------------------------------------------------
# Compare and replace a certificate that the host signs itself.

# The certificate is for the names in the settings, with a key on P-256 that never leaves the host. A new one is created
# 30 days before it expires, when the names change, or when the key is damaged.

$CertificateFile = Join-Path $ServiceFolder 'certificate.pem'
$KeyFile = Join-Path $ServiceFolder 'key.pem'
$SourceFile = Join-Path $ServiceFolder 'certificate.source'
$RequestFile = Join-Path $ServiceFolder 'certificate.cnf'

# A common name has at most 64 characters. Clients compare the subject alternative names.
function Get-CommonName { $Settings.host.Substring(0, [Math]::Min(64, $Settings.host.Length)) }

# Return the configuration for `openssl req`.
function Get-CertificateRequest {
    $names = @($Settings.certificate.names | ForEach-Object {
            $address = $null
            if ([Net.IPAddress]::TryParse($_, [ref]$address)) { "IP:$_" } else { "DNS:$_" }
        })
    @"
[req]
distinguished_name = subject
x509_extensions = server
req_extensions = server
prompt = no
encrypt_key = no
default_md = sha256
[subject]
commonName = $(Get-CommonName)
[server]
subjectAltName = $($names -join ',')
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
"@ -replace "`r", ''
}

# Return the certificate of the server, without its chain; or nothing if it or its key is missing.
function Get-ServerCertificate {
    if (-not (Test-Path -LiteralPath $CertificateFile) -or -not (Test-Path -LiteralPath $KeyFile)) { return }
    Read-Certificate $CertificateFile | Select-Object -First 1
}

function Compare-OwnCertificate($Certificate) {
    $names = $Settings.certificate.names -join ', '
    if (-not $Certificate) {
        Add-Difference certificate-missing 'certificate' $null $names
        return
    }
    $end = $Certificate.NotAfter.ToUniversalTime()
    if ($end -lt [DateTime]::UtcNow.AddDays([Math]::Min(30, $Settings.certificate.days / 2))) {
        Add-Difference certificate-expires 'certificate expiration date' $end.ToString('u') 'a later date'
    }
    elseif ($Certificate.NotBefore.ToUniversalTime() -gt [DateTime]::UtcNow.AddDays(5 / 24 / 60)) {
        # It was created while the clock of this host was wrong, by more than five minutes.
        Add-Difference certificate-begins 'certificate' 'not valid yet' 'a new certificate'
    }
    elseif (-not (Test-TextFile $SourceFile 'host')) {
        Add-Difference certificate-source 'certificate source' 'a different source' 'this host'
    }
    elseif (-not (Test-TextFile $RequestFile (Get-CertificateRequest))) {
        Add-Difference certificate-names 'certificate names' 'different names' $names
    }
    elseif ($Run.Mode -eq 'apply' -and -not (Test-OwnKeyPair)) {
        Add-Difference certificate-key 'private key' 'not the key for the certificate' 'a new key and certificate'
    }
}

# Return whether more is to be changed than the folder: a certificate in a folder that others could read stays.
function Test-CertificateDue {
    [bool]@($Run.Differences | Where-Object { 'folder-missing', 'folder-access' -notcontains $_.code }).Count
}

# The mark "unfinished" makes the next run create the certificate again if this one is cut off.
function Install-OwnCertificate {
    foreach ($file in $CertificateFile, $KeyFile) { Save-FileBefore $file }
    Set-TextFile $SourceFile 'unfinished'
    Set-TextFile $RequestFile (Get-CertificateRequest)
    New-OwnCertificate "$KeyFile.new" "$CertificateFile.new"
    foreach ($file in $KeyFile, $CertificateFile) { Move-Over "$file.new" $file }
    Set-TextFile $SourceFile 'host'
}

# ---- prelude: certificate_rules --------------------------------------------------------------------
# Refuse unsuitable certificates, by the same rules as the workstation.

# Signatures with SHA-256, SHA-384, or SHA-512.
$AllowedSignatures = @(
    '1.2.840.113549.1.1.11'                              # sha256WithRSAEncryption
    '1.2.840.113549.1.1.12'                              # sha384WithRSAEncryption
    '1.2.840.113549.1.1.13'                              # sha512WithRSAEncryption
    '1.2.840.113549.1.1.10'                              # RSASSA-PSS
    '1.2.840.10045.4.3.2'                                # ecdsa-with-SHA256
    '1.2.840.10045.4.3.3'                                # ecdsa-with-SHA384
    '1.2.840.10045.4.3.4'                                # ecdsa-with-SHA512
)
$RsaKey = '1.2.840.113549.1.1.1'                         # rsaEncryption

# The parameters of an EC key are the name of its curve, as a DER element: tag 06 (OBJECT IDENTIFIER), length, value.
$AllowedCurves = @(
    '06-08-2A-86-48-CE-3D-03-01-07'                      # P-256, 1.2.840.10045.3.1.7
    '06-05-2B-81-04-00-22'                               # P-384, 1.3.132.0.34
)

$AllowedPurposes = '1.3.6.1.5.5.7.3.1', '2.5.29.37.0'    # serverAuth, anyExtendedKeyUsage

# Return why the server must not use a certificate for the names in the settings; or nothing.
function Get-CertificateFault($Certificate) {
    if (-not $Certificate) {
        return New-Failure certificate-empty 'the file does not contain a certificate in PEM format'
    }
    $fault = Get-ValidityFault $Certificate
    if (-not $fault) { $fault = Get-NameFault $Certificate }
    if (-not $fault) { $fault = Get-SignatureFault $Certificate }
    if (-not $fault) { $fault = Get-PurposeFault $Certificate }
    if (-not $fault) { $fault = Get-KeyFault $Certificate }
    $fault
}

function Get-ValidityFault($Certificate) {
    $begin = $Certificate.NotBefore.ToUniversalTime()
    $end = $Certificate.NotAfter.ToUniversalTime()
    if ($end -le [DateTime]::UtcNow) {
        return New-Failure certificate-expired 'the certificate expired on {time}' @{ time = $end.ToString('u') }
    }
    if ($begin -gt [DateTime]::UtcNow) {
        New-Failure certificate-not-yet-valid ('the certificate is ' +
            'not valid before {time}') @{ time = $begin.ToString('u') }
    }
}

function Get-NameFault($Certificate) {
    $names = @(Get-CertificateName $Certificate)
    $wildcards = @($names | Where-Object { $_.Contains('*') })
    if ($wildcards.Count) {
        return New-Failure certificate-wildcard ('the certificate has the wildcard name {name}, which nbserver does ' +
            'not accept: anyone who can use a notebook could read the private key and impersonate every host that ' +
            'matches this name') @{
            name = $wildcards[0]
        }
    }
    $missing = @($Settings.certificate.names | Where-Object { $names -notcontains (Format-Name $_) })
    $asName = @($missing | Where-Object { $names -contains "DNS:$(Format-Name $_)" })
    if ($asName.Count) {
        return New-Failure certificate-address-as-name ('the certificate has the IP address {address} as a DNS name, ' +
            'which browsers do not accept') @{ address = $asName[0] }
    }
    if ($missing.Count) {
        New-Failure certificate-lacks-name 'the subject alternative names must include {names}' @{
            names = $missing -join ', '
        }
    }
}

# Return a DNS name or an IP address in the form in which names are compared.
function Format-Name([string]$Name) {
    $address = $null
    if ([Net.IPAddress]::TryParse($Name, [ref]$address)) { $address.ToString() } else { $Name.ToLowerInvariant() }
}

# Return the DNS names and IP addresses that a certificate is for. 2.5.29.17 is the extension subjectAltName.
function Get-CertificateName($Certificate) {
    foreach ($extension in $Certificate.Extensions) {
        if ($extension.Oid.Value -eq '2.5.29.17') { Read-AlternativeName $extension.RawData }
    }
}

function Get-SignatureFault($Certificate) {
    $algorithm = $Certificate.SignatureAlgorithm.Value
    if ($AllowedSignatures -notcontains $algorithm) {
        New-Failure certificate-signature ('the certificate is signed with {algorithm}, expected RSA or ECDSA with ' +
            'SHA-256, SHA-384, or SHA-512') @{ algorithm = $algorithm }
    }
}

# An extension that a certificate does not have does not restrict it.
function Get-PurposeFault($Certificate) {
    foreach ($authority in Get-Extension $Certificate X509BasicConstraintsExtension) {
        if ($authority.CertificateAuthority) {
            return New-Failure certificate-of-authority ('the certificate must not be a CA certificate (CA:TRUE), ' +
                'because notebooks can read its private key and could use it to issue certificates')
        }
    }
    foreach ($purposes in Get-Extension $Certificate X509EnhancedKeyUsageExtension) {
        $allowed = @($purposes.EnhancedKeyUsages | Where-Object { $AllowedPurposes -contains $_.Value })
        if (-not $allowed.Count) {
            return New-Failure certificate-purpose ('the extended key usage does not include server authentication ' +
                '(serverAuth)')
        }
    }
    $digitalSignature = [Security.Cryptography.X509Certificates.X509KeyUsageFlags]::DigitalSignature
    foreach ($usage in Get-Extension $Certificate X509KeyUsageExtension) {
        if (-not ($usage.KeyUsages -band $digitalSignature)) {
            return New-Failure certificate-key-usage ('the key usage does not include digitalSignature, which TLS ' +
                '1.2 and 1.3 require')
        }
    }
}

# Return the extensions of a class of System.Security.Cryptography.X509Certificates.
function Get-Extension($Certificate, [string]$Class) {
    $Certificate.Extensions | Where-Object { $_.GetType().Name -eq $Class }
}

function Get-KeyFault($Certificate) {
    $key = $Certificate.PublicKey
    if ($key.Oid.Value -eq $RsaKey) {
        $bits = Get-ModulusBits $key.EncodedKeyValue.RawData
        if ($bits -lt 2048 -or $bits -gt 8192) {
            New-Failure certificate-key-length 'the RSA key has {bits} bits, expected 2048 to 8192' @{
                bits = $bits
            }
        }
    }
    elseif ($AllowedCurves -notcontains [BitConverter]::ToString($key.EncodedParameters.RawData)) {
        New-Failure certificate-key-type 'the certificate must have an RSA key, or an EC key on P-256 or P-384'
    }
}

# ---- prelude: certificate_sources ------------------------------------------------------------------
# Compare and install certificates that the host does not sign itself.

# Such a certificate has one of three sources: the workstation sends it with its key; it is in the certificate store of
# the machine; or the host creates a key and a request, and the workstation sends the certificate that was issued.

$NewCertificateFile = Join-Path $ServiceFolder 'certificate-new.pem'
$NewKeyFile = Join-Path $ServiceFolder 'key-new.pem'
$CertificateNotes = @{ Written = $false }                # a Test runs more than once; its warning is written once

# Return what certificate.source contains if the certificate was installed completely.
function Get-CertificateSource {
    $source = $Settings.certificate.source
    if ($source -eq 'store') { $source = "store $($Settings.certificate.thumbprint)" }
    $source
}

function Compare-GivenCertificate($Certificate) {
    $before = $Run.Differences.Count
    Compare-SentCertificate $Certificate
    if ($Run.Differences.Count -eq $before) { Compare-InstalledCertificate $Certificate }
    if ($Run.Differences.Count -eq $before) { Write-ExpiryNotice $Certificate }
    # What the store lacks is reported by a plan already.
    elseif ($Settings.certificate.source -eq 'store') { [void](Get-StoreCertificate) }
}

# Compare the files with what the workstation sent. A test by hand has no secrets, so it compares nothing.
function Compare-SentCertificate($Certificate) {
    if ($Secrets.ContainsKey('certificate.chain') -and
        -not (Test-TextFile $CertificateFile '@certificate.chain@' 'certificate.chain')) {
        $is = $null
        if ($Certificate) { $is = Get-Fingerprint $Certificate }
        Add-Difference certificate-not-sent 'certificate' $is 'the certificate from the workstation'
        return
    }
    if ($Secrets.ContainsKey('certificate.key') -and
        -not (Test-TextFile $KeyFile '@certificate.key@' 'certificate.key')) {
        Add-Difference certificate-key-not-sent 'private key' 'different or missing' 'the key from the workstation'
    }
}

# Before OpenSSL is installed, the key cannot be compared; the step openssl differs then, and this test runs again.
function Compare-InstalledCertificate($Certificate) {
    $source = Get-CertificateSource
    if (-not $Certificate) {
        Add-Difference certificate-missing 'certificate' $null $source
        return
    }
    if (-not (Test-TextFile $SourceFile $source)) {
        Add-Difference certificate-source 'certificate source' 'a different source' $source
        return
    }
    if ((Test-Path -LiteralPath (Get-OpenSsl)) -and -not (Test-KeyPair $CertificateFile $KeyFile)) {
        Add-Difference certificate-key 'private key' 'not the key for the certificate' 'the key for the certificate'
        return
    }
    $fault = Get-CertificateFault $Certificate
    if ($fault) {
        Add-Difference certificate-not-suitable 'certificate ({cause})' 'unsuitable' 'suitable' @{
            cause = $fault.Message
        }
    }
}

# Return true if the certificate is for the key: openssl writes the public key of both. If a file is not a certificate
# or a key, openssl exits with code 1.
function Test-KeyPair([string]$Certificate, [string]$Key) {
    Invoke-OpenSsl @('x509', '-in', $Certificate, '-noout', '-pubkey') -Accept 0, 1 -Quiet
    if ($Run.ExitCode) { return $false }
    $expected = $Run.Output -join "`n"
    Invoke-OpenSsl @('pkey', '-in', $Key, '-pubout') -Accept 0, 1 -Quiet
    -not $Run.ExitCode -and [string]::Equals($expected, ($Run.Output -join "`n"))
}

# Warn in the last third of the certificate's lifetime, but not earlier than 30 days before its end. A program that
# renews certificates of 45 or 90 days has time to do so before this warning.
function Write-ExpiryNotice($Certificate) {
    $end = $Certificate.NotAfter.ToUniversalTime()
    $days = [Math]::Min(30, ($Certificate.NotAfter - $Certificate.NotBefore).TotalDays / 3)
    if ($CertificateNotes.Written -or $end -ge [DateTime]::UtcNow.AddDays($days)) { return }
    $CertificateNotes.Written = $true
    Write-Notice warning certificate-expires-soon ('the certificate expires on {time} and is not renewed ' +
        'automatically. Replace the certificate as described in docs/certificates.md') @{ time = $end.ToString('u') }
}

function Install-GivenCertificate {
    switch ($Settings.certificate.source) {
        'workstation' { Install-SentCertificate }
        'store' { Install-StoreCertificate }
        'request' { Install-RequestedCertificate }
    }
}

function Install-SentCertificate {
    if (-not ($Secrets.ContainsKey('certificate.chain') -and $Secrets.ContainsKey('certificate.key'))) {
        throw (New-Failure certificate-on-workstation ('the certificate and its private key were not sent to this ' +
                'host. Run nbserver apply on the workstation, or pass both to this script on standard input (see ' +
                'docs/by-hand.md)'))
    }
    Set-TextFile $NewCertificateFile '@certificate.chain@' 'certificate.chain'
    Set-TextFile $NewKeyFile '@certificate.key@' 'certificate.key'
    Complete-Certificate $NewKeyFile
}

# Use the new certificate with this key, if it is suitable and the key is its key; else keep the installed one. Two
# files cannot be replaced at once: until both are, certificate.source makes the next run install them again.
function Complete-Certificate([string]$Key) {
    Assert-NewCertificate $Key
    foreach ($file in $CertificateFile, $KeyFile) { Save-FileBefore $file }
    Set-TextFile $SourceFile 'unfinished'
    Move-Over $NewCertificateFile $CertificateFile
    if ($Key -ne $KeyFile) { Move-Over $Key $KeyFile }
    Set-TextFile $SourceFile (Get-CertificateSource)
}

function Assert-NewCertificate([string]$Key) {
    $fault = Get-CertificateFault (Read-Certificate $NewCertificateFile | Select-Object -First 1)
    if (-not $fault -and -not (Test-KeyPair $NewCertificateFile $Key)) {
        $fault = New-Failure certificate-other-key 'the certificate does not match the private key'
    }
    if (-not $fault) { return }
    foreach ($file in $NewCertificateFile, $NewKeyFile) { Remove-SingleFile $file }
    throw (New-Failure certificate-refused ('the new certificate was not installed: {cause}. Provide a different ' +
            'certificate, then try again') `
            -Cause $fault)
}

# ---- prelude: certificate_store --------------------------------------------------------------------
# Export certificate, key, and chain from the machine's certificate store.

function Get-StorePath { "Cert:\LocalMachine\My\$($Settings.certificate.thumbprint)" }

# Return the certificate of the settings, or fail if the server cannot use it.
function Get-StoreCertificate {
    $path = Get-StorePath
    $certificate = Read-Store $Settings.certificate.thumbprint
    if (-not $certificate) {
        throw (New-Failure store-certificate-missing ('{path} does not exist. Import the certificate with its ' +
                'private key into the local computer''s Personal store (certlm.msc), or correct ' +
                'certificate.thumbprint in the inventory') @{
                path = $path
            })
    }
    if (-not $certificate.HasPrivateKey) {
        throw (New-Failure store-certificate-without-key ('{path} has no private key on this host. Import the ' +
                'certificate again with its private key, marked as exportable, then try again') @{ path = $path })
    }
    $fault = Get-CertificateFault $certificate
    if ($fault) {
        throw (New-Failure store-certificate-refused ('{path} cannot be used: {cause}. Import another certificate, ' +
                'and set certificate.thumbprint in the inventory to its thumbprint') @{ path = $path } -Cause $fault)
    }
    $certificate
}

function Read-Store([string]$Thumbprint) {
    $store = New-Object Security.Cryptography.X509Certificates.X509Store 'My', 'LocalMachine'
    $store.Open('ReadOnly')
    try { $store.Certificates | Where-Object { $_.Thumbprint -eq $Thumbprint } | Select-Object -First 1 }
    finally { $store.Close() }
}

# Return the certificate and the authorities up to its root as PEM, as Windows finds them. A client that trusts the root
# has it already: a certificate whose issuer is itself is left out.
function Get-StoreChain($Certificate) {
    $chain = New-Object Security.Cryptography.X509Certificates.X509Chain
    $chain.ChainPolicy.RevocationMode = 'NoCheck'
    [void]$chain.Build($Certificate)
    $pem = Format-Certificate $Certificate
    foreach ($element in @($chain.ChainElements | Select-Object -Skip 1)) {
        $authority = $element.Certificate
        $subject = [BitConverter]::ToString($authority.SubjectName.RawData)
        $issuer = [BitConverter]::ToString($authority.IssuerName.RawData)
        if ($subject -cne $issuer) { $pem += Format-Certificate $authority }
    }
    $pem
}

# Return a certificate as PEM, with 64 characters per line.
function Format-Certificate($Certificate) {
    $lines = [regex]::Replace([Convert]::ToBase64String($Certificate.RawData), '.{1,64}', "`$0`n")
    "-----BEGIN CERTIFICATE-----`n$lines-----END CERTIFICATE-----`n"
}

function Install-StoreCertificate {
    $certificate = Get-StoreCertificate
    $pfx = Join-Path $ServiceFolder 'store.pfx'
    $export = Join-Path $ServiceFolder 'key-store.pem'
    foreach ($file in $pfx, $export, $NewKeyFile) { Save-FileBefore $file }
    $variables = @{ NBSERVER_PFX_PASSWORD = New-RandomPassword }
    try {
        Export-StoreKey $certificate $pfx $variables
        Convert-StoreKey $pfx $export $variables
        Invoke-OpenSsl @('pkey', '-in', $export, '-out', $NewKeyFile) -Quiet
    }
    finally {
        foreach ($file in $pfx, $export) { Remove-SingleFile $file }
    }
    Set-TextFile $NewCertificateFile (Get-StoreChain $certificate)
    Complete-Certificate $NewKeyFile
}

# Return a random password. It protects the exported file until that is deleted, a moment later. Programs read it from
# a variable of their environment, so it is in no command line.
function New-RandomPassword {
    $bytes = New-Object byte[] 32
    (New-Object Security.Cryptography.RNGCryptoServiceProvider).GetBytes($bytes)
    [Convert]::ToBase64String($bytes)
}

function Export-StoreKey {
    param($Certificate, [string]$Pfx, [hashtable]$Variables)
    $secure = New-Object Security.SecureString
    foreach ($character in $Variables.NBSERVER_PFX_PASSWORD.ToCharArray()) { $secure.AppendChar($character) }
    try {
        [void](Export-PfxCertificate -Cert $Certificate -FilePath $Pfx -Password $secure `
                -ChainOption EndEntityCertOnly -Force)
    }
    catch {
        throw (New-Failure store-key-not-exportable ('could not export the private key for {path}: {cause}. Import ' +
                'the certificate again with its private key marked as exportable, or use certificate.pfx or ' +
                'certificate.request instead of certificate.thumbprint') @{ path = Get-StorePath } -Cause $_.Exception)
    }
}

# Older versions of Windows encrypt the file with RC2. OpenSSL 3 opens it only with -legacy, which needs legacy.dll.
function Convert-StoreKey {
    param([string]$Pfx, [string]$Export, [hashtable]$Variables)
    $arguments = 'pkcs12', '-in', $Pfx, '-passin', 'env:NBSERVER_PFX_PASSWORD', '-nocerts', '-nodes', '-out', $Export
    Invoke-OpenSsl $arguments $Variables -Accept 0, 1 -Quiet
    if (-not $Run.ExitCode) { return }
    Invoke-OpenSsl ($arguments + '-legacy') $Variables -Quiet -Code store-export-unreadable -Text ('openssl could ' +
        'not read the private key that Windows exported (exit code {exit_code}): {output}. Set openssl.version to a ' +
        'version that includes legacy.dll, or use certificate.pfx instead of certificate.thumbprint')
}

# ---- prelude: certificate_requests -----------------------------------------------------------------
# Create certificate requests, and install what is issued for them.

# An open request is in its own folder, and its key never replaces a key in use. Only administrators can read the
# folder: while an authority signs the request, the server runs, and a notebook can read what the service reads.

$RequestFolder = Join-Path $StateFolder 'request'
$RequestedKeyFile = Join-Path $RequestFolder 'key-request.pem'
$SigningRequestFile = Join-Path $RequestFolder 'request.csr'
$SigningConfiguration = Join-Path $RequestFolder 'request.cnf'
$EarlierRequest = 'key-request.pem', 'request.csr', 'request.cnf'   # in $ServiceFolder, from releases before 0.7

# Report the request. As long as its names stay the same, it is the same request, until a certificate is installed.
function Send-CertificateRequest {
    Add-Folder $StateFolder
    Add-Folder $RequestFolder $StateAccess               # its access list is set before a key is in it
    if (Test-OpenRequest) { Write-Event unchanged }
    else {
        New-SigningRequest
        $Run.Changed++
        Write-Event changed
    }
    Write-Event request @{ csr = [IO.File]::ReadAllText($SigningRequestFile, $Utf8) -replace "`r", '' }
}

# An installation that was interrupted may have left the request of the key in use.
function Test-OpenRequest {
    foreach ($file in $SigningRequestFile, $RequestedKeyFile) {
        if (-not (Test-Path -LiteralPath $file)) { return $false }
    }
    if (-not (Test-TextFile $SigningConfiguration (Get-CertificateRequest))) { return $false }
    -not (Get-ServerCertificate) -or -not (Test-KeyPair $CertificateFile $RequestedKeyFile)
}

# The request is moved to its place when it is complete.
function New-SigningRequest {
    foreach ($file in $RequestedKeyFile, $SigningRequestFile) { Save-FileBefore $file }
    Remove-SingleFile $SigningRequestFile
    Set-TextFile $SigningConfiguration (Get-CertificateRequest)
    $arguments = 'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
    '-config', $SigningConfiguration, '-keyout', $RequestedKeyFile, '-out', "$SigningRequestFile.new"
    Invoke-OpenSsl $arguments -Code request-not-created -Text ('openssl could not create the certificate request ' +
        '(exit code {exit_code}): {output}. Fix this error, then run nbserver certificate request again')
    Move-Over "$SigningRequestFile.new" $SigningRequestFile
    foreach ($name in $EarlierRequest) { Remove-SingleFile (Join-Path $ServiceFolder $name) }
}

# The certificate may also be for the key in use, if only its chain is corrected, or if an installation was cut off.
function Install-RequestedCertificate {
    if (-not $Secrets.ContainsKey('certificate.chain')) {
        throw (New-Failure certificate-not-issued ('no certificate has been installed for this host''s certificate ' +
                'request. Run nbserver certificate request {host} -o DIR, have the request in DIR signed, then run ' +
                'nbserver certificate install {host} FILE with the signed certificate') @{ host = $Settings.host })
    }
    Set-TextFile $NewCertificateFile '@certificate.chain@' 'certificate.chain'
    $requested = Get-RequestedKeyFile
    if (-not $requested) {
        Complete-Certificate $KeyFile
        return
    }
    # A file that is moved keeps its access list, so the service could not read the key.
    Read-SecretFile 'requested.key' $requested
    Set-TextFile $NewKeyFile '@requested.key@' 'requested.key'
    Complete-Certificate $NewKeyFile
    foreach ($file in $SigningRequestFile, $SigningConfiguration, $RequestedKeyFile) { Remove-SingleFile $file }
    foreach ($name in $EarlierRequest) { Remove-SingleFile (Join-Path $ServiceFolder $name) }
}

# Return the file with the requested key that the new certificate is for, or nothing. Its request may come from an
# earlier release.
function Get-RequestedKeyFile {
    foreach ($file in $RequestedKeyFile, (Join-Path $ServiceFolder $EarlierRequest[0])) {
        if ((Test-Path -LiteralPath $file) -and (Test-KeyPair $NewCertificateFile $file)) { return $file }
    }
}

# Mode request: apply what a certificate request needs, then report the request.
function Invoke-Request {
    if ($Settings.certificate.source -ne 'request') {
        throw (New-Failure no-certificate-request ('this host is not set up for certificate requests. Set ' +
                'certificate.request = true in the inventory, then try again'))
    }
    foreach ($step in $Steps) {
        if ('preflight', 'tls', 'vc_redist', 'openssl' -contains $step.Name) { Invoke-Apply $step }
        if ($Run.Outcome -eq 'reboot') { Invoke-Hook AtRestart; return }
    }
    $Run.Step = 'certificate'
    Send-CertificateRequest
}

$Modes.request = { Invoke-Request }
$ChangingModes += 'request'

# ---- prelude: password_hash ------------------------------------------------------------------------
# Read the password hash that was sent, or keep the one that an earlier run set.

$HashSecret = 'notebook.password_hash'

function Read-PasswordHash {
    Read-KeptSecret $HashSecret $ConfigurationFile $HashPattern
    Request-Secret $HashSecret $HashPrompt
    Assert-PasswordHash
}

# The hash is written into JSON unchanged, and kernels can read it: a password in its place would be shown to them.
function Assert-PasswordHash {
    if (Get-SecretPart $HashSecret '\A((argon2|sha[0-9]+):[A-Za-z0-9:$=,+/.]+)\z') { return }
    throw (New-Failure password-hash-invalid ('the notebook password hash is missing or not valid. Create a hash ' +
            'with nbserver hash-password, then run this script again with that hash'))
}

# ---- prelude: unused_programs ----------------------------------------------------------------------
# Find what earlier runs installed and the current settings no longer use.

# An environment needs the Python from which it was created, even if another one is used now.
function Get-UsedFolder {
    Get-EnvironmentFolder
    Get-BaseFolder (Get-EnvironmentFolder)
    Get-PythonFolder
    Get-OpenSslFolder
    Get-KeptFolder
}

# The step openssl has already removed the package of another version, unless the settings do not want a package.
function Get-UsedMsi {
    if ($Settings.openssl.kind -eq 'msi') { Get-CachedFile $Settings.openssl }
}

# Return the lines of the record that are not used any more, newest first. The installer of a Python is in the record
# after the folder of that Python, so it is removed first.
function Get-UnusedLine {
    $used = @(Get-UsedFolder) + @(Get-UsedMsi)
    $bundles = @(Get-PythonBundle | Where-Object { $_.Folder -and $used -notcontains $_.Folder })
    $unused = @($bundles | ForEach-Object { $_.Line.key })
    $lines = @(Read-Record | Where-Object {
            $isMsi = $_.kind -eq 'msi' -and $_.step -eq 'openssl'
            $isBundle = $_.kind -eq 'bundle' -and $_.step -eq 'python'
            if ($isBundle) { $unused -contains $_.key }
            else { ($isMsi -or (Test-InstalledFolder $_)) -and $used -notcontains $_.key }
        })
    [Array]::Reverse($lines)
    $lines
}

# True for a line about a folder of an environment, Python, or OpenSSL, right below the folder of nbserver.
function Test-InstalledFolder($Line) {
    if ('folder', 'inno' -notcontains $Line.kind -or (Split-Path -Parent $Line.key) -ne $Programs) { return $false }
    if ($Line.key -cmatch $AsideName -and (Test-Aside $Matches[1])) { return $false }   # the next apply needs it
    (Split-Path -Leaf $Line.key) -cmatch '^(env|python|openssl)-'
}

# True for a line about the rules or the PATH entries of a step that skip leaves out by now.
function Test-LeftOutLine($Line) {
    if ('path_entry', 'path_removal' -contains $Line.kind) { return $Settings.skip -contains 'path' }
    if ('firewall_rule', 'firewall_rule_state' -notcontains $Line.kind) { return $false }
    ($Settings.skip -contains 'firewall') -and (Test-FirewallRunning)
}

# ---- prelude: dropped_settings ---------------------------------------------------------------------
# Find changes by earlier runs that the current settings no longer require.

# Return the lines of the record that only earlier settings needed, newest first. The step cleanup restores them.
function Get-DroppedLine { Get-ReversedRecord | Where-Object { Test-DroppedLine $_ } }

function Get-ReversedRecord {
    $lines = @(Read-Record)
    [Array]::Reverse($lines)
    $lines
}

function Test-DroppedLine($Line) {
    if ($Line.kind -eq 'grant') { return -not (Test-NotebookPath $Line.key) }
    if ($Line.kind -eq 'data_folder') { return -not (Test-NotebookPath $Line.key) -and (Test-EmptyFolder $Line.key) }
    if ($Line.kind -eq 'folder' -and $Line.key -eq $DeliveredFolder) { return -not (Test-Push) }
    Test-LeftOutLine $Line
}

# A folder that has files stays in the record: undo removes the first page in it, and then the folder if it is empty.
function Test-EmptyFolder([string]$Path) {
    -not (Test-Path -LiteralPath $Path) -or -not @(Get-ChildItem -LiteralPath $Path -Force).Count
}

# True if the path is notebook.directory, or one of the two is in the other: what was changed there is still needed.
function Test-NotebookPath([string]$Path) {
    $is = $Path.TrimEnd('\')
    $directory = Get-NotebookPath
    $is -eq $directory -or (Test-Below $is $directory) -or (Test-Below $directory $is)
}

# ---- prelude: server_check -------------------------------------------------------------------------
# Ask the running server for its certificate, and send requests without the password.

$Tls12 = 3072   # the flag of TLS 1.2; as a number, because .NET before 4.5 has no name for it
$NoHttp = 'no HTTP status'
$SChannel = 'SYSTEM\CurrentControlSet\Control\SecurityProviders\SCHANNEL\Protocols'

# Return the fingerprint of the certificate on the notebook port and, with a request, the HTTP status of the answer; or
# nothing if no TLS server answers. Any certificate is accepted, because the caller compares it; no secret is sent.
function Get-ServerAnswer([string]$Request) {
    $address = [Net.IPAddress]::Loopback
    if ($Settings.notebook.ip -ne '*') { $address = [Net.IPAddress]::Parse($Settings.notebook.ip) }
    $client = New-Object Net.Sockets.TcpClient $address.AddressFamily
    try {
        $client.Connect($address, $Settings.notebook.port)
        $client.ReceiveTimeout = 10000
        $client.SendTimeout = 10000
        $tls = New-Object Net.Security.SslStream ($client.GetStream(), $false, { $true })
        $tls.AuthenticateAsClient($Settings.host, $null, [Security.Authentication.SslProtocols]$Tls12, $false)
        $certificate = New-Object Security.Cryptography.X509Certificates.X509Certificate2 $tls.RemoteCertificate
        $answer = @{ Fingerprint = Get-Fingerprint $certificate; Status = '' }
        if ($Request) { $answer.Status = Get-AnswerStatus $tls $Request }
        $answer
    }
    catch [Net.Sockets.SocketException], [IO.IOException], [Security.Authentication.AuthenticationException] { return }
    catch [ComponentModel.Win32Exception] {
        $failure = New-TlsClientFailure $_.Exception.GetBaseException().Message
        throw $failure
    }
    finally { $client.Close() }
}

# If TLS 1.2 is disabled for clients, Windows refuses to connect, and every server would look silent.
function New-TlsClientFailure([string]$Reason) {
    New-Failure tls-client-disabled ('Windows could not use TLS 1.2 to connect to the notebook server: {error}. In ' +
        '{key}, set Enabled to 1 and DisabledByDefault to 0, restart Windows, then try again') @{
        error = $Reason; key = "HKLM\$SChannel\TLS 1.2\Client"
    }
}

function Get-ServerFingerprint {
    $answer = Get-ServerAnswer
    if ($answer) { $answer.Fingerprint }
}

# Return the three digits of the HTTP status, $NoHttp if the answer is something else, or '' if no line arrives in time.
# Nothing else of the answer is used, and only its beginning is read: at most 1 KB, for at most 20 seconds.
function Get-AnswerStatus($Stream, [string]$Request) {
    $lineFeed = 10
    $buffer = New-Object byte[] 1024
    $count = 0
    try {
        $bytes = $Utf8.GetBytes($Request)
        $Stream.Write($bytes, 0, $bytes.Length)
        $time = [Diagnostics.Stopwatch]::StartNew()
        while ($count -lt $buffer.Length -and $buffer -notcontains $lineFeed) {
            if ($time.Elapsed.TotalSeconds -gt 20) { return '' }
            $read = $Stream.Read($buffer, $count, $buffer.Length - $count)
            if (-not $read) { return '' }
            $count += $read
        }
    }
    catch [IO.IOException] { return '' }
    if ($Utf8.GetString($buffer, 0, $count) -cmatch '\AHTTP/1\.[01] ([0-9]{3})[ \r]') { return $Matches[1] }
    $NoHttp
}

# Return the status of a request for the list of kernels, or '' if the server does not answer. A notebook server refuses
# this request without the password.
function Get-KernelStatus([string]$Header) {
    $request = "GET /api/kernels HTTP/1.1`r`nHost: localhost:$($Settings.notebook.port)`r`nConnection: close`r`n"
    $answer = Get-ServerAnswer "$request$Header`r`n"
    if ($answer) { $answer.Status } else { '' }
}

function Get-StatusWithoutPassword { Get-KernelStatus '' }

function Get-StatusWithRandomToken { Get-KernelStatus "Authorization: token $([guid]::NewGuid())`r`n" }

function Test-Refused([string]$Status) { '401', '403' -contains $Status }

# ---- prelude: host_checks --------------------------------------------------------------------------
# Refuse a host because of its processor, policy, version, clock, or free space.

function Assert-SixtyFourBit {
    Set-Found is-64-bit 'PowerShell is running as a 64-bit program'
    if ([IntPtr]::Size -ne 8) {
        throw (New-Failure powershell-32-bit ('PowerShell is running as a 32-bit program. Use 64-bit PowerShell on ' +
                '64-bit Windows'))
    }
}

$DotNetKey = 'HKLM:\SOFTWARE\Microsoft\NET Framework Setup\NDP\v4\Full'

# Windows PowerShell uses .NET Framework. Release 378389 is version 4.5, which can unpack files and speak TLS 1.2.
# Source: "How to determine which .NET Framework versions are installed" on learn.microsoft.com.
function Assert-DotNet {
    $version = $PSVersionTable.PSVersion
    Set-Found powershell-version 'this host runs PowerShell {version}' @{ version = [string]$version }
    if ($version.Major -ge 6) { return }
    $release = Get-RegistryValue $DotNetKey Release
    if (-not $release -or [int]$release.value -lt 378389) {
        throw (New-Failure dotnet-too-old ('Windows PowerShell {version} requires .NET Framework 4.5 or newer. ' +
                'Install it, then try again') @{ version = [string]$version })
    }
    Set-Found dotnet-version 'this host runs Windows PowerShell {version} with .NET Framework 4, release {release}' @{
        version = [string]$version; release = [string]$release.value
    }
}

function Assert-Architecture {
    $is = [Environment]::GetEnvironmentVariable('PROCESSOR_ARCHITECTURE')
    $found = @{ AMD64 = 'x64'; ARM64 = 'arm64' }[[string]$is]
    if (-not $found) {
        throw (New-Failure architecture-unsupported ('the processor architecture of this host is {is}, but ' +
                'nbserver supports only AMD64 (x64) and ARM64 (arm64). Use another host') @{ is = $is })
    }
    Set-Found architecture-right 'the processor architecture is {is}' @{ is = $is }
    if ($found -ne $Settings.architecture) {
        throw (New-Failure wrong-architecture ('the processor architecture of this host is {is}, but nbserver ' +
                'expected {architecture}. Set architecture = "{found}" in the inventory') @{
                is = $is; architecture = $Settings.architecture; found = $found
            })
    }
}

# With AllSigned, a site allows signed scripts only. Windows does not enforce it for the text of a remote pipeline, nor
# with -ExecutionPolicy Bypass, which sets the scope Process: that scope is left out. If AllSigned holds for this
# process as well and the script is a file, Windows has checked the signature.
function Assert-ExecutionPolicy {
    $set = Get-ExecutionPolicy -List | Where-Object {
        [string]$_.Scope -ne 'Process' -and [string]$_.ExecutionPolicy -ne 'Undefined'
    }
    $policy = @($set)
    Set-Found scripts-allowed 'the execution policy allows this script'
    if (-not $policy -or [string]$policy[0].ExecutionPolicy -ne 'AllSigned') { return }
    if ($IsFile -and [string](Get-ExecutionPolicy) -eq 'AllSigned') { return }
    $scope = [string]$policy[0].Scope
    if ($scope -cmatch 'Policy$') {
        throw (New-Failure only-signed-by-policy ('a group policy allows only signed scripts on this host (execution ' +
                'policy AllSigned, scope {scope}), but this script is not signed. Ask the administrator who manages ' +
                'this policy to exempt this host') @{ scope = $scope })
    }
    throw (New-Failure only-signed ('this host allows only signed scripts (execution policy AllSigned, scope ' +
            '{scope}), but this script is not signed. On this host, run Set-ExecutionPolicy RemoteSigned -Scope ' +
            '{scope}, then try again. After nbserver has finished, you can set the policy to AllSigned ' +
            'again') @{ scope = $scope })
}

function Assert-WindowsVersion {
    $version = Get-WindowsVersion ([Environment]::OSVersion.Version)
    Set-Found windows-supported 'this host runs Windows version {is}' @{ is = [string]$version }
    $fault = Get-WindowsFault $version (Get-InstallationType) $Settings.windows
    if ($fault) {
        throw $fault
    }
}

# Windows 10 has the runtime. wusa.exe, which installs updates, is refused over WinRM.
function Assert-UniversalRuntime {
    Set-Found universal-runtime-present 'the Universal C Runtime is installed'
    if (Test-Path -LiteralPath (Join-Path ([Environment]::SystemDirectory) 'ucrtbase.dll')) { return }
    throw (New-Failure universal-runtime-missing ('Python requires the Universal C Runtime, which is not installed. ' +
            'Install it with Windows Update, or install update KB2999226 at this host''s console (Windows does not ' +
            'allow wusa.exe over WinRM), then try again'))
}

# A wrong clock dates the certificate, and makes downloads over TLS fail. A difference of a day is not an accident.
function Assert-Clock {
    $minutes = [Math]::Abs($Run.ClockAhead.TotalMinutes)
    Set-Found clock-right 'the clocks on this host and on the workstation differ by {seconds} s' @{
        seconds = [int]($minutes * 60)
    }
    if ($minutes -le 5) { return }
    $now = [DateTime]::UtcNow
    $times = @{ host_time = $now.ToString('u'); workstation_time = ($now - $Run.ClockAhead).ToString('u') }
    if ($minutes -gt 24 * 60) {
        throw (New-Failure clock-wrong ('the clock on this host shows {host_time}, but the clock on the workstation ' +
                'shows {workstation_time}. Correct the wrong clock (on this host, run w32tm /resync or Set-Date), ' +
                'then try again') $times)
    }
    Write-Notice warning clock-differs ('the clock on this host shows {host_time}, but the clock on the workstation ' +
        'shows {workstation_time}. Correct the wrong clock (on this host, run w32tm /resync or Set-Date)') $times
    $Run.ClockAhead = [TimeSpan]::Zero   # so that the next Test does not report it again
}

# Python, the environment, and their downloads take about 2 GB.
function Assert-FreeSpace {
    $drive = New-Object IO.DriveInfo ([IO.Path]::GetPathRoot($Programs))
    $space = @{ free = [string][Math]::Round($drive.AvailableFreeSpace / 1GB, 1); drive = $drive.Name }
    Set-Found disk-space 'drive {drive} has {free} GB of free space' $space
    if ($drive.AvailableFreeSpace -ge 3GB -or (Test-Path -LiteralPath (Get-EnvironmentFolder))) { return }
    throw (New-Failure disk-space-low ('drive {drive} has {free} GB of free space, but 3 GB is required. Free some ' +
            'disk space, then try again') $space)
}

# A policy of WDAC (App Control for Business) that is enforced for programs: status 2. Source: "Win32_DeviceGuard" on
# learn.microsoft.com. Windows without this class enforces nothing.
function Write-CodeIntegrity {
    Set-Found code-integrity-off 'no application control policy (WDAC) is enforced for programs'
    try { $found = Get-CimInstance -Namespace root\Microsoft\Windows\DeviceGuard -ClassName Win32_DeviceGuard }
    catch { return }
    $status = $found.PSObject.Properties['UsermodeCodeIntegrityPolicyEnforcementStatus']
    if (-not $status -or [string]$status.Value -ne '2') { return }
    Write-Notice warning code-integrity-enforced ('an application control policy (WDAC) is enforced for programs. If ' +
        'it does not allow Python and the .pyd files of its packages, the notebook server cannot start. Ask the ' +
        'administrator who manages this policy to allow programs in {folder}') @{ folder = $Programs }
}

$CodeIntegrityKey = 'HKLM:\SYSTEM\CurrentControlSet\Control\CI\Policy'
$SmartAppControl = @{ Reported = $false }   # in this run

# Smart App Control of Windows 11: 0 is off, 1 on, 2 evaluation, which blocks nothing. If it is on, Windows does not
# load files that are neither signed nor known to Microsoft, such as the .pyd files of many packages.
function Write-SmartAppControl {
    Set-Found smart-app-control-off 'Smart App Control does not block programs'
    $state = Get-RegistryValue $CodeIntegrityKey VerifiedAndReputablePolicyState
    if (-not $state -or [string]$state.value -ne '1' -or $SmartAppControl.Reported) { return }
    $SmartAppControl.Reported = $true
    Write-Notice warning smart-app-control ('Smart App Control is on and may block the unsigned .pyd files of ' +
        'Python packages, so the notebook server may not start. Use another host, or turn Smart App Control off ' +
        'in Windows Security (App & browser control); turning it on again requires resetting Windows')
}

# ---- prelude: program_checks -----------------------------------------------------------------------
# Find out in mode check whether this host can download the programs that it needs.

Add-Hook Check { Write-ProgramFinding }

# Only what is neither installed nor in the cache is downloaded.
function Write-ProgramFinding {
    foreach ($step in @($Steps | Where-Object { $_.Name -eq 'tls' })) {
        Assert-Requirement download_tls {
            Set-Found tls-1-2 'downloads can use TLS 1.2'
            Invoke-Test $step
        }
    }
    if (Test-Push) { return }
    foreach ($program in 'python', 'openssl', 'vc_redist') {
        $download = Get-Setting $program
        if (-not $download -or (Test-DownloadDone $program $download)) { continue }
        Assert-Requirement "download_$program" { Assert-SourceAnswer $program }
    }
}

function Get-Setting([string]$Name) {
    $setting = $Settings.PSObject.Properties[$Name]
    if ($setting) { $setting.Value }
}

function Test-DownloadDone([string]$Name, $Download) {
    $program = $null
    switch ($Name) {
        'python' { $program = Get-Python }
        'openssl' { $program = Get-OpenSsl }
    }
    (Test-Path -LiteralPath (Get-CachedFile $Download)) -or ($program -and (Test-Path -LiteralPath $program))
}

# Make sure that a file can be downloaded. Some servers refuse to send the headers only: they are asked for one byte.
function Assert-UrlAnswer([string]$Url) {
    $answer = Receive-Answer $Url 'HEAD'
    if ($answer.Type -cnotmatch '\Atext/html') { return }
    throw (New-Failure url-is-page ('{url} returned a web page instead of a file. Open the URL in a browser on this ' +
            'host. If the page is a login page or a proxy error, log in or correct downloads.proxy in the inventory; ' +
            'otherwise, correct the URL in the site catalog') @{ url = $Url })
}

# ---- prelude: download_checks ----------------------------------------------------------------------
# Find out in mode check whether this host can reach the package index or the mirror.

# The certificates of these hosts come from one of these authorities, unless something inspects TLS on the way.
$PublicHosts = 'www.python.org', 'github.com', 'download.visualstudio.microsoft.com', 'slproweb.com'
$PublicAuthorities = 'Let''s Encrypt', 'GlobalSign', 'DigiCert', 'Google Trust Services', 'Amazon', 'Sectigo',
'Certainly', 'ISRG', 'SSL.com', 'Microsoft'

$LongestPage = 8000000                           # bytes that are read of a page, and for how many seconds
$PageSeconds = 20

Add-Hook Check { Write-IndexFinding }

# Only what is not installed yet is downloaded. The first package of the lock is in every index that has the others.
function Write-IndexFinding {
    if ((Test-Push) -or (Test-Path -LiteralPath (Get-EnvironmentFolder))) { return }
    $name, $version = (([string]@($Lock)[0]) -split ' ')[0] -split '==', 2
    $package = Get-PackageKey ($name -creplace '\[.*\z', '')
    $index = $Settings.packages.index_url
    if (Test-Mirror) { $url = Get-MirrorPage }
    elseif ($index) { $url = "$($index.TrimEnd('/'))/$package/" }
    else { Assert-Requirement package_index { Write-DefaultIndex }; return }
    Assert-Requirement package_index { Assert-PageAnswer $url $package $version }
}

function Write-DefaultIndex {
    Write-Finding unknown (New-Failure default-index-not-checked ('this script does not specify a package index, so ' +
            'pip and uv use their default index, which was not checked. To check a specific index, set ' +
            'packages.index_url in the inventory'))
}

# Make sure that a page of an index or a mirror has a link to a wheel: a login page of the network has none.
function Assert-PageAnswer {
    param([string]$Url, [string]$Package, [string]$Version)
    $answer = Receive-Answer $Url 'GET'
    $wheel = $Package.Replace('-', '[-_.]+') + '-' + [regex]::Escape(($Version -split '\+')[0]) + '[-+%]'
    if ($answer.Text.ToLowerInvariant() -cmatch $wheel.ToLowerInvariant()) { return }
    if (-not $answer.Whole) {
        Write-Finding unknown (New-Failure page-read-in-part ('only part of the page {url} was read ({bytes} bytes ' +
                'in {seconds} s), and this part has no link to {package} {version}. Open the URL in a browser on ' +
                'this host: it must be a page of the package index or the mirror, not a login page') @{
                url = $Url; bytes = $answer.Bytes; seconds = $answer.Seconds; package = $Package; version = $Version
            })
        return
    }
    throw (New-Failure page-without-package ('the page {url} has no link to {package} {version}. Open the URL in a ' +
            'browser on this host. If it shows the package index or the mirror, add the package to it; otherwise, ' +
            'correct packages.index_url, downloads.mirror, or downloads.proxy in the inventory') @{
            url = $Url; package = $Package; version = $Version
        })
}

function Receive-Answer([string]$Url, [string]$Method) {
    Enable-Tls12
    $time = [Diagnostics.Stopwatch]::StartNew()
    try { $answer = Get-UrlAnswer $Url $Method }
    catch {
        throw (New-Failure url-refuses-or-silent ('{url} cannot be downloaded: {cause}. Check this host''s network ' +
                'connection and downloads.proxy in the inventory, or add a mirror URL to a site catalog') @{
                url = $Url
            } -Cause (Get-WebFailure $_.Exception))
    }
    $seconds = [string][Math]::Round($time.Elapsed.TotalSeconds, 1)
    Set-Found url-answers '{url} responded with HTTP status {status} after {seconds} s' @{
        url = $Url; status = [string]$answer.Status; seconds = $seconds
    }
    Write-Inspection ([Uri]$Url).Host $answer.Issuer
    $answer
}

function Get-UrlAnswer([string]$Url, [string]$Method) {
    try { Send-UrlRequest $Url $Method }
    catch {
        if ($Method -ne 'HEAD' -or 403, 405, 501 -notcontains (Get-HttpStatus $_.Exception)) { throw }
        Send-UrlRequest $Url 'GET' -OneByte
    }
}

# Only .NET Framework keeps the certificate of the connection.
function Send-UrlRequest {
    param([string]$Url, [string]$Method, [switch]$OneByte)
    $request = New-WebRequest $Url 0
    $index = $Settings.packages.index_url
    if ($index -and $Url.StartsWith($index.TrimEnd('/'), [StringComparison]::Ordinal)) {
        $request.Credentials = Get-Login 'packages.index_login'
    }
    $request.Timeout = 20000
    $request.ReadWriteTimeout = 20000
    $request.Method = $Method
    if ($OneByte) { $request.AddRange(0, 0) }
    $response = $request.GetResponse()
    try {
        $answer = @{ Status = [int]$response.StatusCode; Type = $response.ContentType; Issuer = ''; Text = '' }
        if ($Method -eq 'GET' -and -not $OneByte) { Read-Page $response.GetResponseStream() $answer }
    }
    finally { $request.Abort() }                 # a server may send without end; Close could wait for it
    if ($request.ServicePoint.Certificate) { $answer.Issuer = $request.ServicePoint.Certificate.Issuer }
    $answer
}

function Read-Page([IO.Stream]$Stream, [hashtable]$Answer) {
    $bytes = New-Object byte[] $LongestPage
    $Answer.Bytes = 0
    $Answer.Whole = $false
    $time = [Diagnostics.Stopwatch]::StartNew()
    while ($Answer.Bytes -lt $bytes.Length -and $time.Elapsed.TotalSeconds -lt $PageSeconds -and -not $Answer.Whole) {
        $size = $Stream.Read($bytes, $Answer.Bytes, $bytes.Length - $Answer.Bytes)
        $Answer.Bytes += $size
        $Answer.Whole = -not $size
    }
    $Answer.Seconds = [int]$time.Elapsed.TotalSeconds
    $Answer.Text = $Utf8.GetString($bytes, 0, $Answer.Bytes)
}

function Write-Inspection([string]$Server, [string]$Issuer) {
    if (-not $Issuer -or $PublicHosts -notcontains $Server) { return }
    foreach ($authority in $PublicAuthorities) {
        if ($Issuer.IndexOf($authority, [StringComparison]::Ordinal) -ge 0) { return }
    }
    Write-Notice warning tls-inspected ('the certificate for {host} was issued by {issuer}, which is not one of the ' +
        'public authorities expected for {host}. A proxy between this host and {host} may be inspecting TLS. Each ' +
        'package is still checked against its hash in the lock') @{ host = $Server; issuer = $Issuer }
}

# ---- prelude: rotation -----------------------------------------------------------------------------
# Revoke all access: replace key and password, and move away what kernels wrote.

# Until a rotation is complete, a file names it. The server stays stopped until then, because others could still use it,
# and the next rotation starts from the beginning. An apply is refused: it would start the server for those others.

$RotationFile = Join-Path $StateFolder 'rotation'
$SetAsideFolder = Join-Path $StateFolder 'set-aside'     # what kernels wrote: a folder for each rotation
$RotatedSteps = 'certificate', 'notebook', 'service', 'check'
$StepsNotNeeded = 'tls', 'path', 'firewall', 'cleanup'   # the server starts without what they do
$Former = @{ Run = ''; Password = ''; Key = '' }         # the incomplete rotation; hashes of what must not come again

# Mode rotate.
function Invoke-Rotation {
    $Run.NewSalt = $true                                 # the hash is replaced in any case
    Read-Rotation
    Assert-Deployed
    foreach ($step in $Steps) {
        if ($step.Bracket -or ($RotatedSteps + $StepsNotNeeded) -contains $step.Name) { continue }
        Assert-StepReady $step
    }
    Assert-NewPassword
    Assert-NewKey
    Start-Rotation
    foreach ($step in $Steps) {
        if ($RotatedSteps -contains $step.Name) { Invoke-RotatedStep $step }
    }
    Remove-SingleFile $RotationFile
    Write-AccountNotice
}

# $Former: what the file says.
function Read-Rotation {
    $Former.Run = ''
    if (-not (Test-Path -LiteralPath $RotationFile)) { return }
    $hex = '[0-9a-f]{64}'
    $pattern = "\A\{`"v`":1,`"run`":`"([0-9A-Za-z-]{1,64})`",`"password`":`"($hex)`",`"key`":(null|`"$hex`")\}\s*\z"
    $found = [regex]::Match([IO.File]::ReadAllText($RotationFile, $Utf8), $pattern)
    if (-not $found.Success) {
        throw (New-Failure rotation-file-damaged ('{path} is not valid, so nbserver cannot determine who may still ' +
                'have access. Remove this file, then run nbserver rotate with a new ' +
                'password') @{ path = $RotationFile })
    }
    $Former.Run = $found.Groups[1].Value
    $Former.Password = $found.Groups[2].Value
    $Former.Key = $found.Groups[3].Value.Trim('"')
}

function Assert-Deployed {
    if (Test-Record 'file' $ConfigurationFile) { return }
    throw (New-Failure rotate-not-deployed ('this host has no notebook server managed by nbserver, so there is no ' +
            'access to revoke. To set up a server, run nbserver apply'))
}

# The server must start again, so nothing else may be missing.
function Assert-StepReady($Step) {
    Invoke-Test $Step
    if (-not $Run.Differences.Count) { Write-Event unchanged; return }
    Write-Difference
    throw (New-Failure rotate-needs-apply ('nothing was changed, because this host differs from the settings ' +
            '({what}) and the server might not start again. Run nbserver apply, then nbserver rotate again') @{
            what = $Run.Differences[0].what
        })
}

# Without another password, earlier users could log in again.
function Assert-NewPassword {
    $Run.Step = 'notebook'
    Request-Secret $HashSecret 'Hash of the new notebook password (nbserver hash-password creates it)'
    if (-not $Secrets.ContainsKey($HashSecret)) {
        throw (New-Failure rotate-without-password ('the rotation requires the hash of a new notebook password. Set ' +
                'notebook.password in the inventory, then try again'))
    }
    Assert-PasswordHash
    $sha256 = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    $set = [regex]::Match([IO.File]::ReadAllText($ConfigurationFile, $Utf8), $HashPattern).Groups[1].Value
    if (-not $Former.Run) { $Former.Password = Format-Hash $sha256.ComputeHash($Utf8.GetBytes($set)) }
    $sent = $sha256.ComputeHash($Utf8.GetBytes((Expand-Secret "@$HashSecret@" $HashSecret)))
    if ((Format-Hash $sent) -ne $Former.Password) { return }
    throw (New-Failure rotate-same-password ('nothing was changed, because the notebook password is the same as ' +
            'before: anyone who knows it could log in again. Set a different notebook.password, then try again'))
}

# Return the SHA-256 of the public key of a certificate.
function Get-KeyDigest($Certificate) { Get-Sha256 $Certificate.PublicKey.EncodedKeyValue.RawData }

# From here on, the server does not run until everything has been replaced.
function Start-Rotation {
    $Run.Step = 'service'
    $key = 'null'
    if (-not $Former.Run) {
        $certificate = Get-ServerCertificate
        if ($certificate) { $Former.Key = Get-KeyDigest $certificate }
    }
    if ($Former.Key -and $Former.Key -ne 'null') { $key = "`"$($Former.Key)`"" }
    Write-TextFile $RotationFile "{`"v`":1,`"run`":`"$($Run.Id)`",`"password`":`"$($Former.Password)`",`"key`":$key}`n"
    Remove-Switch                                        # what an upgrade that was cut off would restore
    Stop-Server
    Assert-NoProcessLeft
}

# A kernel of an earlier user would still run, although the events say that it ended.
function Assert-NoProcessLeft {
    foreach ($process in @(Get-ProcessBelow $Programs)) {
        throw (New-Failure rotate-process-left ('{path} (process {id}) is still running, so earlier users may still ' +
                'have access. Stop this process, or restart Windows, then run nbserver rotate again') @{
                id = $process.Id; path = $process.Path
            })
    }
}

function Invoke-RotatedStep($Step) {
    $Run.Step = $Step.Name
    $Run.Differences = New-Object Collections.ArrayList
    switch ($Step.Name) {
        'certificate' {
            $is = $null
            $certificate = Get-ServerCertificate
            if ($certificate) { $is = Get-Fingerprint $certificate }
            Add-Difference rotated-key 'private key and certificate' $is 'a new key and certificate'
        }
        'notebook' {
            Add-Difference rotated-password 'notebook password' 'the previous one' 'a new one'
            Add-Difference rotated-work '{path}' 'from earlier sessions' 'a new folder' @{ path = $WorkFolder }
            Move-WorkAside
        }
        'service' { Add-Difference rotated-sessions 'sessions and kernels' 'from before the rotation' 'ended' }
        'check' {
            Add-Difference rotated-port 'certificate on TCP port {port}' $null 'the new certificate' @{
                port = $Settings.notebook.port
            }
        }
    }
    Invoke-Change $Step
}

# The folder is renamed as a whole, into one that only administrators can open. So nothing in it is read, and no link in
# it is followed.
function Move-WorkAside {
    if (-not (Test-Path -LiteralPath $WorkFolder)) { return }
    Assert-NoLink $WorkFolder
    $folder = Join-Path $SetAsideFolder $Run.Id
    foreach ($path in $SetAsideFolder, $folder) {
        if (-not (Test-Path -LiteralPath $path)) { New-ClosedFolder $path $StateAccess }
    }
    Invoke-FileChange 'move-folder' $WorkFolder (Join-Path $folder 'work')
    Write-Notice log work-set-aside '{path} was moved to {folder}. Notebooks in {notebooks} were kept' @{
        path = $WorkFolder; folder = $folder; notebooks = Expand-Path $Settings.notebook.directory
    }
}

# An apply would start the server of a rotation that was interrupted.
function Assert-RotationComplete {
    Read-Rotation
    Set-Found no-rotation-open 'no interrupted rotation was found on this host'
    if (-not $Former.Run) { return }
    if (Test-Change) {
        throw (New-Failure rotation-incomplete-apply ('nbserver rotate was interrupted (run {run}), so earlier users ' +
                'could still log in if nbserver apply started the server. Run nbserver rotate ' +
                'again') @{ run = $Former.Run })
    }
    Write-Notice warning rotation-incomplete ('nbserver rotate was interrupted (run {run}), so the server stays ' +
        'stopped until the rotation is complete. Run nbserver rotate again') @{ run = $Former.Run }
}

$Modes.rotate = { Invoke-Rotation }
$ChangingModes += 'rotate'

# ---- prelude: rotated_keys -------------------------------------------------------------------------
# Refuse a rotation with a certificate that has the old key.

# Whoever could read the old key can still pretend to be this server with it.

# The host creates a new key for its own certificate. Any other certificate comes with its key.
function Assert-NewKey {
    $Run.Step = 'certificate'
    try { Assert-OtherKey (Get-RotatedCertificate) }
    finally { Remove-SingleFile $NewCertificateFile }
}

function Assert-OtherKey($New) {
    $old = $Former.Key
    if (-not $Former.Run) {
        $certificate = Get-ServerCertificate
        if ($certificate) { $old = Get-KeyDigest $certificate }
    }
    if ($New -and (Get-KeyDigest $New) -eq $old) {
        throw (New-Failure rotate-same-key ('nothing was changed, because the certificate in the inventory still ' +
                'uses the old key, which earlier users could read. Create a certificate with a new key, then ' +
                'try again'))
    }
    if ($Settings.certificate.source -eq 'request') { Assert-RequestedKey $New }
}

# Earlier users could read a key that an earlier release has requested. A rotation that was interrupted may have
# installed the new key already.
function Assert-RequestedKey($Certificate) {
    if ($Former.Run) {
        $installed = Get-ServerCertificate
        if ($installed -and (Get-KeyDigest $installed) -eq (Get-KeyDigest $Certificate)) { return }
    }
    if ((Test-Path -LiteralPath $RequestedKeyFile) -and (Test-KeyPair $NewCertificateFile $RequestedKeyFile)) { return }
    throw (New-Failure rotate-key-not-requested ('nothing was changed, because the certificate does not match the ' +
            'current certificate request of this host. Run nbserver certificate request {host} -o DIR, have the ' +
            'request in DIR signed, then run nbserver rotate {host} --certificate FILE with the signed ' +
            'certificate') @{ host = $Settings.host })
}

# Return the certificate that this rotation will install, unless the host creates it.
function Get-RotatedCertificate {
    if ($Settings.certificate.source -eq 'host') { return }
    if ($Settings.certificate.source -eq 'store') { return Get-StoreCertificate }
    if (-not $Secrets.ContainsKey('certificate.chain')) {
        throw (New-Failure rotate-without-certificate-sent ('the rotation requires a certificate with a new key, ' +
                'which the workstation did not send. Run nbserver rotate on the workstation'))
    }
    Set-TextFile $NewCertificateFile '@certificate.chain@' 'certificate.chain'
    Read-Certificate $NewCertificateFile | Select-Object -First 1
}

# Code in a notebook runs as LOCAL SERVICE, which may register tasks.
function Write-AccountNotice {
    Write-Notice warning rotated-local-service ('notebooks run as LOCAL SERVICE, so they may have registered tasks ' +
        'or left processes running that nbserver does not know about. Check the tasks and processes of this account')
}

# ---- prelude: new_server ---------------------------------------------------------------------------
# Check the packages of a new environment, and the server that runs from it.

# What the core packages are imported as. Only those in the lock are imported.
$CoreModules = @{
    numpy = 'numpy'; matplotlib = 'matplotlib'; tornado = 'tornado.web'; pyzmq = 'zmq'; ipython = 'IPython'
    ipykernel = 'ipykernel.kernelapp'; 'jupyter-server' = 'jupyter_server.serverapp'; notebook = 'notebook'
}

# Linux hosts get the same text.
$ImportWithPython = @'
import importlib, sys

for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        sys.exit("error: import %s: %s: %s" % (name, type(error).__name__, error))
'@ -replace "`r", ''

# Load the login page, and log in with a wrong password, as a browser would. Prints the status of both answers. Linux
# hosts get the same text.
$LoginWithPython = @'
import http.client, os, re, ssl, sys, urllib.parse

address, port = sys.argv[1], int(sys.argv[2])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode, context.minimum_version = False, ssl.CERT_NONE, ssl.TLSVersion.TLSv1_2


def ask(method, body, headers):
    line = http.client.HTTPSConnection(address, port, timeout=30, context=context)
    line.request(method, "/login", body, {"Host": "localhost:%d" % port, **headers})
    answer = line.getresponse()
    cookies = answer.headers.get_all("Set-Cookie") or []
    line.close()
    return answer.status, [cookie.partition(";")[0] for cookie in cookies]


status, cookies = ask("GET", None, {})
print("Page=%d" % status, flush=True)
token = [cookie.partition("=")[2] for cookie in cookies if cookie.startswith("_xsrf=")]
form = urllib.parse.urlencode({"password": os.urandom(16).hex(), "_xsrf": "".join(token)})
headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": "; ".join(cookies)}
print("Wrong=%d" % ask("POST", form, headers)[0], flush=True)
'@ -replace "`r", ''

# Import the core packages of the lock. They write nothing into the environment, and read no settings of this user.
function Assert-Import {
    $modules = @(foreach ($line in $Lock) {
            $name = ($line -split '==')[0]
            if ($CoreModules.ContainsKey($name)) { $CoreModules[$name] }
        })
    if (-not $modules.Count) { return }
    Write-StepProgress importing-packages 'Importing the new packages'
    $variables = @{
        IPYTHONDIR = Join-Path $CacheFolder 'ipython'; MPLCONFIGDIR = Join-Path $CacheFolder 'matplotlib'
        MATPLOTLIBRC = $null; MPLBACKEND = $null
    }
    $arguments = @('-I', '-B', '-X', 'utf8', '-c', $ImportWithPython) + $modules
    Invoke-Program (Get-EnvironmentProgram 'python.exe') $arguments $variables -Code packages-not-importable -Text (
        'the installed packages cannot be imported ({output}). Set a different packages.lock or python.version in ' +
        'the inventory, then try again')
}

# This host has only the hash of the password, so it cannot log in. But a server that cannot compare passwords does not
# refuse a wrong one as it must: with 401.
function Assert-Login {
    $address = '127.0.0.1'
    if ($Settings.notebook.ip -ne '*') { $address = $Settings.notebook.ip }
    $arguments = '-I', '-B', '-X', 'utf8', '-c', $LoginWithPython, $address, [string]$Settings.notebook.port
    Invoke-Program (Get-ServerProgram) $arguments -Accept 0, 1 -Quiet
    $status = @{ Page = 'no answer'; Wrong = 'no answer' }
    foreach ($line in $Run.Output) {
        if ($line -cmatch '\A(Page|Wrong)=([0-9]{3})\z') { $status[$Matches[1]] = $Matches[2] }
    }
    if ($status.Page -eq '200' -and $status.Wrong -eq '401') { return }
    throw (New-Failure login-broken ('nobody can log in to the server: the status of its login page is {page} ' +
            '(expected 200), and the status of a login with a wrong password is {wrong} (expected 401). Fix the ' +
            'error that the server log ({log}) shows, or set a different packages.lock in the inventory, then try ' +
            'again') @{
            page = $status.Page; wrong = $status.Wrong; log = $ServerLog
        })
}

# ---- prelude: switch -------------------------------------------------------------------------------
# Switch the server to another environment, and verify the server that runs from it.

# Another lock gets another environment. Before the server is switched to it, a folder gets what the server ran before:
# the path of its Python, its configuration, the program that starts it, and its task or process. As long as this folder
# exists, the switch is open: a run that fails restores what is in it, and the next run completes a switch that was cut
# off. When the new server has been verified, the folder becomes that of the previous environment, which is kept. The
# same folder protects a server that only gets other settings: it has a mark then, and is removed at the end.

$SwitchFolder = Join-Path $StateFolder 'switch'
$PreviousFolder = Join-Path $StateFolder 'previous'
$SettingsMark = Join-Path $SwitchFolder 'settings'

# ---- which environment the server runs from

# Return the Python that the task or process was set up with; nothing if there is none, or if it cannot run any more.
function Get-DeployedPython {
    if (-not (Test-ServiceRecord)) { return }
    $python = Get-ServerProgram
    if (Test-CompletePython $python) { $python }
}

# Return the Python in such a folder; nothing if there is none, or if it cannot run any more.
function Get-SavedPython([string]$Folder) {
    $file = Join-Path $Folder 'python'
    if (-not (Test-Path -LiteralPath $file)) { return }
    $python = [IO.File]::ReadAllText($file, $Utf8).TrimEnd()
    if (Test-CompletePython $python) { $python }
}

# Return whether this is the Python of an environment that is complete, and whose own Python still exists.
function Test-CompletePython([string]$Python) {
    if ($Python -cnotmatch "\A$([regex]::Escape($Programs))\\env-[0-9a-z.]+-[0-9a-f]{8}\\Scripts\\python\.exe\z") {
        return $false
    }
    $environment = Get-EnvironmentOf $Python
    foreach ($path in $Python, (Join-Path $environment 'nbserver.lock')) {
        if (-not (Test-Path -LiteralPath $path)) { return $false }
    }
    $base = Get-BaseFolder $environment
    [bool]($base -and (Test-Path -LiteralPath (Join-Path $base 'python.exe')))
}

function Get-EnvironmentOf([string]$Python) { Split-Path -Parent (Split-Path -Parent $Python) }

# Return the folder of the Python from which the environment was created.
function Get-BaseFolder([string]$Environment) {
    $file = Join-Path $Environment 'pyvenv.cfg'
    if (-not (Test-Path -LiteralPath $file)) { return }
    foreach ($line in [IO.File]::ReadAllLines($file, $Utf8)) {
        if ($line -cmatch '\Ahome = (.+)\z') { return $Matches[1] }
    }
}

# Return the environment that is kept, and the folder of its Python: during an upgrade that from which the server runs,
# else the previous one.
function Get-KeptFolder {
    $python = Get-KeptPython
    if (-not $python) { return }
    $environment = Get-EnvironmentOf $python
    $environment
    Get-BaseFolder $environment
}

function Get-KeptPython {
    if (Test-OpenSwitch) {
        $saved = Get-SavedPython $SwitchFolder
        if ($saved -ne (Get-EnvironmentProgram 'python.exe')) { return $saved }
    }
    $deployed = Get-DeployedPython
    if ($deployed -and $deployed -ne (Get-EnvironmentProgram 'python.exe')) { return $deployed }
    Get-SavedPython $PreviousFolder
}

function Test-OpenSwitch { Test-Path -LiteralPath $SwitchFolder }

# ---- the switch

# Called before the first file changes that the server reads. A switch that is open keeps what it saved: the server may
# already run from the new environment.
function Start-Switch {
    if (Test-OpenSwitch) { return }
    $python = Get-DeployedPython
    if (-not $python) { return }
    $Run.Step = 'packages'
    if ($python -ne (Get-EnvironmentProgram 'python.exe')) { Save-CurrentServer $python }
    elseif ($Run.NewSettings -and ($Run.Answered -or (Test-AnswerAsSaved))) {
        Save-CurrentServer $python
        Write-TextFile (Join-Path "$SwitchFolder.new" (Split-Path -Leaf $SettingsMark)) ''
    }
    else { return }
    Open-Switch
}

# Called after the test of a step: whether the configuration or the task differs. The description of the task only says
# for which files the server was started.
function Read-NewSetting([string]$Step) {
    foreach ($difference in $Run.Differences) {
        $task = $difference.code -eq 'task-property' -and
            $difference.values.property -ne 'RegistrationInfo/Description'
        $configuration = $Step -eq 'notebook' -and 'salt', 'file-content' -contains $difference.code
        if ($configuration -or $task) { $Run.NewSettings = $true }
    }
}

# Return whether the server answers at the port and the address of its present configuration.
function Test-AnswerAsSaved {
    $port = $Settings.notebook.port
    $address = $Settings.notebook.ip
    try {
        Read-SavedAddress
        [bool](Get-ServerFingerprint)
    }
    finally {
        $Settings.notebook.port = $port
        $Settings.notebook.ip = $address
    }
}

function Save-CurrentServer([string]$Python) {
    try { Save-Server "$SwitchFolder.new" $Python }
    catch {
        throw (New-Failure previous-not-saved ('could not save the files of the current server, so the server was ' +
                'not changed: {cause}. Fix this error, then try again') -Cause $_.Exception)
    }
}

function Open-Switch { Invoke-FileChange 'move-folder' "$SwitchFolder.new" $SwitchFolder }

function Save-Server([string]$Folder, [string]$Python) {
    if (Test-Path -LiteralPath $Folder) { Remove-Folder $Folder }
    New-ClosedFolder $Folder $StateAccess
    foreach ($file in $ConfigurationFile, $StarterFile) {
        Assert-NoLink $file
        if (Test-Path -LiteralPath $file) { Copy-File $file (Join-Path $Folder (Split-Path -Leaf $file)) }
    }
    Save-Service $Folder
    Write-TextFile (Join-Path $Folder 'python') "$Python`n"
}

# Called when the server has been started from the new environment. Until then, nothing of the old one was removed.
function Confirm-Switch {
    if (-not (Test-OpenSwitch)) { return }
    $Run.Step = 'check'
    Write-StepProgress verifying-server 'Verifying the server'
    Assert-ServerClosed (Wait-Server)
    $shown = Get-ServerFingerprint
    if ($shown -ne $Run.Fingerprint) {
        throw (New-Failure new-server-certificate ('the server presents a different certificate on TCP port {port}: ' +
                'expected {expected}, got {actual}') @{
                port = $Settings.notebook.port; expected = $Run.Fingerprint; actual = $shown
            })
    }
    Assert-Login
    # Only the settings are new, or a rollback was cut off.
    if ((Get-SavedPython $SwitchFolder) -eq (Get-ServerProgram)) { Remove-Switch; return }
    if (Test-Path -LiteralPath $PreviousFolder) { Remove-Folder $PreviousFolder }
    Invoke-FileChange 'move-folder' $SwitchFolder $PreviousFolder
}

# Half a folder must not be taken for an open switch, so it first gets another name.
function Remove-Switch {
    if (Test-Path -LiteralPath "$SwitchFolder.new") { Remove-Folder "$SwitchFolder.new" }
    if (-not (Test-OpenSwitch)) { return }
    Invoke-FileChange 'move-folder' $SwitchFolder "$SwitchFolder.new"
    Remove-Folder "$SwitchFolder.new"
}

# Undo removes all environments.
Add-Hook BeforeUndo {
    Remove-Switch
    if (Test-Path -LiteralPath $PreviousFolder) { Remove-Folder $PreviousFolder }
}

# ---- prelude: way_back -----------------------------------------------------------------------------
# Restore the previous server after a failed upgrade or failed new settings.

# ---- restoring

# Restore what the folder has, start that server, and prove that it responds.
function Restore-Server([string]$Folder, [switch]$WithPassword) {
    $python = Get-SavedPython $Folder
    if (-not $python) {
        throw (New-Failure previous-environment-missing ('the virtual environment of the previous server is missing ' +
                'or incomplete'))
    }
    Stop-Server
    Restore-ServerFile $Folder -WithPassword:$WithPassword
    Read-SavedAddress
    Start-SavedService $Folder $python
    Assert-PreviousServer
}

# A password that was replaced since is not restored. If new settings fail (-WithPassword), the password is: it came
# with them, and set-password changes what was saved, too. A rollback keeps the port and the address.
function Restore-ServerFile([string]$Folder, [switch]$WithPassword) {
    $starter = Join-Path $Folder (Split-Path -Leaf $StarterFile)
    if (Test-Path -LiteralPath $starter) { Copy-Over $starter $StarterFile }
    $configuration = Join-Path $Folder (Split-Path -Leaf $ConfigurationFile)
    if (-not (Test-Path -LiteralPath $configuration)) { return }
    $name = 'notebook.kept_password_hash'
    Read-KeptSecret $name $ConfigurationFile $HashPattern
    $saved = [IO.File]::ReadAllText($configuration, $Utf8)
    $text = $saved
    if ($Folder -eq $PreviousFolder) { $text = Get-TextForAddress $saved }
    $former = [regex]::Match($text, $HashPattern).Groups[1].Value
    $isReplaced = $former -and $Secrets.ContainsKey($name) -and
        -not [string]::Equals($former, (Expand-Secret "@$name@" $name))
    if ($isReplaced -and -not $WithPassword) {
        Write-TextFile $ConfigurationFile $text.Replace($former, "@$name@") $name
    }
    elseif (-not [string]::Equals($text, $saved)) { Write-TextFile $ConfigurationFile $text }
    else { Copy-Over $configuration $ConfigurationFile }
}

# Return a configuration with the port and the address of the present one, for which the firewall is set.
function Get-TextForAddress([string]$Text) {
    if (-not (Test-Path -LiteralPath $ConfigurationFile)) { return $Text }
    $present = [IO.File]::ReadAllText($ConfigurationFile, $Utf8)
    foreach ($name in 'port', 'ip') {
        $pattern = "`"$name`":\s+[^,\r\n]*,"
        $should = [regex]::Match($present, $pattern)
        $is = [regex]::Match($Text, $pattern)
        if ($should.Success -and $is.Success) { $Text = $Text.Replace($is.Value, $should.Value) }
    }
    $Text
}

# The port and the address in the configuration that was restored.
function Read-SavedAddress {
    if (-not (Test-Path -LiteralPath $ConfigurationFile)) { return }
    $text = [IO.File]::ReadAllText($ConfigurationFile, $Utf8)
    if ($text -cmatch '"port":\s+([0-9]{1,5})\b') { $Settings.notebook.port = [int]$Matches[1] }
    if ($text -cmatch '"ip":\s+"([0-9a-f.:*]{1,45})"') { $Settings.notebook.ip = $Matches[1] }
}

function Assert-PreviousServer {
    try {
        if (-not @(Wait-Server | Where-Object { -not (Test-Refused $_) }).Count) { return }
    }
    catch { Write-Event log @{ text = "$_" } }
    throw (New-Failure previous-not-responding ('the previous server was started again, but does not respond as ' +
            'expected on TCP port {port}') @{
            port = $Settings.notebook.port
        })
}

# ---- the end of a run

# Whether a run has failed, or was stopped, while it was changing the environment or the settings of the server. A run
# that was refused at its start changes nothing.
function Test-SwitchToEnd {
    if ($Run.Mode -ne 'apply' -and -not $Run.RollbackBegun) { return $false }
    if ('failed', 'stopped' -notcontains $Run.Outcome) { return $false }
    if (-not $Run.Lock -or $Run.Left -or -not $Run.Script -or (Test-Path -LiteralPath $RotationFile)) { return $false }
    $Run.Installing -or $Run.StoppedEarly -or (Test-OpenSwitch)
}

# The last events say what this host runs. Nothing is thrown: the run must report its end.
function Complete-Switch {
    try {
        if (-not (Test-SwitchToEnd)) { return }
        $isAside = $Run.Installing -and (Test-Aside (Get-EnvironmentFolder))
        if ($isAside -and -not (Restore-Environment)) { return }
        if ($Run.RollbackBegun) { Undo-Rollback }
        elseif (Test-Untouched) { Remove-Switch; Write-NotSwitched $isAside }
        elseif (Test-SettingsSwitch) { Undo-NewSetting }
        elseif (Test-OpenSwitch) { Undo-Switch }
        else {
            if ($Run.StoppedEarly) { Start-ServerAgain }
            if ($Run.Installing) { Write-NotSwitched $isAside }
        }
    }
    catch {
        $Run.Outcome = 'failed'
        $problem = ConvertTo-Failure $_.Exception
        $failure = New-Failure upgrade-not-switched-back ('the upgrade failed, and nbserver could not switch back ' +
            'to the previous environment: {problem}. Fix this error, then run nbserver apply again. The upgrade ' +
            'failed because of this error: {cause}') @{ problem = $problem.Message } -Cause (Get-RunFailure)
        Write-UpgradeEnd $failure
    }
}

# Return whether only the settings were to change.
function Test-SettingsSwitch {
    if (-not (Test-Path -LiteralPath $SettingsMark)) { return $false }
    (Get-SavedPython $SwitchFolder) -eq (Get-EnvironmentProgram 'python.exe')
}

function Undo-NewSetting {
    $Run.Step = 'service'
    Write-StepProgress restoring-settings 'Restoring the previous settings of the server'
    try {
        Restore-Server $SwitchFolder -WithPassword
        Remove-Switch
    }
    catch {
        $Run.Outcome = 'failed'
        $problem = ConvertTo-Failure $_.Exception
        Write-UpgradeEnd (New-Failure settings-not-restored ('the new settings were not applied, and nbserver could ' +
            'not restore the previous settings of the server: {problem}. Fix this error, then run nbserver apply ' +
            'again. The new settings were not applied because of this error: {cause}') @{
                problem = $problem.Message
            } -Cause (Get-RunFailure))
        return
    }
    Write-UpgradeEnd (New-Failure settings-restored ('the new settings were not applied, so the server runs with ' +
            'its previous settings again: {cause}') -Cause (Get-RunFailure))
}

# Return whether the server that was saved still runs, and all its files are as they were saved. Then there is nothing
# to restore, and a server that people work with is not restarted.
function Test-Untouched {
    if (-not (Test-OpenSwitch) -or -not (Test-ServerRunning)) { return $false }
    foreach ($file in $ConfigurationFile, $StarterFile) {
        $saved = Join-Path $SwitchFolder (Split-Path -Leaf $file)
        foreach ($path in $file, $saved) { if (-not (Test-Path -LiteralPath $path)) { return $false } }
        if (-not [string]::Equals([IO.File]::ReadAllText($file, $Utf8), [IO.File]::ReadAllText($saved, $Utf8))) {
            return $false
        }
    }
    Test-SavedService $SwitchFolder
}

function Undo-Switch {
    $Run.Step = 'service'
    Write-StepProgress switching-back 'Switching back to the previous environment'
    $python = Get-SavedPython $SwitchFolder
    try { Restore-Server $SwitchFolder }
    catch {
        # It would take the space that the previous server needs. A run that applies the previous settings again has
        # built no environment, and removes none.
        $new = Get-EnvironmentFolder
        if (-not $python -or (Get-EnvironmentOf $python) -eq $new -or -not (Test-Record 'folder' $new)) { throw }
        Remove-Environment $new
        Restore-Server $SwitchFolder
    }
    Remove-Switch
    $failure = New-Failure upgrade-switched-back ('the upgrade failed, so this host runs its previous environment ' +
        '{environment} again: {cause}') @{ environment = Get-EnvironmentOf $python } -Cause (Get-RunFailure)
    Write-UpgradeEnd $failure
}

# Return whether the environment that was set aside is in use again.
function Restore-Environment {
    $Run.Step = 'packages'
    $environment = Get-EnvironmentFolder
    try { Restore-Aside $environment }
    catch {
        $Run.Outcome = 'failed'
        $problem = ConvertTo-Failure $_.Exception
        Write-UpgradeEnd (New-Failure environment-not-returned ('could not reinstall the packages: {cause}. nbserver ' +
                'also could not restore the environment {environment}: {problem}. Fix both errors, then run nbserver ' +
                'apply again') @{
                environment = $environment; problem = $problem.Message
            } -Cause (Get-RunFailure))
        return $false
    }
    $true
}

# The server was stopped while its Python or its packages were replaced.
function Start-ServerAgain {
    if (-not (Get-DeployedPython)) { return }
    $Run.Step = 'service'
    Write-StepProgress starting-again 'Starting the server again'
    Restart-Server
}

# The server still runs from its previous environment, if this run has built another one. An environment that is not
# complete is removed, because it takes space.
function Write-NotSwitched([bool]$IsReturned) {
    if ($IsReturned) {
        $Run.Step = 'packages'
        Write-UpgradeEnd (New-Failure environment-returned ('could not reinstall the packages, so this host keeps ' +
                'its current environment {environment}: {cause}') @{
                environment = Get-EnvironmentFolder
            } -Cause (Get-RunFailure))
        return
    }
    $python = Get-DeployedPython
    if (-not $python -or $python -eq (Get-EnvironmentProgram 'python.exe')) { return }
    $Run.Step = 'packages'
    if (-not (Test-LockMark)) {
        try { Remove-Environment (Get-EnvironmentFolder) }
        catch { Write-Event log @{ text = "$_" } }
    }
    $failure = New-Failure upgrade-not-begun ('the upgrade failed, and this host still runs its previous environment ' +
        '{environment}: {cause}') @{ environment = Get-EnvironmentOf $python } -Cause (Get-RunFailure)
    Write-UpgradeEnd $failure
}

function Remove-Environment([string]$Folder) {
    Stop-ProcessBelow $Folder
    foreach ($line in @(Read-Record | Where-Object { $_.kind -eq 'folder' -and $_.key -eq $Folder })) {
        Undo-Line $line
        Remove-FileList (Split-Path -Leaf $Folder)
    }
}

# Return why this run failed.
function Get-RunFailure {
    if ($Run.Failure) { return $Run.Failure }
    New-Failure run-was-stopped 'the run was stopped before it finished'
}

# A run that was stopped did not fail.
function Write-UpgradeEnd([Exception]$Failure) {
    $kind = 'warning'
    if ($Run.Outcome -eq 'failed') { $kind = 'failed' }
    Write-Event $kind (Get-FailureField $Failure)
}

# ---- prelude: status -------------------------------------------------------------------------------
# Report the server, its versions, its certificate, and the last run: mode status.

# Nothing is changed, and nothing is left on this host. What differs from the settings is reported as in a test.

$UtcFormat = "yyyy-MM-dd'T'HH:mm:ss'Z'"

function Format-UtcTime([DateTime]$Time) {
    $Time.ToUniversalTime().ToString($UtcFormat, [Globalization.CultureInfo]::InvariantCulture)
}

# The function Get-ServiceStatus is part of each scope.
function Write-Status {
    Write-Event status @{
        service = Get-ServiceStatus; limits = $null; versions = Get-VersionStatus; certificate = Get-CertificateStatus
        previous = Get-PreviousStatus; record = @(Read-Record).Count; last = Get-LastRun
    }
}

# ---- versions, which are read from files: no program is started

$ReportedPackages = 'notebook', 'jupyter_server', 'numpy', 'matplotlib', 'tornado', 'pyzmq'

# Return the versions by name. A file pyvenv.cfg names the Python that its environment uses.
function Get-VersionStatus {
    $versions = @{}
    $environment = Get-ServerEnvironment
    $file = Join-Path $environment 'pyvenv.cfg'
    if (-not (Test-Path -LiteralPath $file)) { return $versions }
    foreach ($line in [IO.File]::ReadAllLines($file, $Utf8)) {
        if ($line -cmatch '\Aversion(_info)? = ([0-9]+\.[0-9]+\.[0-9]+)') { $versions.python = $Matches[2] }
        if ($line -cmatch '\Ahome = (.+)\z') { $openssl = Get-LibraryVersion $Matches[1] }
    }
    if ($openssl) { $versions.openssl = $openssl }
    $packages = Join-Path $environment 'Lib\site-packages'
    if (-not (Test-Path -LiteralPath $packages)) { return $versions }
    foreach ($folder in [IO.Directory]::GetDirectories($packages, '*.dist-info')) {
        if ((Split-Path -Leaf $folder) -cnotmatch '\A(.+)-([0-9A-Za-z.+!]{1,64})\.dist-info\z') { continue }
        $version = $Matches[2]
        $name = ($Matches[1] -replace '[-_.]+', '_').ToLowerInvariant()
        if ($ReportedPackages -contains $name) { $versions[$name] = $version }
    }
    $versions
}

# Return the version of the OpenSSL that a Python contains, or nothing.
function Get-LibraryVersion([string]$Python) {
    $folder = Join-Path $Python 'DLLs'
    if (-not (Test-Path -LiteralPath $folder)) { return }
    foreach ($library in Get-ChildItem -LiteralPath $folder -Filter 'libcrypto-*.dll') {
        $file = [Diagnostics.FileVersionInfo]::GetVersionInfo($library.FullName)
        if ($file.FileMajorPart) { "$($file.FileMajorPart).$($file.FileMinorPart).$($file.FileBuildPart)"; return }
    }
}

# ---- certificate

# Return whose certificate it is, and until when; or nothing if there is none.
function Get-CertificateStatus {
    $certificate = Get-ServerCertificate
    if (-not $certificate) { return }
    @{
        fingerprint = Get-Fingerprint $certificate; subject = [string]$certificate.Subject
        expires = Format-UtcTime $certificate.NotAfter
    }
}

# ---- the last run

# Return the run whose events were written last, other than this one, or nothing if there is none.
function Get-LastRun {
    $folder = Join-Path $StateFolder 'runs'
    if (-not (Test-Path -LiteralPath $folder)) { return }
    $runs = [IO.Directory]::GetDirectories($folder) | Where-Object { (Split-Path -Leaf $_) -cne $Run.Id }
    $files = foreach ($run in $runs) { [IO.FileInfo](Join-Path $run 'events.jsonl') }
    $file = $files | Where-Object { $_.Exists } | Sort-Object -Property LastWriteTimeUtc | Select-Object -Last 1
    if ($file) { Get-KeptRun $file.FullName }
}

# Return the run that left these events, or nothing if the first event is not that of a run. A run that has no last
# event was interrupted, unless it still has the lock.
function Get-KeptRun([string]$File) {
    $lines = @(Read-CompleteLine $File)
    if (-not $lines.Count) { return }
    $kept = @{ outcome = 'interrupted'; finished = '' }
    foreach ($name in 'run', 'mode', 'operator', 'release', 'script_sha256') { $kept[$name] = Get-Text $lines[0] $name }
    if (-not $kept.script_sha256) { return }
    $kept.started = Get-Text $lines[0] 'time'
    $end = $lines | Select-Object -Last 1
    if ($end.Contains('"event":"finished"')) {
        $kept.outcome = Get-Text $end 'outcome'
        $kept.finished = Get-Text $end 'time'
    }
    elseif ((Get-LockOwner) -cmatch "^run $([regex]::Escape($kept.run)),") { $kept.outcome = 'running' }
    $kept
}

# Return a text of an event, or '' if there is none. In a text, a quotation mark follows a backslash. The line is not
# parsed as a whole, because some versions of PowerShell make dates of texts.
function Get-Text([string]$Line, [string]$Name) {
    $found = [regex]::Match($Line, "`"$Name`":(`"(?:[^`"\\]|\\.)*`")")
    if (-not $found.Success) { return '' }
    $text = $found.Groups[1].Value
    if ($text.Contains('\')) {
        try { return [string](ConvertFrom-Json "{`"text`":$text}").text }
        catch { return '' }   # a damaged file must not prevent runs
    }
    $text.Substring(1, $text.Length - 2)
}

# ---- a newer release

# From two workstations with different releases, each run would reverse what the other one has changed.
Add-Hook Begun {
    if ('test', 'apply' -notcontains $Run.Mode) { return }
    $last = Get-LastRun
    if (-not $last -or (Get-ReleaseVersion $last.release) -le (Get-ReleaseVersion $Settings.release)) { return }
    Write-Notice warning release-older ('release {newer} of nbserver made the last change to this host, ' +
        'but this script is from release {own}, which may install older packages. Upgrade nbserver on this ' +
        'workstation, then try again') @{ newer = $last.release; own = $Settings.release }
}

# Return a version that can be compared; the lowest one if the release is not known.
function Get-ReleaseVersion([string]$Release) {
    if ($Release -cmatch '\A[0-9]{1,4}\.[0-9]{1,4}\.[0-9]{1,4}') { [version]$Matches[0] } else { [version]'0.0.0' }
}

$Modes.status = {
    Write-Status
    Assert-RotationComplete
    Invoke-Plan
}

# ---- prelude: server_life --------------------------------------------------------------------------
# Restart or stop the installed server: modes restart and stop.

# The server starts as it is installed. What differs from the settings stays as it is until the next apply.

# Mode restart, which also starts a server that was stopped.
function Invoke-Restart {
    Assert-Installed
    Assert-MayStart
    Write-RestartStart
    Restart-Server
    Write-ChangeEnd
    Assert-ServerProven
}

function Write-RestartStart {
    Reset-Difference 'service'
    if (Test-ServerRunning) { Add-Difference server-restarts 'the notebook server' 'running' 'restarted' }
    else { Add-Difference server-starts 'the notebook server' 'stopped' 'running' }
    Write-ChangeStart
}

# Mode stop. The server stays stopped when Windows restarts, until a restart or an apply.
function Invoke-Stop {
    Assert-Installed
    Reset-Difference 'service'
    if (Test-ServerAlive) { Add-Difference server-stops 'the notebook server' 'running' 'stopped' }
    elseif ((Get-ServiceStatus).start -eq 'automatic') {
        Add-Difference server-stays-stopped 'the notebook server' `
            'set to start with the system' 'not set to start with the system'
    }
    else { Write-Event unchanged; return }
    Write-ChangeStart
    Stop-Server
    Write-ChangeEnd
    if (Test-ServerAlive) {
        throw (New-Failure server-not-stopped-windows ('the notebook server is running, although nbserver has just ' +
                'stopped it. Find out what starts it, then try again'))
    }
}

function Reset-Difference([string]$Name) {
    $Run.Step = $Name
    $Run.Differences = New-Object Collections.ArrayList
}

function Assert-Installed {
    $Run.Step = 'service'
    if ((Test-ServiceRecord) -and (Get-ServiceStatus).state -ne 'absent') { return }
    throw (New-Failure server-not-installed ('this host has no notebook server managed by nbserver. Run nbserver ' +
            'apply first'))
}

function Assert-MayStart {
    Assert-NoOpenRotation
    Assert-HasCertificate
    $Run.Step = 'service'
    Assert-CanRestart
}

# After an incomplete rotation, earlier users could still log in to a server that starts.
function Assert-NoOpenRotation {
    Read-Rotation
    if ($Former.Run) {
        throw (New-Failure rotation-incomplete-start ('nbserver rotate was interrupted (run {run}), so earlier users ' +
                'could still log in if the server started. Run nbserver rotate again') @{ run = $Former.Run })
    }
}

function Assert-HasCertificate {
    $Run.Step = 'certificate'
    $certificate = Get-ServerCertificate
    if (-not $certificate) {
        throw (New-Failure server-without-certificate ('the server has no valid certificate, so it cannot start. Run ' +
                'nbserver apply instead'))
    }
    $Run.Fingerprint = Get-Fingerprint $certificate
}

# A change of this part is for the differences that were found. The step's own Test is about the settings.
function Write-ChangeStart {
    $step = $Steps | Where-Object { $_.Name -eq $Run.Step }
    Write-Event started @{ title = $step.Title }
    Write-Difference
    Assert-EventsKept
}

function Write-ChangeEnd {
    $Run.Changed++
    Write-Event changed
}

# Wait until the server shows the installed certificate and refuses requests without the password.
function Assert-ServerProven {
    Reset-Difference 'check'
    Add-Difference server-proven 'certificate on TCP port {port}' $null $Run.Fingerprint @{
        port = $Settings.notebook.port
    }
    Invoke-Change ($Steps | Where-Object { $_.Name -eq 'check' })
}

$Modes.restart = { Invoke-Restart }
$Modes.stop = { Invoke-Stop }
$ChangingModes += 'restart', 'stop'

# ---- prelude: restarted_server ---------------------------------------------------------------------
# Start the registered task again.

function Test-ServiceRecord { Test-Record 'task' 'nbserver' }

function Assert-CanRestart { }

# True if the server runs, and was started after the last change of its files.
function Test-CurrentServer {
    $description = Get-TaskText ([xml](Get-TaskXml 'nbserver')) 'RegistrationInfo/Description'
    (Test-ServerRunning) -and [string]::Equals($description, (Get-ServiceState))
}

function Test-OwnCertificate { $Settings.certificate.source -eq 'host' }

# A task that was disabled while it runs counts as disabled, so its process is looked for, too.
function Test-ServerAlive {
    if (Test-ServerRunning) { return $true }
    [bool](Get-PortProcess $Settings.notebook.port | Where-Object {
            $_.ExecutablePath -and (Test-Below $_.ExecutablePath $Programs)
        })
}

# The task stays as it is, except that it is enabled, and that its description has the times of the files again. If
# this run is interrupted, Windows starts the task within five minutes, or the next run finds it stopped.
function Restart-Server {
    $xml = [xml](Get-TaskXml 'nbserver')
    Set-TaskText $xml 'RegistrationInfo/Description' (Get-ServiceState)
    Set-TaskText $xml 'Settings/Enabled' 'true'
    Stop-Task 'nbserver'
    Start-NewTask $xml.DocumentElement.OuterXml
}

# Keep the task for a way back.
function Save-Service([string]$Folder) { Write-TextFile (Join-Path $Folder 'task.xml') (Get-TaskXml 'nbserver') }

# Return whether the task is as it was saved, and this run has not started it again.
function Test-SavedService([string]$Folder) {
    if ($ServiceTask.Started) { return $false }
    [string]::Equals((Get-TaskXml 'nbserver'), [IO.File]::ReadAllText((Join-Path $Folder 'task.xml'), $Utf8))
}

function Start-SavedService([string]$Folder, [string]$Python) {
    $null = $Python                                      # the task names it
    $xml = [xml][IO.File]::ReadAllText((Join-Path $Folder 'task.xml'), $Utf8)
    Set-TaskText $xml 'Settings/Enabled' 'true'
    Start-NewTask $xml.DocumentElement.OuterXml
}

# Set the text of an element that the task has.
function Set-TaskText {
    param([xml]$Xml, [string]$Path, [string]$Text)
    $steps = @($Path -split '/' | ForEach-Object { "*[local-name()='$_']" })
    $node = $Xml.SelectSingleNode('/*/' + ($steps -join '/'))
    if ($node) { $node.InnerText = $Text }
}

# ---- prelude: rollback -----------------------------------------------------------------------------
# Switch back to the environment from before the last upgrade: mode rollback.

# It is a switch to the folder of the previous environment. What the server runs now is saved first, and becomes the
# previous one, so a second rollback goes forward again. If the server fails its verification, the end of the
# run switches back. A file in the folder of the switch says that a rollback opened it: the next rollback completes it.

$RollbackMark = Join-Path $SwitchFolder 'rollback'

$Modes.rollback = {
    Assert-Installed
    Assert-NoOpenRotation
    $Run.Step = 'packages'
    Assert-NoOpenUpgrade
    # It was cut off after the verification.
    if ((Test-OpenSwitch) -and -not (Test-Path -LiteralPath $PreviousFolder)) {
        Invoke-FileChange 'move-folder' $SwitchFolder $PreviousFolder
        Write-Event unchanged
        return
    }
    $previous = Get-RollbackPython
    Assert-HasCertificate
    Reset-Difference 'service'
    Add-Difference server-rolls-back 'environment that the server starts from' (
        Get-EnvironmentOf (Get-DeployedPython)) (Get-EnvironmentOf $previous)
    Write-ChangeStart
    Switch-ToPrevious
    Write-ChangeEnd
    Reset-Difference 'check'
    Add-Difference server-proven 'certificate on TCP port {port}' $null $Run.Fingerprint @{
        port = $Settings.notebook.port
    }
    Write-ChangeStart
    Confirm-Switch
    Write-ChangeEnd
}
$ChangingModes += 'rollback'

# An upgrade that was cut off: its switch has the previous environment, and that of the upgrade before may be gone.
function Assert-NoOpenUpgrade {
    if (-not (Test-OpenSwitch) -or (Test-Path -LiteralPath $RollbackMark)) { return }
    throw (New-Failure rollback-in-upgrade ('an earlier apply on this host was interrupted. Run nbserver apply, ' +
            'which either completes its changes or restores the previous server'))
}

# Return the Python of the previous environment, which must be as it was installed.
function Get-RollbackPython {
    if (-not (Test-Path -LiteralPath $PreviousFolder)) {
        throw (New-Failure no-previous-environment ('this host has no previous environment to roll back to. nbserver ' +
                'keeps the previous environment only when an upgrade installs packages from a different lock'))
    }
    $python = Get-SavedPython $PreviousFolder
    if (-not $python) {
        throw (New-Failure previous-environment-gone ('this host cannot be rolled back, because the Python of its ' +
                'previous environment is missing or cannot run. Set packages.lock in the inventory to the earlier ' +
                'lock, then run nbserver apply instead'))
    }
    if (-not (Get-DeployedPython)) {
        throw (New-Failure deployed-environment-unknown ('the notebook server does not run from an environment that ' +
                'nbserver created, so nbserver cannot roll it back. Run nbserver apply instead'))
    }
    Assert-SameFolder
    Assert-PreviousUnchanged (Get-EnvironmentOf $python)
    $python
}

# The access of the service to the folder of then may have been undone.
function Assert-SameFolder {
    $former = Read-SavedFolder (Join-Path $PreviousFolder (Split-Path -Leaf $ConfigurationFile))
    $folder = Read-SavedFolder $ConfigurationFile
    if (-not $former -or -not $folder -or $former -eq $folder) { return }
    throw (New-Failure rollback-other-folder ('notebook.directory has changed since the previous environment was in ' +
            'use: it was {former}, and is now {folder}. Set it to {former} and run nbserver apply, then run nbserver ' +
            'rollback again') @{ former = $former; folder = $folder })
}

# Return the folder of the notebooks in a configuration file, or '' if it has none.
function Read-SavedFolder([string]$File) {
    if (-not (Test-Path -LiteralPath $File)) { return '' }
    $text = [IO.File]::ReadAllText($File, $Utf8)
    if ($text -cnotmatch '"root_dir":\s+("(?:[^"\\]|\\.)*")') { return '' }
    [string](ConvertFrom-Json "{`"folder`":$($Matches[1])}").folder
}

function Assert-PreviousUnchanged([string]$Environment) {
    $Run.Differences = New-Object Collections.ArrayList
    $name = Split-Path -Leaf $Environment
    $list = Get-FileList $name
    if (-not (Test-Path -LiteralPath $list)) { return }
    $source = [string](@([IO.File]::ReadAllLines($list, $Utf8))[0])
    Compare-InstalledFile $name $Environment $source -Caches
    foreach ($difference in $Run.Differences) {
        throw (New-Failure previous-environment-changed ('this host cannot be rolled back, because its previous ' +
                'environment {path} has changed since it was installed ({what}). Set packages.lock in the inventory ' +
                'to the earlier lock, then run nbserver apply instead') @{
                path = $Environment; what = $difference.what
            })
    }
}

# What a rollback that was cut off has saved stays: since then, the server may run from the previous environment.
function Switch-ToPrevious {
    if (-not (Test-OpenSwitch)) {
        Save-CurrentServer (Get-DeployedPython)
        Write-TextFile (Join-Path "$SwitchFolder.new" 'rollback') ''
        Open-Switch
    }
    $Run.RollbackBegun = $true
    Write-StepProgress rolling-back 'Starting the server from its previous environment'
    try { Restore-Server $PreviousFolder }
    catch {
        throw (New-Failure previous-server-not-started ('could not start the server from its previous environment: ' +
                '{cause}') -Cause $_.Exception)
    }
}

# The end of a rollback that failed: what was saved is the environment that the host ran before.
function Undo-Rollback {
    $Run.Step = 'service'
    Write-StepProgress returning 'Switching back to the environment that was in use before the rollback'
    try {
        $python = Get-SavedPython $SwitchFolder
        Restore-Server $SwitchFolder
        Remove-Switch
    }
    catch {
        $Run.Outcome = 'failed'
        $problem = ConvertTo-Failure $_.Exception
        Write-UpgradeEnd (New-Failure rollback-not-switched-back ('the rollback failed, and nbserver could not ' +
            'switch back to the environment that was in use before: {problem}. Fix this error, then run nbserver ' +
            'apply. The rollback failed because of this error: {cause}') @{
                problem = $problem.Message
            } -Cause (Get-RunFailure))
        return
    }
    Write-UpgradeEnd (New-Failure rollback-switched-back ('the rollback failed, so this host runs the environment ' +
            '{environment} again: {cause}') @{ environment = Get-EnvironmentOf $python } -Cause (Get-RunFailure))
}

# Return the environment that a rollback would use, the hash of its lock, and when it was installed; or nothing.
function Get-PreviousStatus {
    if (Test-OpenSwitch) { return }
    $python = Get-SavedPython $PreviousFolder
    if (-not $python) { return }
    $environment = Get-EnvironmentOf $python
    $file = Join-Path $environment 'nbserver.lock'
    $lock = [string]([IO.File]::ReadAllLines($file, $Utf8) | Select-Object -First 1)
    $installed = Format-UtcTime (Get-Item -LiteralPath $file).LastWriteTimeUtc
    if ($lock -cnotmatch '\A[0-9a-f]{64}\z') { $lock = ''; $installed = '' }
    @{ environment = $environment; lock = $lock; installed = $installed }
}

# ---- prelude: server_secrets -----------------------------------------------------------------------
# Replace only the password or the certificate: modes set-password and rotate-certificate.

# The server restarts as it is installed, as in prelude/server_life. What else differs from the settings stays as it is.

# Mode set-password. If an interrupted run has written the hash, the server restarts.
function Invoke-SetPassword {
    Assert-Installed
    Assert-MayStart
    Reset-Difference 'notebook'
    Request-Secret $HashSecret 'Hash of the new notebook password (nbserver hash-password creates it)'
    Assert-PasswordHash
    $text = [IO.File]::ReadAllText($ConfigurationFile, $Utf8)
    $old = [regex]::Match($text, $HashPattern).Groups[1].Value
    if (-not $old) {
        throw (New-Failure password-not-found '{path} contains no password hash. Run nbserver apply instead' @{
                path = $ConfigurationFile
            })
    }
    if ([string]::Equals($old, (Expand-Secret "@$HashSecret@" $HashSecret))) {
        Write-Event unchanged
        if (Test-CurrentServer) { return }
    }
    else {
        Add-Difference rotated-password 'notebook password' 'the previous one' 'a new one'
        Write-ChangeStart
        Set-SavedPassword
        Set-TextFile $ConfigurationFile $text.Replace($old, "@$HashSecret@") $HashSecret   # the rest stays
        Write-ChangeEnd
    }
    Write-RestartStart
    Restart-Server
    Write-ChangeEnd
    Assert-ServerProven
}

# If an apply was cut off, what it has saved gets the new password, too. Otherwise an apply that fails would restore the
# one that was replaced here.
function Set-SavedPassword {
    $file = Join-Path $SwitchFolder (Split-Path -Leaf $ConfigurationFile)
    if (-not (Test-Path -LiteralPath $file)) { return }
    $text = [IO.File]::ReadAllText($file, $Utf8)
    $old = [regex]::Match($text, $HashPattern).Groups[1].Value
    if ($old) { Write-TextFile $file $text.Replace($old, "@$HashSecret@") $HashSecret }
}

# Mode rotate-certificate. The server has read its files when it started, so it serves the previous certificate until it
# restarts. If it does not start with the new one, the previous files are restored. If this run is interrupted, the
# files are newer than the server, and the next run restarts it.
function Invoke-CertificateRotation {
    Assert-OwnCertificate
    Assert-Installed
    Assert-MayStart
    Reset-Difference 'certificate'
    Add-Difference rotated-key 'private key and certificate' $Run.Fingerprint 'a new key and certificate'
    Switch-Certificate
}

function Assert-OwnCertificate {
    if (Test-OwnCertificate) { return }
    throw (New-Failure certificate-not-of-host ('this host does not create its own certificate, so nbserver cannot ' +
            'replace the certificate. Replace it as described in docs/certificates.md'))
}

# Replace the certificate with a new one, or with that of a backup, and restart the server with it.
function Switch-Certificate([switch]$Restored) {
    $files = Read-CertificateFile
    $fingerprint = $Run.Fingerprint
    Write-ChangeStart
    try { if ($Restored) { Install-RestoredCertificate } else { Install-OwnCertificate } }
    catch {
        Restore-CertificateFile $files
        throw
    }
    Write-ChangeEnd
    $Run.Fingerprint = Get-Fingerprint (Get-ServerCertificate)
    Write-RestartStart
    try { Start-WithCertificate }
    catch {
        $cause = $_.Exception
        Restore-CertificateFile $files
        $Run.Fingerprint = $fingerprint
        Start-WithCertificate
        throw (New-Failure certificate-switched-back-windows ('the server did not start with the new certificate, so ' +
                'the previous one is in use again: {cause}') -Cause $cause)
    }
    Write-ChangeEnd
    Assert-ServerProven
}

function Start-WithCertificate {
    Restart-Server
    [void](Wait-Server)
    if ((Get-ServerFingerprint) -eq $Run.Fingerprint) { return }
    throw (New-Failure other-certificate-shown ('the server on TCP port {port} does not present the installed ' +
            'certificate') @{
            port = $Settings.notebook.port
        })
}

# Keep the key in $Secrets. Return the texts of the other files of the certificate by their paths.
function Read-CertificateFile {
    Read-SecretFile 'previous.key' $KeyFile
    $found = @{}
    foreach ($file in $CertificateFile, $RequestFile, $SourceFile) {
        if (Test-Path -LiteralPath $file) { $found[$file] = [IO.File]::ReadAllText($file, $Utf8) }
    }
    $found
}

# Until all files are restored, certificate.source makes the next apply create a certificate.
function Restore-CertificateFile([hashtable]$Files) {
    Write-TextFile $SourceFile 'unfinished'
    Write-TextFile $KeyFile '@previous.key@' 'previous.key'
    foreach ($file in $CertificateFile, $RequestFile, $SourceFile) {
        if ($Files.ContainsKey($file)) { Write-TextFile $file $Files[$file] }
    }
}

$Modes['set-password'] = { Invoke-SetPassword }
$Modes['rotate-certificate'] = { Invoke-CertificateRotation }
$ChangingModes += 'set-password', 'rotate-certificate'

# ---- prelude: restored_key -------------------------------------------------------------------------
# Give the server the private key and the certificate of a backup: mode restore-key.

# The workstation sends both, and has checked that they belong together and are for this host. If the server does not
# start with them, the previous files are restored.

function Invoke-KeyRestore {
    Assert-OwnCertificate
    Assert-Installed
    Assert-MayStart
    Reset-Difference 'certificate'
    foreach ($name in 'certificate.chain', 'certificate.key') {
        if (Get-SecretPart $name '\A(-----BEGIN )') { continue }
        throw (New-Failure restored-key-not-sent ('the private key and certificate in the backup were not sent ' +
                'to this host. Run nbserver restore --with-key on the workstation'))
    }
    if (-not (Test-TextFile $KeyFile '@certificate.key@' 'certificate.key') -or
        -not (Test-TextFile $CertificateFile '@certificate.chain@' 'certificate.chain')) {
        Add-Difference restored-key 'private key and certificate' $Run.Fingerprint 'from the backup'
        Switch-Certificate -Restored
        return
    }
    Write-Event unchanged
    if (Test-CurrentServer) { return }
    Write-RestartStart                                   # an earlier run was interrupted
    Restart-Server
    Write-ChangeEnd
    Assert-ServerProven
}

# As in Install-OwnCertificate: if this is cut off, the next apply creates a certificate.
function Install-RestoredCertificate {
    foreach ($file in $CertificateFile, $KeyFile) { Save-FileBefore $file }
    Set-TextFile $SourceFile 'unfinished'
    Set-TextFile $KeyFile '@certificate.key@' 'certificate.key'
    Set-TextFile $CertificateFile '@certificate.chain@' 'certificate.chain'
    Set-TextFile $SourceFile 'host'
}

$Modes['restore-key'] = { Invoke-KeyRestore }
$ChangingModes += 'restore-key'

# ---- prelude: delivered_files ----------------------------------------------------------------------
# Receive what a host downloads from the workstation: modes missing and deliver.

# If downloads.source is "push", files arrive in a separate folder and stay there for the next run. Only programs in the
# settings and wheels in the lock are accepted, by name and hash. A file has the suffix .part until it is complete and
# its hash is checked.

$DeliveredFolder = Join-Path $StateFolder 'downloads'
$DeliveredName = '\A[A-Za-z0-9]([A-Za-z0-9._+!-]{0,178}[A-Za-z0-9])?\z'
$WheelName = '\A([^-]+)-([^-]+)(-[^-]+){3,4}\.whl\z'

$ChangingModes += 'deliver'

function Test-Push { $Settings.downloads.source -eq 'push' }

function Get-DeliveredFile([string]$Name) { Join-Path $DeliveredFolder $Name }

# ---- which files this host accepts

# Return the hashes that are accepted, by the name of the file of a program and by the package of a wheel.
function Get-DeliveryList {
    $list = @{}
    foreach ($program in @(Get-DeliveredProgram)) { $list[$program.Name] = @($list[$program.Name]) + $program.Sha256 }
    foreach ($line in $Lock) {
        $package, $version = ($line -split ' ')[0] -split '==', 2
        $hashes = [regex]::Matches($line, '--hash=sha256:([0-9a-f]{64})')
        $list[(Get-WheelKey $package $version)] = @($hashes | ForEach-Object { $_.Groups[1].Value })
    }
    $list
}

function Get-WheelKey([string]$Package, [string]$Version) { "$(Get-PackageKey $Package)==$(Get-PackageKey $Version)" }

function Get-ListedHash([hashtable]$List, [string]$Name) {
    if ($Name -cnotmatch $DeliveredName) { return }
    if ($List.ContainsKey($Name)) { return $List[$Name] }
    if ($Name -cmatch $WheelName) { $List[(Get-WheelKey $Matches[1] $Matches[2])] }
}

function Test-Listed([hashtable]$List, $Part) { @(Get-ListedHash $List $Part.Path) -ccontains $Part.Sha256 }

# ---- mode missing

$Modes.missing = {
    Assert-NoLink $DeliveredFolder
    $list = Get-DeliveryList
    foreach ($part in $Parts) {
        if (-not (Test-Listed $list $part)) { Write-FileState refused $part.Path; continue }
        if (Test-Arrived $part) { Write-FileState present $part.Path $part.Size $part.Sha256; continue }
        $size = Get-PartialSize $part
        if ($size) { Write-FileState partial $part.Path $size } else { Write-FileState absent $part.Path }
    }
}

# Return whether the file is here, complete and with the right hash: a program may also be in the cache.
function Test-Arrived($Part) {
    $files = @(Get-DeliveredFile $Part.Path)
    foreach ($program in @(Get-DeliveredProgram)) {
        if ($program.Name -ceq $Part.Path) { $files += $program.Cached }
    }
    foreach ($file in $files) {
        if ((Test-Link $file) -or -not [IO.File]::Exists($file)) { continue }
        if ((New-Object IO.FileInfo $file).Length -ne $Part.Size) { continue }
        if ((Get-FileSha256 $file) -ceq $Part.Sha256) { return $true }
    }
    $false
}

function Get-PartialSize($Part) {
    $file = (Get-DeliveredFile $Part.Path) + '.part'
    if ((Test-Link $file) -or -not [IO.File]::Exists($file)) { return 0 }
    $size = (New-Object IO.FileInfo $file).Length
    if ($size -gt $Part.Size) { 0 } else { $size }
}

# ---- mode deliver

$Modes.deliver = {
    Assert-DeliveryExpected
    Assert-NoLink $DeliveredFolder
    $Run.Step = 'packages'                               # the record names a step
    Add-Folder $DeliveredFolder
    $Run.Step = ''
    $list = Get-DeliveryList
    $lock = Lock-Folder $DeliveredFolder
    try {
        Remove-UnlistedFile $list $lock.Name
        foreach ($part in $Parts) {
            Start-PartData $part
            Receive-Delivery $list $part
            Assert-DeliveryComplete (Copy-PartData)
        }
    }
    finally { $lock.Close() }
}

function Assert-DeliveryExpected {
    if (-not (Test-Push)) {
        throw (New-Failure delivery-not-expected ('this script accepts no files from the workstation, because ' +
                'downloads.source in its settings is not "push". To send files, set downloads.source = "push" in the ' +
                'inventory, then run nbserver apply'))
    }
}

# Remove what this script does not accept, and links, but not what they lead to.
function Remove-UnlistedFile([hashtable]$List, [string]$Except) {
    foreach ($item in (New-Object IO.DirectoryInfo $DeliveredFolder).GetFileSystemInfos()) {
        if ($item.FullName -eq $Except) { continue }
        $isFolder = [bool]($item.Attributes -band [IO.FileAttributes]::Directory)
        if ($item.Attributes -band [IO.FileAttributes]::ReparsePoint) { Remove-Link $item.FullName $isFolder }
        elseif ($isFolder) { Remove-Folder $item.FullName }
        elseif (-not (Get-ListedHash $List ($item.Name -creplace '\.part\z', ''))) { Remove-SingleFile $item.FullName }
    }
}

function Assert-DeliveryComplete([bool]$Complete) {
    if (-not $Complete) {
        throw (New-Failure delivery-cut-off ('the connection was lost before all files had arrived. Run the command ' +
                'again: it sends only the missing files'))
    }
}

function Receive-Delivery([hashtable]$List, $Part) {
    if (-not (Test-Listed $List $Part)) { Write-FileState refused $Part.Path; return }
    if (Test-Arrived $Part) { Write-FileState stored $Part.Path $Part.Size $Part.Sha256; return }
    if ($Part.Offset -and $Part.Offset -ne (Get-PartialSize $Part)) {
        Write-FileState conflict $Part.Path $Part.Size
        return
    }
    $file = Get-DeliveredFile $Part.Path
    $sha256 = Add-DeliveredData "$file.part" $Part
    if (-not $sha256) { Write-FileState incomplete $Part.Path ($Part.Offset + $Part.Length); return }
    if ($sha256 -cne $Part.Sha256) {
        Remove-SingleFile "$file.part"
        Write-FileState damaged $Part.Path $Part.Size
        return
    }
    Move-Over "$file.part" $file
    $Run.Changed++
    Write-FileState stored $Part.Path $Part.Size $sha256
}

# Return the SHA-256 of the file if it is now complete. On a full disk, it would keep the disk full.
function Add-DeliveredData([string]$New, $Part) {
    try { Write-DeliveredData $New $Part }
    catch {
        if ($_.Exception.Data.Contains('code')) { throw }
        if (Test-DiskFull $_.Exception) { Remove-SingleFile $New }
        throw (New-Failure delivery-not-written ('could not save the files that the workstation ' +
                'sent: {cause}. Fix this error (for example, free some disk space), then run the command ' +
                'again') -Cause $_.Exception)
    }
}

function Write-DeliveredData([string]$New, $Part) {
    Assert-NoLink $New
    $opened = @{ Stream = $null }
    Invoke-FileChange 'open' $New $opened
    $saved = Save-PartData $opened.Stream $Part
    Assert-DeliveryComplete $saved.Arrived
    $saved.Sha256
}

# ---- prelude: notebook_files -----------------------------------------------------------------------
# List, receive, and send the files of the notebooks: modes list, push, pull.

# No link is followed. Names that begin with a period are left out. What is created gets the access list of its folder,
# so the server may change it.

$UnfinishedFolder = Join-Path $StateFolder 'unfinished' # of files that arrive in several runs
$NewFileName = '\A\.nb[0-9a-f]{8}\z'                     # of a file that is not complete
$PieceSize = 131072                                      # bytes in one event
$MostToRead = 4000000000                                 # bytes of all files of which a list has the hashes
$MostFiles = 10000                                       # files and folders in a list
$LongestPath = 1000                                      # bytes of a path in a list
$MostLevels = 32                                         # folders and file in a path in a list
$ToHash = @{ Left = 2 * $MostToRead }                    # bytes that push may read: each file twice
$StrictUtf8 = New-Object Text.UTF8Encoding $false, $true
$ValidName = '\A(?!\.)[^\\/:*?"<>|\x00-\x1f]+(?<![. ])\z'

function Get-NotebookFolder {
    $folder = Get-NotebookPath
    if (-not (Test-Record 'file' $ConfigurationFile) -or -not [IO.Directory]::Exists($folder)) {
        throw (New-Failure notebooks-not-set-up ('no notebook server that nbserver manages on this host uses the ' +
                'folder {path}. Run nbserver apply, then try again') @{ path = $folder })
    }
    Assert-NoLink $folder
    $folder
}

# Return the file, opened for reading. A notebook that its server has open can be read.
function Open-Notebook([string]$File) {
    Assert-NoLink $File
    $stream = [IO.File]::Open($File, 'Open', 'Read', 'ReadWrite, Delete')
    try { Assert-NoLink $File }
    catch { $stream.Close(); throw }
    $stream
}

# Return the SHA-256 of a file, "-" if there is none, or another word for what was not in the list of the sender. A run
# holds the lock meanwhile, so it reads no more than the files of a list, however long a notebook makes a file.
function Get-NotebookSha256([string]$File) {
    if (Test-Link $File) { return 'link' }
    if ([IO.Directory]::Exists($File)) { return 'folder' }
    if (-not [IO.File]::Exists($File)) { return '-' }
    $stream = Open-Notebook $File
    try {
        $size = $stream.Length
        if ($size -gt $ToHash.Left) { return 'large' }
        $ToHash.Left -= $size
        $sha256 = Get-StartSha256 $stream $size
        if ($stream.Length -eq $size) { $sha256 } else { 'changed' }
    }
    finally { $stream.Close() }
}

$ChangingModes += 'push'

# ---- mode list

$Modes.list = {
    $top = Get-NotebookFolder
    $list = @{ Top = $top; Left = $MostToRead; Count = 0; Pending = New-Object Collections.Generic.Stack[string] }
    $list.Pending.Push('')
    while ($list.Pending.Count) { Write-NotebookList $list }
}

# Report the files in one folder, and add its folders to those that are pending.
function Write-NotebookList($List) {
    $below = $List.Pending.Pop()
    $folder = "$($List.Top)\$($below.Replace('/', '\'))".TrimEnd('\')
    try { $items = @((New-Object IO.DirectoryInfo $folder).GetFileSystemInfos()) }
    catch { Write-FileState unreadable "$(if ($below) { $below } else { '.' })"; return }
    foreach ($item in $items) {
        if ($item.Name.StartsWith('.', [StringComparison]::Ordinal)) { continue }
        $List.Count++
        if ($List.Count -gt $MostFiles) {
            throw (New-Failure notebooks-too-many ('{path} contains more than 10,000 files and folders, the most ' +
                    'that nbserver can copy. Copy them with another program, or move some of them to another ' +
                    'folder') @{ path = $List.Top })
        }
        Write-ListedFile $List $item "$below/$($item.Name)".Trim('/')
    }
}

function Write-ListedFile {
    param($List, $Item, [string]$Path)
    if (-not (Test-ListedPath $Path)) { Write-FileState name (Get-ShortPath $Path); return }
    if ($Item.Attributes -band [IO.FileAttributes]::ReparsePoint) { Write-FileState link $Path; return }
    if ($Item.Attributes -band [IO.FileAttributes]::Directory) { $List.Pending.Push($Path); return }
    try { $stream = Open-Notebook $Item.FullName }
    catch { Write-FileState unreadable $Path; return }
    try {
        $size = $stream.Length
        if ($size -gt $List.Left) { Write-FileState large $Path $size; return }
        $List.Left -= $size
        Write-FileState present $Path $size (Get-StartSha256 $stream $size)
    }
    finally { $stream.Close() }
}

# Return whether a list can have the path.
function Test-ListedPath([string]$Path) {
    try { $length = $StrictUtf8.GetBytes($Path).Length } catch { return $false }
    $length -le $LongestPath -and $Path.Split('/').Length -le $MostLevels
}

# Return the beginning of a path, as valid Unicode.
function Get-ShortPath([string]$Path) {
    $start = $Path
    if ($Path.Length -gt 200) { $start = $Path.Substring(0, 200) + '...' }
    $Utf8.GetString($Utf8.GetBytes($start))
}

# ---- mode pull

$Modes.pull = {
    $top = Get-NotebookFolder
    foreach ($part in $Parts) {
        Assert-PartPath $part
        try { $stream = Open-Notebook "$top\$($part.Path.Replace('/', '\'))" }
        catch { Write-FileState unreadable $part.Path; continue }
        try { Write-Content $part $stream } finally { $stream.Close() }
    }
}

# Report the data of a part, in pieces. A file may have become shorter meanwhile.
function Write-Content($Part, [IO.Stream]$Stream) {
    [void]$Stream.Seek($Part.Offset, 'Begin')
    $offset = $Part.Offset
    $left = $Part.Length
    $buffer = New-Object byte[] $PieceSize
    do {
        $size = $Stream.Read($buffer, 0, [Math]::Min($PieceSize, $left))
        $data = [Convert]::ToBase64String($buffer, 0, $size)
        Write-Event content @{ data = $data; offset = $offset; path = $Part.Path }
        $offset += $size
        $left -= $size
    } while ($size -and $left)
}

# ---- mode push

# A file is written next to the one that it replaces, and takes its place once it is complete and has the right hash. It
# replaces only the file that the sender knows ("Before"), and what it does not know is kept: a conflict. What cannot be
# written or read does not stop the others; a full disk does, and so does a file that another program holds for long.
$Modes.push = {
    $top = Get-NotebookFolder
    $cleaned = @{}
    foreach ($part in $Parts) {
        Assert-PartPath $part
        Start-PartData $part
        try {
            $folder = Add-PartFolder $top $part
            if ($folder) { Receive-Part $folder $part $cleaned } else { Write-Conflict $part }
        }
        catch {
            if ($_.Exception.Data.Contains('code') -or (Test-DiskFull $_.Exception)) { throw }
            Write-FileState unreadable $part.Path $part.Size
        }
        Assert-PartComplete (Copy-PartData)
    }
}

function Assert-PartComplete([bool]$Complete) {
    if (-not $Complete) {
        throw (New-Failure notebooks-data-short ('this host did not receive all of the data that nbserver sent. ' +
                'Check the connection to this host, then run the command again'))
    }
}

function Write-Conflict($Part) { Write-FileState conflict $Part.Path $Part.Size }

# The workstation sends only such paths, and refuses others by name.
function Assert-PartPath($Part) {
    foreach ($name in $Part.Path.Split('/')) {
        if ($name -cmatch $ValidName) { continue }
        throw (New-Failure notebooks-path-invalid ('nbserver sent a path that is not valid: {path}. Update nbserver ' +
                'on the workstation, then run the command again') @{
                path = $Part.Path
            })
    }
}

# Return the folder for the file, which is created; or nothing if a file or a link is in its place.
function Add-PartFolder([string]$Top, $Part) {
    $names = $Part.Path.Split('/')
    $folder = $Top
    for ($i = 0; $i -lt $names.Length - 1; $i++) {
        $next = "$folder\$($names[$i])"
        if ((Test-Link $next) -or [IO.File]::Exists($next)) { return }
        if (-not [IO.Directory]::Exists($next)) {
            $lock = Lock-Folder $folder
            try { [void](New-Item -ItemType Directory -Path $next) } finally { $lock.Close() }
        }
        $folder = $next
    }
    $folder
}

function Receive-Part {
    param([string]$Folder, $Part, [hashtable]$Cleaned)
    $lock = Lock-Folder $Folder
    try {
        $file = "$Folder\$(Split-Path -Leaf $Part.Path.Replace('/', '\'))"
        $new = "$Folder\.nb$($Part.Sha256.Substring(0, 8))"
        $begun = Get-BegunFile $new $Part
        if (-not $Part.Offset) {
            if (-not $Cleaned.ContainsKey($Folder)) { Remove-UnfinishedFile $Folder }
            $Cleaned[$Folder] = $true
            if ((Get-NotebookSha256 $file) -cne $Part.Before) { Write-Conflict $Part; return }
        }
        elseif (-not [IO.File]::Exists($begun)) { Write-FileState incomplete $Part.Path $Part.Size; return }
        $sha256 = Write-Part $begun $Part
        if (-not $sha256) { return }
        if ($begun -ne $new) {
            if ($sha256 -ceq $Part.Sha256) { Copy-File $begun $new }
            Remove-SingleFile $begun
        }
        Complete-File $new $file $Part $sha256
    }
    finally { $lock.Close() }
}

# Return the file that gets the data. Between two runs, a notebook could replace a file in its folder by a hard link to
# a file of Windows: one that arrives in several runs is kept in the state folder until it is complete.
function Get-BegunFile([string]$New, $Part) {
    if (-not $Part.Offset -and $Part.Length -eq $Part.Size) { return $New }
    Add-Folder $UnfinishedFolder $StateAccess
    if (-not $Part.Offset) { Remove-UnfinishedFile $UnfinishedFolder }
    Join-Path $UnfinishedFolder (Split-Path -Leaf $New)
}

# An earlier run may have been interrupted.
function Remove-UnfinishedFile([string]$Folder) {
    foreach ($item in (New-Object IO.DirectoryInfo $Folder).GetFileSystemInfos()) {
        if ($item.Name -cmatch $NewFileName) { Remove-SingleFile $item.FullName }
    }
}

# Append the data to the file that is not complete. Return its SHA-256 if it now is.
function Write-Part([string]$New, $Part) {
    Assert-NoLink $New
    $mode = 'CreateNew'
    if ($Part.Offset) { $mode = 'Open' }
    $saved = Save-PartData ([IO.File]::Open($New, $mode, 'ReadWrite', 'Read')) $Part
    Assert-PartComplete $saved.Arrived
    $saved.Sha256
}

function Complete-File {
    param([string]$New, [string]$File, $Part, [string]$Sha256)
    if ($Sha256 -cne $Part.Sha256) {
        Remove-SingleFile $New
        Write-FileState damaged $Part.Path $Part.Size
    }
    elseif ((Get-NotebookSha256 $File) -cne $Part.Before) {
        Remove-SingleFile $New
        Write-Conflict $Part
    }
    else {
        if ([IO.File]::Exists($File)) { Clear-ReadOnly $File }
        Move-Over $New $File
        $Run.Changed++
        Write-FileState stored $Part.Path $Part.Size $Sha256
    }
}

# ---- prelude: notebook_removal ---------------------------------------------------------------------
# Remove the notebooks before an undo, if all of them are in an archive.

# The envelope has a hash of the paths and contents in the archive, which the workstation has read again. It is compared
# while the server still runs, and again when it has stopped. Nothing is removed if there is any other file, or anything
# that an archive cannot have, such as a link. Only Jupyter's own copies (.ipynb_checkpoints) and files that nbserver
# has not finished need not be in it. No link is followed.

# Return the folders from $Top on, each with its files. A folder comes before the folders in it.
function Get-NotebookContent([string]$Top) {
    $content = New-Object Collections.ArrayList
    $pending = New-Object Collections.Generic.Stack[object]
    $pending.Push(@{ Place = $Top; Path = ''; Own = $false })
    while ($pending.Count) {
        $folder = $pending.Pop()
        $folder.Files = New-Object Collections.ArrayList
        [void]$content.Add($folder)
        foreach ($item in (New-Object IO.DirectoryInfo $folder.Place).GetFileSystemInfos()) {
            $found = Get-NotebookItem $item $folder
            Assert-CanBeArchived $found $Top
            if ($found.IsFolder) { $pending.Push($found); continue }
            [void]$folder.Files.Add($found)
        }
    }
    $content
}

# A file in a folder of Jupyter's own copies is one of them.
function Get-NotebookItem($Item, $Folder) {
    $isFolder = [bool]($Item.Attributes -band [IO.FileAttributes]::Directory)
    $found = @{
        Place = $Item.FullName; Name = $Item.Name; Path = "$($Folder.Path)/$($Item.Name)".Trim('/')
        IsFolder = $isFolder; IsLink = [bool]($Item.Attributes -band [IO.FileAttributes]::ReparsePoint)
        Own = $Folder.Own
        State = $(if (-not $isFolder) { Get-FileState $Item.FullName })
    }
    if ($isFolder -and $Item.Name -ceq '.ipynb_checkpoints') { $found.Own = $true }
    if ($Item.Name -cmatch $NewFileName) { $found.Own = $true }
    $found
}

# Windows PowerShell cannot reliably tell a file that is deduplicated or in the cloud from a link.
function Assert-CanBeArchived($Found, [string]$Top) {
    if ($Found.IsLink) {
        throw (New-Failure notebook-is-reparse-point ('the notebook folder {folder} contains {path}, which cannot be ' +
                'archived: it is a reparse point, such as a link, a deduplicated file, or a file that is stored only ' +
                'in the cloud. Move or remove it, or replace it with an ordinary copy, then try again') @{
                folder = $Top; path = Get-ShortPath $Found.Path
            })
    }
    $isHidden = $Found.Name.StartsWith('.', [StringComparison]::Ordinal)
    if ($Found.Own -or (-not $isHidden -and (Test-ListedPath $Found.Path))) { return }
    throw (New-Failure notebook-not-archived ('the notebook folder {folder} contains {path}, which cannot be ' +
            'archived: it is a link, is hidden, has an invalid name, or is neither a file nor a folder. Move or ' +
            'remove it, then try again') @{ folder = $Top; path = Get-ShortPath $Found.Path })
}

function Get-FileState([string]$File) {
    $about = New-Object IO.FileInfo $File
    if ($about.Exists) { "$($about.Length) $($about.LastWriteTimeUtc.Ticks)" }
}

# Return the line of a file in the text that is hashed.
function Get-ContentLine($File) {
    $stream = Open-Notebook $File.Place
    try { "$(Get-StartSha256 $stream $stream.Length) $($stream.Length) $($File.Path)`0" } finally { $stream.Close() }
}

# Return the hash of what an archive has, sorted by the bytes of the path: by their hex digits, and not by the rules of
# a language, as Sort-Object does. In Danish, AA comes after Z.
function Get-ContentSha256($Content) {
    $files = @($Content | ForEach-Object { $_.Files } | Where-Object { -not $_.Own })
    $byKey = @{}
    foreach ($file in $files) { $byKey[[BitConverter]::ToString($Utf8.GetBytes($file.Path))] = $file }
    $keys = [string[]]@($byKey.Keys)
    [Array]::Sort($keys, [StringComparer]::Ordinal)
    $lines = @($keys | ForEach-Object { Get-ContentLine $byKey[$_] })
    Get-Sha256 ($Utf8.GetBytes(-join $lines))
}

# Return what is in the folder of the notebooks. It must be what is in the archive.
function Get-ArchivedContent([string]$Top) {
    $content = @(Get-NotebookContent $Top)
    if ((Get-ContentSha256 $content) -cne $Run.Archived) {
        throw (New-Failure notebooks-not-as-archived ('the files in {folder} do not match the archive, so none of ' +
                'them was removed. Run the command again to create a new archive') @{ folder = $Top })
    }
    $content
}

# A folder is locked while its files are removed, so that nobody can replace it.
function Remove-NotebookContent($Content, [string]$Top) {
    foreach ($folder in $Content) {
        $lock = Lock-Folder $folder.Place
        try { foreach ($file in $folder.Files) { Remove-ArchivedFile $file $Top } } finally { $lock.Close() }
    }
    for ($i = $Content.Count - 1; $i -gt 0; $i--) {
        Assert-NoLink $Content[$i].Place
        Invoke-FileChange 'remove-folder' $Content[$i].Place
    }
}

function Remove-ArchivedFile($File, [string]$Top) {
    if ((Test-Link $File.Place) -or (Get-FileState $File.Place) -cne $File.State) {
        throw (New-Failure notebook-changed-meanwhile ('{path} was changed while the notebooks in {folder} were ' +
                'being removed, so it was kept. Keep the archive that nbserver has written: it contains the files ' +
                'that were already removed. Stop the program that changes {path}, then run the command again') @{
                path = $File.Path; folder = $Top
            })
    }
    Remove-SingleFile $File.Place
}

function Compare-WithArchive {
    if (-not $Run.Archived) { return }
    $Run.Step = 'notebook'
    [void](Get-ArchivedContent (Get-NotebookFolder))
}

function Remove-Notebook {
    if (-not $Run.Archived) { return }
    $Run.Step = 'notebook'
    $top = Get-NotebookFolder
    Write-StepProgress removing-notebooks 'Removing the notebooks in {path}' @{ path = $top }
    Remove-NotebookContent @(Get-ArchivedContent $top) $top
    Write-Notice log notebooks-removed 'the notebooks in {path} were removed; all of them are in the archive' @{
        path = $top
    }
}

# Between both, the server stops.
$Hooks.BeforeUndo = @({ Compare-WithArchive }) + $Hooks.BeforeUndo + @({ Remove-Notebook })

# ---- prelude: backup -------------------------------------------------------------------------------
# Send what a backup contains except notebooks: modes backup and backup-key.

# The configuration (with the hash of the password), the certificate, and the record. The private key is not sent.
# Mode backup-key sends it, too, unless Windows would log it.
$Modes.backup = { Send-Backup }
$Modes['backup-key'] = {
    Assert-OutputNotLogged
    Send-Backup
    Send-BackupFile 'configuration/key.pem' $KeyFile
}

# With these policies, what a session outputs is in its transcript, and what the bootstraps output is in the event log.
# Both may go to a server of the site. Source: about_Group_Policy_Settings on learn.microsoft.com.
$LoggingPolicies = foreach ($hive in 'HKLM:', 'HKCU:') {
    foreach ($product in 'Windows\PowerShell', 'PowerShellCore') {
        "$hive\SOFTWARE\Policies\Microsoft\$product\Transcription|EnableTranscripting"
        "$hive\SOFTWARE\Policies\Microsoft\$product\ModuleLogging|EnableModuleLogging"
    }
}

function Assert-OutputNotLogged {
    foreach ($policy in $LoggingPolicies) {
        $key, $name = $policy -split '\|', 2
        $found = Get-RegistryValue $key $name
        if (-not $found -or [string]$found.value -eq '0') { continue }
        throw (New-Failure output-logged ('a group policy logs what PowerShell outputs on this host ({key}\{name}), ' +
                'so the private key would be in a log. Run nbserver backup without --with-key, or ask the ' +
                'administrator who manages this policy to exempt this host while its key is backed up') @{
                key = $key; name = $name
            })
    }
}

function Send-Backup {
    [void](Get-NotebookFolder)
    Send-BackupFile 'configuration/jupyter_server_config.json' $ConfigurationFile
    Send-BackupFile 'configuration/certificate.pem' $CertificateFile
    Send-BackupFile 'record.jsonl' $RecordFile
}

function Send-BackupFile([string]$Name, [string]$File) {
    if (-not [IO.File]::Exists($File)) { return }
    $stream = Open-Notebook $File
    try { Write-Content @{ Path = $Name; Offset = 0; Length = $stream.Length } $stream } finally { $stream.Close() }
}

# ---- prelude: server_log ---------------------------------------------------------------------------
# Send the log of the notebook server: mode logs.

# A line of the envelope says how many lines, since when, and after which place in the log (the cursor). If it also says
# how long to wait for more, that is 60 seconds at most, and the sender asks again: when a connection is lost, nothing
# continues to run here. What could be a login token, a password, or a hash of one is masked.

$LongestLog = 4000000                                    # bytes that are read at once
$BeginningOfLog = 40                                     # bytes with the time of the first line
$LogSent = New-Object IO.MemoryStream

$Modes.logs = {
    Assert-Installed
    $Run.Step = ''
    $watch = [Diagnostics.Stopwatch]::StartNew()
    while ($true) {
        Send-LogLine @(Read-NewLogLine)
        if ($watch.Elapsed.TotalSeconds -ge $Run.Log.Seconds) { break }
        [Threading.Thread]::Sleep(1000)
    }
    if ($Run.Log.Cursor -ne '-') {
        $bytes = $Utf8.GetBytes($Run.Log.Cursor)
        $stream = New-Object IO.MemoryStream
        $stream.Write($bytes, 0, $bytes.Length)
        Write-Content @{ Path = 'cursor'; Offset = 0; Length = $bytes.Length } $stream
    }
}

function Send-LogLine([string[]]$Lines) {
    if (-not $Lines.Count) { return }
    $masked = foreach ($line in $Lines) { Hide-LogSecret $line }
    $bytes = $Utf8.GetBytes((@($masked) -join "`n") + "`n")
    $start = $LogSent.Length
    [void]$LogSent.Seek($start, 'Begin')
    $LogSent.Write($bytes, 0, $bytes.Length)
    Write-Content @{ Path = 'log'; Offset = $start; Length = $bytes.Length } $LogSent
}

# Return the complete lines after the cursor, or the last ones, and move the cursor. The cursor names the beginning of
# the file, which has the time of its first line: the server starts a new file whenever it starts.
function Read-NewLogLine {
    if (-not [IO.File]::Exists($ServerLog)) { return }
    $stream = Open-Notebook $ServerLog
    try {
        $size = $stream.Length
        if ($size -lt $BeginningOfLog) { return }
        [void]$stream.Seek(0, 'Begin')
        $name = Get-StartSha256 $stream $BeginningOfLog
        $is = $Run.Log.Cursor
        $start = [long]0
        if ($is -cmatch "\A${name}:([0-9]{1,15})\z" -and [long]$Matches[1] -le $size) { $start = [long]$Matches[1] }
        if ($size - $start -gt $LongestLog) { $start = $size - $LongestLog }
        $bytes = Read-LogPart $stream $start ($size - $start)
    }
    finally { $stream.Close() }
    $end = $bytes.Length
    while ($end -and $bytes[$end - 1] -ne 10) { $end-- }
    $Run.Log.Cursor = "${name}:$($start + $end)"
    if (-not $end) { return }
    $lines = @($Utf8.GetString($bytes, 0, $end - 1) -replace '\r\z', '' -split "\r?\n")
    if ($is -ne '-') { $lines } else { Select-LogLine $lines | Select-Object -Last $Run.Log.Lines }
}

# The server may write while this reads; what is behind $Count is read next time.
function Read-LogPart {
    param([IO.Stream]$Stream, [long]$Start, [int]$Count)
    [void]$Stream.Seek($Start, 'Begin')
    $bytes = New-Object byte[] $Count
    $have = 0
    do {
        $size = $Stream.Read($bytes, $have, $Count - $have)
        $have += $size
    } while ($size)
    , $bytes
}

# Return the lines that the server wrote since the time of the envelope. The server writes the local time.
function Select-LogLine([string[]]$Lines) {
    if ($Run.Log.Since -eq '-') { return $Lines }
    $since = ConvertFrom-UtcTime $Run.Log.Since
    $shown = $false
    foreach ($line in $Lines) {
        if ($line -cmatch '\A\[[A-Z] ([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})') {
            $time = [DateTime]::ParseExact($Matches[1], 'yyyy-MM-dd HH:mm:ss',
                [Globalization.CultureInfo]::InvariantCulture, 'AssumeLocal, AdjustToUniversal')
            $shown = $time -ge $since
        }
        if ($shown) { $line }
    }
}

# Return a line of at most 4,000 characters, without secrets.
function Hide-LogSecret([string]$Line) {
    $text = $Line
    if ($text.Length -gt 4000) { $text = $text.Substring(0, 4000) + ' ...' }
    $text = $text -creplace '([?&;](?:token|password|code|_xsrf)=)[^\[\]&;\s"]+', '$1***'
    $text = $text -creplace '([Aa]uthorization[^A-Za-z]+(?:[Tt]oken|[Bb]earer|[Bb]asic) +)[^\s"]+', '$1***'
    $text -creplace '\b(argon2|sha1|sha256):[A-Za-z0-9$:+/=,-]{8,}', '$1:***'
}

# ---- prelude: evidence -----------------------------------------------------------------------------
# Report each run whose events this host has kept, and the hashes: mode evidence.

# Nothing is changed, and nothing is left on this host. The workstation compares the hashes with its run directories.
$Modes.evidence = {
    $runs = Join-Path $StateFolder 'runs'
    if (-not (Test-Path -LiteralPath $runs)) { return }
    foreach ($folder in [IO.Directory]::GetDirectories($runs) | Sort-Object) {
        $file = Join-Path $folder 'events.jsonl'
        if (-not [IO.File]::Exists($file)) { continue }
        $kept = Get-KeptRun $file
        $script = 'missing'
        if ($kept) { $script = Get-KeptScriptState $runs $kept.script_sha256 }
        $stream = [IO.File]::Open($file, 'Open', 'Read', 'ReadWrite')
        try { $size = $stream.Length; $sha256 = Get-StartSha256 $stream $size } finally { $stream.Close() }
        $name = Split-Path -Leaf $folder
        Write-Event kept @{ id = $name; run = $kept; script = $script; sha256 = $sha256; size = $size }
    }
}

# Return whether the script with this hash is in the folder of a run: kept, changed, or missing.
function Get-KeptScriptState([string]$Runs, [string]$Sha256) {
    $state = 'missing'
    foreach ($folder in [IO.Directory]::GetDirectories($Runs)) {
        $file = Join-Path $folder "$Sha256.ps1"
        if (-not [IO.File]::Exists($file)) { continue }
        $state = 'kept'
        if ((Get-FileSha256 $file) -cne $Sha256) { $state = 'changed' }
    }
    $state
}

# ---- step: preflight -------------------------------------------------------------------------------
# Refuse a host on which the notebook server cannot work, before anything is changed.

Add-Step preflight 'This host can run the notebook server' -Test {
    Assert-Requirement process { Assert-SixtyFourBit }
    Assert-Requirement architecture { Assert-Architecture }
    Assert-Requirement rights { Assert-Administrator }
    Assert-Requirement execution_policy { Assert-ExecutionPolicy }
    Assert-Requirement windows_version { Assert-WindowsVersion }
    Assert-Requirement universal_runtime { Assert-UniversalRuntime }
    Assert-Requirement notebook_folder { Assert-DataFolder (Expand-Path $Settings.notebook.directory) }
    Assert-Requirement clock { Assert-Clock }
    Assert-Requirement disk_space { Assert-FreeSpace }
    Assert-Requirement shell_memory { Assert-ShellMemory }
    Assert-Requirement restart { Find-PendingReboot }
    Assert-Requirement smart_app_control { Write-SmartAppControl }
    Assert-Requirement other_configuration { Write-ForeignConfiguration }
} -Apply {
    throw (New-Failure nothing-to-apply ('internal error (a bug in nbserver): the step {step} has nothing to change. ' +
            'Report this bug, and include this message') @{ step = 'preflight' })
}

# Without these rights, the state folder cannot be read either. Mode check reports all findings.
Add-Hook BeforeRun { if ($Run.Mode -ne 'check') { Assert-Administrator } }

function Assert-Administrator {
    Set-Found is-administrator 'this account has administrator rights'
    $user = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
    if (-not $user.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw (New-Failure not-administrator ('this account does not have administrator rights. Connect as an ' +
                'administrator; for a local account other than the built-in Administrator, set ' +
                'LocalAccountTokenFilterPolicy to 1 on the host'))
    }
}

$ShellPolicy = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\WinRM\Service\WinRS'

# Return whether the quotas of WinRM can count for this process. What runs at the console, over SSH, or as SYSTEM, such
# as a startup script of a group policy, is in no shell of WinRM.
function Test-RemoteShell {
    -not ($IsFile -and ($env:SSH_CONNECTION -or [Environment]::UserInteractive -or $UserSid -eq 'S-1-5-18'))
}

# With less than 1024 MB, Windows stops this session in the middle of the installation. There are two quotas: of command
# shells, and of the endpoint of PowerShell. A quota of 0 is unlimited.
function Assert-ShellMemory {
    if (-not (Test-RemoteShell)) { return }
    $quota = Get-ShellMemory
    if ($quota -and $quota -lt 1024) {
        $failure = New-ShellMemoryFailure $quota
        throw $failure
    }
    if ($quota) { Set-Found shell-memory 'remote shells have a memory quota of {quota} MB' @{ quota = $quota } }
    $quota = Get-EndpointMemory
    if ($quota -and $quota -lt 1024) {
        throw (New-Failure endpoint-memory-low ('the Microsoft.PowerShell endpoint has a memory quota of {quota} MB, ' +
                'but at least 1024 MB is required. Run on the host: Set-Item ' +
                'WSMan:\localhost\Plugin\Microsoft.PowerShell\Quotas\MaxMemoryPerShellMB 2048; Restart-Service ' +
                'WinRM') @{ quota = $quota })
    }
}

# A quota that a group policy sets cannot be changed on the host. Source: "Policy CSP - RemoteShell" on
# learn.microsoft.com.
function New-ShellMemoryFailure([int]$Quota) {
    if (Get-RegistryValue $ShellPolicy MaxMemoryPerShellMB) {
        return New-Failure shell-memory-policy ('a group policy sets a memory quota of {quota} MB for remote shells, ' +
            'but at least 1024 MB is required. Ask the administrator who manages this policy to raise "Specify ' +
            'maximum amount of memory in MB per Shell" (Windows Remote Shell) to 2048, or set transport = "ssh" in ' +
            'the inventory') @{ quota = $Quota }
    }
    New-Failure shell-memory-low ('remote shells have a memory quota of {quota} MB, but at least 1024 MB is ' +
        'required. Run on the host: Set-Item WSMan:\localhost\Shell\MaxMemoryPerShellMB 2048; Restart-Service ' +
        'WinRM') @{
        quota = $Quota
    }
}

# Return the quota in MB, or nothing if it cannot be read: in a run by hand, WinRM need not run.
function Get-ShellMemory {
    try { [int](Get-WSManInstance -ResourceURI winrm/config/winrs).MaxMemoryPerShellMB } catch { return }
}

function Get-EndpointMemory {
    $endpoint = @{ Name = 'Microsoft.PowerShell' }
    try { [int](Get-WSManInstance -ResourceURI winrm/config/plugin -SelectorSet $endpoint).Quotas.MaxMemoryPerShellMB }
    catch { return }
}

# Changes wait until Windows has restarted. Source of the keys: DSC_PendingReboot in ComputerManagementDsc.
function Find-PendingReboot {
    Set-Found no-restart-pending 'no restart of Windows is pending'
    $keys = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending',
    'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired'
    foreach ($key in $keys) {
        if ($Run.Reboot -or -not (Test-Path -LiteralPath $key)) { continue }
        $Run.Reboot = $true
        $Run.Pending = " ($key)"
        Write-Notice warning reboot-pending ('a restart of Windows is pending (registry key {key}), and ' +
            'nbserver cannot change this host until Windows has restarted. ' +
            'Restart Windows, or set reboot = "if-needed" in the inventory to let nbserver restart it') @{
            key = $key
        }
    }
}

# ---- step: tls -------------------------------------------------------------------------------------
# Let the downloads of this process use TLS 1.2; nothing on the host is changed.

Add-Step tls 'Downloads use TLS 1.2 or newer' -Test { Enable-Tls12 } -Apply {
    throw (New-Failure nothing-to-apply ('internal error (a bug in nbserver): the step {step} has nothing to change. ' +
            'Report this bug, and include this message') @{ step = 'tls' })
}

# ---- step: ie_esc ----------------------------------------------------------------------------------
# Turn off IE Enhanced Security Configuration for administrators while other steps run.

# The value is the one that the switch in Server Manager sets. Only an existing value is changed: Server Core, Windows
# 10, and Windows 11 do not have it. A startup task restores it if this run is cut off.
# Source: DSC_IEEnhancedSecurityConfiguration in ComputerManagementDsc.

$IeEscForAdministrators = 'HKLM:\SOFTWARE\Microsoft\Active Setup\Installed Components\' +
'{A509B1A7-37EF-4b3f-8CFC-4F3A74704073}'

$RegistryValues += "$IeEscForAdministrators|IsInstalled"

Add-Step ie_esc 'IE Enhanced Security Configuration is off for administrators while other steps run' -Bracket -Test {
    if (Get-RegistryValue $IeEscForAdministrators IsInstalled) {
        Compare-RegistryValue $IeEscForAdministrators IsInstalled 0
    }
} -Apply {
    Add-ClosingTask $IeEscForAdministrators IsInstalled
    Set-RegistryValue $IeEscForAdministrators IsInstalled 0 DWord
}

# ---- step: python ----------------------------------------------------------------------------------
# Install Python from the publisher, or use one that is installed.

# The settings say how: "zip" is the publisher's zip, unpacked into a separate folder without an installer; "exe" is the
# publisher's installer, for the whole machine.
# The installer would move or update a Python of the same branch. So that one is used if it has the wanted version and
# only administrators can change it, because it runs with their rights; otherwise the host is refused.

# Return the branch of Python as its installer registers it, such as 3.13. Source for arm64: PyArchExt in CPython's
# PCbuild/python.props.
function Get-PythonTag {
    $tag = @($Settings.python.version -split '\.')[0..1] -join '.'
    if ($Settings.architecture -eq 'arm64') { "$tag-arm64" } else { $tag }
}

# Return the Python of this branch that is registered for the machine, or for this account alone (HKCU:), or nothing.
# Source: PEP 514.
function Get-RegisteredPython([string]$For = 'HKLM:') {
    $branch = "$For\SOFTWARE\Python\PythonCore\$(Get-PythonTag)"
    $folder = Get-RegistryValue "$branch\InstallPath" ''
    $version = Get-RegistryValue $branch 'Version'
    if ($folder -and $version) { @{ Folder = ([string]$folder.value).TrimEnd('\'); Version = [string]$version.value } }
}

function Get-PythonFolder {
    if ($Settings.python.kind -eq 'exe') {
        $registered = Get-RegisteredPython
        if ($registered -and $registered.Version -eq $Settings.python.version) { return $registered.Folder }
    }
    Join-Path $Programs "python-$($Settings.python.version)"
}

function Get-Python { Join-Path (Get-PythonFolder) $Settings.python.executable[0] }

# Return the mark of a complete environment (step packages).
function Get-LockMarkText { "$($Settings.packages.lock_sha256)`n" }

# ---- refusals

# The installer would change a registered Python, and undo would remove it. Neither is done to one that this script did
# not install.
function Assert-RegisteredPython($Registered) {
    $values = @{ is = $Registered.Version; folder = $Registered.Folder }
    if ($Registered.Version -ne $Settings.python.version) {
        $values.version = $Settings.python.version
        Assert-ForeignPython $values
        throw (New-Failure python-would-be-moved ('Python {is} is installed in {folder}, and the Python {version} ' +
                'installer would move it. Set python.version = "{is}" in the inventory, or set python.kind = "zip" ' +
                'to install a separate Python') $values)
    }
    if (Test-Below $Registered.Folder $Programs) { return }
    Assert-RegisteredProgram $values
    $fault = Get-ProgramFault $Registered.Folder
    if ($fault) {
        throw (New-Failure python-unsafe ('Python {is} in {folder} would run with administrator rights, but other ' +
                'accounts can change it: {cause}. Allow only SYSTEM and administrators to write to this folder, or ' +
                'set python.kind = "zip" in the inventory to install a separate Python') $values -Cause $fault)
    }
}

# The server runs from it, and so does the environment that a rollback needs.
function Assert-ForeignPython([hashtable]$Values) {
    if (-not (Test-Below $Values.folder $Programs)) { return }
    throw (New-Failure own-python-would-be-moved ('nbserver installed Python {is} in {folder} with the publisher''s ' +
            'installer, and the Python {version} installer would move it while the server uses it. Run nbserver ' +
            'catalog update, which writes the zip of the newest patch into a site catalog: a zip is unpacked next ' +
            'to it') $Values)
}

function Assert-RegisteredProgram([hashtable]$Values) {
    $program = $Settings.python.executable[0]
    if (Test-Path -LiteralPath (Join-Path $Values.folder $program)) { return }
    throw (New-Failure python-incomplete ('Python {is} is registered as installed in {folder}, but {program} is ' +
            'missing from this folder. Repair or uninstall it in Settings > Apps, or set python.kind = "zip" in the ' +
            'inventory to install a separate Python') @{ is = $Values.is; folder = $Values.folder; program = $program })
}

# The installer takes a Python that this account has installed for itself as one to upgrade, and undo could not restore
# it. After an installation for the machine, the installer is registered in the same place, but its Python is not.
function Assert-NoOwnPython {
    $own = Get-RegisteredPython 'HKCU:'
    if (-not $own -or -not (Test-OwnBundle "CPython-$(Get-PythonTag)")) { return }
    throw (New-Failure python-of-account ('Python {is} is installed in {folder} for this account only, and the ' +
            'Python {version} installer would replace it. Connect with another account, or set python.kind = "zip" ' +
            'in the inventory to install a separate Python') @{
            is = $own.Version; folder = $own.Folder; version = $Settings.python.version
        })
}

function Install-PythonBundle([string]$Folder) {
    # Undo removes the folder with all that is in it.
    if (-not (Test-Path -LiteralPath $Folder)) { Save-Before 'folder' $Folder $null -Replace }
    $arguments = '/quiet', '/norestart', '/log', (Get-InstallerLog 'python'), 'InstallAllUsers=1', "TargetDir=$Folder",
    'PrependPath=0', 'AssociateFiles=0', 'Shortcuts=0', 'Include_launcher=0', 'Include_doc=0', 'Include_test=0'
    Install-Bundle (Get-CachedFile $Settings.python) $arguments
}

# A registered Python that this script did not install is not compared: its owner updates it.
function Test-OwnPython { Test-Below (Get-PythonFolder) $Programs }

# Return the lines of the record about installers of Python, each with the folder of its Python: that of the last line
# about a folder before it. An earlier release could move the line of the present installer.
function Get-PythonBundle {
    $present = Get-CachedFile $Settings.python
    $folder = ''
    foreach ($line in Read-Record) {
        if ($line.step -ne 'python') { continue }
        if (Test-InstalledFolder $line) { $folder = $line.key }
        if ($line.kind -ne 'bundle') { continue }
        @{ Line = $line; Folder = $(if ($line.key -eq $present) { Get-PythonFolder } else { $folder }) }
    }
}

# A Python of another version stays, and so does the server, unless its environment needs this Python or does not say
# which one it needs.
function Stop-PythonUser([string]$Folder) {
    $base = Get-BaseFolder (Get-ServerEnvironment)
    if ($base -and $base -ne $Folder) { Stop-ProcessBelow $Folder } else { Stop-ServerEarly }
}

# As Move-Aside, for a folder that is uninstalled in its place. A copy that is not complete has another name.
function Copy-Aside([string]$Folder) {
    Save-Before 'folder' "$Folder.replaced" $null
    foreach ($path in "$Folder.copy", "$Folder.replaced") { if (Test-Path -LiteralPath $path) { Remove-Folder $path } }
    foreach ($file in @(Get-InstalledFile $Folder)) {
        $copy = "$Folder.copy" + $file.FullName.Substring($Folder.Length)
        $parent = Split-Path -Parent $copy
        if (-not (Test-Path -LiteralPath $parent)) { [void](New-Item -ItemType Directory -Force -Path $parent) }
        [IO.File]::Copy($file.FullName, $copy)
    }
    Invoke-FileChange 'move-folder' "$Folder.copy" "$Folder.replaced"
}

function Install-Python {
    Save-Program python
    $folder = Get-PythonFolder
    Write-StepProgress installing-python 'Installing Python {version}' @{ version = $Settings.python.version }
    $isZip = $Settings.python.kind -eq 'zip'
    if ($isZip) { Expand-Download $Settings.python $folder }
    $replaces = (Test-Path -LiteralPath $folder) -and ($isZip -or (Test-Difference $DamageCodes))
    $bundles = @(Get-PythonBundle | Where-Object { $_.Folder -eq $folder })
    if ($replaces) {
        Stop-PythonUser $folder
        if ($bundles.Count) { Copy-Aside $folder } else { Move-Aside $folder }
    }
    try {
        if ($replaces -and $bundles.Count) { Uninstall-Python $folder $bundles }
        if ($isZip) { Complete-Download $folder } else { Install-PythonBundle $folder }
    }
    catch {
        if ($replaces) { Restore-Aside $folder }
        throw
    }
}

# The installer would not replace files of the same version. It uninstalls a Python only if python.exe is in its place.
function Uninstall-Python([string]$Folder, $Bundles) {
    foreach ($bundle in $Bundles) { Undo-Line $bundle.Line }
    Remove-Folder $Folder
}

Add-Step python 'Python is installed' -Test {
    if ($Settings.python.kind -eq 'exe') {
        $registered = Get-RegisteredPython
        if ($registered) { Assert-RegisteredPython $registered } else { Assert-NoOwnPython }
    }
    if (-not (Test-Path -LiteralPath (Get-Python))) { Add-Difference python 'Python' $null (Get-Python) }
    elseif (Test-CutOff (Get-CachedFile $Settings.python)) {
        Add-Difference python 'Python' 'partly installed' (Get-Python)
    }
    elseif (Test-OwnPython) {
        Compare-InstalledFile "python-$($Settings.python.version)" (Get-PythonFolder) $Settings.python.sha256
    }
} -Apply {
    Add-Folder $Programs
    if (-not (Test-OnlyUnlisted)) { Install-Python }
    Write-FileList "python-$($Settings.python.version)" (Get-PythonFolder) $Settings.python.sha256
}

# ---- step: vc_redist -------------------------------------------------------------------------------
# Install the Visual C++ runtime, if the catalog says that OpenSSL needs it.

# A newer runtime is sufficient. The installed version is read first, because an older installer does nothing, and does
# not report that. Source: "Redistributing Visual C++ files" on learn.microsoft.com.

$VcRuntimeFile = Join-Path ([Environment]::SystemDirectory) 'vcruntime140.dll'

# Return the installed version, or nothing. Installers register it in one view of the registry or the other, or not at
# all, so the highest one counts: of both views, and of the DLL.
function Get-VcRuntimeVersion {
    $found = @(foreach ($view in 'HKLM:\SOFTWARE', 'HKLM:\SOFTWARE\Wow6432Node') {
            Get-RegisteredRuntime "$view\Microsoft\VisualStudio\14.0\VC\Runtimes\$($Settings.architecture)"
        })
    if (Test-Path -LiteralPath $VcRuntimeFile) { $found += [version](Get-FileVersion $VcRuntimeFile) }
    $found | Where-Object { $_.Major } | Sort-Object -Descending | Select-Object -First 1
}

# A key with Installed = 0, or without it, is from a runtime that was removed.
function Get-RegisteredRuntime([string]$Key) {
    $installed = Get-RegistryValue $Key 'Installed'
    if (-not $installed -or [string]$installed.value -ne '1') { return }
    $values = @('Major', 'Minor', 'Bld' | ForEach-Object { Get-RegistryValue $Key $_ })
    if ($values.Count -eq 3) { [version](@($values | ForEach-Object { [string]$_.value }) -join '.') }
}

# Return whether openssl.exe runs: then the runtime is sufficient, whatever its version. Without the DLL, Windows would
# show a message box on the host.
function Test-OpenSslStart {
    if (-not (Test-Path -LiteralPath $VcRuntimeFile) -or -not (Test-Path -LiteralPath (Get-OpenSsl))) { return $false }
    try { Invoke-OpenSsl @('version') -Quiet } catch { return $false }
    $true
}

# The runtime of this host when its installer has succeeded in this run. If it is still unknown, openssl.exe, which is
# installed later, shows whether it is sufficient.
$VcRuntime = @{ Installed = $false }

function Test-VcRuntime([version]$Should) {
    $is = Get-VcRuntimeVersion
    ($is -and $is -ge $Should) -or $VcRuntime.Installed -or (Test-OpenSslStart)
}

Add-Step vc_redist 'The Visual C++ runtime that OpenSSL requires is installed' -Test {
    if (-not $Settings.vc_redist) { return }
    $should = [version]($Settings.vc_redist.version -replace '^(\d+\.\d+\.\d+).*$', '$1')
    if (-not (Test-VcRuntime $should)) {
        Add-Difference vc-runtime 'Visual C++ runtime' ([string](Get-VcRuntimeVersion)) ([string]$should)
    }
    elseif (Test-CutOff (Get-CachedFile $Settings.vc_redist)) {
        Add-Difference vc-runtime 'Visual C++ runtime' 'partly installed' ([string]$should)
    }
} -Apply {
    Save-Program vc_redist
    $file = Get-CachedFile $Settings.vc_redist
    $arguments = '/install', '/quiet', '/norestart', '/log', (Get-InstallerLog 'vc_redist')
    Write-StepProgress installing-vc-runtime 'Installing the Visual C++ runtime'
    Install-Bundle $file $arguments ([string](Get-VcRuntimeVersion))
    $VcRuntime.Installed = $true
}

# ---- step: openssl ---------------------------------------------------------------------------------
# Install OpenSSL in a separate folder, or as the publisher's package.

# The catalog says what the download is: "zip" is unpacked into a separate folder; "exe" is an installer of Inno Setup,
# which gets such a folder; "msi" is a package that chooses its folder, so the catalog lists where openssl.exe may be.
# Another version that this script installed is removed first; an OpenSSL of another origin is never replaced.

function Get-OpenSslFolder { Join-Path $Programs "openssl-$($Settings.openssl.version)" }

# Return the version in the file of a program, as three numbers; 0.0.0 if it has none.
function Get-FileVersion([string]$Path) {
    $file = [Diagnostics.FileVersionInfo]::GetVersionInfo($Path)
    "$($file.FileMajorPart).$($file.FileMinorPart).$($file.FileBuildPart)"
}

# Return the version without a suffix, such as the a in 3.5.7a.
function Get-WantedOpenSslVersion { $Settings.openssl.version -replace '^(\d+\.\d+\.\d+).*$', '$1' }

# Return the path of openssl.exe: of the places in the catalog, the first one with the wanted version; if there is none,
# the first one that exists; if there is none, the first one.
function Get-OpenSsl {
    $places = @($Settings.openssl.executable | ForEach-Object {
            if ($Settings.openssl.kind -eq 'msi') { Expand-Path $_ } else { Join-Path (Get-OpenSslFolder) $_ }
        })
    $existing = @($places | Where-Object { Test-Path -LiteralPath $_ })
    foreach ($place in $existing) { if ((Get-FileVersion $place) -eq (Get-WantedOpenSslVersion)) { return $place } }
    @($existing + $places)[0]
}

# Return the lines of the record about packages that this script installed.
function Get-RecordedMsi { Read-Record | Where-Object { $_.kind -eq 'msi' -and $_.step -eq 'openssl' } }

# An OpenSSL that nbserver did not install creates the key only with adopt = true. Undo could not restore its package.
function Assert-ForeignOpenSsl([string]$Path) {
    $is = Get-FileVersion $Path
    if ($is -ne (Get-WantedOpenSslVersion)) {
        throw (New-Failure openssl-would-be-replaced ('OpenSSL {is} ({path}) was not installed by nbserver, and the ' +
                'MSI package for {version} would replace it permanently. Either uninstall OpenSSL {is}, or set ' +
                'openssl.version = "{is}" and adopt = true in the inventory, or use openssl.kind = "zip" with a site ' +
                'catalog') @{
                is = $is; path = $Path; version = $Settings.openssl.version
            })
    }
    if (-not $Settings.adopt) {
        throw (New-Failure openssl-not-adopted ('OpenSSL {is} ({path}) was not installed by nbserver. Set adopt = ' +
                'true in the inventory to use it, or uninstall it') @{ is = $is; path = $Path })
    }
}

function Compare-OpenSslPackage([string]$Path, [string]$Package) {
    if (-not @(Get-RecordedMsi).Count) {
        Assert-ForeignOpenSsl $Path
        return
    }
    $is = Get-FileVersion $Path
    if ($is -ne (Get-WantedOpenSslVersion)) {
        Add-Difference openssl 'OpenSSL' $is $Settings.openssl.version
    }
    elseif (-not (Test-Record 'msi' $Package)) {
        Add-Difference openssl-package 'OpenSSL package' 'a different package' (Split-Path -Leaf $Package)
    }
}

# Whether a package replaces another version is its publisher's choice, so the installed one is removed first. The
# server that runs does not need it. If the new package cannot be installed, the previous one is installed again.
function Install-OpenSslPackage([string]$Package) {
    $previous = @()
    foreach ($line in @(Get-RecordedMsi)) {
        if ($line.key -eq $Package -and (Test-CutOff $Package)) { continue }
        Undo-Line $line
        if ($line.key -ne $Package -and (Test-Path -LiteralPath $line.key)) { $previous += $line.key }
    }
    try { Install-Msi $Package }
    catch {
        $failure = $_
        foreach ($file in $previous) {
            try { Install-Msi $file } catch { Write-Event log @{ text = "$_" } }
        }
        throw $failure
    }
}

# Return the folder whose files are compared: that of nbserver, or that of openssl.exe and its DLLs.
function Get-OpenSslContent {
    if ($Settings.openssl.kind -eq 'msi') { Split-Path -Parent (Get-OpenSsl) } else { Get-OpenSslFolder }
}

# An OpenSSL that nbserver did not install is not compared.
function Compare-OpenSslFile {
    if ($Settings.openssl.kind -eq 'msi' -and -not @(Get-RecordedMsi).Count) { return }
    if ($Run.Differences.Count) { return }
    Compare-InstalledFile "openssl-$($Settings.openssl.version)" (Get-OpenSslContent) $Settings.openssl.sha256
}

function Remove-DamagedOpenSsl {
    $folder = Get-OpenSslFolder
    foreach ($line in @(Read-Record | Where-Object { $_.kind -eq 'inno' -and $_.key -eq $folder })) { Undo-Line $line }
    Remove-Folder $folder
}

# What an installer has put there is uninstalled.
function Expand-OpenSsl([string]$Folder) {
    Expand-Download $Settings.openssl $Folder
    if (Test-Record 'inno' $Folder) { Remove-DamagedOpenSsl }
    $replaces = Test-Path -LiteralPath $Folder
    if ($replaces) { Move-Aside $Folder }
    try { Complete-Download $Folder }
    catch {
        if ($replaces) { Restore-Aside $Folder }
        throw
    }
}

function Install-OpenSsl {
    Save-Program openssl
    $file = Get-CachedFile $Settings.openssl
    Write-StepProgress installing-openssl 'Installing OpenSSL {version}' @{ version = $Settings.openssl.version }
    switch ($Settings.openssl.kind) {
        'zip' { Expand-OpenSsl (Get-OpenSslFolder) }
        'exe' {
            if (Test-Difference $DamageCodes) { Remove-DamagedOpenSsl }
            Install-Inno $file (Get-OpenSslFolder)
        }
        'msi' { Install-OpenSslPackage $file }
    }
}

Add-Step openssl 'OpenSSL is installed' -Test {
    $openssl = Get-OpenSsl
    $file = Get-CachedFile $Settings.openssl
    if (-not (Test-Path -LiteralPath $openssl)) { Add-Difference openssl 'OpenSSL' $null $openssl }
    elseif (Test-CutOff $file) { Add-Difference openssl 'OpenSSL' 'partly installed' $openssl }
    else {
        if ($Settings.openssl.kind -eq 'msi') { Compare-OpenSslPackage $openssl $file }
        Assert-OpenSslClosed $openssl
        Compare-OpenSslFile
    }
} -Apply {
    Add-Folder $Programs
    if (-not (Test-OnlyUnlisted)) { Install-OpenSsl }
    Write-FileList "openssl-$($Settings.openssl.version)" (Get-OpenSslContent) $Settings.openssl.sha256
}

# ---- step: packages --------------------------------------------------------------------------------
# Install the packages of the lock in a virtual environment.

# The lock has NumPy, Matplotlib, Tornado, pyzmq, IPython, ipykernel, notebook, and what they need. Exactly these are
# installed: wheels only, each with its hash. uv installs them on Windows 10, Windows Server 2016, and newer; pip on
# older releases. uv is in the lock as well. The folder is named after the version of Python and the hash of the lock,
# so a different environment is created next to the one in use.

function Get-EnvironmentFolder {
    Join-Path $Programs "env-$($Settings.python.version)-$($Settings.packages.lock_sha256.Substring(0, 8))"
}

function Get-EnvironmentProgram([string]$Name) { Join-Path (Get-EnvironmentFolder) "Scripts\$Name" }

# ---- the mark of a complete environment

# The mark is written when everything is installed. It has the hash of the lock and, for a Python that nbserver did not
# install, the path of that Python, which the environment needs even if another one runs nbserver now.
function Get-LockMark { Join-Path (Get-EnvironmentFolder) 'nbserver.lock' }

function Test-LockMark {
    if (-not (Test-Path -LiteralPath (Get-LockMark))) { return $false }
    $python = @([IO.File]::ReadAllLines((Get-LockMark), $Utf8) | Select-Object -Skip 1)
    -not $python.Count -or (Test-Path -LiteralPath $python[0])
}

# ---- what is installed

# Return the packages in the environment. A package has a folder NAME-VERSION.dist-info.
function Get-InstalledPackage {
    $packages = Join-Path (Get-EnvironmentFolder) 'Lib\site-packages'
    if (-not [IO.Directory]::Exists($packages)) { return }
    foreach ($folder in [IO.Directory]::GetDirectories($packages, '*.dist-info')) {
        if ((Split-Path -Leaf $folder) -cnotmatch '\A(.+)-([^-]+)\.dist-info\z') { continue }
        @{ Name = Get-PackageKey $Matches[1]; Version = $Matches[2]; Folder = $Matches[0] }
    }
}

# Return a name or version in lower case, with one hyphen for each run of hyphens, underscores, and periods.
function Get-PackageKey([string]$Name) { ($Name -replace '[-_.]+', '-').ToLowerInvariant() }

# Add a difference for each package that is not as in the lock, also if a person has added it.
function Compare-Package {
    $installed = @{}
    foreach ($package in Get-InstalledPackage) { $installed[$package.Name] = $package }
    $found = New-Object Collections.ArrayList
    foreach ($line in $Lock) {
        $name, $version = ($line -split ' ')[0] -split '==', 2
        $is = $installed[(Get-PackageKey $name)]
        if ($is -and (Get-PackageKey $is.Version) -ceq (Get-PackageKey $version)) { continue }
        [void]$found.Add(@{ Name = $name; Is = $(if ($is) { $is.Version }); Should = $version })
    }
    foreach ($package in @(Get-AddedPackage $installed)) {
        [void]$found.Add(@{ Name = $package.Name; Is = $package.Version; Should = $null })
        $AddedReported[(Get-EnvironmentFolder)] = $true   # its files are not reported as well
    }
    foreach ($one in $found | Select-Object -First 10) { Add-PackageDifference $one }
    if ($found.Count -gt 10) {
        Add-Difference packages-changed 'other packages ({count})' 'different from the lock' 'as in the lock' @{
            count = $found.Count - 10
        }
    }
}

function Add-PackageDifference($One) {
    if (-not $One.Is) { Add-Difference package 'package {name}' $null $One.Should @{ name = $One.Name } }
    elseif ($One.Should) {
        Add-Difference package-changed 'package {name}' $One.Is $One.Should @{ name = $One.Name }
    }
    else { Add-Difference package-added 'package {name}, which is not in the lock' $One.Is $null @{ name = $One.Name } }
}

# Return the packages that are neither in the lock nor in the list of installed files: pip installs itself, too.
function Get-AddedPackage([hashtable]$Installed) {
    foreach ($line in $Lock) { $Installed.Remove((Get-PackageKey (($line -split '==')[0]))) }
    $list = Get-FileList (Split-Path -Leaf (Get-EnvironmentFolder))
    if (-not $Installed.Count -or (Test-NotebookInstall) -or -not [IO.File]::Exists($list)) { return }
    $text = [IO.File]::ReadAllText($list, $Utf8)
    foreach ($name in $Installed.Keys | Sort-Object) {
        if (-not $text.Contains("\$($Installed[$name].Folder)\")) { $Installed[$name] }
    }
}

# ---- installation

function Get-PackageInstaller {
    if ($Settings.packages.installer -ne 'auto') { $Settings.packages.installer }
    elseif ((Get-WindowsVersion ([Environment]::OSVersion.Version)).Major -ge 10) { 'uv' }
    else { 'pip' }
}

# Return arguments of pip and uv: only wheels, and only with the hashes in the file. Variables name the index.
function Get-LockArgument([string]$File) {
    '-r', $File, '--require-hashes', '--no-deps', '--only-binary', ':all:'
    if ($PackageSource.NoIndex) { '--no-index' }
}

# Return the path of a lock file with these lines.
function New-LockFile([string]$Name, [string[]]$Lines) {
    $file = Join-Path $CacheFolder $Name
    Write-TextFile $file (($Lines -join "`n") + "`n")
    $file
}

function New-Environment([string[]]$Options, [hashtable]$Variables) {
    Write-StepProgress creating-environment 'Creating the virtual environment'
    $arguments = @('-I', '-X', 'utf8', '-m', 'venv') + $Options + (Get-EnvironmentFolder)
    Invoke-Program (Get-Python) $arguments $Variables -Code environment-not-created -Text ('could not create the ' +
        'virtual environment ({program} exited with code {exit_code}): {output}. Fix this error (for example, free ' +
        'some disk space), then try again')
}

# Return the path of uv, which is installed from the lock.
function Install-Uv([hashtable]$Variables) {
    $tools = Join-Path $CacheFolder 'tools'
    $lockFile = New-LockFile 'uv-lock.txt' @($Lock | Where-Object { $_ -cmatch '^uv==' })
    Write-StepProgress installing-uv 'Installing uv'
    $arguments = @('-I', '-X', 'utf8', '-m', 'pip', 'install', '--target', $tools, '--upgrade', '--no-cache-dir') +
    @(Get-LockArgument $lockFile)
    Invoke-Program (Get-Python) $arguments $Variables -Code uv-not-installed -Text ('could not install uv ({program} ' +
        'exited with code {exit_code}): {output}. Check the free disk space and these settings: {settings}. ' +
        'Then try again') -Values @{ settings = Get-SourceSetting }
    Join-Path $tools 'bin\uv.exe'
}

function Install-WithUv {
    param([string]$Uv, [string]$LockFile, [hashtable]$Variables)
    New-Environment @('--without-pip') $Variables
    Write-StepProgress installing-packages 'Installing packages' -Done 0 -Total $Lock.Count -Unit packages
    $python = Get-EnvironmentProgram 'python.exe'
    $arguments = @('pip', 'install', '--python', $python, '--no-cache', '--link-mode', 'copy', '--compile-bytecode') +
    @(Get-LockArgument $LockFile)
    Invoke-PackageInstaller $Uv $arguments $Variables
}

function Install-WithPip([string]$LockFile, [hashtable]$Variables) {
    New-Environment @() $Variables
    Write-StepProgress installing-packages 'Installing packages' -Done 0 -Total $Lock.Count -Unit packages
    $arguments = @('-I', '-X', 'utf8', '-m', 'pip', 'install', '--no-cache-dir') + @(Get-LockArgument $LockFile)
    Invoke-PackageInstaller (Get-EnvironmentProgram 'python.exe') $arguments $Variables
}

function Invoke-PackageInstaller {
    param([string]$Program, [string[]]$Arguments, [hashtable]$Variables)
    Invoke-Program $Program $Arguments $Variables -Code packages-not-installed -Text ('could not install the ' +
        'packages ({program} exited with code {exit_code}): {output}. Check the free disk space and these settings: ' +
        '{settings}. If a package has no build for this Python version, set a different python.version. Then try ' +
        'again') -Values @{ settings = Get-SourceSetting }
}

function Compare-Environment {
    Compare-Package
    Compare-InstalledFile (Split-Path -Leaf (Get-EnvironmentFolder)) (Get-EnvironmentFolder) (
        $Settings.packages.lock_sha256) -Caches
    if ($Run.Thorough -and (Test-Difference files-not-listed)) { Compare-EnvironmentRecord }
}

function Compare-EnvironmentRecord { Compare-RecordedHash (Join-Path (Get-EnvironmentFolder) 'Lib\site-packages') }

function Write-EnvironmentList {
    Write-FileList (Split-Path -Leaf (Get-EnvironmentFolder)) (Get-EnvironmentFolder) (
        $Settings.packages.lock_sha256) -Caches
}

# An environment of an earlier release has no list of its files. It is kept if they are those that the packages name.
function Test-EnvironmentKept {
    if (-not (Test-OnlyUnlisted)) { return $false }
    if (-not $Run.Thorough) { Compare-EnvironmentRecord }
    Test-OnlyUnlisted
}

# A complete environment may be the only one that works, also if something in it has changed.
function Start-Environment {
    $folder = Get-EnvironmentFolder
    if (Test-Path -LiteralPath $folder) {
        if ((Get-ServerEnvironment) -eq $folder) { Stop-ServerEarly } else { Stop-ProcessBelow $folder }
        if (Test-LockMark) { Move-Aside $folder }
        else {
            Write-StepProgress removing 'Removing {path}' @{ path = $folder }
            Remove-Folder $folder
        }
    }
    Save-Before 'folder' $folder $null
}

Add-Step packages 'The packages in the lock are installed in a virtual environment' -Test {
    if ($Run.Repair) {
        Add-Difference repair-requested 'packages' 'not checked' 'reinstalled because of --repair'
    }
    elseif (Test-LockMark) { Compare-Environment }
    else { Add-Difference packages 'packages' $null (Get-EnvironmentFolder) }
} -Apply {
    Add-Folder $Programs
    Add-Folder $CacheFolder
    if (Test-EnvironmentKept) {
        Write-EnvironmentList
        return
    }
    $Run.Installing = $true
    $lockFile = New-LockFile 'lock.txt' $Lock
    $variables = Get-PackageEnvironment
    $uv = ''
    if ((Get-PackageInstaller) -eq 'uv') { $uv = Install-Uv $variables }   # while the server still runs
    Start-Environment
    if ($uv) { Install-WithUv $uv $lockFile $variables } else { Install-WithPip $lockFile $variables }
    Assert-Import
    Remove-FileList (Split-Path -Leaf (Get-EnvironmentFolder))   # of the files before
    Write-TextFile (Get-LockMark) (Get-LockMarkText)
    Write-EnvironmentList
    $Run.Repair = $false
}

# ---- step: certificate -----------------------------------------------------------------------------
# Provide a certificate for the server; only administrators and it can read the key.

# By default, OpenSSL creates the certificate on the host, as prelude/own_certificate describes.
# prelude/certificate_sources has the other sources.

function New-OwnCertificate([string]$NewKey, [string]$NewCertificate) {
    $arguments = 'req', '-new', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
    '-days', [string]$Settings.certificate.days, '-config', $RequestFile, '-keyout', $NewKey, '-out', $NewCertificate
    Invoke-OpenSsl $arguments -Code certificate-not-created -Text ('openssl could not create the certificate (exit ' +
        'code {exit_code}): {output}. Fix this error (if the exit code is -1073741515, install the Visual C++ ' +
        'redistributable), then run nbserver apply again')
}

# Return false if the key is that of another certificate, or damaged: the server could not start. This is not known if
# OpenSSL does not run, which is the business of the steps before.
function Test-OwnKeyPair {
    if (-not (Test-Path -LiteralPath (Get-OpenSsl))) { return $true }
    try { Test-KeyPair $CertificateFile $KeyFile } catch { $true }
}

Add-Step certificate 'The server has a certificate for its names and a private key that only it can read' -Test {
    Compare-Folder $ServiceFolder $ServiceReads
    $certificate = Get-ServerCertificate
    if ($certificate) { $Run.Fingerprint = Get-Fingerprint $certificate }
    if ($Settings.certificate.source -eq 'host') { Compare-OwnCertificate $certificate }
    else { Compare-GivenCertificate $certificate }
} -Apply {
    Add-Folder $StateFolder
    Add-Folder $ServiceFolder $ServiceReads   # its access list is set before a key is in it
    if (-not (Test-CertificateDue)) { return }
    if ($Settings.certificate.source -eq 'host') { Install-OwnCertificate } else { Install-GivenCertificate }
}

# ---- step: notebook --------------------------------------------------------------------------------
# Configure the server: HTTPS, one port, and a password, stored as an Argon2 hash.

# The server can read these files and cannot write to them. The program that starts it (prelude/starter) keeps other
# configuration out, and compares each value with what the server would do.

$ConfigurationFile = Join-Path $ServiceFolder 'jupyter_server_config.json'
$MigratedFile = Join-Path $ServiceFolder 'migrated'

$HashPattern = '"hashed_password":\s+"([A-Za-z0-9:$=,+/.]+)"'
$SaltPattern = '\Aargon2:\$argon2id\$v=[0-9]+\$[a-z0-9,=]+\$([A-Za-z0-9+/]+)\$[A-Za-z0-9+/]+\z'
$HashPrompt = 'Hash of the notebook password (nbserver hash-password creates it)'
$Salts = @{ Set = ''; Sent = '' }   # of the hash on this host, and of the hash that was sent with this run

# A salt is not secret. All hosts of a site have the same one (nbserver.salt), so that a second run sends the same hash.
function Read-Salt {
    $Salts.Set = ''
    $Salts.Sent = Get-SecretPart 'notebook.password_hash' $SaltPattern
    if (Test-Path -LiteralPath $ConfigurationFile) {
        $set = [regex]::Match([IO.File]::ReadAllText($ConfigurationFile, $Utf8), $HashPattern).Groups[1].Value
        $Salts.Set = [regex]::Match($set, $SaltPattern).Groups[1].Value
    }
}

# After Read-Salt: true if the salts differ, which usually means that the workstation lacks nbserver.salt. The salt that
# an earlier release created for this host alone may be replaced.
function Test-OtherSalt {
    $Salts.Set -and $Salts.Sent -and $Salts.Set -cne $Salts.Sent -and $Salts.Set -cne $Run.FormerSalt
}

function Assert-Salt {
    Read-Salt
    if ((Test-OtherSalt) -and -not $Run.NewSalt) {
        throw (New-Failure salt-differs ('the password hash in {file} has the salt {is}, but this run sent a hash ' +
                'with the salt {sent}. Restore the previous nbserver.salt file next to the inventory, or run ' +
                'nbserver apply --new-salt, which replaces the hash ' +
                'and restarts the server') @{ file = $ConfigurationFile; is = $Salts.Set; sent = $Salts.Sent })
    }
}

# Return the configuration as JSON. @notebook.password_hash@ is replaced when the file is written. A login lasts as long
# as the setting session says: after that, the browser forgets its cookie, and the server refuses it.
function Get-Configuration {
    $days = [Math]::Round($Settings.notebook.session / 24, 6)
    $configuration = [ordered]@{
        ServerApp = Get-ServerSetting
        PasswordIdentityProvider = [ordered]@{
            hashed_password = '@notebook.password_hash@'
            password_required = $true
            allow_password_change = $false
        }
        IdentityProvider = [ordered]@{
            token = ''
            cookie_options = [ordered]@{ expires_days = $days }
            get_secure_cookie_kwargs = [ordered]@{ max_age_days = $days }
        }
    }
    if ($Settings.notebook.cull_idle_seconds) { $configuration.MappingKernelManager = Get-IdleSetting }
    if ($Settings.notebook.collaboration) { $configuration.YDocExtension = [ordered]@{ disable_rtc = $false } }
    # Jupyter reads the file in the code page of the host, so it is ASCII.
    ConvertTo-AsciiJson ((ConvertTo-Json $configuration -Depth 4) -replace "`r", '')
}

# When a kernel that runs nothing is stopped, also if a browser is connected to it. A busy one never is.
function Get-IdleSetting {
    [ordered]@{
        cull_idle_timeout = $Settings.notebook.cull_idle_seconds
        cull_interval = 60
        cull_connected = $true
        cull_busy = $false
    }
}

function Get-ServerSetting {
    [ordered]@{
        ip = $Settings.notebook.ip
        port = $Settings.notebook.port
        port_retries = 0
        base_url = '/'
        default_url = $(if ($Settings.notebook.interface -eq 'lab') { '/lab' } else { '/tree' })
        open_browser = $false
        allow_remote_access = $true
        allow_unauthenticated_access = $false
        allow_origin = ''
        allow_origin_pat = ''
        allow_credentials = $false
        disable_check_xsrf = $false
        allow_password_change = $false   # an older name, which the server still has
        root_dir = Get-NotebookPath
        certfile = $CertificateFile
        keyfile = $KeyFile
    }
}

# True if the server that an earlier run configured has this port.
function Test-DeployedPort([int]$Port) {
    if (-not (Test-Path -LiteralPath $ConfigurationFile)) { return $false }
    [IO.File]::ReadAllText($ConfigurationFile, $Utf8) -cmatch "`"port`":\s+$Port\b"
}

function Compare-Configuration {
    Read-Salt
    $other = Test-OtherSalt
    if ($other) {
        Add-Difference salt 'password hash salt in {file}' $Salts.Set $Salts.Sent @{ file = $ConfigurationFile }
    }
    if (-not (Test-TextFile $ConfigurationFile (Get-Configuration) 'notebook.password_hash' -Around:$other)) {
        Add-Difference file-content '{file}' 'different or missing' 'as in the settings' @{ file = $ConfigurationFile }
    }
    if (-not (Test-TextFile $StarterFile $Starter)) {
        Add-Difference file-content '{file}' 'different or missing' 'as in this script' @{ file = $StarterFile }
    }
}

Add-Step notebook 'The notebook server is configured with HTTPS, a password, and its folders' -Test {
    Compare-Folder $ServiceFolder $ServiceReads
    Compare-Folder $WorkFolder $ServiceWrites
    $directory = Expand-Path $Settings.notebook.directory
    if (-not (Test-ServiceGrant $directory)) {
        Add-Difference notebook-folder 'notebook server access to {folder}' 'no access' 'modify' @{
            folder = $directory
        }
    }
    Compare-FirstPage
    if ($Run.Mode -eq 'apply') {
        Assert-Salt
        if (-not $Run.Asks) { Read-PasswordHash }        # it fails before anything is installed
    }
    Compare-Configuration
} -Apply {
    Assert-Salt
    Read-PasswordHash
    Add-Folder $ServiceFolder $ServiceReads
    Add-Folder $WorkFolder $ServiceWrites
    Add-DataFolder (Expand-Path $Settings.notebook.directory)
    Add-FirstPage
    Set-TextFile $MigratedFile ''   # at its second start, Jupyter would create this file, which it is not allowed to
    Set-TextFile $ConfigurationFile (Get-Configuration) 'notebook.password_hash'
    Set-TextFile $StarterFile $Starter
}

# ---- step: takeover --------------------------------------------------------------------------------
# Use or replace what is already on the host if adopt = true; otherwise, refuse the host.

# Examples are a notebook server that was set up by hand, an nbserver whose record is lost, and another program on the
# port. A conflict must be replaced or stopped. What does not harm this server is kept, and reported once.
# This step is right before the new server starts: the old one runs until everything is installed.

Add-Step takeover 'Nothing on this host conflicts with the notebook server' -Test {
    $conflicts = @(Compare-EarlierTask) + @(Compare-EarlierRule) + @(Compare-EarlierFolder) + @(Compare-Port)
    Assert-NoConflict $conflicts
    Compare-OpenPortRule
    Compare-HidingPathEntry
    Write-Leftover
    $Takeover.Reported = $true
} -Apply {
    Save-EarlierTask
    Save-EarlierRule
    foreach ($rule in @(Get-OpenPortRule)) { if ($rule.Alone) { Disable-FirewallRule $rule.Name } }
    foreach ($entry in @(Get-HidingPathEntry)) { Remove-PathEntry $entry }
    if (Test-ForeignListener) { Stop-PortOwner $Settings.notebook.port }
}

$Takeover = @{ Reported = $false }   # a Test runs more than once, and its warnings are written once

# ---- conflicts: each function adds a difference, and returns the failure that explains it

# $Adoptable: adopt = true is enough. $Name is short, for a list of conflicts.
function New-Conflict {
    param([string]$Name, [bool]$Adoptable, [Exception]$Failure)
    @{ Name = $Name; Adoptable = $Adoptable; Failure = $Failure }
}

function Compare-EarlierTask {
    $task = Get-TaskXml 'nbserver'
    if (-not $task -or (Test-Record 'task' 'nbserver')) { return }
    if (Test-StoredPassword ([xml]$task)) {
        Add-Difference task 'scheduled task nbserver' 'registered with a stored password' $null
        return New-Conflict 'scheduled task nbserver' $false (New-Failure task-with-password ('the nbserver ' +
                'scheduled task has a stored password, so undo could not restore it. Export and delete the task, ' +
                'then run nbserver apply again'))
    }
    Add-Difference task 'scheduled task nbserver' 'left over from an earlier installation' $null
    New-Conflict 'scheduled task nbserver' $true (New-Failure earlier-task ('the nbserver scheduled task is left ' +
            'over from an earlier installation, and this host has no record of it. Remove the task, or set adopt = ' +
            'true in the inventory to replace it'))
}

function Compare-EarlierRule {
    if ($Settings.skip -contains 'firewall' -or (Test-Record 'firewall_rule' 'nbserver')) { return }
    if (-not (Get-FirewallRule 'nbserver')) { return }
    Add-Difference firewall-rule 'firewall rule nbserver' 'left over from an earlier installation' $null
    New-Conflict 'firewall rule nbserver' $true (New-Failure earlier-rule ('the nbserver firewall rule is left over ' +
            'from an earlier installation, and this host has no record of it. Remove the rule, or set adopt = true ' +
            'in the inventory to replace it'))
}

function Compare-EarlierFolder {
    if ($Settings.adopt -or (Test-Record 'task' 'nbserver') -or (Test-Record 'folder' $Programs)) { return }
    if (-not (Test-Path -LiteralPath $Programs)) { return }
    Add-Difference installed-path '{path}' 'left over from an earlier installation' $null @{ path = $Programs }
    New-Conflict $Programs $true (New-Failure earlier-folder ('{path} is left over from an earlier installation, and ' +
            'this host has no record of it. Remove the folder, or set adopt = true in the inventory to use ' +
            'it') @{ path = $Programs })
}

function Compare-Port {
    if (-not (Test-ForeignListener)) { return }
    $port = $Settings.notebook.port
    $name = "TCP port $port"
    $owner = Get-PortOwner $port
    if (-not $owner.Process) {
        Add-Difference port-not-free 'TCP port {port}' 'used by another program' 'free' @{ port = $port }
        return New-Conflict $name $false (New-Failure port-taken-unknown ('TCP port {port} is used by another ' +
                'program. Stop it, or choose another notebook.port in the inventory') @{ port = $port })
    }
    $values = @{ port = $port; program = $owner.Text }
    Add-Difference port-not-free 'TCP port {port}' $values.program 'free' @{ port = $port }
    $dependents = @($owner.Services | ForEach-Object { Get-RunningDependent $_ })
    if ($dependents.Count) {
        $values.services = $dependents -join ', '
        return New-Conflict $name $false (New-Failure port-taken-by-needed-service ('TCP port {port} is used by a ' +
                'service ({program}) that other running services need: {services}. Stop this service and the ' +
                'services that need it, or choose another notebook.port in the inventory') $values)
    }
    New-Conflict $name ($owner.Kind -ne 'nothing') (New-Failure port-taken-by-program ('TCP port {port} is used by ' +
            'another program ({program}). Stop it, or choose another notebook.port in the inventory') $values)
}

# ---- the refusal

# An apply stops here, before anything is changed; a plan reports that it would.
function Assert-NoConflict([object[]]$Conflicts) {
    $failure = Get-Refusal $Conflicts
    if (-not $failure) { return }
    if (-not $Takeover.Reported) {
        foreach ($conflict in $Conflicts) { Write-Event warning (Get-FailureField $conflict.Failure) }
    }
    if ($Run.Mode -eq 'apply') {
        throw $failure
    }
    if (-not $Takeover.Reported) {
        Write-Notice warning apply-will-refuse ('nbserver apply will fail ' +
            'on this host: {cause}') @{ cause = $failure.Message }
    }
}

# Return the failure, or nothing if there is no conflict, or adopt = true is set and enough for all of them.
function Get-Refusal([object[]]$Conflicts) {
    $names = @($Conflicts | ForEach-Object { $_.Name }) -join ', '
    $blocking = @($Conflicts | Where-Object { -not $_.Adoptable } | ForEach-Object { $_.Name })
    if ($blocking.Count) {
        return New-Failure takeover-impossible ('the notebook server conflicts with the following on this host: ' +
            '{names}. Stop or remove {blocking}, which adopt = true cannot replace, then run nbserver apply again') @{
            names = $names; blocking = $blocking -join ', '
        }
    }
    if ($Settings.adopt -or -not $names) { return }
    New-Failure takeover-refused ('the notebook server conflicts with the following on this host: {names}. Remove ' +
        'these items, or set adopt = true in the inventory to replace them (undo restores them), then run nbserver ' +
        'apply again') @{
        names = $names
    }
}

# ---- the port

# True if a program other than our server listens on the notebook port.
function Test-ForeignListener {
    (Test-PortListening $Settings.notebook.port) -and -not (Test-OwnListener)
}

# True if our server listens: it shows our certificate, or the program that listens is in our folder.
function Test-OwnListener {
    if (-not (Test-Record 'task' 'nbserver')) { return $false }
    $certificate = Get-ServerCertificate
    if ($certificate -and (Get-ServerFingerprint) -eq (Get-Fingerprint $certificate)) { return $true }
    $port = $Settings.notebook.port
    $processes = @(Get-PortProcess $port)
    if (-not $processes.Count) { return (Test-DeployedPort $port) -and (Test-TaskRunning 'nbserver') }
    [bool]@($processes | Where-Object { Test-Below $_.ExecutablePath $Programs }).Count
}

# ---- what does not harm this server

# A rule that opens no other port can be disabled; a rule for more ports is kept.
function Compare-OpenPortRule {
    foreach ($rule in Get-OpenPortRule) {
        if ($Settings.adopt -and $rule.Alone) {
            Add-Difference port-rule-enabled 'firewall rule "{display_name}" ({name})' 'enabled' 'disabled' @{
                display_name = $rule.DisplayName; name = $rule.Name
            }
            continue
        }
        if ($Takeover.Reported) { continue }
        $values = @{ display_name = $rule.DisplayName; name = $rule.Name; port = $Settings.notebook.port }
        if ($rule.Alone) {
            Write-Notice warning port-rule-kept ('the firewall rule "{display_name}" ({name}) also opens TCP port ' +
                '{port}, regardless of firewall.remote_addresses. Disable this rule, or set adopt = true in the ' +
                'inventory to let nbserver disable it') $values
        }
        else {
            Write-Notice warning ports-rule-kept ('the firewall rule "{display_name}" ({name}) opens TCP port {port} ' +
                'and other ports, regardless of firewall.remote_addresses. Remove port {port} from this rule') $values
        }
    }
}

function Compare-HidingPathEntry {
    foreach ($entry in Get-HidingPathEntry) {
        if ($Settings.adopt) { Add-Difference path-entry 'PATH' $entry $null }
        elseif (-not $Takeover.Reported) {
            Write-Notice warning path-entry-kept ('{entry} comes before the nbserver entries in PATH, so Windows ' +
                'finds the programs in {entry} first. Set adopt = true in the inventory to remove this entry from ' +
                'PATH') @{ entry = $entry }
        }
    }
}

function Write-Leftover {
    if ($Takeover.Reported -or (Test-Record 'task' 'nbserver')) { return }
    foreach ($folder in Get-EarlierProfile) {
        Write-Notice warning earlier-profile ('{path} was created by an earlier notebook server and was kept. If you ' +
            'need the notebooks in it, copy them to {directory}') @{
            path = $folder; directory = Expand-Path $Settings.notebook.directory
        }
    }
    if ($Settings.adopt -and (Test-Path -LiteralPath $Programs) -and -not (Test-Record 'folder' $Programs)) {
        Write-Notice warning adopted-folder ('nbserver did not create {path}, but uses it because adopt = true is ' +
            'set in the inventory. Undo will keep this folder') @{ path = $Programs }
    }
}

# ---- changes: undo restores what is recorded

function Save-EarlierTask {
    $task = Get-TaskXml 'nbserver'
    if (-not $task -or (Test-Record 'task' 'nbserver')) { return }
    Save-TaskState '\nbserver'
    Save-Before 'task' 'nbserver' $task
    Stop-Task 'nbserver'
}

function Save-EarlierRule {
    if ($Settings.skip -contains 'firewall') { return }
    $rule = Get-FirewallRule 'nbserver'
    if ($rule) { Save-Before 'firewall_rule' 'nbserver' $rule }
}

# ---- step: service ---------------------------------------------------------------------------------
# Run the server as a scheduled task.

# The task starts with Windows, has no time limit, is started again when it stops, and runs on battery power. A second
# trigger starts it every five minutes if it does not run. It runs as LOCAL SERVICE, without administrator rights.
# ProcessTokenSidType gives its process the SID that has access to the files. Priority 5 is the normal one of a program.
# The default, 7, is below normal for the processor, the disk, and memory, and kernels inherit it.

# Return the elements of the task: the path, the wanted text, and what Windows assumes if the element is missing. The
# task scheduler leaves out elements that equal their default, adds others, and has its own order. Sources of the
# defaults: "Task Scheduler Schema" and, for ProcessTokenSidType, "Task Security Hardening" on learn.microsoft.com.
function Get-ServiceProperty {
    @(
        @{ Path = 'RegistrationInfo/Description'; Should = Get-ServiceState; Default = '' }
        @{ Path = 'Triggers/BootTrigger/Enabled'; Should = 'true'; Default = 'true' }
        @{ Path = 'Triggers/TimeTrigger/Enabled'; Should = 'true'; Default = 'true' }
        @{ Path = 'Triggers/TimeTrigger/Repetition/Interval'; Should = 'PT5M'; Default = '' }
        @{ Path = 'Principals/Principal/UserId'; Should = 'S-1-5-19'; Default = '' }
        @{ Path = 'Principals/Principal/RunLevel'; Should = 'LeastPrivilege'; Default = 'LeastPrivilege' }
        @{ Path = 'Principals/Principal/ProcessTokenSidType'; Should = 'Unrestricted'; Default = 'Unrestricted' }
        @{ Path = 'Settings/MultipleInstancesPolicy'; Should = 'IgnoreNew'; Default = 'IgnoreNew' }
        @{ Path = 'Settings/DisallowStartIfOnBatteries'; Should = 'false'; Default = 'true' }
        @{ Path = 'Settings/StopIfGoingOnBatteries'; Should = 'false'; Default = 'true' }
        @{ Path = 'Settings/StartWhenAvailable'; Should = 'true'; Default = 'false' }
        @{ Path = 'Settings/AllowStartOnDemand'; Should = 'true'; Default = 'true' }
        @{ Path = 'Settings/ExecutionTimeLimit'; Should = 'PT0S'; Default = 'PT72H' }
        @{ Path = 'Settings/Enabled'; Should = 'true'; Default = 'true' }
        @{ Path = 'Settings/Priority'; Should = '5'; Default = '7' }
        @{ Path = 'Settings/RestartOnFailure/Interval'; Should = 'PT1M'; Default = '' }
        @{ Path = 'Settings/RestartOnFailure/Count'; Should = '255'; Default = '' }
        @{ Path = 'Actions/Exec/Command'; Should = Get-EnvironmentProgram 'python.exe'; Default = '' }
        @{ Path = 'Actions/Exec/Arguments'; Should = Format-ServerArgument; Default = '' }
        @{ Path = 'Actions/Exec/WorkingDirectory'; Should = $WorkFolder; Default = '' }
    )
}

# A trigger that is missing has no defaults.
function Get-ServiceText([xml]$Xml, [hashtable]$Property) {
    $text = Get-TaskText $Xml $Property.Path
    if ($null -ne $text) { return $text }
    if ($Property.Path -cmatch '^(Triggers/\w+)/' -and $null -eq (Get-TaskText $Xml $Matches[1])) { return '' }
    $Property.Default
}

# Return the task. S-1-5-19 is LOCAL SERVICE.
function Get-ServiceXml {
    @"
<Task version="1.3" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>$(Protect-Xml (Get-ServiceState))</Description></RegistrationInfo>
  <Triggers>
    <BootTrigger><Enabled>true</Enabled></BootTrigger>
    <TimeTrigger>
      <Repetition><Interval>PT5M</Interval></Repetition>
      <StartBoundary>2020-01-01T00:00:00</StartBoundary><Enabled>true</Enabled>
    </TimeTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>S-1-5-19</UserId><RunLevel>LeastPrivilege</RunLevel>
      <ProcessTokenSidType>Unrestricted</ProcessTokenSidType>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Enabled>true</Enabled>
    <Priority>5</Priority>
    <RestartOnFailure><Interval>PT1M</Interval><Count>255</Count></RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>$(Protect-Xml (Get-EnvironmentProgram 'python.exe'))</Command>
      <Arguments>$(Protect-Xml (Format-ServerArgument))</Arguments>
      <WorkingDirectory>$(Protect-Xml $WorkFolder)</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
"@ -replace "`r", ''
}

# A task that Windows is about to start is Queued. A task that does not exist does not run.
function Test-TaskRunning([string]$Name) {
    $task = Find-Task $Name
    $task -and 'Running', 'Queued' -contains [string]$task.State
}

function Test-ServerRunning { Test-TaskRunning 'nbserver' }

$ServiceTask = @{ Started = $false }   # in this run

# Whether a task that this run has started still runs is for the step check, which quotes the server's log.
function Compare-ServiceTask {
    $text = Get-TaskXml 'nbserver'
    if (-not $text) {
        Add-Difference task 'scheduled task nbserver' $null 'registered'
        return
    }
    $xml = [xml]$text
    foreach ($property in Get-ServiceProperty) {
        $is = Get-ServiceText $xml $property
        if ($is -ne $property.Should) {
            Add-Difference task-property 'scheduled task nbserver, {property}' $is $property.Should @{
                property = $property.Path
            }
        }
    }
    if ($ServiceTask.Started) { return }
    Wait-YoungTask
    if (Test-TaskRunning 'nbserver') { return }
    Add-Difference task 'scheduled task nbserver' 'not running' 'running'
}

function Start-ServiceTask {
    if (Get-TaskXml 'nbserver') { Stop-Task 'nbserver' }
    Start-NewTask (Get-ServiceXml)
}

# Register the task, and start it.
function Start-NewTask([string]$Xml) {
    Set-Task 'nbserver' $Xml
    Start-ScheduledTask -TaskName 'nbserver' -TaskPath '\' -ErrorAction Stop
    Wait-TaskStart 'nbserver'
    $ServiceTask.Started = $true
}

# Wait up to 30 seconds until the task runs, or has run and stopped. Windows reports Ready before and after a run.
function Wait-TaskStart([string]$Name) {
    $begun = $false
    for ($try = 0; $try -lt 150; $try++) {
        $found = Find-Task $Name
        $state = if ($found) { [string]$found.State } else { '' }
        if ($state -eq 'Running' -or ($begun -and $state -eq 'Ready')) { return }
        if ($state -eq 'Queued') { $begun = $true }
        if ($try % 50 -eq 49) {
            Write-StepProgress waiting-for-task 'Waiting for the scheduled task {task}' @{ task = $Name }
        }
        [Threading.Thread]::Sleep(200)
    }
}

# Return the failure of a server that answers requests without the password. $Values are those of the text.
function New-OpenServerFailure([hashtable]$Values) {
    New-Failure server-open ('the notebook server on TCP port {port} did not refuse a request without the password ' +
        '(expected HTTP status 401 or 403, got {status}), so others may be able to run programs under the server ' +
        'account. Stop the server (Disable-ScheduledTask nbserver; Stop-ScheduledTask nbserver) and read its log ' +
        '({log}). Remove {folder} if someone added files to it, then run nbserver apply again') $Values
}

Add-Step service 'The notebook server is running' -Test { Compare-ServiceTask } -Apply { Start-ServiceTask }

# ---- step: firewall --------------------------------------------------------------------------------
# Open the notebook port in the firewall, with one inbound rule.

# The rule has no other filters, such as a program or an interface. The firewall itself is turned neither on nor off.
# Rules that were disabled for an earlier notebook.port are enabled again.

function Get-WantedFirewallRule {
    $addresses = @($Settings.firewall.remote_addresses | ForEach-Object { ConvertTo-NetworkPrefix $_ } | Sort-Object)
    @{
        Enabled = 'True'; Direction = 'Inbound'; Action = 'Allow'; Profile = 'Any'; Protocol = 'TCP'
        LocalPort = @([string]$Settings.notebook.port); RemoteAddress = $addresses
    }
}

# A group policy can make Windows ignore the rules of the host itself, for each profile, which is a kind of network.
# Security baselines do that for public networks only, so it counts for the networks in which this host is. Sources:
# [MS-GPFAS] 2.2.3.13, and NLM_NETWORK_CATEGORY on learn.microsoft.com.
$FirewallPolicy = 'HKLM:\SOFTWARE\Policies\Microsoft\WindowsFirewall'
$FirewallProfiles = 'PublicProfile', 'PrivateProfile', 'DomainProfile'   # in the order of the network categories
$LocalRules = @{ Reported = $false }   # in this run

# Return the profiles of the networks in which this host is; all profiles if Windows does not name any network.
function Get-NetworkProfile {
    try { $networks = @(Get-CimInstance -Namespace root\StandardCimv2 -ClassName MSFT_NetConnectionProfile) }
    catch { return $FirewallProfiles }
    if (-not $networks.Count) { return $FirewallProfiles }
    foreach ($network in $networks) { $FirewallProfiles[[int]$network.NetworkCategory] }
}

function Write-IgnoredRule {
    if ($LocalRules.Reported) { return }
    $ignoring = @($FirewallProfiles | Where-Object {
            $merge = Get-RegistryValue "$FirewallPolicy\$_" AllowLocalPolicyMerge
            $merge -and [string]$merge.value -eq '0'
        })
    if (-not $ignoring.Count) { return }
    $present = @(Get-NetworkProfile)
    $profiles = @($ignoring | Where-Object { $present -contains $_ })
    if (-not $profiles.Count) { return }
    $LocalRules.Reported = $true
    Write-Notice warning local-rules-ignored ('a group policy makes Windows ignore local firewall rules ' +
        '(AllowLocalPolicyMerge = 0 in {profiles}), so the nbserver firewall rule has no effect in networks with ' +
        'this profile. Open TCP port {port} in the group policy. If this host has no other networks, set skip = ' +
        '["firewall"] in the inventory') @{
        profiles = $profiles -join ', '; port = $Settings.notebook.port
    }
}

function Get-RuleDisplayName { "nbserver: notebook server, TCP $($Settings.notebook.port)" }

Add-Step firewall 'The firewall allows connections to the notebook port' -Test {
    Assert-FirewallRunning
    Write-IgnoredRule
    foreach ($line in Get-ReleasedRuleLine $Settings.notebook.port) {
        Add-Difference port-rule-disabled (
            'firewall rule {name}, which nbserver disabled for an earlier notebook port') 'disabled' 'enabled' @{
            name = $line.key
        }
    }
    $is = Get-FirewallRule 'nbserver'
    $should = Get-WantedFirewallRule
    foreach ($name in $RuleFilters.Keys) { $should[$name] = $RuleFilters[$name] }
    if (-not $is) {
        $wanted = "TCP $($should.LocalPort) from $($should.RemoteAddress -join ', ')"
        Add-Difference firewall-rule 'firewall rule nbserver' $null $wanted
        return
    }
    if ($is.DisplayName -cmatch $OwnDisplayName) { $should.DisplayName = Get-RuleDisplayName }
    foreach ($name in $should.Keys | Sort-Object) {
        $isText = $is[$name] -join ', '
        $shouldText = $should[$name] -join ', '
        if ($isText -ne $shouldText) {
            Add-Difference firewall-rule-property 'firewall rule nbserver, {property}' $isText $shouldText @{
                property = $name
            }
        }
    }
} -Apply {
    foreach ($line in @(Get-ReleasedRuleLine $Settings.notebook.port)) { Undo-Line $line }
    Set-FirewallRule 'nbserver' (Get-RuleDisplayName) (Get-WantedFirewallRule)
}

# ---- step: check -----------------------------------------------------------------------------------
# Check that the server presents its certificate and refuses requests without a password.

# The server's files are compared in the step notebook; this step asks the server itself, over TLS 1.2.

$ServerPatience = 180                                    # for how many seconds to wait for an answer

# Report requests that the server does not refuse, although they have no password.
function Compare-Refusal {
    $status = Format-Status (Get-StatusWithoutPassword)
    if (-not (Test-Refused $status)) {
        Add-Difference open-without-password (
            'HTTP status of GET /api/kernels on TCP port {port} without the password') $status '401 or 403' @{
            port = $Settings.notebook.port
        }
    }
    $status = Format-Status (Get-StatusWithRandomToken)
    if (-not (Test-Refused $status)) {
        Add-Difference open-with-random-token (
            'HTTP status of GET /api/kernels on TCP port {port} with a random token') $status '401 or 403' @{
            port = $Settings.notebook.port
        }
    }
}

function Format-Status([string]$Status) { if ($Status) { $Status } else { 'no answer' } }

# A server that answers such requests lets everyone run programs, so a person must find out why. $Statuses are those
# that Wait-Server returns.
function Assert-ServerClosed([string[]]$Statuses) {
    foreach ($status in $Statuses) {
        if (Test-Refused $status) { continue }
        $values = @{
            port = $Settings.notebook.port; status = $status; log = $ServerLog; folder = Get-EnvironmentFolder
        }
        $failure = New-OpenServerFailure $values
        throw $failure
    }
}

# Return how the server answers both requests.
function Get-ServerStatus {
    if (-not (Get-ServerFingerprint)) { return }
    Get-StatusWithoutPassword
    Get-StatusWithRandomToken
}

# Wait until the server answers both requests, and return the statuses. On a slow host, its start takes a minute. A
# server that hangs makes each question take ten seconds, so the seconds are counted, not the questions.
function Wait-Server {
    $port = $Settings.notebook.port
    $watch = [Diagnostics.Stopwatch]::StartNew()
    $report = 5
    while ($watch.Elapsed.TotalSeconds -lt $ServerPatience) {
        $statuses = @(Get-ServerStatus | Where-Object { $_ })
        if ($statuses.Count -eq 2) { return $statuses }
        $second = [int]$watch.Elapsed.TotalSeconds
        if (-not (Test-ServerRunning) -and $second -gt 20) { break }
        if ($second -ge $report) {
            Write-StepProgress waiting-for-server 'Waiting for the server on TCP port {port}' @{
                port = $port
            } -Done $second -Total $ServerPatience -Unit seconds
            $report = $second + 10
        }
        [Threading.Thread]::Sleep(1000)
    }
    if (-not (Test-Path -LiteralPath $ServerLog)) {
        throw (New-Failure server-silent-without-log ('the notebook server is not responding on TCP port {port} and ' +
                'has not written to its log ({log}). Find the error in the Application log in Event Viewer, fix it, ' +
                'then try again') @{
                port = $port; log = $ServerLog
            })
    }
    throw (New-Failure server-silent ('the notebook server is not responding on TCP port {port}. Fix the error that ' +
            'its log ({log}) shows, then try again. Last lines of the log: {lines}') @{
            port = $port; log = $ServerLog; lines = @(Read-LastLine $ServerLog 3) -join ' / '
        })
}

Add-Step check 'The server presents its certificate and refuses requests without the password' -Test {
    $should = 'a new certificate'
    $certificate = Get-ServerCertificate
    if ($certificate) { $should = Get-Fingerprint $certificate }
    Wait-YoungServer
    $is = Get-ServerFingerprint
    if ($is -ne $should) {
        Add-Difference port-certificate 'certificate on TCP port {port}' $is $should @{ port = $Settings.notebook.port }
    }
    if ($is) { Compare-Refusal }
    $others = 'restart', 'set-password', 'rotate-certificate', 'restore-key'   # modes that complete no switch
    if ((Test-OpenSwitch) -and $others -notcontains $Run.Mode) {
        Add-Difference switch-open 'verification of the server' 'not finished' 'finished'
    }
} -Apply {
    Assert-ServerClosed (Wait-Server)
}

# ---- step: path ------------------------------------------------------------------------------------
# Add the programs of the server to the PATH of the machine.

# Programs that already run keep the PATH with which they started; new sessions use the new one.

# Return the entries of the settings. path.programs means the folders of Python and OpenSSL, wherever they are.
function Get-WantedPathEntry {
    foreach ($entry in $Settings.path.entries) { Expand-Path $entry }
    if ($Settings.path.programs) {
        Get-PythonFolder
        Join-Path (Get-PythonFolder) 'Scripts'
        Split-Path -Parent (Get-OpenSsl)
    }
}

Add-Step path 'The machine PATH contains the environment, Python, and OpenSSL' -Test {
    foreach ($entry in Get-WantedPathEntry) {
        if (-not (Test-PathEntry $entry)) { Add-Difference path-entry 'PATH' $null $entry }
    }
    foreach ($line in Get-ObsoletePathEntry @(Get-WantedPathEntry)) {
        Add-Difference path-entry 'PATH' $line.key $null
    }
} -Apply {
    foreach ($line in Get-ObsoletePathEntry @(Get-WantedPathEntry)) { Undo-Line $line }
    foreach ($entry in Get-WantedPathEntry) {
        if (-not (Test-PathEntry $entry)) { Add-PathEntry $entry }
    }
}

# ---- step: cleanup ---------------------------------------------------------------------------------
# Remove or restore what earlier runs installed or changed and is no longer needed.

# This is the last step, after the new server has answered: an upgrade that fails keeps everything. Only what is in the
# record is removed or restored, in the same way as undo does it.

# A folder that was set aside was not there before, either, but its name would say that it was restored.
function Remove-Unused($Line) {
    if ($Line.key -cmatch $AsideName) {
        Remove-Folder $Line.key
        Remove-Line $Line
        return
    }
    Undo-Line $Line
    Remove-FileList (Split-Path -Leaf $Line.key)
}

Add-Step cleanup 'Files and changes that are no longer needed are removed' -Test {
    foreach ($line in Get-UnusedLine) { Add-Difference installed-path '{path}' 'installed' $null @{ path = $line.key } }
    foreach ($line in Get-DroppedLine) {
        Add-Difference dropped-setting (
            'earlier change that the inventory no longer requires ({kind} {key})') 'in effect' 'undone' @{
            kind = $line.kind; key = $line.key
        }
    }
} -Apply {
    foreach ($line in @(Get-UnusedLine)) {
        Write-StepProgress removing 'Removing {path}' @{ path = $line.key }
        try { Remove-Unused $line }
        catch {
            throw (New-Failure unused-not-removed ('could not remove {path}, which is no longer used: {cause}. The ' +
                    'notebook server is running. Fix this error (for example, close the programs that are using ' +
                    '{path}), then run nbserver apply again') @{
                    path = $line.key
                } -Cause $_.Exception)
        }
    }
    foreach ($line in @(Get-ReversedRecord)) {
        if (-not (Test-DroppedLine $line)) { continue }   # a folder may be empty only now
        try { Undo-Line $line }
        catch {
            throw (New-Failure dropped-not-restored ('could not undo an earlier change that the inventory no longer ' +
                    'requires ({kind} {key}): {cause}. The notebook server is running. Fix this error, then run ' +
                    'nbserver apply again') @{
                    kind = $line.kind; key = $line.key
                } -Cause $_.Exception)
        }
    }
}

# ---- main ------------------------------------------------------------------------------------------
# Run the steps in the mode of the envelope, and report the outcome.

$SkippedSteps = @($Settings.skip)   # neither tested nor applied

function Invoke-Test($Step) {
    $Run.Step = $Step.Name
    $Run.Differences = New-Object Collections.ArrayList
    if ($SkippedSteps -notcontains $Step.Name) { & $Step.Test }
}

function Write-Difference {
    foreach ($difference in $Run.Differences) { Write-Event difference $difference }
}

# Test all steps, which changes nothing. Brackets are only for changes: a test reports those that are still open.
function Invoke-Plan {
    foreach ($step in $Steps) {
        if ($step.Bracket) {
            if (-not (Test-Change)) { Write-OpenBracket $step }
            continue
        }
        Invoke-Test $step
        if ($Run.Differences.Count) { $Run.Differs = $true }
        Read-NewSetting $step.Name
        if (Test-Change) { continue }
        if ($Run.Differences.Count) { Write-Difference } else { Write-Event unchanged }
    }
}

# A run that was cut off leaves its bracket open: the previous state is in the record, and the Test finds no difference.
# The next apply or undo restores it.
function Write-OpenBracket($Step) {
    $Run.Step = $Step.Name
    if (-not @(Read-Record | Where-Object { $_.step -eq $Step.Name }).Count -or (Get-LockOwner)) { return }
    $Run.Differences = New-Object Collections.ArrayList
    & $Step.Test
    if ($Run.Differences.Count) { return }
    Add-Difference bracket-open 'temporary change made by the step {step} in the interrupted run {run}' `
        'in effect' 'undone' @{ step = $Step.Name; run = Get-CutOffRun }
    Write-Difference
    $Run.Differs = $true
}

# Apply a step if something differs, then test it again: a difference that remains is a failure.
function Invoke-Apply($Step) {
    Assert-EventsKept
    Invoke-Test $Step
    if (-not $Run.Differences.Count) { Write-Event unchanged; return }
    if ($Run.Reboot) {
        $Run.Outcome = 'reboot'
        Write-Notice warning waits-for-restart 'this step was not applied, because Windows must restart first'
        return
    }
    Invoke-Change $Step
}

# Make the change for the differences that were found.
function Invoke-Change($Step) {
    Write-Event started @{ title = $Step.Title }
    Write-Difference
    & $Step.Apply
    Invoke-Test $Step
    foreach ($left in $Run.Differences) {
        throw (New-Failure still-differs ('{what} did not change as expected: expected "{should}", got "{is}". Check ' +
                'whether another program is changing it back, then try again') @{
                what = $left.what; is = $left.is; should = $left.should
            })
    }
    if (-not $Step.Bracket) { $Run.Changed++ }
    Write-Event changed
}

# Apply step after step, until all are done or Windows must restart first. Then open brackets are undone.
function Invoke-EveryStep {
    foreach ($step in $Steps) {
        if ($step.Name -eq 'notebook' -and -not $Run.Reboot) { Start-Switch }
        Invoke-Apply $step
        if ($Run.Outcome -eq 'reboot') { break }
        if ($step.Name -eq 'service') {
            $Run.StoppedEarly = $false
            Confirm-Switch
        }
    }
    if ($Run.Outcome -ne 'reboot') { return }
    Undo-Record -BracketsOnly
    Invoke-Hook AtRestart
}

# Nothing differs, so nothing is tested again and no bracket is applied.
function Write-AllUnchanged {
    foreach ($step in $Steps) {
        $Run.Step = $step.Name
        if (-not $step.Bracket) { Write-Event unchanged }
    }
}

# Restore the previous state, newest change first. What cannot be restored is reported and stays in the record.
function Undo-Record([switch]$BracketsOnly) {
    $brackets = @($Steps | Where-Object { $_.Bracket } | ForEach-Object { $_.Name })
    foreach ($line in @(Get-UndoOrder)) {
        if ($BracketsOnly -and $brackets -notcontains $line.step) { continue }
        $Run.Step = $line.step
        try { Undo-Line $line }
        catch {
            $Run.Outcome = 'failed'
            $failure = New-Failure not-restored ('could not restore {key}: {cause}. Fix this error, then run ' +
                'nbserver undo again') @{ key = $line.key } -Cause $_.Exception
            Write-Event failed (Get-FailureField $failure)
        }
    }
    $Run.Step = ''
}

# Services and tasks that ran before are started when everything else is restored.
function Get-UndoOrder {
    $lines = @(Read-Record)
    [Array]::Reverse($lines)
    $started = 'service', 'task_state'
    $lines | Where-Object { $started -notcontains $_.kind }
    $lines | Where-Object { $started -contains $_.kind }
}

# A run that makes changes takes the lock and keeps its events on the host; other runs leave nothing behind.
# For a 32-bit program, Windows has other folders and registry keys in place of those in the record. Mode check reports
# this as a finding, and the events of a run are in the same place for both.
function Start-Run {
    if ('check', 'events' -notcontains $Run.Mode) { Assert-SixtyFourBit }
    Invoke-Hook BeforeRun
    if ($Run.Mode -eq 'events' -or $Run.Outcome -eq 'waiting') { return }
    if (Test-Change) { Start-Change }
    elseif ($Run.Mode -ne 'check' -and (Test-Path -LiteralPath $StateFolder)) { Assert-StateFolder }
    $Run.Script = Get-Sha256 ($Utf8.GetBytes($ScriptText))
    Write-Event started @{
        run = $Run.Id; boot = $Run.Boot; mode = $Run.Mode; operator = $Run.Operator; release = $Settings.release
        host = $Settings.host; script_sha256 = $Run.Script
    }
    Invoke-Hook Begun
    if ($Run.EventFile) { Invoke-Hook Started }
}

function Start-Change {
    Initialize-StateFolder
    Enter-Lock
    $folder = Join-Path $StateFolder "runs\$($Run.Id)"
    if (Test-Path -LiteralPath $folder) {
        throw (New-Failure run-id-used 'this host already has a run with the ID "{run}". Use another run ID' @{
                run = $Run.Id
            })
    }
    [void](New-Item -ItemType Directory -Force -Path $folder)
    $Run.EventFile = Join-Path $folder 'events.jsonl'
}

function Complete-Run {
    $Run.Step = ''
    if ($Run.EventFile -and $Run.Script) { Invoke-Hook Finished }
    $Run.Ended = $true
    Write-Event finished @{
        outcome = $Run.Outcome; differs = $Run.Differs; changed = $Run.Changed; reboot = $Run.Reboot
        restarting = $Run.Restarting; fingerprint = $Run.Fingerprint
    }
}

# ---- modes: the prelude may have more

$Modes.test = {
    Assert-RotationComplete
    Invoke-Plan
}

# Report a finding for each requirement.
$Modes.check = {
    $Run.Step = 'preflight'
    Assert-Requirement language_mode { Set-Found full-language 'PowerShell runs in FullLanguage mode' }
    Assert-Requirement powershell { Assert-DotNet }
    if (Test-Path -LiteralPath $StateFolder) { Assert-Requirement state_folder { Assert-StateFolder } }
    Assert-Requirement rotation { Assert-RotationComplete }
    Invoke-Test ($Steps | Where-Object { $_.Name -eq 'preflight' })
    Assert-Requirement application_control { Write-CodeIntegrity }
    Invoke-Hook Check
}

$Modes.apply = {
    Assert-RotationComplete
    Restore-EveryAside
    Invoke-Plan
    if ($Run.Differs) { Invoke-EveryStep } else { Write-AllUnchanged }
}

$Modes.undo = {
    Invoke-Hook BeforeUndo
    Undo-Record
    Remove-FileCopy
    if ($Run.Outcome -eq 'ok') { Remove-SingleFile $RotationFile }
}

function Invoke-Mode {
    if (-not $Modes[$Run.Mode]) {
        throw (New-Failure unknown-mode 'this script has no mode "{mode}". Use one of these: {modes}' @{
                mode = $Run.Mode; modes = @($Modes.Keys | Where-Object { $Modes[$_] } | Sort-Object) -join ', '
            })
    }
    & $Modes[$Run.Mode]
}

function Invoke-Run {
    $ended = $false
    try {
        Read-Envelope
        Start-Run
        if ($Run.Mode -eq 'events') { Send-EventsAfter $Run.After }
        elseif ($Run.Outcome -ne 'waiting') { Invoke-Mode; Assert-EventsKept }
        $ended = $true
    }
    catch {
        $ended = $true
        if ($Run.Mode -eq 'events') { throw }   # an event of this run must not be mistaken for one of the other run
        $Run.Outcome = 'failed'
        $Run.Failure = $_.Exception
        $fields = Get-FailureField $_.Exception
        $fields.at = "line $($_.InvocationInfo.ScriptLineNumber)"
        Write-Event failed $fields
    }
    finally {
        if (-not $ended) { $Run.Outcome = 'stopped' }
        try { Complete-End -Stopped (-not $ended) }
        catch { $Run.Ended = $true; throw }   # a stop is not caught
        finally {
            # A stop interrupts even a block like this one, but only once.
            try { if (-not $Run.Ended -and $Run.Mode -ne 'events') { Complete-End -Stopped $true } }
            finally {
                Close-EventFile
                Exit-Lock
                $env:PSModulePath = $ModulePath
            }
        }
    }
}

function Complete-End([bool]$Stopped) {
    if ($Stopped) { Stop-Output }
    Undo-Bracket
    Complete-Switch
    if ($Run.Mode -ne 'events') { Complete-Run }
}

# Undo what an apply changed only while its steps ran. Nothing is thrown: the run must report its end.
function Undo-Bracket {
    if ($Run.Mode -ne 'apply' -or -not $Run.EventFile -or $Run.Left) { return }
    try { Undo-Record -BracketsOnly }
    catch {
        $Run.Outcome = 'failed'
        # It may be why the run failed, and is reported then.
        if ($Run.Failure -and $Run.Failure.Message -ceq $_.Exception.Message) { return }
        if (-not $Run.Failure) { $Run.Failure = $_.Exception }
        Write-Event failed (Get-FailureField $_.Exception)
    }
}

# The workstation stopped the pipeline, perhaps between writing an event and counting it.
function Stop-Output {
    $Run.Stopped = $true
    if ($Run.EventFile) { $Run.Events = @(Read-CompleteLine $Run.EventFile).Count }
}

# Events are written to the output of this function, whichever function reports them: no expression can swallow one.
function Invoke-Script {
    [CmdletBinding()]
    param()
    $Run.Pipeline = $PSCmdlet
    Invoke-Run | Write-OtherOutput
}

$ScriptText = $MyInvocation.MyCommand.ScriptBlock.ToString()
$EnvelopeLines = @(Read-EnvelopeLine $input)

Invoke-Script

if ($IsFile) {
    if ($Run.Outcome -eq 'reboot') { exit 3010 }
    if ($Run.Outcome -ne 'ok') { exit 3 }
    if ('test', 'status' -contains $Run.Mode -and $Run.Differs) { exit 2 }
    if ($Run.Reboot) { exit 3010 }
}

# ==== end: only a signature block may follow =======================================================================
