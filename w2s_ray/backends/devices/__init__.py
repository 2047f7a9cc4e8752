"""What computes: the device and its memory, how fast it is used, the processes that compute together. The lowest
floor."""
