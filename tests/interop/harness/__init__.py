"""What the suites in Python share: our daemons, certificates, endpoints, and the base of a test."""
