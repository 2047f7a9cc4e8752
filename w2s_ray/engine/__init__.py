"""The memoised driver: steps with identities, a store of their results, leases between drivers, and the interface of
executors.

Independent of models and of Ray. See docs/decisions/0001-memoised-driver.md.
"""
