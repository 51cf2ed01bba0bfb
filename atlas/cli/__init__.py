"""The `atlas` command. Each command parses its options, makes one library call and prints the result."""
