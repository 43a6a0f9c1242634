"""One entity from the rows of many sources: which rows are one, and which of their values stay."""
