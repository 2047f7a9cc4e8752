"""The same fit by several processes, with a model that DeepSpeed shards."""
