"""Map phase: converts files to sorted runs of links and nodes, in one spill and one bookkeeping file per task."""
