"""Which rows are about one thing although no key says so: fuzzy duplicates, by weights learnt from the rows.

The method is that of Fellegi and Sunter, "A Theory for Record Linkage", JASA 64 (1969): every compared column adds
evidence in bits, log2 of how much more often its outcome is seen among rows that are one than among rows that are not.
Winkler added the two parts that make it work without labels: expectation maximisation (1988), and more evidence for
agreement on a rare value than on a frequent one (1989).

    rows → normal forms → distinct records → passes → candidate pairs → weights → scored pairs → clusters
"""
