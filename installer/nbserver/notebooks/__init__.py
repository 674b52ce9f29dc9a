"""Files of notebooks on their way between the workstation and hosts."""
