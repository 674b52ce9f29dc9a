# nbserver 0.2.0: sets up a secured notebook server on the Windows host 'least'.
#
# steps     preflight, tls, ie_esc, python, vc_redist, openssl, packages, path, certificate, notebook, past, service, firewall, check, former
# settings  the block below, data only; behind it the lock, one package a line. All else is the same for every host.
# by hand   powershell -NoProfile -ExecutionPolicy Bypass -File least.ps1               tells what differs, changes nothing
#           powershell -NoProfile -ExecutionPolicy Bypass -File least.ps1 -Mode apply   changes it
#           powershell -NoProfile -ExecutionPolicy Bypass -File least.ps1 -Mode undo    puts back what was there before
# ends with 0 as it should be, 2 something differs (test), 3 failed, 3010 a reboot is needed
# Needs Windows PowerShell 3.0 or newer, 64 bit, and administrator rights.

param(
    [ValidateSet('test', 'apply', 'undo', 'request')]
    [string]$Mode = 'test'
)

$Settings = ConvertFrom-Json '
{
 "adopt": false,
 "architecture": "x64",
 "certificate": {
  "days": 397,
  "names": ["least.example.com"],
  "source": "host",
  "thumbprint": null
 },
 "downloads": {
  "proxy": null
 },
 "firewall": {
  "remote_addresses": ["Any"]
 },
 "host": "least",
 "notebook": {
  "directory": "%ProgramData%\\nbserver\\notebooks",
  "ip": "*",
  "port": 9999,
  "session": 12
 },
 "openssl": {
  "executable": ["%ProgramFiles%\\OpenSSL\\bin\\openssl.exe", "%ProgramFiles%\\OpenSSL-Win64\\bin\\openssl.exe"],
  "kind": "msi",
  "sha256": "3d674aa1e3c50e89886c4a3805a65a093b3cb03054e3d2458c230c6d80435f1c",
  "size": 6045696,
  "url": "https://slproweb.com/download/Win64OpenSSL_Light-3_5_6.msi",
  "version": "3.5.6"
 },
 "packages": {
  "index_url": null,
  "installer": "auto",
  "lock_sha256": "034cdc4c19c9c63086d9cd1b7162f669a0907dee3219e18ea85f47d18bcbe0b1"
 },
 "path": {
  "entries": ["%ProgramFiles%\\nbserver\\env-3.13.13-034cdc4c\\Scripts"],
  "programs": true
 },
 "python": {
  "executable": ["python.exe"],
  "kind": "zip",
  "sha256": "5f066036aebfaa3aa9aa4d52f852022f24641e7b5bc52f2bf8bb7acbe7bab958",
  "size": null,
  "url": "https://www.python.org/ftp/python/3.13.13/python-3.13.13-amd64.zip",
  "version": "3.13.13"
 },
 "reboot": "never",
 "release": "0.2.0",
 "scope": "machine",
 "skip": [],
 "vc_redist": {
  "executable": [],
  "kind": "exe",
  "sha256": "843068991daaa1f73ad9f6239bce4d0f6a07a51f18c37ea2a867e9beca71295c",
  "size": 18731856,
  "url": "https://download.visualstudio.microsoft.com/download/pr/ebdab8e5-1d7b-4d9f-a11b-cbb1720c3b12/843068991DAAA1F73AD9F6239BCE4D0F6A07A51F18C37EA2A867E9BECA71295C/VC_redist.x64.exe",
  "version": "14.51.36247.0"
 },
 "windows": null
}
'

$Lock = @(
    'anyio==4.16.0 --hash=sha256:c66ae634e0b8228396b801741beb3294326d4b6102f7bba4041c0dfb58c29026'
    'argon2-cffi==25.1.0 --hash=sha256:fdc8b074db390fccb6eb4a3604ae7231f219aa669a2652e0f20e16ba513d5741'
    'argon2-cffi-bindings==26.2.0 --hash=sha256:d2d4ae065e7cce4b286d3eb7c59128bfd11f8e407863b88629e9d391b864a3df'
    'arrow==1.4.0 --hash=sha256:749f0769958ebdc79c173ff0b0670d59051a535fa26e8eba02953dc19eb43205'
    'asttokens==3.0.2 --hash=sha256:9da13157f5b28becde0bd374fc677dcd3c290614264eff096f167c469cd9f933'
    'async-lru==2.4.0 --hash=sha256:1b46a96419ef91fe11431d58db98d792c9b4250001427191a40faf1031934212'
    'attrs==26.1.0 --hash=sha256:c647aa4a12dfbad9333ca4e71fe62ddc36f4e63b2d260a37a8b83d2f043ac309'
    'babel==2.18.0 --hash=sha256:e2b422b277c2b9a9630c1d7903c2a00d0830c409c59ac8cae9081c92f1aeba35'
    'beautifulsoup4==4.15.0 --hash=sha256:d6f88de62e1d4e38ecb1077eb9724cd0eff29d2a08ca16a401e9b9e93f117cf9'
    'bleach==6.4.0 --hash=sha256:4b6b6a54fff2e69a3dde9d21cc6301220bee3c3cb792187d11403fd795031081'
    'certifi==2026.10.18 --hash=sha256:73191c47aaa79da394e8fee2dbc2ec827432cab56311122c9e47abf79e390f62'
    'cffi==2.1.1 --hash=sha256:1aa5645c30469b09530c4ebca77ebf8f17618293c58f8549cb1a543a50236e7d'
    'charset-normalizer==3.5.2 --hash=sha256:78456a747de8dc58360ffa581f30a002baf5aa28cb262536545e91f113ed7639'
    'colorama==0.4.6 --hash=sha256:4f1d9991f5acc0ca119f9d443620b77f9d6b33703e51011c16baf57afb285fc6'
    'comm==0.2.3 --hash=sha256:c615d91d75f7f04f095b30d1c1711babd43bdc6419c1be9886a85f2f4e489417'
    'contourpy==1.4.0 --hash=sha256:6507a016976a75a15aee47809a34605de6244ccc056e6164bf9fb14b27eecad4'
    'cryptography==50.0.2 --hash=sha256:7afa5a6602a9f29af1f3a2965f831bae7c9d5d597b7cbb716d41ab3b7d89879c'
    'cycler==0.12.1 --hash=sha256:85cef7cff222d8644161529808465972e51340599459b8ac3ccbac5a854e0d30'
    'debugpy==1.8.22 --hash=sha256:f49b1d6cecf326b63c06d7f517e4a6642777f758c58cb799e7bc5a6dd74721c2'
    'defusedxml==0.7.1 --hash=sha256:a352e7e428770286cc899e2542b6cdaedb2b4953ff269a210103ec58f6198a61'
    'executing==2.3.0 --hash=sha256:736e859c9f8701f11fcf516856f26f562e04776387824b43a35a1dfe21c84122'
    'fastjsonschema==2.22.3 --hash=sha256:f670b443830b75aca3f00b75949efa20f4b2a80302ec7a21505c28dd54cffd43'
    'fonttools==4.68.0 --hash=sha256:6ed796b220654b4d37ad20af73419ec7969b669dd678cab88afb602c5683a331'
    'fqdn==1.6.0 --hash=sha256:6c793c312ccfa29981e1135b3ef5e1277ebe639731a6b0f7350d90e96e63f0b4'
    'h11==0.16.0 --hash=sha256:63cf8bbe7522de3bf65932fda1d9c2772064ffb3dae62d55932da54b31cb6c86'
    'httpcore==1.0.9 --hash=sha256:2d400746a40668fc9dec9810239072b40b4484b640a8c38fd654a024c7a1bf55'
    'httpx==0.28.1 --hash=sha256:d909fcccc110f8c7faf814ca82a9a4d816bc5a6dbfea25d6591d6985b8ba59ad'
    'idna==3.20 --hash=sha256:ab7ae7122974553370f0bdb919e1a960b2cd1bc1ef0276416d896db81c14582c'
    'ipykernel==7.4.0 --hash=sha256:a6757f790ddc5a6006b813d82da1a9dbb65b3a00f2b6607df776418c6566ec1c'
    'ipython==9.18.1 --hash=sha256:997ce9140d374531a61069c70c0f9ef299d6dd3559ea0f94b8af589726e3c1d5'
    'ipython-pygments-lexers==1.1.1 --hash=sha256:a9462224a505ade19a605f71f8fa63c2048833ce50abc86768a0d81d876dc81c'
    'isoduration==20.11.0 --hash=sha256:b2904c2a4228c3d44f409c8ae8e2370eb21a26f7ac2ec5446df141dde3452042'
    'jedi==0.20.1 --hash=sha256:0fb16d86c4a4c73c37ba518c77419975e30fcc620658a8d14fbb5720cdd34142'
    'jinja2==3.1.6 --hash=sha256:85ece4451f492d0c13c5dd7c13a64681a86afae63a5f347908daf103ce6d2f67'
    'json5==0.17.3 --hash=sha256:2c8b22a893c35cd6a3c5ccbf1dd1c7d02c25dc1b5897fea658f9bf08c2e05f9a'
    'jsonpointer==3.12 --hash=sha256:89f391335ee2719ae72149e1bf30a4d4c7c5d92f15a3f53faa8d20cc7c6c7f19'
    'jsonschema==4.26.0 --hash=sha256:d489f15263b8d200f8387e64b4c3a75f06629559fb73deb8fdfb525f2dab50ce'
    'jsonschema-specifications==2025.9.1 --hash=sha256:98802fee3a11ee76ecaca44429fda8a41bff98b00a0f2838151b113f210cc6fe'
    'jupyter-builder==1.3.0 --hash=sha256:87148399852377bea07ca77660e497b387c365558d187673eeacd583cfd6cf95'
    'jupyter-client==8.10.0 --hash=sha256:5f73f24f22fa25192cfff6b23c051932a2473a797b05734aff495b392103e14e'
    'jupyter-core==5.9.1 --hash=sha256:ebf87fdc6073d142e114c72c9e29a9d7ca03fad818c5d300ce2adc1fb0743407'
    'jupyter-events==0.12.1 --hash=sha256:c366585253f537a627da52fa7ca7410c5b5301fe893f511e7b077c2d93ec8bcf'
    'jupyter-lsp==2.3.1 --hash=sha256:71b954d834e85ff3096400554f2eefaf7fe37053036f9a782b0f7c5e42dadb81'
    'jupyter-server==2.21.1 --hash=sha256:2a6467606af7dbae2e7e31640030025969e15db6a649eae334af90415dc71dca'
    'jupyter-server-terminals==0.5.4 --hash=sha256:55be353fc74a80bc7f3b20e6be50a55a61cd525626f578dcb66a5708e2007d14'
    'jupyterlab==4.6.6 --hash=sha256:4261910ccf1ecad6e0b3ca0debe96d4fde9735bfc9707509c125aab850e06b81'
    'jupyterlab-pygments==0.3.0 --hash=sha256:841a89020971da1d8693f1a99997aefc5dc424bb1b251fd6322462a1b8842780'
    'jupyterlab-server==2.28.1 --hash=sha256:4bd36c7c11d872e15cefa4951e12380a47e6901687165332dd50a007cb367ad9'
    'kiwisolver==1.5.1 --hash=sha256:dc23390afe9f4ef9ac3bcc72a03a56eebbde03f4c571a32cb38f859cff9a6524'
    'lark==1.3.1 --hash=sha256:c629b661023a014c37da873b4ff58a817398d12635d3bbb2c5a03be7fe5d1e12'
    'markupsafe==3.0.4 --hash=sha256:1f1f9477e174582b0a1b583d60b66e1f2cf5d3fe12cee985e4aedf44766600e5'
    'matplotlib==3.11.2 --hash=sha256:bc067c462a86f0e57bf52fc6e058d90171a5420007dac00c46e90153050c69a7'
    'matplotlib-inline==0.2.2 --hash=sha256:3c821cf1c209f59fb2d2d64abbf5b23b67bcb2210d663f9918dd851c6da1fcf6'
    'mistune==3.4.0 --hash=sha256:d03cec4c8620f21517a996d82d14f3b59c30d79bda2cc6c56bd32b839f18ce6b'
    'nbclient==0.11.0 --hash=sha256:ef7fa0d59d6e1d41103933d8a445a18d5de860ca6b613b87b8574accdb3c2895'
    'nbconvert==7.17.2 --hash=sha256:6a143c11c00bf831604da4b1be4347d36ea52367057eb920135d69bc2862fed2'
    'nbformat==5.11.1 --hash=sha256:cc6698fa75f4fab8755ead786317815f13a6fee3b53311c0abb1a8b51d52f7ec'
    'nest-asyncio2==1.7.4 --hash=sha256:86e77b52c3d1496b294af3c944b44213b9b82a12a5ee590c0acc4ca4692ef6c7'
    'notebook==7.6.5 --hash=sha256:b27b4af6e410e7456cfffc6fb5a764dcfb7a331408907d483024d6ddb5ec05f2'
    'notebook-shim==0.2.4 --hash=sha256:411a5be4e9dc882a074ccbcae671eda64cceb068767e9a3419096986560e1cef'
    'numpy==2.5.5 --hash=sha256:e0608d1585557b68dcb6a70a41654f7536567960afad79d91752d2863b242b68'
    'packaging==26.3 --hash=sha256:d7193f7c8e4e93f444fde0262bf90af30e16fa0ad0ad44cb553c87339b23cd1c'
    'pandocfilters==1.5.1 --hash=sha256:93be382804a9cdb0a7267585f157e5d1731bbe5545a85b268d6f5fe6232de2bc'
    'parso==0.8.7 --hash=sha256:a8926eb2a1b915486941fdbd31e86a4baf88fe8c210f25f2f35ecec5b574ca1c'
    'pillow==13.0.0 --hash=sha256:9dda0788a9932776a75d8bcc020076edc308ce2508b51f6739a45e3158b3fc42'
    'platformdirs==4.14.7 --hash=sha256:391513b74707c42335fff3ea17eaac657a7ee9ffcadd809634d34ea594d0122c'
    'prometheus-client==0.26.0 --hash=sha256:fa93d06737aa02bacd05794768508bb97d2fbee28cb3bca04eaae92f0ca953d6'
    'prompt-toolkit==3.0.53 --hash=sha256:01c0891d7f9237d5e339f7d3e42cdae80b7534abb1c7c0e3352efba6231492f2'
    'psutil==7.2.2 --hash=sha256:eb7e81434c8d223ec4a219b5fc1c47d0417b12be7ea866e24fb5ad6e84b3d988'
    'pure-eval==0.2.4 --hash=sha256:96cae060a313cfaad51bb761278bfb0e62dc0248d9315a81173752dc546cd37a'
    'pycparser==3.12 --hash=sha256:a076f3f489b39b43ed13563a1dafe42447445bec2e294154ec5c57fcdda4c85e'
    'pygments==2.21.0 --hash=sha256:2363c69b61c4a97c838da3b130dcd6468f4848992b21a82f2a63ec34377137d9'
    'pyparsing==3.3.3 --hash=sha256:ece8c00a69cf01b45d0b1dedabb469c90d8caf996d4fda40f147627a122849a4'
    'python-dateutil==4.0.0 --hash=sha256:a5e246f79eb80475e691bf93862cead98decd8a498cf53ba0516fcdc0f50dc1c'
    'python-json-logger==4.2.0 --hash=sha256:158a52126fcd6869e09574d2b66272666f3dc8f468c62637ef9a1fa883719cb9'
    'pywinpty==3.1.2 --hash=sha256:d968dc4300b497f048318387781ed9931dc0038815f25b4f642a1749448769cb'
    'pyyaml==6.0.3 --hash=sha256:79005a0d97d5ddabfeeea4cf676af11e647e41d81c9a7722a193022accdb6b7c'
    'pyzmq==27.3.0 --hash=sha256:3ea8e8fa5c097e68fef91d70b150fda96f307758103868018fc4deeb9c214122'
    'referencing==0.37.0 --hash=sha256:381329a9f99628c9069361716891d34ad94af76e461dcb0335825aecc7692231'
    'requests==2.34.2 --hash=sha256:2a0d60c172f83ac6ab31e4554906c0f3b3588d37b5cb939b1c061f4907e278e0'
    'rfc3339-validator==0.1.4 --hash=sha256:24f6ec1eda14ef823da9e36ec7113124b39c04d50a4d3d3a3c2859577e7791fa'
    'rfc3986-validator==0.1.1 --hash=sha256:2f235c432ef459970b4306369336b9d5dbdda31b510ca1e327636e01f528bfa9'
    'rfc3987-syntax==1.1.0 --hash=sha256:6c3d97604e4c5ce9f714898e05401a0445a641cfa276432b0a648c80856f6a3f'
    'rpds-py==2026.9.1 --hash=sha256:3e93b2cd69a9830be33e03945cd7cda940a0a8bfcfbff41d6144f0cb0d3d8bd9'
    'send2trash==2.2.0 --hash=sha256:7f540296d59744fbf2f88b0d6f3a484af78c94d3c20e0875a4d5eed61aef037c'
    'six==1.17.0 --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274'
    'soupsieve==4.1.2 --hash=sha256:96b4115212a3abee1f572d62da706cca090b088cb5effa278db5702122e63a2c'
    'stack-data==0.6.3 --hash=sha256:d5558e0c25a4cb0853cddad3d77da9891a08cb85dd9f9f91b9f8cd66e511e695'
    'terminado==0.18.1 --hash=sha256:a4468e1b37bb318f8a86514f65814e1afc977cf29b3992a4500d9dd305dcceb0'
    'tinycss2==1.5.1 --hash=sha256:3415ba0f5839c062696996998176c4a3751d18b7edaaeeb658c9ce21ec150661'
    'tornado==6.6.1 --hash=sha256:5cb82ca38596e1350fceaf994f287847f82f7b8436380d36ba0937a03107d0ee'
    'traitlets==5.16.1 --hash=sha256:f775618166caa0396c8e337099240f2bd3e5e917d203b2e6fbe21a58d3cb1f6b'
    'typing-extensions==4.16.0 --hash=sha256:481caa481374e813c1b176ada14e97f1f67a4539ce9cfeb3f350d78d6370c2e8'
    'tzdata==2026.6 --hash=sha256:0a10eec6e13ef16b627fabed9a5f2ba61a62b1c67f327305f4e7e412a70b4aec'
    'uri-template==1.3.0 --hash=sha256:a44a133ea12d44a0c0f06d7d42a52d71282e77e2f937d8abd5655b8d56fc1363'
    'urllib3==2.8.0 --hash=sha256:0cf3cae568d36aa9576b28dfb35f11328f1cb974ca7647d9475ebb86c75ac6e3'
    'uv==0.13.9 --hash=sha256:6a44b2ed8111d2f60d2b92627c5dccda3f7ed7570b18ce115e569cd68c28246b'
    'wcwidth==0.9.4 --hash=sha256:f28d77153303450ee13ebbe888297e75cf532c754555b6cabafc9bdda16c421c'
    'webcolors==25.10.0 --hash=sha256:032c727334856fc0b968f63daa252a1ac93d33db2f5267756623c210e57a4f1d'
    'webencodings==0.6.1 --hash=sha256:7fab6269c8bf237c657876b52058ccb182e861518d1c695c1a9aaa8c1c105d5b'
    'websocket-client==1.9.2 --hash=sha256:e1a673830a9c7bfa47b1cd3d5e4178f4c9651d80a4eab02c9c23a1c3ec6250ce'
)

# ==== body: from this line to the end the script is the same for every Windows host of a release ========
# Order: prelude (what every step may use), steps (each a Test and an Apply), main (walks the steps).

$IsFile = "$($MyInvocation.MyCommand.CommandType)" -eq 'ExternalScript'   # by hand or by the bootstrap; else a pipeline's text

# Where application control or the endpoint gives PowerShell a restricted language, only commands and a few
# types work: enough to say so, in two events, and not to hash this script. Nothing has been changed then.
if ("$($ExecutionContext.SessionState.LanguageMode)" -ne 'FullLanguage') {
    $Head = '{"v":1,"time":"' + [DateTime]::UtcNow.ToString('o') + '","step":"","n":'
    $Head + '1,"event":"failed","text":"PowerShell runs in ' + $ExecutionContext.SessionState.LanguageMode +
    ' mode here, and this script needs FullLanguage. Ask for an exception for this script in the application control policy of this host' +
    ' (WDAC or AppLocker). If the mode is that of the endpoint only, name another one with configuration_name in the inventory"}'
    $Head + '2,"event":"finished","outcome":"failed","differs":false,"changed":0,"reboot":false,"fingerprint":""}'
    if ($IsFile) { exit 3 }
    return
}

# Commands come from Windows' own modules: PSModulePath may name a folder that others can write in.
$ModulePath = $env:PSModulePath
$env:PSModulePath = "$PSHOME\Modules;$env:SystemRoot\System32\WindowsPowerShell\v1.0\Modules"

Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

# ---- prelude: places, and the state of this run --------------------------------------------------------

$Programs = Join-Path $env:ProgramFiles 'nbserver'       # only administrators write here
$StateFolder = Join-Path $env:ProgramData 'nbserver'     # only SYSTEM and administrators read or write here
$ServiceFolder = Join-Path $StateFolder 'service'        # configuration, certificate and key: the service reads
$WorkFolder = Join-Path $StateFolder 'work'              # the service's own: it reads and writes
$CacheFolder = Join-Path $StateFolder 'cache'            # downloads
$RecordFile = Join-Path $StateFolder 'record.jsonl'      # what was there before, for undo
$LockFile = Join-Path $StateFolder 'lock'                # held while a run changes this host

$Utf8 = New-Object Text.UTF8Encoding $false              # the one encoding of every file written: no BOM
$Steps = New-Object Collections.ArrayList
$Run = @{
    Id = ''; Mode = ''; Operator = ''; After = 0; Step = ''; Events = 0; EventFile = ''; Lock = $null
    Differences = $null; Changed = 0; Differs = $false; Outcome = 'ok'; Stopped = $false; Reboot = $false; Fingerprint = ''
    Boot = ''; BootBefore = ''; Restarts = 0; Restarting = $false; Pending = ''; ClockAhead = [TimeSpan]::Zero; Unkept = ''
    FormerSalt = ''; NewSalt = $false   # what password hashes a new one may replace; see the step notebook
    ExitCode = 0; Output = @(); ForeignNamed = $false
}

# Test tells what differs and changes nothing; Apply changes it. A bracket is applied before the other
# steps, only when one of them has work to do, and put back when they are done or have failed.
function Step([string]$Name, [string]$Title, [scriptblock]$Test, [scriptblock]$Apply, [switch]$Bracket) {
    [void]$Steps.Add(@{ Name = $Name; Title = $Title; Test = $Test; Apply = $Apply; Bracket = [bool]$Bracket })
}

# A step's Test calls this for each thing that is not as it should be; main tells.
function Difference([string]$What, $Is, $Should) {
    [void]$Run.Differences.Add(@{ what = $What; is = $Is; should = $Should })
}

# Settings name places as %ProgramFiles%\...: this host says where that is.
function Expand-Path([string]$Path) {
    [Environment]::ExpandEnvironmentVariables($Path)
}

# ---- prelude: the one hash of this script --------------------------------------------------------------

# The SHA-256 of bytes, or of a stream to its end, in hex. FIPS mode forbids the managed class; this one
# calls Windows.
function Get-Sha256($Source) {
    $sha256 = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    try { ([BitConverter]::ToString($sha256.ComputeHash($Source)) -replace '-', '').ToLowerInvariant() }
    finally { $sha256.Dispose() }
}

# ---- prelude: events, all that this script says --------------------------------------------------------

# An event is one line of JSON, in ASCII whatever it says. n counts up, so that a reader sees a loss.
# A test leaves nothing on the host; other runs keep their events there too, before they are sent.
function Write-Event([string]$Event, [hashtable]$Data = @{}) {
    $Run.Events++
    $fields = [ordered]@{ v = 1; n = $Run.Events; time = [DateTime]::UtcNow.ToString('o'); step = $Run.Step; event = $Event }
    foreach ($name in $Data.Keys | Sort-Object) { $fields[$name] = $Data[$name] }
    $json = ConvertTo-AsciiJson (ConvertTo-Json $fields -Compress -Depth 4)
    if ($Run.EventFile -and -not $Run.Unkept) {
        # From the first that could not be kept on none is: behind a torn line the others would be lost.
        try { [IO.File]::AppendAllText($Run.EventFile, $json + "`n", $Utf8) }
        catch { $Run.Unkept = "this run's events could not be kept in $($Run.EventFile): $_. $(Get-Remedy $_.Exception 'Mend that, then run this again')" }
    }
    # A stopped pipeline takes no output any more; the file has the event.
    if (-not $Run.Stopped) { New-Object PSObject -Property @{ NbserverEvent = $json } }
}

# JSON that means the same in every encoding. Line feeds stay.
function ConvertTo-AsciiJson([string]$Json) {
    [regex]::Replace($Json, '[^\n\x20-\x7e]', { param($match) '\u{0:x4}' -f [int][char]$match.Value })
}

# What happens on a host is kept there as evidence: without it a run goes no further.
function Assert-Kept {
    if ($Run.Unkept) { throw $Run.Unkept }
}

# The end of the pipe: events leave as their JSON, and whatever else a step let out becomes a log event,
# so that no program's output can pass for an event.
filter Out-Event {
    if ($_ -is [Management.Automation.PSCustomObject] -and $_.PSObject.Properties['NbserverEvent']) { $_.NbserverEvent }
    else { (Write-Event log @{ text = [string]$_ }).NbserverEvent }
}

