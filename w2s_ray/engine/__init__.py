"""The memoised driver: steps with identities, a store of their results, leases between drivers, and a seam behind which
things run.

Knows nothing of models or Ray. See docs/decisions/0001-memoised-driver.md.
"""
