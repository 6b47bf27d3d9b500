"""Studies that decided how the engine works, one file a question; see docs/studies.md."""
