"""`python -m w2s_ray` is `w2s`."""

from w2s_ray.cli.app import main

main()
