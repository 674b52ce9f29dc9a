"""What tools/reference writes into docs/, and the hook that completes the site."""
