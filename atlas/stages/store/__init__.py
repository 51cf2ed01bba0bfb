"""Store of activations: contexts and cells, sorted by unit, written within bounded memory."""
