"""Statistics that stay true however often they are looked at: rates, means, ratios of samples, drift, money.

Every method works on sums and counts, and needs nothing but `math`: the supervisor of servers calls them.
"""
