"""Map: files to sorted runs of links and nodes, one spill file and one bookkeeping file per task."""
