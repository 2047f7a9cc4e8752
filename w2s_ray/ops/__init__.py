"""The verbs that methods call (train, predict, embed), each a step with an identity, and what prepares their rows.

Loads no torch: the steps' functions import `backends` where they run.
"""
