"""Small pure parts that methods are made of: combiners, cleaners, scorers and selectors on labels (numpy), losses on
logits (torch, imported only when one is built)."""