# Sends again what run $Run.Id wrote after event $After, and goes on while that run holds the lock.
function Send-EventsAfter([int]$After) {
    $file = Join-Path $StateFolder "runs\$($Run.Id)\events.jsonl"
    if (-not (Test-Path -LiteralPath $file)) { throw "this host knows no run '$($Run.Id)'" }
    $sent = $After
    do {
        # Asked before reading: what was written before the lock was given back is then read for certain.
        $running = (Get-LockOwner) -cmatch "^run $([regex]::Escape($Run.Id))\b"
        $lines = @(Read-CompleteLines $file)
        for ($i = $sent; $i -lt $lines.Count; $i++) { $lines[$i] }
        if ($lines.Count -gt $sent) { $sent = $lines.Count }
        if ($running) { [Threading.Thread]::Sleep(500) }
    } while ($running)
}

# Lines that end; a line still being written, or torn by a crash, is left out.
function Read-CompleteLines([string]$File) {
    $stream = [IO.File]::Open($File, 'Open', 'Read', 'ReadWrite')
    try { $text = (New-Object IO.StreamReader($stream, $Utf8)).ReadToEnd() } finally { $stream.Close() }
    $text.Substring(0, $text.LastIndexOf([char]10) + 1).Split([char[]]"`n", [StringSplitOptions]::RemoveEmptyEntries)
}

# The last lines of a file that others can write, such as the server's log: not of what a link leads to, and from the
# last 16 KB only.
function Read-LastLines([string]$File, [int]$Count) {
    $links = @(Get-Links $File)
    if ($links.Count) { return "it was not read, because $($links[0]) is a link" }
    $stream = [IO.File]::Open($File, 'Open', 'Read', 'ReadWrite, Delete')
    try {
        if ($stream.Length -gt 16384) { [void]$stream.Seek($stream.Length - 16384, 'Begin') }
        $bytes = New-Object byte[] 16384
        $size = $stream.Read($bytes, 0, $bytes.Length)
    }
    finally { $stream.Close() }
    $Utf8.GetString($bytes, 0, $size).Split([char[]]"`n", [StringSplitOptions]::RemoveEmptyEntries) | Select-Object -Last $Count
}

# ---- prelude: the envelope, the only input of a run beside this script ---------------------------------
# Lines of `name value`: mode test|apply|undo|request|events, run ID, operator BASE64, time UTC, after N,
# boot-before TIME, restarts N, former-salt SALT, new-salt yes, secret NAME BASE64.
# Secrets stay in $Secrets and touch .NET methods only: what goes through a command's parameters
# can end in Windows' module logging.

$Secrets = @{}

function Read-Envelope {
    $Run.Mode = $Mode
    $number = 0
    foreach ($line in $EnvelopeLines) {
        $number++
        $word = ([string]$line).Split([char[]]' ')
        if ($word[0] -ceq 'mode' -and $word.Count -eq 2 -and 'test', 'apply', 'undo', 'request', 'events' -ccontains $word[1]) { $Run.Mode = $word[1] }
        elseif ($word[0] -ceq 'run' -and $word.Count -eq 2 -and $word[1] -cmatch '\A[0-9A-Za-z-]{1,64}\z') { $Run.Id = $word[1] }
        elseif ($word[0] -ceq 'operator' -and $word.Count -eq 2) { $Run.Operator = $Utf8.GetString([Convert]::FromBase64String($word[1])) }
        elseif ($word[0] -ceq 'time' -and $word.Count -eq 2 -and $word[1] -cmatch '\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\z') {
            # How much this host's clock is ahead of the workstation's, as a time span; preflight looks at it.
            $theirs = [DateTime]::ParseExact($word[1], "yyyy-MM-dd'T'HH:mm:ss'Z'", [Globalization.CultureInfo]::InvariantCulture, 'AssumeUniversal, AdjustToUniversal')
            $Run.ClockAhead = [DateTime]::UtcNow - $theirs
        }
        elseif ($word[0] -ceq 'after' -and $word.Count -eq 2 -and $word[1] -cmatch '\A[0-9]{1,9}\z') { $Run.After = [int]$word[1] }
        elseif ($word[0] -ceq 'boot-before' -and $word.Count -eq 2 -and $word[1] -cmatch '\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\z') { $Run.BootBefore = $word[1] }
        elseif ($word[0] -ceq 'restarts' -and $word.Count -eq 2 -and $word[1] -cmatch '\A[0-9]\z') { $Run.Restarts = [int]$word[1] }
        elseif ($word[0] -ceq 'former-salt' -and $word.Count -eq 2 -and $word[1] -cmatch '\A[A-Za-z0-9+/]{22}\z') {
            $Run.FormerSalt = $word[1]
        }
        elseif ($word[0] -ceq 'new-salt' -and $word.Count -eq 2 -and $word[1] -ceq 'yes') { $Run.NewSalt = $true }
        elseif ($word[0] -ceq 'secret' -and $word.Count -eq 3 -and $word[1] -cmatch '\A[a-z][a-z0-9_.]*\z') { $Secrets[$word[1]] = $Utf8.GetString([Convert]::FromBase64String($word[2])) }
        else { throw "line $number of the envelope is none that this script knows" }   # not quoted: it may be a secret
    }
    if (-not $Run.Id) { $Run.Id = [DateTime]::UtcNow.ToString("yyyyMMdd'T'HHmmss'Z'", [Globalization.CultureInfo]::InvariantCulture) + '-by-hand' }
}

# Run by hand, an apply asks for what the envelope would have brought.
function Request-Secret([string]$Name, [string]$Prompt) {
    if ($Secrets.ContainsKey($Name) -or $Run.Mode -ne 'apply') { return }
    $typed = Read-Host -Prompt $Prompt -AsSecureString
    $Secrets[$Name] = (New-Object Net.NetworkCredential('', $typed)).Password
}

# Where none is given, the one that an earlier run put into a file stays: $Pattern's first group.
function Read-KeptSecret([string]$Name, [string]$File, [string]$Pattern) {
    if ($Secrets.ContainsKey($Name) -or -not (Test-Path -LiteralPath $File) -or -not (Test-Record 'file' $File)) { return }
    $found = [regex]::Match([IO.File]::ReadAllText($File, $Utf8), $Pattern)
    if ($found.Success) { $Secrets[$Name] = $found.Groups[1].Value }
}

# The part of a secret that is not secret, such as the salt in a hash: $Pattern's first group.
function Get-SecretPart([string]$Name, [string]$Pattern) {
    if ($Secrets.ContainsKey($Name)) { [regex]::Match($Secrets[$Name], $Pattern).Groups[1].Value } else { '' }
}

# The text with its @NAME@ replaced by the secret of that name.
function Expand-Secret([string]$Text, [string]$Name) {
    if ($Name) { $Text.Replace("@$Name@", $Secrets[$Name]) } else { $Text }
}

# ---- prelude: one run at a time on this host -----------------------------------------------------------

# Windows itself gives the lock back when the process that holds it ends, however it ends.
function Enter-Lock {
    # Who asks for the owner (Get-LockOwner) has the file open for a moment: that is no other run.
    for ($try = 1; -not $Run.Lock; $try++) {
        try { $Run.Lock = [IO.File]::Open($LockFile, 'OpenOrCreate', 'ReadWrite', 'Read') }
        catch [IO.IOException] {
            if ($try -ge 6) { throw "another run changes this host: $(Get-LockOwner). Wait until it ends, then run this again" }
            [Threading.Thread]::Sleep(100)
        }
    }
    $owner = $Utf8.GetBytes("run $($Run.Id), mode $($Run.Mode), by '$($Run.Operator)', process $PID, since $([DateTime]::UtcNow.ToString('o'))")
    $Run.Lock.SetLength(0)
    $Run.Lock.Write($owner, 0, $owner.Length)
    $Run.Lock.Flush()
}

function Exit-Lock {
    if (-not $Run.Lock) { return }
    $Run.Lock.SetLength(0)
    $Run.Lock.Close()
    $Run.Lock = $null
}

# Who holds the lock, or nothing: the text is emptied when the lock is given back, and a lock that can be
# taken belongs to nobody, whatever its dead owner left in it.
function Get-LockOwner {
    if (-not (Test-Path -LiteralPath $LockFile)) { return }
    try { [IO.File]::Open($LockFile, 'Open', 'ReadWrite', 'Read').Close() }
    catch [IO.IOException] {
        $stream = [IO.File]::Open($LockFile, 'Open', 'Read', 'ReadWrite')
        try { (New-Object IO.StreamReader($stream, $Utf8)).ReadToEnd() } finally { $stream.Close() }
    }
}

# ---- prelude: paths, and which of them this script may change ------------------------------------------
# The service, and people who share a folder with it, could put a link where this script works: a junction that
# leads to a folder of Windows. Nothing is created, granted, put back or removed through a link.

$UserPlace = ''   # in scope user, the user's own folder: it and those above it are where Windows has put them

