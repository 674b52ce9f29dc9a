"""What it costs over SSH to see that nothing has to be changed, on 1, 10 and 50 hosts: nbserver, ssh alone, pyinfra and Ansible.

    python -m benchmarks.ssh --json ssh.json

docs/benchmarks.md says what is compared and what the numbers do not say.
"""
