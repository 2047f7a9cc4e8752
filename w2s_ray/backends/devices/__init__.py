"""The device and its memory, how well it is used, and the processes that compute together. The lowest layer of
`backends`."""