# The path is of something in the folder, however deep. Windows' paths are compared without regard to case.
function Test-Below([string]$Path, [string]$Folder) {
    $Path.StartsWith("$Folder\", [StringComparison]::OrdinalIgnoreCase)
}

# A junction, a symbolic link, a mounted volume: whatever Windows calls a reparse point.
function Test-Link([string]$Path) {
    if (-not [IO.File]::Exists($Path) -and -not [IO.Directory]::Exists($Path)) { return $false }
    [bool]([IO.File]::GetAttributes($Path) -band [IO.FileAttributes]::ReparsePoint)
}

# The links on the way to a path from its drive, the path itself included.
function Get-Links([string]$Path) {
    for ($one = $Path; $one -ne $UserPlace -and ($above = Split-Path -Parent $one); $one = $above) { if (Test-Link $one) { $one } }
}

# Called right before each change.
function Assert-NoLink([string]$Path) {
    foreach ($link in @(Get-Links $Path)) {
        throw "$Path is left alone: $link is a link (a junction, a symbolic link or a mounted volume). " +
        'Look at where it leads and remove the link'
    }
}

# A file that is held open in a folder keeps Windows from renaming that folder and those above it, and from making
# one of them a link. It is closed with .Close(), and is gone then.
function Lock-Folder([string]$Path) {
    Assert-NoLink $Path
    $file = Join-Path $Path "nbserver-$([guid]::NewGuid()).lock"
    $lock = New-Object IO.FileStream $file, ([IO.FileMode]::CreateNew), ([IO.FileAccess]::Write),
    ([IO.FileShare]::None), 1, ([IO.FileOptions]::DeleteOnClose)
    try { Assert-NoLink $Path } catch { $lock.Close(); throw }
    $lock
}

# ---- undo acts on these only, whatever the record says

$PathKinds = 'folder', 'access', 'data_folder', 'grant', 'file', 'process', 'msi', 'bundle', 'inno'

function Assert-KnownPath([string]$Path) {
    if ($Path -eq [IO.Path]::GetFullPath($Path)) {
        foreach ($known in $Programs, $StateFolder) { if ($Path -eq $known -or (Test-Below $Path $known)) { return } }
        if ($Path.TrimEnd('\') -eq (Expand-Path $Settings.notebook.directory).TrimEnd('\')) { return }
    }
    throw "the record names $Path, which is neither in a folder of nbserver nor the notebook.directory of these " +
    'settings. If it is an earlier notebook.directory, write it into the inventory and run undo again'
}

# ---- who else has access

$TrustedInstaller = 'S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464'

# Who else than $Allowed owns this or has one of these rights, in words; nothing where nobody has. -Here leaves
# out what only things made in it would get.
function Get-AccessFault([string]$Path, [string[]]$Allowed, [int]$Rights, [switch]$Here) {
    if (Test-Link $Path) { return "$Path is a link" }
    $acl = Get-Acl -LiteralPath $Path
    $owner = $acl.GetOwner([Security.Principal.SecurityIdentifier]).Value
    if ($Allowed -notcontains $owner) { return "$Path belongs to $owner" }
    foreach ($rule in $acl.GetAccessRules($true, $true, [Security.Principal.SecurityIdentifier])) {
        $who = $rule.IdentityReference.Value
        if ([string]$rule.AccessControlType -ne 'Allow' -or $Allowed -contains $who) { continue }
        if (-not ([int]$rule.FileSystemRights -band $Rights)) { continue }
        if ($Here -and [int]$rule.PropagationFlags -band 2) { continue }   # InheritOnly
        return "$who has access to $Path"
    }
}

# Who else than $Allowed could put another folder in this one's place: who may delete or rename it or one above it,
# change their permissions, or take them over. That others may add folders to a drive, as Windows has it, does no harm.
# What is not there yet is left out. Rights: ChangePermissions, TakeOwnership, GENERIC_ALL; Delete; and of those above
# DeleteSubdirectoriesAndFiles.
function Get-PathFault([string]$Path, [string[]]$Allowed) {
    for ($one = $Path; $one; $one = $above) {
        $above = Split-Path -Parent $one
        if (-not (Test-Path -LiteralPath $one)) { continue }
        $rights = 0x100C0000
        if ($above) { $rights = $rights -bor 0x10000 }           # a drive itself is not renamed
        if ($one -ne $Path) { $rights = $rights -bor 0x40 }
        $fault = Get-AccessFault $one $Allowed $rights -Here
        if ($fault) { return $fault }
    }
}

# ---- a folder that the service may write in, chosen in the inventory (notebook.directory)

# Why the service must not get access to a folder of this name, in words; nothing where it may.
function Get-FolderNameFault([string]$Folder) {
    if ($Folder -match '~\d|[. ](\\|$)') { return 'a part of it is a short name, or ends with a period or a space' }
    if ($Folder -cmatch '\A[A-Za-z]:\z') { return 'it is a whole drive' }
    # C:\\Windows and C:/Windows are C:\Windows too; the names below are compared with a path as Windows writes it.
    if ($Folder -cnotmatch '\A[A-Za-z]:\\[^:]+\z' -or $Folder -ne [IO.Path]::GetFullPath($Folder)) {
        return 'it is not written as Windows writes it, with a drive and single backslashes'
    }
    $users = @("$env:SystemDrive\Users")
    if ($env:PUBLIC) { $users += Split-Path -Parent $env:PUBLIC }
    if ($users + $env:ProgramData -contains $Folder) { return 'it holds folders of others than nbserver' }
    if ($users -contains (Split-Path -Parent $Folder)) { return "it is a user's whole profile" }
    $drive = [IO.Path]::GetPathRoot($Folder)
    $hidden = 'System Volume Information', '$Recycle.Bin', 'Recovery', 'Boot', 'EFI' | ForEach-Object { "$drive$_" }
    foreach ($system in @($env:SystemRoot, $env:ProgramFiles, ${env:ProgramFiles(x86)}) + $hidden) {
        if (-not $system) { continue }
        if ($Folder -eq $system -or (Test-Below $Folder $system)) { return 'it belongs to Windows or to programs' }
    }
    $own = Join-Path $StateFolder 'notebooks'
    if ($Folder -eq $own -or (Test-Below $Folder $own)) { return }
    if ($Folder -eq $StateFolder -or (Test-Below $Folder $StateFolder)) { return "in $StateFolder only $own is for notebooks" }
}

# Right before each change of it, and in preflight. In scope user the service is the user, who gets nothing by it.
function Assert-DataFolder([string]$Path) {
    if ($Settings.scope -eq 'user') { return }
    $folder = $Path.TrimEnd('\')
    $fault = Get-FolderNameFault $folder
    if ($fault) { throw "$Path cannot be notebook.directory: $fault. Choose another folder in the inventory" }
    Assert-NoLink $folder
    # S-1-3-4 is the folder's own owner, whoever that is; and whoever runs this is an administrator.
    $allowed = $Trusted + $TrustedInstaller + $ServiceSid + 'S-1-3-4' + $UserSid
    if (Test-Path -LiteralPath $folder) {
        $allowed += (Get-Acl -LiteralPath $folder).GetOwner([Security.Principal.SecurityIdentifier]).Value
    }
    $fault = Get-PathFault $folder $allowed
    if (-not $fault) { return }
    throw "$Path cannot be notebook.directory, because others could put another folder in its place: $fault. " +
    'Let only administrators own and delete it and change its permissions, or choose another folder in the inventory'
}

# ---- prelude: the record, what was there before a thing was first changed ------------------------------
# One line a thing: step, kind, key, before. Every change below goes through a function of its kind that
# writes here first; $Restore holds how a kind is put back; undo plays the record backwards.

$Restore = @{}

function Save-Before([string]$Kind, [string]$Key, $Before) {
    if (Test-Record $Kind $Key) { return }
    Write-Record (@(Read-Record) + @{ v = 1; step = $Run.Step; kind = $Kind; key = $Key; before = $Before })
}

function Read-Record {
    if (Test-Path -LiteralPath $RecordFile) {
        [IO.File]::ReadAllLines($RecordFile, $Utf8) | ForEach-Object { ConvertFrom-Json $_ }
    }
}

function Test-Record([string]$Kind, [string]$Key) {
    foreach ($line in @(Read-Record)) { if ($line.kind -eq $Kind -and $line.key -eq $Key) { return $true } }
    $false
}

# Puts one thing back now, and takes it off the record.
function Undo-Line($Line) {
    if (-not $Restore.ContainsKey($Line.kind)) { throw "this script cannot put back a '$($Line.kind)'; use the release that wrote it" }
    if ($PathKinds -contains $Line.kind) { Assert-KnownPath $Line.key }
    & $Restore[$Line.kind] $Line.key $Line.before
    Write-Record @(Read-Record | Where-Object { $_.kind -ne $Line.kind -or $_.key -ne $Line.key })
    Write-Event restored @{ kind = $Line.kind; what = $Line.key }
}

# Whole and at once: a torn record would put back the wrong things.
function Write-Record($Lines) {
    $text = -join @($Lines | ForEach-Object { (ConvertTo-Json $_ -Compress -Depth 6) + "`n" })
    Write-TextFile $RecordFile $text
}

# The one writer of text files: UTF-8 without BOM, whole and at once.
function Write-TextFile([string]$Path, [string]$Text, [string]$Secret) {
    foreach ($one in "$Path.new", $Path) { Assert-NoLink $one }
    try {
        [IO.File]::WriteAllText("$Path.new", (Expand-Secret $Text $Secret), $Utf8)
        if (Test-Path -LiteralPath $Path) { [IO.File]::Replace("$Path.new", $Path, [NullString]::Value) }
        else { [IO.File]::Move("$Path.new", $Path) }
    }
    catch {
        if (Test-Path -LiteralPath "$Path.new") { Remove-Item -LiteralPath "$Path.new" -Force }
        throw
    }
}

# ---- prelude: registry values --------------------------------------------------------------------------

# The raw value (REG_EXPAND_SZ stays unexpanded) and its type; nothing where there is none.
function Get-RegistryValue([string]$Path, [string]$Name) {
    if (-not (Test-Path -LiteralPath $Path)) { return }
    $key = Get-Item -LiteralPath $Path
    if ($key.GetValueNames() -contains $Name) {
        @{ value = $key.GetValue($Name, $null, 'DoNotExpandEnvironmentNames'); type = [string]$key.GetValueKind($Name) }
    }
}

function Compare-RegistryValue([string]$Path, [string]$Name, $Should) {
    $is = Get-RegistryValue $Path $Name
    if (-not $is) { Difference "$Path\$Name" $null $Should }
    elseif (-not [string]::Equals([string]$is.value, [string]$Should)) { Difference "$Path\$Name" $is.value $Should }
}

function Set-RegistryValue([string]$Path, [string]$Name, $Value, [string]$Type) {
    $before = Get-RegistryValue $Path $Name
    # '=' keeps ConvertFrom-Json from taking a text for a date
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
    $value = @($Before.value | ForEach-Object { $_.Substring(1) })
    if ($Before.type -eq 'Binary') { $value = [byte[]]$value }
    elseif ($Before.type -ne 'MultiString') { $value = $value[0] }
    Set-ItemProperty -LiteralPath $path -Name $name -Value $value -Type $Before.type
}

# ---- prelude: entries of the machine's PATH; the text around ours is never touched ---------------------

$MachineEnvironment = 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Environment'

function Test-PathEntry([string]$Entry) {
    $path = Get-RegistryValue $MachineEnvironment Path
    $path -and @($path.value -split ';' | ForEach-Object { (Expand-Path $_).TrimEnd('\') }) -contains $Entry.TrimEnd('\')
}

function Add-PathEntry([string]$Entry) {
    $path = Get-RegistryValue $MachineEnvironment Path
    if (-not $path) { $path = @{ value = ''; type = 'ExpandString' } }
    Save-Before 'path_entry' $Entry $null
    Set-ItemProperty -LiteralPath $MachineEnvironment -Name Path -Value ($path.value + ';' + $Entry) -Type $path.type
}

# Entries that an earlier run added and that the settings no longer have.
function Get-FormerPathEntries([string[]]$Wanted) {
    @(Read-Record | Where-Object { $_.kind -eq 'path_entry' -and $Wanted -notcontains $_.key })
}

$Restore.path_entry = {
    param($Entry)
    $path = Get-RegistryValue $MachineEnvironment Path
    if (-not $path) { return }
    $value = [regex]::Replace($path.value, ';' + [regex]::Escape($Entry) + '(?=;|$)', '')
    Set-ItemProperty -LiteralPath $MachineEnvironment -Name Path -Value $value -Type $path.type
}

# ---- an entry of others that is taken out, and put back where it was

function Test-SameEntry([string]$One, [string]$Other) { [string]::Equals($One, $Other, [StringComparison]::OrdinalIgnoreCase) }

function Get-PathWithout([string]$Path, [string]$Entry) {
    @($Path.Split([char[]]';') | Where-Object { -not (Test-SameEntry $_ $Entry) }) -join ';'
}

# Kind path_removal: the whole PATH as it was, so that undo finds the entry's place again.
function Remove-PathEntry([string]$Entry) {
    $path = Get-RegistryValue $MachineEnvironment Path
    Save-Before 'path_removal' $Entry ([string]$path.value)
    Set-ItemProperty -LiteralPath $MachineEnvironment -Name Path -Value (Get-PathWithout $path.value $Entry) -Type $path.type
}

# PATH with the entry as often as it was. Where nothing before its old place has changed, it goes there; else
# behind the nearest entry that stood before it and is still there, else before the nearest that stood
# behind it. What others have added or taken out meanwhile stays so.
function Join-PathEntry([string]$Path, [string]$Entry, [string]$Before) {
    if ([string]::Equals($Path, (Get-PathWithout $Before $Entry))) { return $Before }
    $now = New-Object Collections.ArrayList
    if ($Path) { $now.AddRange($Path.Split([char[]]';')) }
    $then = $Before.Split([char[]]';')
    $missing = @($then | Where-Object { Test-SameEntry $_ $Entry }).Count - @($now | Where-Object { Test-SameEntry $_ $Entry }).Count
    for ($i = 0; $i -lt $then.Count -and $missing -gt 0; $i++) {
        if (-not (Test-SameEntry $then[$i] $Entry)) { continue }
        $missing--
        $place = $null
        if ($now.Count -ge $i -and [string]::Equals(($now.GetRange(0, $i).ToArray() -join ';'), (@($then | Select-Object -First $i) -join ';'))) { $place = $i }
        for ($j = $i - 1; $j -ge 0 -and $null -eq $place; $j--) {
            for ($k = 0; $then[$j] -and $k -lt $now.Count; $k++) { if ([string]::Equals($now[$k], $then[$j])) { $place = $k + 1 } }
        }
        for ($j = $i + 1; $j -lt $then.Count -and $null -eq $place; $j++) {
            for ($k = $now.Count - 1; $then[$j] -and $k -ge 0; $k--) { if ([string]::Equals($now[$k], $then[$j])) { $place = $k } }
        }
        if ($null -eq $place) { $place = $now.Count }
        $now.Insert($place, $then[$i])
    }
    $now.ToArray() -join ';'
}

$Restore.path_removal = {
    param($Entry, $Before)
    $path = Get-RegistryValue $MachineEnvironment Path
    if (-not $path) { $path = @{ value = ''; type = 'ExpandString' } }
    Set-ItemProperty -LiteralPath $MachineEnvironment -Name Path -Value (Join-PathEntry $path.value $Entry $Before) -Type $path.type
}

# ---- prelude: folders, their access lists, and text files ----------------------------------------------

# The service is a task of LOCAL SERVICE. Its process carries, beside that account shared with other
# services, a SID of its own, made from the task's name: S-1-5-87- and SHA-1 of the name in capitals.
# `schtasks /showsid /tn nbserver` shows it. Files are granted to this SID, never to LOCAL SERVICE.
$ServiceSid = 'S-1-5-87-930827800-2675213412-4068685239-1410473313-2291456054'

# Access lists in SDDL: FA full control, 0x1200a9 read and execute, 0x1301bf modify; SY SYSTEM, BA administrators.
$AdministratorsOnly = 'D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)'
$ServiceReads = $AdministratorsOnly + "(A;OICI;0x1200a9;;;$ServiceSid)"
$ServiceWrites = $AdministratorsOnly + "(A;OICI;0x1301bf;;;$ServiceSid)"
$StateAccess = $AdministratorsOnly
$StateOwner = 'BA'
$Trusted = 'S-1-5-18', 'S-1-5-32-544'                    # SYSTEM and administrators: undo may act on what they wrote

function Get-AccessSddl([string]$Path) {
    (Get-Acl -LiteralPath $Path).GetSecurityDescriptorSddlForm('Access')
}

# The entries count; what Windows adds to the flags before them (AI, AR) does not.
function Test-Access([string]$Path, [string]$Sddl) {
    $is = Get-AccessSddl $Path
    $is -cmatch '^D:[A-Z]*P' -and ($is -creplace '^D:[A-Z]*', '') -eq ($Sddl -creplace '^D:[A-Z]*', '')
}

function Set-Access([string]$Path, [string]$Sddl) {
    $lock = Lock-Folder $Path
    try {
        $acl = Get-Acl -LiteralPath $Path
        $acl.SetSecurityDescriptorSddlForm($Sddl, 'Access')
        Set-Acl -LiteralPath $Path -AclObject $acl
    }
    finally { $lock.Close() }
}

# A folder is made with its owner and access list at once: between two calls somebody else could open it. Windows
# PowerShell and PowerShell 7 have different methods for this.
function New-ClosedFolder([string]$Path, [string]$Sddl) {
    Assert-NoLink $Path
    $security = New-Object Security.AccessControl.DirectorySecurity
    $security.SetSecurityDescriptorSddlForm("O:$StateOwner$Sddl")
    if ($PSVersionTable.PSVersion.Major -lt 6) { [void][IO.Directory]::CreateDirectory($Path, $security) }
    else { [IO.FileSystemAclExtensions]::Create((New-Object IO.DirectoryInfo $Path), $security) }
}

# Kind folder: what this script installed; undo removes it with all that is in it.
function Add-Folder([string]$Path, [string]$Sddl) {
    if (-not (Test-Path -LiteralPath $Path)) {
        Save-Before 'folder' $Path $null
        if ($Sddl) { New-ClosedFolder $Path $Sddl }
        else { Assert-NoLink $Path; [void](New-Item -ItemType Directory -Path $Path) }
    }
    if ($Sddl -and -not (Test-Access $Path $Sddl)) {
        if (-not (Test-Record 'folder' $Path)) { Save-Before 'access' $Path (Get-AccessSddl $Path) }
        Set-Access $Path $Sddl
    }
}

function Compare-Folder([string]$Path, [string]$Sddl) {
    if (-not (Test-Path -LiteralPath $Path)) { Difference $Path 'not there' 'a folder' }
    elseif ($Sddl -and -not (Test-Access $Path $Sddl)) { Difference "access to $Path" (Get-AccessSddl $Path) $Sddl }
}

$Restore.access = {
    param($Path, $Before)
    if (Test-Path -LiteralPath $Path) { Set-Access $Path $Before }
}

# Windows says so by two codes, ERROR_DISK_FULL and ERROR_HANDLE_DISK_FULL, and in words of its own language.
function Test-DiskFull($Exception) {
    for ($one = $Exception; $one; $one = $one.InnerException) {
        if ('80070070', '80070027' -contains ('{0:x8}' -f [Runtime.InteropServices.Marshal]::GetHRForException($one))) { return $true }
    }
    $false
}

function Get-Remedy($Exception, [string]$Otherwise) {
    if (Test-DiskFull $Exception) { 'Make room on this disk, then run this again' } else { $Otherwise }
}

# ---- text files; with -Secret, @NAME@ in the text stands for the secret of that name

# With -Around all but the secret is compared, as in a test by hand, which does not know it.
function Test-TextFile([string]$Path, [string]$Text, [string]$Secret, [switch]$Around) {
    if (-not (Test-Path -LiteralPath $Path)) { return $false }
    $is = [IO.File]::ReadAllText($Path, $Utf8)
    if (-not $Secret -or ($Secrets.ContainsKey($Secret) -and -not $Around)) {
        return [string]::Equals($is, (Expand-Secret $Text $Secret))
    }
    $start, $end = $Text -csplit [regex]::Escape("@$Secret@"), 2
    $is.StartsWith($start, [StringComparison]::Ordinal) -and $is.EndsWith($end, [StringComparison]::Ordinal)
}

function Set-TextFile([string]$Path, [string]$Text, [string]$Secret) {
    Save-FileBefore $Path
    Write-TextFile $Path $Text $Secret
}

# What was there is kept as a copy beside the record: the record itself never holds a file's text.
function Save-FileBefore([string]$Path) {
    if (Test-Record 'file' $Path) { return }
    Assert-NoLink $Path
    $before = $null
    if (Test-Path -LiteralPath $Path) {
        $before = Join-Path $StateFolder ('before\' + [guid]::NewGuid().ToString())
        New-ClosedFolder (Split-Path $before) $StateAccess
        [IO.File]::Copy($Path, $before)
    }
    Save-Before 'file' $Path $before
}

$Restore.file = {
    param($Path, $Before)
    foreach ($one in "$Path.new", $Path) { Assert-NoLink $one }
    if ($Before) { Assert-KnownPath $Before; Assert-NoLink $Before }
    if (Test-Path -LiteralPath "$Path.new") { Remove-Item -LiteralPath "$Path.new" -Force }   # of a run that was cut off while it wrote
    if ($Before) { [IO.File]::Copy($Before, $Path, $true) }
    elseif (Test-Path -LiteralPath $Path) { Remove-Item -LiteralPath $Path -Force }
}

# Copies stay until no line of the record can ask for one: an undo that is cut off is done again.
function Remove-FileCopies {
    $copies = Join-Path $StateFolder 'before'
    if (-not @(Read-Record).Count -and (Test-Path -LiteralPath $copies)) { Remove-Folder $copies }
}

# ---- the folder that undo trusts: made for SYSTEM and administrators only (and, in user scope, for the user);
# ---- any other is refused

function Initialize-StateFolder {
    if (-not (Test-Path -LiteralPath $StateFolder)) {
        try { New-ClosedFolder $StateFolder $StateAccess }
        catch { throw "$StateFolder could not be made: $_. Whoever runs this must be able to write to $(Split-Path -Parent $StateFolder)" }
        if (@(Get-ChildItem -LiteralPath $StateFolder -Force).Count) { throw "$StateFolder was filled by somebody while it was made. Look at it, remove it, run this again" }
    }
    Assert-StateFolder
}

function Assert-StateFolder {
    Assert-NoLink $StateFolder
    $fault = Get-AccessFault $StateFolder $Trusted -1
    if ($fault) { throw "$StateFolder cannot be trusted with what undo would put back: $fault. An administrator must look at it and remove it" }
}

# ---- prelude: folders are removed with all that is in them ---------------------------------------------
# A link in a folder is removed as the link that it is. Remove-Item -Recurse follows some links, and then removes
# what they lead to.

# A program that ends, or a virus scanner, may hold a file for a moment.
function Remove-Folder([string]$Path) {
    Assert-NoLink $Path
    if (-not (Test-Path -LiteralPath $Path)) { return }
    for ($try = 1; ; $try++) {
        try { Remove-Tree $Path; return }
        catch { if ($try -ge 10) { throw }; [Threading.Thread]::Sleep(1000) }
    }
}

$Restore.folder = { param($Path) Remove-Folder $Path }

function Remove-Link([string]$Path, [bool]$IsFolder) {
    if ($IsFolder) { [IO.Directory]::Delete($Path, $false) } else { [IO.File]::Delete($Path) }
}

# From the bottom up, without calling itself: a notebook can nest folders as deep as it likes. Older .NET takes no path
# of more than 259 characters, so a folder far down is moved up first.
function Remove-Tree([string]$Path) {
    $left = New-Object Collections.Generic.Stack[string]
    $left.Push($Path)
    while ($left.Count) {
        $folder = $left.Peek()
        $below = @(Remove-Files $folder)
        foreach ($one in $below) {
            if ($one.Length -gt 150 -and $folder -ne $Path) {
                $up = Join-Path $Path ([guid]::NewGuid().ToString().Substring(0, 8))
                [IO.Directory]::Move($one, $up)
                $one = $up
            }
            $left.Push($one)
        }
        if ($below.Count) { continue }
        [void]$left.Pop()
        $readOnly = [IO.File]::GetAttributes($folder) -band [IO.FileAttributes]::ReadOnly
        if ($readOnly) { [IO.File]::SetAttributes($folder, 'Directory') }
        [IO.Directory]::Delete($folder, $false)
    }
}

# Removes the files and links of one folder, and puts out the folders in it. Where others than administrators can
# write, it is locked meanwhile, so that it stays the folder that it is.
function Remove-Files([string]$Folder) {
    $lock = $null
    if ($Folder -ne $Programs -and -not (Test-Below $Folder $Programs)) { $lock = Lock-Folder $Folder }
    try {
        foreach ($item in (New-Object IO.DirectoryInfo $Folder).GetFileSystemInfos()) {
            $path = $item.FullName
            $isFolder = [bool]($item.Attributes -band [IO.FileAttributes]::Directory)
            if ($lock -and $path -eq $lock.Name) { continue }
            if ($item.Attributes -band [IO.FileAttributes]::ReparsePoint) { Remove-Link $path $isFolder; continue }
            if ($isFolder) { $path; continue }
            if ($item.Attributes -band [IO.FileAttributes]::ReadOnly) { [IO.File]::SetAttributes($path, 'Normal') }
            [IO.File]::Delete($path)
        }
    }
    finally { if ($lock) { $lock.Close() } }
}

# ---- prelude: folders that hold people's files ---------------------------------------------------------
# The service is let in beside those who have access already. Undo removes the folder only when it is empty; what
# stays belongs to those who had it before, and what the service made in it to administrators.

$LocalService = 'S-1-5-19'   # the account of the service, which other services of Windows have too

function Test-ServiceGrant([string]$Path) {
    # The server of scope user is the user, who chose the folder.
    if ($Settings.scope -eq 'user') { return Test-Path -LiteralPath $Path }
    if (-not (Test-Path -LiteralPath $Path)) { return $false }
    (Get-AccessSddl $Path) -cmatch "\(A;OICI(ID)?;0x1301bf;;;$ServiceSid\)"
}

# One that is made here is for administrators and the service: what a drive's root would give to everybody includes the
# right to replace it.
function Add-DataFolder([string]$Path) {
    Assert-DataFolder $Path
    if (-not (Test-Path -LiteralPath $Path)) {
        Save-Before 'data_folder' $Path $null
        if ($Settings.scope -eq 'user') { [void](New-Item -ItemType Directory -Path $Path); return }
        Save-Before 'grant' $Path $null
        $above = Split-Path -Parent $Path
        if (-not (Test-Path -LiteralPath $above)) { New-ClosedFolder $above $AdministratorsOnly }
        New-ClosedFolder $Path $ServiceWrites
        $fault = Get-AccessFault $Path ($Trusted + $ServiceSid) -1
        if ($fault) { throw "$Path was made by somebody else at the same moment: $fault. Remove it and run this again" }
    }
    if (Test-ServiceGrant $Path) { return }
    Save-Before 'grant' $Path $null
    $lock = Lock-Folder $Path
    try {
        $acl = Get-Acl -LiteralPath $Path
        $service = New-Object Security.Principal.SecurityIdentifier $ServiceSid
        $acl.AddAccessRule((New-Object Security.AccessControl.FileSystemAccessRule(
                    $service, 'Modify', 'ContainerInherit, ObjectInherit', 'None', 'Allow')))
        Set-Acl -LiteralPath $Path -AclObject $acl
    }
    finally { $lock.Close() }
}

# What is in a folder comes first: Windows then hands down the folder's own list to things that have other owners.
$Restore.grant = {
    param($Path)
    if (-not (Test-Path -LiteralPath $Path)) { return }
    Assert-DataFolder $Path
    $lock = Lock-Folder $Path
    try {
        $left = @(Remove-GrantsBelow $Path $lock.Name)
        Remove-Grant $Path
    }
    finally { $lock.Close() }
    if ($left.Count) { throw "the service keeps its access to $($left.Count) files or folders in it, first $($left[0])" }
}

# Takes the service's own entries from the access list. What the service made belongs to administrators then, and has
# the access list of the folder that it is in.
function Remove-Grant([string]$Path) {
    $acl = Get-Acl -LiteralPath $Path
    $before = $acl.GetSecurityDescriptorSddlForm('Owner, Access')
    if ($ServiceSid, $LocalService -contains $acl.GetOwner([Security.Principal.SecurityIdentifier]).Value) {
        $acl.SetSecurityDescriptorSddlForm('O:BAD:AI', 'Owner, Access')
    }
    else { $acl.PurgeAccessRules((New-Object Security.Principal.SecurityIdentifier $ServiceSid)) }
    if ($acl.GetSecurityDescriptorSddlForm('Owner, Access') -ne $before) { Set-Acl -LiteralPath $Path -AclObject $acl }
}

# For all that is in the folder, however deep, but not what links lead to. Puts out what it could not do, in words.
function Remove-GrantsBelow([string]$Path, [string]$Except) {
    $folders = New-Object Collections.Generic.Stack[string]
    $folders.Push($Path)
    while ($folders.Count) {
        $folder = $folders.Pop()
        try { $items = (New-Object IO.DirectoryInfo $folder).GetFileSystemInfos() } catch { "${folder}: $_"; continue }
        foreach ($item in $items) {
            if ($item.FullName -eq $Except) { continue }
            if ($item.Attributes -band [IO.FileAttributes]::ReparsePoint) { continue }
            try { Remove-Grant $item.FullName } catch { "$($item.FullName): $_" }
            if ($item.Attributes -band [IO.FileAttributes]::Directory) { $folders.Push($item.FullName) }
        }
    }
}

$Restore.data_folder = {
    param($Path)
    if (-not (Test-Path -LiteralPath $Path)) { return }
    if ($Settings.scope -ne 'user') { Assert-NoLink $Path }
    if (-not @(Get-ChildItem -LiteralPath $Path -Force).Count) { [IO.Directory]::Delete($Path, $false); return }
    Write-Event warning @{ text = "$Path holds files and stays" }
}

# ---- prelude: scope = "user": all belongs to the user who runs this, below their own local folder ------
# The machine's places and access lists are above. In this scope no administrator's right is needed, and no
# program, account, task, rule, PATH or registry value of Windows is touched.

$UserSid = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value
$SkippedSteps = @($Settings.skip)                        # main runs no Test and no Apply of these
$ServerLog = Join-Path $WorkFolder 'notebook.log'

if ($Settings.scope -eq 'user') {
    $Programs = "$env:LOCALAPPDATA\nbserver\programs"
    $StateFolder = "$env:LOCALAPPDATA\nbserver\state"
    $ServiceFolder = Join-Path $StateFolder 'service'
    $WorkFolder = Join-Path $StateFolder 'work'
    $CacheFolder = Join-Path $StateFolder 'cache'
    $RecordFile = Join-Path $StateFolder 'record.jsonl'
    $LockFile = Join-Path $StateFolder 'lock'
    $ServerLog = Join-Path $StateFolder 'server.log'
    $SkippedSteps += 'ie_esc', 'path', 'past', 'firewall'   # these are the machine's
    # The server is a process of this user, who may do with it what they like. Windows has short names for
    # some SIDs in SDDL, so it writes the list itself.
    $ServiceReads = (New-Object Security.AccessControl.RawSecurityDescriptor "$AdministratorsOnly(A;OICI;FA;;;$UserSid)").GetSddlForm('Access')
    $ServiceWrites = $ServiceReads
    $StateOwner = $UserSid
    $StateAccess = $ServiceReads
    $Trusted += $UserSid
    $UserPlace = $env:LOCALAPPDATA
}
$ProcessFile = Join-Path $StateFolder 'process'          # of the server that runs in the background

function Assert-Scope {
    if ($Settings.scope -ne 'user') { return }
    if ($UserSid -eq 'S-1-5-18') { throw 'this runs as SYSTEM, and scope = "user" is for a person. Run it as the one whose server it shall be, or choose scope = "machine"' }
    if ("$env:LOCALAPPDATA" -cnotmatch '\A[A-Za-z]:\\.' -or -not (Test-Path -LiteralPath $env:LOCALAPPDATA)) {
        throw "LOCALAPPDATA is '$env:LOCALAPPDATA', which is no folder on a drive. Log on with your own profile, and leave that variable as Windows sets it"
    }
}

# ---- prelude: the program that starts the notebook server ----------------------------------------------
# Python, the same text on every system. It is a file next to the configuration that only administrators can
# write (in user scope: and the user). -I, in its command, keeps Python from importing from anywhere else.

$StarterFile = Join-Path $ServiceFolder 'serve.py'

$Starter = @'
# Starts the notebook server: python -I serve.py CONFIGURATION WORK [LOG]
# Nothing configures the server and its kernels but CONFIGURATION and what the packages of this Python have in
# their own folders: no configuration of the machine or of a user counts, neither for Jupyter and IPython nor for
# pip and uv. If the server would not do what CONFIGURATION says, it does not start.
# The server and its kernels write to the folder WORK. The log is a file only where no system service keeps it.
import importlib.util
import json
import os
import sys

configuration, work = sys.argv[1:3]
folder = os.path.dirname(configuration)
own_configuration = os.path.join(sys.prefix, "etc", "jupyter")
own_data = os.path.join(sys.prefix, "share", "jupyter")
os.chdir(folder)                                    # Jupyter of before 2022 reads configuration in its working folder

if len(sys.argv) > 3:
    log = sys.argv[3]
    if os.path.exists(log):
        os.replace(log, log + ".before")
    sys.stdout = sys.stderr = open(log, "w", buffering=1, encoding="utf-8")
    # Kernels inherit the streams below those, and a program without a console has none that they could use.
    for stream in range(3):
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)

# ---- variables: kernels and terminals inherit them

foreign = "JUPYTER", "JPY_", "IPYTHON", "PYTHON", "OPENSSL_", "PIP_", "UV_", "MPL", "MATPLOTLIB"
for name in list(os.environ):
    if name.upper().startswith(foreign):
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

# ---- folders: where Jupyter looks for configuration, kernel specifications and extensions

from jupyter_core import paths


def data_path(*subfolders):
    return [os.path.join(own_data, *subfolders)]


def configuration_path():
    return [folder, own_configuration]


# Other modules import these by name, so they are replaced before any of them is imported.
paths.jupyter_path = data_path
paths.jupyter_config_path = configuration_path
paths.SYSTEM_JUPYTER_PATH[:] = [own_data]
paths.SYSTEM_CONFIG_PATH[:] = [own_configuration]

from jupyter_client.kernelspec import KernelSpecManager

# IPython has no setting that keeps it from reading the configuration of the machine.
# The working folder, which Python searches first, is searched only by what people write.
KERNEL = (
    "import sys; del sys.path[0]; "
    "from IPython.core import application; application.SYSTEM_CONFIG_DIRS.clear(); "
    "from ipykernel.kernelapp import launch_new_instance; launch_new_instance()"
)


class OwnKernels(KernelSpecManager):
    """Kernels that are installed with this Python, and in no folder that a kernel can write to."""

    def _kernel_dirs_default(self):
        return data_path("kernels")

    def get_kernel_spec(self, kernel_name):
        found = super().get_kernel_spec(kernel_name)
        if "ipykernel_launcher" in found.argv:      # after "-m"
            at = found.argv.index("ipykernel_launcher")
            found.argv[at - 1 : at + 1] = ["-c", KERNEL]
        return found


# ---- the server, made but not yet serving

if importlib.util.find_spec("notebook.app"):        # notebook 7
    from jupyter_server.auth.authorizer import AllowAllAuthorizer
    from jupyter_server.auth.identity import PasswordIdentityProvider
    from jupyter_server.auth.login import LoginFormHandler
    from jupyter_server.serverapp import ServerApp

    extensions = ["notebook"]
    if not os.path.isdir(os.path.join(own_configuration, "jupyter_server_config.d")):
        # Packages of a distribution enable themselves in the folders of the machine.
        extensions += ["jupyter_lsp", "jupyter_server_terminals", "jupyterlab", "notebook_shim"]
    enabled = {name: True for name in extensions if importlib.util.find_spec(name)}
    server = ServerApp.instance(jpserver_extensions=enabled, kernel_spec_manager_class=OwnKernels)
    server.initialize(argv=[], starter_extension="notebook")
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
classes.append(("the kernel specification manager", type(server.kernel_spec_manager), OwnKernels))

# ---- whether it would do what the configuration says: its own values, and those that answer requests

with open(configuration, encoding="ascii") as file:
    settings = json.load(file)
answering = server.web_app.settings
differs = [what for what, found, expected in classes if found is not expected]
for section, owner in sections.items():
    for name, expected in settings[section].items():
        if name == "ip" and expected == "*":
            expected = ""
        if getattr(owner, name, None) != expected or answering.get(name, expected) != expected:
            differs.append(section + "." + name)
        if name in ("root_dir", "notebook_dir") and server.contents_manager.root_dir != expected:
            differs.append("the folder of the contents manager")
if differs:
    print(
        "The notebook server does not start, because its effective configuration differs from " + configuration
        + ": " + ", ".join(differs) + ". Remove other configuration of Jupyter from " + folder + " and "
        + own_configuration + ", then run nbserver apply.",
        file=sys.stderr,
    )
    sys.exit(78)                                    # EX_CONFIG
os.chdir(work)
server.start()
'@ -replace "`r", ''

# ---- prelude: other programs, all through this one wrapper; only the server itself is prelude/processes --

# Windows' rules for one argument of a command line: quotes around it, backslashes doubled before a quote.
function Format-Argument([string]$Text) {
    if ($Text -match '^[^\s"]+$') { return $Text }
    '"' + ([regex]::Replace([regex]::Replace($Text, '(\\*)"', '$1$1\"'), '(\\+)$', '$1$1')) + '"'
}

# The processes whose programs are in the folder, however deep.
function Get-ProcessesBelow([string]$Folder) {
    Get-Process | Where-Object { $_.Path -and (Test-Below $_.Path $Folder) }
}

function Stop-ProcessesBelow([string]$Folder) {
    foreach ($process in @(Get-ProcessesBelow $Folder)) {
        try { $process.Kill(); [void]$process.WaitForExit(10000) }
        catch { Write-Event log @{ text = "process $($process.Id) had ended: $_" } }
    }
}

# Runs a program to its end. What it prints becomes log events, line by line. An exit code that is not
# in $Accept fails the step, with $Todo, what a person can do about it, and the program's last words.
# $Quiet is for a program that only answers a question: what it prints then goes to $Run.Output.
function Invoke-Program([string]$File, [string[]]$Arguments, [hashtable]$Environment = @{}, [int[]]$Accept = @(0), [string]$Todo = '', [switch]$Quiet) {
    # OpenSSL opens files in the host's code page, which may lack letters of a path: relative ones have none.
    # What it loads by default is in folders that were fixed when it was built, which anybody may be able to make.
    if ((Split-Path -Leaf $File) -eq 'openssl.exe') {
        $Arguments = @($Arguments | ForEach-Object { $_.Replace("$StateFolder\", '') })
        $bin = Split-Path -Parent $File
        $Environment = $Environment + @{ OPENSSL_CONF = 'NUL'; OPENSSL_MODULES = $bin; OPENSSL_ENGINES = $bin }
    }
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
    # Python loads OpenSSL too. Variables that an earlier OpenSSL has left may name a file that others can write, and
    # such a file names a DLL to load.
    foreach ($name in @($start.EnvironmentVariables.Keys)) {
        if ($name.ToUpperInvariant() -cmatch '^OPENSSL_') { $start.EnvironmentVariables.Remove($name) }
    }
    foreach ($name in $Environment.Keys) {
        if ($null -eq $Environment[$name]) { $start.EnvironmentVariables.Remove($name) }
        else { $start.EnvironmentVariables[$name] = $Environment[$name] }
    }

    $name = Split-Path -Leaf $File
    $last = New-Object Collections.Generic.Queue[string]
    $process = [Diagnostics.Process]::Start($start)
    try {
        $process.StandardInput.Close()
        $readers = $process.StandardOutput, $process.StandardError
        $pending = [Threading.Tasks.Task[]]@($readers[0].ReadLineAsync(), $readers[1].ReadLineAsync())
        $open = 2
        while ($open) {
            $i = [Threading.Tasks.Task]::WaitAny($pending, 500)
            if ($i -lt 0) { continue }
            $line = $pending[$i].Result
            if ($null -eq $line) {
                $open--
                $pending[$i] = (New-Object Threading.Tasks.TaskCompletionSource[string]).Task   # never completes
                continue
            }
            $pending[$i] = $readers[$i].ReadLineAsync()
            if (-not $line.Trim()) { continue }
            $last.Enqueue($line.Trim())
            if ($last.Count -gt 12 -and -not $Quiet) { [void]$last.Dequeue() }
            if (-not $Quiet) { Write-Event log @{ text = $line; program = $name } }
        }
        while (-not $process.WaitForExit(500)) { continue }
        $Run.ExitCode = $process.ExitCode
        $Run.Output = $last.ToArray()
    }
    finally {
        if (-not $process.HasExited) { $process.Kill() }   # this run was stopped
        $process.Dispose()
    }
    if ($Accept -notcontains $Run.ExitCode) {
        if ($Todo) { $Todo = ". $Todo" }
        if ($last.Count) { $words = ". Its last words: $(@($last | Select-Object -Last 12) -join ' / ')" } else { $words = '' }
        throw "$name ended with code $($Run.ExitCode)$Todo$words"
    }
}

# ---- prelude: a program in the background, which runs the server in user scope -------------------------
# It runs until the user logs off. Its file has a line `PID CREATED`, the second as a FILETIME in UTC, by which
# the process is known again and no other is taken for it, and behind it the text that it was started for.

# The process of the file where it still runs; else nothing.
function Get-Background {
    if (-not (Test-Path -LiteralPath $ProcessFile)) { return }
    $line = [IO.File]::ReadAllLines($ProcessFile, $Utf8) | Select-Object -First 1
    if ($line -cnotmatch '\A[1-9][0-9]{0,9} [1-9][0-9]{0,18}\z') { return }
    # One of somebody else, which has got the number of ours, may not say when it was created.
    try {
        $process = Get-Process -Id ($line -split ' ')[0]
        if ((Get-BackgroundLine $process) -eq $line) { $process }
    }
    catch { return }
}

function Get-BackgroundLine($Process) { "$($Process.Id) $($Process.StartTime.ToFileTimeUtc())" }

# Whether it runs, and was started for this text.
function Test-Background([string]$Text) {
    $process = Get-Background
    $process -and (Test-TextFile $ProcessFile "$(Get-BackgroundLine $process)`n$Text")
}

# Kind process: its file. Windows' shell starts the program, without a window: so it inherits nothing that
# this script has open, and lives on when the script and whoever reads its events have ended.
function Start-Background([string]$File, [string[]]$Arguments, [string]$Folder, [string]$Text) {
    Save-Before 'process' $ProcessFile $null
    Stop-Background
    $start = New-Object Diagnostics.ProcessStartInfo
    $start.FileName = $File
    $start.Arguments = @($Arguments | ForEach-Object { Format-Argument $_ }) -join ' '
    $start.WorkingDirectory = $Folder
    $start.UseShellExecute = $true
    $start.WindowStyle = 'Hidden'
    $process = [Diagnostics.Process]::Start($start)
    try { Write-TextFile $ProcessFile "$(Get-BackgroundLine $process)`n$Text" }
    catch { if (-not $process.HasExited) { $process.Kill() }; throw }
    finally { $process.Dispose() }
}

# With all that runs from our folder: its kernels are processes of their own and can outlive it, and a run that
# was cut off may have left one without a file.
# The Python of an environment runs another one, elsewhere, which ends with it a moment later: then the log is closed.
function Stop-Background {
    Stop-ProcessesBelow $Programs
    for ($try = 0; $try -lt 50 -and (Test-Open $ServerLog); $try++) { [Threading.Thread]::Sleep(200) }
}

# Whether a program has the file open.
function Test-Open([string]$Path) {
    if (-not (Test-Path -LiteralPath $Path)) { return $false }
    try { [IO.File]::Open($Path, 'Open', 'ReadWrite', 'None').Close() } catch [IO.IOException] { return $true }
    $false
}

$Restore.process = {
    param($File)
    Stop-Background
    foreach ($one in $File, "$File.new") { if (Test-Path -LiteralPath $one) { Remove-Item -LiteralPath $one -Force } }
}

# Undo goes backwards, and what the program runs from came first: it is ended before.
function Stop-RecordedBackground {
    if (Test-Record 'process' $ProcessFile) { Stop-Background }
}

# ---- prelude: downloads, each checked against the hash in the settings before it is used ---------------

function Get-FileSha256([string]$Path) {
    $stream = [IO.File]::OpenRead($Path)
    try { Get-Sha256 $stream } finally { $stream.Close() }
}

function Get-CachedFile($Download) {
    Join-Path $CacheFolder ($Download.sha256.Substring(0, 16) + '-' + (Split-Path -Leaf ([Uri]$Download.url).AbsolutePath))
}

# The file of a download is in the cache afterwards, complete and with the right hash, or this fails.
function Save-Download($Download) {
    $file = Get-CachedFile $Download
    Add-Folder $CacheFolder
    if (Test-Path -LiteralPath $file) {
        if ((Get-FileSha256 $file) -eq $Download.sha256) { return }
        Remove-Item -LiteralPath $file -Force
    }
    for ($try = 1; ; $try++) {
        try { Receive-File $Download.url "$file.part" $Download.size; break }
        catch [Net.WebException], [IO.IOException] {
            if (Test-DiskFull $_.Exception) {
                if (Test-Path -LiteralPath "$file.part") { Remove-Item -LiteralPath "$file.part" -Force }
                throw
            }
            $answer = Get-WebAnswer $_.Exception
            if ($try -ge 3 -or $answer -match '^4\d\d ') {
                throw "$($Download.url) could not be downloaded: $answer. Check this host's way to it (downloads.proxy in the inventory), or put a mirror's URL into a site catalog"
            }
            Write-Event warning @{ text = "download interrupted ($answer); going on" }
            [Threading.Thread]::Sleep(1000 * $try)
        }
    }
    $is = Get-FileSha256 "$file.part"
    if ($is -ne $Download.sha256) {
        $size = (Get-Item -LiteralPath "$file.part").Length
        Remove-Item -LiteralPath "$file.part" -Force
        throw "$($Download.url) is not the file of the catalog: SHA-256 $is ($size bytes) instead of $($Download.sha256). Nothing of it was used. A proxy's page, or a changed file: compare with the publisher before you change the catalog"
    }
    Move-Item -LiteralPath "$file.part" -Destination $file -Force
}

# Goes on where an earlier try ended; a server that sends the whole file again is heard from the start.
function Receive-File([string]$Url, [string]$File, $Size) {
    $have = 0
    if (Test-Path -LiteralPath $File) { $have = (Get-Item -LiteralPath $File).Length }
    $request = [Net.WebRequest]::Create($Url)
    $request.Timeout = 60000
    $request.ReadWriteTimeout = 60000
    $request.UserAgent = 'nbserver'
    if ($Settings.downloads.proxy) { $request.Proxy = New-Object Net.WebProxy $Settings.downloads.proxy }
    if ($have) { $request.AddRange([long]$have) }
    try { $response = $request.GetResponse() }
    catch [Net.WebException] {
        if ((Get-WebAnswer $_.Exception) -notmatch '^416 ') { throw }
        return   # nothing behind what is here: complete, or wrong; the hash tells
    }
    try {
        $mode = 'Append'
        if ([int]$response.StatusCode -ne 206) { $mode = 'Create'; $have = 0 }
        $end = $have + $response.ContentLength
        $total = $Size
        if (-not $total -and $response.ContentLength -gt 0) { $total = $end }
        $in = $response.GetResponseStream()
        $out = [IO.File]::Open($File, $mode, 'Write', 'Read')
        try {
            $buffer = New-Object byte[] 1048576
            $told = [DateTime]::UtcNow
            while (($count = $in.Read($buffer, 0, $buffer.Length)) -gt 0) {
                $out.Write($buffer, 0, $count)
                $have += $count
                if (([DateTime]::UtcNow - $told).TotalSeconds -ge 1) {
                    $told = [DateTime]::UtcNow
                    Write-Event progress @{ what = (Split-Path -Leaf $Url); done = $have; total = $total; unit = 'bytes' }
                }
            }
        }
        finally { $out.Close() }
        if ($response.ContentLength -gt 0 -and $have -lt $end) { throw (New-Object IO.IOException 'the connection ended early') }
    }
    finally { $response.Close() }
}

# The status code where there was an answer, else the exception's own words. A host whose clock is wrong
# trusts no certificate, and Windows' words do not say so.
function Get-WebAnswer($Exception) {
    while ($Exception.InnerException -and -not ($Exception -is [Net.WebException])) { $Exception = $Exception.InnerException }
    if ($Exception -is [Net.WebException] -and $Exception.Response) { return '{0} {1}' -f [int]$Exception.Response.StatusCode, $Exception.Response.StatusCode }
    for ($one = $Exception; $one; $one = $one.InnerException) {
        if ($one -is [Security.Authentication.AuthenticationException]) {
            return "$($one.Message) (this host's clock says $([DateTime]::UtcNow.ToString('u')): with a wrong one every certificate is refused)"
        }
    }
    $Exception.Message
}

# Unpacks a download into a folder of its own: under another name first, so that the folder is complete
# whenever it is there.
function Expand-Download($Download, [string]$Folder) {
    Add-Type -AssemblyName System.IO.Compression.FileSystem
    if (Test-Path -LiteralPath "$Folder.new") { Remove-Folder "$Folder.new" }
    Write-Event progress @{ what = "unpacking $(Split-Path -Leaf $Folder)" }
    Save-Before 'folder' $Folder $null
    try { [IO.Compression.ZipFile]::ExtractToDirectory((Get-CachedFile $Download), "$Folder.new") }
    catch { Remove-Folder "$Folder.new"; throw }   # half of it would keep a full disk full
    [IO.Directory]::Move("$Folder.new", $Folder)
}

# ---- prelude: reboots ----------------------------------------------------------------------------------
# Where Windows waits for a reboot ($Run.Reboot), nothing more is changed before it has restarted: the run stops
# there. With reboot = "if-needed" it restarts Windows where the workstation comes back for the rest.

$BootFormat = "yyyy-MM-dd'T'HH:mm:ss'Z'"

# When Windows started, in UTC; empty where this Windows cannot tell.
function Get-BootTime {
    try { (Get-CimInstance -ClassName Win32_OperatingSystem).LastBootUpTime.ToUniversalTime().ToString($BootFormat, [Globalization.CultureInfo]::InvariantCulture) }
    catch { '' }
}

# Windows counts its start back from the clock, so a corrected clock moves it a little: that is no restart.
function Test-SameBoot([string]$One, [string]$Other) {
    $times = foreach ($text in $One, $Other) { [DateTime]::ParseExact($text, $BootFormat, [Globalization.CultureInfo]::InvariantCulture) }
    [Math]::Abs(($times[0] - $times[1]).TotalSeconds) -lt 30
}

# The run ends here. Restarts is how often the workstation still comes back; to a run by hand nobody does. What a
# restart has not ended, another one does not end either.
function Complete-BeforeRestart {
    $Run.Step = ''
    if ($Run.BootBefore -and -not $Run.Changed) {
        Write-Event warning @{ text = "Windows has restarted and still waits for a reboot$($Run.Pending): it is not restarted again. Look at what keeps it waiting, such as an update that fails at each start, then run this again" }
    }
    elseif ($Settings.reboot -ne 'if-needed') { return }
    elseif (-not $Run.Boot) { Write-Event warning @{ text = 'this Windows does not tell when it started, so it is not restarted. Restart it, then run the same again' } }
    elseif (-not $Run.Restarts -and $Run.BootBefore) { Write-Event warning @{ text = 'Windows has to restart once more, and is not restarted again in this run. Restart it, then run the same again' } }
    elseif (-not $Run.Restarts) { Write-Event warning @{ text = 'Windows has to restart, and nobody comes back to a run by hand, so it is not restarted. Restart it, then run the same again' } }
    else { Restart-Windows; $Run.Restarting = $true }
}

# In ten seconds, which leaves time for this run's last event. p:4:2 says: planned, the installation of an application.
# 1115 is ERROR_SHUTDOWN_IN_PROGRESS: somebody was faster. 1190 is ERROR_SHUTDOWN_IS_SCHEDULED, nobody knows for when.
function Restart-Windows {
    Write-Event warning @{ text = 'Windows restarts in ten seconds; this run goes on after it' }
    Invoke-Program (Join-Path $env:SystemRoot 'System32\shutdown.exe') @('/r', '/t', '10', '/d', 'p:4:2', '/c', 'nbserver: an installer asked for it') -Accept 0, 1115, 1190 `
        -Todo 'Restart Windows, then run this again'
    if ($Run.ExitCode -eq 1190) { throw 'a restart or shutdown of Windows is scheduled already. Wait for it or cancel it (shutdown /a), then run this again' }
}

# ---- prelude: publishers' installers -------------------------------------------------------------------

# What their exit codes mean. Source: "Windows Installer error messages" on learn.microsoft.com; WiX bundles
# (Python, Visual C++) end with the same codes.
$InstallerWords = @{
    1602 = 'it was cancelled'
    1603 = 'it failed; its log is beside this run''s events on the host'
    1618 = 'another installer runs on this host. Wait until it has ended, then run this again'
    1625 = 'a policy of this host forbids it. Ask for an exception'
    1638 = 'another version is installed already. Remove it, or choose that version in the inventory'
}
# Those of Inno Setup. Source: "Setup Exit Codes" on jrsoftware.org.
$InnoWords = @{
    1 = 'it could not start'
    2 = 'it was cancelled before it began'
    3 = 'it failed before it began: memory or other resources of Windows may be used up'
    4 = 'it failed; its log is beside this run''s events on the host'
    5 = 'it was cancelled, or could not write a file; its log is beside this run''s events on the host'
    6 = 'it was ended by a debugger'
    7 = 'it cannot go on as this host is; its log is beside this run''s events on the host'
    8 = 'it cannot go on before Windows has restarted. Restart it, then run this again'
}
$InstallerPatience = 300   # seconds for which another installer is waited for

# Beside the installer while it runs. One that was cut off leaves this mark, and perhaps half of its files:
# the step runs it again, whatever is there.
function Test-CutOff([string]$File) { Test-Path -LiteralPath "$File.running" }

# Runs an installer or an uninstaller to its end. While another one runs (1618) it is tried again. $Name is
# what a person reads of, $Also are codes that are no failure either.
function Invoke-Waiting([string]$Program, [string[]]$Arguments, [string]$Name, [hashtable]$Words = $InstallerWords, [int[]]$Also = @()) {
    for ($waited = 0; ; $waited += 5) {
        Invoke-Program $Program $Arguments -Accept (@(0, 1618, 1641, 3010) + $Also + @($Words.Keys))
        if ($Run.ExitCode -ne 1618 -or $waited -ge $InstallerPatience) { break }
        Write-Event progress @{ what = 'waiting for another installer to end'; done = $waited; total = $InstallerPatience; unit = 'seconds' }
        [Threading.Thread]::Sleep(5000)
    }
    if ($Run.ExitCode -eq 3010 -or $Run.ExitCode -eq 1641) { $Run.Reboot = $true }
    elseif ($Run.ExitCode -and $Also -notcontains $Run.ExitCode) { throw "$Name ended with code $($Run.ExitCode): $($Words[$Run.ExitCode])" }
}

# $Program is what runs the file, where it is none itself.
function Invoke-Installer([string]$File, [string[]]$Arguments, [string]$Program = $File, [hashtable]$Words = $InstallerWords) {
    Write-TextFile "$File.running" ''
    try { Invoke-Waiting $Program $Arguments (Split-Path -Leaf $File) $Words }
    catch { Remove-Item -LiteralPath "$File.running" -Force; throw }   # it has ended, in a way of its own
    Remove-Item -LiteralPath "$File.running" -Force
}

function Get-InstallerLog([string]$Name) { Join-Path $StateFolder "runs\$($Run.Id)\$Name.log" }

# ---- Windows Installer packages. The file stays in the cache. Where somebody has cleared that, Windows' own
# ---- copy is enough to remove what it brought.

$MsiExec = Join-Path $env:SystemRoot 'System32\msiexec.exe'
$MsiProducts = 'HKLM:\SOFTWARE\Classes\Installer\Products'

function Install-Msi([string]$File) {
    Save-Before 'msi' $File $null
    Invoke-Installer $File @('/i', $File, '/qn', '/norestart', '/l*v', (Get-InstallerLog 'msi')) $MsiExec
}

# The product that was installed from a file of this name, as {GUID}; nothing where there is none. The name of
# its key has the digits of each byte of that GUID turned round.
function Get-ProductCode([string]$File) {
    if (-not (Test-Path -LiteralPath $MsiProducts)) { return }
    foreach ($name in @(Get-ChildItem -LiteralPath $MsiProducts | ForEach-Object { $_.PSChildName })) {
        $package = Get-RegistryValue "$MsiProducts\$name\SourceList" PackageName
        if (-not $package -or $name -cnotmatch '\A[0-9A-F]{32}\z' -or $package.value -ne (Split-Path -Leaf $File)) { continue }
        $bytes = @(for ($i = 0; $i -lt 32; $i += 2) { [Convert]::ToByte("$($name[$i + 1])$($name[$i])", 16) })
        "{$(New-Object Guid (, [byte[]]$bytes))}"
    }
}

$Restore.msi = {
    param($File)
    Assert-NoLink $File
    $product = $File
    if (-not (Test-Path -LiteralPath $File)) {
        $product = Get-ProductCode $File
        if (-not $product) { Write-Event log @{ text = "$File is gone, and so is what it brought" }; return }
    }
    # Windows knows nothing of a product that was cut off before its end, and would leave its files.
    elseif (Test-CutOff $File) { Install-Msi $File }
    Invoke-Waiting $MsiExec @('/x', $product, '/qn', '/norestart') (Split-Path -Leaf $File) -Also 1605   # it is not installed
}

# ---- bundles (WiX Burn): Python's and Visual C++'s. $Before is the version that one of them replaced.

$UninstallKeys = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall', 'HKLM:\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall'

function Install-Bundle([string]$File, [string[]]$Arguments, $Before) {
    Save-Before 'bundle' $File $Before
    Invoke-Installer $File $Arguments
}

# The copy that a bundle keeps of itself, under its own name, to be removed with; nothing where none is installed.
function Get-BundleCopy([string]$Name) {
    foreach ($root in $UninstallKeys) {
        if (-not (Test-Path -LiteralPath $root)) { continue }
        foreach ($key in @(Get-ChildItem -LiteralPath $root)) {
            $copy = Get-RegistryValue "$root\$($key.PSChildName)" BundleCachePath
            if ($copy -and (Split-Path -Leaf $copy.value) -eq $Name -and (Test-Path -LiteralPath $copy.value)) { return [string]$copy.value }
        }
    }
}

$Restore.bundle = {
    param($File, $Before)
    Assert-NoLink $File
    $name = Split-Path -Leaf $File
    if ($Before) { Write-Event warning @{ text = "$name replaced version $Before, which it cannot bring back; the newer one stays" }; return }
    if (-not (Test-Path -LiteralPath $File)) {
        $own = $name -creplace '\A[0-9a-f]{16}-', ''   # the cache puts the beginning of its hash before it
        $copy = Get-BundleCopy $own
        if (-not $copy) { Write-Event log @{ text = "$File is gone, and so is what it brought" }; return }
        # Under a name without a version it may be a newer one, which another program has brought.
        if ($own -notmatch '\d+\.\d+\.\d+') { Write-Event warning @{ text = "$File is gone, and $copy may be a newer one that other programs need. It stays: remove it in Apps in Settings if none does" }; return }
        $File = $copy
    }
    Invoke-Waiting $File @('/uninstall', '/quiet', '/norestart') $name -Also 1605
}

# ---- Inno Setup: OpenSSL's exe. It puts its own uninstaller into the folder. Its task copytobin keeps the DLLs
# ---- there: left to itself it copies them to System32, for every process of this host. Source: pull request
# ---- 13203 of actions/runner-images. A restart that it needs is told as 3010: "Setup Command Line Parameters".

function Install-Inno([string]$File, [string]$Folder) {
    Save-Before 'inno' $Folder $null
    Invoke-Installer $File @('/VERYSILENT', '/SUPPRESSMSGBOXES', '/NORESTART', '/RESTARTEXITCODE=3010', '/SP-', '/TASKS=copytobin', "/DIR=$Folder",
        "/LOG=$(Get-InstallerLog 'inno')") -Words $InnoWords
}

$Restore.inno = {
    param($Folder)
    Assert-NoLink $Folder
    $uninstaller = Join-Path $Folder 'unins000.exe'
    if (Test-Path -LiteralPath $uninstaller) { Invoke-Program $uninstaller @('/VERYSILENT', '/SUPPRESSMSGBOXES', '/NORESTART') }
    Remove-Folder $Folder
}

# ---- prelude: scheduled tasks, as their XML ------------------------------------------------------------

# The task's XML, or nothing.
function Get-TaskXml([string]$Name) {
    if (Get-ScheduledTask -TaskName $Name -TaskPath '\' -ErrorAction SilentlyContinue) { [string](Export-ScheduledTask -TaskName $Name -TaskPath '\') }
}

# The text of an element of the task, whatever namespace prefix Windows writes; nothing where it is missing.
function Get-TaskText([xml]$Xml, [string]$Path) {
    $node = $Xml.SelectSingleNode('/*/' + (@($Path -split '/' | ForEach-Object { "*[local-name()='$_']" }) -join '/'))
    if ($node) { $node.InnerText }
}

# Windows keeps the password of such a task and gives it to nobody: without it the task cannot be registered again.
function Test-StoredPassword([xml]$Xml) { 'Password', 'InteractiveTokenOrPassword' -contains (Get-TaskText $Xml 'Principals/Principal/LogonType') }

function Set-Task([string]$Name, [string]$Xml) {
    Save-Before 'task' $Name (Get-TaskXml $Name)
    Register-NewTask $Name $Xml
}

# A task that is replaced (-Force) keeps its permissions, and with them those of whoever registered it: one that is
# there is removed first. Should somebody register another one in between, this fails.
function Register-NewTask([string]$Name, [string]$Xml) {
    if (Get-TaskXml $Name) { Unregister-ScheduledTask -TaskName $Name -TaskPath '\' -Confirm:$false }
    [void](Register-ScheduledTask -TaskName $Name -TaskPath '\' -Xml $Xml)
}

$Restore.task = {
    param($Name, $Before)
    if ($Before) { Register-NewTask $Name $Before; return }
    if (-not (Get-TaskXml $Name)) { return }
    Stop-Task $Name
    Unregister-ScheduledTask -TaskName $Name -TaskPath '\' -Confirm:$false
}

# Kind task_state: whether a task is enabled, and whether it runs. Unlike kind task it needs no password: a
# task that was made with one could not be registered again. Its name comes with its folder, \FOLDER\NAME.
function Save-TaskState([string]$FullName) {
    $task = Get-NamedTask $FullName
    Save-Before 'task_state' $FullName @{ Enabled = [string]$task.State -ne 'Disabled'; Running = [string]$task.State -eq 'Running' }
}

function Disable-Task([string]$FullName) {
    Save-TaskState $FullName
    $task = Get-NamedTask $FullName
    [void](Disable-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath)
    Stop-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath
}

function Get-NamedTask([string]$FullName) {
    $at = $FullName.LastIndexOf([char]'\') + 1
    Get-ScheduledTask -TaskName $FullName.Substring($at) -TaskPath $FullName.Substring(0, $at) -ErrorAction SilentlyContinue
}

$Restore.task_state = {
    param($FullName, $Before)
    $task = Get-NamedTask $FullName
    if (-not $task) { return }   # somebody has removed it since
    if ($Before.Enabled -and [string]$task.State -eq 'Disabled') { [void](Enable-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath) }
    if ($Before.Running -and [string]$task.State -ne 'Running') { Start-ScheduledTask -TaskName $task.TaskName -TaskPath $task.TaskPath }
}

# A server's kernels are processes of their own and can outlive its task: when the task runs a program from
# our folder, whatever else runs from there is ended too.
function Stop-Task([string]$Name) {
    Stop-ScheduledTask -TaskName $Name -TaskPath '\'
    if ((Get-TaskXml $Name) -clike "*<Command>$Programs\*") { Stop-ProcessesBelow $Programs }
}

# Undo goes backwards, and what was installed last may be what a task runs from: tasks are ended first.
function Stop-RecordedTasks {
    foreach ($line in @(Read-Record)) {
        if ($line.kind -eq 'task' -and (Get-TaskXml $line.key)) { Stop-Task $line.key }
    }
}

function Protect-Xml([string]$Text) {
    [Security.SecurityElement]::Escape($Text)
}

# An open bracket must not outlive a run that was cut off: until it is closed, a startup task holds the
# literal commands which put the registry value back and then remove the task. No file is involved.
function Add-ClosingTask([string]$Path, [string]$Name) {
    $before = Get-RegistryValue $Path $Name
    if (-not $before -or $before.type -ne 'DWord') { throw "$Path\$Name is not a DWORD: no startup task can put it back" }
    $task = "nbserver-close-$($Run.Step)"
    $key = Protect-Xml ($Path -creplace '^HKLM:', 'HKLM')
    Set-Task $task @"
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>nbserver: puts $(Protect-Xml $Name) back after a run that was cut off</Description></RegistrationInfo>
  <Triggers><BootTrigger><Enabled>true</Enabled></BootTrigger></Triggers>
  <Principals><Principal id="Author"><UserId>S-1-5-18</UserId><RunLevel>HighestAvailable</RunLevel></Principal></Principals>
  <Settings><DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries><StopIfGoingOnBatteries>false</StopIfGoingOnBatteries></Settings>
  <Actions Context="Author">
    <Exec><Command>%SystemRoot%\System32\reg.exe</Command><Arguments>add "$key" /v "$(Protect-Xml $Name)" /t REG_DWORD /d $($before.value) /f</Arguments></Exec>
    <Exec><Command>%SystemRoot%\System32\schtasks.exe</Command><Arguments>/delete /tn "$task" /f</Arguments></Exec>
  </Actions>
</Task>
"@
}

# ---- prelude: firewall rules, by their stable name; display names are localized and not unique ---------

# Filters that narrow a rule beyond its ports and remote addresses, and what stands there where they do not.
$RuleFilters = @{
    Program = 'Any'; Service = 'Any'; LocalAddress = 'Any'; RemotePort = 'Any'; InterfaceType = 'Any'; InterfaceAlias = 'Any'
    LocalUser = 'Any'; RemoteUser = 'Any'; RemoteMachine = 'Any'; Authentication = 'NotRequired'; Encryption = 'NotRequired'
}

# The rule's properties as texts, or nothing.
function Get-FirewallRule([string]$Name) {
    $rule = Get-NetFirewallRule -Name $Name -ErrorAction SilentlyContinue
    if (-not $rule) { return }
    $port = Get-NetFirewallPortFilter -AssociatedNetFirewallRule $rule
    $address = Get-NetFirewallAddressFilter -AssociatedNetFirewallRule $rule
    $security = Get-NetFirewallSecurityFilter -AssociatedNetFirewallRule $rule
    @{
        Enabled = [string]$rule.Enabled; Direction = [string]$rule.Direction; Action = [string]$rule.Action; Profile = [string]$rule.Profile
        Protocol = [string]$port.Protocol; LocalPort = @($port.LocalPort | ForEach-Object { [string]$_ })
        RemotePort = @($port.RemotePort | ForEach-Object { [string]$_ })
        LocalAddress = @($address.LocalAddress | ForEach-Object { ConvertTo-NetworkPrefix $_ } | Sort-Object)
        RemoteAddress = @($address.RemoteAddress | ForEach-Object { ConvertTo-NetworkPrefix $_ } | Sort-Object)
        Program = [string](Get-NetFirewallApplicationFilter -AssociatedNetFirewallRule $rule).Program
        Service = [string](Get-NetFirewallServiceFilter -AssociatedNetFirewallRule $rule).Service
        InterfaceType = [string](Get-NetFirewallInterfaceTypeFilter -AssociatedNetFirewallRule $rule).InterfaceType
        InterfaceAlias = @((Get-NetFirewallInterfaceFilter -AssociatedNetFirewallRule $rule).InterfaceAlias | ForEach-Object { [string]$_ })
        LocalUser = [string]$security.LocalUser; RemoteUser = [string]$security.RemoteUser; RemoteMachine = [string]$security.RemoteMachine
        Authentication = [string]$security.Authentication; Encryption = [string]$security.Encryption
    }
}

# Those of the filters that are in the rule otherwise than wanted, as parameters: an untouched one is not written.
function Get-FilterChanges($Is, [hashtable]$Should) {
    $changes = @{}
    foreach ($filter in $Should.Keys) { if (($Is[$filter] -join ', ') -ne ($Should[$filter] -join ', ')) { $changes[$filter] = $Should[$filter] } }
    $changes
}

# Windows answers 192.0.2.0/255.255.255.0 where 192.0.2.0/24 was asked for, and 192.0.2.7 for 192.0.2.7/32.
function ConvertTo-NetworkPrefix([string]$Address) {
    $network, $mask = $Address -split '/', 2
    if ($mask -match '^\d+\.\d+\.\d+\.\d+$') {
        $bits = -join @($mask -split '\.' | ForEach-Object { [Convert]::ToString([int]$_, 2) })
        $mask = [string]($bits -replace '0', '').Length
    }
    if (-not $mask -or ($mask -eq '32' -and $network -notmatch ':') -or $mask -eq '128') { $network } else { "$network/$mask" }
}

function Set-FirewallRule([string]$Name, [string]$DisplayName, [hashtable]$Rule) {
    $before = Get-FirewallRule $Name
    Save-Before 'firewall_rule' $Name $before
    if ($before) {
        $wide = Get-FilterChanges $before $RuleFilters
        Set-NetFirewallRule -Name $Name @Rule @wide
    }
    else { [void](New-NetFirewallRule -Name $Name -DisplayName $DisplayName -Group 'nbserver' @Rule) }
}

$Restore.firewall_rule = {
    param($Name, $Before)
    if (-not $Before) {
        if (Get-FirewallRule $Name) { Remove-NetFirewallRule -Name $Name }
        return
    }
    # Earlier releases did not look at the filters, and left them alone.
    $kept = @{}
    foreach ($filter in $RuleFilters.Keys) { if ($Before.PSObject.Properties[$filter]) { $kept[$filter] = $Before.$filter } }
    $narrow = @{}
    $is = Get-FirewallRule $Name
    if ($is) { $narrow = Get-FilterChanges $is $kept }
    Set-NetFirewallRule -Name $Name -Enabled $Before.Enabled -Direction $Before.Direction -Action $Before.Action -Profile $Before.Profile `
        -Protocol $Before.Protocol -LocalPort $Before.LocalPort -RemoteAddress $Before.RemoteAddress @narrow
}

# ---- rules of others that let the same port in

# Enabled inbound rules that allow this TCP port. Alone says that a rule names no other port. All port
# filters are asked for at once: one question a rule takes seconds on a server. Policy's rules are not seen.
function Get-OtherPortRules([int]$Port) {
    $alone = @{}
    foreach ($filter in Get-NetFirewallPortFilter -Protocol TCP -ErrorAction SilentlyContinue) {
        $ports = @($filter.LocalPort | ForEach-Object { [string]$_ })
        $named = @($ports | Where-Object { $_ -eq [string]$Port -or ($_ -match '^(\d+)-(\d+)$' -and [int]$Matches[1] -le $Port -and [int]$Matches[2] -ge $Port) })
        if ($named.Count) { $alone[[string]$filter.InstanceID] = $ports.Count -eq 1 -and $ports[0] -eq [string]$Port }
    }
    foreach ($name in $alone.Keys | Sort-Object) {
        $rule = Get-NetFirewallRule -Name $name -ErrorAction SilentlyContinue
        if (-not $rule -or $name -eq 'nbserver') { continue }
        if ([string]$rule.Enabled -eq 'True' -and [string]$rule.Direction -eq 'Inbound' -and [string]$rule.Action -eq 'Allow') {
            @{ Name = $name; DisplayName = [string]$rule.DisplayName; Alone = $alone[$name] }
        }
    }
}

# Kind firewall_rule_state: nothing of the rule is touched but whether it is enabled.
function Disable-FirewallRule([string]$Name) {
    Save-Before 'firewall_rule_state' $Name ([string](Get-NetFirewallRule -Name $Name).Enabled)
    Set-NetFirewallRule -Name $Name -Enabled False
}

$Restore.firewall_rule_state = {
    param($Name, $Before)
    if (Get-NetFirewallRule -Name $Name -ErrorAction SilentlyContinue) { Set-NetFirewallRule -Name $Name -Enabled $Before }
}

# ---- prelude: Windows services that stand in the way ---------------------------------------------------
# Names, modes and states are the same in every language of Windows; display names are not looked at.

function Get-WindowsService([string]$Name) {
    Get-CimInstance -ClassName Win32_Service | Where-Object { $_.Name -eq $Name }
}

# The names of services that need this one, directly or not, and run: while they do, Windows does not stop it.
function Get-RunningDependents([string]$Name) {
    foreach ($dependent in (Get-Service -Name $Name).DependentServices) { if ([string]$dependent.Status -ne 'Stopped') { $dependent.Name } }
}

# Kind service: what starts it, and whether it runs. A service is disabled first: none starts it meanwhile.
function Disable-Service([string]$Name) {
    $service = Get-WindowsService $Name
    Save-Before 'service' $Name @{ StartMode = [string]$service.StartMode; State = [string]$service.State }
    Set-Service -Name $Name -StartupType Disabled
    Stop-Service -Name $Name
}

$Restore.service = {
    param($Name, $Before)
    $service = Get-WindowsService $Name
    if (-not $service) { return }   # somebody has removed it since
    $mode = @{ Auto = 'Automatic'; Manual = 'Manual'; Disabled = 'Disabled' }[$Before.StartMode]
    if ($service.StartMode -ne $Before.StartMode) { Set-Service -Name $Name -StartupType $mode }
    if ($Before.State -eq 'Running' -and $service.State -ne 'Running') { Set-Service -Name $Name -Status Running }
}

# ---- prelude: who listens on a TCP port, and what runs that program ------------------------------------

function Test-PortListening([int]$Port) {
    $listeners = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties().GetActiveTcpListeners()
    [bool]@($listeners | Where-Object { $_.Port -eq $Port }).Count
}

# The process that listens, and those that started it, nearest first; nothing where Windows does not tell.
# A process id may have been given anew: what began after its child is not its parent.
function Get-PortProcesses([int]$Port) {
    try { $id = [int]@(Get-NetTCPConnection -LocalPort $Port -State Listen)[0].OwningProcess } catch { return }
    $child = $null
    for ($depth = 0; $id -gt 0 -and $depth -lt 10; $depth++) {
        $process = Get-CimInstance -ClassName Win32_Process -Filter "ProcessId = $id"
        if (-not $process -or ($child -and $process.CreationDate -gt $child.CreationDate)) { return }
        $process
        $child = $process
        $id = [int]$process.ParentProcessId
    }
}

# What runs the program, as far as it is certain: the service whose process it is, or whose program (the one
# that NSSM or srvany was told to run, Parameters\Application) it is or was started by. A service further up,
# such as an SSH server or an agent, is not meant, but what runs below one is not ended either.
# Held is what would have to be stopped: 'service', 'task', 'process'; 'nothing' where only a person can.
function Get-PortHolder([int]$Port) {
    $processes = @(Get-PortProcesses $Port)
    $holder = @{ Held = 'nothing'; Text = ''; Process = $null; Services = @(); Tasks = @() }
    if (-not $processes.Count) { return $holder }
    $first = $processes[0]
    $holder.Process = $first
    $holder.Text = " ($($first.Name), process $($first.ProcessId)"
    if (-not $first.ExecutablePath -or (Test-Below $first.ExecutablePath $env:SystemRoot)) { $holder.Text += ', a part of Windows)'; return $holder }

    $services = @(Get-CimInstance -ClassName Win32_Service | Where-Object { $_.ProcessId -gt 0 })
    $below = @()
    foreach ($process in $processes) {
        if ($process.Name -eq 'svchost.exe' -or $process.Name -eq 'services.exe') { break }
        $here = @($services | Where-Object { $_.ProcessId -eq $process.ProcessId })
        foreach ($service in $here) {
            $application = Get-RegistryValue "HKLM:\SYSTEM\CurrentControlSet\Services\$($service.Name)\Parameters" Application
            $runs = @($below | Where-Object { $application -and $_.ExecutablePath -eq (Expand-Path ([string]$application.value).Trim('"')) })
            if (-not $below.Count -or $runs.Count) { $holder.Held = 'service'; $holder.Services += $service.Name; $holder.Text += ", service '$($service.Name)'" }
            else { $holder.Text += ", below service '$($service.Name)'" }
        }
        if ($here.Count) { $holder.Text += ')'; return $holder }
        $below += $process
    }
    foreach ($task in @(Get-ScheduledTask | Where-Object { [string]$_.State -eq 'Running' })) {
        if (Test-TaskRuns $task $below) { $holder.Held = 'task'; $holder.Tasks += "$($task.TaskPath)$($task.TaskName)"; $holder.Text += ", scheduled task '$($task.TaskPath)$($task.TaskName)'" }
    }
    if ($holder.Held -eq 'nothing') { $holder.Held = 'process' }
    $holder.Text += ')'
    $holder
}

# Whether one of the processes is what this task says: its program, with its arguments.
function Test-TaskRuns($Task, [object[]]$Processes) {
    foreach ($action in @($Task.Actions | Where-Object { $_.PSObject.Properties['Execute'] -and $_.Execute })) {
        $program = (Expand-Path $action.Execute).Trim('"')
        foreach ($process in $Processes) {
            $line = [string]$process.CommandLine
            $same = $process.ExecutablePath -eq $program -or $line.IndexOf($program, [StringComparison]::OrdinalIgnoreCase) -ge 0
            if ($same -and $line.IndexOf((Expand-Path $action.Arguments), [StringComparison]::OrdinalIgnoreCase) -ge 0) { return $true }
        }
    }
    $false
}

# The services, tasks or the bare process are stopped; what of their programs outlives them is ended.
function Stop-PortHolder([int]$Port) {
    $holder = Get-PortHolder $Port
    foreach ($name in $holder.Services) { Disable-Service $name }
    foreach ($name in $holder.Tasks) { Disable-Task $name }
    if ($holder.Held -eq 'process') {
        Write-Event warning @{ text = "$($holder.Process.Name), process $($holder.Process.ProcessId), was ended: no service and no task runs it, so undo cannot start it again. It ran: $($holder.Process.ExecutablePath)" }
    }
    for ($try = 0; $try -lt 20 -and $holder.Held -ne 'nothing' -and (Test-PortListening $Port); $try++) {
        if ($holder.Held -eq 'process' -or $try -eq 10) { Stop-Process -Id $holder.Process.ProcessId -Force -ErrorAction SilentlyContinue }
        [Threading.Thread]::Sleep(500)
    }
}

# ---- prelude: certificates and keys, as they stand in PEM files ----------------------------------------

# The certificates of a PEM file, in its order. Taken apart here, because what .NET reads from a file with
# several of them depends on its version.
function Read-Certificates([string]$Path) {
    $text = [IO.File]::ReadAllText($Path, $Utf8)
    foreach ($match in [regex]::Matches($text, '-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----')) {
        New-Object Security.Cryptography.X509Certificates.X509Certificate2 (, [Convert]::FromBase64String($match.Groups[1].Value))
    }
}

function Format-Certificate($Certificate) {
    $lines = [regex]::Replace([Convert]::ToBase64String($Certificate.RawData), '.{1,64}', "`$0`n")
    "-----BEGIN CERTIFICATE-----`n$lines-----END CERTIFICATE-----`n"
}

# SHA256: and 64 hex digits, as the orchestrator pins it.
function Get-Fingerprint($Certificate) { 'SHA256:' + (Get-Sha256 $Certificate.RawData) }

# A DNS name or an IP address in the one form in which two of them are compared.
function Format-Name([string]$Name) {
    $address = $null
    if ([Net.IPAddress]::TryParse($Name, [ref]$address)) { $address.ToString() } else { $Name.ToLowerInvariant() }
}

# The DNS names and IP addresses of its SANs. Read off the extension's bytes (RFC 5280, 4.2.1.6: in a
# sequence, a name is tagged 0x82 and an address 0x87), because .NET tells them in Windows' own language.
function Get-CertificateNames($Certificate) {
    foreach ($extension in $Certificate.Extensions) {
        if ($extension.Oid.Value -ne '2.5.29.17') { continue }
        $bytes = $extension.RawData
        $at = (Get-DerValue $bytes 0).Start
        while ($at -lt $bytes.Length) {
            $tag = $bytes[$at]
            $value = Get-DerValue $bytes $at
            $at = $value.End
            $data = New-Object byte[] ($value.End - $value.Start)
            [Array]::Copy($bytes, $value.Start, $data, 0, $data.Length)
            if ($tag -eq 0x82) { $Utf8.GetString($data).ToLowerInvariant() }
            elseif ($tag -eq 0x87) { (New-Object Net.IPAddress (, $data)).ToString() }
        }
    }
}

# Where the value of the DER element at $At begins and ends: a length above 127 says in how many bytes it stands.
function Get-DerValue([byte[]]$Bytes, [int]$At) {
    $start = $At + 2
    $length = [int]$Bytes[$At + 1]
    if ($length -gt 127) {
        $behind = $start + $length - 128
        $length = 0
        for (; $start -lt $behind; $start++) { $length = $length * 256 + $Bytes[$start] }
    }
    @{ Start = $start; End = $start + $length }
}

# Signatures by SHA-256, SHA-384 or SHA-512: with RSA (PSS last), with an EC key.
$GoodSignatures = '1.2.840.113549.1.1.11', '1.2.840.113549.1.1.12', '1.2.840.113549.1.1.13', '1.2.840.113549.1.1.10',
    '1.2.840.10045.4.3.2', '1.2.840.10045.4.3.3', '1.2.840.10045.4.3.4'
# P-256 and P-384, in DER.
$GoodCurves = '06-08-2A-86-48-CE-3D-03-01-07', '06-05-2B-81-04-00-22'

# serverAuth, and any purpose.
$ServerPurposes = '1.3.6.1.5.5.7.3.1', '2.5.29.37.0'

# The length of an RSA key: of the first number in its sequence, without the zeros before it.
function Get-ModulusBits([byte[]]$Key) {
    $modulus = Get-DerValue $Key (Get-DerValue $Key 0).Start
    $at = $modulus.Start
    while ($at -lt $modulus.End - 1 -and -not $Key[$at]) { $at++ }
    $bits = 8 * ($modulus.End - $at)
    for ($first = [int]$Key[$at]; $first -gt 0 -and $first -lt 128; $first *= 2) { $bits-- }
    $bits
}

# Why this certificate must not be served for the names in the settings; nothing where it may.
# The workstation checks the same for certificates that it sends.
function Get-CertificateFault($Certificate) {
    if (-not $Certificate) { return 'there is no certificate in it' }
    $now = [DateTime]::UtcNow
    if ($Certificate.NotAfter.ToUniversalTime() -le $now) { return "it ended $($Certificate.NotAfter.ToUniversalTime().ToString('u'))" }
    if ($Certificate.NotBefore.ToUniversalTime() -gt $now) { return "it is not valid before $($Certificate.NotBefore.ToUniversalTime().ToString('u'))" }
    $names = @(Get-CertificateNames $Certificate)
    foreach ($name in $names) {
        if ($name.Contains('*')) { return "it is for the wildcard name $name. Notebooks run as the server's account and can read its key, so only a certificate for this host's own names is served" }
    }
    $missing = @($Settings.certificate.names | Where-Object { $names -notcontains (Format-Name $_) })
    if ($missing.Count) { return "its subject alternative names lack $($missing -join ', ')" }
    if ($GoodSignatures -notcontains $Certificate.SignatureAlgorithm.Value) { return "its signature ($($Certificate.SignatureAlgorithm.Value)) is not one by SHA-256, SHA-384 or SHA-512" }
    foreach ($extension in $Certificate.Extensions) {
        if ($extension -is [Security.Cryptography.X509Certificates.X509BasicConstraintsExtension]) {
            if ($extension.CertificateAuthority) { return 'it is the certificate of an authority (CA:TRUE). Notebooks run as the server''s account and can read its key, and could issue certificates with it' }
        }
        elseif ($extension -is [Security.Cryptography.X509Certificates.X509EnhancedKeyUsageExtension]) {
            if (-not @($extension.EnhancedKeyUsages | Where-Object { $ServerPurposes -contains $_.Value }).Count) { return 'its extended key usage is not for a server (serverAuth)' }
        }
        elseif ($extension -is [Security.Cryptography.X509Certificates.X509KeyUsageExtension]) {
            if (-not ($extension.KeyUsages -band [Security.Cryptography.X509Certificates.X509KeyUsageFlags]::DigitalSignature)) { return 'its key usage lacks digitalSignature, which TLS 1.2 and 1.3 need' }
        }
    }
    $key = $Certificate.PublicKey
    if ($key.Oid.Value -eq '1.2.840.113549.1.1.1') {
        $bits = Get-ModulusBits $key.EncodedKeyValue.RawData
        if ($bits -lt 2048 -or $bits -gt 8192) { return "its RSA key has $bits bits, 2048 to 8192 are allowed" }
    }
    elseif ($GoodCurves -notcontains [BitConverter]::ToString($key.EncodedParameters.RawData)) { return 'its key is neither RSA nor EC on P-256 or P-384' }
}

# Whether a certificate and a key belong together: OpenSSL tells the public key of both.
function Test-KeyPair([string]$Certificate, [string]$Key) {
    Invoke-Program (Get-OpenSsl) @('x509', '-in', $Certificate, '-noout', '-pubkey') -Accept 0, 1 -Quiet
    $public = $Run.Output -join "`n"
    if ($Run.ExitCode) { return $false }
    Invoke-Program (Get-OpenSsl) @('pkey', '-in', $Key, '-pubout') -Accept 0, 1 -Quiet
    -not $Run.ExitCode -and [string]::Equals($public, ($Run.Output -join "`n"))
}

# A file takes the place of another one, at once.
function Move-Over([string]$New, [string]$Path) {
    if (Test-Path -LiteralPath $Path) { [IO.File]::Replace($New, $Path, [NullString]::Value) }
    else { [IO.File]::Move($New, $Path) }
}

# ---- prelude: a self-signed certificate where no OpenSSL is installed, by Python's cryptography --------
# The package stands in the lock. Kind of key, names and extensions are those of the request for OpenSSL.

$CertificateProgramFile = Join-Path $ServiceFolder 'certificate.py'

$CertificateProgram = @'
# Makes a key (P-256) and a self-signed certificate: certificate.py KEY-FILE FILE DAYS COMMON-NAME NAME...
import datetime
import ipaddress
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

key_file, file, days, common_name, *names = sys.argv[1:]


def alternative(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


key = ec.generate_private_key(ec.SECP256R1())
subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
now = datetime.datetime.now(datetime.timezone.utc)
end = now + datetime.timedelta(int(days))
builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now, end)
others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
for extension, critical in (
    (x509.SubjectAlternativeName([alternative(name) for name in names]), False),
    (x509.BasicConstraints(ca=False, path_length=None), True),
    (x509.KeyUsage(digital_signature=True, **dict.fromkeys(others, False)), True),
    (x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), False),
    (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
):
    builder = builder.add_extension(extension, critical)
certificate = builder.sign(key, hashes.SHA256())

with open(key_file, "wb") as out:
    out.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
with open(file, "wb") as out:
    out.write(certificate.public_bytes(serialization.Encoding.PEM))
'@ -replace "`r", ''

function Invoke-CertificateProgram([string]$Key, [string]$Certificate) {
    Set-TextFile $CertificateProgramFile $CertificateProgram
    Invoke-Program (Get-EnvironmentProgram 'python.exe') (@('-I', '-X', 'utf8', $CertificateProgramFile, $Key, $Certificate,
            [string]$Settings.certificate.days, (Get-CommonName)) + $Settings.certificate.names)
}

# ---- prelude: certificates that this host does not sign itself -----------------------------------------
# Three sources: the workstation sends certificate and key; the machine's certificate store has them; or a
# key and a request are made here, and what a signer made of the request is sent.

$NewCertificateFile = Join-Path $ServiceFolder 'certificate-new.pem'
$NewKeyFile = Join-Path $ServiceFolder 'key-new.pem'

# What certificate.source says when a certificate is in place, whole: where it came from.
function Get-CertificateSource {
    $source = $Settings.certificate.source
    if ($source -eq 'store') { $source = "store $($Settings.certificate.thumbprint)" }
    $source
}

$CertificateNotes = @{ Told = $false }   # a Test runs more than once

function Compare-GivenCertificate($Certificate) {
    $source = Get-CertificateSource
    $before = $Run.Differences.Count
    $is = $null
    if ($Certificate) { $is = Get-Fingerprint $Certificate }
    if ($Secrets.ContainsKey('certificate.chain') -and -not (Test-TextFile $CertificateFile '@certificate.chain@' 'certificate.chain')) { Difference 'certificate' $is 'the one that was sent' }
    elseif ($Secrets.ContainsKey('certificate.key') -and -not (Test-TextFile $KeyFile '@certificate.key@' 'certificate.key')) { Difference 'key of the certificate' 'another or none' 'the one that was sent' }
    elseif (-not $Certificate) { Difference 'certificate' $null "from: $source" }
    elseif (-not (Test-TextFile $SourceFile $source)) { Difference 'source of the certificate' 'another' $source }
    # Before OpenSSL is there, its step differs, and this one is tested again after it.
    elseif ((Test-Path -LiteralPath (Get-OpenSsl)) -and -not (Test-KeyPair $CertificateFile $KeyFile)) { Difference 'key of the certificate' 'another one' 'its own' }
    else {
        $fault = Get-CertificateFault $Certificate
        if ($fault) { Difference 'certificate' $fault 'one that can be served' }
    }
    if ($Run.Differences.Count -gt $before) {
        if ($Settings.certificate.source -eq 'store') { [void](Get-StoreCertificate) }   # a plan tells what apply would miss
    }
    elseif (-not $CertificateNotes.Told -and $Certificate.NotAfter.ToUniversalTime() -lt [DateTime]::UtcNow.AddDays(30)) {
        $CertificateNotes.Told = $true
        Write-Event warning @{ text = "the certificate ends $($Certificate.NotAfter.ToUniversalTime().ToString('u')). Nothing renews it by itself: see docs/certificates.md" }
    }
}

function Install-GivenCertificate {
    switch ($Settings.certificate.source) {
        'workstation' { Install-SentCertificate }
        'store' { Install-StoreCertificate }
        'request' { Install-RequestedCertificate }
    }
}

# Takes the new certificate and $Key into use, if they belong together; else what was there stays. While
# they are moved, certificate.source says so: a run that is cut off here is done again.
function Complete-Certificate([string]$Key) {
    $fault = Get-CertificateFault (Read-Certificates $NewCertificateFile | Select-Object -First 1)
    if (-not $fault -and -not (Test-KeyPair $NewCertificateFile $Key)) { $fault = 'its key is another one' }
    if ($fault) {
        foreach ($file in $NewCertificateFile, $NewKeyFile) { if (Test-Path -LiteralPath $file) { [IO.File]::Delete($file) } }
        throw "the new certificate is refused, and nothing was replaced: $fault"
    }
    foreach ($file in $CertificateFile, $KeyFile) { Save-FileBefore $file }
    Set-TextFile $SourceFile 'unfinished'
    Move-Over $NewCertificateFile $CertificateFile
    if ($Key -ne $KeyFile) { Move-Over $Key $KeyFile }
    Set-TextFile $SourceFile (Get-CertificateSource)
}

# ---- sent by the workstation

function Install-SentCertificate {
    if (-not ($Secrets.ContainsKey('certificate.chain') -and $Secrets.ContainsKey('certificate.key'))) {
        throw 'certificate and key are on the workstation: run nbserver apply there, or put both into the envelope (docs/by-hand.md)'
    }
    Set-TextFile $NewCertificateFile '@certificate.chain@' 'certificate.chain'
    Set-TextFile $NewKeyFile '@certificate.key@' 'certificate.key'
    Complete-Certificate $NewKeyFile
}

# ---- from the machine's certificate store

function Get-StoreCertificate {
    $place = "Cert:\LocalMachine\My\$($Settings.certificate.thumbprint)"
    $store = New-Object Security.Cryptography.X509Certificates.X509Store 'My', 'LocalMachine'
    $store.Open('ReadOnly')
    try { $certificate = $store.Certificates | Where-Object { $_.Thumbprint -eq $Settings.certificate.thumbprint } | Select-Object -First 1 }
    finally { $store.Close() }
    if (-not $certificate) { throw "there is no $place. Import the certificate with its key for the local computer (certlm.msc, Personal), or correct certificate.thumbprint in the inventory" }
    if (-not $certificate.HasPrivateKey) { throw "$place has no private key here. Import it again with its key, marked as exportable" }
    $fault = Get-CertificateFault $certificate
    if ($fault) { throw "${place} cannot be served: $fault. Put another certificate into the store, and its thumbprint into the inventory" }
    $certificate
}

# The certificate and the authorities between it and its root, as Windows finds them.
function Get-StoreChain($Certificate) {
    $chain = New-Object Security.Cryptography.X509Certificates.X509Chain
    $chain.ChainPolicy.RevocationMode = 'NoCheck'
    [void]$chain.Build($Certificate)
    $pem = Format-Certificate $Certificate
    foreach ($element in @($chain.ChainElements | Select-Object -Skip 1)) {
        $issuer = $element.Certificate
        $self = [string]::Equals([BitConverter]::ToString($issuer.SubjectName.RawData), [BitConverter]::ToString($issuer.IssuerName.RawData))
        if (-not $self) { $pem += Format-Certificate $issuer }   # a root is not sent: who trusts it has it
    }
    $pem
}

function Install-StoreCertificate {
    $certificate = Get-StoreCertificate
    $pfx = Join-Path $ServiceFolder 'store.pfx'
    $export = Join-Path $ServiceFolder 'key-store.pem'
    foreach ($file in $pfx, $export, $NewKeyFile) { Save-FileBefore $file }
    $bytes = New-Object byte[] 32
    (New-Object Security.Cryptography.RNGCryptoServiceProvider).GetBytes($bytes)
    $password = [Convert]::ToBase64String($bytes)
    $secure = New-Object Security.SecureString
    foreach ($character in $password.ToCharArray()) { $secure.AppendChar($character) }
    $environment = @{ NBSERVER_PFX_PASSWORD = $password }
    # Older Windows encrypts a PFX with RC2: OpenSSL 3 opens that with -legacy only, which needs legacy.dll beside it.
    $open = 'pkcs12', '-in', $pfx, '-passin', 'env:NBSERVER_PFX_PASSWORD', '-nocerts', '-nodes', '-out', $export
    try {
        try { [void](Export-PfxCertificate -Cert $certificate -FilePath $pfx -Password $secure -ChainOption EndEntityCertOnly -Force) }
        catch { throw "the key of Cert:\LocalMachine\My\$($Settings.certificate.thumbprint) cannot be exported: $_. Import the certificate again with its key marked as exportable, or use certificate.pfx or certificate.request" }
        Invoke-Program (Get-OpenSsl) $open $environment -Accept 0, 1 -Quiet
        if ($Run.ExitCode) { Invoke-Program (Get-OpenSsl) ($open + '-legacy') $environment -Quiet -Todo 'This OpenSSL cannot open what Windows exported: it may lack legacy.dll. Choose another openssl.version, or use certificate.pfx' }
        Invoke-Program (Get-OpenSsl) @('pkey', '-in', $export, '-out', $NewKeyFile) -Quiet
    }
    finally {
        foreach ($file in $pfx, $export) { if (Test-Path -LiteralPath $file) { [IO.File]::Delete($file) } }
    }
    Set-TextFile $NewCertificateFile (Get-StoreChain $certificate)
    Complete-Certificate $NewKeyFile
}

# ---- requested here, signed elsewhere. A key in use is never replaced by one of an open request: that one
# ---- stands in its own file until its certificate is installed.

$RequestedKeyFile = Join-Path $ServiceFolder 'key-request.pem'
$SigningRequestFile = Join-Path $ServiceFolder 'request.csr'
$SigningConfiguration = Join-Path $ServiceFolder 'request.cnf'

# Tells the request; the same one again while its names are the same.
function Send-CertificateRequest {
    Add-Folder $StateFolder
    Add-Folder $ServiceFolder $ServiceReads   # before there is a key in it
    $open = (Test-Path -LiteralPath $SigningRequestFile) -and (Test-Path -LiteralPath $RequestedKeyFile)
    if ($open -and (Test-TextFile $SigningConfiguration (Get-CertificateRequest))) { Write-Event unchanged }
    else {
        foreach ($file in $RequestedKeyFile, $SigningRequestFile) { Save-FileBefore $file }
        if (Test-Path -LiteralPath $SigningRequestFile) { [IO.File]::Delete($SigningRequestFile) }
        Set-TextFile $SigningConfiguration (Get-CertificateRequest)
        Invoke-Program (Get-OpenSsl) @('req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-config', $SigningConfiguration,
            '-keyout', $RequestedKeyFile, '-out', "$SigningRequestFile.new")
        Move-Over "$SigningRequestFile.new" $SigningRequestFile
        $Run.Changed++
        Write-Event changed
    }
    Write-Event request @{ csr = [IO.File]::ReadAllText($SigningRequestFile, $Utf8) -replace "`r", '' }
}

function Install-RequestedCertificate {
    if (-not $Secrets.ContainsKey('certificate.chain')) {
        throw "no certificate for this host's request is installed, or it cannot be served any more. On the workstation: nbserver certificate request $($Settings.host) -o DIR; have the file in DIR signed; nbserver certificate install $($Settings.host) FILE"
    }
    Set-TextFile $NewCertificateFile '@certificate.chain@' 'certificate.chain'
    # The key in use may be meant as well: a chain that was mended, or an install that was cut off.
    $requested = (Test-Path -LiteralPath $RequestedKeyFile) -and (Test-KeyPair $NewCertificateFile $RequestedKeyFile)
    if (-not $requested) { Complete-Certificate $KeyFile; return }
    Complete-Certificate $RequestedKeyFile
    foreach ($file in $SigningRequestFile, $SigningConfiguration) { if (Test-Path -LiteralPath $file) { [IO.File]::Delete($file) } }
}

# ---- step: preflight -----------------------------------------------------------------------------------
# Refuses what cannot work, before anything is changed. It changes nothing itself.

# What the inventory calls a Windows, and the lowest version of each. Source: "Operating System Version" and "Windows
# Server release information" on learn.microsoft.com.
$WindowsVersions = @{
    '2012' = '6.2'; '2012r2' = '6.3'; '2016' = '10.0.14393'; '2019' = '10.0.17763'; '2022' = '10.0.20348'; '2025' = '10.0.26100'
    '10' = '10.0'; '11' = '10.0.22000'
}
$WindowsKey = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'

# The version of this Windows. A program that does not name its Windows in its manifest is told an older one, so the
# registry counts where it says more. Windows 8.1 and older have the first numbers in one text, "6.3".
function Get-WindowsVersion([version]$Told) {
    $values = @{}
    foreach ($name in 'CurrentMajorVersionNumber', 'CurrentMinorVersionNumber', 'CurrentVersion', 'CurrentBuildNumber') {
        $found = Get-RegistryValue $WindowsKey $name
        if ($found) { $values[$name] = [string]$found.value }
    }
    $release = $values['CurrentVersion']
    if ($values['CurrentMajorVersionNumber']) { $release = "$($values['CurrentMajorVersionNumber']).$($values['CurrentMinorVersionNumber'])" }
    $registry = "$release.$($values['CurrentBuildNumber'])" -as [version]
    if ($registry -and $registry -gt $Told) { $registry } else { $Told }
}

# What to write as windows for this one; nothing where no release of the inventory is that old. $Type is InstallationType.
function Get-WindowsName([version]$Is, [string]$Type) {
    $names = '2025', '2022', '2019', '2016', '2012r2', '2012'
    if ($Type -eq 'Client') { $names = '11', '10' }
    foreach ($name in $names) { if ($Is -ge [version]$WindowsVersions[$name]) { return $name } }
}

# Why this Windows is not the one that the inventory means; nothing where it is that one or newer.
function Get-WindowsFault([version]$Is, [string]$Type, [string]$Should) {
    $lowest = '10.0'
    $means = 'without windows in the inventory a host is Windows 10, Server 2016 or newer'
    if ($Should) {
        $lowest = $WindowsVersions[$Should]
        $means = "the inventory says windows = `"$Should`", which is newer ($lowest)"
    }
    if ($Is -ge [version]$lowest) { return }
    $name = Get-WindowsName $Is $Type
    $todo = "Write windows = `"$name`" in the inventory"
    if ($name -eq '2012') { $todo += ', and accept_end_of_life = true' }
    if (-not $name) { $todo = 'It is too old: Windows 10 and Server 2012 are the oldest that can be set up' }
    "this is version $Is of Windows, and $means. $todo"
}

Step preflight 'this host can carry the notebook server' -Test {
    Assert-ExecutionPolicy
    if ([IntPtr]::Size -ne 8) { throw 'this is a 32-bit Windows or a 32-bit PowerShell. Use a 64-bit one' }

    $is = [Environment]::GetEnvironmentVariable('PROCESSOR_ARCHITECTURE')
    $should = @{ x64 = 'AMD64'; arm64 = 'ARM64' }[$Settings.architecture]
    if ($is -ne $should) { throw "the processor is $is, and the inventory says architecture = `"$($Settings.architecture)`". Correct the inventory" }

    $type = Get-RegistryValue $WindowsKey 'InstallationType'
    if ($type) { $type = [string]$type.value }
    $fault = Get-WindowsFault (Get-WindowsVersion ([Environment]::OSVersion.Version)) $type $Settings.windows
    if ($fault) { throw $fault }

    $me = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
    if ($Settings.scope -ne 'user' -and -not $me.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) { throw 'administrator rights are missing. Connect as an administrator (a local one other than the built-in account needs LocalAccountTokenFilterPolicy = 1)' }

    Assert-DataFolder (Expand-Path $Settings.notebook.directory)

    # The certificate would be dated by a wrong clock, and downloads over TLS are refused by one. A day is no slip.
    $apart = [Math]::Abs($Run.ClockAhead.TotalMinutes)
    if ($apart -gt 5) {
        $is = [DateTime]::UtcNow
        $words = "this host's clock says $($is.ToString('u')), and the workstation's $(($is - $Run.ClockAhead).ToString('u')). Set the one that is wrong (on this host: w32tm /resync, or Set-Date)"
        if ($apart -gt 1440) { throw "$words, then run this again" }
        $Run.ClockAhead = [TimeSpan]::Zero   # told once
        Write-Event warning @{ text = $words }
    }

    Write-ForeignConfiguration

    # Python, the environment and its downloads take about 2 GB.
    $drive = New-Object IO.DriveInfo ([IO.Path]::GetPathRoot($Programs))
    $free = [Math]::Round($drive.AvailableFreeSpace / 1GB, 1)
    if ($free -lt 3 -and -not (Test-Path -LiteralPath (Get-EnvironmentFolder))) { throw "only $free GB are free on $($drive.Name), and 3 GB are needed. Make room" }
    if ($Settings.scope -eq 'user') { Assert-FreePort; return }

    # Below 1024 MB per shell Windows ends this session in the middle of the installation.
    # Where the quota cannot be read (run by hand, WinRM not running) it is not judged.
    $quota = $null
    try { $quota = [int](Get-WSManInstance -ResourceURI winrm/config/winrs).MaxMemoryPerShellMB } catch { $quota = $null }
    if ($quota -and $quota -lt 1024) { throw "the memory quota of remote shells is $quota MB, and 1024 are needed. Run: Set-Item WSMan:\localhost\Shell\MaxMemoryPerShellMB 2048; Restart-Service WinRM" }

    # Source of the keys: DSC_PendingReboot in ComputerManagementDsc.
    foreach ($key in 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending',
        'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired') {
        if (-not $Run.Reboot -and (Test-Path -LiteralPath $key)) {
            $Run.Reboot = $true
            $Run.Pending = " ($key)"
            Write-Event warning @{ text = "Windows waits for a reboot ($key). What there is to change is changed after it" }
        }
    }
} -Apply {
    throw 'preflight has nothing to change'
}

# What other installations have left on this host to configure a Jupyter, an IPython or (in machine scope) pip and uv: of
# the machine, of the account that runs the server, and variables. The step packages and the server's starter see to it
# that none of it is used. A folder that may not be looked into is left out.
function Get-ForeignConfiguration {
    $account, $variables = "$env:SystemRoot\ServiceProfiles\LocalService", '^(JUPYTER|IPYTHON|PYTHON|OPENSSL_|PIP_|UV_)'
    if ($Settings.scope -eq 'user') { $account, $variables = $env:USERPROFILE, '^(JUPYTER|IPYTHON|PYTHON|OPENSSL_)' }
    $places = @(
        @{ Folder = "$env:ProgramData\jupyter"; Name = '*' }
        @{ Folder = "$env:ProgramData\ipython"; Name = '*' }
        @{ Folder = "$account\.jupyter"; Name = '*_config.*' }
        @{ Folder = "$account\AppData\Roaming\jupyter"; Name = '*_config.*' }
        @{ Folder = "$account\.ipython\profile_default"; Name = '*_config.*' }
        @{ Folder = "$account\.ipython\profile_default\startup"; Name = '*.py' }
        @{ Folder = "$env:ProgramData\pip"; Name = 'pip.ini' }
        @{ Folder = "$env:ProgramData\uv"; Name = 'uv.toml' }
    )
    foreach ($place in $places) {
        if ($Settings.scope -eq 'user' -and 'pip.ini', 'uv.toml' -contains $place.Name) { continue }   # used to install packages
        if (-not [IO.Directory]::Exists($place.Folder)) { continue }
        try { [IO.Directory]::GetFileSystemEntries($place.Folder, $place.Name) } catch [UnauthorizedAccessException] { continue }
    }
    $targets = @('Machine')
    if ($Settings.scope -eq 'user') { $targets += 'User' }
    foreach ($target in $targets) {
        foreach ($name in [Environment]::GetEnvironmentVariables($target).Keys) {
            if ($name.ToUpperInvariant() -cmatch $variables) { "the variable $name" }   # its value may be a secret
        }
    }
}

# One warning in a run.
function Write-ForeignConfiguration {
    if ($Run.ForeignNamed) { return }
    $Run.ForeignNamed = $true
    $found = @(Get-ForeignConfiguration | Sort-Object)
    if (-not $found.Count) { return }
    $names = @($found | Select-Object -First 10) -join ', '
    if ($found.Count -gt 10) { $names += " and $($found.Count - 10) more" }
    Write-Event warning @{ text = "configuration from other installations was found and is ignored: $names" }
}

# In user scope nothing of others is stopped. In machine scope the step past looks at more than the port.
function Assert-FreePort {
    $port = $Settings.notebook.port
    if (-not (Test-PortListening $port)) { return }
    # That our server runs is not enough: it may listen on another port.
    $processes = @(Get-PortProcesses $port)
    if (-not $processes.Count -and (Test-DeployedPort $port) -and @(Get-ProcessesBelow $Programs).Count) { return }
    if (@($processes | Where-Object { $_.ExecutablePath -and (Test-Below $_.ExecutablePath $Programs) }).Count) { return }
    $who = @($processes | Select-Object -First 1 | ForEach-Object { " ($($_.Name), process $($_.ProcessId))" })
    throw "port $port is taken by another program$who. Stop it, or choose another notebook.port in the inventory"
}

# AllSigned is this site's wish for signed scripts only. Windows would let this one pass: a pipeline's text
# is no file, and -ExecutionPolicy Bypass stands in the scope Process, which is left out here. A file that
# runs while AllSigned holds for this process too is signed: Windows has looked.
function Assert-ExecutionPolicy {
    $policy = @(Get-ExecutionPolicy -List | Where-Object { [string]$_.Scope -ne 'Process' -and [string]$_.ExecutionPolicy -ne 'Undefined' })
    if (-not $policy -or [string]$policy[0].ExecutionPolicy -ne 'AllSigned') { return }
    if ($IsFile -and [string](Get-ExecutionPolicy) -eq 'AllSigned') { return }
    $scope = [string]$policy[0].Scope
    $todo = "Exempt this host while nbserver works on it: Set-ExecutionPolicy RemoteSigned -Scope $scope"
    if ($scope -cmatch 'Policy$') { $todo = 'A group policy says so: ask for an exemption of this host from it' }
    throw "only signed scripts may run on this host (execution policy AllSigned, scope $scope), and this one is not signed. $todo"
}

# ---- step: tls -----------------------------------------------------------------------------------------
# Old .NET offers TLS 1.0 unless told otherwise. This concerns the downloads of this process only; nothing
# on the host is changed. 0 is 'what Windows chooses', which includes 1.2 where it exists; 3072 is TLS 1.2,
# by number because .NET before 4.5 has no name for it.

Step tls 'downloads use TLS 1.2 or newer' -Test {
    $now = [int][Net.ServicePointManager]::SecurityProtocol
    if ($now -eq 0 -or ($now -band 3072)) { return }
    try { [Net.ServicePointManager]::SecurityProtocol = $now -bor 3072 }
    catch { throw '.NET here does not know TLS 1.2. Install .NET Framework 4.5 or newer' }
} -Apply {
    throw 'tls has nothing to change'
}

# ---- step: ie_esc --------------------------------------------------------------------------------------
# Windows Server's Internet Explorer Enhanced Security Configuration, as Server Manager's switch sets it.
# Only an existing value is touched: without it (Server Core, Windows 10 and 11) there is nothing to switch.
# A startup task puts the value back should this run be cut off before it can.
# Source: DSC_IEEnhancedSecurityConfiguration in ComputerManagementDsc.

$IeEscForAdministrators = 'HKLM:\SOFTWARE\Microsoft\Active Setup\Installed Components\{A509B1A7-37EF-4b3f-8CFC-4F3A74704073}'

Step ie_esc 'IE Enhanced Security Configuration is off for administrators while the other steps run' -Bracket -Test {
    if (Get-RegistryValue $IeEscForAdministrators IsInstalled) {
        Compare-RegistryValue $IeEscForAdministrators IsInstalled 0
    }
} -Apply {
    Add-ClosingTask $IeEscForAdministrators IsInstalled
    Set-RegistryValue $IeEscForAdministrators IsInstalled 0 DWord
}

# ---- step: python --------------------------------------------------------------------------------------
# Kind zip: the publisher's zip, unpacked into a folder of its own; no installer, nothing in the registry.
# Kind exe: the publisher's installer, for the whole machine. It moves or updates a Python of the same
# branch that is there already, so that one is used when it is the version wanted and only administrators
# write there (it runs as administrator, and the environment needs it), and refused otherwise.
# Kind present: a Python of the user's own, which runs nbserver; it is used, and never installed or removed.

# The Python of this branch that an installer has registered for the machine, or nothing. Source: PEP 514,
# and for arm64 PyArchExt in CPython's PCbuild/python.props.
function Get-RegisteredPython {
    $tag = @($Settings.python.version -split '\.')[0..1] -join '.'
    if ($Settings.architecture -eq 'arm64') { $tag += '-arm64' }
    $branch = "HKLM:\SOFTWARE\Python\PythonCore\$tag"
    $folder = Get-RegistryValue "$branch\InstallPath" ''
    $version = Get-RegistryValue $branch 'Version'
    if ($folder -and $version) { @{ Folder = ([string]$folder.value).TrimEnd('\'); Version = [string]$version.value } }
}

function Get-PythonFolder {
    if ($Settings.python.kind -eq 'present') { return $Settings.python.folder }
    if ($Settings.python.kind -eq 'exe') {
        $registered = Get-RegisteredPython
        if ($registered -and $registered.Version -eq $Settings.python.version) { return $registered.Folder }
    }
    Join-Path $Programs "python-$($Settings.python.version)"
}

function Get-Python { Join-Path (Get-PythonFolder) $Settings.python.executable[0] }

# Who else than SYSTEM, administrators and TrustedInstaller could change a program in this folder, in words. CREATOR
# OWNER is who makes a thing, and only those may. Looked at are the folder, what stands in it, where packages are, and
# the folders above it. Rights: AppendData, WriteData, DeleteSubdirectoriesAndFiles, Delete, ChangePermissions,
# TakeOwnership, GENERIC_WRITE, GENERIC_ALL.
function Get-ProgramFault([string]$Folder) {
    $allowed = $Trusted + $TrustedInstaller + 'S-1-3-0'
    $inside = @($Folder) + @(Get-ChildItem -LiteralPath $Folder -Force | ForEach-Object { $_.FullName })
    $packages = Join-Path $Folder 'Lib\site-packages'
    if (Test-Path -LiteralPath $packages) { $inside += $packages }
    foreach ($path in $inside) {
        $fault = Get-AccessFault $path $allowed 0x500D0046
        if ($fault) { return $fault }
    }
    Get-PathFault $Folder $allowed
}

# One that is registered and cannot be used. Its installer would change it, and undo remove it; so neither is
# done to one that this script did not install.
function Assert-RegisteredPython($Registered) {
    $folder = $Registered.Folder
    $other = 'or choose python.kind = "zip" in the inventory, which installs one of its own'
    if ($Registered.Version -ne $Settings.python.version) {
        throw "Python $($Registered.Version) is installed in $folder, and the installer of $($Settings.python.version) would move it. Choose python.version = `"$($Registered.Version)`", $other"
    }
    if (Test-Below $folder $Programs) { return }
    if (-not (Test-Path -LiteralPath (Join-Path $folder $Settings.python.executable[0]))) {
        throw "Python $($Registered.Version) is registered in $folder, and its $($Settings.python.executable[0]) is not there. Repair or remove it in Apps in Settings, $other"
    }
    $fault = Get-ProgramFault $folder
    if ($fault) { throw "Python $($Registered.Version) in $folder would run as administrator, and others could change it: $fault. Let only SYSTEM and administrators write there, $other" }
}

# A Python from the Store keeps what it writes in a place that other programs do not see.
function Assert-PresentPython {
    $python = Get-Python
    $other = 'Install one from python.org, make nbserver''s virtual environment with it, and run this again'
    if (Test-Below $python "$env:ProgramFiles\WindowsApps") { throw "$python is from the Microsoft Store, where programs do not see each other's files. $other" }
    if (-not (Test-Path -LiteralPath $python)) { throw "$python is not there any more. $other" }
    $file = [Diagnostics.FileVersionInfo]::GetVersionInfo($python)
    $is = "$($file.FileMajorPart).$($file.FileMinorPart)"
    if ($is -ne $Settings.python.version) { throw "$python is version $is, and $($Settings.python.version) is expected. $other" }
    if (-not (Test-Path -LiteralPath (Join-Path (Get-PythonFolder) 'Lib\site-packages\pip'))) { throw "$python has no pip. Run: `"$python`" -m ensurepip; or install a whole Python from python.org" }
}

Step python 'Python is there' -Test {
    if ($Settings.python.kind -eq 'present') { Assert-PresentPython; return }
    if ($Settings.python.kind -eq 'exe') {
        $registered = Get-RegisteredPython
        if ($registered) { Assert-RegisteredPython $registered }
    }
    if (-not (Test-Path -LiteralPath (Get-Python))) { Difference 'Python' $null (Get-Python) }
    elseif (Test-CutOff (Get-CachedFile $Settings.python)) { Difference 'Python' 'an installation that was cut off' (Get-Python) }
} -Apply {
    Add-Folder $Programs
    Save-Download $Settings.python
    $folder = Get-PythonFolder
    if ($Settings.python.kind -eq 'zip') { Expand-Download $Settings.python $folder; return }

    if (-not (Test-Path -LiteralPath $folder)) { Save-Before 'folder' $folder $null }   # undo removes it with all that is in it
    Install-Bundle (Get-CachedFile $Settings.python) @('/quiet', '/norestart', '/log', (Get-InstallerLog 'python'), 'InstallAllUsers=1', "TargetDir=$folder",
        'PrependPath=0', 'AssociateFiles=0', 'Shortcuts=0', 'Include_launcher=0', 'Include_doc=0', 'Include_test=0')
}

# ---- step: vc_redist -----------------------------------------------------------------------------------
# The Visual C++ runtime, where the catalog says that OpenSSL's installer needs one. A newer one than the
# catalog's is as good: looked up in the registry first, because an older installer refuses in silence.
# Source: "Redistributing Visual C++ files" on learn.microsoft.com.

# The version that is installed, or nothing. A key that says nothing of it, or Installed = 0, is of one that is gone.
function Get-VcRuntimeVersion {
    $key = "HKLM:\SOFTWARE\Wow6432Node\Microsoft\VisualStudio\14.0\VC\Runtimes\$($Settings.architecture)"
    $installed = Get-RegistryValue $key 'Installed'
    if (-not $installed -or [string]$installed.value -ne '1') { return }
    $parts = @('Major', 'Minor', 'Bld' | ForEach-Object { Get-RegistryValue $key $_ } | ForEach-Object { [string]$_.value })
    if ($parts.Count -eq 3) { [version]($parts -join '.') }
}

Step vc_redist 'the Visual C++ runtime that OpenSSL needs is there' -Test {
    if (-not $Settings.vc_redist) { return }
    $is = Get-VcRuntimeVersion
    $should = [version]($Settings.vc_redist.version -replace '^(\d+\.\d+\.\d+).*$', '$1')
    if (-not $is -or $is -lt $should) { Difference 'Visual C++ runtime' ([string]$is) ([string]$should) }
    elseif (Test-CutOff (Get-CachedFile $Settings.vc_redist)) { Difference 'Visual C++ runtime' 'an installation that was cut off' ([string]$should) }
} -Apply {
    Save-Download $Settings.vc_redist
    Install-Bundle (Get-CachedFile $Settings.vc_redist) @('/install', '/quiet', '/norestart', '/log', (Get-InstallerLog 'vc_redist')) ([string](Get-VcRuntimeVersion))
}

# ---- step: openssl -------------------------------------------------------------------------------------
# Kind zip: unpacked into a folder of its own. Kind exe: the publisher's Inno Setup, into such a folder.
# Kind msi: the publisher's package; it chooses its folder, so the catalog names where openssl.exe may be. One
# of another version makes room for it, and one that this script did not install is never replaced.
# Without one in the settings (scope "user") nothing is installed: see prelude/certificate_program.

function Get-OpenSslFolder { Join-Path $Programs "openssl-$($Settings.openssl.version)" }

# The version that a program's file has, in three numbers; 0.0.0 where it has none.
function Get-FileVersion([string]$Path) {
    $file = [Diagnostics.FileVersionInfo]::GetVersionInfo($Path)
    "$($file.FileMajorPart).$($file.FileMinorPart).$($file.FileBuildPart)"
}

function Get-WantedOpenSslVersion { $Settings.openssl.version -replace '^(\d+\.\d+\.\d+).*$', '$1' }

# Of the catalog's places the first that has the version wanted, else the first that exists, else the first.
function Get-OpenSsl {
    $places = @($Settings.openssl.executable | ForEach-Object {
            if ($Settings.openssl.kind -eq 'msi') { Expand-Path $_ } else { Join-Path (Get-OpenSslFolder) $_ }
        })
    $there = @($places | Where-Object { Test-Path -LiteralPath $_ })
    foreach ($place in $there) { if ((Get-FileVersion $place) -eq (Get-WantedOpenSslVersion)) { return $place } }
    @($there + $places)[0]
}

# The record's lines of what this script installed as msi.
function Get-RecordedMsis { Read-Record | Where-Object { $_.kind -eq 'msi' -and $_.step -eq 'openssl' } }

# Makes the key only where adopt = true says that it may. Its msi could not be brought back by undo.
function Assert-ForeignOpenSsl([string]$Path) {
    $is = Get-FileVersion $Path
    $who = "OpenSSL $is in $Path was not installed by nbserver"
    if ($is -ne (Get-WantedOpenSslVersion)) {
        throw "$who, and the msi of $($Settings.openssl.version) would replace it for good. Remove it, choose openssl.version = `"$is`" with adopt = true, or openssl.kind = `"zip`" from a site catalog, in the inventory"
    }
    if (-not $Settings.adopt) { throw "$who. Set adopt = true in the inventory to use it as it is, or remove it" }
}

Step openssl 'OpenSSL is there' -Test {
    if (-not $Settings.openssl) { return }
    $openssl = Get-OpenSsl
    if (-not (Test-Path -LiteralPath $openssl)) { Difference 'OpenSSL' $null $openssl; return }
    $file = Get-CachedFile $Settings.openssl
    if (Test-CutOff $file) { Difference 'OpenSSL' 'an installation that was cut off' $openssl; return }
    if ($Settings.openssl.kind -ne 'msi') { return }
    if (-not @(Get-RecordedMsis).Count) { Assert-ForeignOpenSsl $openssl; return }
    $is = Get-FileVersion $openssl
    if ($is -ne (Get-WantedOpenSslVersion)) { Difference 'OpenSSL' $is $Settings.openssl.version }
    elseif (-not (Test-Record 'msi' $file)) { Difference 'OpenSSL' "$is of another package" (Split-Path -Leaf $file) }
} -Apply {
    Add-Folder $Programs
    Save-Download $Settings.openssl
    $file = Get-CachedFile $Settings.openssl
    switch ($Settings.openssl.kind) {
        'zip' { Expand-Download $Settings.openssl (Get-OpenSslFolder) }
        'exe' { Install-Inno $file (Get-OpenSslFolder) }
        'msi' {
            # Whether a newer msi replaces an older one, and an older a newer, is its publisher's choice. So the
            # one that is here goes first; the server that runs does not need it.
            foreach ($line in @(Get-RecordedMsis)) { if ($line.key -ne $file -or -not (Test-CutOff $file)) { Undo-Line $line } }
            Install-Msi $file
        }
    }
}

# ---- step: packages ------------------------------------------------------------------------------------
# NumPy, Matplotlib, Tornado, pyzmq, IPython, ipykernel and notebook with all they need, in a virtual
# environment, exactly as the lock says: wheels only, each with its hash. uv installs them where it runs
# (Windows 10, Server 2016 and later), pip elsewhere. uv itself comes from the lock too.
# The folder is named after Python's version and the lock: where one of them is another, another environment
# is made beside the one in use.

function Get-EnvironmentFolder { Join-Path $Programs "env-$($Settings.python.version)-$($Settings.packages.lock_sha256.Substring(0, 8))" }

function Get-EnvironmentProgram([string]$Name) { Join-Path (Get-EnvironmentFolder) "Scripts\$Name" }

# Written when everything is installed: an environment without it is unfinished. Of a Python that is not ours it
# has the path: the environment needs that one, also when nbserver is run by another.
function Get-LockMark { Join-Path (Get-EnvironmentFolder) 'nbserver.lock' }

function Get-LockMarkText {
    if ($Settings.python.kind -eq 'present') { "$($Settings.packages.lock_sha256)`n$(Get-Python)`n" } else { "$($Settings.packages.lock_sha256)`n" }
}

function Test-LockMark {
    if (-not (Test-Path -LiteralPath (Get-LockMark))) { return $false }
    $python = @([IO.File]::ReadAllLines((Get-LockMark), $Utf8) | Select-Object -Skip 1)
    -not $python.Count -or (Test-Path -LiteralPath $python[0])
}

function Get-PackageInstaller {
    if ($Settings.packages.installer -ne 'auto') { $Settings.packages.installer }
    elseif ([Environment]::OSVersion.Version.Major -ge 10) { 'uv' }
    else { 'pip' }
}

# What Python's tools need to know of this host. Other configuration of theirs is not used: its files are
# switched off, and its variables are taken away ($null). -I ignores PYTHONUTF8, so Python gets -X utf8 too:
# what it prints must not depend on the host's code page.
# In user scope the user's own configuration holds (index, proxy, authorities): what is installed is fixed by
# its hash, and where it is installed by this script.
function Get-PackageEnvironment {
    $environment = @{}
    if ($Settings.scope -eq 'user') { $environment.PIP_USER = '0'; $environment.PIP_REQUIRE_VIRTUALENV = '0' }
    else {
        foreach ($name in [Environment]::GetEnvironmentVariables().Keys) { if ($name.ToUpperInvariant() -cmatch '^(PIP|UV)_') { $environment[$name] = $null } }
        $environment.UV_NO_CONFIG = '1'
        $environment.PIP_CONFIG_FILE = 'nul'   # in small letters: pip compares it with Python's name of the device
    }
    foreach ($name in 'PYTHONUTF8', 'PIP_NO_INPUT', 'PIP_DISABLE_PIP_VERSION_CHECK', 'UV_NO_PROGRESS') { $environment[$name] = '1' }
    if ($Settings.downloads.proxy) { $environment.HTTP_PROXY = $Settings.downloads.proxy; $environment.HTTPS_PROXY = $Settings.downloads.proxy }
    $environment
}

# In user scope uv gets what the user's pip is configured for, which it does not read itself. pip tells it as
# PLACE.NAME='TEXT', the text as Python writes it. Of a name the environment counts most, then pip's section
# install, then global; of two such lines the later one, because some releases of pip list every file.
function Add-OwnPackageEnvironment([hashtable]$Environment) {
    if ($Settings.scope -ne 'user') { return }
    Invoke-Program (Get-Python) @('-I', '-X', 'utf8', '-m', 'pip', 'config', 'list') $Environment -Quiet
    $own = @{ 'index-url' = ''; 'extra-index-url' = ''; 'find-links' = ''; 'proxy' = ''; 'cert' = '' }
    $rank = @{}
    $ranks = @{ 'global' = 1; 'install' = 2; ':env:' = 3 }
    foreach ($line in $Run.Output) {
        if ($line -cnotmatch "^(global|install|:env:)\.([a-z-]+)='(.*)'`$") { continue }
        $place, $name, $given = $Matches[1], $Matches[2], $Matches[3]
        if (-not $own.ContainsKey($name) -or ($rank[$name] -and $ranks[$place] -lt $rank[$name])) { continue }
        $text = [regex]::Replace($given, '\\(.)', { param($match) if ($match.Groups[1].Value -ceq 'n') { ' ' } else { $match.Groups[1].Value } })
        $own[$name] = $text.Trim()
        $rank[$name] = $ranks[$place]
    }
    if (-not $Settings.packages.index_url) {
        if ($own['index-url']) { $Environment.UV_DEFAULT_INDEX = $own['index-url'] }
        if ($own['extra-index-url']) { $Environment.UV_INDEX = $own['extra-index-url']; $Environment.UV_INDEX_STRATEGY = 'unsafe-best-match' }
        if ($own['find-links']) { $Environment.UV_FIND_LINKS = $own['find-links'] -replace ' +', ',' }
    }
    if ($own['proxy'] -and -not $Settings.downloads.proxy) { $Environment.HTTP_PROXY = $own['proxy']; $Environment.HTTPS_PROXY = $own['proxy'] }
    if ($own['cert'] -and (Test-Path -LiteralPath $own['cert'])) { $Environment.SSL_CERT_FILE = $own['cert'] }
}

Step packages 'the packages of the lock are installed in a virtual environment' -Test {
    $packages = Join-Path (Get-EnvironmentFolder) 'Lib\site-packages'
    if (-not (Test-LockMark)) { Difference 'packages' $null (Get-EnvironmentFolder); return }
    $installed = @{}
    foreach ($folder in [IO.Directory]::GetDirectories($packages, '*.dist-info')) {
        $installed[((Split-Path -Leaf $folder) -creplace '\.dist-info$', '' -replace '[-_.]+', '-').ToLowerInvariant()] = $true
    }
    foreach ($line in $Lock) {
        $name = ($line -split ' ')[0]
        $key = ($name -replace '==', '-' -replace '[-_.]+', '-').ToLowerInvariant()
        if (-not $installed[$key]) { Difference "package $(($name -split '==')[0])" $null ($name -split '==')[1] }
    }
} -Apply {
    $folder = Get-EnvironmentFolder
    $lockFile = Join-Path $CacheFolder 'lock.txt'
    $environment = Get-PackageEnvironment
    $index = @()
    if ($Settings.packages.index_url) { $index = '--index-url', $Settings.packages.index_url }
    $only = '--require-hashes', '--no-deps', '--only-binary', ':all:'
    $todo = 'If a package has no build for this Python: choose a python.version whose lock was made for it. If it could not be fetched: check packages.index_url and downloads.proxy in the inventory'

    Add-Folder $Programs
    Add-Folder $CacheFolder
    Write-TextFile $lockFile (($Lock -join "`n") + "`n")
    if (Test-Path -LiteralPath $folder) { Remove-Folder $folder }
    Save-Before 'folder' $folder $null

    if ((Get-PackageInstaller) -eq 'uv') {
        $tools = Join-Path $CacheFolder 'tools'
        $uvLock = Join-Path $CacheFolder 'uv-lock.txt'
        Write-TextFile $uvLock ((@($Lock | Where-Object { $_ -cmatch '^uv==' }) -join "`n") + "`n")
        Write-Event progress @{ what = 'fetching uv' }
        Invoke-Program (Get-Python) (@('-I', '-X', 'utf8', '-m', 'pip', 'install', '--target', $tools, '--upgrade', '--no-cache-dir', '-r', $uvLock) + $only + $index) $environment -Todo $todo
        Write-Event progress @{ what = 'making the virtual environment' }
        Invoke-Program (Get-Python) @('-I', '-X', 'utf8', '-m', 'venv', '--without-pip', $folder) $environment
        Add-OwnPackageEnvironment $environment
        Write-Event progress @{ what = 'installing packages with uv'; total = $Lock.Count; unit = 'packages' }
        Invoke-Program (Join-Path $tools 'bin\uv.exe') (@('pip', 'install', '--python', (Get-EnvironmentProgram 'python.exe'), '--no-cache', '--link-mode', 'copy', '--compile-bytecode', '-r', $lockFile) + $only + $index) $environment -Todo $todo
    }
    else {
        Write-Event progress @{ what = 'making the virtual environment' }
        Invoke-Program (Get-Python) @('-I', '-X', 'utf8', '-m', 'venv', $folder) $environment
        Write-Event progress @{ what = 'installing packages with pip'; total = $Lock.Count; unit = 'packages' }
        Invoke-Program (Get-EnvironmentProgram 'python.exe') (@('-I', '-X', 'utf8', '-m', 'pip', 'install', '--no-cache-dir', '-r', $lockFile) + $only + $index) $environment -Todo $todo
    }
    Write-TextFile (Get-LockMark) (Get-LockMarkText)
}

# ---- step: path ----------------------------------------------------------------------------------------
# Programs that run already keep the PATH they started with; new sessions see this one.
# The settings name the entries; `programs` stands for the folders of Python and OpenSSL, wherever they are.

function Get-PathEntries {
    foreach ($entry in $Settings.path.entries) { Expand-Path $entry }
    if ($Settings.path.programs) {
        Get-PythonFolder
        Join-Path (Get-PythonFolder) 'Scripts'
        Split-Path -Parent (Get-OpenSsl)
    }
}

Step path 'the machine PATH has the environment, Python and OpenSSL' -Test {
    foreach ($entry in Get-PathEntries) {
        if (-not (Test-PathEntry $entry)) { Difference 'PATH' $null $entry }
    }
    foreach ($line in Get-FormerPathEntries @(Get-PathEntries)) { Difference 'PATH' $line.key $null }
} -Apply {
    foreach ($line in Get-FormerPathEntries @(Get-PathEntries)) { Undo-Line $line }
    foreach ($entry in Get-PathEntries) {
        if (-not (Test-PathEntry $entry)) { Add-PathEntry $entry }
    }
}

# ---- step: certificate ---------------------------------------------------------------------------------
# Made on this host by OpenSSL: P-256, self-signed, for the names in the settings. Such a key never leaves
# the host. It is made again 30 days before it ends, or when the names change.
# Where no OpenSSL is installed (scope "user"), prelude/certificate_program makes it. Other sources are in
# prelude/certificate_sources. Only administrators and the service can read the key.

$CertificateFile = Join-Path $ServiceFolder 'certificate.pem'
$KeyFile = Join-Path $ServiceFolder 'key.pem'
$SourceFile = Join-Path $ServiceFolder 'certificate.source'
$RequestFile = Join-Path $ServiceFolder 'certificate.cnf'

# It holds 64 characters at most; clients look at the SANs.
function Get-CommonName { $Settings.host.Substring(0, [Math]::Min(64, $Settings.host.Length)) }

# The request, for `openssl req`.
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

function Get-ServerCertificate {
    if ((Test-Path -LiteralPath $CertificateFile) -and (Test-Path -LiteralPath $KeyFile)) { Read-Certificates $CertificateFile | Select-Object -First 1 }
}

function Compare-OwnCertificate($Certificate) {
    $names = $Settings.certificate.names -join ', '
    if (-not $Certificate) { Difference 'certificate' $null $names }
    elseif ($Certificate.NotAfter.ToUniversalTime() -lt [DateTime]::UtcNow.AddDays([Math]::Min(30, $Settings.certificate.days / 2))) {
        Difference 'certificate' "ends $($Certificate.NotAfter.ToUniversalTime().ToString('u'))" 'a new one'
    }
    elseif (-not (Test-TextFile $SourceFile 'host')) { Difference 'source of the certificate' 'another' 'host' }
    elseif (-not (Test-TextFile $RequestFile (Get-CertificateRequest))) { Difference 'names of the certificate' 'others' $names }
}

function Install-OwnCertificate {
    foreach ($file in $CertificateFile, $KeyFile) { Save-FileBefore $file }
    Set-TextFile $SourceFile 'unfinished'
    Set-TextFile $RequestFile (Get-CertificateRequest)
    if ($Settings.openssl) {
        Invoke-Program (Get-OpenSsl) @('req', '-new', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-days', [string]$Settings.certificate.days,
            '-config', $RequestFile, '-keyout', "$KeyFile.new", '-out', "$CertificateFile.new") `
            -Todo 'If it says that a DLL is missing (code -1073741515): install the Visual C++ redistributable first'
    }
    else { Invoke-CertificateProgram "$KeyFile.new" "$CertificateFile.new" }
    foreach ($file in $KeyFile, $CertificateFile) { Move-Over "$file.new" $file }
    Set-TextFile $SourceFile 'host'
}

Step certificate 'the server has a certificate for its names, and only the service can read the key' -Test {
    Compare-Folder $ServiceFolder $ServiceReads
    $certificate = Get-ServerCertificate
    if ($certificate) { $Run.Fingerprint = Get-Fingerprint $certificate }
    if ($Settings.certificate.source -eq 'host') { Compare-OwnCertificate $certificate } else { Compare-GivenCertificate $certificate }
} -Apply {
    Add-Folder $StateFolder
    Add-Folder $ServiceFolder $ServiceReads   # before there is a key in it
    if ($Settings.certificate.source -eq 'host') { Install-OwnCertificate } else { Install-GivenCertificate }
}

# ---- step: notebook ------------------------------------------------------------------------------------
# The server's configuration: HTTPS only, password as an argon2 hash, one port and no other, no browser.
# The service can read these files and cannot write them. The program that starts the server is in prelude/starter: it
# keeps other configuration out, and compares each of these values with what the server would do.

$ConfigurationFile = Join-Path $ServiceFolder 'jupyter_server_config.json'
$MigratedFile = Join-Path $ServiceFolder 'migrated'

$HashPattern = '"hashed_password":\s+"([A-Za-z0-9:$=,+/.]+)"'
$SaltPattern = '\Aargon2:\$argon2id\$v=[0-9]+\$[a-z0-9,=]+\$([A-Za-z0-9+/]+)\$[A-Za-z0-9+/]+\z'
$Salts = @{ Set = ''; Sent = '' }   # of the hash that is set, and of the one that came with this run

# A salt is not secret. It is the same for a whole site (nbserver.salt), so that a second run sends the same hash.
function Read-Salts {
    $Salts.Set = ''
    $Salts.Sent = Get-SecretPart 'notebook.password_hash' $SaltPattern
    if (Test-Path -LiteralPath $ConfigurationFile) {
        $set = [regex]::Match([IO.File]::ReadAllText($ConfigurationFile, $Utf8), $HashPattern).Groups[1].Value
        $Salts.Set = [regex]::Match($set, $SaltPattern).Groups[1].Value
    }
}

# After Read-Salts: another one most likely means that the workstation has not the site's. The one that an earlier
# release made for this host is simply replaced.
function Test-OtherSalt {
    $Salts.Set -and $Salts.Sent -and $Salts.Set -cne $Salts.Sent -and $Salts.Set -cne $Run.FormerSalt
}

# @notebook.password_hash@ is put in only when the file is written. A log-in lasts for the session's hours: the
# browser forgets its cookie then, and the server refuses it.
function Get-Configuration {
    $days = [Math]::Round($Settings.notebook.session / 24, 6)
    $configuration = [ordered]@{
        ServerApp = [ordered]@{
            ip = $Settings.notebook.ip
            port = $Settings.notebook.port
            port_retries = 0
            base_url = '/'
            open_browser = $false
            allow_remote_access = $true
            allow_unauthenticated_access = $false
            allow_origin = ''
            allow_origin_pat = ''
            allow_credentials = $false
            disable_check_xsrf = $false
            allow_password_change = $false   # an older name of the one below, which the server still has
            root_dir = (Expand-Path $Settings.notebook.directory).TrimEnd('\')   # as the server tells it
            certfile = $CertificateFile
            keyfile = $KeyFile
        }
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
    ConvertTo-AsciiJson ((ConvertTo-Json $configuration -Depth 4) -replace "`r", '')   # Jupyter reads it in the host's code page
}

# Whether the server that was set up before has this port.
function Test-DeployedPort([int]$Port) {
    if (-not (Test-Path -LiteralPath $ConfigurationFile)) { return $false }
    [IO.File]::ReadAllText($ConfigurationFile, $Utf8) -cmatch "`"port`":\s+$Port\b"
}

Step notebook 'the notebook server is configured: HTTPS, password, its own folders' -Test {
    Compare-Folder $ServiceFolder $ServiceReads
    Compare-Folder $WorkFolder $ServiceWrites
    $directory = Expand-Path $Settings.notebook.directory
    if (-not (Test-ServiceGrant $directory)) { Difference "the service's access to $directory" 'none' 'modify' }
    Read-Salts
    $other = Test-OtherSalt
    if ($other) { Difference "the salt of the password hash in $ConfigurationFile" $Salts.Set $Salts.Sent }
    if (-not (Test-TextFile $ConfigurationFile (Get-Configuration) 'notebook.password_hash' -Around:$other)) {
        Difference $ConfigurationFile 'another or none' 'as in the settings'
    }
    if (-not (Test-TextFile $StarterFile $Starter)) { Difference $StarterFile 'different or missing' 'as in this script' }
} -Apply {
    Read-Salts
    if ((Test-OtherSalt) -and -not $Run.NewSalt) {
        throw ("the password hash in $ConfigurationFile has the salt $($Salts.Set), that of this run $($Salts.Sent). " +
            'Put the nbserver.salt of this site back next to the inventory, ' +
            'or use --new-salt: a new salt means a new hash, and the server restarts')
    }
    if ($Settings.scope -eq 'user') { Read-KeptSecret 'notebook.password_hash' $ConfigurationFile $HashPattern }
    Request-Secret 'notebook.password_hash' 'Hash of the notebook password (nbserver hash-password makes it)'
    Add-Folder $ServiceFolder $ServiceReads
    Add-Folder $WorkFolder $ServiceWrites
    Add-DataFolder (Expand-Path $Settings.notebook.directory)
    Set-TextFile $MigratedFile ''   # Jupyter would write this file itself at its second start, and may not
    Set-TextFile $ConfigurationFile (Get-Configuration) 'notebook.password_hash'
    Set-TextFile $StarterFile $Starter
}

# ---- step: past ----------------------------------------------------------------------------------------
# What a host brings along: a notebook server set up by hand, an nbserver whose record is lost, a program of
# others on the port. What would have to be overwritten or stopped is taken over only with adopt = true;
# without it, an apply refuses before anything is changed. What does no harm to this server is told once.
# The step stands right before the new server starts, so what serves now goes on while Python, OpenSSL and
# the packages are installed, and when that fails.

$Told = @{}

function Write-Once([string]$Text) {
    if (-not $Told.ContainsKey($Text)) { $Told[$Text] = $true; Write-Event warning @{ text = $Text } }
}

# Our server listens: it shows our certificate, or the program that listens runs from our folder.
function Test-OwnListener {
    if (-not (Test-Record 'task' 'nbserver')) { return $false }
    $certificate = Get-ServerCertificate
    if ($certificate -and (Get-ShownFingerprint) -eq (Get-Fingerprint $certificate)) { return $true }
    $processes = @(Get-PortProcesses $Settings.notebook.port)
    if (-not $processes.Count) { return (Test-DeployedPort $Settings.notebook.port) -and (Test-TaskRunning 'nbserver') }
    [bool]@($processes | Where-Object { Test-Below $_.ExecutablePath $Programs }).Count
}

# What would have to be overwritten or stopped: what, is, should, and what a person reads. Taken says that
# adopt = true is enough for it.
function Get-PastConflicts {
    $port = $Settings.notebook.port
    $lost = 'an earlier nbserver has left it, and the record does not know it'
    $task = Get-TaskXml 'nbserver'
    if ($task -and -not (Test-Record 'task' 'nbserver')) {
        if (Test-StoredPassword ([xml]$task)) {
            $text = 'there is a scheduled task nbserver that runs with a stored password, so undo could not register it again. Export it and remove it yourself'
            @{ what = 'scheduled task nbserver'; is = 'registered with a stored password'; should = $null; text = $text; taken = $false }
        }
        else { @{ what = 'scheduled task nbserver'; is = $lost; should = $null; text = "there is a scheduled task nbserver: $lost. Remove it"; taken = $true } }
    }
    if ($Settings.skip -notcontains 'firewall' -and -not (Test-Record 'firewall_rule' 'nbserver') -and (Get-FirewallRule 'nbserver')) {
        @{ what = 'firewall rule nbserver'; is = $lost; should = $null; text = "there is a firewall rule nbserver: $lost. Remove it"; taken = $true }
    }
    if ((Test-Path -LiteralPath $Programs) -and -not $Settings.adopt -and -not (Test-Record 'folder' $Programs) -and -not (Test-Record 'task' 'nbserver')) {
        @{ what = $Programs; is = $lost; should = $null; text = "there is a folder ${Programs}: $lost. Remove it"; taken = $true }
    }
    if ((Test-PortListening $port) -and -not (Test-OwnListener)) {
        $holder = Get-PortHolder $port
        $dependents = @($holder.Services | ForEach-Object { Get-RunningDependents $_ })
        $taken = $holder.Held -ne 'nothing' -and -not $dependents.Count
        $text = "port $port is taken by another program$($holder.Text). Stop it, or choose another notebook.port in the inventory"
        if ($dependents.Count) { $text = "port $port is taken by another program$($holder.Text), and services that run need it: $($dependents -join ', '). Stop these first, or choose another notebook.port in the inventory" }
        @{ what = "port $port"; is = "taken by another program$($holder.Text)"; should = 'free'; text = $text; taken = $taken }
    }
}

# One message that names all.
function Get-Refusal([object[]]$Conflicts) {
    $text = @($Conflicts | ForEach-Object { $_.text }) -join '; '
    $stay = @($Conflicts | Where-Object { -not $_.taken })
    if ($stay.Count) { "$text. Only a person can do that: adopt = true does not" }
    else { "$text; or set adopt = true in the inventory, and it is taken over and put back by undo" }
}

# ---- what does no harm to this server, and matters

# The folders of the programs that the tutorial of 2013 put into PATH, and of an nbserver whose record is
# lost. Only where they stand before our entries, so that their python.exe and openssl.exe come first.
$TutorialFolder = New-Object Text.RegularExpressions.Regex '^[A-Z]:\\(Python\d\d(\\Scripts)?|OpenSSL-Win(32|64)\\bin)$', 'IgnoreCase, CultureInvariant'

function Get-HidingPathEntries {
    if ($Settings.skip -contains 'path') { return }
    $path = Get-RegistryValue $MachineEnvironment Path
    if (-not $path) { return }
    $ours = @(@(Get-PathEntries) + @(Read-Record | Where-Object { $_.kind -eq 'path_entry' } | ForEach-Object { $_.key }) | ForEach-Object { $_.TrimEnd('\') })
    $found = @()
    foreach ($entry in ([string]$path.value).Split([char[]]';')) {
        $folder = (Expand-Path $entry).Trim().Trim('"').TrimEnd('\')
        if ($ours -contains $folder) { break }
        if ($found -contains $entry) { continue }
        if ((Test-Below $folder $Programs) -or $TutorialFolder.IsMatch($folder)) { $found += $entry; $entry }
    }
}

# Profiles of earlier notebook servers, in the folders of all users and of Windows' own accounts.
function Get-EarlierProfiles {
    $list = 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList'
    if (-not (Test-Path -LiteralPath $list)) { return }
    foreach ($key in Get-ChildItem -LiteralPath $list) {
        $user = Get-RegistryValue "$list\$($key.PSChildName)" ProfileImagePath
        if (-not $user) { continue }
        foreach ($name in '.ipython', '_ipython') {
            $folder = Join-Path (Expand-Path $user.value) "$name\profile_nbserver"
            if ([IO.Directory]::Exists($folder)) { $folder }
        }
    }
}

Step past 'nothing that was here before stands in the way' -Test {
    $conflicts = @(Get-PastConflicts)
    foreach ($conflict in $conflicts) { Difference $conflict.what $conflict.is $conflict.should }
    if ($conflicts.Count -and (-not $Settings.adopt -or @($conflicts | Where-Object { -not $_.taken }).Count)) {
        if ($Run.Mode -eq 'apply') { throw (Get-Refusal $conflicts) }
        Write-Once "apply will refuse to go on: $(Get-Refusal $conflicts)"
    }

    if ($Settings.skip -notcontains 'firewall') {
        foreach ($rule in Get-OtherPortRules $Settings.notebook.port) {
            $name = "firewall rule '$($rule.DisplayName)' ($($rule.Name))"
            if ($Settings.adopt -and $rule.Alone) { Difference $name 'enabled' 'disabled' }
            elseif ($rule.Alone) { Write-Once "$name lets the notebook port in too, whatever firewall.remote_addresses says. It is left alone; adopt = true disables it" }
            else { Write-Once "$name lets the notebook port in too, among other ports, whatever firewall.remote_addresses says. It is left alone: narrow it by hand" }
        }
    }
    foreach ($entry in Get-HidingPathEntries) {
        if ($Settings.adopt) { Difference 'PATH' $entry $null }
        else { Write-Once "PATH has $entry before the new entries, so its programs come first. It is left alone; adopt = true takes it out" }
    }
    if (Test-Record 'task' 'nbserver') { return }
    foreach ($folder in Get-EarlierProfiles) {
        Write-Once "$folder is of an earlier notebook server. It is left alone: notebooks that it served can be copied to $(Expand-Path $Settings.notebook.directory)"
    }
    if ($Settings.adopt -and (Test-Path -LiteralPath $Programs) -and -not (Test-Record 'folder' $Programs)) {
        Write-Once "$Programs was here before, and the record does not know it: what fits in it is used, and undo leaves it"
    }
} -Apply {
    if (-not (Test-Record 'task' 'nbserver') -and (Get-TaskXml 'nbserver')) {
        Save-TaskState '\nbserver'
        Save-Before 'task' 'nbserver' (Get-TaskXml 'nbserver')
        Stop-Task 'nbserver'
    }
    if ($Settings.skip -notcontains 'firewall') {
        $rule = Get-FirewallRule 'nbserver'
        if ($rule) { Save-Before 'firewall_rule' 'nbserver' $rule }
        foreach ($other in Get-OtherPortRules $Settings.notebook.port) { if ($other.Alone) { Disable-FirewallRule $other.Name } }
    }
    foreach ($entry in @(Get-HidingPathEntries)) { Remove-PathEntry $entry }
    if ((Test-PortListening $Settings.notebook.port) -and -not (Test-OwnListener)) { Stop-PortHolder $Settings.notebook.port }
}

# ---- step: service -------------------------------------------------------------------------------------
# A scheduled task that starts with Windows: no time limit, started again when it ends, also on battery.
# It runs as LOCAL SERVICE, without administrator rights; ProcessTokenSidType gives its process the SID that
# the files are granted to. The second trigger looks every five minutes whether it still runs.
# In user scope: a process of the user's own in the background, until they log off (prelude/processes).

# What the server read at its start. It stands in the task's description, so a server that was started
# before its files were changed is seen, and started again. Times only: nothing secret is derived from.
function Get-ServiceState {
    $times = foreach ($file in $ConfigurationFile, $StarterFile, $CertificateFile) {
        if (Test-Path -LiteralPath $file) { (Get-Item -LiteralPath $file).LastWriteTimeUtc.ToString('u') } else { 'none' }
    }
    "nbserver: secured notebook server. Files of $($times -join ', ')"
}

# The server's command line, behind its program.
function Get-ServerArguments {
    '-I', $StarterFile, $ConfigurationFile, $WorkFolder, $ServerLog
}

function Format-ServerArguments {
    @(Get-ServerArguments | ForEach-Object { Format-Argument $_ }) -join ' '
}

# What a task's XML must say: where, what, and what Windows takes where the element is missing.
function Get-ServiceProperties {
    @(
        @{ Path = 'RegistrationInfo/Description'; Should = Get-ServiceState; Default = '' }
        @{ Path = 'Triggers/BootTrigger/Enabled'; Should = 'true'; Default = 'true' }
        @{ Path = 'Triggers/TimeTrigger/Repetition/Interval'; Should = 'PT5M'; Default = '' }
        @{ Path = 'Principals/Principal/UserId'; Should = 'S-1-5-19'; Default = '' }
        @{ Path = 'Principals/Principal/RunLevel'; Should = 'LeastPrivilege'; Default = 'LeastPrivilege' }
        @{ Path = 'Principals/Principal/ProcessTokenSidType'; Should = 'Unrestricted'; Default = 'Default' }
        @{ Path = 'Settings/MultipleInstancesPolicy'; Should = 'IgnoreNew'; Default = 'IgnoreNew' }
        @{ Path = 'Settings/DisallowStartIfOnBatteries'; Should = 'false'; Default = 'true' }
        @{ Path = 'Settings/StopIfGoingOnBatteries'; Should = 'false'; Default = 'true' }
        @{ Path = 'Settings/ExecutionTimeLimit'; Should = 'PT0S'; Default = 'P3D' }
        @{ Path = 'Settings/Enabled'; Should = 'true'; Default = 'true' }
        @{ Path = 'Settings/RestartOnFailure/Interval'; Should = 'PT1M'; Default = '' }
        @{ Path = 'Actions/Exec/Command'; Should = Get-EnvironmentProgram 'python.exe'; Default = '' }
        @{ Path = 'Actions/Exec/Arguments'; Should = Format-ServerArguments; Default = '' }
        @{ Path = 'Actions/Exec/WorkingDirectory'; Should = $WorkFolder; Default = '' }
    )
}

function Get-ServiceXml {
    @"
<Task version="1.3" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>$(Protect-Xml (Get-ServiceState))</Description></RegistrationInfo>
  <Triggers>
    <BootTrigger><Enabled>true</Enabled></BootTrigger>
    <TimeTrigger><Repetition><Interval>PT5M</Interval></Repetition><StartBoundary>2020-01-01T00:00:00</StartBoundary><Enabled>true</Enabled></TimeTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author"><UserId>S-1-5-19</UserId><RunLevel>LeastPrivilege</RunLevel><ProcessTokenSidType>Unrestricted</ProcessTokenSidType></Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Enabled>true</Enabled>
    <RestartOnFailure><Interval>PT1M</Interval><Count>255</Count></RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>$(Protect-Xml (Get-EnvironmentProgram 'python.exe'))</Command>
      <Arguments>$(Protect-Xml (Format-ServerArguments))</Arguments>
      <WorkingDirectory>$(Protect-Xml $WorkFolder)</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
"@ -replace "`r", ''
}

function Test-TaskRunning([string]$Name) {
    $task = Get-ScheduledTask -TaskName $Name -TaskPath '\' -ErrorAction SilentlyContinue
    $task -and [string]$task.State -eq 'Running'
}

function Test-ServerRunning {
    if ($Settings.scope -eq 'user') { [bool](Get-Background) } else { Test-TaskRunning 'nbserver' }
}

# ---- in user scope

function Get-ServerText { "$(Get-EnvironmentProgram 'python.exe') $(Format-ServerArguments)`n$(Get-ServiceState)`n" }

function Compare-BackgroundServer {
    if (-not (Test-ServerRunning)) { Difference 'the notebook server' 'not running' 'running in the background' }
    elseif (-not (Test-Background (Get-ServerText))) { Difference 'the notebook server' 'started before a change' 'started again' }
}

# The starter says where everything is. What this user has set for other servers and Pythons is taken away,
# from the environment of this run only.
function Start-BackgroundServer {
    foreach ($name in @([Environment]::GetEnvironmentVariables().Keys)) {
        if ($name.ToUpperInvariant() -cmatch '^(JUPYTER|IPYTHON|PYTHON)') { [Environment]::SetEnvironmentVariable($name, $null) }
    }
    foreach ($file in $ServerLog, "$ServerLog.before") { Save-FileBefore $file }
    Start-Background (Get-EnvironmentProgram 'python.exe') (Get-ServerArguments) $WorkFolder (Get-ServerText)
}

Step service 'the notebook server runs: as a task from the start of Windows, or in user scope in the background' -Test {
    if ($Settings.scope -eq 'user') { Compare-BackgroundServer; return }
    $text = Get-TaskXml 'nbserver'
    if (-not $text) { Difference 'scheduled task nbserver' $null 'registered'; return }
    $xml = [xml]$text
    foreach ($property in Get-ServiceProperties) {
        $is = Get-TaskText $xml $property.Path
        if ($null -eq $is) { $is = $property.Default }
        if ($is -ne $property.Should) { Difference "scheduled task nbserver, $($property.Path)" $is $property.Should }
    }
    if (-not (Test-TaskRunning 'nbserver')) { Difference 'scheduled task nbserver' 'not running' 'running' }
} -Apply {
    if ($Settings.scope -eq 'user') { Start-BackgroundServer; return }
    if (Get-TaskXml 'nbserver') { Stop-Task 'nbserver' }
    Set-Task 'nbserver' (Get-ServiceXml)
    Start-ScheduledTask -TaskName 'nbserver' -TaskPath '\'
}

# ---- step: firewall ------------------------------------------------------------------------------------
# One inbound rule for the notebook's TCP port. Nothing else narrows it, such as a program
# or an interface. The firewall itself is neither switched on nor off.

function Get-FirewallSettings {
    @{
        Enabled = 'True'; Direction = 'Inbound'; Action = 'Allow'; Profile = 'Any'; Protocol = 'TCP'
        LocalPort = @([string]$Settings.notebook.port); RemoteAddress = @($Settings.firewall.remote_addresses | ForEach-Object { ConvertTo-NetworkPrefix $_ } | Sort-Object)
    }
}

Step firewall 'the firewall lets the notebook port in' -Test {
    $is = Get-FirewallRule 'nbserver'
    $should = Get-FirewallSettings
    foreach ($name in $RuleFilters.Keys) { $should[$name] = $RuleFilters[$name] }
    if (-not $is) { Difference 'firewall rule nbserver' $null "TCP $($should.LocalPort) from $($should.RemoteAddress -join ', ')"; return }
    foreach ($name in $should.Keys | Sort-Object) {
        if (($is[$name] -join ', ') -ne ($should[$name] -join ', ')) { Difference "firewall rule nbserver, $name" ($is[$name] -join ', ') ($should[$name] -join ', ') }
    }
} -Apply {
    Set-FirewallRule 'nbserver' "nbserver: notebook server, TCP $($Settings.notebook.port)" (Get-FirewallSettings)
}

# ---- step: check ---------------------------------------------------------------------------------------
# The port answers, over TLS 1.2 or newer, with the certificate that stands on this host, and the server that runs
# refuses requests without the password. Its files are compared before (step notebook); this asks the server itself.

# The fingerprint of the certificate that the port shows and, with a request, the status that it is answered with;
# nothing where nothing answers. Any certificate is accepted here because the caller compares it; no secret is sent.
function Get-Shown([string]$Request) {
    $address = [Net.IPAddress]::Loopback
    if ($Settings.notebook.ip -ne '*') { $address = [Net.IPAddress]::Parse($Settings.notebook.ip) }
    $client = New-Object Net.Sockets.TcpClient $address.AddressFamily
    try {
        $client.Connect($address, $Settings.notebook.port)
        $client.ReceiveTimeout = 10000
        $client.SendTimeout = 10000
        $tls = New-Object Net.Security.SslStream ($client.GetStream(), $false, { $true })
        $tls.AuthenticateAsClient($Settings.host, $null, [Security.Authentication.SslProtocols]3072, $false)
        $certificate = New-Object Security.Cryptography.X509Certificates.X509Certificate2 $tls.RemoteCertificate
        $shown = @{ Fingerprint = Get-Fingerprint $certificate; Status = '' }
        if ($Request) { $shown.Status = Get-AnswerStatus $tls $Request }
        $shown
    }
    catch [Net.Sockets.SocketException], [IO.IOException], [Security.Authentication.AuthenticationException] { return }
    finally { $client.Close() }
}

function Get-ShownFingerprint {
    $shown = Get-Shown
    if ($shown) { $shown.Fingerprint }
}

# The three digits of an HTTP answer; '' where there is no such answer. Of what the server says nothing else is
# used, and no more is read than the beginning: at most 1 KB, for at most 20 seconds.
function Get-AnswerStatus($Stream, [string]$Request) {
    $buffer = New-Object byte[] 1024
    $count = 0
    try {
        $bytes = $Utf8.GetBytes($Request)
        $Stream.Write($bytes, 0, $bytes.Length)
        $time = [Diagnostics.Stopwatch]::StartNew()
        while ($count -lt $buffer.Length -and $buffer -notcontains 10) {   # the first line is not complete
            if ($time.Elapsed.TotalSeconds -gt 20) { return '' }
            $read = $Stream.Read($buffer, $count, $buffer.Length - $count)
            if (-not $read) { return '' }
            $count += $read
        }
    }
    catch [IO.IOException] { return '' }
    if ($Utf8.GetString($buffer, 0, $count) -cmatch '\AHTTP/1\.[01] ([0-9]{3})[ \r]') { return $Matches[1] }
    ''
}

# The requests that the running server does not refuse, in words. A notebook server answers this one with the list of
# its kernels to whoever is logged in, and with 403 to everybody else.
function Get-OpenRequests {
    $request = "GET /api/kernels HTTP/1.1`r`nHost: localhost:$($Settings.notebook.port)`r`nConnection: close`r`n"
    $ways = @(
        @{ Name = 'without the password'; Header = '' }
        @{ Name = 'with a random token'; Header = "Authorization: token $([guid]::NewGuid())`r`n" }
    )
    foreach ($way in $ways) {
        $shown = Get-Shown "$request$($way.Header)`r`n"
        if ($shown -and '401', '403' -contains $shown.Status) { continue }
        $is = 'not answered by a web server'
        if ($shown -and $shown.Status) { $is = "answered with $($shown.Status)" }
        @{ what = "GET /api/kernels on port $($Settings.notebook.port) $($way.Name)"; is = $is }
    }
}

# Fails where the server that answers does not refuse both requests.
function Assert-Closed {
    foreach ($open in Get-OpenRequests) {
        $todo = 'Disable-ScheduledTask nbserver; Stop-ScheduledTask nbserver'
        if ($Settings.scope -eq 'user') { $todo = 'nbserver stop local' }
        throw ("$($open.what) is $($open.is) instead of refused with 401 or 403: perhaps everybody who reaches this port can " +
            "run programs as the server's account. Stop the server ($todo) and read its log ($ServerLog). If something was " +
            "added to $(Get-EnvironmentFolder), remove that folder. Then run apply again")
    }
}

Step check 'the port answers with this certificate, and refuses whoever has no password' -Test {
    $should = 'the certificate that the step of that name makes'
    $certificate = Get-ServerCertificate
    if ($certificate) { $should = Get-Fingerprint $certificate }
    $is = Get-ShownFingerprint
    if ($is -ne $should) { Difference "port $($Settings.notebook.port)" $is $should }
    if ($is) { foreach ($open in Get-OpenRequests) { Difference $open.what $open.is 'refused with 401 or 403' } }
} -Apply {
    # The server was just started; a slow host takes a minute.
    for ($second = 0; $second -lt 180; $second++) {
        if (Get-ShownFingerprint) { Assert-Closed; return }
        if (-not (Test-ServerRunning) -and $second -gt 20) { break }
        if ($second % 10 -eq 5) { Write-Event progress @{ what = 'waiting for the server'; done = $second; total = 180; unit = 'seconds' } }
        [Threading.Thread]::Sleep(1000)
    }
    $words = 'no log was written'
    if (Test-Path -LiteralPath $ServerLog) { $words = @(Read-LastLines $ServerLog 3) -join ' / ' }
    throw "nothing answers on port $($Settings.notebook.port). The server's log ($ServerLog) ends with: $words"
}

# ---- step: former --------------------------------------------------------------------------------------
# The Python, OpenSSL and environment that an earlier run of nbserver installed and the settings no longer
# want. They go last, when the new server has answered: an upgrade that fails leaves what was there.
# Only what stands in the record goes, by the same way as undo would take it.

function Get-WantedFolders {
    Get-EnvironmentFolder
    Get-PythonFolder
    if ($Settings.openssl) { Get-OpenSslFolder }
}

# The msi that is wanted. Another one is gone since the step openssl, unless OpenSSL is no msi any more.
function Get-WantedMsi { if ($Settings.openssl -and $Settings.openssl.kind -eq 'msi') { Get-CachedFile $Settings.openssl } }

# Newest first: an installer of Python is asked to remove what it brought before its folder goes. In the
# record it stands behind that folder.
function Get-FormerLines {
    $wanted = @(Get-WantedFolders) + @(Get-WantedMsi)
    $lines = @()
    $installed = ''
    foreach ($line in Read-Record) {
        $ours = ('folder', 'inno' -contains $line.kind) -and (Split-Path -Parent $line.key) -eq $Programs -and (Split-Path -Leaf $line.key) -cmatch '^(env|python|openssl)-'
        if ($ours -and $line.step -eq 'python') { $installed = $line.key }
        if ($ours -and $wanted -notcontains $line.key) { $lines += $line }
        if ($line.kind -eq 'msi' -and $line.step -eq 'openssl' -and $wanted -notcontains $line.key) { $lines += $line }
        if ($line.kind -eq 'bundle' -and $line.step -eq 'python' -and $installed -and $wanted -notcontains $installed) { $lines += $line }
    }
    [Array]::Reverse($lines)
    $lines
}

Step former 'what an earlier release or setting installed is gone' -Test {
    foreach ($line in Get-FormerLines) { Difference $line.key 'installed' $null }
} -Apply {
    foreach ($line in @(Get-FormerLines)) {
        try { Undo-Line $line }
        catch { throw "$($line.key) could not be removed: $_. End the programs that use it, then run this again; the new server runs already" }
    }
}

# ---- main ----------------------------------------------------------------------------------------------

function Invoke-Test($Step) {
    $Run.Step = $Step.Name
    $Run.Differences = New-Object Collections.ArrayList
    if ($SkippedSteps -notcontains $Step.Name) { & $Step.Test }
}

function Write-Differences {
    foreach ($difference in $Run.Differences) { Write-Event difference $difference }
}

# What differs from what the steps want. Leaves the host alone. Brackets want nothing for themselves.
function Invoke-Plan {
    foreach ($step in $Steps) {
        if ($step.Bracket) { continue }
        Invoke-Test $step
        if ($Run.Differences.Count) { $Run.Differs = $true }
        if ($Run.Mode -ne 'test') { continue }
        if ($Run.Differences.Count) { Write-Differences } else { Write-Event unchanged }
    }
}

# Apply where something differs, then test again: what is still different then has failed.
function Invoke-Apply($Step) {
    Assert-Kept
    Invoke-Test $Step
    if (-not $Run.Differences.Count) { Write-Event unchanged; return }
    if ($Run.Reboot) {
        $Run.Outcome = 'reboot'
        Write-Event warning @{ text = 'not done: Windows has to restart first' }
        return
    }
    Write-Event started @{ title = $Step.Title }
    Write-Differences
    & $Step.Apply
    Invoke-Test $Step
    foreach ($left in $Run.Differences) { throw "$($left.what) is still '$($left.is)' instead of '$($left.should)'" }
    if (-not $Step.Bracket) { $Run.Changed++ }
    Write-Event changed
}

# Step after step, to the end or to where Windows has to restart first. What is open then is closed before.
function Invoke-Steps {
    foreach ($step in $Steps) {
        Invoke-Apply $step
        if ($Run.Outcome -eq 'reboot') { break }
    }
    if ($Run.Outcome -ne 'reboot') { return }
    Undo-Record -BracketsOnly
    Complete-BeforeRestart
}

# Nothing differs, so nothing is tested again, and no bracket is opened.
function Write-AllUnchanged {
    foreach ($step in $Steps) {
        $Run.Step = $step.Name
        if (-not $step.Bracket) { Write-Event unchanged }
    }
}

# Puts back what was there before, newest first. What can't be put back stays in the record and is told.
function Undo-Record([switch]$BracketsOnly) {
    $brackets = @($Steps | Where-Object { $_.Bracket } | ForEach-Object { $_.Name })
    $lines = @(Read-Record)
    [Array]::Reverse($lines)
    # A service or task that ran before is started when all else is back.
    $started = 'service', 'task_state'
    $lines = @($lines | Where-Object { $started -notcontains $_.kind }) + @($lines | Where-Object { $started -contains $_.kind })
    foreach ($line in $lines) {
        if ($BracketsOnly -and $brackets -notcontains $line.step) { continue }
        $Run.Step = $line.step
        try {
            Undo-Line $line
        }
        catch {
            $Run.Outcome = 'failed'
            Write-Event failed @{ text = "$($line.key) could not be put back: $_. $(Get-Remedy $_.Exception 'Mend what stands in its way, then run undo again')" }
        }
    }
    $Run.Step = ''
}

# What a request for a certificate needs, and then the request: mode request.
function Invoke-Request {
    if ($Settings.certificate.source -ne 'request') { throw 'the certificate of this host is not one that is requested. Write certificate.request = true into the inventory first' }
    foreach ($step in $Steps) {
        if ('preflight', 'tls', 'vc_redist', 'openssl' -contains $step.Name) { Invoke-Apply $step }
        if ($Run.Outcome -eq 'reboot') { Complete-BeforeRestart; return }
    }
    $Run.Step = 'certificate'
    Send-CertificateRequest
}

# A run that changes something holds the lock and keeps its events; a test leaves no trace.
function Start-Run {
    Assert-Scope
    if ($Run.Mode -eq 'events') { return }
    if ('apply', 'request' -contains $Run.Mode) { $Run.Boot = Get-BootTime }
    if ($Run.BootBefore -and (Test-SameBoot $Run.Boot $Run.BootBefore)) { $Run.Outcome = 'waiting'; return }
    if ($Run.Mode -eq 'test') { if (Test-Path -LiteralPath $StateFolder) { Assert-StateFolder } }
    else {
        Initialize-StateFolder
        Enter-Lock
        $folder = Join-Path $StateFolder "runs\$($Run.Id)"
        if (Test-Path -LiteralPath $folder) { throw "run '$($Run.Id)' was here before; a run's name is used once" }
        [void](New-Item -ItemType Directory -Force -Path $folder)
        $Run.EventFile = Join-Path $folder 'events.jsonl'
    }
    Write-Event started @{ run = $Run.Id; boot = $Run.Boot; mode = $Run.Mode; operator = $Run.Operator; release = $Settings.release; host = $Settings.host; script_sha256 = Get-Sha256 ($Utf8.GetBytes($ScriptText)) }
}

function Complete-Run {
    $Run.Step = ''
    Write-Event finished @{ outcome = $Run.Outcome; differs = $Run.Differs; changed = $Run.Changed; reboot = $Run.Reboot; restarting = $Run.Restarting; fingerprint = $Run.Fingerprint }
}

function Invoke-Run {
    $ended = $false
    try {
        Read-Envelope
        Start-Run
        if ($Run.Mode -eq 'events') { Send-EventsAfter $Run.After; $ended = $true; return }
        if ($Run.Outcome -eq 'waiting') { $ended = $true; return }
        if ($Run.Mode -eq 'undo') { Stop-RecordedTasks; Stop-RecordedBackground; Undo-Record; Remove-FileCopies }
        elseif ($Run.Mode -eq 'request') { Invoke-Request }
        else { Invoke-Plan }
        if ($Run.Mode -eq 'apply' -and $Run.Differs) { Invoke-Steps }
        elseif ($Run.Mode -eq 'apply') { Write-AllUnchanged }
        Assert-Kept
        $ended = $true
    }
    catch {
        $ended = $true
        if ($Run.Mode -eq 'events') { throw }   # what this run says must not pass for what the other said
        $Run.Outcome = 'failed'
        $text = [string]$_
        if (Test-DiskFull $_.Exception) { $text += ". $(Get-Remedy $_.Exception)" }
        Write-Event failed @{ text = $text; at = "line $($_.InvocationInfo.ScriptLineNumber)" }
    }
    finally {
        # Not ended: the workstation stopped the pipeline. Brackets are closed all the same.
        if (-not $ended) { $Run.Stopped = $true; $Run.Outcome = 'stopped' }
        if ($Run.Mode -eq 'apply' -and $Run.EventFile) { Undo-Record -BracketsOnly }
        if ($Run.Mode -ne 'events') { Complete-Run }
        Exit-Lock
        $env:PSModulePath = $ModulePath
    }
}

$ScriptText = $MyInvocation.MyCommand.ScriptBlock.ToString()
$EnvelopeLines = @($input)

Invoke-Run | ForEach-Object { if ($Run.Mode -eq 'events' -and $_ -is [string]) { $_ } else { $_ | Out-Event } }

if ($MyInvocation.MyCommand.CommandType -eq 'ExternalScript') {
    if ($Run.Outcome -eq 'reboot') { exit 3010 }
    if ($Run.Outcome -ne 'ok') { exit 3 }
    if ($Run.Reboot) { exit 3010 }
    if ($Run.Mode -eq 'test' -and $Run.Differs) { exit 2 }
}
