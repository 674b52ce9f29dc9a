"""The template that creates the virtual machine of a host in Azure and runs its script there."""
