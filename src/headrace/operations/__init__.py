"""What happens around runs: when they start by themselves, and what is told to other systems."""
