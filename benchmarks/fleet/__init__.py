"""What nbserver itself costs for up to thousands of hosts, which are simulated: no network, no encryption, no host's work."""
