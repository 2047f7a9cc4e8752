"""`import w2s_ray as w2s`: the same from Python as from the command line. Its names are those of `w2s_ray` itself."""
