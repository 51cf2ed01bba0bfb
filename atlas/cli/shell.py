"""Prompt of `atlas shell`: SQL and queries on one atlas, with completion of names and help."""

from __future__ import annotations

import cmd
import contextlib
import shlex
import sys
from pathlib import Path

import click
import duckdb

from atlas.cli.terminal import print_relation, say, show, table
from atlas.database import one_line
from atlas.errors import AtlasError
from atlas.query.catalogue import catalogue, find_query
from atlas.query.client import Atlas
from atlas.query.parameters import described, neurons_of, read_options

_HELP = """SQL ends with a semicolon and may take several lines:  FROM hubs LIMIT 5;
  .query NAME [OPTIONS]   run a query:  .query upstream L24/N5326 --min-graphs 5;  without NAME, list them
  .find EXPRESSION        neurons of a set:  .find label ~ capital && layer >= 10
  .search WORDS           neurons by label
  .show NAME              card of a neuron or a circuit
  .schema [NAME]          tables, views and macros, or the columns of one
  .format FORM            table, csv, json or markdown
  .help [QUERY]           this text, or the options of a query
  .quit                   leave (or Ctrl-D)
Tab completes names of tables, columns, macros and queries. The arrow keys bring back earlier lines."""
_WORDS = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "ORDER",
    "BY",
    "LIMIT",
    "JOIN",
    "USING",
    "DESC",
    "AND",
    "OR",
    "NOT",
    "NULL",
    "DISTINCT",
    "COUNT",
    "SUM",
    "WITH",
    "AS",
    "HAVING",
    "LIKE",
    "ILIKE",
    "IN",
]
_COMMANDS = (".query", ".find", ".search", ".show", ".schema", ".format", ".help", ".quit")


class Shell(cmd.Cmd):
    """Prompt on one atlas; every line is a command that begins with a dot, or a part of an SQL statement."""

    def __init__(self, atlas: Atlas, history: Path | None = None) -> None:
        super().__init__()
        self.atlas, self.form, self.waiting = atlas, "table", ""
        # A pipe shows results alone.
        self.prompt = self._first_prompt = f"{atlas.path.stem}> " if sys.stdin.isatty() else ""
        self._history = history
        columns = atlas.sql("SELECT DISTINCT column_name FROM duckdb_columns() WHERE NOT internal").fetchall()
        names = atlas.sql("SELECT name FROM help").fetchall()
        self.names = sorted({row[0] for row in (*columns, *names)} | set(_WORDS))

    def preloop(self) -> None:
        """Read earlier lines, and let the tab key complete words that hold a dot."""
        with contextlib.suppress(ImportError, OSError):
            import readline

            readline.set_completer_delims(" \t\n(),;=")
            if self._history is not None:
                readline.read_history_file(self._history)

    def postloop(self) -> None:
        """Keep the lines of this session."""
        if self._history is not None:
            with contextlib.suppress(ImportError, OSError):
                import readline

                readline.write_history_file(self._history)

    def completenames(self, text: str, *_: object) -> list[str]:
        """Return what the first word of a line may become."""
        return (
            [word for word in _COMMANDS if word.startswith(text)]
            if text.startswith(".")
            else self.completedefault(text)
        )

    def completedefault(self, text: str, line: str = "", *_: object) -> list[str]:
        """Return what another word may become: a query after `.query`, else a name of the atlas."""
        if line.lstrip().startswith((".query ", ".help ")) and len(line.split()) <= 2:
            return [name for name in catalogue() if name.startswith(text)]
        return [name for name in self.names if name.lower().startswith(text.lower())]

    def emptyline(self) -> bool:
        """Do nothing on an empty line."""
        return False

    def _line(self, line: str) -> bool:
        """Run a command, or add a line to the statement; return True to leave."""
        text = line.strip()
        if text == "EOF":
            return True
        if text.startswith(".") and not self.waiting:
            return self._command(text)
        self.waiting += line + "\n"
        self.prompt = self._first_prompt
        if text.endswith(";"):
            statement, self.waiting = self.waiting, ""
            self._try(lambda: print_relation(self.atlas.sql(statement), self.form, None))
        else:
            self.prompt = "...> ".rjust(len(self.prompt)) if self.prompt else ""
        return False

    def onecmd(self, line: str) -> bool:
        """Take every line as it is: SQL has words such as `help`."""
        if not line.strip():
            return self.emptyline()
        self.lastcmd = ""
        return self._line(line)

    def _command(self, text: str) -> bool:
        name, _, rest = text.partition(" ")
        rest = rest.strip().removesuffix(";").strip()
        if name == ".quit":
            return True
        actions = {
            ".help": lambda: show(described(find_query(rest)) if rest else _HELP),
            ".query": lambda: self._query(rest),
            ".find": lambda: print_relation(
                self.atlas.find(neurons_of(rest)), self.form, None, empty="no neuron is in the set"
            ),
            ".search": lambda: print_relation(
                self.atlas.search(rest), self.form, None, empty="no label has these words"
            ),
            ".show": lambda: show(str(self.atlas.card(rest))),
            ".schema": lambda: self._schema(rest),
            ".format": lambda: self._set_form(rest),
        }
        if name in actions:
            self._try(actions[name])
        else:
            say(f"no command is called {name}; .help lists them")
        return False

    def _query(self, rest: str) -> None:
        words = shlex.split(rest)
        if not words:
            show(table(("query", "answers"), [(item.name, item.doc) for item in catalogue().values()]))
            return
        found = find_query(words[0])
        print_relation(self.atlas.query(found.name, **read_options(found, words[1:])), self.form, None)

    def _schema(self, name: str) -> None:
        if not name:
            print_relation(self.atlas.sql("SELECT name, kind, description FROM help"), self.form, None, 0)
            return
        print_relation(self.atlas.columns_of(name), self.form, None, 0, empty=f"no table or view is called {name}")

    def _set_form(self, name: str) -> None:
        if name in ("table", "csv", "json", "markdown"):
            self.form = name
        else:
            say(f"the form is table, csv, json or markdown, not {name!r}")

    def _try(self, action: object) -> None:
        """Run an action; an error is one line, and the prompt goes on."""
        try:
            action()  # type: ignore[operator]
        except (AtlasError, ValueError) as error:
            say(f"{' '.join(str(error).split())}")
        except duckdb.Error as error:
            say(one_line(error))
        except KeyboardInterrupt:
            self.atlas.interrupt()
            say("stopped")


def run_shell(atlas: Atlas, history: Path | None) -> None:
    """Read lines until the end of the input."""
    shell = Shell(atlas, history)
    if shell.prompt:
        show(f"{atlas.path}: SQL ends with a semicolon; .help lists commands, .quit leaves")
    while True:
        try:
            shell.cmdloop()
            break
        except KeyboardInterrupt:
            shell.waiting = ""
            click.echo()
