"""The `atlas` command: parse, one library call, print."""
