"""From registered versions to answers: deployments, who gets which version, keys, limits, the log of predictions.

A server is a data plane: it reads deployments, keys and packages from the object store and needs neither catalog nor
table engine. What changes them (`headrace deploy`, `headrace keys`) writes objects; every server sees it within two
seconds.
"""
