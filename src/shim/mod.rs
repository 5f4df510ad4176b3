//! One process per container: stdio, log, exit.
