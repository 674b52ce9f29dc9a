"""What it costs over PSRP to see that nothing has to be changed: nbserver, pypsrp, pywinrm and Ansible on one WinRM endpoint.

    python -m benchmarks.psrp --html psrp.html

docs/benchmarks.md says what is compared and what the numbers do not say.
"""
