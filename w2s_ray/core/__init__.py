"""The data types that every other package uses: rows, labels, features, models; and ids, seeds, errors, plug-ins.

Needs numpy and pyarrow alone (pyarrow only when something is read or written), so that importing a config or a method
stays fast.
"""
