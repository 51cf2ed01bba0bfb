"""Files: atomic writes and locks, work directories, streams of JSON and lines, package data, paths."""
