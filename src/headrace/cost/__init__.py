"""What work costs: the price book and the sums made with it."""
