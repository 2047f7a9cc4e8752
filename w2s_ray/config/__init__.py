"""What a user may write: the schema of a study, and the YAML that fills it. Loads neither torch nor ray."""
