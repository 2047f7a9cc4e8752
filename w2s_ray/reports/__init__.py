"""Tables for people, made from the results of a study alone: no step runs and no gold is read here."""
